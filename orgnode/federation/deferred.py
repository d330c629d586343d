"""Asking again for bodies that a peer did not hand over, a bounded number of times."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from mesh.errors import BodyDigestError, MissingBodyError
from mesh.wire import BodyAnswer, Missing
from orgnode.federation.client import PeerClient
from orgnode.federation.limits import Rhythm
from orgnode.federation.paths import MAX_BODIES
from orgnode.federation.ports import Clock
from orgnode.store import Store

Item = tuple[int, bytes, BodyAnswer]

# What asking the peer again can lift; other deferred entries wait for an upgrade of this node.
_ASKABLE = (MissingBodyError.__name__, BodyDigestError.__name__)
# Of the oldest ones; a log that withholds more than this holds up its own later ones.
_LOOKED_AT = 1_024


class DeferredBodies:
    """Remembers, for one log, how often and when each missing body was asked for."""

    def __init__(self, store: Store, client: PeerClient, rhythm: Rhythm, clock: Clock) -> None:
        self._store = store
        self._client = client
        self._rhythm = rhythm
        self._clock = clock
        # Attempts so far, and when the next one is due (Unix seconds).
        self._attempts: dict[int, tuple[int, float]] = {}

    async def ask(self, log: str) -> AsyncIterator[list[Item]]:
        """Ask for what is due and hand out what came, range by range. Raises PeerError."""
        rows = [row for error in _ASKABLE for row in self._store.deferred(log, error, _LOOKED_AT)]
        self._attempts = {
            row.index: self._attempts[row.index] for row in rows if row.index in self._attempts
        }
        now = self._clock()
        notes = {row.index: row.note for row in rows if self._is_due(row.index, now)}
        for start, end in ranges(sorted(notes), MAX_BODIES):
            for index in range(start, end):
                self._count(index, now)
            answers = await self._client.bodies(start, end)
            items: list[Item] = [
                (index, notes[index], answer)
                for index, answer in zip(range(start, end), answers, strict=True)
                if not isinstance(answer, Missing)
            ]
            if items:
                yield items

    def _is_due(self, index: int, now: float) -> bool:
        attempts, at = self._attempts.get(index, (0, now))
        return attempts < self._rhythm.body_attempts and at <= now

    def _count(self, index: int, now: float) -> None:
        attempts = self._attempts.get(index, (0, now))[0]
        self._attempts[index] = attempts + 1, now + self._rhythm.body_pause * 2.0**attempts


def ranges(indexes: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Ascending indexes as ranges [start, end) of neighbours, none longer than `most`."""
    found: list[tuple[int, int]] = []
    for index in indexes:
        if found and found[-1][1] == index and index - found[-1][0] < most:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return found
