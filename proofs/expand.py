"""Hashing to uniform bytes, scalars and elements of ristretto255, as RFC 9497 and RFC 9380 have it.

`expand_message_xmd` (RFC 9380, section 5.3.1) with SHA-512; HashToGroup and HashToScalar of the
suite ristretto255-SHA512 (RFC 9497, section 4.1) take 64 bytes from it.
"""

from hashlib import sha512
from typing import Final

from proofs.errors import ProofsError
from proofs.ristretto import UNIFORM_BYTES, Element, Scalar, map_to_element, reduce_scalar

MAX_LENGTH: Final = 0xFFFF
"""Longest field whose length two bytes can say."""

_BLOCK: Final = bytes(128)
_MAX_DST: Final = 255


class ExpansionTagError(ProofsError):
    """A domain separation tag is empty: hashes for different purposes would be alike."""


class FieldLengthError(ProofsError):
    """A field is longer than the two bytes of its length can say."""


def sized(data: bytes) -> bytes:
    """I2OSP(len(data), 2) ‖ data.

    :raises FieldLengthError: more than 65,535 bytes.
    """
    if len(data) > MAX_LENGTH:
        raise FieldLengthError(f"a hashed field has at most {MAX_LENGTH} bytes")
    return len(data).to_bytes(2, "big") + data


def expand_message(message: bytes, tag: bytes) -> bytes:
    """64 uniform bytes: expand_message_xmd with SHA-512 and len_in_bytes = 64.

    One block of output is enough for all that is hashed here, so only b_1 is computed.

    :param tag: the domain separation tag; over 255 bytes it is hashed first (section 5.3.3).
    :raises ExpansionTagError: the tag is empty.
    """
    if not tag:
        raise ExpansionTagError("a domain separation tag is not empty")
    if len(tag) > _MAX_DST:
        tag = sha512(b"H2C-OVERSIZE-DST-" + tag).digest()
    suffix = tag + len(tag).to_bytes(1, "big")
    length = UNIFORM_BYTES.to_bytes(2, "big")
    first = sha512(_BLOCK + message + length + b"\x00" + suffix).digest()
    return sha512(first + b"\x01" + suffix).digest()


def hash_to_scalar(message: bytes, tag: bytes) -> Scalar:
    """HashToScalar with this domain separation tag; zero is possible, as in the RFC."""
    return reduce_scalar(expand_message(message, tag))


def hash_to_element(message: bytes, tag: bytes) -> Element:
    """HashToGroup with this domain separation tag.

    :raises IdentityElementError: the message hashes to the identity; nobody can find such a one.
    """
    return map_to_element(expand_message(message, tag))
