"""The scalar field of BLS12-381: integers mod r, and their one canonical encoding.

Scalars are plain `int` everywhere: the libraries' scalar objects are slower to combine and print
their value in `repr`. An encoded scalar is 32 bytes, big-endian, below r.
"""

from collections.abc import Sequence
from typing import Final

from proofs.group.errors import ScalarRangeError

ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""r, the prime order of G1."""

SCALAR_BYTES: Final = 32
"""Length of an encoded scalar."""

WIDE_BYTES: Final = 64
"""Uniform bytes from which a scalar is reduced with a bias below 2^−256."""


def check_scalar(scalar: int) -> None:
    """Refuse anything outside 0..r−1.

    Raises:
        ScalarRangeError: outside; the value is not shown.
    """
    if not 0 <= scalar < ORDER:
        raise ScalarRangeError("a scalar must be in 0..r-1; reduce it on purpose or refuse it")


def encode_scalar(scalar: int) -> bytes:
    """Return the 32-byte big-endian encoding.

    Raises:
        ScalarRangeError: the scalar is not in 0..r−1.
    """
    check_scalar(scalar)
    return scalar.to_bytes(SCALAR_BYTES, "big")


def decode_scalar(data: bytes) -> int:
    """Return the scalar that 32 big-endian bytes hold.

    Raises:
        ScalarRangeError: not 32 bytes, or not below r (a second encoding of a smaller scalar).
    """
    if len(data) != SCALAR_BYTES:
        raise ScalarRangeError(f"a scalar is {SCALAR_BYTES} bytes")
    scalar = int.from_bytes(data, "big")
    if scalar >= ORDER:
        raise ScalarRangeError("an encoded scalar is not below the group order")
    return scalar


def scalar_from_wide(data: bytes) -> int:
    """Return 64 uniform bytes, big-endian, reduced mod r.

    Raises:
        ScalarRangeError: not 64 bytes.
    """
    if len(data) != WIDE_BYTES:
        raise ScalarRangeError(f"a scalar is reduced from exactly {WIDE_BYTES} bytes")
    return int.from_bytes(data, "big") % ORDER


def invert_all(scalars: Sequence[int]) -> list[int]:
    """Return the inverses of public nonzero scalars, with one inversion (Montgomery's trick).

    Raises:
        ScalarRangeError: one of them is 0 mod r.
    """
    prefix = 1
    prefixes = []
    for scalar in scalars:
        prefixes.append(prefix)
        prefix = prefix * scalar % ORDER
    if prefix == 0:
        raise ScalarRangeError("zero has no inverse")
    suffix = pow(prefix, -1, ORDER)
    inverses = []
    for scalar, before in zip(reversed(scalars), reversed(prefixes), strict=True):
        inverses.append(suffix * before % ORDER)
        suffix = suffix * scalar % ORDER
    inverses.reverse()
    return inverses
