"""Which windows stand for a text: winnowing in a keyed order, without overlaps.

Winnowing: Schleimer, Wilkerson, Aiken, "Winnowing: Local Algorithms for Document Fingerprinting",
2003. Every 32 consecutive windows have a candidate, so a shared stretch of 55 characters has a
shared candidate, wherever it is.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Final

from mesh.fingerprint.keys import ORDER_BYTES, SelectionKey

WINDOW: Final = 24
"""Length of a window in normalized characters."""

RUN: Final = 32
"""Consecutive windows of which the smallest is a candidate."""

MOST: Final = 32
"""Windows taken of a text, or of a chunk of a query, at most."""

FURTHER: Final = 128
"""Windows beside the candidates that are looked at while there is room, at most."""

_NEIGHBOURS: Final = b"\1" * (2 * WINDOW - 1)


def order_hashes(key: SelectionKey, normalized: str) -> list[bytes]:
    """The order hash of each window, by its place in the text."""
    subkey, places = key.order, range(len(normalized) - WINDOW + 1)
    # A call of a hash is the cost of a check: one slice of bytes each, no function of our own.
    if normalized.isascii():
        data = normalized.encode("ascii")
        return [
            blake2b(data[at : at + WINDOW], key=subkey, digest_size=ORDER_BYTES).digest()
            for at in places
        ]
    return [
        blake2b(normalized[at : at + WINDOW].encode(), key=subkey, digest_size=ORDER_BYTES).digest()
        for at in places
    ]


def candidates(hashes: Sequence[bytes]) -> list[int]:
    """The places of the smallest hash, the leftmost of equal ones, of every 32 consecutive hashes.

    Ascending; of fewer than 32 hashes, the smallest of all.
    """
    if not hashes:
        return []
    best = min(hashes[:RUN])
    at = hashes.index(best)
    found = [at]
    for end in range(RUN, len(hashes)):
        value = hashes[end]
        if value < best:
            best, at = value, end
            found.append(at)
        elif at <= end - RUN:
            start = end - RUN + 1
            best = min(hashes[start : end + 1])
            at = hashes.index(best, start)
            found.append(at)
    return found


class Taking:
    """The windows that are taken of one text or chunk, in the order in which they are.

    :param hashes: the order hash of each window of the text.
    :param span: the places of the windows that may be taken: a chunk's, or all.
    :param input_at: the input of the window at a place, or None for a window that is left out.
    """

    def __init__(
        self, hashes: Sequence[bytes], span: range, input_at: Callable[[int], bytes | None]
    ) -> None:
        self._hashes = hashes
        self._span = span
        self._input_at = input_at
        # Room at both ends, so that the neighbours of each place are inside.
        self._covered = bytearray(len(span) + 2 * WINDOW)
        self._taken: dict[bytes, None] = {}

    def apart(self, places: Iterable[int]) -> None:
        """Take of these, smallest order hash first, those that overlap no taken window."""
        start = self._span.start - WINDOW
        for place in self.ordered(places):
            if self.full:
                return
            at = place - start
            if not self._covered[at] and self._add(place):
                self._covered[at - WINDOW + 1 : at + WINDOW] = _NEIGHBOURS

    def any(self, places: Iterable[int]) -> None:
        """Take of these, smallest order hash first, whether or not they overlap."""
        for place in self.ordered(places):
            if self.full:
                return
            self._add(place)

    def ordered(self, places: Iterable[int]) -> list[int]:
        """These places by order hash, the leftmost of equal ones first."""
        return sorted(places, key=self._hashes.__getitem__)  # sorting is stable

    @property
    def full(self) -> bool:
        """Whether as many windows are taken as may be."""
        return len(self._taken) == MOST

    @property
    def inputs(self) -> tuple[bytes, ...]:
        """The inputs of the windows that were taken, all different, at most 32."""
        return tuple(self._taken)

    def _add(self, place: int) -> bool:
        value = self._input_at(place)
        if value is None or value in self._taken:
            return False
        self._taken[value] = None
        return True
