"""Receipts: members' signed word that they did what an own retraction asks for."""

from __future__ import annotations

import sqlite3

from orgnode.store.ids import digest
from orgnode.store.records import ReceiptRecord

_DUE = (
    "SELECT e.leaf FROM log l CROSS JOIN retraction r ON r.log = l.id"
    " CROSS JOIN entry e ON e.id = r.entry"
    " WHERE l.name = ?1 AND e.body = 'present'"
    " AND NOT EXISTS (SELECT 1 FROM receipt x WHERE x.retraction = e.leaf AND x.member = ?2)"
    " ORDER BY r.entry LIMIT ?3"
)
_DONE = (
    "SELECT r.target, EXISTS (SELECT 1 FROM entry t"
    " WHERE t.leaf = r.target AND t.log = r.log AND t.body = 'present')"
    " FROM entry e JOIN retraction r ON r.entry = e.id"
    " WHERE e.leaf = ? AND e.log = (SELECT id FROM log WHERE name = ?)"
)


def put(
    connection: sqlite3.Connection, now: float, retraction: str, member: str, note: bytes
) -> None:
    """`Store.put_receipt`."""
    connection.execute(
        "INSERT INTO receipt VALUES (?, ?, ?, ?) ON CONFLICT (retraction, member) DO UPDATE"
        " SET note = excluded.note, at = excluded.at",
        (digest(retraction), member, note, now),
    )


def receipts(connection: sqlite3.Connection, own: str, entry_id: str) -> list[ReceiptRecord]:
    """`Store.receipts`."""
    leaf = digest(entry_id)
    rows = connection.execute(
        "SELECT member, note, at FROM receipt WHERE retraction = ?1 OR retraction ="
        " (SELECT e.leaf FROM retraction r JOIN entry e ON e.id = r.entry"
        " WHERE r.target = ?1 AND r.log = (SELECT id FROM log WHERE name = ?2))"
        " ORDER BY member",
        (leaf, own),
    ).fetchall()
    return [ReceiptRecord(*row) for row in rows]


def unreceipted(connection: sqlite3.Connection, own: str, member: str, limit: int) -> list[str]:
    """`Store.unreceipted`."""
    rows = connection.execute(_DUE, (own, member, limit)).fetchall()
    return [leaf.hex() for (leaf,) in rows]


def done(connection: sqlite3.Connection, log: str, retraction: str) -> tuple[str, bool] | None:
    """`Store.retraction_done`. A body that never came is as good as erased: nobody waits for it."""
    row = connection.execute(_DONE, (digest(retraction), log)).fetchone()
    return None if row is None else (row[0].hex(), not row[1])
