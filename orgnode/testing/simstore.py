"""The store of a simulated node: the real one, asked for each thing once between two writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from orgnode.store import SqliteStore, StoreClosedError
from orgnode.store.errors import from_sqlite
from orgnode.testing.simdisk import SimWriter

T = TypeVar("T")

NOWHERE: Final = Path("in-memory.db")
"""What stands for the path of a database that has none."""

_KEPT: Final = (
    "bodies",
    "certificate",
    "certified_size",
    "checkpoint",
    "deferred",
    "entries",
    "first_missing",
    "holds_entry",
    "leaves",
    "meta",
    "retraction_done",
    "root_at",
    "seen",
    "signal",
    "state",
    "unreceipted",
    "vector",
    "witnessed",
)
"""Reads whose answers follow from the rows and the arguments alone."""
_KEPT_OF_LISTS: Final = ("nodes", "sources")
"""Such reads that are asked with lists."""
_UNKNOWN: Final = object()


class SimStore(SqliteStore):
    """Reads on the connection that writes: in one thread nothing is ever in the middle of a write.

    What was read is kept until any row changes. SQLite counts changed rows itself, so that nothing
    can be changed past this.
    """

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        assert isinstance(self._writer, SimWriter)
        self.disk_writer = self._writer
        self.connection = self._writer.connection
        self.answers: dict[tuple[object, ...], Any] = {}
        """By what was asked for, while there have been so many changes:"""
        self.changes = -1

    def _read(self, run: Callable[[sqlite3.Connection], T]) -> T:
        if self.disk_writer.closed:
            raise StoreClosedError("the store is closed")
        try:
            return run(self.connection)
        except sqlite3.Error as error:
            raise from_sqlite(error) from error


def _keeping(name: str, read: Callable[..., Any]) -> Callable[..., Any]:
    def kept(self: SimStore, *args: object) -> Any:
        if self.disk_writer.closed:
            raise StoreClosedError("the store is closed")
        changes = self.connection.total_changes
        if changes != self.changes:
            self.changes = changes
            self.answers.clear()
        key = (name, *args)
        answer = self.answers.get(key, _UNKNOWN)
        if answer is _UNKNOWN:
            answer = self.answers[key] = read(self, *args)
        return answer.copy() if type(answer) is list else answer

    return kept


def _keeping_of_lists(name: str, read: Callable[..., Any]) -> Callable[..., Any]:
    keeping = _keeping(name, read)

    def kept(self: SimStore, *args: object) -> Any:
        return keeping(self, *[tuple(arg) if isinstance(arg, list) else arg for arg in args])

    return kept


for _name in _KEPT:
    setattr(SimStore, _name, _keeping(_name, getattr(SqliteStore, _name)))
for _name in _KEPT_OF_LISTS:
    setattr(SimStore, _name, _keeping_of_lists(_name, getattr(SqliteStore, _name)))
