"""Making a severity proof. The formulas are in the package's text (`proofs.severity`).

What is secret goes through the flat-time back end: the commitments, A, S, T_1, T_2. A is a sum of
one chosen point per slot (G_i or −H_i), the same number of additions for every witness. The folding
rounds work on l(x) and r(x), which a proof without rounds would publish as they are, so they use
the fastest MSM in variable time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import shake_256
from operator import mul
from typing import Final

from proofs.group import ORDER, WIDE_BYTES, Backend, FixedBases, Point, backend, prover
from proofs.group.scalars import scalar_from_wide
from proofs.pedersen import (
    check_blinding,
    commit_point,
    generators,
    vector_generators,
)
from proofs.severity.challenges import SeverityTranscript
from proofs.severity.errors import BelowThresholdError, ComponentRangeError, EntropyError
from proofs.severity.statement import BITS, COMPONENTS, Rubric, Statement
from proofs.severity.weights import layout, witness_bits
from proofs.severity.wire import ROUNDS, encode_scalars

PROVE_ENTROPY: Final = 64
"""Least number of fresh random bytes that `prove` must be handed."""

_NONCE_DOMAIN: Final = b"signal-mesh/severity/v1/nonces"


@dataclass(frozen=True)
class _Witness:
    """Everything secret; none of it in the repr."""

    bits: tuple[int, ...] = field(repr=False)
    blindings: tuple[int, ...] = field(repr=False)
    alpha: int = field(repr=False)
    rho: int = field(repr=False)
    tau_1: int = field(repr=False)
    tau_2: int = field(repr=False)
    s_left: tuple[int, ...] = field(repr=False)
    s_right: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True)
class _Bases:
    """The generators as each step needs them."""

    G: tuple[Point, ...]
    H: tuple[Point, ...]
    either: tuple[tuple[Point, Point], ...]
    """Per slot what a 0 and a 1 add to A: (−H_i, G_i)."""


@cache
def _secret_bases(group: Backend) -> _Bases:
    vectors = vector_generators(group, BITS)
    either = tuple((group.neg(h), g) for g, h in zip(vectors.G, vectors.H, strict=True))
    return _Bases(vectors.G, vectors.H, either)


@cache
def _round_bases(group: Backend) -> FixedBases:
    vectors = vector_generators(group, BITS)
    return group.fixed_bases((*vectors.G, *vectors.H, vectors.U))


def commit_components(
    components: Sequence[int], blindings: Sequence[int], *, group: Backend | None = None
) -> tuple[bytes, ...]:
    """Return the four commitments of a statement.

    Raises:
        ComponentRangeError: not four components.
        ScalarRangeError: a component is negative or not below r (the rubric's range is checked by
            `prove`).
        BlindingError: a blinding factor is not in 1..r−1.
    """
    if len(components) != COMPONENTS or len(blindings) != COMPONENTS:
        raise ComponentRangeError(f"there are {COMPONENTS} components with a blinding factor each")
    for blinding in blindings:
        check_blinding(blinding)
    secret = group or prover()
    return tuple(
        secret.encode(commit_point(secret, component, blinding))
        for component, blinding in zip(components, blindings, strict=True)
    )


def prove(
    rubric: Rubric,
    threshold: int,
    components: Sequence[int],
    blindings: Sequence[int],
    context: bytes,
    entropy: bytes,
    *,
    group: Backend | None = None,
) -> bytes:
    """Return the proof that the components are in range and their total reaches the threshold.

    The nonces are hashed from the entropy *and* the witness and statement, so that bytes that
    repeat by accident under another statement reveal nothing. `group` overrides both back ends, for
    tests.

    Args:
        rubric: the weights and range.
        threshold: T, in 0..rubric.total_max.
        components: four integers in 0..rubric.component_max; secret.
        blindings: the blinding factors of their commitments, as in `commit_components`; secret.
        context: what the proof is bound to.
        entropy: at least 64 fresh bytes from the operating system's generator.

    Raises:
        ComponentRangeError: not four components, or one out of range.
        BelowThresholdError: the total is below the threshold.
        StatementError: the threshold is out of range.
        BlindingError: a blinding factor is not in 1..r−1.
        EntropyError: fewer than 64 bytes.
    """
    scores = tuple(components)
    if any(not isinstance(s, int) or isinstance(s, bool) for s in scores):
        raise ComponentRangeError("each component must be an integer")
    if not all(0 <= s <= rubric.component_max for s in scores):
        raise ComponentRangeError(f"each component must be in 0..{rubric.component_max}")
    if len(entropy) < PROVE_ENTROPY:
        raise EntropyError(f"a proof needs {PROVE_ENTROPY} fresh random bytes")
    secret, public = group or prover(), group or backend()
    commitments = commit_components(scores, blindings, group=secret)
    statement = Statement(rubric, threshold, commitments, context)
    if rubric.total(scores) < threshold:
        raise BelowThresholdError(
            "the weighted total of the components is below the threshold; claim a lower band"
        )
    witness = _draw_nonces(statement, scores, tuple(blindings), entropy)
    return _argue(statement, witness, secret, public)


def _draw_nonces(
    statement: Statement, scores: tuple[int, ...], blindings: tuple[int, ...], entropy: bytes
) -> _Witness:
    rubric = statement.rubric
    parts = (
        entropy,
        repr((scores, blindings, rubric.weights, rubric.component_max)).encode(),
        statement.threshold.to_bytes(4, "big"),
        b"".join(statement.commitments),
        statement.context,
    )
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    count = 4 + 2 * BITS
    stream = shake_256(_NONCE_DOMAIN + framed).digest(WIDE_BYTES * count)
    alpha, rho, tau_1, tau_2, *s = (
        scalar_from_wide(stream[at : at + WIDE_BYTES]) for at in range(0, len(stream), WIDE_BYTES)
    )
    bits = tuple(witness_bits(rubric, statement.threshold, scores))
    return _Witness(bits, blindings, alpha, rho, tau_1, tau_2, tuple(s[:BITS]), tuple(s[BITS:]))


def _argue(statement: Statement, witness: _Witness, secret: Backend, public: Backend) -> bytes:
    bases = generators(secret)
    transcript = SeverityTranscript(statement)
    A = secret.encode(_commit_bits(secret, witness))
    S = secret.encode(_commit_masks(secret, witness))
    Y, z = transcript.vectors(A, S)

    y_powers = _powers(pow(Y, -1, ORDER), BITS)
    z_powers = _powers(z, 7)
    slots = layout(statement.rubric, statement.threshold)
    l_0 = [bit - z for bit in witness.bits]
    omega = [z_j * w for z_j, block in zip(z_powers[2:], slots.blocks, strict=True) for w in block]
    omega += [0] * slots.padding
    r_0 = [
        (y_i * (bit - 1 + z) + o) % ORDER
        for y_i, bit, o in zip(y_powers, witness.bits, omega, strict=True)
    ]
    r_1 = [y_i * s % ORDER for y_i, s in zip(y_powers, witness.s_right, strict=True)]
    t_1 = (_inner(l_0, r_1) + _inner(witness.s_left, r_0)) % ORDER
    t_2 = _inner(witness.s_left, r_1)

    def committed(value: int, blinding: int) -> bytes:
        return secret.encode(
            secret.add(secret.mul_secret(bases.G, value), secret.mul_secret(bases.H, blinding))
        )

    T1, T2 = committed(t_1, witness.tau_1), committed(t_2, witness.tau_2)
    x = transcript.polynomial(T1, T2)

    l_x = [(a + x * s) % ORDER for a, s in zip(l_0, witness.s_left, strict=True)]
    r_x = [(b + x * s) % ORDER for b, s in zip(r_0, r_1, strict=True)]
    gammas = (*witness.blindings, statement.rubric.total(witness.blindings))
    tau_x = (witness.tau_2 * x * x + witness.tau_1 * x + _inner(z_powers[2:], gammas)) % ORDER
    mu = (witness.alpha + witness.rho * x) % ORDER
    t_hat = _inner(l_x, r_x)
    evaluation = encode_scalars((tau_x, mu, t_hat))
    w = transcript.evaluation(evaluation)

    rounds, a, b = _fold(public, transcript, l_x, r_x, _powers(Y, BITS), w)
    return b"".join((A, S, T1, T2, *rounds, evaluation, encode_scalars((*a, *b))))


def _commit_bits(group: Backend, witness: _Witness) -> Point:
    """A = α·H + Σ a_L,i·G_i + (a_L,i − 1)·H_i, for bits a_L,i."""
    total = group.mul_secret(generators(group).H, witness.alpha)
    for bit, choices in zip(witness.bits, _secret_bases(group).either, strict=True):
        total = group.add(total, choices[bit])
    return total


def _commit_masks(group: Backend, witness: _Witness) -> Point:
    """S = ρ·H + Σ s_L,i·G_i + s_R,i·H_i."""
    bases = _secret_bases(group)
    total = group.mul_secret(generators(group).H, witness.rho)
    for point, mask in zip((*bases.G, *bases.H), (*witness.s_left, *witness.s_right), strict=True):
        total = group.add(total, group.mul_secret(point, mask))
    return total


def _fold(
    group: Backend,
    transcript: SeverityTranscript,
    a: list[int],
    b: list[int],
    h_factors: list[int],
    w: int,
) -> tuple[list[bytes], list[int], list[int]]:
    """Run the folding rounds over the original generators, which cost less than folded ones.

    After the rounds so far the folded generator at position p is Σ factor_i·G_i over all i = p
    modulo the present length; `g_factors` and `h_factors` hold those factors (H's begin as Y^i).
    """
    bases = _round_bases(group)
    g_factors = [1] * BITS
    rounds: list[bytes] = []
    for _ in range(ROUNDS):
        half = len(a) // 2
        a_lo, a_hi, b_lo, b_hi = a[:half], a[half:], b[:half], b[half:]
        low = [i for i in range(BITS) if i % (2 * half) < half]
        high = [i + half for i in low]

        def cross(
            g_half: list[int], a_part: list[int], h_half: list[int], b_part: list[int]
        ) -> bytes:
            n = len(a_part)
            scalars = [g_factors[i] * a_part[i % n] % ORDER for i in g_half]
            scalars += [h_factors[i] * b_part[i % n] % ORDER for i in h_half]
            scalars.append(w * _inner(a_part, b_part) % ORDER)
            return group.encode(
                bases.msm([*g_half, *(BITS + i for i in h_half), 2 * BITS], scalars)
            )

        L = cross(high, a_lo, low, b_hi)
        R = cross(low, a_hi, high, b_lo)
        rounds += (L, R)
        e = transcript.round(L, R)
        inverse = pow(e, -1, ORDER)
        for i in high:
            g_factors[i] = g_factors[i] * e % ORDER
            h_factors[i] = h_factors[i] * inverse % ORDER
        a = [(lo + inverse * hi) % ORDER for lo, hi in zip(a_lo, a_hi, strict=True)]
        b = [(lo + e * hi) % ORDER for lo, hi in zip(b_lo, b_hi, strict=True)]
    return rounds, a, b


def _powers(base: int, count: int) -> list[int]:
    powers = [1]
    for _ in range(count - 1):
        powers.append(powers[-1] * base % ORDER)
    return powers


def _inner(left: Sequence[int], right: Sequence[int]) -> int:
    assert len(left) == len(right)
    total: int = sum(map(mul, left, right))
    return total % ORDER
