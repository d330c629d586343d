"""The group ristretto255 (RFC 9496) through libsodium, behind checks that libsodium leaves out.

An `Element` is the canonical encoding of a group element that is not the identity; a `Scalar` is a
canonical little-endian integer below the group's order. Both are 32 bytes. Only the functions here
make them: foreign bytes come in through `decode_element` and `decode_scalar`, and every operation
checks what it returns. libsodium's addition ignores an invalid operand and returns 32 zero bytes,
the encoding of the identity, which would then pass for a point; here that is an error.

Every operation on scalars and every multiplication takes the same time for all values, so scalars
may be secrets. Nothing here makes randomness; callers hand it in.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha512
from typing import Final, NewType

import rbcl

from proofs.errors import ProofsError

Element = NewType("Element", bytes)
"""32 bytes: a valid, canonical element, never the identity."""
Scalar = NewType("Scalar", bytes)
"""32 bytes, little-endian, below the group's order; zero is possible."""

ELEMENT_BYTES: Final = 32
SCALAR_BYTES: Final = 32
UNIFORM_BYTES: Final = 64
"""Uniform bytes that are reduced to one scalar, or mapped to one element."""
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""Order of the group, a prime (RFC 9496, section 4)."""

_IDENTITY: Final = bytes(ELEMENT_BYTES)


class InvalidElementError(ProofsError):
    """Bytes that are not the canonical encoding of a group element."""


class IdentityElementError(InvalidElementError):
    """The identity element, where it would make a proof or an evaluation say nothing."""


class InvalidScalarError(ProofsError):
    """Bytes that are not 32 long, or not below the group's order: a second name for one scalar."""


class ZeroScalarError(InvalidScalarError):
    """Zero where a multiplication or an inversion needs another scalar."""


def decode_element(data: bytes) -> Element:
    """Take in a foreign element.

    :raises InvalidElementError: not a canonical encoding of 32 bytes.
    :raises IdentityElementError: it is the identity.
    """
    if type(data) is not bytes or len(data) != ELEMENT_BYTES:
        raise InvalidElementError(f"a group element is {ELEMENT_BYTES} bytes")
    if data == _IDENTITY:
        raise IdentityElementError("the identity is no acceptable group element")
    if not rbcl.crypto_core_ristretto255_is_valid_point(data):
        raise InvalidElementError("the bytes encode no group element")
    return Element(data)


def decode_scalar(data: bytes) -> Scalar:
    """Take in a foreign scalar; zero passes.

    :raises InvalidScalarError: not 32 bytes, or not below the group's order.
    """
    if type(data) is not bytes or len(data) != SCALAR_BYTES:
        raise InvalidScalarError(f"a scalar is {SCALAR_BYTES} bytes")
    # Adding zero reduces, so only a canonical scalar comes out as it went in.
    if rbcl.crypto_core_ristretto255_scalar_add(data, bytes(SCALAR_BYTES)) != data:
        raise InvalidScalarError("the scalar is not below the group's order")
    return Scalar(data)


def scalar(value: int) -> Scalar:
    """A public integer, reduced. Not for secrets: Python's integers take their size's time."""
    return Scalar((value % ORDER).to_bytes(SCALAR_BYTES, "little"))


def reduce_scalar(uniform: bytes) -> Scalar:
    """64 uniform bytes, little-endian, reduced to a scalar.

    :raises InvalidScalarError: not 64 bytes.
    """
    if len(uniform) != UNIFORM_BYTES:
        raise InvalidScalarError(f"{UNIFORM_BYTES} bytes are reduced to a scalar")
    return Scalar(rbcl.crypto_core_ristretto255_scalar_reduce(uniform))


def nonzero(value: Scalar) -> Scalar:
    """The scalar itself.

    :raises ZeroScalarError: it is zero.
    """
    if value == bytes(SCALAR_BYTES):
        raise ZeroScalarError("the scalar is zero")
    return value


def random_scalars(seed: bytes, label: bytes, count: int) -> list[Scalar]:
    """`count` scalars from one secret seed: SHA-512 of label, place and seed, reduced, never zero.

    :param seed: at least 32 fresh random bytes; the same seed and label give the same scalars.
    :raises InvalidScalarError: the seed is shorter.
    """
    if len(seed) < 32:
        raise InvalidScalarError("scalars come from at least 32 random bytes")
    head = len(label).to_bytes(2, "big") + label
    return [
        nonzero(reduce_scalar(sha512(head + place.to_bytes(4, "big") + seed).digest()))
        for place in range(count)
    ]


def add_scalars(a: Scalar, b: Scalar) -> Scalar:
    """a + b."""
    return Scalar(rbcl.crypto_core_ristretto255_scalar_add(a, b))


def subtract_scalars(a: Scalar, b: Scalar) -> Scalar:
    """a − b."""
    return Scalar(rbcl.crypto_core_ristretto255_scalar_sub(a, b))


def multiply_scalars(a: Scalar, b: Scalar) -> Scalar:
    """a · b."""
    return Scalar(rbcl.crypto_core_ristretto255_scalar_mul(a, b))


def invert_scalar(a: Scalar) -> Scalar:
    """1 / a.

    :raises ZeroScalarError: a is zero.
    """
    return Scalar(rbcl.crypto_core_ristretto255_scalar_invert(nonzero(a)))


def multiply_base(k: Scalar) -> Element:
    """k·G for the group's generator G.

    :raises ZeroScalarError: k is zero.
    """
    return Element(rbcl.crypto_scalarmult_ristretto255_base(nonzero(k)))


def multiply(k: Scalar, element: Element) -> Element:
    """k·P.

    :raises ZeroScalarError: k is zero.
    """
    return Element(rbcl.crypto_scalarmult_ristretto255(nonzero(k), element))


def add(a: Element, b: Element) -> Element:
    """P + Q.

    :raises IdentityElementError: the sum is the identity.
    """
    return _checked(rbcl.crypto_core_ristretto255_add(a, b))


def subtract(a: Element, b: Element) -> Element:
    """P − Q.

    :raises IdentityElementError: the difference is the identity.
    """
    return _checked(rbcl.crypto_core_ristretto255_sub(a, b))


def add_all(elements: Iterable[Element]) -> Element:
    """The sum of one element or more.

    :raises IdentityElementError: the sum, or one on the way to it, is the identity.
    """
    total: Element | None = None
    for element in elements:
        total = element if total is None else add(total, element)
    if total is None:
        raise IdentityElementError("an empty sum is the identity")
    return total


def multiply_sum(scalars: Sequence[Scalar], elements: Sequence[Element]) -> Element:
    """Σ kᵢ·Pᵢ.

    :raises ZeroScalarError: a scalar is zero.
    :raises IdentityElementError: the sum, or one on the way to it, is the identity.
    :raises ValueError: there is not one scalar for each element.
    """
    return add_all(multiply(k, p) for k, p in zip(scalars, elements, strict=True))


def map_to_element(uniform: bytes) -> Element:
    """64 uniform bytes mapped to an element (RFC 9496, section 4.3.4).

    :raises InvalidElementError: not 64 bytes.
    :raises IdentityElementError: they map to the identity.
    """
    if len(uniform) != UNIFORM_BYTES:
        raise InvalidElementError(f"{UNIFORM_BYTES} bytes are mapped to an element")
    return _checked(rbcl.crypto_core_ristretto255_from_hash(uniform))


def _checked(data: bytes) -> Element:
    if data == _IDENTITY:
        raise IdentityElementError("the result is the identity")
    return Element(data)
