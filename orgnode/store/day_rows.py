"""How many entries a log has of each day: what its quota and the order of its days are told by.

Only entries that stand are counted, those whose note is in order (see `mesh.history`), and none of
kinds that no day binds.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from mesh.days import Day
from mesh.entry import Kind
from mesh.outcome import NOTE_ERRORS
from mesh.quota import bound_by_days, counts_for_quota

Changes = dict[int, tuple[int, int]]
"""For each day, how many more entries (or fewer) stand, and how many of them use up its quota."""

_COUNTED: Final = {str(kind): counts_for_quota(kind) for kind in Kind if bound_by_days(kind)}


def stands(kind: str | None, error: str) -> bool:
    """Whether an entry stands: its envelope was read, and nothing is wrong with its note."""
    return kind is not None and error not in NOTE_ERRORS


def note(changes: Changes, kind: str | None, day: int | None, error: str, n: int = 1) -> None:
    """Count an entry, or with `n` -1 no more."""
    if kind not in _COUNTED or day is None or not stands(kind, error):
        return
    entries, counted = changes.get(day, (0, 0))
    changes[day] = entries + n, counted + n * _COUNTED[kind]


def put(connection: sqlite3.Connection, log: int, changes: Changes) -> None:
    """Write down what changed."""
    for day, (entries, counted) in changes.items():
        connection.execute("INSERT OR IGNORE INTO log_day VALUES (?, ?, 0, 0)", (log, day))
        connection.execute(
            "UPDATE log_day SET entries = entries + ?, counted = counted + ?"
            " WHERE log = ? AND day = ?",
            (entries, counted, log, day),
        )


def counted_on(connection: sqlite3.Connection, log: str, day: Day) -> int:
    """`LogHistory.counted_on`."""
    row = connection.execute(
        "SELECT counted FROM log_day WHERE log = (SELECT id FROM log WHERE name = ?) AND day = ?",
        (log, day),
    ).fetchone()
    return 0 if row is None else int(row[0])


def last_day(connection: sqlite3.Connection, log: str) -> Day | None:
    """`LogHistory.last_day`."""
    row = connection.execute(
        "SELECT day FROM log_day WHERE log = (SELECT id FROM log WHERE name = ?) AND entries > 0"
        " ORDER BY day DESC LIMIT 1",
        (log,),
    ).fetchone()
    return None if row is None else Day(row[0])
