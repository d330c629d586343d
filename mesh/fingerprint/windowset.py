"""A set of windows that say nothing about an attack: those of the benign corpus, of templates."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from mesh.fingerprint.errors import WindowSetError
from mesh.fingerprint.keys import SelectionKey, exact_input_of, input_of
from mesh.fingerprint.selection import WINDOW
from mesh.normalize import normalize

SHORT: Final = 200
"""Normalized characters under which a text has one exact input and no windows."""

_PREFIX: Final = 8
_MAGIC: Final = b"signal-mesh/v1/window set\n"
_DIGEST: Final = 16


class WindowSet:
    """The windows of some texts, for `in`: eight bytes a window.

    Only a prefix of an input is kept. Two inputs with one prefix (once in 2^64 pairs) make a window
    count as benign that is not; that loses one window of a fingerprint.
    """

    __slots__ = ("_prefixes",)

    def __init__(self, prefixes: array[int] | None = None) -> None:
        self._prefixes: array[int] = array("Q") if prefixes is None else prefixes

    @classmethod
    def of(cls, key: SelectionKey, texts: Iterable[str]) -> WindowSet:
        """The set of all windows of these texts, and of the exact inputs of the short ones.

        Windows are those of one text, never across two.
        """
        found: set[int] = set()
        for text in texts:
            normalized = normalize(text)
            if not normalized:
                continue
            if len(normalized) < SHORT:
                found.add(_prefix(exact_input_of(key, normalized)))
            found.update(
                _prefix(input_of(key, normalized[at : at + WINDOW]))
                for at in range(len(normalized) - WINDOW + 1)
            )
        return cls(array("Q", sorted(found)))

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, bytes):
            return False
        prefix = _prefix(value)
        at = bisect_left(self._prefixes, prefix)
        return at < len(self._prefixes) and self._prefixes[at] == prefix

    def __len__(self) -> int:
        return len(self._prefixes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WindowSet) and self._prefixes == other._prefixes

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"WindowSet({len(self)} windows)"

    def to_bytes(self) -> bytes:
        """The set for a file of one's own: a checksum, then the prefixes, ascending, big-endian."""
        prefixes = self._prefixes
        if sys.byteorder == "little":
            prefixes = array("Q", prefixes)
            prefixes.byteswap()
        data = prefixes.tobytes()
        return _MAGIC + blake2b(data, digest_size=_DIGEST).digest() + data

    @classmethod
    def from_bytes(cls, data: bytes) -> WindowSet:
        """Read a kept set.

        :raises WindowSetError: it is cut, changed, or something else.
        """
        body = data[len(_MAGIC) + _DIGEST :]
        checksum = data[len(_MAGIC) : len(_MAGIC) + _DIGEST]
        if (
            not data.startswith(_MAGIC)
            or len(body) % _PREFIX
            or blake2b(body, digest_size=_DIGEST).digest() != checksum
        ):
            raise WindowSetError(
                "the kept set of windows is damaged; delete it to have it made anew"
            )
        prefixes = array("Q", body)
        if sys.byteorder == "little":
            prefixes.byteswap()
        return cls(prefixes)


def _prefix(value: bytes) -> int:
    return int.from_bytes(value[:_PREFIX], "big")
