"""Fetching a segment of a log from whoever mirrors it: entries, bodies, hashes to its right.

The parts are asked for side by side over the warm connections. Tiles at the log's right edge are
needed for every segment of one pull, so they are kept for its duration.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from mesh.following import Segment
from mesh.wire import BodyAnswer
from orgnode.federation.client import PeerClient
from proofs.merkle import NodeAddress
from proofs.tiles import TILE_WIDTH, TileAddress, node_from_tile, tiles_for_nodes

T = TypeVar("T")

# Two edges of a tree of 2^40 leaves, at 8 KiB a tile.
_KEPT_TILES = 16


@dataclass(frozen=True)
class Fetched:
    """What a peer handed over for one segment, unverified."""

    entries: list[bytes]
    bodies: list[BodyAnswer]
    tail: list[bytes]


class Fetcher:
    """Fetches one log from one peer. Use one for each pull: it keeps tiles that recur."""

    def __init__(self, client: PeerClient, log: str) -> None:
        self._client = client
        self._log = log
        self._tiles: OrderedDict[TileAddress, bytes] = OrderedDict()

    async def segment(self, segment: Segment) -> Fetched:
        """Everything that checking one segment takes. Raises what PeerClient raises."""
        entries, bodies, tail = await together(
            self._entries(segment),
            self._client.bodies(self._log, segment.start, segment.end),
            self.nodes(segment.tail, segment.size),
        )
        return Fetched(entries, bodies, tail)

    async def nodes(self, addresses: Sequence[NodeAddress], size: int) -> list[bytes]:
        """The hashes of nodes of the tree of `size` leaves, in the order of `addresses`."""
        homes = tiles_for_nodes(addresses, size)
        wanted = [tile for tile in dict.fromkeys(homes) if tile not in self._tiles]
        data = await together(*(self._tile(tile) for tile in wanted))
        found = dict(self._tiles) | dict(zip(wanted, data, strict=True))
        self._keep(found, homes)
        return [
            node_from_tile(address, tile, found[tile])
            for address, tile in zip(addresses, homes, strict=True)
        ]

    async def _entries(self, segment: Segment) -> list[bytes]:
        first, last = segment.start // TILE_WIDTH, (segment.end - 1) // TILE_WIDTH
        bundles = await together(
            *(
                self._client.bundle(
                    self._log, index, min(TILE_WIDTH, segment.size - index * TILE_WIDTH)
                )
                for index in range(first, last + 1)
            )
        )
        offset = first * TILE_WIDTH
        entries = [entry for bundle in bundles for entry in bundle]
        return entries[segment.start - offset : segment.end - offset]

    async def _tile(self, tile: TileAddress) -> bytes:
        assert tile.level != "entries"
        return await self._client.tile(self._log, tile.level, tile.index, tile.width)

    def _keep(self, found: dict[TileAddress, bytes], used: Sequence[TileAddress]) -> None:
        for tile in used:
            self._tiles[tile] = found[tile]
            self._tiles.move_to_end(tile)
        while len(self._tiles) > _KEPT_TILES:
            self._tiles.popitem(last=False)


async def together(*parts: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run coroutines side by side; when one fails, the others are ended and its error is raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        await end(*tasks)
        raise


async def to_its_end(job: Awaitable[T]) -> T:
    """Wait for a job that goes on even if nobody waits for it: a thread's, or a write to the disk.

    *Attack:* whoever asks, and breaks off as soon as the work is handed on, has work done that
    nobody counts, and what it is done with held in memory that nobody counts. So whoever is
    cancelled here leaves when the job is over, and keeps locks and accounts until then.
    """
    task = asyncio.ensure_future(job)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError, Exception):  # it is of no use any more
                await asyncio.shield(task)
        raise


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks and wait until they have ended; what they raise is of no use any more."""
    live = [task for task in tasks if task is not None]
    for task in live:
        task.cancel()
    await asyncio.gather(*live, return_exceptions=True)
