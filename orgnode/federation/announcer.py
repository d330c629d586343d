"""Telling every peer what is new in the own log, at once and without asking first.

Each peer has a line of its own: a task that remembers up to which size the peer holds the log and
sends it what follows, entries and bodies included, so that one exchange is enough. While an
exchange is on its way, newer entries gather and go with the next one. Only the newest 256 entries
are ever pushed; a peer that is further behind is told the size and pulls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from mesh.genesis import Mesh
from mesh.wire import MAX_ANNOUNCED, Announcement, encode_announcement
from orgnode.errors import OrgnodeError
from orgnode.federation.backoff import Backoff, pause
from orgnode.federation.client import PeerClient
from orgnode.federation.errors import PeerAnswerError
from orgnode.federation.fetch import end
from orgnode.federation.limits import KIB, MAX_ANNOUNCEMENT_BYTES, Rhythm
from orgnode.federation.ports import Workers
from orgnode.store import Store
from proofs.checkpoint import open_checkpoint

log = structlog.get_logger(__name__)

# Up to so many entries are read and encoded on the event loop; more take a thread.
_INLINE = 16


@dataclass
class _Line:
    client: PeerClient
    backoff: Backoff
    known: int | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    alive: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Announcer:
    """Pushes the own log's growth to every peer; `notify` wakes it."""

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        store: Store,
        clients: Mapping[str, PeerClient],
        workers: Workers,
        rhythm: Rhythm | None = None,
    ) -> None:
        rhythm = rhythm or Rhythm()
        self._name = name
        self._store = store
        self._workers = workers
        self._key = mesh.log_key(name)
        self._size = 0
        self._made: dict[tuple[int, int], asyncio.Task[bytes]] = {}
        self._lines = {
            peer: _Line(client, Backoff(rhythm.backoff, rhythm.backoff_cap))
            for peer, client in clients.items()
        }

    def start(self) -> None:
        """Begin; peers are told at once if the log holds anything."""
        for peer, line in self._lines.items():
            line.task = asyncio.create_task(self._serve(peer, line), name=f"announce:{peer}")
        self.notify(self._store.state(self._name).size)

    async def stop(self) -> None:
        """End all lines. What a peer has not been told yet it will pull."""
        await end(*(line.task for line in self._lines.values()), *self._made.values())
        self._made.clear()
        for line in self._lines.values():
            line.task = None

    def notify(self, size: int) -> None:
        """The own log has grown to `size`, durable and signed."""
        self._size = max(self._size, size)
        if self._size:
            for line in self._lines.values():
                line.wake.set()

    def alive(self, peer: str) -> None:
        """`peer` was just heard of: do not wait any longer before trying it again."""
        line = self._lines.get(peer)
        if line is not None and line.backoff.failures:
            line.alive.set()

    async def _serve(self, peer: str, line: _Line) -> None:
        while True:
            await line.wake.wait()
            line.wake.clear()
            while line.known is None or line.known < self._size:
                line.alive.clear()
                try:
                    behind = not await self._tell(line)
                except OrgnodeError as error:
                    behind = True
                    if not line.backoff.failures:
                        log.info("announce.failed", peer=peer, error=type(error).__name__)
                    if not isinstance(error, PeerAnswerError):
                        line.known = None  # after an outage the peer may stand elsewhere
                if not behind:
                    line.backoff.worked()
                elif (wait := line.backoff.failed()) > 0:
                    await pause(wait, line.alive)

    async def _tell(self, line: _Line) -> bool:
        """Announce once; returns whether the peer got further by it, or is where it should be."""
        start = line.known
        size, data = await self._announcement(start)
        held = await line.client.announce(data)
        # Whatever a peer claims to hold, nothing beyond the own log is meant.
        line.known = min(held, size)
        return line.known >= size or (start is not None and line.known > start)

    async def _announcement(self, start: int | None) -> tuple[int, bytes]:
        """The own log's size and the announcement for a peer that holds it up to `start`."""
        checkpoint = self._store.checkpoint(self._name)
        assert checkpoint is not None  # nothing is announced before a first checkpoint
        size = open_checkpoint(checkpoint, self._key).size
        if start is None or start > size or size - start > MAX_ANNOUNCED:
            start = size
        # Peers that stand alike share the bytes while they are made; they are not kept any longer,
        # for a body in them may be erased at any time.
        place = (start, size)
        task = self._made.get(place)
        if task is None:
            task = self._made[place] = asyncio.create_task(self._make(checkpoint, start, size))
            task.add_done_callback(lambda _: self._made.pop(place, None))
        return size, await asyncio.shield(task)

    async def _make(self, checkpoint: bytes, start: int, size: int) -> bytes:
        if size - start <= _INLINE:
            return self._encode(checkpoint, start, size)
        return await self._workers.run(self._encode, checkpoint, start, size)

    def _encode(self, checkpoint: bytes, start: int, size: int) -> bytes:
        entries = tuple(self._store.entries(self._name, start, size))
        bodies = tuple(self._store.bodies(self._name, start, size))
        data = encode_announcement(Announcement(checkpoint, start, entries, bodies))
        if len(data) > MAX_ANNOUNCEMENT_BYTES - KIB:
            data = encode_announcement(Announcement(checkpoint, size, (), ()))
        return data
