"""Databases that simulated disks use again: nobody can tell that they were used before."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from orgnode.store.errors import StoreFullError, from_sqlite
from orgnode.testing import simdatabase
from orgnode.testing.simdatabase import database, give_back, make_reusable

SCHEMA = """
CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE);
CREATE TABLE entry (id INTEGER PRIMARY KEY, log INTEGER REFERENCES log (id), note BLOB);
CREATE TRIGGER entry_is_for_ever BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'an entry is never forgotten'); END;
CREATE TRIGGER entry_is_as_it_was BEFORE UPDATE ON entry WHEN NEW.note <> OLD.note
BEGIN SELECT RAISE(ABORT, 'an entry never changes'); END;
INSERT INTO log (name) VALUES ('acme');
"""


@pytest.fixture
def image() -> Iterator[bytes]:
    with closing(database()) as blank:
        blank.executescript(SCHEMA)
        make_reusable(blank)
        made = blank.serialize()
    yield made
    for spare in simdatabase._spares.pop(made, []):
        spare.close()


def content(connection: sqlite3.Connection) -> list[str]:
    return list(connection.iterdump())


def pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA page_count").fetchone()[0])


def used(connection: sqlite3.Connection, size: int = 100) -> sqlite3.Connection:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("INSERT INTO log (name) VALUES ('birch')")
    for n in range(size):
        connection.execute("INSERT INTO entry VALUES (?, 2, ?)", (n, bytes(3_000)))
    return connection


def fits(connection: sqlite3.Connection) -> int:
    """How many rows go into a database that may not grow any more."""
    connection.execute(f"PRAGMA max_page_count = {pages(connection) + 20}")
    for n in range(1_000):
        try:
            connection.execute("INSERT INTO entry VALUES (?, 1, ?)", (n, bytes(700)))
        except sqlite3.OperationalError as error:
            if isinstance(from_sqlite(error), StoreFullError):
                return n
            raise
    raise AssertionError("it never was full")


def test_what_was_in_it_is_gone(image: bytes) -> None:
    first = database(image)
    before = content(first), pages(first)
    give_back(used(first), image)
    again = database(image)
    assert again is first
    assert (content(again), pages(again)) == before
    # Numbers that are never used twice begin anew.
    assert again.execute("INSERT INTO log (name) VALUES ('cobalt') RETURNING id").fetchone() == (2,)


def test_it_is_as_full_as_one_that_was_never_used(image: bytes) -> None:
    first, second = database(image), database(image)
    give_back(used(first), image)
    again = database(image)
    assert again is first
    assert fits(again) == fits(second) > 0
    give_back(again, image)
    grows = used(database(image), size=300)  # the next one is not bounded
    assert pages(grows) > 300 * 3_000 // 4_096


def test_in_a_run_its_triggers_hold(image: bytes) -> None:
    for _ in range(2):
        connection = used(database(image))
        with pytest.raises(sqlite3.IntegrityError, match="never forgotten"):
            connection.execute("DELETE FROM entry WHERE id = 3")
        with pytest.raises(sqlite3.IntegrityError, match="never changes"):
            connection.execute("UPDATE entry SET note = x'01' WHERE id = 3")
        give_back(connection, image)


def test_statements_stay_prepared(image: bytes) -> None:
    connection = used(database(image))
    give_back(connection, image)
    again = database(image)
    assert again.execute("PRAGMA foreign_keys").fetchone() == (1,), "to turn them on costs all"


@pytest.mark.parametrize("why", ["no content", "a transaction", "something in no table"])
def test_others_are_closed(image: bytes, why: str) -> None:
    connection = used(database(image))
    if why == "a transaction":
        connection.execute("BEGIN")
        connection.execute("INSERT INTO log (name) VALUES ('dune')")
    elif why == "something in no table":
        connection.execute("CREATE TABLE more (n)")
        connection.execute("INSERT INTO more VALUES (zeroblob(10000))")
    give_back(connection, b"" if why == "no content" else image)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_only_so_many_wait(image: bytes) -> None:
    made = [database(image) for _ in range(simdatabase._SPARE + 1)]
    for connection in made:
        give_back(connection, image)
    assert len(simdatabase._spares[image]) == simdatabase._SPARE
