"""Taking content away: what counted because of it counts no more.

Every way to lose content ends in `erase`: retraction, expiry, and erasure for another reason.
"""

from __future__ import annotations

import sqlite3

from mesh.outcome import ErasedBodyError, Outcome
from orgnode.store import cooldown_rows, opinion_rows, promotion_rows, token_rows
from orgnode.store.context import Context, Settings
from orgnode.store.errors import StoreRangeError
from orgnode.store.records import SignalStatus


def erase_entry(
    connection: sqlite3.Connection, settings: Settings, now: float, log: str, index: int
) -> bool:
    """`Store.erase_body`."""
    row = connection.execute(
        "SELECT e.id, e.outcome, e.retry FROM entry e JOIN log l ON l.id = e.log"
        " WHERE l.name = ? AND e.idx = ?",
        (log, index),
    ).fetchone()
    if row is None:
        raise StoreRangeError(f"{log} has no entry {index}")
    entry, outcome, retry = row
    context = Context.of(connection, settings, now, log)
    erased = erase(context, entry, SignalStatus.ERASED)
    if retry:
        # Whatever it would have become, it has no content to be judged by any more.
        lapse(context, entry, Outcome(outcome), "its body was erased here")
    context.finish()
    return erased


def expire(
    connection: sqlite3.Connection, settings: Settings, now: float, today: int, limit: int
) -> int:
    """Erase up to `limit` bodies whose last day has passed; returns how many."""
    rows = connection.execute(
        "SELECT e.id, l.name FROM entry e JOIN log l ON l.id = e.log"
        " WHERE e.body = 'present' AND e.expires < ? ORDER BY e.expires LIMIT ?",
        (today, limit),
    ).fetchall()
    contexts: dict[str, Context] = {}
    for entry, log in rows:
        if log not in contexts:
            contexts[log] = Context.of(connection, settings, now, log)
        erase(contexts[log], entry, SignalStatus.EXPIRED)
    if len(rows) < limit:
        cooldown_rows.end_rests(connection, settings, now, today)
        cooldown_rows.forget(connection, today)
    return len(rows)


def erase(context: Context, entry: int, status: SignalStatus) -> bool:
    """Delete an entry's content, and all that counts because of it.

    A live signal gets `status`; `retracted` wins over the others.
    """
    connection = context.connection
    if context.tokens.pop(entry, None) is None:
        token_rows.drop(connection, context.own, context.log, entry)
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


def lapse(context: Context, entry: int, before: Outcome, reason: str) -> None:
    """Wait no more for an entry's body: it is a true entry without content from now on."""
    context.connection.execute(
        "UPDATE entry SET outcome = ?, error = ?, reason = ?, retry = 0, body = 'erased'"
        " WHERE id = ?",
        (Outcome.LAPSED, ErasedBodyError.__name__, reason, entry),
    )
    context.count_outcome(before, -1)
    context.count_outcome(Outcome.LAPSED, 1)
