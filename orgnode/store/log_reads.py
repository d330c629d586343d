"""Reads of logs, their entries and the state of following them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from mesh.days import Day
from mesh.evidence import Evidence
from mesh.following import FollowerState
from mesh.outcome import Outcome
from mesh.wire import ERASED, MISSING, BodyAnswer, Present
from orgnode.store.errors import StoreDamagedError, StoreRangeError
from orgnode.store.records import CheckpointRecord, Counts, DeferredRow, EntryRecord
from orgnode.store.tree import read_nodes
from proofs.merkle import Frontier, NodeAddress

_RECORD = (
    "SELECT l.name, e.idx, e.leaf, e.kind, e.day, e.expires, e.outcome, e.error, e.reason,"
    " e.received FROM entry e JOIN log l ON l.id = e.log"
)


def logs(connection: sqlite3.Connection) -> list[str]:
    """`Store.logs`."""
    return [row[0] for row in connection.execute("SELECT name FROM log ORDER BY name").fetchall()]


def state(connection: sqlite3.Connection, log: str) -> FollowerState:
    """`Store.state`."""
    row = connection.execute(
        "SELECT size, frontier, checkpoint, target, evidence FROM log WHERE name = ?", (log,)
    ).fetchone()
    if row is None:
        return FollowerState.empty()
    size, frontier, checkpoint, target, evidence = row
    try:
        return FollowerState(
            size=size,
            frontier=Frontier.from_bytes(size, frontier),
            checkpoint=checkpoint,
            target=target,
            evidence=None if evidence is None else Evidence.from_json(evidence),
        )
    except ValueError as error:
        raise StoreDamagedError(
            f"the stored state of {log} cannot be read: {error}",
            hint="put a backup back with `orgnode restore`",
        ) from error


def entries(connection: sqlite3.Connection, log: str, start: int, end: int) -> list[bytes]:
    """`Store.entries`."""
    return [row[0] for row in _slice(connection, log, start, end, "e.note")]


def leaves(connection: sqlite3.Connection, log: str, start: int, end: int) -> list[bytes]:
    """`Store.leaves`."""
    return [row[0] for row in _slice(connection, log, start, end, "e.leaf")]


def bodies(connection: sqlite3.Connection, log: str, start: int, end: int) -> list[BodyAnswer]:
    """`Store.bodies`."""
    rows = _slice(connection, log, start, end, "e.body, b.salt, b.body")
    return [_answer(*row) for row in rows]


def nodes(
    connection: sqlite3.Connection, log: str, addresses: Sequence[NodeAddress]
) -> list[bytes]:
    """`Store.nodes`."""
    row = connection.execute("SELECT id FROM log WHERE name = ?", (log,)).fetchone()
    return read_nodes(connection, -1 if row is None else row[0], addresses)


def checkpoint(connection: sqlite3.Connection, log: str) -> bytes | None:
    """`Store.checkpoint`."""
    row = connection.execute("SELECT checkpoint FROM log WHERE name = ?", (log,)).fetchone()
    note: bytes | None = None if row is None else row[0]
    return note


def checkpoints(connection: sqlite3.Connection, log: str, limit: int) -> list[CheckpointRecord]:
    """`Store.checkpoints`."""
    rows = connection.execute(
        "SELECT c.size, c.root, c.note FROM checkpoint c JOIN log l ON l.id = c.log"
        " WHERE l.name = ? ORDER BY c.size DESC LIMIT ?",
        (log, limit),
    ).fetchall()
    return [CheckpointRecord(log, *row) for row in rows]


def records(connection: sqlite3.Connection, log: str, start: int, end: int) -> list[EntryRecord]:
    """`Store.records`."""
    rows = connection.execute(
        f"{_RECORD} WHERE l.name = ? AND e.idx >= ? AND e.idx < ? ORDER BY e.idx",
        (log, start, end),
    ).fetchall()
    return [_record(*row) for row in rows]


def deferred(
    connection: sqlite3.Connection, log: str, error: str | None, limit: int
) -> list[DeferredRow]:
    """`Store.deferred`."""
    rows = connection.execute(
        "SELECT e.idx, e.leaf, e.note, e.body, b.salt, b.body, e.error"
        " FROM entry e LEFT JOIN body b ON b.entry = e.id"
        " WHERE e.log = (SELECT id FROM log WHERE name = ?1) AND e.retry = 1"
        " AND (?2 IS NULL OR e.error = ?2) ORDER BY e.idx LIMIT ?3",
        (log, error, limit),
    ).fetchall()
    return [
        DeferredRow(index, leaf.hex(), note, _answer(kept, salt, body), why)
        for index, leaf, note, kept, salt, body, why in rows
    ]


def refusals(connection: sqlite3.Connection, log: str | None, limit: int) -> list[EntryRecord]:
    """`Store.refusals`."""
    of, values = "", list[object]()
    if log is not None:
        of, values = " AND e.log = (SELECT id FROM log WHERE name = ?)", [log]
    rows = connection.execute(
        f"{_RECORD} WHERE e.outcome = 'refused'{of} ORDER BY e.id DESC LIMIT ?",
        (*values, limit),
    ).fetchall()
    return [_record(*row) for row in rows]


def counts(connection: sqlite3.Connection) -> Counts:
    """`Store.counts`."""
    rows = connection.execute(
        "SELECT l.name, c.outcome, c.n FROM log l LEFT JOIN outcome_count c ON c.log = l.id"
        " ORDER BY l.name"
    ).fetchall()
    result: Counts = {}
    for log, outcome, n in rows:
        per_log = result.setdefault(log, dict.fromkeys(Outcome, 0))
        if outcome is not None:
            per_log[Outcome(outcome)] = n
    return result


def _slice(
    connection: sqlite3.Connection, log: str, start: int, end: int, columns: str
) -> list[Any]:
    join = "LEFT JOIN body b ON b.entry = e.id" if "b." in columns else ""
    rows = connection.execute(
        f"SELECT {columns} FROM entry e {join}"  # noqa: S608 - columns are constants of this module
        " WHERE e.log = (SELECT id FROM log WHERE name = ?) AND e.idx >= ? AND e.idx < ?"
        " ORDER BY e.idx",
        (log, start, end),
    ).fetchall()
    if start < 0 or end < start or len(rows) != end - start:
        raise StoreRangeError(f"{log} does not hold all of the entries from {start} to {end}")
    return rows


def _answer(kept: str, salt: bytes | None, body: bytes | None) -> BodyAnswer:
    if salt is not None and body is not None:
        return Present(salt, body)
    return ERASED if kept == "erased" else MISSING


def _record(
    log: str,
    index: int,
    leaf: bytes,
    kind: str | None,
    day: int | None,
    expires: int | None,
    outcome: str,
    error: str,
    reason: str,
    received: float,
) -> EntryRecord:
    return EntryRecord(
        log=log,
        index=index,
        entry_id=leaf.hex(),
        kind=kind,
        day=None if day is None else Day(day),
        expires=None if expires is None else Day(expires),
        outcome=Outcome(outcome),
        error=error,
        reason=reason,
        received=received,
    )
