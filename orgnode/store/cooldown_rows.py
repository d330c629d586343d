"""The pause that follows a retraction: who withdrew a token is no source of it for some days.

*Attack:* a member withdraws a signal as soon as it is looked at, and publishes it anew.

Signals that stood in the log before the retraction are not touched. One that stands after it and is
dated within the pause does not hold the withdrawn tokens, then or ever: it is left out of the token
index. So every member counts alike, whenever it gets to know of the two.

*Attack:* a member whose log has been quiet, or who dates its entries back, dates retraction and new
signal so that the pause lies behind them. Therefore the tokens *rest* besides: for as many days
from when this node got to know of the retraction no signal after it holds them, if it is dated no
later. That follows from this node's clock, so it ends by itself, and changes nothing for good.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import sha256

from mesh.days import Day, day_of
from orgnode.store import token_rows
from orgnode.store.batches import batches, many
from orgnode.store.context import Context, Settings
from orgnode.store.ids import digests

_LATER = many(
    "SELECT t.token, t.entry, e.day FROM token t JOIN entry e ON e.id = t.entry"
    " WHERE t.token IN (*) AND t.log = ? AND t.entry > ? AND e.day <= ?"
)
_PAUSED = many(
    "SELECT digest, max(until), max(rest) FROM cooldown"
    " WHERE digest IN (*) AND log = ? AND entry < ? GROUP BY digest"
)
_COOLING = many(
    "SELECT digest, max(until, rest) AS last FROM cooldown WHERE digest IN (*)"
    " AND log = (SELECT id FROM log WHERE name = ?) AND last >= ? ORDER BY last"
)
_RESTED = (
    "SELECT r.entry, e.day, l.name FROM resting r JOIN entry e ON e.id = r.entry"
    " JOIN log l ON l.id = e.log WHERE r.rest < ? ORDER BY r.rest, r.entry"
)


def put(context: Context, retraction: int, day: int, tokens: Sequence[bytes]) -> None:
    """Begin the pause of tokens that were withdrawn.

    :param retraction: its entry.
    :param day: that it is dated.
    """
    if not tokens or not context.settings.cooldown_days:
        return
    connection, log = context.connection, context.log
    until = day + context.settings.cooldown_days
    rest = day_of(context.now) + context.settings.cooldown_days
    connection.executemany(
        "INSERT INTO cooldown VALUES (?, ?, ?, ?, ?)",
        ((log, digest, retraction, until, rest) for digest in sorted(map(_digest, tokens))),
    )
    context.paused = True
    # A retraction whose body comes late: later signals may count already.
    context.flush()
    for batch in batches(tokens):
        rows = connection.execute(_LATER, (*batch, log, retraction, max(until, rest))).fetchall()
        token_rows.remove(connection, context.own, log, [row[:2] for row in rows])
        for _, entry, dated in rows:
            if dated > until:
                _rest(context, entry, rest)


def without_paused(
    context: Context, entry: int, day: int, tokens: Sequence[bytes]
) -> Sequence[bytes]:
    """Those of a signal's tokens that it holds: not those that its log withdrew lately.

    If some of the others only rest, the signal is looked at again when they have rested.
    """
    if not context.paused:
        return tokens
    paused: set[bytes] = set()
    today = day_of(context.now)
    for batch in batches([_digest(token) for token in tokens]):
        rows = context.connection.execute(_PAUSED, (*batch, context.log, entry))
        for digest, until, rest in rows.fetchall():
            if day <= until:
                paused.add(digest)
            elif day <= rest and today <= rest:
                paused.add(digest)
                _rest(context, entry, rest)
    return [token for token in tokens if _digest(token) not in paused]


def end_rests(connection: sqlite3.Connection, settings: Settings, now: float, today: int) -> None:
    """Let signals hold the tokens that have rested until yesterday, as far as they still live."""
    for entry, day, log in connection.execute(_RESTED, (today,)).fetchall():
        connection.execute("DELETE FROM resting WHERE entry = ?", (entry,))
        context = Context.of(connection, settings, now, log)
        left_out = token_rows.not_indexed(connection, context.log, entry)
        context.tokens[entry] = without_paused(context, entry, day, left_out)
        context.finish()


def _rest(context: Context, entry: int, rest: int) -> None:
    """Look at a signal again after `rest`, or before, if other tokens of it have rested then."""
    context.connection.execute(
        "INSERT INTO resting VALUES (?, ?)"
        " ON CONFLICT (entry) DO UPDATE SET rest = min(rest, excluded.rest)",
        (entry, rest),
    )


def cooling(
    connection: sqlite3.Connection, own: str, today: int, tokens: Iterable[str]
) -> dict[str, Day]:
    """`Store.cooling`."""
    asked = {_digest(token): token.hex() for token in digests(tokens)}
    found: dict[str, Day] = {}
    for batch in batches(list(asked)):
        rows = connection.execute(_COOLING, (*batch, own, today)).fetchall()
        found.update((asked[digest], Day(until)) for digest, until in rows)
    return found


def forget(connection: sqlite3.Connection, today: int) -> None:
    """Forget pauses that no signal can fall into any more, and whose tokens have rested.

    Days never fall within a log, so no entry to come is dated before its last day; those that are
    here and have not begun to count may be.
    """
    for log, certified in connection.execute("SELECT id, certified FROM log").fetchall():
        known = "SELECT 1 FROM cooldown WHERE log = ? LIMIT 1"
        if connection.execute(known, (log,)).fetchone() is None:
            continue
        (horizon,) = connection.execute(
            "SELECT min(first) FROM ("
            " SELECT ifnull(max(day), 0) AS first FROM log_day WHERE log = ?1 AND entries > 0"
            " UNION ALL SELECT min(day) FROM entry WHERE log = ?1 AND idx >= ?2"
            " UNION ALL SELECT min(ifnull(day, 0)) FROM entry WHERE log = ?1 AND retry = 1)",
            (log, certified),
        ).fetchone()
        connection.execute(
            "DELETE FROM cooldown WHERE log = ? AND until < ? AND rest < ?", (log, horizon, today)
        )


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()
