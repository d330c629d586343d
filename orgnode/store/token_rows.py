"""Writes of the token index, and of how far this node's own tokens are from being promoted.

Rows come and go in the transaction that lets a live signal count, or that ends it. Tokens of own
signals have a row each in `own_token`, which counts the other logs that hold the token; so what can
be promoted is found without a look at anything else.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from orgnode.store.batches import batches, many

EVIDENCE_LOGS: Final = 3
"""Logs that a promotion's evidence must be of to be worth anything: no mesh asks for fewer."""

_OWN = many("SELECT token FROM own_token WHERE token IN (*)")
_HELD = many("SELECT token FROM token WHERE token IN (*) AND log = ? AND entry = ?")


def tokens_of(body: bytes) -> list[bytes]:
    """The tokens in a stored signal's body, which was checked before it was stored."""
    return [bytes.fromhex(token) for token in json.loads(body)["tokens"]]


def put(
    connection: sqlite3.Connection,
    own: int | None,
    log: int,
    signals: Iterable[tuple[int, Sequence[bytes]]],
) -> None:
    """Index the tokens of signals of one log.

    :param own: the number of this node's own log; None while it has none.
    :param signals: entry and tokens.
    """
    # In the index's order, so that each of its pages is touched once.
    rows = sorted((token, log, entry) for entry, tokens in signals for token in tokens)
    if not rows:
        return
    if log != own:
        _count_holder(connection, sorted({token for token, _, _ in rows}), log)
    connection.executemany("INSERT INTO token VALUES (?, ?, ?)", rows)
    if log == own:
        connection.executemany(
            "INSERT INTO own_token VALUES (?1, ?3,"
            " (SELECT count(DISTINCT log) FROM token WHERE token = ?1 AND log <> ?2), 0)"
            " ON CONFLICT (token) DO UPDATE SET entry = max(entry, excluded.entry)",
            rows,
        )
        note_promotion(connection, dict.fromkeys(token for token, _, _ in rows))


def _count_holder(connection: sqlite3.Connection, tokens: Sequence[bytes], log: int) -> None:
    """Count a log that is about to hold these tokens, where it does not yet."""
    shared: list[tuple[bytes, int]] = []
    for batch in batches(tokens):
        rows = connection.execute(_OWN, batch).fetchall()
        shared += ((token, log) for (token,) in rows)
    connection.executemany(
        "UPDATE own_token SET others = others + 1 WHERE token = ?1"
        " AND NOT EXISTS (SELECT 1 FROM token WHERE token = ?1 AND log = ?2)",
        shared,
    )


def drop(connection: sqlite3.Connection, own: int | None, log: int, entry: int) -> None:
    """Take a signal's tokens out of the index, those of them that are in it."""
    tokens = of_live(connection, entry)
    for batch in batches(tokens):
        rows = connection.execute(_HELD, (*batch, log, entry)).fetchall()
        remove(connection, own, log, [(token, entry) for (token,) in rows])


def remove(
    connection: sqlite3.Connection, own: int | None, log: int, holders: Sequence[tuple[bytes, int]]
) -> None:
    """Take what is in the index out of it: tokens, each with the entry that holds it."""
    rows = [(token, log, entry) for token, entry in holders]
    connection.executemany("DELETE FROM token WHERE token = ? AND log = ? AND entry = ?", rows)
    if log == own:
        connection.executemany(
            "DELETE FROM own_token WHERE token = ?1"
            " AND NOT EXISTS (SELECT 1 FROM token WHERE token = ?1 AND log = ?2)",
            (row[:2] for row in rows),
        )
        connection.executemany(
            "UPDATE own_token SET entry ="
            " (SELECT max(entry) FROM token WHERE token = ?1 AND log = ?2)"
            " WHERE token = ?1 AND entry = ?3",
            rows,
        )
    else:
        connection.executemany(
            "UPDATE own_token SET others = others - 1 WHERE token = ?1"
            " AND NOT EXISTS (SELECT 1 FROM token WHERE token = ?1 AND log = ?2)",
            dict.fromkeys(row[:2] for row in rows),
        )


def of_live(connection: sqlite3.Connection, entry: int) -> list[bytes]:
    """The tokens of a live signal, indexed or not; none if the entry is no such thing."""
    row = connection.execute(
        "SELECT b.body FROM signal s JOIN body b ON b.entry = s.entry"
        " WHERE s.entry = ? AND s.status = 'live'",
        (entry,),
    ).fetchone()
    return [] if row is None else tokens_of(row[0])


def not_indexed(connection: sqlite3.Connection, log: int, entry: int) -> list[bytes]:
    """The tokens of a live signal that are not in the index."""
    tokens = of_live(connection, entry)
    held: set[bytes] = set()
    for batch in batches(tokens):
        rows = connection.execute(_HELD, (*batch, log, entry)).fetchall()
        held.update(token for (token,) in rows)
    return [token for token in tokens if token not in held]


def note_promotion(connection: sqlite3.Connection, tokens: Iterable[bytes]) -> None:
    """Look again whether own tokens are promoted, on evidence that can be worth something.

    A member could otherwise keep a token from ever being promoted, by a promotion of its own that
    names next to nothing.
    """
    connection.executemany(
        "UPDATE own_token SET promoted = EXISTS (SELECT 1 FROM promotion p"
        " JOIN log l ON l.id = p.log"
        " WHERE p.token = ?1 AND p.held >= ?2 AND l.evidence IS NULL) WHERE token = ?1",
        ((token, EVIDENCE_LOGS) for token in tokens),
    )
