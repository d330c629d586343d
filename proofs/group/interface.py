"""The one interface to BLS12-381 G1 that the rest of the project sees.

A back end's points are opaque: never mix those of two back ends, move them as bytes. Scalars are
plain integers in 0..r−1; anything else is refused, never reduced.

Two decoders, for two uses:

- `decode`: the full check, for statements and keys.
- `decode_on_curve`: only on the curve, three times faster, for points *inside* a proof whose
  equation is multiplied by the cofactor (`mul_cofactor`). A point is then worth its component in
  the subgroup, and any torsion that is added to it vanishes, on every back end alike.

Both refuse infinity in every encoding. Most of what `decode_on_curve` costs is the square root that
gives y; `decode_by_y` is for who was told y, by anybody: it is checked, and saves the root.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

from proofs.group.encoding import G1_COMPRESSED, affine_from_bytes
from proofs.group.errors import DomainTagError, LengthMismatchError

Point: TypeAlias = Any
"""A point of one back end; opaque to everybody else."""


class FixedBases:
    """Points that are multiplied again and again; see `Backend.fixed_bases`."""

    def __init__(self, group: "Backend", points: Sequence[Point]) -> None:
        self._group = group
        self._points = tuple(points)

    def msm(self, indices: Sequence[int], scalars: Sequence[int]) -> Point:
        """Return Σ scalars[k]·points[indices[k]]; public scalars only.

        Raises:
            LengthMismatchError: the lists differ in length.
            ScalarRangeError: a scalar is not in 0..r−1.
        """
        return self._group.msm([self._points[i] for i in indices], scalars)


class Backend(ABC):
    """Arithmetic in BLS12-381 G1 by one library."""

    name: ClassVar[str]
    """`pyblst`, `arkworks` or `py_ecc`."""

    flat_time: ClassVar[bool]
    """Whether `mul_secret` takes the same time for every scalar."""

    @abstractmethod
    def decode(self, data: bytes) -> Point:
        """Return the point of the prime-order subgroup that 48 bytes encode.

        Raises:
            PointEncodingError: not canonical.
            InfinityPointError: the infinity flag is set.
            NotOnCurveError: not on the curve.
            NotInSubgroupError: on the curve, outside the subgroup.
        """

    @abstractmethod
    def decode_on_curve(self, data: bytes) -> Point:
        """Return the curve point of 48 bytes, or one with the same multiple by the cofactor.

        Only for equations that end in `mul_cofactor`; don't encode the result, keep the bytes.

        Raises:
            PointEncodingError: not canonical.
            InfinityPointError: the infinity flag is set.
            NotOnCurveError: not on the curve.
        """

    def decode_by_y(self, data: bytes, y: bytes, *, subgroup: bool) -> Point | None:
        """Return the point that 48 bytes encode if `y` is its y coordinate, 48 bytes, big-endian.

        None if it is not, and always by back ends that save nothing by it: then decode as ever.
        Wherever it returns a point, `decode` (with `subgroup`) or `decode_on_curve` gives the same.
        """
        return None

    def y_coordinate(self, data: bytes) -> bytes:
        """Return the y coordinate of an encoded curve point: 48 bytes, big-endian.

        Raises:
            PointEncodingError, InfinityPointError, NotOnCurveError: as `decode_on_curve`.
        """
        return affine_from_bytes(data)[1].to_bytes(G1_COMPRESSED, "big")

    @abstractmethod
    def encode(self, p: Point) -> bytes:
        """Return the 48 bytes; the identity gives c0 00…, which no decoder accepts."""

    @abstractmethod
    def identity(self) -> Point:
        """Return the neutral element."""

    @abstractmethod
    def generator(self) -> Point:
        """Return the standard generator of G1."""

    @abstractmethod
    def add(self, p: Point, q: Point) -> Point:
        """Return p + q."""

    @abstractmethod
    def neg(self, p: Point) -> Point:
        """Return −p."""

    @abstractmethod
    def equal(self, p: Point, q: Point) -> bool:
        """Tell whether p and q are the same point."""

    @abstractmethod
    def is_identity(self, p: Point) -> bool:
        """Tell whether p is the neutral element."""

    @abstractmethod
    def mul(self, p: Point, k: int) -> Point:
        """Return k·p for a public k; its time may depend on k.

        Raises:
            ScalarRangeError: k is not in 0..r−1.
        """

    @abstractmethod
    def mul_secret(self, p: Point, k: int) -> Point:
        """Return k·p for a secret k; flat-time where `flat_time` says so.

        Raises:
            ScalarRangeError: k is not in 0..r−1.
        """

    @abstractmethod
    def mul_cofactor(self, p: Point) -> Point:
        """Return h_eff·p, as repeated addition and so correct outside the subgroup as well."""

    @abstractmethod
    def _msm(self, points: Sequence[Point], scalars: Sequence[int]) -> Point:
        """Multi-scalar multiplication of lists that are known to be equally long."""

    @abstractmethod
    def _hash_to_curve(self, msg: bytes, dst: bytes) -> Point:
        """Hash to the curve with a tag that is known to be well-formed."""

    def msm(self, points: Sequence[Point], scalars: Sequence[int]) -> Point:
        """Return Σ scalars[k]·points[k] for public scalars; the identity for empty lists.

        Raises:
            LengthMismatchError: the lists differ in length (arkworks would silently truncate).
            ScalarRangeError: a scalar is not in 0..r−1.
        """
        if len(points) != len(scalars):
            raise LengthMismatchError(f"{len(points)} points but {len(scalars)} scalars")
        return self._msm(points, scalars) if points else self.identity()

    def fixed_bases(self, points: Sequence[Point]) -> FixedBases:
        """Prepare points for many multiplications by public scalars."""
        return FixedBases(self, points)

    def clear_cofactor_is_identity(self, p: Point) -> bool:
        """Tell whether h_eff·p is the identity: whether p is, up to torsion."""
        return self.is_identity(self.mul_cofactor(p))

    def hash_to_curve(self, msg: bytes, dst: bytes) -> Point:
        """Return the RFC 9380 hash BLS12381G1_XMD:SHA-256_SSWU_RO_ of `msg` under the tag `dst`.

        Raises:
            DomainTagError: `dst` is not of 1 to 255 bytes.
        """
        if not 1 <= len(dst) <= 255:
            raise DomainTagError(f"a domain separation tag has 1 to 255 bytes, got {len(dst)}")
        return self._hash_to_curve(msg, dst)
