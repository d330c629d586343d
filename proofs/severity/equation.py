"""The verifier's two equations for any number of proofs, as one multi-scalar multiplication.

The formulas are in the package's text (`proofs.severity`); the names here are those there. Per
proof with the weights ρ (for the inner-product equation) and σ (for the polynomial's), it adds to
one sum

    ρ·(A + x·S + Σ e_k·L_k + e_k⁻¹·R_k − μ·H + w·(t̂ − ⟨a,b⟩)·U
       − Σ_i (z + s_i·a_{i mod 3})·G_i + Σ_i (z + Y^i·(ω_i − s_i⁻¹·b_{i mod 3}))·H_i)
  + σ·x⁻¹·(x·T_1 + x²·T_2 + Σ_{j≤4} (z^(1+j) + z⁶·ω̂_j)·C_j − (t̂ − δ + z⁶·T)·G − τ_x·H)

The sum, multiplied by the cofactor, must be the identity. σ is divided by the public x so that T_1,
like A, gets a 128-bit coefficient in a batch. Scalars stay unreduced until the sums are complete.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import add, mul, sub
from typing import Self

from proofs.group import ORDER, Backend, Point, invert_all
from proofs.group.errors import PointError
from proofs.pedersen import generators, vector_generators
from proofs.severity.challenges import Challenges, replay
from proofs.severity.errors import ProofEquationError
from proofs.severity.hints import HintedDecoder
from proofs.severity.statement import BITS, COMPONENTS, Statement
from proofs.severity.weights import Layout, layout
from proofs.severity.wire import POINT_NAMES, Wire, parse


@dataclass(frozen=True)
class Checked:
    """A proof whose parts have been decoded, with its challenges; only the equation is left."""

    statement: Statement
    wire: Wire
    challenges: Challenges
    points: tuple[Point, ...]

    @classmethod
    def decode(cls, group: Backend, statement: Statement, proof: bytes, hint: bytes = b"") -> Self:
        """Decode everything: commitments with the subgroup check, proof points on the curve.

        `hint`: perhaps one of `severity.hints`; the result is the same without.

        Raises:
            ProofLengthError, ScalarRangeError: see `wire.parse`.
            PointError: a commitment or a proof point is refused; the text names it.
        """
        wire = parse(proof)
        decoder = HintedDecoder(group, hint)
        points = []
        try:
            for data in wire.points:
                points.append(decoder.decode_on_curve(data))
            for data in statement.commitments:
                points.append(decoder.decode(data))
        except PointError as error:
            names = [f"proof point {name}" for name in POINT_NAMES]
            names += [f"commitment {number}" for number in range(1, COMPONENTS + 1)]
            raise type(error)(f"{names[len(points)]}: {error}") from error
        return cls(statement, wire, replay(statement, wire), tuple(points))


@dataclass(frozen=True)
class Inverses:
    """The inverses of one proof's challenges."""

    y: int
    x: int
    e: tuple[int, ...]


def inverses(proofs: Sequence[Checked]) -> list[Inverses]:
    """Invert the challenges of all proofs with one field inversion."""
    challenges = [proof.challenges for proof in proofs]
    inverted = iter(invert_all([k for c in challenges for k in (c.Y, c.x, *c.e)]))
    return [
        Inverses(next(inverted), next(inverted), tuple(next(inverted) for _ in c.e))
        for c in challenges
    ]


def holds(
    group: Backend,
    proofs: Sequence[Checked],
    inverted: Sequence[Inverses],
    weights: Sequence[tuple[int, int]],
) -> bool:
    """Tell whether all proofs' equations, weighted, summed and cleared, give the identity."""
    sums = _Sums()
    points: list[Point] = []
    scalars: list[int] = []
    for proof, inverse, (rho, sigma) in zip(proofs, inverted, weights, strict=True):
        points += proof.points
        scalars += sums.add_proof(proof, inverse, rho, sigma)
    bases, vectors = generators(group), vector_generators(group, BITS)
    points += (bases.G, bases.H, vectors.U, *vectors.G, *vectors.H)
    scalars += sums.fixed()
    total = group.msm(points, [scalar % ORDER for scalar in scalars])
    return group.clear_cofactor_is_identity(total)


