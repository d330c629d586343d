"""Pedersen commitments on BLS12-381 G1, and the generators that all proofs share.

A commitment to v with blinding factor r is C = v·G + r·H. It hides v perfectly and binds the
committer as long as nobody knows the logarithm of H to the base G (Pedersen 1991). G is the
standard generator; H and the generators of vector commitments are hashed to the curve (RFC 9380),
so nobody knows any relation:

    H    = hash_to_curve("pedersen H", GENERATOR_DST)
    G_i  = hash_to_curve("bulletproof G " + decimal(i), GENERATOR_DST)      i = 0, 1, …
    H_i  = hash_to_curve("bulletproof H " + decimal(i), GENERATOR_DST)
    U    = hash_to_curve("bulletproof U", GENERATOR_DST)

Randomness is handed in: this package draws none.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

from proofs.errors import ProofsError
from proofs.group import (
    ORDER,
    WIDE_BYTES,
    Backend,
    Point,
    ScalarRangeError,
    prover,
    scalar_from_wide,
)

GENERATOR_DST: Final = b"SIGNAL-MESH-V1-GENERATORS-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"
"""Domain separation tag of every generator."""


class BlindingError(ProofsError):
    """A blinding factor is zero or not a scalar: the commitment would not hide its value."""


@dataclass(frozen=True)
class PedersenGenerators:
    """The two generators of a commitment, as points of one back end."""

    G: Point
    H: Point


@dataclass(frozen=True)
class VectorGenerators:
    """Generators for vector commitments and their inner product, as points of one back end."""

    G: tuple[Point, ...]
    H: tuple[Point, ...]
    U: Point


@cache
def generators(group: Backend) -> PedersenGenerators:
    """Return G and H, computed once per back end."""
    return PedersenGenerators(group.generator(), group.hash_to_curve(b"pedersen H", GENERATOR_DST))


@cache
def vector_generators(group: Backend, length: int) -> VectorGenerators:
    """Return G_i and H_i for i < length, and U, computed once per back end and length."""

    def family(name: str) -> tuple[Point, ...]:
        return tuple(
            group.hash_to_curve(f"bulletproof {name} {i}".encode(), GENERATOR_DST)
            for i in range(length)
        )

    return VectorGenerators(
        family("G"), family("H"), group.hash_to_curve(b"bulletproof U", GENERATOR_DST)
    )


def blinding_from_bytes(entropy: bytes) -> int:
    """Return a blinding factor from 64 fresh random bytes.

    Raises:
        ScalarRangeError: not 64 bytes.
        BlindingError: they reduce to zero, which doesn't happen by chance.
    """
    if len(entropy) != WIDE_BYTES:
        raise ScalarRangeError(f"a blinding factor is drawn from exactly {WIDE_BYTES} bytes")
    blinding = scalar_from_wide(entropy)
    check_blinding(blinding)
    return blinding


def check_blinding(blinding: int) -> None:
    """Refuse a blinding factor outside 1..r−1.

    Raises:
        BlindingError: outside; the value is not shown.
    """
    if not 1 <= blinding < ORDER:
        raise BlindingError("a blinding factor must be a fresh random scalar in 1..r-1")


def commit_point(group: Backend, value: int, blinding: int) -> Point:
    """Return value·G + blinding·H as a point of `group`, in the secret-scalar arithmetic.

    Raises:
        ScalarRangeError: the value or the blinding factor is not in 0..r−1.
    """
    bases = generators(group)
    return group.add(group.mul_secret(bases.G, value), group.mul_secret(bases.H, blinding))


def commit(value: int, blinding: int) -> bytes:
    """Return the 48-byte commitment to a secret value.

    Raises:
        ScalarRangeError: the value is not in 0..r−1.
        BlindingError: the blinding factor is not in 1..r−1.
    """
    check_blinding(blinding)
    group = prover()
    return group.encode(commit_point(group, value, blinding))


def open_commitment(commitment: bytes, value: int, blinding: int) -> bool:
    """Tell whether (value, blinding) opens the commitment; False for anything out of range."""
    try:
        return commit(value, blinding) == commitment
    except (ScalarRangeError, BlindingError):
        return False
