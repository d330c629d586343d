"""The committee's meter, and proofs of its members' misconduct."""

from __future__ import annotations

import sqlite3
from hashlib import sha256

from orgnode.store.context import log_id
from orgnode.store.records_matching import Misconduct

MAX_KEPT = 16
"""Proofs kept of one member and kind: one convicts, and wrong answers cost nothing to make."""

_MISCONDUCT = "its signed answer to a signed request is wrong; both are kept as proof"


def charge(connection: sqlite3.Connection, day: int, asker: str, elements: int) -> None:
    """`Store.charge_saved`."""
    connection.execute(
        "INSERT INTO charge VALUES (?, ?, ?) ON CONFLICT (day, asker) DO UPDATE"
        " SET elements = excluded.elements WHERE excluded.elements > elements",
        (day, asker, elements),
    )


def charges(connection: sqlite3.Connection, day: int) -> dict[str, int]:
    """`Store.charges`."""
    rows = connection.execute(
        "SELECT asker, elements FROM charge WHERE day = ? ORDER BY asker", (day,)
    )
    return dict(rows.fetchall())


def trim_charges(connection: sqlite3.Connection, before: int) -> int:
    """`Store.trim_charges`."""
    return connection.execute("DELETE FROM charge WHERE day < ?", (before,)).rowcount


def keep_misconduct(connection: sqlite3.Connection, now: float, proof: Misconduct) -> bool:
    """`Store.keep_misconduct`."""
    (kept,) = connection.execute(
        "SELECT count(*) FROM misconduct WHERE member = ? AND kind = ?", (proof.member, proof.kind)
    ).fetchone()
    if kept >= MAX_KEPT:
        return False
    new = connection.execute(
        "INSERT INTO misconduct (digest, member, kind, request, answer, at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING",
        (_digest(proof), proof.member, proof.kind, proof.request, proof.answer, proof.at),
    ).rowcount
    if new:
        connection.execute(
            "INSERT INTO event (type, at, log, detail, provisional)"
            " VALUES ('misconduct', ?, ?, ?, 0)",
            (now, log_id(connection, proof.member), f"{proof.kind}\n{_MISCONDUCT}"),
        )
    return new > 0


def misconduct(connection: sqlite3.Connection, limit: int) -> list[Misconduct]:
    """`Store.misconduct`."""
    rows = connection.execute(
        "SELECT member, kind, request, answer, at FROM misconduct ORDER BY id DESC LIMIT ?",
        (limit,),
    ).fetchall()
    return [Misconduct(*row) for row in rows]


def _digest(proof: Misconduct) -> bytes:
    parts = (proof.member.encode(), proof.kind.encode(), proof.request, proof.answer)
    return sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()
