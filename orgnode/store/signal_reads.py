"""Reads of signals and of the feed."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from mesh.days import Day
from orgnode.store.context import last_seq
from orgnode.store.ids import digest
from orgnode.store.records import (
    FeedEvent,
    FeedFilter,
    SignalFilter,
    SignalRecord,
    SignalStatus,
)

_SIGNAL = (
    "i.name, s.entry, e.leaf, e.idx, e.day, e.expires, e.received, s.band, s.category, s.technique,"
    " s.confidence, s.direct, s.derived_from, s.barrier, s.status, e.idx < i.certified,"
    " i.evidence IS NOT NULL, b.body"
)
_OF_SIGNALS = (
    " FROM signal s JOIN entry e ON e.id = s.entry JOIN log i ON i.id = s.log"
    " LEFT JOIN body b ON b.entry = s.entry"
)
_OF_EVENTS = (
    " FROM event v JOIN log l ON l.id = v.log"
    " LEFT JOIN entry r ON r.id = v.entry AND v.type IN ('refused', 'promotion')"
    " LEFT JOIN signal s ON s.entry = v.entry"
    " AND v.type IN ('signal', 'provisional', 'retraction', 'sighting')"
    " LEFT JOIN log i ON i.id = s.log"
    " LEFT JOIN entry e ON e.id = s.entry LEFT JOIN body b ON b.entry = s.entry"
)


def holds_entry(connection: sqlite3.Connection, log: str, entry_id: str) -> bool:
    """`Store.holds_entry`."""
    row = connection.execute(
        "SELECT 1 FROM entry WHERE leaf = ? AND log = (SELECT id FROM log WHERE name = ?)",
        (digest(entry_id), log),
    ).fetchone()
    return row is not None


def signal(connection: sqlite3.Connection, own: str, entry_id: str) -> SignalRecord | None:
    """`Store.signal`."""
    row = connection.execute(
        f"SELECT {_SIGNAL}{_OF_SIGNALS} WHERE e.leaf = ? ORDER BY e.id LIMIT 1",
        (digest(entry_id),),
    ).fetchone()
    return None if row is None else _record(own, *row)


def signals(
    connection: sqlite3.Connection,
    own: str,
    wanted: SignalFilter,
    before: int | None,
    limit: int,
) -> list[SignalRecord]:
    """`Store.signals`."""
    conditions, values = ["1"], list[object]()
    for condition, value in (
        ("s.entry < ?", before),
        ("s.band >= ?", wanted.min_band),
        ("s.category = ?", wanted.category),
        ("s.log = (SELECT id FROM log WHERE name = ?)", wanted.issuer),
        ("s.status = ?", wanted.status),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if not wanted.provisional:
        conditions.append("e.idx < i.certified")
    if not wanted.suspended:
        conditions.append("i.evidence IS NULL")
    rows = connection.execute(
        f"SELECT {_SIGNAL}{_OF_SIGNALS}"
        f" WHERE {' AND '.join(conditions)} ORDER BY s.entry DESC LIMIT ?",
        (*values, limit),
    ).fetchall()
    return [_record(own, *row) for row in rows]


def events(
    connection: sqlite3.Connection, own: str, after: int, wanted: FeedFilter, limit: int
) -> list[FeedEvent]:
    """`Store.events`."""
    conditions, values = ["v.seq > ?"], list[object]([after])
    if wanted.types:
        conditions.append(f"v.type IN ({_marks(wanted.types)})")
        values += sorted(wanted.types)
    if not wanted.provisional and "provisional" not in wanted.types:
        conditions.append("v.provisional = 0")
    if not wanted.suspended:
        # A retraction passes: who was told of the signal before must hear of it.
        conditions.append(
            "(v.type NOT IN ('signal', 'provisional', 'sighting')"
            " OR (i.evidence IS NULL AND l.evidence IS NULL))"
        )
    # Evidence has neither band nor category and passes; refused entries lack them too, but don't.
    passes = "v.type IN ('evidence', 'misconduct')"
    if wanted.min_band is not None:
        conditions.append(f"({passes} OR v.band >= ?)")
        values.append(wanted.min_band)
    if wanted.categories:
        conditions.append(f"({passes} OR v.category IN ({_marks(wanted.categories)}))")
        values += sorted(wanted.categories)
    rows = connection.execute(
        "SELECT v.seq, v.type, v.at, v.detail, v.provisional, r.idx, r.leaf, l.name,"
        f" {_SIGNAL}{_OF_EVENTS} WHERE {' AND '.join(conditions)} ORDER BY v.seq LIMIT ?",
        (*values, limit),
    ).fetchall()
    return [_event(own, *row) for row in rows]


def first_seq(connection: sqlite3.Connection) -> int:
    """`Store.first_seq`."""
    row = connection.execute("SELECT min(seq) FROM event").fetchone()
    return int(row[0]) if row[0] is not None else last_seq(connection) + 1


def _event(
    own: str,
    seq: int,
    kind: Any,
    at: float,
    detail: str | None,
    provisional: int,
    index: int | None,
    leaf: bytes | None,
    member: str,
    issuer: str | None,
    *signal_columns: Any,
) -> FeedEvent:
    data: dict[str, Any] = {"seq": seq, "type": kind, "at": at}
    if issuer is not None:
        data |= {
            "signal": _record(own, issuer, *signal_columns).to_json(),
            "certified": not provisional,
        }
        if kind == "retraction":
            data["reason"] = detail
        elif kind == "sighting":
            data |= {"by": member, "verdict": detail}
        return FeedEvent(seq, kind, at, data)
    data["issuer"] = member
    if kind == "promotion":
        assert leaf is not None
        data |= {
            "index": index,
            "id": leaf.hex(),
            "windows": int(detail or 0),
            "certified": not provisional,
        }
        return FeedEvent(seq, kind, at, data)
    what, _, why = (detail or "").partition("\n")
    if leaf is not None:
        # Which entry and which rule it broke; nothing of what it says.
        data |= {"index": index, "id": leaf.hex(), "error": what, "reason": why}
    else:
        data |= {"kind": what, "reason": why}
    return FeedEvent(seq, kind, at, data)


def _record(
    own: str,
    issuer: str,
    entry: int,
    leaf: bytes,
    index: int,
    day: int,
    expires: int,
    received: float,
    band: int,
    category: str,
    technique: str | None,
    confidence: int | None,
    direct: int | None,
    derived_from: bytes | None,
    barrier: str | None,
    status: str,
    certified: int,
    suspended: int,
    body: bytes | None,
) -> SignalRecord:
    # The body was accepted as a signal's before it was stored, so it has tokens.
    tokens = () if body is None else tuple(json.loads(body)["tokens"])
    return SignalRecord(
        id=leaf.hex(),
        issuer=issuer,
        index=index,
        day=Day(day),
        expires=Day(expires),
        band_level=band,
        category=category,
        technique=technique,
        confidence=confidence,
        tokens=tokens,
        derived_from=None if derived_from is None else derived_from.hex(),
        barrier=barrier,
        direct=None if direct is None else bool(direct),
        status=SignalStatus(status),
        own=issuer == own,
        received=received,
        cursor=entry,
        certified=bool(certified),
        suspended=bool(suspended),
    )


def _marks(values: frozenset[Any]) -> str:
    return ", ".join("?" * len(values))
