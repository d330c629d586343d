"""One transaction's view of one log: what it leads to is gathered here and written at its end."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from mesh.following import FollowerState
from mesh.outcome import Outcome
from orgnode.store import day_rows, promotion_rows, token_rows
from orgnode.store.records import EventType

_LOG: Final = (
    "SELECT id, certified, EXISTS (SELECT 1 FROM cooldown c WHERE c.log = log.id),"
    " (SELECT id FROM log WHERE name = ?2) FROM log WHERE name = ?1"
)


@dataclass(frozen=True)
class Settings:
    """What the writes of one store have in common.

    `name` is the member whose node this is, `cooldown_days` how many days after a retraction a new
    signal of its log does not hold the withdrawn tokens; 0 for no such pause.
    """

    name: str
    cooldown_days: int = 1


@dataclass
class Context:
    """One log within one transaction, and the feed events, tokens and counts that it leads to.

    `own` is the number of this node's own log, None while it has none. `certified` is how many of
    the log's entries are certified.
    """

    connection: sqlite3.Connection
    log: int
    certified: int
    now: float
    own: int | None
    settings: Settings
    events: list[tuple[object, ...]] = field(default_factory=list)
    tokens: dict[int, Sequence[bytes]] = field(default_factory=dict)
    """Of the signals that begin to count, by entry; indexed together at the end."""
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    """How many more entries, or fewer, have each outcome."""
    days: day_rows.Changes = field(default_factory=dict)
    paused: bool = False
    """Whether the log withdrew tokens that its later signals may not hold yet."""

    @classmethod
    def of(cls, connection: sqlite3.Connection, settings: Settings, now: float, log: str) -> Self:
        """The context of a log, which is made if nothing was stored about it."""
        row = connection.execute(_LOG, (log, settings.name)).fetchone()
        if row is None:
            log_id(connection, log)
            row = connection.execute(_LOG, (log, settings.name)).fetchone()
        number, certified, paused, own = row
        return cls(connection, number, certified, now, own, settings, paused=bool(paused))

    def event(
        self,
        kind: EventType,
        entry: int | None,
        band: int | None = None,
        category: str | None = None,
        detail: str | None = None,
        *,
        log: int | None = None,
        provisional: bool = False,
    ) -> None:
        """Add a feed event, about another log than this one if `log` says so."""
        of = self.log if log is None else log
        self.events.append((kind, self.now, of, entry, band, category, detail, provisional))

    def count_outcome(self, outcome: Outcome, n: int) -> None:
        """Count `n` more entries (or fewer) with an outcome."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + n

    def flush(self) -> None:
        """Write what was gathered so far."""
        if self.tokens:
            token_rows.put(self.connection, self.own, self.log, self.tokens.items())
            promotion_rows.note_arrivals(self.connection, self.tokens)
            self.tokens.clear()
        if self.events:
            self.connection.executemany(
                "INSERT INTO event (type, at, log, entry, band, category, detail, provisional)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                self.events,
            )
            self.events.clear()

    def finish(self) -> int:
        """Write everything; returns the number of the newest event ever."""
        self.flush()
        counts = [(self.log, outcome, n) for outcome, n in self.outcomes.items() if n]
        if counts:
            self.connection.executemany(
                "INSERT INTO outcome_count VALUES (?, ?, ?)"
                " ON CONFLICT (log, outcome) DO UPDATE SET n = n + excluded.n",
                counts,
            )
        day_rows.put(self.connection, self.log, self.days)
        return last_seq(self.connection)


def log_id(connection: sqlite3.Connection, log: str) -> int:
    """Number of a log, which is made if nothing was stored about it."""
    known = known_log(connection, log)
    if known is not None:
        return known
    empty = FollowerState.empty()
    cursor = connection.execute(
        "INSERT INTO log (name, size, frontier) VALUES (?, ?, ?) RETURNING id",
        (log, empty.size, empty.frontier.to_bytes()),
    )
    return int(cursor.fetchone()[0])


def known_log(connection: sqlite3.Connection, log: str) -> int | None:
    """Number of a log; None if nothing is stored about it."""
    row = connection.execute("SELECT id FROM log WHERE name = ?", (log,)).fetchone()
    return None if row is None else int(row[0])


def last_seq(connection: sqlite3.Connection) -> int:
    """Number of the newest event ever."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    return 0 if row is None else int(row[0])
