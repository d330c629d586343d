"""A relay between real node processes on one machine, whose links can be cut and healed.

Each organization's member card names a port of the relay, and the relay passes connections on to
the node's own port. Nodes connect from a loopback address of their own (`federation_source`), so
the relay knows both ends of every connection and can cut any of the links, one way or both. A cut
link is a black hole: connections stand, bytes wait, nobody is told. When it heals, what waited goes
on. So a node learns of a cut only through its own deadlines, as it would on a real network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

_CHUNK = 65_536


def source_address(place: int) -> str:
    """The loopback address from which the organization at this place connects."""
    return f"127.0.1.{place + 1}"


@dataclass(frozen=True)
class Endpoint:
    """Where the relay listens for a node's peers, and where the node itself does."""

    relay_port: int
    node_port: int


class Relay:
    """Relays for the nodes of one test network. Use as `async with`.

    :param endpoints: by the place of the organization.
    """

    def __init__(self, endpoints: Mapping[int, Endpoint]) -> None:
        self._endpoints = dict(endpoints)
        self._places = {source_address(place): place for place in endpoints}
        self._open = {
            # To itself too: a starting node looks whether a copy of it runs already.
            (a, b): asyncio.Event()
            for a in self._endpoints
            for b in self._endpoints
        }
        self._servers: list[asyncio.Server] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.bytes = 0
        """Bytes relayed so far."""
        self.heal()

    async def __aenter__(self) -> Relay:
        for place, endpoint in self._endpoints.items():
            self._servers.append(
                await asyncio.start_server(self._connected(place), "127.0.0.1", endpoint.relay_port)
            )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, a: int, b: int) -> None:
        """Let nothing through from one organization to another; the other way stays as it is."""
        self._open[a, b].clear()

    def partition(self, sides: Iterable[Iterable[int]]) -> None:
        """Cut all links between organizations of different sides, both ways."""
        groups = [frozenset(side) for side in sides]
        for a, b in self._open:
            if a != b and not any({a, b} <= group for group in groups):
                self.cut(a, b)

    def heal(self) -> None:
        """Open all links; what waited goes on."""
        for link in self._open.values():
            link.set()

    def _connected(self, to: int):  # type: ignore[no-untyped-def]
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.append(task)
            try:
                await self._pass_on(to, reader, writer)
            finally:
                self._tasks.remove(task)

        return serve

    async def _pass_on(
        self, to: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        came_from = self._places.get(writer.get_extra_info("peername")[0])
        if came_from is None:
            writer.close()  # somebody outside the network
            return
        await self._open[came_from, to].wait()
        try:
            onward = await asyncio.open_connection("127.0.0.1", self._endpoints[to].node_port)
        except OSError:
            writer.close()  # the node does not run
            return
        ways = [
            asyncio.create_task(self._pump((came_from, to), reader, onward[1])),
            asyncio.create_task(self._pump((to, came_from), onward[0], writer)),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, onward[1]):
                end.close()

    async def _pump(
        self, link: tuple[int, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                await self._open[link].wait()
                writer.write(data)
                await writer.drain()
                self.bytes += len(data)
        # A node that ended is noticed by whoever talks to it, unless the link is cut.
        await self._open[link].wait()
        writer.close()
