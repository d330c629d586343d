"""The selection key, and the keyed hashes of a window."""

from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import Final

from mesh.fingerprint.errors import SelectionKeyError

KEY_BYTES: Final = 32
"""Length of the mesh's selection key in bytes."""

INPUT_BYTES: Final = 32
"""Length of an input, the keyed hash of a window, in bytes."""

ORDER_BYTES: Final = 8
"""Length of an order hash in bytes."""

_ORDER_LABEL: Final = b"signal-mesh/v1/fingerprint/order key"
_INPUT_LABEL: Final = b"signal-mesh/v1/fingerprint/input key"
_WINDOW: Final = b"window\n"
_EXACT: Final = b"exact\n"


@dataclass(frozen=True)
class SelectionKey:
    """The key that the members share: it decides which windows stand for a text.

    :param key: 32 bytes; the founders make it together (`mesh.keygen`).
    :raises SelectionKeyError: another length.
    """

    key: bytes = field(repr=False)
    order: bytes = field(init=False, repr=False, compare=False)
    """The subkey of the order hash: which windows are chosen."""
    window: bytes = field(init=False, repr=False, compare=False)
    """The subkey of the inputs: what the chosen windows become."""

    def __post_init__(self) -> None:
        if not isinstance(self.key, bytes) or len(self.key) != KEY_BYTES:
            raise SelectionKeyError(
                f"the selection key is {KEY_BYTES} bytes; copy it from the founding, whole"
            )
        object.__setattr__(self, "order", _subkey(self.key, _ORDER_LABEL))
        object.__setattr__(self, "window", _subkey(self.key, _INPUT_LABEL))

    @property
    def digest(self) -> str:
        """What the constraints say of the key: its SHA-256, hex."""
        return sha256(self.key).hexdigest()


def order_hash(key: SelectionKey, window: str) -> bytes:
    """The place of a window in the mesh's secret order: 8 bytes, compared as bytes."""
    return blake2b(window.encode(), key=key.order, digest_size=ORDER_BYTES).digest()


def input_of(key: SelectionKey, window: str) -> bytes:
    """What the committee evaluates, blinded, for a window: 32 bytes.

    :param window: 24 normalized characters.
    """
    return blake2b(_WINDOW + window.encode(), key=key.window, digest_size=INPUT_BYTES).digest()


def exact_input_of(key: SelectionKey, normalized: str) -> bytes:
    """What the committee evaluates, blinded, for a whole short text: 32 bytes.

    :param normalized: the normalized text, under 200 characters.
    """
    return blake2b(_EXACT + normalized.encode(), key=key.window, digest_size=INPUT_BYTES).digest()


def _subkey(key: bytes, label: bytes) -> bytes:
    return blake2b(label, key=key, digest_size=KEY_BYTES).digest()
