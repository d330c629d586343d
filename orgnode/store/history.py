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
    f"SELECT error FROM entry WHERE leaf = ? AND {_OF}"  # noqa: S608 - a constant
    f" AND idx < ? AND kind = '{Kind.SIGNAL}'"
)
_ENTRY = f"SELECT 1 FROM entry WHERE leaf = ? AND {_OF}"  # noqa: S608
_RETRACTED = f"SELECT 1 FROM retraction WHERE target = ? AND {_OF}"  # noqa: S608
_ACCUSES = f"SELECT 1 FROM accusation WHERE accused = ? AND {_OF}"  # noqa: S608
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

    def holds_signal(self, entry_id: str, before: int) -> bool:
        """See `LogHistory.holds_signal`."""
        errors = self._rows(_SIGNAL, digest(entry_id), self._log, before)
        return any(error not in NOTE_ERRORS for (error,) in errors)

    def is_retracted(self, entry_id: str) -> bool:
        """See `LogHistory.is_retracted`."""
        return self._any(_RETRACTED, digest(entry_id), self._log)

    def accuses(self, accused: str) -> bool:
        """See `LogHistory.accuses`."""
        return self._any(_ACCUSES, accused, self._log)

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
