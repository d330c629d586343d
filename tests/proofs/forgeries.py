"""A second implementation of the severity proof, written from its text, that is free to lie.

It shares nothing with `proofs.severity` but the group's arithmetic: the transcript is plain
hashlib, the bases are folded one by one, and the two equations are checked apart. `Lie` says where
the prover departs from the protocol; without one its proofs must be accepted, so that a refusal
means something.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha512
from random import Random

from proofs.group import COFACTOR, ORDER, Backend, Point
from proofs.severity import Rubric, Statement

N = 24
DST = b"SIGNAL-MESH-V1-GENERATORS-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"


class PlainTranscript:
    def __init__(self, label: bytes) -> None:
        self.fed = b"signal-mesh/transcript/v1" + len(label).to_bytes(2, "big") + label

    def absorb(self, label: bytes, data: bytes) -> None:
        self.fed += b"\x01" + len(label).to_bytes(2, "big") + label
        self.fed += len(data).to_bytes(8, "big") + data

    def challenge(self, label: bytes) -> int:
        self.fed += b"\x02" + len(label).to_bytes(2, "big") + label
        self.fed = sha512(self.fed).digest()
        return int.from_bytes(self.fed, "big") % ORDER


def bases(group: Backend) -> tuple[Point, Point, list[Point], list[Point], Point]:
    def hashed(name: str) -> Point:
        return group.hash_to_curve(name.encode(), DST)

    return (
        group.generator(),
        hashed("pedersen H"),
        [hashed(f"bulletproof G {i}") for i in range(N)],
        [hashed(f"bulletproof H {i}") for i in range(N)],
        hashed("bulletproof U"),
    )


def bit_weights(rubric: Rubric, threshold: int) -> list[list[int]]:
    """w_1 .. w_5."""
    vectors = []
    at = 0
    for maximum in [rubric.component_max] * 4 + [rubric.total_max - threshold]:
        own = []
        while sum(own) < maximum:
            own.append(min(1 << len(own), maximum - sum(own)))
        vector = [0] * N
        vector[at : at + len(own)] = own
        at += len(own)
        vectors.append(vector)
    return vectors


def open_bits(weights: Sequence[int], value: int) -> list[int]:
    """A subset of the weights that sums to `value`, greedily from the largest position."""
    bits = [0] * len(weights)
    for i in reversed(range(len(weights))):
        if weights[i] and value >= weights[i]:
            bits[i], value = 1, value - weights[i]
    assert value == 0
    return bits


def bits_of(rubric: Rubric, threshold: int, values: Sequence[int]) -> list[int]:
    """a_L for five values in range, consistent with one another or not."""
    total = [0] * N
    for vector, value in zip(bit_weights(rubric, threshold), values, strict=True):
        total = [a + b for a, b in zip(total, open_bits(vector, value), strict=True)]
    return total


def honest_bits(rubric: Rubric, threshold: int, components: Sequence[int]) -> list[int]:
    excess = sum(w * s for w, s in zip(rubric.weights, components, strict=True)) - threshold
    return bits_of(rubric, threshold, (*components, excess))


@dataclass
class Lie:
    """Where the prover departs from the protocol."""

    a_left: Sequence[int] | None = None
    a_right: Sequence[int] | None = None
    y_exponents: Sequence[int] = tuple(range(N))
    tau_shift: int = 0
    mu_shift: int = 0
    tweak: Callable[[str, bytes], bytes] = field(default=lambda name, data: data)
    """Changes a point's bytes before they are hashed and sent."""


def u32(*numbers: int) -> bytes:
    return b"".join(n.to_bytes(4, "big") for n in numbers)


def be(*scalars: int) -> bytes:
    return b"".join(k.to_bytes(32, "big") for k in scalars)


def begin(statement: Statement) -> PlainTranscript:
    t = PlainTranscript(b"signal-mesh/severity/v1")
    t.absorb(b"generators", DST)
    t.absorb(b"bits", u32(24))
    t.absorb(b"rubric", u32(*statement.rubric.weights, statement.rubric.component_max))
    t.absorb(b"threshold", u32(statement.threshold))
    t.absorb(b"context", statement.context)
    t.absorb(b"commitments", b"".join(statement.commitments))
    return t


def inner(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True)) % ORDER


