"""Group commit, with each operation in a savepoint of its own, and the one thread that does it.

`commit_batch` and `truncate_log` are what any writer is made of; `Writer` runs them in a thread, a
simulator's writer within its event loop.

Operations that wait while a commit is on its way to the disk share the next one, so throughput
grows with load while each is acknowledged only after its own commit is durable. One that fails is
rolled back alone; if the disk fails, all of its commit fail and say so.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import structlog

from orgnode.store.errors import (
    StoreClosedError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    from_sqlite,
)
from orgnode.store.schema import BUSY_SECONDS

T = TypeVar("T")

MAX_BATCH = 256
"""Operations in one commit at most."""

DISK_CONDITIONS: Final = (StoreFullError, StoreReadOnlyError, StoreDamagedError)
"""Errors that say that the disk does not take what is written."""

Condition = StoreFullError | StoreReadOnlyError | StoreDamagedError
"""What the disk refused a commit for."""

_SCRUB_RETRY_SECONDS = 0.5
_SCRUB_BUSY_MS = 100

log = structlog.get_logger(__name__)


@dataclass
class Operation:
    """One write: what to run within a transaction, and what came of it.

    `erases` says that what it deleted must go out of every file, not out of the tables alone.
    """

    run: Callable[[sqlite3.Connection], Any]
    erases: bool = False
    future: Future[Any] = field(default_factory=Future)
    result: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        """Resolve the future with what came of it."""
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class WriterPort(Protocol):
    """What a store needs of its writer. It owns the connection that it is made with."""

    async def write(self, run: Callable[[sqlite3.Connection], T], *, erases: bool = False) -> T:
        """Run an operation; returns its result once that is durable.

        With `erases`, what it deleted is in no file when this returns, unless somebody else reads
        the database at the time (a backup, say). Then its old pages stay in the write-ahead log
        until they have read it; `scrub_due` tells of that.

        :raises StoreError: what the operation raised, or the disk's condition.
        """
        ...

    def scrub_due(self) -> bool:
        """Whether content that was erased may still be in a file.

        Who reads that something is erased, and asks this *afterwards*, knows whether it is gone.
        """
        ...

    def pending(self) -> int:
        """How many operations wait."""
        ...

    def close(self) -> None:
        """Write what waits, and close the connection. Blocks until it is done."""
        ...

    def abandon(self) -> None:
        """Close the connection as a crash would: what waits is not written, and told so."""
        ...


def commit_batch(connection: sqlite3.Connection, operations: Sequence[Operation]) -> bool:
    """Run operations in one transaction, each in a savepoint of its own, and commit it.

    Each gets its `result` or its `error`; one that fails is rolled back alone, and if the commit
    fails, all that had not failed by themselves get its condition. Futures are left alone. Returns
    whether anything was erased: then `truncate_log` is due before anybody is told.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        for operation in operations:
            _try(connection, operation)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        condition = from_sqlite(error)
        log.error("store.commit_failed", error=condition.code, operations=len(operations))
        for operation in operations:
            if operation.error is None:
                operation.error = condition
        return False
    return any(operation.erases and operation.error is None for operation in operations)


def truncate_log(connection: sqlite3.Connection) -> bool:
    """Move the write-ahead log into the database and cut it to nothing; False if readers hold it.

    Old versions of pages, and so erased content, stay in it until then.
    """
    try:
        # Other writes wait behind this: give a reader the time of a query, not of a backup.
        connection.execute(f"PRAGMA busy_timeout = {_SCRUB_BUSY_MS}")
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    except sqlite3.Error as error:
        log.error("store.scrub_failed", error=from_sqlite(error).code)
        return False
    return not busy


class NoWriter:
    """What a store has in a writer's place that was opened to be read only."""

    async def write(self, run: Callable[[sqlite3.Connection], T], *, erases: bool = False) -> T:
        """Write nothing.

        :raises StoreReadOnlyError: always.
        """
        raise StoreReadOnlyError(
            "the database was opened to be read only", hint="open it as a node does, to write"
        )

    def scrub_due(self) -> bool:
        """Whether it left erased content in a file: it erases nothing."""
        return False

    def pending(self) -> int:
        """How many operations wait: none."""
        return 0

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def abandon(self) -> None:
        """Do nothing: there is no connection."""


