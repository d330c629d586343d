"""What this node has cosigned last of each log: one row, compared and changed in one transaction.

It is written before the cosignature leaves the node. The other way round a crash in between would
let it cosign two histories.
"""

from __future__ import annotations

import sqlite3

from mesh.witness import Witnessed
from orgnode.store.context import log_id
from orgnode.store.errors import WitnessConflictError, WitnessedRootError
from proofs.merkle import EMPTY_ROOT


def put(
    connection: sqlite3.Connection, log: str, old_size: int, size: int, root: bytes, note: bytes
) -> None:
    """`Store.put_witnessed`."""
    known = get(connection, log)
    if known.size != old_size:
        raise WitnessConflictError(log, known.size)
    if size < known.size or (size == known.size and root != known.root):
        raise WitnessedRootError(log, known.size)
    connection.execute(
        "INSERT INTO witnessed VALUES (?, ?, ?, ?) ON CONFLICT (log)"
        " DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note",
        (log_id(connection, log), size, root, note),
    )


def get(connection: sqlite3.Connection, log: str) -> Witnessed:
    """`Store.witnessed`."""
    row = connection.execute(
        "SELECT w.size, w.root FROM witnessed w JOIN log l ON l.id = w.log WHERE l.name = ?", (log,)
    ).fetchone()
    return Witnessed(0, EMPTY_ROOT) if row is None else Witnessed(*row)


def note(connection: sqlite3.Connection, log: str) -> bytes | None:
    """`Store.witnessed_note`."""
    row = connection.execute(
        "SELECT w.note FROM witnessed w JOIN log l ON l.id = w.log WHERE l.name = ?", (log,)
    ).fetchone()
    found: bytes | None = None if row is None else row[0]
    return found
