"""Reads for matching: who holds a token, what is promoted, what could be.

A check asks for many tokens at once and mostly none is known, so a first statement looks into the
index alone, and only hits are joined with their signals. No answer grows without bound: one log can
hold a token in any number of signals, and then only its oldest and newest count here.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from orgnode.store.batches import batches, many
from orgnode.store.ids import digest, digests
from orgnode.store.records_matching import Promotion, TokenSource
from orgnode.store.token_rows import tokens_of

MAX_ROWS: Final = 1_024
"""Holders of a batch of tokens up to which all are read."""

MAX_OF_LOG: Final = 8
"""Beyond that, so many of the oldest and of the newest signals of each log and token."""

_Holder = tuple[bytes, int]
"""A token and the entry of a signal that holds it."""

_Said = tuple[Sequence[str], Sequence[str]]
"""Who confirms a signal, and who denies it."""

_NOTHING_SAID: Final[_Said] = ((), ())

_PROMOTED = many(
    "SELECT DISTINCT p.token FROM promotion p JOIN log l ON l.id = p.log"
    " WHERE p.token IN (*) AND l.evidence IS NULL"
)
_HOLDERS = many("SELECT token, entry FROM token WHERE token IN (*) LIMIT ?")
_OLDEST = "SELECT entry FROM token WHERE token = ? AND log = ? ORDER BY entry LIMIT ?"
_NEWEST = "SELECT entry FROM token WHERE token = ? AND log = ? ORDER BY entry DESC LIMIT ?"
# No limit: of each log a few promotions of a window are stored.
_PROMOTIONS = many(
    "SELECT input, entry, token, since, held, held_by FROM promotion WHERE input IN (*)"
)
# From the signals that are named, not from all that hold the token.
_EVIDENCE = (
    "SELECT t.entry FROM promotion_source s CROSS JOIN entry e ON e.leaf = s.source"
    " CROSS JOIN token t ON t.token = ?3 AND t.log = e.log AND t.entry = e.id"
    " WHERE s.input = ?1 AND s.entry = ?2 AND s.held = 1 ORDER BY t.entry"
)
_AUTHORS = many(
    "SELECT e.id, e.leaf, l.name FROM entry e JOIN log l ON l.id = e.log WHERE e.id IN (*)"
)
_SIGNALS = many(
    "SELECT s.entry, s.leaf, l.name, s.band, s.category, s.technique, s.direct, s.live_since,"
    " EXISTS (SELECT 1 FROM sighting x WHERE x.target = s.leaf)"
    " FROM signal s JOIN log l ON l.id = s.log"
    " WHERE s.entry IN (*) AND s.status = 'live' AND l.evidence IS NULL"
)
_SIGHTINGS = many(
    "SELECT s.target, l.name, s.verdict FROM sighting s JOIN log l ON l.id = s.log"
    " WHERE s.target IN (*) AND l.evidence IS NULL"
)


def sources(
    connection: sqlite3.Connection, own: str, tokens: Iterable[str]
) -> dict[str, list[TokenSource]]:
    """`Store.sources`."""
    holders = _holders(connection, digests(tokens))
    if not holders:
        return {}
    described = _described(connection, own, {entry for _, entry in holders})
    result: dict[str, list[TokenSource]] = {}
    for token, entry in holders:
        fields = described.get(entry)
        if fields is not None:
            shown = token.hex()
            result.setdefault(shown, []).append(TokenSource._make((shown, *fields)))
    return result


def promoted_tokens(connection: sqlite3.Connection, tokens: Iterable[str]) -> set[str]:
    """`Store.promoted_tokens`."""
    found: set[str] = set()
    for batch in batches(digests(tokens)):
        rows = connection.execute(_PROMOTED, batch)
        found.update(token.hex() for (token,) in rows.fetchall())
    return found


def promotions(
    connection: sqlite3.Connection, own: str, inputs: Iterable[str]
) -> dict[str, list[Promotion]]:
    """`Store.promotions`."""
    rows = [
        row
        for batch in batches(digests(inputs))
        for row in connection.execute(_PROMOTIONS, batch).fetchall()
    ]
    if not rows:
        return {}
    rows.sort(key=lambda row: (row[3], row[1]))  # the clock may have been set back since
    evidence: dict[tuple[bytes, int], list[int]] = {}
    for given, entry, token, _, held, _ in rows:
        if held:
            evidence[given, entry] = _evidence(connection, given, entry, token)
    described = _described(connection, own, {one for some in evidence.values() for one in some})
    authors = _authors(connection, {row[1] for row in rows})
    result: dict[str, list[Promotion]] = {}
    for given, entry, token, since, _, held_by in rows:
        leaf, member = authors[entry]
        shown = token.hex()
        named = evidence.get((given, entry), ())
        live = (described[one] for one in named if one in described)
        result.setdefault(given.hex(), []).append(
            Promotion(
                id=leaf.hex(),
                member=member,
                input=given.hex(),
                token=shown,
                sources=tuple(TokenSource._make((shown, *fields)) for fields in live),
                held_by=tuple(held_by.split()),
                received=since,
            )
        )
    return result


def promotable(connection: sqlite3.Connection, others: int, limit: int) -> list[tuple[str, str]]:
    """`Store.promotable`."""
    rows = connection.execute(
        # A suspended log is counted in `others`: it is taken off here, where there hardly is one.
        "WITH suspended AS MATERIALIZED (SELECT id FROM log WHERE evidence IS NOT NULL)"
        " SELECT o.token, e.leaf FROM own_token o JOIN entry e ON e.id = o.entry"
        " WHERE o.promoted = 0 AND o.others >= ?1"
        " AND e.log NOT IN suspended"
        " AND o.others - (SELECT count(*) FROM suspended x WHERE x.id <> e.log AND EXISTS"
        " (SELECT 1 FROM token t WHERE t.token = o.token AND t.log = x.id)) >= ?1"
        " ORDER BY o.entry DESC, o.token LIMIT ?2",
        (others, limit),
    ).fetchall()
    return [(token.hex(), leaf.hex()) for token, leaf in rows]


def sharing(
    connection: sqlite3.Connection, entry_id: str, limit: int
) -> list[tuple[str, str, int]]:
    """`Store.sharing`."""
    row = connection.execute(
        "SELECT s.entry, b.body FROM entry e JOIN signal s ON s.entry = e.id"
        " JOIN body b ON b.entry = e.id WHERE e.leaf = ? AND s.status = 'live' LIMIT 1",
        (digest(entry_id),),
    ).fetchone()
    if row is None:
        return []
    entry, body = row
    shared = Counter(holder for _, holder in _holders(connection, tokens_of(body)))
    del shared[entry]
    nearest = sorted(shared.items(), key=lambda item: (-item[1], item[0]))
    names = {
        number: (leaf.hex(), issuer) for number, leaf, issuer, *_ in _signals(connection, shared)
    }
    return [(names[one][1], names[one][0], count) for one, count in nearest if one in names][:limit]


def _holders(connection: sqlite3.Connection, tokens: Sequence[bytes]) -> list[_Holder]:
    """Which signals hold these tokens, each token's in order of arrival within a log."""
    found: list[_Holder] = []
    for batch in batches(tokens):
        rows = connection.execute(_HOLDERS, (*batch, MAX_ROWS + 1)).fetchall()
        if len(rows) > MAX_ROWS:
            rows = _some_holders(connection, batch)
        found += rows
    return found


