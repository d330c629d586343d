"""The interim fingerprint: one keyed hash of the whole normalized text.

Equal tokens mean equal normalized texts. The key is shared by the members and handed over out of
band, so an outsider can't test guesses; a member can. (The threshold OPRF over text windows takes
this one's place; the form of a token, 32 bytes in hex, stays.)
"""

import hmac
from hashlib import sha256
from typing import Final

from mesh.errors import MeshError
from mesh.normalize import normalize

KEY_BYTES: Final = 32
"""Length of the shared fingerprint key in bytes."""

_LABEL = b"signal-mesh/v1/exact token\n"


class FingerprintError(MeshError):
    """A fingerprint can't be made."""


class EmptyTextError(FingerprintError):
    """A text holds no letter and no digit: it would match every other such text."""


class FingerprintKeyError(FingerprintError):
    """The shared fingerprint key is not 32 bytes."""


def exact_token(key: bytes, text: str) -> str:
    """The token of a text: HMAC-SHA-256 of its normalized form, hex.

    :param key: the mesh's shared fingerprint key, 32 bytes.
    :raises EmptyTextError: nothing is left of the text when it is normalized.
    :raises FingerprintKeyError: the key is not 32 bytes.
    """
    _check_key(key)
    normalized = normalize(text)
    if not normalized:
        raise EmptyTextError("the text holds no letter and no digit; there is nothing to match")
    return hmac.digest(key, _LABEL + normalized.encode(), sha256).hex()


def key_digest(key: bytes) -> str:
    """What the constraints say of the shared key: its SHA-256, hex.

    :raises FingerprintKeyError: the key is not 32 bytes.
    """
    _check_key(key)
    return sha256(key).hexdigest()


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise FingerprintKeyError(
            f"the fingerprint key is {KEY_BYTES} bytes; copy the file that the founders share"
        )
