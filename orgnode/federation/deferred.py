"""Asking for bodies that were not handed over, at every mirror, more and more rarely."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

import structlog

from mesh.outcome import AWAITED, UNREAD
from mesh.wire import MISSING, BodyAnswer, Missing
from orgnode.federation.client import PeerClient
from orgnode.federation.errors import PeerError
from orgnode.federation.limits import Rhythm
from orgnode.federation.paths import MAX_BODIES
from orgnode.federation.ports import Clock
from orgnode.store import DeferredRow, Store

log = structlog.get_logger(__name__)

Item = tuple[int, bytes, BodyAnswer]

# Of the oldest ones that wait for the same reason; a log that withholds more than this holds up its
# own later ones.
_LOOKED_AT = 256


class DeferredBodies:
    """Remembers, for one log, how often and when each missing body was asked for.

    An owner may withhold a body, a mirror may have lost it; whoever has it can hand it over, for
    the entry's digest tells the true one. So an attempt asks every source in turn, and does not
    count if none of them answered. The pauses double `Rhythm.body_attempts` times and then stay: a
    body that is never asked for again would keep this node from cosigning that log for good.

    Entries of a kind or version that this node did not know are looked at again once, at first: it
    was started anew, so it may be another version now. Bodies of those that it knows now are
    awaited from then on; those of others are kept nowhere, and nobody is asked for them.
    """

    def __init__(self, store: Store, log: str, rhythm: Rhythm, clock: Clock) -> None:
        self._store = store
        self._log = log
        self._rhythm = rhythm
        self._clock = clock
        # Attempts so far, and when the next one is due.
        self._attempts: dict[int, tuple[int, float]] = {}
        self._unread_seen = False

    async def ask(self, sources: Iterable[PeerClient]) -> AsyncIterator[list[Item]]:
        """Ask for what is due and hand out what came, range by range.

        What is handed out is to be stored before the next range is asked for: the next source is
        asked for what the store still misses then. A source that fails is passed over.
        """
        if not self._unread_seen:
            self._unread_seen = True
            unread: list[Item] = [(row.index, row.note, MISSING) for row in self._rows(UNREAD)]
            if unread:
                yield sorted(unread)
        rows = self._missing()
        now = self._clock()
        self._attempts = {
            row.index: self._attempts[row.index] for row in rows if row.index in self._attempts
        }
        due = {row.index for row in rows if self._attempts.get(row.index, (0, now))[1] <= now}
        answered = False
        for source in sources:
            notes = {row.index: row.note for row in self._missing() if row.index in due}
            if not notes:
                return
            try:
                for start, end in ranges(sorted(notes), MAX_BODIES):
                    answers = await source.bodies(self._log, start, end)
                    if not answered:
                        answered = True
                        self._count(due, now)
                    items: list[Item] = [
                        (index, notes[index], answer)
                        for index, answer in zip(range(start, end), answers, strict=True)
                        if not isinstance(answer, Missing)
                    ]
                    if items:
                        yield items
            except PeerError as error:
                log.info("bodies.failed", peer=source.card.name, error=type(error).__name__)

    def _missing(self) -> list[DeferredRow]:
        return [row for row in self._rows(AWAITED) if isinstance(row.answer, Missing)]

    def _rows(self, errors: Iterable[str]) -> list[DeferredRow]:
        return [
            row
            for error in sorted(errors)
            for row in self._store.deferred(self._log, error, _LOOKED_AT)
        ]

    def _count(self, indexes: Iterable[int], now: float) -> None:
        for index in indexes:
            attempts = self._attempts.get(index, (0, now))[0]
            doublings = min(attempts, self._rhythm.body_attempts)
            due = now + self._rhythm.body_pause * 2.0**doublings
            self._attempts[index] = attempts + 1, due


def ranges(indexes: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Ascending indexes as ranges [start, end) of neighbours, none longer than `most`."""
    found: list[tuple[int, int]] = []
    for index in indexes:
        if found and found[-1][1] == index and index - found[-1][0] < most:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return found