def _some_holders(connection: sqlite3.Connection, tokens: Sequence[bytes]) -> list[_Holder]:
    logs = [log for (log,) in connection.execute("SELECT id FROM log WHERE evidence IS NULL")]
    found: list[_Holder] = []
    for token in dict.fromkeys(tokens):
        for log in logs:
            ends: dict[int, None] = {}
            for query in (_OLDEST, _NEWEST):
                rows = connection.execute(query, (token, log, MAX_OF_LOG)).fetchall()
                if not rows:
                    break
                ends.update((entry, None) for (entry,) in rows)
            found += ((token, entry) for entry in sorted(ends))
    return found


def _evidence(
    connection: sqlite3.Connection, given: bytes, promotion: int, token: bytes
) -> list[int]:
    """Entries of the direct signals that a promotion names and that hold its token."""
    rows = connection.execute(_EVIDENCE, (given, promotion, token)).fetchall()
    return [entry for (entry,) in rows]


def _authors(
    connection: sqlite3.Connection, entries: Iterable[int]
) -> dict[int, tuple[bytes, str]]:
    """Leaf and member of entries."""
    return {
        entry: (leaf, member)
        for batch in batches(sorted(entries))
        for entry, leaf, member in connection.execute(_AUTHORS, batch).fetchall()
    }


def _signals(connection: sqlite3.Connection, entries: Iterable[int]) -> Iterator[Any]:
    """Live signals of logs without evidence against them."""
    for batch in batches(sorted(entries)):
        yield from connection.execute(_SIGNALS, batch).fetchall()


def _described(
    connection: sqlite3.Connection, own: str, entries: Iterable[int]
) -> dict[int, tuple[Any, ...]]:
    """For each signal that counts, the fields of a `TokenSource` after the token."""
    signals = list(_signals(connection, entries))
    said = _sightings(connection, [row[1] for row in signals if row[-1]])
    result: dict[int, tuple[Any, ...]] = {}
    for entry, leaf, issuer, band, category, technique, direct, since, _ in signals:
        confirmed, denied = said.get(leaf, _NOTHING_SAID)
        result[entry] = (
            leaf.hex(),
            issuer,
            band,
            category,
            technique,
            direct == 1,
            since,
            issuer == own,
            # Nobody confirms its own signal.
            tuple(sorted(member for member in confirmed if member != issuer)) if confirmed else (),
            tuple(sorted(member for member in denied if member != issuer)) if denied else (),
        )
    return result


def _sightings(connection: sqlite3.Connection, targets: Sequence[bytes]) -> Mapping[bytes, _Said]:
    """For each signal that anything is said of, who confirms and who denies it."""
    said: dict[bytes, tuple[list[str], list[str]]] = {}
    for batch in batches(targets):
        for target, member, verdict in connection.execute(_SIGHTINGS, batch).fetchall():
            said.setdefault(target, ([], []))[verdict == "deny"].append(member)
    return said
