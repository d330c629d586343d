"""BLS12-381 G1 by pyblst (supranational's blst): flat-time, so the one to use with secrets.

blst's multiplication takes the same time for every scalar. The binding offers neither an MSM nor a
decoder for points outside the subgroup. For such a point `decode_on_curve` keeps its component in
the subgroup: for P = Q + torsion it returns Q, which is all that an equation multiplied by the
cofactor can see.
"""

from collections.abc import Sequence

import pyblst

from proofs.group._py_ecc import PyEccBackend
from proofs.group.bucket import bucket_msm
from proofs.group.encoding import COFACTOR, GENERATOR, check_flags, explain_refusal
from proofs.group.errors import NotInSubgroupError
from proofs.group.interface import Backend, Point
from proofs.group.scalars import ORDER, check_scalar

_P1 = pyblst.BlstP1Element
_COFACTOR_INVERSE = pow(COFACTOR, -1, ORDER)

# From about this many points on, buckets in Python beat one native multiplication per point.
_BUCKETS_FROM = 32


class PyblstBackend(Backend):
    """See the module's text."""

    name = "pyblst"
    flat_time = True

    def __init__(self) -> None:
        self._generator = _P1.uncompress(GENERATOR)
        self._identity = self._generator.scalar_mul(0)

    def decode(self, data: bytes) -> Point:
        check_flags(data)
        try:
            return _P1.uncompress(data)
        except ValueError:
            explain_refusal(data)

    def decode_on_curve(self, data: bytes) -> Point:
        try:
            return self.decode(data)
        except NotInSubgroupError:
            return self._subgroup_component(data)

    def _subgroup_component(self, data: bytes) -> Point:
        reference = PyEccBackend()
        cleared = reference.mul_cofactor(reference.decode_on_curve(data))
        if reference.is_identity(cleared):
            return self._identity
        return _P1.uncompress(reference.encode(cleared)).scalar_mul(_COFACTOR_INVERSE)

    def encode(self, p: Point) -> bytes:
        encoded: bytes = p.compress()
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
        check_scalar(k)
        return p.scalar_mul(k)

    def mul_secret(self, p: Point, k: int) -> Point:
        check_scalar(k)
        return p.scalar_mul(k)

    def mul_cofactor(self, p: Point) -> Point:
        return p.scalar_mul(COFACTOR)

    def _msm(self, points: Sequence[Point], scalars: Sequence[int]) -> Point:
        if len(points) >= _BUCKETS_FROM:
            return bucket_msm(points, scalars, add=self.add, neg=self.neg, identity=self._identity)
        total = self._identity
        for point, scalar in zip(points, scalars, strict=True):
            total = total + self.mul(point, scalar)
        return total

    def _hash_to_curve(self, msg: bytes, dst: bytes) -> Point:
        return _P1.hash_to_group(msg, dst)
