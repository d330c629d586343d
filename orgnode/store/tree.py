"""Tree nodes of stored logs: perfect subtrees at tile levels are kept, the rest folds from them.

A level that is a multiple of 8 is a row of C2SP tiles; any other node is folded from at most 128
hashes of the kept level below it, so a proof of any size reads a few hundred hashes at most.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import pairwise

from orgnode.store.errors import StoreRangeError
from proofs.merkle import NodeAddress, node_hash

_TILE_HEIGHT = 8


def complete_nodes(connection: sqlite3.Connection, log: int, before: int, after: int) -> None:
    """Store the nodes at tile levels that became perfect as the log grew."""
    level = _TILE_HEIGHT
    while after >> level:
        done = [
            (log, level, block, fold(_kept(connection, log, level - 8, block << 8, 256)))
            for block in range(before >> level, after >> level)
        ]
        connection.executemany("INSERT INTO node VALUES (?, ?, ?, ?)", done)
        level += _TILE_HEIGHT


def read_nodes(
    connection: sqlite3.Connection, log: int, addresses: Sequence[NodeAddress]
) -> list[bytes]:
    """Hashes of perfect subtrees, in the order asked for.

    :raises StoreRangeError: one is not within the log.
    """
    result: list[bytes] = []
    for run in _runs(addresses):
        level, first = run[0].level, run[0].index
        kept_level = level - level % _TILE_HEIGHT
        width = 1 << (level - kept_level)
        hashes = _kept(connection, log, kept_level, first * width, len(run) * width)
        result += (fold(hashes[i : i + width]) for i in range(0, len(hashes), width))
    return result


def fold(hashes: Sequence[bytes]) -> bytes:
    """Root of a perfect tree over 2^k hashes (RFC 6962, section 2.1)."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def _kept(
    connection: sqlite3.Connection, log: int, level: int, first: int, count: int
) -> list[bytes]:
    if level == 0:
        query = "SELECT leaf FROM entry WHERE log = ? AND idx >= ? AND idx < ? ORDER BY idx"
        rows = connection.execute(query, (log, first, first + count)).fetchall()
    else:
        query = (
            "SELECT hash FROM node WHERE log = ? AND level = ? AND idx >= ? AND idx < ?"
            " ORDER BY idx"
        )
        rows = connection.execute(query, (log, level, first, first + count)).fetchall()
    if len(rows) != count:
        raise StoreRangeError(f"nodes of level {level} from {first} on are not all stored")
    return [row[0] for row in rows]


def _runs(addresses: Sequence[NodeAddress]) -> Iterator[Sequence[NodeAddress]]:
    """Split into stretches of neighbours, each of which is read in one go."""
    start = 0
    for end, (last, following) in enumerate(pairwise(addresses), start=1):
        if (following.level, following.index) != (last.level, last.index + 1):
            yield addresses[start:end]
            start = end
    if addresses:
        yield addresses[start:]