class Writer:
    """Owns the writing connection. `write` may be called from any event loop or thread.

    `told` is called, in the writer's thread, with the condition of the disk at each commit that it
    keeps from being kept.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        told: Callable[[Condition], None] = lambda condition: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._told = told
        self._queue: queue.SimpleQueue[Operation | None] = queue.SimpleQueue()
        self._closing = False
        self._abandoned = False
        self._lock = threading.Lock()  # nothing is queued behind the end mark
        self._clock = clock
        # What opened the database may have found it being read by another process.
        self._scrub_due = not truncate_log(connection)
        self._scrub_at = clock()
        self._held_up = self._scrub_due
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, run: Callable[[sqlite3.Connection], T], *, erases: bool = False) -> T:
        """Run an operation in the next commit; returns its result once that is durable.

        With `erases`, the write-ahead log is truncated too before this returns, so that what was
        deleted is in no file; see `WriterPort.write` for when that has to wait. It is tried again
        every half second, however much is written. Cancelling the caller takes back an operation
        that has not begun.

        :raises StoreError: what the operation raised, or the disk's condition.
        """
        operation = Operation(run, erases)
        with self._lock:
            if self._closing:
                raise _closed()
            self._queue.put(operation)
        result: T = await asyncio.wrap_future(operation.future)
        return result

    def scrub_due(self) -> bool:
        """Whether content that was erased may still be in a file."""
        return self._scrub_due

    def pending(self) -> int:
        """How many operations wait."""
        return self._queue.qsize()

    def close(self) -> None:
        """Write what waits, and close the connection. Blocks until it is done."""
        with self._lock:
            if not self._closing:
                self._closing = True
                self._queue.put(None)
        self._thread.join()

    def abandon(self) -> None:
        """Close the connection; what waits fails with StoreClosedError. Blocks until it is done."""
        self._abandoned = True
        self.close()

    def _run(self) -> None:
        open_ = True
        while open_:
            try:
                first = self._queue.get(timeout=_SCRUB_RETRY_SECONDS if self._scrub_due else None)
            except queue.Empty:
                self._scrub()
                continue
            batch = []
            while first is not None:
                batch.append(first)
                if len(batch) == MAX_BATCH or self._queue.empty():
                    break
                first = self._queue.get()
            open_ = first is not None
            self._commit(batch)
        if self._scrub_due:
            self._scrub()
        self._connection.close()

    def _commit(self, batch: list[Operation]) -> None:
        waiting = [op for op in batch if op.future.set_running_or_notify_cancel()]
        if not waiting:
            return
        if self._abandoned:
            for operation in waiting:
                operation.error = _closed()
        else:
            self._commit_and_scrub(waiting)
        self._tell_condition(waiting)
        for operation in waiting:
            operation.tell()

    def _commit_and_scrub(self, operations: Sequence[Operation]) -> None:
        was_due = self._scrub_due
        # From the commit on others read that it is erased: they must not see this unset.
        self._scrub_due = was_due or any(operation.erases for operation in operations)
        erased = commit_batch(self._connection, operations)
        if was_due:
            # Somebody reads the old pages. Each try holds up what is written: not at every commit.
            if self._clock() >= self._scrub_at:
                self._scrub()
        elif erased:
            self._scrub()
        else:
            self._scrub_due = False

    def _scrub(self) -> None:
        self._scrub_due = not truncate_log(self._connection)
        self._scrub_at = self._clock() + _SCRUB_RETRY_SECONDS
        if self._scrub_due != self._held_up:
            self._held_up = self._scrub_due
            if self._held_up:
                log.warning("store.scrub_held_up")
            else:
                log.warning("store.scrub_done")

    def _tell_condition(self, operations: Sequence[Operation]) -> None:
        errors = (operation.error for operation in operations)
        failed = next((error for error in errors if isinstance(error, DISK_CONDITIONS)), None)
        if failed is not None:
            self._told(failed)


def _try(connection: sqlite3.Connection, operation: Operation) -> None:
    """Run one operation, which may fail alone. What ends the whole commit is raised."""
    connection.execute("SAVEPOINT operation")
    try:
        operation.result = operation.run(connection)
    except Exception as error:
        if not connection.in_transaction:
            # SQLite rolled everything back (disk full, for one): no operation of it was kept.
            raise error if isinstance(error, sqlite3.Error) else _lost(error) from error
        connection.execute("ROLLBACK TO operation")
        operation.error = from_sqlite(error) if isinstance(error, sqlite3.Error) else error
    connection.execute("RELEASE operation")


def _closed() -> StoreClosedError:
    return StoreClosedError("the store is closed", hint="the node is shutting down")


def _lost(error: Exception) -> sqlite3.OperationalError:
    # An operation that translated SQLite's error itself: keep the condition for its companions.
    cause = error.__cause__
    if isinstance(error, StoreError) and isinstance(cause, sqlite3.OperationalError):
        return cause
    return sqlite3.OperationalError(f"the commit was rolled back: {type(error).__name__}")
