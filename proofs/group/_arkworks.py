"""BLS12-381 G1 by py_arkworks_bls12381 (arkworks): the fastest MSM, so the one that verifies.

Its multiplications take a time that depends on the scalar (1 µs for 3, over 100 µs for a dense
one), so `mul_secret` is *not* flat-time here: don't prove with it where an attacker can measure.
Its scalar objects print their value and reduce silently; they never leave this module.
"""

from collections.abc import Sequence

from py_arkworks_bls12381 import G1Point, Scalar

from proofs.group.encoding import (
    COFACTOR,
    G1_COMPRESSED,
    GENERATOR,
    HALF_MODULUS,
    check_flags,
    explain_refusal,
)
from proofs.group.errors import LengthMismatchError, ScalarRangeError
from proofs.group.interface import Backend, FixedBases, Point
from proofs.group.scalars import SCALAR_BYTES, check_scalar

_COFACTOR_BITS = bin(COFACTOR)[3:]  # below the leading one
_SIGN = 0x20  # in an encoded point's first byte, of which the lowest bits are x's highest
_X_BITS = 0x1F
_ZERO = bytes(G1_COMPRESSED)
_SLICES = 5
_SLICE_BITS = 51  # 5 · 51 = 255, the length of a scalar
_SLICE_MASK = (1 << _SLICE_BITS) - 1


def _scalar(k: int) -> Scalar:
    """Convert by bytes: it refuses k ≥ r, and is faster than `Scalar(k)`, which reduces."""
    try:
        return Scalar.from_le_bytes(k.to_bytes(SCALAR_BYTES, "little"))
    except (ValueError, OverflowError):
        # `from None`: the original's text might show the value.
        raise ScalarRangeError("a scalar must be in 0..r-1") from None


class _SlicedBases(FixedBases):
    """Each base with its multiples by 2^51, 2^102, …: five times the points, shorter scalars.

    arkworks chooses poor windows for a few dozen full-length scalars; this saves a quarter of the
    time.
    """

    def __init__(self, group: Backend, points: Sequence[Point]) -> None:
        super().__init__(group, points)
        shift = _scalar(1 << _SLICE_BITS)
        self._slices: list[list[G1Point]] = []
        for point in points:
            slices = [point]
            for _ in range(_SLICES - 1):
                slices.append(slices[-1] * shift)
            self._slices.append(slices)

    def msm(self, indices: Sequence[int], scalars: Sequence[int]) -> Point:
        if len(indices) != len(scalars):
            raise LengthMismatchError(f"{len(indices)} points but {len(scalars)} scalars")
        points: list[G1Point] = []
        digits: list[Scalar] = []
        for index, scalar in zip(indices, scalars, strict=True):
            check_scalar(scalar)
            points += self._slices[index]
            for k in range(_SLICES):
                digits.append(_scalar(scalar >> (k * _SLICE_BITS) & _SLICE_MASK))
        return G1Point.multiexp_unchecked(points, digits)


class ArkworksBackend(Backend):
    """See the module's text."""

    name = "arkworks"
    flat_time = False

    def __init__(self) -> None:
        self._generator = G1Point.from_compressed_bytes(GENERATOR)
        self._identity = G1Point.identity()

    def decode(self, data: bytes) -> Point:
        if len(data) != G1_COMPRESSED or data[0] >> 6 != 0b10:  # the hot path of a batch
            check_flags(data)
        try:
            return G1Point.from_compressed_bytes(data)
        except ValueError:
            explain_refusal(data)

    def decode_on_curve(self, data: bytes) -> Point:
        if len(data) != G1_COMPRESSED or data[0] >> 6 != 0b10:  # the hot path of a batch
            check_flags(data)
        try:
            return G1Point.from_compressed_bytes_unchecked(data)
        except ValueError:
            explain_refusal(data)

    def decode_by_y(self, data: bytes, y: bytes, *, subgroup: bool) -> Point | None:
        # A curve point's y is one of two, p − y the other, and the sign bit says which. No curve
        # point has y = 0, but the library reads (0, 0) as infinity.
        if (
            len(data) != G1_COMPRESSED
            or len(y) != G1_COMPRESSED
            or data[0] >> 6 != 0b10
            or (data[0] & _SIGN != 0) != (y > HALF_MODULUS)
            or y == _ZERO
        ):
            return None
        xy = bytes((data[0] & _X_BITS,)) + data[1:] + y
        try:  # Either refuses what is not on the curve, and a coordinate that is not below p.
            if subgroup:
                return G1Point.from_xy_bytes_be(xy)
            return G1Point.from_xy_bytes_unchecked_be(xy)
        except ValueError:
            return None

    def y_coordinate(self, data: bytes) -> bytes:
        y: bytes = self.decode_on_curve(data).to_xy_bytes_be()[G1_COMPRESSED:]
        return y

    def encode(self, p: Point) -> bytes:
        encoded: bytes = p.to_compressed_bytes()
        return encoded

    def identity(self) -> Point:
        return self._identity

    def generator(self) -> Point:
        return self._generator

    def add(self, p: Point, q: Point) -> Point:
        return p + q

    def neg(self, p: Point) -> Point:
        return -p

    def equal(self, p: Point, q: Point) -> bool:
        return bool(p == q)

    def is_identity(self, p: Point) -> bool:
        return bool(p == self._identity)

    def mul(self, p: Point, k: int) -> Point:
        return p * _scalar(k)

    def mul_secret(self, p: Point, k: int) -> Point:
        return p * _scalar(k)

    def mul_cofactor(self, p: Point) -> Point:
        # By addition: the library's multiplication may use the endomorphism, which is a
        # multiplication in the subgroup only.
        total = p
        for bit in _COFACTOR_BITS:
            total = total + total
            if bit == "1":
                total = total + p
        return total

    def fixed_bases(self, points: Sequence[Point]) -> FixedBases:
        return _SlicedBases(self, points)

    def _msm(self, points: Sequence[Point], scalars: Sequence[int]) -> Point:
        # The equal lengths that this call doesn't check were checked by Backend.msm.
        try:
            converted = [Scalar.from_le_bytes(k.to_bytes(SCALAR_BYTES, "little")) for k in scalars]
        except (ValueError, OverflowError):
            raise ScalarRangeError("a scalar must be in 0..r-1") from None
        return G1Point.multiexp_unchecked(list(points), converted)

    def _hash_to_curve(self, msg: bytes, dst: bytes) -> Point:
        return G1Point.hash_to_curve(msg, dst)
