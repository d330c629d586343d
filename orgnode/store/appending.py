"""The writes behind a segment: entries and all that follows from them, within one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from mesh.following import FollowerState
from mesh.outcome import Outcome
from mesh.wire import Erased, Present
from orgnode.store import day_rows, vault_rows
from orgnode.store.context import Context, Settings
from orgnode.store.effects import follow_up, suspend
from orgnode.store.errors import SecondRootError, StoreConflictError
from orgnode.store.records import LogRow, SealedIncident
from orgnode.store.tree import complete_nodes
from proofs.checkpoint import parse_checkpoint_text
from proofs.note import parse_note

_STALE = "read the log's state again; another task has written to it"


def commit_segment(
    connection: sqlite3.Connection,
    settings: Settings,
    now: float,
    log: str,
    expected_size: int,
    rows: Sequence[LogRow],
    state: FollowerState,
    vaulted: Iterable[SealedIncident],
) -> int:
    """`Store.commit_segment`."""
    context = Context.of(connection, settings, now, log)
    size = _size(context)
    if size != expected_size:
        raise StoreConflictError(f"{log} has {size} entries, not {expected_size}", hint=_STALE)
    if [row.index for row in rows] != list(range(size, size + len(rows))):
        raise StoreConflictError("the rows do not follow on from the stored ones", hint=_STALE)
    if state.size != size + len(rows):
        raise StoreConflictError("the state does not stand at the end of the rows", hint=_STALE)
    _insert(context, rows)
    complete_nodes(connection, context.log, size, state.size)
    _set_state(context, log, state)
    for incident in vaulted:
        vault_rows.put(connection, incident)
    return context.finish()


def save_state(
    connection: sqlite3.Connection, settings: Settings, now: float, log: str, state: FollowerState
) -> int:
    """`Store.save_state`."""
    context = Context.of(connection, settings, now, log)
    size = _size(context)
    if state.size != size:
        raise StoreConflictError(f"{log} has {size} entries, not {state.size}", hint=_STALE)
    _set_state(context, log, state)
    return context.finish()


def resolve_deferred(
    connection: sqlite3.Connection, settings: Settings, now: float, log: str, rows: Iterable[LogRow]
) -> int:
    """`Store.resolve_deferred`."""
    context = Context.of(connection, settings, now, log)
    decided = 0
    for row in rows:
        known = connection.execute(
            "SELECT id, leaf, retry, outcome, error, body, kind, day FROM entry"
            " WHERE log = ? AND idx = ?",
            (context.log, row.index),
        ).fetchone()
        if known is None or known[1] != row.leaf:
            raise StoreConflictError(f"{log} holds another entry at {row.index}", hint=_STALE)
        entry, _, retry, outcome, error, body, kind, day = known
        if not retry:
            continue
        if row.retryable and (row.outcome, row.error, _body(row)) == (outcome, error, body):
            continue
        decided += not row.retryable
        context.count_outcome(Outcome(outcome), -1)
        day_rows.note(context.days, kind, day, error, -1)
        _update(context, entry, row)
        follow_up(context, entry, row)
    context.finish()
    return decided


def _size(context: Context) -> int:
    query = "SELECT size FROM log WHERE id = ?"
    return int(context.connection.execute(query, (context.log,)).fetchone()[0])


def _body(row: LogRow) -> str:
    """What is kept of a row's body.

    Content that was refused is nobody's signal and is not kept; neither is that of a lapsed entry.
    A deferred one keeps what there is: it may wait for another entry's body.
    """
    if isinstance(row.answer, Erased) or row.outcome is Outcome.LAPSED:
        return "erased"
    if isinstance(row.answer, Present) and row.outcome is not Outcome.REFUSED:
        return "present"
    return "missing"


def _insert(context: Context, rows: Sequence[LogRow]) -> None:
    connection = context.connection
    first = int(connection.execute("SELECT ifnull(max(id), 0) + 1 FROM entry").fetchone()[0])
    connection.executemany(
        "INSERT INTO entry (id, log, idx, leaf, kind, day, expires, outcome, error, reason, retry,"
        " body, received, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                entry,
                context.log,
                row.index,
                row.leaf,
                row.kind,
                row.day,
                row.expires,
                row.outcome,
                row.error,
                row.reason,
                row.retryable,
                _body(row),
                context.now,
                row.note,
            )
            for entry, row in enumerate(rows, first)
        ),
    )
    for entry, row in enumerate(rows, first):
        _count(context, row)
        _put_body(connection, entry, row)
        follow_up(context, entry, row)


def _count(context: Context, row: LogRow) -> None:
    context.count_outcome(row.outcome, 1)
    day_rows.note(context.days, row.kind, row.day, row.error)


def _update(context: Context, entry: int, row: LogRow) -> None:
    context.connection.execute(
        "UPDATE entry SET kind = ?, day = ?, expires = ?, outcome = ?, error = ?, reason = ?,"
        " retry = ?, body = ? WHERE id = ?",
        (
            row.kind,
            row.day,
            row.expires,
            row.outcome,
            row.error,
            row.reason,
            row.retryable,
            _body(row),
            entry,
        ),
    )
    context.connection.execute("DELETE FROM body WHERE entry = ?", (entry,))
    _put_body(context.connection, entry, row)
    _count(context, row)


def _put_body(connection: sqlite3.Connection, entry: int, row: LogRow) -> None:
    if isinstance(row.answer, Present) and _body(row) == "present":
        connection.execute(
            "INSERT INTO body VALUES (?, ?, ?)", (entry, row.answer.salt, row.answer.body)
        )


def _set_state(context: Context, log: str, state: FollowerState) -> None:
    connection = context.connection
    checkpoint, target = connection.execute(
        "SELECT checkpoint, target FROM log WHERE id = ?", (context.log,)
    ).fetchone()
    for note, known in ((state.checkpoint, checkpoint), (state.target, target)):
        if note is not None and note != known:
            _put_checkpoint(context, log, note)
    connection.execute(
        # Evidence stays, whatever an older state that is written later may say.
        "UPDATE log SET size = ?, frontier = ?, checkpoint = ?, target = ? WHERE id = ?",
        (
            state.size,
            state.frontier.to_bytes(),
            state.checkpoint,
            state.target,
            context.log,
        ),
    )
    if state.evidence is not None:
        suspend(context, context.log, state.evidence)


def _put_checkpoint(context: Context, log: str, note: bytes) -> None:
    # The signature was verified by whoever made the state; here only size and root are needed.
    checkpoint = parse_checkpoint_text(parse_note(note).text)
    try:
        context.connection.execute(
            "INSERT INTO checkpoint VALUES (?, ?, ?, ?) ON CONFLICT (log, size)"
            " DO UPDATE SET root = excluded.root, note = excluded.note",
            (context.log, checkpoint.size, checkpoint.root, note),
        )
    except sqlite3.IntegrityError as error:
        known = context.connection.execute(
            "SELECT note FROM checkpoint WHERE log = ? AND size = ?",
            (context.log, checkpoint.size),
        ).fetchone()
        if known is None:
            raise
        raise SecondRootError(log, checkpoint.size, known[0], note) from error
