"""Opening the database file: settings for durability, and numbered migrations.

Opening looks at the schema's version only, never through the tables: it takes as long with a
hundred thousand signals as with none.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

from orgnode.files import sync_directory
from orgnode.store.errors import (
    ForeignDatabaseError,
    NewerSchemaError,
    OlderSchemaError,
    StoreReadOnlyError,
)

APPLICATION_ID = 0x534D4E31
"""Marks the file as a node's database ("SMN1"; `file` and SQLite's tools show it)."""

BUSY_SECONDS = 5.0

STATEMENTS = 512
"""Prepared statements that a connection keeps: more than there are; none is parsed twice."""

Synchronous = Literal["FULL", "NORMAL", "OFF"]
"""How far a commit is on the disk when it is done; see SQLite's `PRAGMA synchronous`."""

_MIGRATION = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


def open_writer(
    path: Path,
    synchronous: Synchronous = "FULL",
    clock: Callable[[], float] = time.time,
    connect: Callable[[Path], sqlite3.Connection] | None = None,
) -> sqlite3.Connection:
    """The one connection that writes, on a database brought to the newest schema.

    Only with `synchronous` FULL an acknowledged write outlives a power cut: the log is synced at
    every commit. `clock` tells when a migration was applied. `connect` gives a database that is
    nowhere in the file system, for simulated disks.

    :raises NewerSchemaError: a newer version wrote it.
    :raises ForeignDatabaseError: it is some other program's database.
    :raises StoreReadOnlyError: it can't be made or written to.
    :raises sqlite3.Error: anything else.
    """
    connection = (connect or _open_file)(path)
    try:
        # Deleted content is overwritten with zeros, and nothing is spilled to temporary files.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        if not connection.execute("PRAGMA foreign_keys").fetchone()[0]:
            connection.execute("PRAGMA foreign_keys = ON")  # all statements are prepared anew then
        _check_identity(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA cache_size = -16384")  # KiB
        connection.execute("PRAGMA wal_autocheckpoint = 4096")  # pages
        _migrate(connection, path, clock)
        # What a crash left in the write-ahead log may include content erased just before it.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if synchronous != "OFF":
            sync_directory(path.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    # Used as far as needed: a check touches pages all over the token index.
    connection.execute("PRAGMA cache_size = -32768")  # KiB
    return connection


def open_unchanged(path: Path) -> sqlite3.Connection:
    """A connection that reads a database of the newest schema, and needs no disk to write on.

    While a node runs it sees what that one commits. On a disk that can't be written nobody can, so
    the file is read as it lies there.

    :raises OlderSchemaError: a node has to bring it to the newest schema first.
    :raises NewerSchemaError, ForeignDatabaseError: as `open_writer`.
    :raises StoreReadOnlyError: its last commits lie in the log beside it, and can't be joined.
    :raises sqlite3.Error: anything else.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    if not _writable(path.parent):
        if not _has_content(path.with_name(f"{path.name}-wal")):
            uri += "&immutable=1"
        elif not path.with_name(f"{path.name}-shm").exists():
            raise StoreReadOnlyError(
                f"{path}-wal holds commits that are not in {path.name}, and its directory can't be "
                "written to",
                hint="copy the data directory to a disk that can be written to, and ask there",
            )
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        _check_identity(connection, path)
        version = _version(connection)
        if version > latest_version():
            raise _newer(path, version)
        if version < latest_version():
            raise OlderSchemaError(
                f"{path} has schema version {version}, not {latest_version()}",
                hint="start the node once: it brings the database to this version",
            )
    except BaseException:
        connection.close()
        raise
    return connection


def latest_version() -> int:
    """The schema version that this program writes."""
    return max(version for version, _ in _migrations())


def _open_file(path: Path) -> sqlite3.Connection:
    _create_private(path)
    return sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )


def _create_private(path: Path) -> None:
    # SQLite gives its own files the database's mode, so the database is made 0600 before it opens.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreReadOnlyError(
            f"cannot open {path} for writing: {error.strerror or type(error).__name__}",
            hint="check the owner and permissions of the data directory, and its disk",
        ) from error


def _check_identity(connection: sqlite3.Connection, path: Path) -> None:
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if empty:
        return
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise ForeignDatabaseError(
            f"{path} is the database of some other program",
            hint="move that file away, or give this node another --data-dir",
        )


def _migrate(connection: sqlite3.Connection, path: Path, clock: Callable[[], float]) -> None:
    if _version(connection) == latest_version():
        return
    # Migrations are SQL alone but for this; SQLite has had `unhex` since 3.41 only.
    connection.create_function("token_bytes", 1, bytes.fromhex, deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version"
            " (version INTEGER PRIMARY KEY, applied REAL NOT NULL) STRICT"
        )
        current = _version(connection)
        if current > latest_version():
            raise _newer(path, current)
        for version, statements in _migrations():
            if version > current:
                for statement in statements:
                    connection.execute(statement)
                connection.execute("INSERT INTO schema_version VALUES (?, ?)", (version, clock()))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _newer(path: Path, version: int) -> NewerSchemaError:
    return NewerSchemaError(
        f"{path} has schema version {version}; this program knows up to {latest_version()}",
        hint="use the newer orgnode that wrote it, or restore a backup from before",
    )


def _writable(directory: Path) -> bool:
    return os.access(directory, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


def _version(connection: sqlite3.Connection) -> int:
    known = "SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'"
    if connection.execute(known).fetchone() is None:
        return 0
    return int(connection.execute("SELECT max(version) FROM schema_version").fetchone()[0] or 0)


@lru_cache(maxsize=1)
def _migrations() -> tuple[tuple[int, tuple[str, ...]], ...]:
    found = []
    for file in resources.files("orgnode.store.migrations").iterdir():
        match = _MIGRATION.fullmatch(file.name)
        if match is not None:
            found.append((int(match[1]), tuple(_statements(file.read_text("utf-8")))))
    return tuple(sorted(found))


def _statements(script: str) -> Iterator[str]:
    # executescript() would commit first; a migration happens wholly or not at all.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if re.sub(r"--[^\n]*", "", statement).strip():
        raise AssertionError("a migration ends within a statement")
