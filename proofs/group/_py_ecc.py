"""BLS12-381 G1 by py_ecc: pure Python, always there; the reference and the oracle in tests.

About a hundred times slower than the native back ends, and nothing about it is flat-time: a node
that proves with it leaks timing to whoever shares its machine. Decoding is done here rather than by
py_ecc, which checks no subgroup and takes the curve point (0, 2) for a malformed infinity.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from py_ecc.bls.hash_to_curve import hash_to_G1
from py_ecc.fields import optimized_bls12_381_FQ as FQ
from py_ecc.optimized_bls12_381.optimized_curve import (
    Z1,
    add,
    eq,
    is_inf,
    multiply,
    neg,
    normalize,
)

from proofs.group.bucket import bucket_msm
from proofs.group.encoding import (
    COFACTOR,
    GENERATOR,
    INFINITY,
    affine_from_bytes,
    bytes_from_affine,
)
from proofs.group.errors import NotInSubgroupError
from proofs.group.interface import Backend, Point
from proofs.group.scalars import ORDER, check_scalar

_SHA256: Any = sha256  # py_ecc annotates the constructor with the type of its result


class PyEccBackend(Backend):
    """See the module's text."""

    name = "py_ecc"
    flat_time = False

    def decode(self, data: bytes) -> Point:
        point = self.decode_on_curve(data)
        if not is_inf(multiply(point, ORDER)):
            raise NotInSubgroupError("the point is outside the prime-order subgroup")
        return point

    def decode_on_curve(self, data: bytes) -> Point:
        x, y = affine_from_bytes(data)
        return FQ(x), FQ(y), FQ(1)

    def encode(self, p: Point) -> bytes:
        if is_inf(p):
            return INFINITY
        x, y = normalize(p)
        return bytes_from_affine(int(x), int(y))

    def identity(self) -> Point:
        return Z1

    def generator(self) -> Point:
        return self.decode_on_curve(GENERATOR)

    def add(self, p: Point, q: Point) -> Point:
        return add(p, q)

    def neg(self, p: Point) -> Point:
        return neg(p)

    def equal(self, p: Point, q: Point) -> bool:
        return eq(p, q)

    def is_identity(self, p: Point) -> bool:
        return is_inf(p)

    def mul(self, p: Point, k: int) -> Point:
        check_scalar(k)
        return multiply(p, k)

    def mul_secret(self, p: Point, k: int) -> Point:
        check_scalar(k)
        return multiply(p, k)

    def mul_cofactor(self, p: Point) -> Point:
        return multiply(p, COFACTOR)

    def _msm(self, points: Sequence[Point], scalars: Sequence[int]) -> Point:
        return bucket_msm(points, scalars, add=add, neg=neg, identity=Z1)

    def _hash_to_curve(self, msg: bytes, dst: bytes) -> Point:
        return hash_to_G1(msg, dst, _SHA256)
