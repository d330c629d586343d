"""Writes of promotions: promoted windows, the evidence that they name, and who held it.

Whether a promotion is worth anything must not change when a source retracts its signal, so it is
written down here, when the promotion or its evidence begins to count.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Final

from mesh.promotion import PromotedWindow
from orgnode.store import token_rows

MAX_PROMOTIONS: Final = 4
"""Promotions of one window by one other log that are stored; later ones say nothing new.

An honest member promotes a window once. Were some left out only when they are read, a flood could
hide the one that decides after it had decided.
"""

_PUT = (
    "INSERT INTO promotion SELECT ?1, ?2, ?3, ?4, ?5, 0, ''"
    " WHERE ?6 OR (SELECT count(*) FROM promotion WHERE input = ?1 AND log = ?2) < ?7"
)
# From the one signal, not from all that hold the token. A copy of somebody's entry in another log
# has its leaf too, but is no signal.
_PUT_SOURCE = (
    "INSERT INTO promotion_source VALUES (?1, ?2, ?3, EXISTS (SELECT 1 FROM entry e"
    " CROSS JOIN signal g ON g.entry = e.id"
    " CROSS JOIN token t ON t.token = ?4 AND t.log = g.log AND t.entry = g.entry"
    " WHERE e.leaf = ?3 AND g.direct = 1))"
)
_AWAITED = (
    "SELECT p.input, p.log, p.entry, p.token, g.leaf FROM signal g"
    " CROSS JOIN promotion_source s ON s.source = g.leaf AND s.held = 0"
    " CROSS JOIN promotion p ON p.entry = s.entry AND p.input = s.input"
    " CROSS JOIN token t ON t.token = p.token AND t.log = g.log AND t.entry = g.entry"
    " WHERE g.entry = ? AND g.direct = 1"
)
_HOLDERS = (
    "SELECT DISTINCT l.name FROM promotion_source s CROSS JOIN entry e ON e.leaf = s.source"
    " CROSS JOIN signal g ON g.entry = e.id CROSS JOIN log l ON l.id = g.log"
    " WHERE s.input = ? AND s.entry = ? AND s.held = 1"
)


def put(
    connection: sqlite3.Connection,
    own: int | None,
    log: int,
    entry: int,
    now: float,
    windows: Iterable[PromotedWindow],
) -> None:
    """Store promoted windows and the signals that are named as their evidence."""
    tokens = []
    for window in windows:
        given, token = bytes.fromhex(window.input), bytes.fromhex(window.token)
        # This node's own are all stored: what it promoted must not look as if it had not.
        values = (given, log, entry, token, now, log == own, MAX_PROMOTIONS)
        if not connection.execute(_PUT, values).rowcount:
            continue
        connection.executemany(
            _PUT_SOURCE,
            ((given, entry, bytes.fromhex(source), token) for source in window.sources),
        )
        _note_holders(connection, given, log, entry)
        tokens.append(token)
    token_rows.note_promotion(connection, tokens)


def windows_of(body: bytes) -> list[PromotedWindow]:
    """The windows in a stored promotion's body, which was checked before it was stored."""
    return [PromotedWindow.model_construct(**window) for window in json.loads(body)["windows"]]


def note_arrivals(connection: sqlite3.Connection, signals: Iterable[int]) -> None:
    """Note that signals count now, with their tokens, which promotions may have named before."""
    for signal in signals:
        awaited = connection.execute(_AWAITED, (signal,)).fetchall()
        for given, log, entry, _, leaf in awaited:
            connection.execute(
                "UPDATE promotion_source SET held = 1 WHERE input = ? AND entry = ? AND source = ?",
                (given, entry, leaf),
            )
            _note_holders(connection, given, log, entry)
        token_rows.note_promotion(connection, dict.fromkeys(row[3] for row in awaited))


def _note_holders(connection: sqlite3.Connection, given: bytes, log: int, entry: int) -> None:
    names = sorted(name for (name,) in connection.execute(_HOLDERS, (given, entry)).fetchall())
    connection.execute(
        "UPDATE promotion SET held = ?, held_by = ? WHERE input = ? AND log = ? AND entry = ?",
        (len(names), " ".join(names), given, log, entry),
    )


def drop(connection: sqlite3.Connection, entry: int) -> None:
    """Forget a promotion whose entry lost its content."""
    windows = connection.execute(
        "SELECT input, token FROM promotion WHERE entry = ?", (entry,)
    ).fetchall()
    connection.executemany(
        "DELETE FROM promotion_source WHERE input = ? AND entry = ?",
        ((given, entry) for given, _ in windows),
    )
    connection.execute("DELETE FROM promotion WHERE entry = ?", (entry,))
    token_rows.note_promotion(connection, (token for _, token in windows))


def note_suspension(connection: sqlite3.Connection, log: int) -> None:
    """Look again whether own tokens are promoted that a log promoted which is suspended now."""
    rows = connection.execute(
        "SELECT DISTINCT token FROM promotion WHERE log = ?", (log,)
    ).fetchall()
    token_rows.note_promotion(connection, (token for (token,) in rows))
