"""The verifier's two equations for any number of proofs, as one multi-scalar multiplication.

The formulas are in the package's text (`proofs.severity`); the names here are those there. Per
proof with the weights ρ (for the inner-product equation) and σ (for the polynomial's), it adds to
one sum

    ρ·(A + x·S + Σ e_k·L_k + e_k⁻¹·R_k − μ·H + w·(t̂ − ⟨a,b⟩)·U
       − Σ_i (z + s_i·a_{i mod 3})·G_i + Σ_i (z + Y^i·(ω_i − s_i⁻¹·b_{i mod 3}))·H_i)
  + σ·x⁻¹·(x·T_1 + x²·T_2 + Σ_{j≤4} (z^(1+j) + z⁶·w_j)·C_j − (t̂ − δ + z⁶·T)·G − τ_x·H)

The sum, multiplied by the cofactor, must be the identity. σ is divided by the public x so that T_1,
like A, gets a 128-bit coefficient in a batch. Scalars stay unreduced until the sums are complete.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from operator import add, mul, sub
from typing import Self

from proofs.group import ORDER, Backend, Point, invert_all
from proofs.group.errors import PointError
from proofs.pedersen import generators, vector_generators
from proofs.severity.challenges import Challenges, replay
from proofs.severity.errors import ProofEquationError
from proofs.severity.statement import BITS, Statement
from proofs.severity.weights import layout
from proofs.severity.wire import POINT_NAMES, Wire, parse


@dataclass(frozen=True)
class Checked:
    """A proof whose parts have been decoded, with its challenges; only the equation is left."""

    statement: Statement
    wire: Wire
    challenges: Challenges
    points: tuple[Point, ...]

    @classmethod
    def decode(cls, group: Backend, statement: Statement, proof: bytes) -> Self:
        """Decode everything: commitments with the subgroup check, proof points on the curve.

        Raises:
            ProofLengthError, ScalarRangeError: see `wire.parse`.
            PointError: a commitment or a proof point is refused; the text names it.
        """
        wire = parse(proof)
        points = []
        try:
            for data in wire.points:
                points.append(group.decode_on_curve(data))
        except PointError as error:
            name = POINT_NAMES[len(points)]
            raise type(error)(f"proof point {name}: {error}") from error
        try:
            for data in statement.commitments:
                points.append(group.decode(data))
        except PointError as error:
            name = str(len(points) - len(POINT_NAMES) + 1)
            raise type(error)(f"commitment {name}: {error}") from error
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
        rubric = statement.rubric
        z = [1, c.z]
        for _ in range(6):
            z.append(z[-1] * c.z % ORDER)
        Y_powers = list(accumulate(repeat(c.Y, BITS - 1), _mul_mod, initial=1))

        # The inner-product equation.
        slots = layout(rubric, statement.threshold)
        scaled = [rho * z[2 + j] % ORDER for j in range(5)]
        scaled.append(0)  # the padding counts for no value
        omega = map(mul, map(scaled.__getitem__, slots.values), slots.weights)
        rho_a = [rho * a % ORDER for a in wire.a]
        rho_b = [rho * b % ORDER for b in wire.b]
        s_a = [s * a for s in _doubling_products(c.e) for a in rho_a]
        s_b = [s * b for s in _doubling_products(inverse.e) for b in rho_b]
        self.G_vector = list(map(add, self.G_vector, s_a))
        self.H_vector = list(map(add, self.H_vector, map(mul, Y_powers, map(sub, omega, s_b))))
        self.every_vector += rho * c.z
        self.U += rho * (c.w * (wire.t_hat - sum(map(mul, wire.a, wire.b))) % ORDER)

        # The polynomial's equation. Σ y^i = y^(N−1)·Σ Y^i.
        sum_y = pow(inverse.y, BITS - 1, ORDER) * sum(Y_powers)
        delta = (z[1] - z[2]) * sum_y - sum(map(mul, z[3:], slots.maxima))
        sigma_x = sigma * inverse.x % ORDER
        self.G -= sigma_x * ((wire.t_hat - delta + z[6] * statement.threshold) % ORDER)
        self.H -= rho * wire.mu + sigma_x * wire.tau_x

        own = [rho, rho * c.x, sigma, sigma * c.x]
        for e, e_inverse in zip(c.e, inverse.e, strict=True):
            own += (rho * e, rho * e_inverse)
        own += (sigma_x * (z[2 + i] + z[6] * weight) for i, weight in enumerate(rubric.weights))
        return own


def _mul_mod(left: int, right: int) -> int:
    return left * right % ORDER


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
