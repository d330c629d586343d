"""What an entry's outcome leads to: a signal, a retraction's effect, erasure, feed events."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from mesh.assessment import Outcome
from mesh.sighting import SightingBody
from orgnode.store import opinion_rows, promotion_rows, token_rows
from orgnode.store.errors import StoreRangeError
from orgnode.store.records import EventType, LogRow, SignalStatus


@dataclass
class Context:
    """One log within one transaction, and the feed events and tokens that it leads to.

    `own` is the number of this node's own log, None while it has none.
    """

    connection: sqlite3.Connection
    log: int
    now: float
    own: int | None
    events: list[tuple[object, ...]] = field(default_factory=list)
    tokens: dict[int, Sequence[str]] = field(default_factory=dict)
    """Of the signals that became live, by entry; indexed together at the end."""

    def event(
        self,
        kind: EventType,
        entry: int | None,
        band: int | None = None,
        category: str | None = None,
        detail: str | None = None,
        log: int | None = None,
    ) -> None:
        """Add a feed event, about another log than this one if `log` says so."""
        of = self.log if log is None else log
        self.events.append((kind, self.now, of, entry, band, category, detail))

    def finish(self) -> int:
        """Write tokens and events; returns the number of the newest event ever."""
        token_rows.put(self.connection, self.own, self.log, self.tokens.items())
        promotion_rows.note_arrivals(self.connection, self.tokens)
        self.tokens.clear()
        self.connection.executemany(
            "INSERT INTO event (type, at, log, entry, band, category, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            self.events,
        )
        return last_seq(self.connection)


def own_log(connection: sqlite3.Connection, own: str) -> int | None:
    """Number of this node's own log; None if nothing is stored about it yet."""
    row = connection.execute("SELECT id FROM log WHERE name = ?", (own,)).fetchone()
    return None if row is None else int(row[0])


def last_seq(connection: sqlite3.Connection) -> int:
    """Number of the newest event ever."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    return 0 if row is None else int(row[0])


def follow_up(context: Context, entry: int, row: LogRow) -> None:
    """What an entry that is judged leads to: content that counts, its effects, and its event."""
    if row.outcome is Outcome.REFUSED:
        context.event("refused", entry, detail=f"{row.error}\n{row.reason}")
    elif row.outcome is not Outcome.ACCEPTED:
        return
    elif row.signal is not None:
        _put_signal(context, entry, row)
    elif row.retracts is not None:
        _retract(context, entry, bytes.fromhex(row.retracts), row.retraction_reason)
    elif row.sighting is not None:
        _sight(context, entry, row.sighting)
    elif row.promotion is not None:
        promotion_rows.put(
            context.connection, context.own, context.log, entry, context.now, row.promotion
        )
        context.event("promotion", entry, detail=str(len(row.promotion.windows)))


def _put_signal(context: Context, entry: int, row: LogRow) -> None:
    signal = row.signal
    assert signal is not None
    derived = None if signal.derived_from is None else bytes.fromhex(signal.derived_from)
    withdrawn = context.connection.execute(
        "SELECT 1 FROM retraction WHERE log = ? AND target = ?", (context.log, row.leaf)
    ).fetchone()
    context.connection.execute(
        "INSERT INTO signal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry,
            context.log,
            signal.severity.band,
            signal.category,
            SignalStatus.LIVE if withdrawn is None else SignalStatus.RETRACTED,
            signal.technique,
            signal.confidence,
            signal.direct,
            derived,
            signal.barrier,
            context.now,
            row.leaf,
        ),
    )
    if withdrawn is not None:
        # Its body came only after its retraction: it was never live here, so nobody is told.
        _erase(context, entry, SignalStatus.RETRACTED)
        return
    context.tokens[entry] = signal.tokens
    context.event("signal", entry, signal.severity.band, signal.category)
    for log, verdict in context.connection.execute(
        "SELECT log, verdict FROM sighting WHERE target = ? AND log <> ? ORDER BY entry",
        (row.leaf, context.log),
    ).fetchall():
        context.event("sighting", entry, signal.severity.band, signal.category, verdict, log)


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
    _erase(context, signal[0], SignalStatus.RETRACTED)
    context.event("retraction", signal[0], signal[1], signal[2], reason)


def _sight(context: Context, entry: int, sighting: SightingBody) -> None:
    """Store a member's word; it is news only about a live signal, and never about its own."""
    if not opinion_rows.put_sighting(context.connection, context.log, entry, sighting):
        return
    signal = context.connection.execute(
        "SELECT s.entry, s.band, s.category FROM entry e JOIN signal s ON s.entry = e.id"
        " WHERE e.leaf = ? AND e.log <> ? AND s.status = 'live'",
        (bytes.fromhex(sighting.target), context.log),
    ).fetchone()
    if signal is not None:
        # Otherwise not here (yet): `_put_signal` finds the sighting when the signal comes.
        context.event("sighting", signal[0], signal[1], signal[2], str(sighting.verdict))


def erase_entry(connection: sqlite3.Connection, own: str, log: str, index: int) -> bool:
    """`Store.erase_body`."""
    row = connection.execute(
        "SELECT e.id, e.log, e.outcome FROM entry e JOIN log l ON l.id = e.log"
        " WHERE l.name = ? AND e.idx = ?",
        (log, index),
    ).fetchone()
    if row is None:
        raise StoreRangeError(f"{log} has no entry {index}")
    entry, log_id, outcome = row
    context = Context(connection, log_id, 0.0, own_log(connection, own))
    # Whatever it would have become, it has no content to be judged by any more.
    connection.execute("UPDATE entry SET retry = 0 WHERE id = ?", (entry,))
    if outcome == Outcome.DEFERRED:
        connection.execute("UPDATE entry SET outcome = ? WHERE id = ?", (Outcome.LAPSED, entry))
        count_outcome(context, Outcome.DEFERRED, -1)
        count_outcome(context, Outcome.LAPSED, 1)
    return _erase(context, entry, SignalStatus.ERASED)


def expire(connection: sqlite3.Connection, own: str, today: int, limit: int) -> int:
    """Erase up to `limit` bodies whose last day has passed; returns how many."""
    rows = connection.execute(
        "SELECT id, log FROM entry WHERE body = 'present' AND expires < ? ORDER BY expires LIMIT ?",
        (today, limit),
    ).fetchall()
    own_id = own_log(connection, own)
    for entry, log in rows:
        _erase(Context(connection, log, 0.0, own_id), entry, SignalStatus.EXPIRED)
    return len(rows)


def _erase(context: Context, entry: int, status: SignalStatus) -> bool:
    """Delete an entry's content, and all that counts because of it.

    A live signal gets `status`; `retracted` wins over the others.
    """
    connection = context.connection
    signal = connection.execute(
        "SELECT b.body FROM signal s JOIN body b ON b.entry = s.entry"
        " WHERE s.entry = ? AND s.status = 'live'",
        (entry,),
    ).fetchone()
    if context.tokens.pop(entry, None) is None and signal is not None:
        token_rows.drop(connection, context.own, context.log, entry, signal[0])
    opinion_rows.drop_sighting(connection, entry)
    promotion_rows.drop(connection, entry)
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
