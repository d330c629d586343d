"""Tokens: what is published of a text window, made from its value under the mesh's shared key.

    window → input (32 bytes) → F(k, input), 64 bytes → x, reduced mod ℓ → token = x·G, hex

Only who was answered by enough of the committee knows x. The scalar is secret as the window is: it
lets its holder publish signals with this token as its own (`proofs.holder`).
"""

from proofs.holder import token_of
from proofs.ristretto import Scalar, nonzero, reduce_scalar


def token_scalar(output: bytes) -> Scalar:
    """The scalar x of a function value.

    The 64 uniform bytes are used for nothing else, so they are reduced as they are.

    :param output: what `proofs.oprf.finalize` returned.
    :raises InvalidScalarError: not 64 bytes.
    :raises ZeroScalarError: it reduces to zero; nobody can find such an output.
    """
    return nonzero(reduce_scalar(output))


def token_hex(scalar: Scalar) -> str:
    """The token x·G, 32 bytes in hex, as it stands in a signal.

    :raises ZeroScalarError: the scalar is zero.
    """
    return token_of(scalar).hex()


def token_of_output(output: bytes) -> str:
    """The token of a function value, hex.

    :raises InvalidScalarError: not 64 bytes, or it reduces to zero.
    """
    return token_hex(token_scalar(output))
