"""What an entry's outcome leads to: a signal, a retraction's effect, erasure, feed events."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from mesh.assessment import Outcome
from orgnode.store.errors import StoreRangeError
from orgnode.store.records import EventType, LogRow, SignalStatus


@dataclass
class Context:
    """One log within one transaction, and the feed events that it leads to."""

    connection: sqlite3.Connection
    log: int
    now: float
    events: list[tuple[object, ...]] = field(default_factory=list)

    def event(
        self,
        kind: EventType,
        entry: int | None,
        band: int | None = None,
        category: str | None = None,
        detail: str | None = None,
    ) -> None:
        """Add a feed event."""
        self.events.append((kind, self.now, self.log, entry, band, category, detail))

    def finish(self) -> int:
        """Write the events; returns the number of the newest one ever."""
        self.connection.executemany(
            "INSERT INTO event (type, at, log, entry, band, category, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            self.events,
        )
        return last_seq(self.connection)


def last_seq(connection: sqlite3.Connection) -> int:
    """Number of the newest event ever."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    return 0 if row is None else int(row[0])


def follow_up(context: Context, entry: int, row: LogRow) -> None:
    """A signal and its event, a retraction's effect and its event, or the event of a refusal."""
    if row.outcome is Outcome.REFUSED:
        context.event("refused", entry, detail=f"{row.error}\n{row.reason}")
    elif row.outcome is Outcome.ACCEPTED and row.signal is not None:
        _put_signal(context, entry, row)
    elif row.outcome is Outcome.ACCEPTED and row.retracts is not None:
        _retract(context, entry, bytes.fromhex(row.retracts), row.retraction_reason)


def _put_signal(context: Context, entry: int, row: LogRow) -> None:
    signal = row.signal
    assert signal is not None
    derived = None if signal.derived_from is None else bytes.fromhex(signal.derived_from)
    context.connection.execute(
        "INSERT INTO signal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry,
            context.log,
            signal.severity.band,
            signal.category,
            SignalStatus.LIVE,
            signal.technique,
            signal.confidence,
            signal.direct,
            derived,
            signal.barrier,
        ),
    )
    withdrawn = context.connection.execute(
        "SELECT 1 FROM retraction WHERE log = ? AND target = ?", (context.log, row.leaf)
    ).fetchone()
    if withdrawn is not None:
        # Its body came only after its retraction: it was never live here, so nobody is told.
        _erase(context.connection, entry, SignalStatus.RETRACTED)
    else:
        context.event("signal", entry, signal.severity.band, signal.category)


def _retract(context: Context, entry: int, target: bytes, reason: str) -> None:
    connection = context.connection
    new = connection.execute(
        "INSERT INTO retraction VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (context.log, target, entry, reason),
    ).rowcount
    if not new:
        return
    signal = connection.execute(
        "SELECT s.entry, s.band, s.category FROM entry e JOIN signal s ON s.entry = e.id"
        " WHERE e.leaf = ? AND e.log = ?",
        (target, context.log),
    ).fetchone()
    if signal is None:
        return  # deferred: `_put_signal` finds the retraction when the body comes
    _erase(connection, signal[0], SignalStatus.RETRACTED)
    context.event("retraction", signal[0], signal[1], signal[2], reason)


def erase_entry(connection: sqlite3.Connection, log: str, index: int) -> bool:
    """`Store.erase_body`."""
    row = connection.execute(
        "SELECT e.id, e.log, e.outcome FROM entry e JOIN log l ON l.id = e.log"
        " WHERE l.name = ? AND e.idx = ?",
        (log, index),
    ).fetchone()
    if row is None:
        raise StoreRangeError(f"{log} has no entry {index}")
    entry, log_id, outcome = row
    # Whatever it would have become, it has no content to be judged by any more.
    connection.execute("UPDATE entry SET retry = 0 WHERE id = ?", (entry,))
    if outcome == Outcome.DEFERRED:
        context = Context(connection, log_id, 0.0)
        connection.execute("UPDATE entry SET outcome = ? WHERE id = ?", (Outcome.LAPSED, entry))
        count_outcome(context, Outcome.DEFERRED, -1)
        count_outcome(context, Outcome.LAPSED, 1)
    return _erase(connection, entry, SignalStatus.ERASED)


def expire(connection: sqlite3.Connection, today: int, limit: int) -> int:
    """Erase up to `limit` bodies whose last day has passed; returns how many."""
    rows = connection.execute(
        "SELECT id FROM entry WHERE body = 'present' AND expires < ? ORDER BY expires LIMIT ?",
        (today, limit),
    ).fetchall()
    for (entry,) in rows:
        _erase(connection, entry, SignalStatus.EXPIRED)
    return len(rows)


def _erase(connection: sqlite3.Connection, entry: int, status: SignalStatus) -> bool:
    """Delete an entry's content. A live signal gets `status`; `retracted` wins over the others."""
    connection.execute("DELETE FROM body WHERE entry = ?", (entry,))
    erased = connection.execute(
        "UPDATE entry SET body = 'erased' WHERE id = ? AND body <> 'erased'", (entry,)
    ).rowcount
    connection.execute(
        "UPDATE signal SET technique = NULL, confidence = NULL, direct = NULL,"
        " derived_from = NULL, barrier = NULL, status = ?1"
        " WHERE entry = ?2 AND (status = 'live' OR ?1 = 'retracted')",
        (status, entry),
    )
    return erased > 0


def count_outcome(context: Context, outcome: Outcome, n: int) -> None:
    """Count `n` more entries (or fewer) with an outcome."""
    context.connection.execute(
        "INSERT INTO outcome_count VALUES (?, ?, ?)"
        " ON CONFLICT (log, outcome) DO UPDATE SET n = n + excluded.n",
        (context.log, outcome, n),
    )
