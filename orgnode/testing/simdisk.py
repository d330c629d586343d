"""A disk on a virtual clock: writes wait in order, become durable after a while, and only then are
acknowledged. A crash loses what is not durable.

    disk = SimDisk(loop, rng, image)
    store = SqliteStore.open(path, ..., writer=disk.writer, connect=disk.connect)
    ...
    disk.crash()                          # queued writes are gone, or done and never acknowledged

SQLite is the real one, in memory, and so is the code of each operation: this replaces the writer's
thread and the time that a sync takes. The database is the disk, so it outlives the store and its
machine. As in production a write becomes visible to readers when it is committed and to its caller
somewhat later; a crash may come between.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from mesh.testing.virtualtime import VirtualLoop
from orgnode.store.errors import StoreClosedError
from orgnode.store.writer import MAX_BATCH, Operation, commit_batch
from orgnode.testing.simdatabase import database, give_back, unlimit_growth

T = TypeVar("T")


class SimDisk:
    """One machine's disk. It outlives the machine; each start of the machine opens a new writer.

    :param image: the database that is on it at first; an empty one by default.
    :param latency: mean seconds until a commit is durable (exponential, at least a tenth of it).
    """

    def __init__(
        self, loop: VirtualLoop, rng: Random, image: bytes = b"", *, latency: float = 0.002
    ) -> None:
        self.met: Counter[str] = Counter()
        self.most_waiting = 0
        """Operations that waited at the same time, at most."""
        self.latency = latency
        self.slowness = 0.0
        """Seconds that every commit takes on top."""
        self.trap: Callable[[float], None] | None = None
        """Called once, when the next commit begins, with the seconds that it is going to take."""
        self._loop = loop
        self._rng = rng
        self._full = False
        self._writer: SimWriter | None = None
        self._blank = image
        self.database = database(image)
        """What is durable."""

    def connect(self, _: Path) -> sqlite3.Connection:
        """What a store opens instead of a file, at each start."""
        return self.database

    def writer(self, connection: sqlite3.Connection) -> SimWriter:
        """The writer of a store that is opened on this disk."""
        self._writer = SimWriter(self, connection)
        self.fill(self._full)
        return self._writer

    @property
    def current(self) -> SimWriter | None:
        """The writer of the machine that runs; None while none does."""
        return self._writer

    def fill(self, full: bool) -> None:
        """From now on the database can't grow by a page, or it can again."""
        self._full = full
        if self._writer is not None:
            self._writer.limit_growth(full)

    def crash(self) -> None:
        """The power is gone: of what waits, a part from the front is durable, unacknowledged."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.crash(self._rng)

    def image(self) -> bytes:
        """A copy of the database as it is on the disk now."""
        return self.database.serialize()

    def replace(self, image: bytes) -> None:
        """Put a copy in the place of the database, while nobody has it open."""
        assert self._writer is None or self._writer.closed
        self.close()
        self._blank = b""
        self.database = database(image)

    def close(self) -> None:
        """Give the database back, for nobody reads it any more."""
        give_back(self.database, self._blank)

    def delay(self) -> float:
        """Seconds until the commit that begins now is durable."""
        mean = self.latency
        drawn = -math.log(1.0 - self._rng.random()) * mean  # what `expovariate` does
        return max(mean / 10, drawn) + self.slowness

    @property
    def loop(self) -> VirtualLoop:
        """The clock."""
        return self._loop


class SimWriter:
    """The `WriterPort` of one start of one machine."""

    def __init__(self, disk: SimDisk, connection: sqlite3.Connection) -> None:
        self.disk = disk
        self._connection = connection
        self._waiting: list[Operation] = []
        self._unacknowledged: list[Operation] = []
        self._committing = False
        self.closed = False

    @property
    def connection(self) -> sqlite3.Connection:
        """The database."""
        return self._connection

    async def write(self, run: Callable[[sqlite3.Connection], T], *, erases: bool = False) -> T:
        """See `WriterPort.write`."""
        if self.closed:
            raise StoreClosedError("the store is closed", hint="the node is shutting down")
        future: asyncio.Future[Any] = self.disk.loop.create_future()
        self._waiting.append(Operation(run, erases, future))  # type: ignore[arg-type] # settled alike
        self.disk.most_waiting = max(self.disk.most_waiting, len(self._waiting))
        self._begin()
        result: T = await future
        return result

    def scrub_due(self) -> bool:
        """See `WriterPort.scrub_due`: a database in memory has no write-ahead log."""
        return False

    def pending(self) -> int:
        """See `WriterPort.pending`."""
        return len(self._waiting)

    def close(self) -> None:
        """See `WriterPort.close`."""
        if self.closed:
            return
        self.closed = True
        self._commit(self._waiting)
        self._acknowledge()

    def abandon(self) -> None:
        """See `WriterPort.abandon`; nobody is told, for who would be is gone too."""
        self.closed = True

    def crash(self, rng: Random) -> None:
        """Make some of what waits durable, from the front and unacknowledged; drop the rest."""
        if self.closed:
            return
        done = rng.randint(0, len(self._waiting)) if self._committing else 0
        if done:
            commit_batch(self._connection, self._waiting[:done])
        if done or self._unacknowledged:
            self.disk.met["acknowledgement lost in a crash"] += 1
        if done < len(self._waiting):
            self.disk.met["write lost in a crash"] += 1
        self._waiting.clear()
        self._unacknowledged.clear()

    def limit_growth(self, full: bool) -> None:
        """Let SQLite itself say that the disk is full, or not any more."""
        if self.closed:
            return
        if full:
            pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
            self._connection.execute(f"PRAGMA max_page_count = {pages}")
        else:
            unlimit_growth(self._connection)

    def _begin(self) -> None:
        if not self._committing and self._waiting and not self.closed:
            self._committing = True
            delay = self.disk.delay()
            trap, self.disk.trap = self.disk.trap, None
            if trap is not None:
                trap(delay)
            self.disk.loop.call_later(delay, self._durable)

    def _durable(self) -> None:
        if self.closed:
            return
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        self._commit(batch)
        self._committing = False
        # Its caller hears of it a moment later, and the next commit is on its way by then.
        self.disk.loop.call_later(self.disk.delay() / 10, self._acknowledge)
        self._begin()

    def _commit(self, batch: list[Operation]) -> None:
        waiting = [operation for operation in batch if not operation.future.cancelled()]
        if not waiting:
            return
        commit_batch(self._connection, waiting)
        self._unacknowledged += waiting

    def _acknowledge(self) -> None:
        told, self._unacknowledged = self._unacknowledged, []
        for operation in told:
            if operation.error is not None:
                self.disk.met[type(operation.error).__name__] += 1
            if not operation.future.done():
                operation.tell()