def lying_prove(
    group: Backend,
    rubric: Rubric,
    threshold: int,
    components: Sequence[int],
    context: bytes = b"context",
    lie: Lie | None = None,
    seed: int = 1,
) -> tuple[Statement, bytes]:
    """Commit to any numbers at all and argue for them."""
    lie = lie or Lie()
    random = Random(seed)
    rnd = lambda: random.randrange(1, ORDER)  # noqa: E731
    G, H, Gs, Hs, U = bases(group)

    def msm(points: Sequence[Point], scalars: Sequence[int]) -> Point:
        return group.msm(list(points), [k % ORDER for k in scalars])

    def send(name: str, point: Point) -> bytes:
        return lie.tweak(name, group.encode(point))

    gammas = [rnd() for _ in range(4)]
    commitments = tuple(
        send(f"C{i + 1}", msm([G, H], [v, gamma]))
        for i, (v, gamma) in enumerate(zip(components, gammas, strict=True))
    )
    statement = Statement(rubric, threshold, commitments, context)
    w_vectors = bit_weights(rubric, threshold)
    a_left = list(lie.a_left or honest_bits(rubric, threshold, components))
    a_right = list(lie.a_right or [a - 1 for a in a_left])
    alpha, rho, tau_1, tau_2 = (rnd() for _ in range(4))
    s_left, s_right = [rnd() for _ in range(N)], [rnd() for _ in range(N)]

    t = begin(statement)
    A = send("A", msm([H, *Gs, *Hs], [alpha, *a_left, *a_right]))
    S = send("S", msm([H, *Gs, *Hs], [rho, *s_left, *s_right]))
    t.absorb(b"A S", A + S)
    Y, z = t.challenge(b"Y"), t.challenge(b"z")
    y = pow(Y, -1, ORDER)
    ys = [pow(y, k, ORDER) for k in lie.y_exponents]
    omega = [sum(z ** (2 + j) * w[i] for j, w in enumerate(w_vectors)) for i in range(N)]
    l_0 = [a - z for a in a_left]
    r_0 = [y_i * (a + z) + o for y_i, a, o in zip(ys, a_right, omega, strict=True)]
    r_1 = [y_i * s for y_i, s in zip(ys, s_right, strict=True)]
    t_1 = inner(l_0, r_1) + inner(s_left, r_0)
    t_2 = inner(s_left, r_1)
    T1 = send("T1", msm([G, H], [t_1, tau_1]))
    T2 = send("T2", msm([G, H], [t_2, tau_2]))
    t.absorb(b"T1 T2", T1 + T2)
    x = t.challenge(b"x")
    a = [(p + x * q) % ORDER for p, q in zip(l_0, s_left, strict=True)]
    b = [(p + x * q) % ORDER for p, q in zip(r_0, r_1, strict=True)]
    gamma_5 = inner(rubric.weights, gammas)
    tau_x = tau_2 * x * x + tau_1 * x + lie.tau_shift
    tau_x += sum(z ** (2 + j) * gamma for j, gamma in enumerate((*gammas, gamma_5)))
    tau_x %= ORDER
    mu = (alpha + rho * x + lie.mu_shift) % ORDER
    t_hat = inner(a, b)
    t.absorb(b"tau_x mu t_hat", be(tau_x, mu, t_hat))
    w = t.challenge(b"w")

    g = list(Gs)
    h = [
        group.mul(p, pow(Y, k, ORDER))  # so that r_i·H'_i has no y left in it
        for p, k in zip(Hs, lie.y_exponents, strict=True)
    ]
    sent = [A, S, T1, T2]
    for number in (1, 2, 3):
        n = len(a) // 2
        L = msm([*g[n:], *h[:n], U], [*a[:n], *b[n:], w * inner(a[:n], b[n:])])
        R = msm([*g[:n], *h[n:], U], [*a[n:], *b[:n], w * inner(a[n:], b[:n])])
        sent += [send(f"L{number}", L), send(f"R{number}", R)]
        t.absorb(b"L R", sent[-2] + sent[-1])
        e = t.challenge(b"e")
        inverse = pow(e, -1, ORDER)
        a = [(lo + inverse * hi) % ORDER for lo, hi in zip(a[:n], a[n:], strict=True)]
        b = [(lo + e * hi) % ORDER for lo, hi in zip(b[:n], b[n:], strict=True)]
        g = [group.add(lo, group.mul(hi, e)) for lo, hi in zip(g[:n], g[n:], strict=True)]
        h = [group.add(lo, group.mul(hi, inverse)) for lo, hi in zip(h[:n], h[n:], strict=True)]
    return statement, b"".join(sent) + be(tau_x, mu, t_hat, *a, *b)


