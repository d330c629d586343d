"""The embedded store: SQLite in WAL mode, one writer thread, reads inline.

Reads run on a connection of the calling thread and take microseconds to milliseconds, so an event
loop may call them directly; writes go to the writer thread and are awaited. SQL lives in modules by
subject (`appending`, `effects`, `certifying`, `erasing`, `token_rows`, `tree`, `log_reads`,
`signal_reads`, `match_reads`, `vault_rows` and more), joined here, in `sqlite_certifying` and in
`sqlite_matching`, to connections.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from mesh.days import Day
from mesh.following import FollowerState
from mesh.wire import BodyAnswer
from orgnode.store import appending, erasing, log_reads, signal_reads, vault_rows
from orgnode.store.context import Settings, last_seq
from orgnode.store.errors import ForeignDatabaseError, StoreClosedError, from_sqlite
from orgnode.store.records import (
    CheckpointRecord,
    Counts,
    DeferredRow,
    EntryRecord,
    FeedEvent,
    FeedFilter,
    KnownReference,
    LogRow,
    SealedIncident,
    SignalFilter,
    SignalRecord,
)
from orgnode.store.schema import Synchronous, open_reader, open_unchanged, open_writer
from orgnode.store.sqlite_certifying import SqliteCertifying
from orgnode.store.sqlite_matching import SqliteMatching
from orgnode.store.writer import NoWriter, Writer, WriterPort
from proofs.merkle import NodeAddress

T = TypeVar("T")

_EXPIRE_BATCH = 500
"""Bodies erased in one commit: a whole day's worth at once would hold up other writes."""


@dataclass(frozen=True)
class _Reader:
    """A thread's connection, and the lock that it holds while it reads."""

    connection: sqlite3.Connection
    lock: threading.RLock = field(default_factory=threading.RLock)


