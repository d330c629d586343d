"""Hints to the proofs of the newest own signals, until peers have been told of them.

A hint (`proofs.severity.hints`) is made with the proof, and goes out with the entry's announcement.
It is not stored: whoever comes later reads the proof without one.
"""

from __future__ import annotations

from typing import Final

MAX_HINTS: Final = 512
"""Hints of so many entries are kept, 672 bytes each."""


class RecentHints:
    """The hints of the newest entries, by entry id."""

    def __init__(self) -> None:
        self._hints: dict[str, bytes] = {}

    def put(self, entry_id: str, hint: bytes) -> None:
        """Keep a hint; the oldest goes when there are too many."""
        if hint:
            self._hints[entry_id] = hint
            if len(self._hints) > MAX_HINTS:
                del self._hints[next(iter(self._hints))]

    def forget(self, entry_id: str) -> None:
        """The entry's body is being erased: what was derived from it goes too."""
        self._hints.pop(entry_id, None)

    def of(self, entry_id: str) -> bytes:
        """An entry's hint; empty if there is none."""
        return self._hints.get(entry_id, b"")
