"""What is stored of one log, as judging its next entries needs it (see `mesh.history`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from typing import Any, Final

from mesh.days import Day
from mesh.entry import Kind
from mesh.outcome import NOTE_ERRORS
from orgnode.store import day_rows
from orgnode.store.ids import digest

MAX_UNREAD: Final = 1_000
"""Entries of evidence without their bodies that are told at most."""

_OF = "log = (SELECT id FROM log WHERE name = ?)"
_SIGNAL = (
    f"SELECT error, expires FROM entry WHERE leaf = ? AND {_OF}"  # noqa: S608 - a constant
    f" AND idx < ? AND kind = '{Kind.SIGNAL}'"
)
_ENTRY = f"SELECT 1 FROM entry WHERE leaf = ? AND {_OF}"  # noqa: S608
_RETRACTED = f"SELECT 1 FROM retraction WHERE target = ? AND {_OF}"  # noqa: S608
_ACCUSES = (
    "SELECT e.day FROM accusation a JOIN entry e ON e.id = a.entry"
    " WHERE a.accused = ? AND a.log = (SELECT id FROM log WHERE name = ?)"
)
_UNREAD = (
    f"SELECT idx FROM entry WHERE {_OF} AND retry = 1 AND kind = 'evidence'"  # noqa: S608
    " AND idx < ? ORDER BY idx LIMIT ?"
)


class SqliteHistory:
    """A `LogHistory` that asks the database each time."""

    def __init__(self, read: Callable[[Callable[[sqlite3.Connection], Any]], Any], log: str):
        self._read = read
        self._log = log

    def holds_entry(self, entry_id: str) -> bool:
        """See `LogHistory.holds_entry`."""
        return self._any(_ENTRY, digest(entry_id), self._log)

    def signal_expires(self, entry_id: str, before: int) -> Day | None:
        """See `LogHistory.signal_expires`."""
        rows = self._rows(_SIGNAL, digest(entry_id), self._log, before)
        days = (Day(expires) for error, expires in rows if error not in NOTE_ERRORS)
        return next(days, None)

    def is_retracted(self, entry_id: str) -> bool:
        """See `LogHistory.is_retracted`."""
        return self._any(_RETRACTED, digest(entry_id), self._log)

    def accuses(self, accused: str) -> Day | None:
        """See `LogHistory.accuses`."""
        rows = self._rows(_ACCUSES, accused, self._log)
        return Day(rows[0][0]) if rows else None

    def unread_accusations(self, before: int) -> Collection[int]:
        """See `LogHistory.unread_accusations`."""
        return [index for (index,) in self._rows(_UNREAD, self._log, before, MAX_UNREAD)]

    def counted_on(self, day: Day) -> int:
        """See `LogHistory.counted_on`."""
        count: int = self._read(lambda c: day_rows.counted_on(c, self._log, day))
        return count

    def last_day(self) -> Day | None:
        """See `LogHistory.last_day`."""
        day: Day | None = self._read(lambda c: day_rows.last_day(c, self._log))
        return day

    def _any(self, query: str, *values: object) -> bool:
        return bool(self._rows(query, *values))

    def _rows(self, query: str, *values: object) -> list[Any]:
        rows: list[Any] = self._read(lambda c: c.execute(query, values).fetchall())
        return rows
