"""Writes of sightings that count: what members say of signals."""

from __future__ import annotations

import sqlite3


def put_sighting(
    connection: sqlite3.Connection, log: int, entry: int, target: bytes, verdict: str
) -> bool:
    """Store a member's word on a signal; False if a newer one of the same member counts already.

    An older word is forgotten for good: should the newer one expire or be erased, the member has
    said nothing, rather than what it took back.
    """
    stored = connection.execute(
        "INSERT INTO sighting VALUES (?, ?, ?, ?) ON CONFLICT (target, log) DO UPDATE"
        " SET entry = excluded.entry, verdict = excluded.verdict WHERE excluded.entry > entry",
        (target, log, entry, str(verdict)),
    )
    return stored.rowcount > 0


def drop_sighting(connection: sqlite3.Connection, entry: int) -> None:
    """Forget a sighting whose entry lost its content."""
    connection.execute("DELETE FROM sighting WHERE entry = ?", (entry,))
