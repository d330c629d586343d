"""Certification: what a certificate covers begins to count, within one transaction."""

from __future__ import annotations

import json
import sqlite3
from functools import lru_cache
from typing import Final

from mesh.entry import Kind
from mesh.vector import LogPosition
from orgnode.store import token_rows
from orgnode.store.context import Context, Settings
from orgnode.store.effects import count_promotion, count_sighting, count_signal
from orgnode.store.errors import CertifiedRootError, StoreConflictError, StoreRangeError
from orgnode.store.promotion_rows import windows_of
from orgnode.store.tree import read_nodes
from proofs.checkpoint import parse_checkpoint_text
from proofs.frontier import fold
from proofs.merkle import EMPTY_ROOT, Frontier, range_nodes
from proofs.note import parse_note

_STEP: Final = 256
"""Entries read at a time: a certificate may cover a whole log at once."""

# What was retracted, expired or erased has no body, whatever it was.
_COVERED = (
    "SELECT e.id, e.leaf, e.kind, e.day, b.body, s.band, s.category"
    " FROM entry e JOIN body b ON b.entry = e.id LEFT JOIN signal s ON s.entry = e.id"
    " WHERE e.log = ? AND e.idx >= ? AND e.idx < ? AND e.outcome = 'accepted' ORDER BY e.idx"
)


def certify(
    connection: sqlite3.Connection,
    settings: Settings,
    now: float,
    log: str,
    certificate: bytes,
    size: int,
    root: bytes,
) -> int:
    """`Store.certify`."""
    try:
        held = root_at(connection, log, size)
    except StoreRangeError as error:
        raise StoreConflictError(
            f"{log} is not held up to the certificate's size {size}",
            hint="fetch and store the entries that it covers first",
        ) from error
    if held != root:
        raise CertifiedRootError(log, size)
    context = Context.of(connection, settings, now, log)
    before = context.certified
    if size <= before:
        return context.finish()
    connection.execute(
        "INSERT INTO certificate VALUES (?, ?)"
        " ON CONFLICT (log) DO UPDATE SET note = excluded.note",
        (context.log, certificate),
    )
    connection.execute("UPDATE log SET certified = ? WHERE id = ?", (size, context.log))
    for start in range(before, size, _STEP):
        _take_effect(context, start, min(start + _STEP, size))
        context.flush()
    return context.finish()


def _take_effect(context: Context, start: int, end: int) -> None:
    rows = context.connection.execute(_COVERED, (context.log, start, end)).fetchall()
    for entry, leaf, kind, day, body, band, category in rows:
        match kind:
            case Kind.SIGNAL:
                tokens = token_rows.tokens_of(body)
                count_signal(context, entry, leaf, day, band, category, tokens)
            case Kind.SIGHTING:
                said = json.loads(body)
                count_sighting(context, entry, said["target"], said["verdict"])
            case Kind.PROMOTION:
                count_promotion(context, entry, windows_of(body))


def certificate(connection: sqlite3.Connection, log: str) -> bytes | None:
    """`Store.certificate`."""
    row = connection.execute(
        "SELECT c.note FROM certificate c JOIN log l ON l.id = c.log WHERE l.name = ?", (log,)
    ).fetchone()
    note: bytes | None = None if row is None else row[0]
    return note


def certified_size(connection: sqlite3.Connection, log: str) -> int:
    """`Store.certified_size`."""
    row = connection.execute("SELECT certified FROM log WHERE name = ?", (log,)).fetchone()
    return 0 if row is None else int(row[0])


def root_at(connection: sqlite3.Connection, log: str, size: int) -> bytes:
    """`Store.root_at`."""
    row = connection.execute("SELECT id, size, frontier FROM log WHERE name = ?", (log,)).fetchone()
    number, held, frontier = (-1, 0, b"") if row is None else row
    if not 0 <= size <= held:
        raise StoreRangeError(f"{log} does not hold {size} entries")
    if size == held:
        return Frontier.from_bytes(held, frontier).root()
    return fold(read_nodes(connection, number, range_nodes(0, size)))


def first_missing(connection: sqlite3.Connection, log: str) -> int | None:
    """`Store.first_missing`."""
    row = connection.execute(
        "SELECT idx FROM entry WHERE log = (SELECT id FROM log WHERE name = ?)"
        " AND retry = 1 AND body = 'missing' AND kind IS NOT NULL ORDER BY idx LIMIT 1",
        (log,),
    ).fetchone()
    return None if row is None else int(row[0])


def seen(connection: sqlite3.Connection, log: str) -> bytes | None:
    """`Store.seen`."""
    row = connection.execute(
        "SELECT note FROM checkpoint WHERE log = (SELECT id FROM log WHERE name = ?)"
        " ORDER BY size DESC LIMIT 1",
        (log,),
    ).fetchone()
    note: bytes | None = None if row is None else row[0]
    return note


def vector(connection: sqlite3.Connection) -> list[LogPosition]:
    """`Store.vector`."""
    rows = connection.execute(
        "SELECT l.name, l.certified, l.checkpoint, w.size, w.root FROM log l"
        " LEFT JOIN witnessed w ON w.log = l.id AND w.size <= l.size"
        " WHERE l.checkpoint IS NOT NULL OR l.certified > 0 OR w.size > 0 ORDER BY l.name"
    ).fetchall()
    return [_position(connection, *row) for row in rows]


def _position(
    connection: sqlite3.Connection,
    log: str,
    certified: int,
    checkpoint: bytes | None,
    witnessed: int | None,
    witnessed_root: bytes | None,
) -> LogPosition:
    size, root = (0, EMPTY_ROOT) if checkpoint is None else _size_and_root(checkpoint)
    # On the way to a larger checkpoint, smaller ones are certified or cosigned that were not
    # followed themselves. What a quorum, or this node, has put its name to must be known of.
    if witnessed is not None and witnessed_root is not None and size < witnessed:
        size, root = witnessed, witnessed_root
    if size < certified:
        size, root = certified, root_at(connection, log, certified)
    return LogPosition(log, size, certified, root)


@lru_cache(maxsize=1_024)
def _size_and_root(checkpoint: bytes) -> tuple[int, bytes]:
    # Signed, and verified before it was stored.
    read = parse_checkpoint_text(parse_note(checkpoint).text)
    return read.size, read.root
