"""The one thread that writes: group commit, with each operation in a savepoint of its own.

Operations that wait while a commit is on its way to the disk share the next one, so throughput
grows with load while each is acknowledged only after its own commit is durable. One that fails is
rolled back alone; if the disk fails, all of its commit fail and say so.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from orgnode.store.errors import StoreClosedError, StoreError, from_sqlite
from orgnode.store.schema import BUSY_SECONDS

T = TypeVar("T")

MAX_BATCH = 256
"""Operations in one commit at most."""

_SCRUB_RETRY_SECONDS = 0.5
_SCRUB_BUSY_MS = 100

log = structlog.get_logger(__name__)


@dataclass
class _Operation:
    run: Callable[[sqlite3.Connection], Any]
    erases: bool
    future: Future[Any] = field(default_factory=Future)
    result: Any = None


class Writer:
    """Owns the writing connection. `write` may be called from any event loop or thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._queue: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._closing = False
        self._lock = threading.Lock()  # nothing is queued behind the end mark
        self._scrub_due = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, run: Callable[[sqlite3.Connection], T], *, erases: bool = False) -> T:
        """Run an operation in the next commit; returns its result once that is durable.

        With `erases`, the write-ahead log is truncated too before this returns, so that what was
        deleted is in no file. Cancelling the caller takes back an operation that has not begun.

        :raises StoreError: what the operation raised, or the disk's condition.
        """
        operation = _Operation(run, erases)
        with self._lock:
            if self._closing:
                raise StoreClosedError("the store is closed", hint="the node is shutting down")
            self._queue.put(operation)
        result: T = await asyncio.wrap_future(operation.future)
        return result

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

    def _commit(self, batch: list[_Operation]) -> None:
        waiting = [op for op in batch if op.future.set_running_or_notify_cancel()]
        done: list[_Operation] = []
        if not waiting:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for operation in waiting:
                if not self._try(operation):
                    continue
                done.append(operation)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            condition = from_sqlite(error)
            log.error("store.commit_failed", error=condition.code, operations=len(waiting))
            for operation in waiting:
                if not operation.future.done():
                    operation.future.set_exception(condition)
            return
        if any(operation.erases for operation in done):
            self._scrub_due = True
            self._scrub()
        for operation in done:
            operation.future.set_result(operation.result)

    def _try(self, operation: _Operation) -> bool:
        """Run one operation; False when it failed alone. What ends the commit is raised."""
        self._connection.execute("SAVEPOINT operation")
        try:
            operation.result = operation.run(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:
                # SQLite rolled everything back (disk full, for one): no operation of it was kept.
                raise error if isinstance(error, sqlite3.Error) else _lost(error) from error
            self._connection.execute("ROLLBACK TO operation")
            self._connection.execute("RELEASE operation")
            operation.future.set_exception(
                from_sqlite(error) if isinstance(error, sqlite3.Error) else error
            )
            return False
        self._connection.execute("RELEASE operation")
        return True

    def _scrub(self) -> None:
        """Move the write-ahead log into the database and cut it to nothing.

        Old versions of pages, and so erased content, stay in it until then. A reader in the middle
        of a query holds it up; then it is tried again soon, whatever else happens.
        """
        try:
            # Other writes wait behind this: give a reader the time of a query, not of a backup.
            self._connection.execute(f"PRAGMA busy_timeout = {_SCRUB_BUSY_MS}")
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            self._connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        except sqlite3.Error as error:
            log.error("store.scrub_failed", error=from_sqlite(error).code)
            return
        self._scrub_due = bool(busy)


def _lost(error: Exception) -> sqlite3.OperationalError:
    # An operation that translated SQLite's error itself: keep the condition for its companions.
    cause = error.__cause__
    if isinstance(error, StoreError) and isinstance(cause, sqlite3.OperationalError):
        return cause
    return sqlite3.OperationalError(f"the commit was rolled back: {type(error).__name__}")
