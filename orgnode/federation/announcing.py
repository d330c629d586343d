"""Making announcements of the own log, once for all peers that stand alike."""

from __future__ import annotations

import asyncio

from mesh.entry import entry_id
from mesh.wire import MAX_ANNOUNCED, Announcement, Present, encode_announcement
from orgnode.federation.fetch import end
from orgnode.federation.limits import KIB, MAX_ANNOUNCEMENT_BYTES
from orgnode.federation.ports import Workers
from orgnode.hints import RecentHints
from orgnode.store import Store

# Up to so many entries are read and encoded on the event loop; more take a thread.
_INLINE = 16


class Announcements:
    """Encodes announcements. Nothing is kept once it is made: a body may be erased at any time.

    `hints` has those of the newest entries.
    """

    def __init__(self, store: Store, name: str, workers: Workers, hints: RecentHints) -> None:
        self._store = store
        self._name = name
        self._workers = workers
        self._hints = hints
        self._making: dict[tuple[int, int, int], asyncio.Task[bytes]] = {}

    async def make(
        self, checkpoint: bytes, start: int | None, size: int, certificate: bytes, certified: int
    ) -> bytes:
        """The announcement for a peer that holds the log up to `start`; None if that is unknown.

        Entries from there up to `size` go with it, at most 256 and only if they fit; a peer that is
        further behind is told the checkpoint, and pulls. `certified` is the certificate's size.
        """
        if start is None or start > size or size - start > MAX_ANNOUNCED:
            start = size
        place = start, size, certified
        task = self._making.get(place)
        if task is None:
            made = self._make(checkpoint, start, size, certificate)
            task = self._making[place] = asyncio.create_task(made)
            task.add_done_callback(lambda _: self._making.pop(place, None))
        return await asyncio.shield(task)

    async def stop(self) -> None:
        """End what is being made."""
        await end(*list(self._making.values()))
        self._making.clear()

    async def _make(self, checkpoint: bytes, start: int, size: int, certificate: bytes) -> bytes:
        if size - start <= _INLINE:
            return self._encode(checkpoint, start, size, certificate)
        return await self._workers.run(self._encode, checkpoint, start, size, certificate)

    def _encode(self, checkpoint: bytes, start: int, size: int, certificate: bytes) -> bytes:
        entries = tuple(self._store.entries(self._name, start, size))
        bodies = tuple(self._store.bodies(self._name, start, size))
        hints = tuple(
            self._hints.of(entry_id(entry)) if isinstance(body, Present) else b""
            for entry, body in zip(entries, bodies, strict=True)
        )
        for one in (
            Announcement(checkpoint, start, entries, bodies, certificate, hints),
            Announcement(checkpoint, start, entries, bodies, certificate),
        ):
            data = encode_announcement(one)
            if len(data) <= MAX_ANNOUNCEMENT_BYTES - KIB:
                return data
        return encode_announcement(Announcement(checkpoint, size, (), (), certificate))
