"""Databases in memory for simulated disks, emptied and used again by the next run.

A connection keeps its prepared statements. To prepare them all anew costs more than most of what a
run of a minute asks with them.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from graphlib import TopologicalSorter
from typing import Final

from orgnode.store.schema import STATEMENTS

_SPARE: Final = 8
"""Databases that wait to be used again, for each content that they begin with."""
_CONTENTS: Final = 128
_UNLIMITED_PAGES: Final = 1 << 30

_SEQUENCE: Final = "sqlite_sequence"
_MARK: Final = "being_emptied"
"""The table that has a row while all others lose theirs."""

_spares: defaultdict[bytes, list[sqlite3.Connection]] = defaultdict(list)


def database(image: bytes = b"") -> sqlite3.Connection:
    """A database in memory with this content."""
    if spare := _spares.get(image):
        return spare.pop()
    connection = _connect()
    if image:
        # Copied once more: what `deserialize` makes copies every page that it reads.
        _content(image).backup(connection)
    else:
        # No page is ever free but at the end, so that a database has as many as its content needs,
        # whatever was in it in an earlier run.
        connection.execute("PRAGMA auto_vacuum = FULL")
    return connection


def give_back(connection: sqlite3.Connection, image: bytes) -> None:
    """Keep a database, that was made with this content, for the next who asks for it.

    One whose content can't be had again is closed.
    """
    spares = _spares[image]
    if not image or len(spares) >= _SPARE or connection.in_transaction:
        connection.close()
        return
    pages, rows = _rows(image)
    unlimit_growth(connection)
    connection.execute("BEGIN")
    connection.execute(f"INSERT INTO {_MARK} VALUES (1)")  # noqa: S608 - a name of our own
    for table, _ in rows:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - of our schema
    for table, content in reversed(rows):
        if table == _SEQUENCE:  # it has rows again: SQLite counts what is put into the others
            connection.execute("DELETE FROM sqlite_sequence")
        if content:
            insert = f"INSERT INTO {table} VALUES ({', '.join('?' * len(content[0]))})"  # noqa: S608
            connection.executemany(insert, content)
    connection.execute("COMMIT")
    if connection.execute("PRAGMA page_count").fetchone()[0] != pages:
        connection.close()  # it holds something that is in no table
    else:
        spares.append(connection)


def make_reusable(connection: sqlite3.Connection) -> None:
    """Let a database be emptied by `give_back`, though its triggers let nobody forget anything.

    In a run they are as in production.
    """
    connection.execute(f"CREATE TABLE {_MARK} (now INTEGER)")
    found = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    for name, sql in found.fetchall():
        head, begin, body = sql.partition("BEGIN")
        if "BEFORE DELETE" in head and "WHEN" not in head:
            connection.execute(f"DROP TRIGGER {name}")
            rests = f"WHEN (SELECT count(*) FROM {_MARK}) = 0"  # noqa: S608 - a name of our own
            connection.execute(f"{head}{rests} {begin}{body}")


def unlimit_growth(connection: sqlite3.Connection) -> None:
    """Let a database that could not grow any more grow again."""
    connection.execute(f"PRAGMA max_page_count = {_UNLIMITED_PAGES}")


def _connect() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, cached_statements=STATEMENTS)


@lru_cache(maxsize=_CONTENTS)
def _content(image: bytes) -> sqlite3.Connection:
    content = _connect()
    content.deserialize(image)
    return content


@lru_cache(maxsize=_CONTENTS)
def _rows(image: bytes) -> tuple[int, Sequence[tuple[str, list[tuple[object, ...]]]]]:
    """How many pages a content has, and its rows by table, each before those it refers to."""
    content = _content(image)
    tables = content.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    referred: dict[str, set[str]] = {
        table: {row[2] for row in content.execute(f"PRAGMA foreign_key_list({table})")} - {table}
        for (table,) in tables
    }
    if _SEQUENCE in referred:
        referred[_SEQUENCE] = set(referred) - {_SEQUENCE}  # to be filled when all others are
    pages = content.execute("PRAGMA page_count").fetchone()[0]
    return pages, [
        (table, content.execute(f"SELECT * FROM {table}").fetchall())  # noqa: S608 - of our schema
        for table in reversed(list(TopologicalSorter(referred).static_order()))
    ]