class _Sums:
    """The coefficients of the generators, which all proofs share."""

    def __init__(self) -> None:
        self.G = self.H = self.U = 0
        self.every_vector = 0  # ρ·z, subtracted from each G_i's and added to each H_i's coefficient
        self.G_vector = [0] * BITS
        self.H_vector = [0] * BITS

    def fixed(self) -> list[int]:
        """Return the coefficients of G, H, U, G_0 …, H_0 …."""
        return [
            self.G,
            self.H,
            self.U,
            *(-self.every_vector - g for g in self.G_vector),
            *(self.every_vector + h for h in self.H_vector),
        ]

    def add_proof(self, proof: Checked, inverse: Inverses, rho: int, sigma: int) -> list[int]:
        """Add one proof; return the coefficients of its own points, proof points first."""
        c, wire, statement = proof.challenges, proof.wire, proof.statement
        rubric, T = statement.rubric, statement.threshold
        slots = layout(rubric, T)
        z = c.z
        z2 = z * z % ORDER
        z3 = z2 * z % ORDER
        z4, z5, z6 = z2 * z2 % ORDER, z3 * z2 % ORDER, z3 * z3 % ORDER

        # The inner-product equation.
        rho_a = [rho * a % ORDER for a in wire.a]
        s_a = [s * a for s in _doubling_products(c.e) for a in rho_a]
        self.G_vector = list(map(add, self.G_vector, s_a))
        y_omega = _scaled_blocks([rho * z_j % ORDER for z_j in (z2, z3, z4, z5, z6)], c.Y, slots)
        # Y^i·s_i⁻¹ = Y^(3c + p)·s_i⁻¹, and Y^(3c)·s_i⁻¹ is a doubling product as well.
        Y2 = c.Y * c.Y % ORDER
        Y3 = Y2 * c.Y % ORDER
        Y6 = Y3 * Y3 % ORDER
        steps = [Y6 * Y6 * inverse.e[0] % ORDER, Y6 * inverse.e[1], Y3 * inverse.e[2]]
        b_0, b_1, b_2 = wire.b
        rho_b = (rho * b_0 % ORDER, rho * b_1 * c.Y % ORDER, rho * b_2 * Y2 % ORDER)
        s_b = [s * b for s in _doubling_products(steps) for b in rho_b]
        self.H_vector = list(map(add, self.H_vector, map(sub, y_omega, s_b)))
        self.every_vector += rho * z
        self.U += rho * (c.w * (wire.t_hat - sum(map(mul, wire.a, wire.b))) % ORDER)

        # The polynomial's equation. ⟨1, y^N⟩ = Σ y^i = (1 + y + y²)·(1 + y³)·(1 + y⁶)·(1 + y¹²).
        y = inverse.y
        y2 = y * y % ORDER
        y3 = y2 * y % ORDER
        y6 = y3 * y3 % ORDER
        sum_y = (1 + y + y2) * (1 + y3) % ORDER * ((1 + y6) * (1 + y6 * y6) % ORDER)
        delta = (z - z2) * sum_y - sum(map(mul, (z3, z4, z5, z6, z6 * z), slots.maxima))
        sigma_x = sigma * inverse.x % ORDER
        self.G -= sigma_x * ((wire.t_hat - delta + z6 * T) % ORDER)
        self.H -= rho * wire.mu + sigma_x * wire.tau_x

        own = [rho, rho * c.x, sigma, sigma * c.x]
        for e, e_inverse in zip(c.e, inverse.e, strict=True):
            own += (rho * e, rho * e_inverse)
        for z_j, weight in zip((z2, z3, z4, z5), rubric.weights, strict=True):
            own.append(sigma_x * (z_j + z6 * weight))
        return own


def _scaled_blocks(factors: Sequence[int], Y: int, slots: Layout) -> list[int]:
    """Return Y^i·ω_i for every slot, where ω_i is its value's factor times its weight."""
    low = [1]  # the powers of Y within a block
    for _ in range(max(map(len, slots.blocks))):
        low.append(low[-1] * Y % ORDER)
    scaled: list[int] = []
    start = 1
    for factor, weights in zip(factors, slots.blocks, strict=True):
        first = factor * start % ORDER
        scaled += [first * power * weight for power, weight in zip(low, weights, strict=False)]
        start = start * low[len(weights)] % ORDER
    return scaled + [0] * slots.padding


def _doubling_products(challenges: Sequence[int]) -> list[int]:
    """Return Π e_k over the set bits of i, for i = 0..7, where e_1 belongs to the highest bit."""
    products = [1]
    for e in reversed(challenges):
        products += [product * e % ORDER for product in products]
    return products


def refusal() -> ProofEquationError:
    """Return the error for a well-formed proof that is false."""
    return ProofEquationError(
        "the severity proof does not hold for this statement: it was forged, altered, "
        "or made for another context"
    )
