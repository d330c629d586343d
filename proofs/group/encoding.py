"""The compressed encoding of G1 points, checked the same way for every back end.

A point is 48 bytes, big-endian: bit 383 set (compressed), bit 382 clear (not infinity), bit 381 the
sign of y (set if y > (p−1)/2), then x < p (the ZCash format, as in
draft-irtf-cfrg-pairing-friendly-curves §C). The libraries disagree at the edges: arkworks takes `e0
00…` and `c0 01…` for infinity, py_ecc refuses the curve point (0, 2), pyblst can't take a point
outside the subgroup. What counts here is what this module says.
"""

from typing import Final, Never

from proofs.group.errors import (
    InfinityPointError,
    NotInSubgroupError,
    NotOnCurveError,
    PointEncodingError,
)

G1_COMPRESSED: Final = 48
"""Length of an encoded point."""

FIELD_MODULUS: Final = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab",
    16,
)
"""p, the modulus of the base field; p = 3 mod 4."""

HALF_MODULUS: Final = (FIELD_MODULUS // 2).to_bytes(G1_COMPRESSED, "big")
"""(p − 1)/2 as bytes: a larger y has the sign bit."""

CURVE_B: Final = 4
"""The curve is y² = x³ + 4."""

COFACTOR: Final = 0xD201000000010001
"""h_eff of RFC 9380 §8.8.1: multiplication by it takes every curve point into the subgroup."""

INFINITY: Final = b"\xc0" + bytes(G1_COMPRESSED - 1)
"""The canonical encoding of the identity. Encoders write it; decoders refuse it."""

GENERATOR: Final = bytes.fromhex(
    "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
)
"""The standard generator of G1."""

_SIGN_BIT = 1 << 381


def check_flags(data: bytes) -> None:
    """Refuse what can't be a compressed finite point by its length and first two bits.

    Raises:
        PointEncodingError: the length or the compression flag is wrong.
        InfinityPointError: the infinity flag is set, whatever follows it.
    """
    if len(data) != G1_COMPRESSED:
        raise PointEncodingError(f"a point is {G1_COMPRESSED} bytes, got {len(data)}")
    if data[0] & 0x80 == 0:
        raise PointEncodingError("a point must be in compressed form")
    if data[0] & 0x40:
        raise InfinityPointError("the point at infinity is never acceptable")


def affine_from_bytes(data: bytes) -> tuple[int, int]:
    """Return (x, y) of the curve point that `data` encodes, in the subgroup or not.

    Raises:
        PointEncodingError, InfinityPointError: see `check_flags`; also x ≥ p.
        NotOnCurveError: x³ + 4 is not a square.
    """
    check_flags(data)
    number = int.from_bytes(data, "big")
    x = number & (_SIGN_BIT - 1)
    if x >= FIELD_MODULUS:
        raise PointEncodingError("the x coordinate is not below the field modulus")
    square = (x * x * x + CURVE_B) % FIELD_MODULUS
    y = pow(square, (FIELD_MODULUS + 1) // 4, FIELD_MODULUS)
    if y * y % FIELD_MODULUS != square:
        raise NotOnCurveError("no point of the curve has this x coordinate")
    # y = 0 can't happen: −4 is not a cube mod p, so that the curve has no point of order 2.
    if (2 * y > FIELD_MODULUS) != bool(number & _SIGN_BIT):
        y = FIELD_MODULUS - y
    return x, y


def bytes_from_affine(x: int, y: int) -> bytes:
    """Return the compressed encoding of the finite point (x, y)."""
    sign = _SIGN_BIT if 2 * y > FIELD_MODULUS else 0
    return (1 << 383 | sign | x).to_bytes(G1_COMPRESSED, "big")


def explain_refusal(data: bytes) -> Never:
    """Raise the error that says why a native library refused `data` under its full check.

    Raises:
        PointEncodingError, InfinityPointError, NotOnCurveError: as `affine_from_bytes`.
        NotInSubgroupError: nothing else is wrong with it.
    """
    affine_from_bytes(data)
    raise NotInSubgroupError("the point is outside the prime-order subgroup")
