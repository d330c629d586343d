"""Log lines that a peer can cause as often as it likes: one a minute of each kind, with a count."""

from __future__ import annotations

import asyncio

PAUSE = 60.0
"""Seconds between two lines of a kind."""
# Kinds come from peers' names and from the names of errors in this code, so there are not many.
_KINDS = 4_096


class Repeats:
    """Counts what would be logged, by whom and what it is about."""

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        self._kinds: dict[tuple[str, ...], tuple[float, int]] = {}

    def count(self, *kind: str) -> int:
        """Count one more; how many since the last line if one is due, else 0."""
        now = asyncio.get_running_loop().time()
        next_at, more = self._kinds.get(kind, (now, 0))
        if now < next_at:
            self._kinds[kind] = next_at, more + 1
            return 0
        if len(self._kinds) >= _KINDS:
            self._kinds.clear()
        self._kinds[kind] = now + self._pause, 0
        return more + 1