class SqliteStore(SqliteCertifying, SqliteMatching):
    """A `Store` in one SQLite file. Use `SqliteStore.open`, and `close` at the end."""

    def __init__(
        self,
        path: Path,
        settings: Settings,
        writer: WriterPort,
        clock: Callable[[], float],
        reader: Callable[[Path], sqlite3.Connection] = open_reader,
    ) -> None:
        self._path = path
        self._connect = reader
        self._settings = settings
        self._clock = clock
        self._local = threading.local()
        self._readers: list[_Reader] = []
        self._readers_lock = threading.Lock()
        self._closed = False
        self._writer = writer

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        name: str,
        mesh_id: str = "",
        clock: Callable[[], float] = time.time,
        cooldown_days: int = 1,
        writer: Callable[[sqlite3.Connection], WriterPort] = Writer,
        synchronous: Synchronous = "FULL",
        connect: Callable[[Path], sqlite3.Connection] | None = None,
    ) -> Self:
        """Open the database of the member called `name`, making or migrating it as needed.

        `mesh_id` guards against the database of another mesh; `clock` gives the time of receipt, in
        seconds since 1970-01-01 UTC. `cooldown_days` is `Constraints.cooldown_days`. `writer` makes
        what writes, of the connection that it then owns. Anything but `synchronous="FULL"` loses
        acknowledged writes when the power fails: it is for simulated disks, and so is `connect`,
        which gives a database instead of the file.

        :raises NewerSchemaError, ForeignDatabaseError, StoreReadOnlyError, StoreError: see there.
        """
        try:
            connection = open_writer(path, synchronous, clock, connect)
        except sqlite3.Error as error:
            raise from_sqlite(error) from error
        try:
            _check_owner(connection, path, name, mesh_id)
        except BaseException:
            connection.close()
            raise
        return cls(path, Settings(name, cooldown_days), writer(connection), clock)

    @classmethod
    def open_unchanged(cls, path: Path, *, name: str, mesh_id: str = "") -> Self:
        """Open the database of the member called `name` to read it, while its node runs or not.

        Nothing is written, so the disk may be one that can't be; what would write raises
        StoreReadOnlyError.

        :raises OlderSchemaError: it is to be opened with `open` first, which migrates it.
        :raises NewerSchemaError, ForeignDatabaseError, StoreReadOnlyError, StoreError: see there.
        """
        try:
            with closing(open_unchanged(path)) as connection:
                _check_owner(connection, path, name, mesh_id, claim=False)
        except sqlite3.Error as error:
            raise from_sqlite(error) from error
        return cls(path, Settings(name, 1), NoWriter(), time.time, open_unchanged)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what was accepted, and close every connection. Blocks until it is done."""
        self._writer.close()
        self._close_readers()

    def abandon(self) -> None:
        """Close every connection as a crash would: writes that wait fail with StoreClosedError."""
        self._writer.abandon()
        self._close_readers()

    def _close_readers(self) -> None:
        with self._readers_lock:
            self._closed = True
            for reader in self._readers:
                # A connection that is closed in the middle of a query ends the interpreter.
                with reader.lock:
                    reader.connection.close()
            self._readers.clear()

    def pending(self) -> int:
        """How many writes wait for the disk."""
        return self._writer.pending()

    # --- logs: writes

    async def commit_segment(
        self,
        log: str,
        expected_size: int,
        rows: Sequence[LogRow],
        state: FollowerState,
        vaulted: Sequence[SealedIncident] = (),
    ) -> int:
        """See `LogStore.commit_segment`."""
        return await self._writer.write(
            lambda connection: appending.commit_segment(
                connection, self._settings, self._clock(), log, expected_size, rows, state, vaulted
            ),
            # What a retraction withdraws is erased with it.
            erases=any(row.retracts is not None for row in rows),
        )

    async def save_state(self, log: str, state: FollowerState) -> int:
        """See `LogStore.save_state`."""
        return await self._writer.write(
            lambda connection: appending.save_state(
                connection, self._settings, self._clock(), log, state
            )
        )

    async def resolve_deferred(self, log: str, rows: Sequence[LogRow]) -> int:
        """See `LogStore.resolve_deferred`."""
        return await self._writer.write(
            lambda connection: appending.resolve_deferred(
                connection, self._settings, self._clock(), log, rows
            ),
            # A signal may turn out to have been retracted, a deferred body to be worthless.
            erases=True,
        )

    async def erase_body(self, log: str, index: int) -> bool:
        """See `LogStore.erase_body`."""
        return await self._writer.write(
            lambda connection: erasing.erase_entry(
                connection, self._settings, self._clock(), log, index
            ),
            erases=True,
        )

    async def expire(self, today: Day) -> int:
        """See `LogStore.expire`."""
        total = 0
        while True:
            erased = await self._writer.write(
                lambda connection: erasing.expire(
                    connection, self._settings, self._clock(), today, _EXPIRE_BATCH
                ),
                erases=True,
            )
            total += erased
            if erased < _EXPIRE_BATCH:
                return total

    # --- logs: reads

    def logs(self) -> list[str]:
        """See `LogStore.logs`."""
        return self._read(log_reads.logs)

    def state(self, log: str) -> FollowerState:
        """See `LogStore.state`."""
        return self._read(lambda c: log_reads.state(c, log))

    def entries(self, log: str, start: int, end: int) -> list[bytes]:
        """See `LogStore.entries`."""
        return self._read(lambda c: log_reads.entries(c, log, start, end))

    def bodies(self, log: str, start: int, end: int) -> list[BodyAnswer]:
        """See `LogStore.bodies`."""
        return self._read(lambda c: log_reads.bodies(c, log, start, end))

    def leaves(self, log: str, start: int, end: int) -> list[bytes]:
        """See `LogStore.leaves`."""
        return self._read(lambda c: log_reads.leaves(c, log, start, end))

    def nodes(self, log: str, addresses: Sequence[NodeAddress]) -> list[bytes]:
        """See `LogStore.nodes`."""
        return self._read(lambda c: log_reads.nodes(c, log, addresses))

    def checkpoint(self, log: str) -> bytes | None:
        """See `LogStore.checkpoint`."""
        return self._read(lambda c: log_reads.checkpoint(c, log))

    def checkpoints(self, log: str, limit: int = 100) -> list[CheckpointRecord]:
        """See `LogStore.checkpoints`."""
        return self._read(lambda c: log_reads.checkpoints(c, log, limit))

    def records(self, log: str, start: int, end: int) -> list[EntryRecord]:
        """See `LogStore.records`."""
        return self._read(lambda c: log_reads.records(c, log, start, end))

    def deferred(self, log: str, error: str | None = None, limit: int = 256) -> list[DeferredRow]:
        """See `LogStore.deferred`."""
        return self._read(lambda c: log_reads.deferred(c, log, error, limit))

    def refusals(self, log: str | None = None, limit: int = 100) -> list[EntryRecord]:
        """See `LogStore.refusals`."""
        return self._read(lambda c: log_reads.refusals(c, log, limit))

    def counts(self) -> Counts:
        """See `LogStore.counts`."""
        return self._read(log_reads.counts)

    # --- signals and feed

    def holds_entry(self, log: str, entry_id: str) -> bool:
        """See `SignalStore.holds_entry`."""
        return self._read(lambda c: signal_reads.holds_entry(c, log, entry_id))

    def signal(self, entry_id: str) -> SignalRecord | None:
        """See `SignalStore.signal`."""
        return self._read(lambda c: signal_reads.signal(c, self._settings.name, entry_id))

    def signals(
        self, wanted: SignalFilter, before: int | None = None, limit: int = 100
    ) -> list[SignalRecord]:
        """See `SignalStore.signals`."""
        return self._read(
            lambda c: signal_reads.signals(c, self._settings.name, wanted, before, limit)
        )

    def events(self, after: int, wanted: FeedFilter, limit: int = 1_000) -> list[FeedEvent]:
        """See `SignalStore.events`."""
        return self._read(
            lambda c: signal_reads.events(c, self._settings.name, after, wanted, limit)
        )

    def first_seq(self) -> int:
        """See `SignalStore.first_seq`."""
        return self._read(signal_reads.first_seq)

    def last_seq(self) -> int:
        """See `SignalStore.last_seq`."""
        return self._read(last_seq)

    async def trim_events(self, before: int) -> int:
        """See `SignalStore.trim_events`."""
        return await self._writer.write(
            lambda c: c.execute("DELETE FROM event WHERE seq < ?", (before,)).rowcount
        )

    # --- vault

    async def vault_put(self, incident: SealedIncident) -> None:
        """See `VaultStore.vault_put`."""
        await self._writer.write(lambda c: vault_rows.put(c, incident))

    def vault_get(self, incident_id: str) -> SealedIncident | None:
        """See `VaultStore.vault_get`."""
        return self._read(lambda c: vault_rows.get(c, incident_id))

    def vault_of(self, entry_id: str) -> SealedIncident | None:
        """See `VaultStore.vault_of`."""
        return self._read(lambda c: vault_rows.of_entry(c, entry_id))

    def vault_find(self, reference_mac: bytes) -> KnownReference | None:
        """See `VaultStore.vault_find`."""
        return self._read(lambda c: vault_rows.find(c, reference_mac))

    async def vault_erase(self, incident_id: str) -> bool:
        """See `VaultStore.vault_erase`."""
        return await self._writer.write(lambda c: vault_rows.erase(c, incident_id), erases=True)

    async def vault_expire(self, today: Day) -> int:
        """See `VaultStore.vault_expire`."""
        return await self._writer.write(lambda c: vault_rows.expire(c, today), erases=True)

    def vault_count(self) -> int:
        """See `VaultStore.vault_count`."""
        return self._read(vault_rows.count)

    # --- small values

    async def set_meta(self, key: str, value: bytes) -> None:
        """See `Store.set_meta`."""
        await self._writer.write(lambda c: _set_meta(c, key, value))

    def meta(self, key: str) -> bytes | None:
        """See `Store.meta`."""
        return self._read(lambda c: _meta(c, key))

    def _read(self, run: Callable[[sqlite3.Connection], T]) -> T:
        reader: _Reader | None = getattr(self._local, "reader", None)
        try:
            if reader is None:
                reader = self._open_reader()
            with reader.lock:
                if self._closed:
                    raise _closed()
                return run(reader.connection)
        except sqlite3.Error as error:
            raise from_sqlite(error) from error

    def _open_reader(self) -> _Reader:
        with self._readers_lock:
            if self._closed:
                raise _closed()
            reader = _Reader(self._connect(self._path))
            self._readers.append(reader)
        self._local.reader = reader
        return reader


def _closed() -> StoreClosedError:
    return StoreClosedError("the store is closed", hint="the node is shutting down")


def _check_owner(
    connection: sqlite3.Connection, path: Path, name: str, mesh_id: str, *, claim: bool = True
) -> None:
    for key, value, what in (
        ("owner.name", name, "member"),
        ("owner.mesh", mesh_id, "mesh"),
    ):
        known = _meta(connection, key)
        if known is None:
            if value and claim:
                _set_meta(connection, key, value.encode())
        elif value and known.decode() != value:
            raise ForeignDatabaseError(
                f"{path} belongs to the {what} {known.decode()}, not to {value}",
                hint="name the data directory that belongs to this member and mesh",
            )


def _set_meta(connection: sqlite3.Connection, key: str, value: bytes) -> None:
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def _meta(connection: sqlite3.Connection, key: str) -> bytes | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    value: bytes | None = None if row is None else row[0]
    return value
