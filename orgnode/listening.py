"""Listening sockets with a limit on open connections.

Whoever can reach a port can open connections and then say nothing. Each of them holds a file
descriptor until a deadline, with TLS a quarter of a megabyte besides, so a few thousand a second
would leave a node without either: for its database, its peers, its own operator. What is over the
limit is closed at once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Crowd:
    """Counts accepted connections that are open; those that `admitted` tells of have room apart."""

    def __init__(self, limit: int, admitted: Callable[[], int] = lambda: 0) -> None:
        self._limit = limit
        self._admitted = admitted
        self._open = 0
        self._refusing = False

    def enter(self) -> bool:
        """Count one more, if there is room."""
        if self._open - self._admitted() >= self._limit:
            if not self._refusing:
                log.warning("listening.crowded", limit=self._limit)
            self._refusing = True
            return False
        self._refusing = False
        self._open += 1
        return True

    def leave(self) -> None:
        """One that was counted has been closed."""
        self._open -= 1


class _Accepted(socket.socket):
    crowd: Crowd | None = None

    def close(self) -> None:
        crowd, self.crowd = self.crowd, None
        if crowd is not None:
            crowd.leave()
        super().close()


class _Listening(socket.socket):
    crowd: Crowd

    def accept(self) -> tuple[socket.socket, Any]:
        plain, address = super().accept()
        if not self.crowd.enter():
            plain.close()
            # What accept(2) says of a connection that is gone already; asyncio then goes on.
            raise ConnectionAbortedError
        accepted = _Accepted(plain.family, plain.type, plain.proto, fileno=plain.detach())
        accepted.crowd = self.crowd
        return accepted, address


async def listen(host: str, port: int, crowd: Crowd) -> list[socket.socket]:
    """Sockets bound to every address of `host`, for `loop.create_server`. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    bound: list[_Listening] = []
    try:
        for family, kind, proto, _, address in dict.fromkeys(found):
            one = _Listening(family, kind, proto)
            bound.append(one)
            one.crowd = crowd
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
    except BaseException:
        for one in bound:
            one.close()
        raise
    return list(bound)


async def close_listening(servers: Sequence[asyncio.Server]) -> None:
    """Take no new connections.

    asyncio sets up a connection one turn of the loop after it accepted it. If the server is closed
    in between, the connection is forgotten without being closed, and its peer waits for nothing. So
    first nothing is accepted any more, and then, a turn later, the servers are closed.
    """
    loop = asyncio.get_running_loop()
    for server in servers:
        for one in server.sockets:
            loop.remove_reader(one.fileno())
    await asyncio.sleep(0)
    for server in servers:
        server.close()