def residuals(
    group: Backend,
    statement: Statement,
    proof: bytes,
    y_exponents: Sequence[int] = tuple(range(N)),
    hashed: Statement | None = None,
) -> tuple[Point, Point]:
    """What the two equations, multiplied by the cofactor, leave over: the identity twice if true.

    `hashed` is the statement that the challenges come from, if it is another.
    """
    assert len(proof) == 768
    G, H, Gs, Hs, U = bases(group)
    rubric, T = statement.rubric, statement.threshold
    data = [proof[i : i + 48] for i in range(0, 480, 48)]
    A, S, T1, T2, *LR = (group.decode_on_curve(d) for d in data)
    C = [group.decode(d) for d in statement.commitments]
    tau_x, mu, t_hat, *ab = (int.from_bytes(proof[i : i + 32], "big") for i in range(480, 768, 32))
    a, b = ab[:3], ab[3:]

    t = begin(hashed or statement)
    t.absorb(b"A S", data[0] + data[1])
    Y, z = t.challenge(b"Y"), t.challenge(b"z")
    t.absorb(b"T1 T2", data[2] + data[3])
    x = t.challenge(b"x")
    t.absorb(b"tau_x mu t_hat", be(tau_x, mu, t_hat))
    w = t.challenge(b"w")
    y = pow(Y, -1, ORDER)
    w_vectors = bit_weights(rubric, T)
    omega = [sum(z ** (2 + j) * v[i] for j, v in enumerate(w_vectors)) for i in range(N)]

    def msm(points: Sequence[Point], scalars: Sequence[int]) -> Point:
        return group.msm(list(points), [k % ORDER for k in scalars])

    def cleared(p: Point) -> Point:
        total = group.identity()
        for bit in bin(COFACTOR)[2:]:
            total = group.add(total, total)
            if bit == "1":
                total = group.add(total, p)
        return total

    delta = (z - z * z) * sum(pow(y, k, ORDER) for k in y_exponents)
    delta -= sum(z ** (3 + j) * sum(v) for j, v in enumerate(w_vectors))
    C5 = group.add(msm(C, rubric.weights), msm([G], [-T]))
    first = msm(
        [G, H, *C, C5, T1, T2],
        [t_hat - delta, tau_x, *(-(z ** (2 + j)) for j in range(5)), -x, -x * x],
    )

    g = list(Gs)
    h = [group.mul(p, pow(Y, k, ORDER)) for p, k in zip(Hs, y_exponents, strict=True)]
    P = msm(
        [A, S, H, *Gs, *Hs, U],
        [
            1,
            x,
            -mu,
            *([-z] * N),
            *(z + pow(Y, k, ORDER) * o for k, o in zip(y_exponents, omega, strict=True)),
            w * t_hat,
        ],
    )
    for number in range(3):
        t.absorb(b"L R", data[4 + 2 * number] + data[5 + 2 * number])
        e = t.challenge(b"e")
        inverse = pow(e, -1, ORDER)
        n = len(g) // 2
        g = [group.add(lo, group.mul(hi, e)) for lo, hi in zip(g[:n], g[n:], strict=True)]
        h = [group.add(lo, group.mul(hi, inverse)) for lo, hi in zip(h[:n], h[n:], strict=True)]
        P = group.add(P, msm(LR[2 * number : 2 * number + 2], [e, inverse]))
    second = group.add(P, group.neg(msm([*g, *h, U], [*a, *b, w * inner(a, b)])))
    return cleared(first), cleared(second)


def plainly_holds(
    group: Backend,
    statement: Statement,
    proof: bytes,
    y_exponents: Sequence[int] = tuple(range(N)),
    hashed: Statement | None = None,
) -> bool:
    left_over = residuals(group, statement, proof, y_exponents, hashed)
    return all(group.is_identity(p) for p in left_over)
