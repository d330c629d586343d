"""Sealed incidents and references in SQLite."""

from __future__ import annotations

import sqlite3

from mesh.days import Day
from orgnode.store.errors import DuplicateReferenceError, StoreConflictError
from orgnode.store.records import KnownReference, SealedIncident


def put(connection: sqlite3.Connection, incident: SealedIncident) -> None:
    """`Store.vault_put`."""
    if connection.execute("SELECT 1 FROM vault WHERE id = ?", (incident.id,)).fetchone():
        raise StoreConflictError(f"the vault holds an incident {incident.id} already")
    if incident.reference_mac is not None:
        known = find(connection, incident.reference_mac)
        if known is not None:
            raise DuplicateReferenceError(known.incident_id)
        connection.execute(
            "INSERT INTO reference VALUES (?, ?, ?)",
            (incident.reference_mac, incident.id, incident.entry_id),
        )
    connection.execute(
        "INSERT INTO vault VALUES (?, ?, ?, ?, ?, ?)",
        (
            incident.id,
            incident.entry_id,
            incident.day,
            incident.expires,
            incident.wrapped_key,
            incident.sealed,
        ),
    )


def get(connection: sqlite3.Connection, incident_id: str) -> SealedIncident | None:
    """`Store.vault_get`."""
    row = connection.execute(
        "SELECT entry_id, day, expires, wrapped_key, sealed FROM vault WHERE id = ?",
        (incident_id,),
    ).fetchone()
    if row is None:
        return None
    return SealedIncident(incident_id, row[0], Day(row[1]), Day(row[2]), row[3], row[4])


def of_entry(connection: sqlite3.Connection, entry_id: str) -> SealedIncident | None:
    """`Store.vault_of`."""
    row = connection.execute(
        "SELECT id, day, expires, wrapped_key, sealed FROM vault WHERE entry_id = ?"
        " ORDER BY id LIMIT 1",
        (entry_id,),
    ).fetchone()
    if row is None:
        return None
    return SealedIncident(row[0], entry_id, Day(row[1]), Day(row[2]), row[3], row[4])


def find(connection: sqlite3.Connection, mac: bytes) -> KnownReference | None:
    """`Store.vault_find`."""
    row = connection.execute(
        "SELECT incident, entry_id FROM reference WHERE mac = ?", (mac,)
    ).fetchone()
    return None if row is None else KnownReference(row[0], row[1])


def erase(connection: sqlite3.Connection, incident_id: str) -> bool:
    """`Store.vault_erase`."""
    return connection.execute("DELETE FROM vault WHERE id = ?", (incident_id,)).rowcount > 0


def expire(connection: sqlite3.Connection, today: int) -> int:
    """`Store.vault_expire`."""
    return connection.execute("DELETE FROM vault WHERE expires < ?", (today,)).rowcount


def count(connection: sqlite3.Connection) -> int:
    """`Store.vault_count`."""
    return int(connection.execute("SELECT count(*) FROM vault").fetchone()[0])
