"""Connections with a deadline on every phase, and with the member's name on them.

aiohttp's own protocol has one timer, for idle connections; partial headers, slow bodies and
readers that never read would stay open. Here one timer follows the connection through its phases:
headers from their first byte, then the whole exchange until the answer has been handed over. When
it runs out the transport is aborted, without a farewell: whoever is that slow learns it from the
reset.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from orgnode.federation.limits import ServerLimits

log = structlog.get_logger(__name__)

Identify = Callable[[ssl.SSLObject], str | None]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(RequestHandler):
    """One peer's connection. `member` is who it is, by the key that it proved in the handshake."""

    __slots__ = ("_busy", "_deadline", "_limits", "_server", "member")

    def __init__(self, server: ConnectionServer, limits: ServerLimits, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._server = server
        self._limits = limits
        self._busy = False
        self._deadline: asyncio.TimerHandle | None = None
        self.member: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Identify the peer by its pinned key; cut a stranger, or one connection too many."""
        super().connection_made(transport)
        self.member = self._server.admit(transport)
        if self.member is None:
            self._cut("not-admitted")
        else:
            self._arm(self._limits.header, "header")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the peer and its timer."""
        self._disarm()
        if self.member is not None:
            self._server.leave(self.member)
            self.member = None
        task = self._task_handler
        super().connection_lost(exc)
        if task is not None and not self._busy:
            # aiohttp would wait out the linger time for a body that can't come any more. A running
            # exchange is left alone: what it has begun to store is stored.
            task.cancel()

    def data_received(self, data: bytes) -> None:
        """Give a request's headers a deadline from their first byte on."""
        if not self._busy and self._deadline is None:
            self._arm(self._limits.header, "header")
        super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer an error without repeating what was sent; what a peer causes is no traceback."""
        if status < 500:
            log.info("federation.not_http", peer=self.member, status=status)
        else:
            log.error("federation.failed", peer=self.member, status=status, exc_info=exc)
        if request.writer.output_size:
            raise ConnectionError("part of an answer was sent already")
        response = web.Response(status=status)
        response.force_close()
        return response

    def begin_exchange(self) -> None:
        """The headers are here: from now on the exchange's deadline counts."""
        self._busy = True
        self._arm(self._limits.exchange, "exchange")

    def end_exchange(self) -> None:
        """The answer has been handed over; until the next byte only the idle deadline counts."""
        self._busy = False
        self._disarm()

    def _arm(self, seconds: float, phase: str) -> None:
        self._disarm()
        self._deadline = self._loop.call_later(seconds, self._cut, phase)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self, phase: str) -> None:
        self._deadline = None
        if self.transport is not None:
            log.info("federation.connection_cut", peer=self.member, phase=phase)
            self.transport.abort()


class ConnectionServer(web.Server):
    """Makes a `Connection` for each accepted socket and counts the connections of every member."""

    def __init__(self, handler: Handler, identify: Identify, limits: ServerLimits) -> None:
        # Never inflate a request: compressed ones are refused, and a bomb must not burst before
        # that.
        self._settings: dict[str, Any] = {
            "auto_decompress": False,
            "keepalive_timeout": limits.idle,
            "lingering_time": limits.linger,
            "max_line_size": limits.max_header,
            "max_field_size": limits.max_header,
            "max_headers": limits.max_headers,
            "access_log": None,
            "timeout_ceil_threshold": float("inf"),
        }
        super().__init__(handler)
        self._identify = identify
        self._limits = limits
        self._open: Counter[str] = Counter()
        self._stopping = False

    def pre_shutdown(self) -> None:
        """Close idle connections, and let none in whose handshake ends from now on."""
        self._stopping = True
        super().pre_shutdown()

    def __call__(self) -> Connection:
        """The protocol of a new connection (called by asyncio)."""
        return Connection(self, self._limits, loop=self._loop, **self._settings)

    def admit(self, transport: asyncio.BaseTransport) -> str | None:
        """The member behind a connection whose handshake is done, or None if it must be cut."""
        if self._stopping:
            return None  # nobody would close it any more
        tls = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
        member = None if tls is None else self._identify(tls)
        if member is None:
            log.warning("federation.stranger", remote=str(transport.get_extra_info("peername")))
            return None
        if self._open[member] >= self._limits.connections:
            log.warning("federation.too_many_connections", peer=member)
            return None
        self._open[member] += 1
        return member

    @property
    def admitted(self) -> int:
        """How many connections are members' now."""
        return self._open.total()

    def leave(self, member: str) -> None:
        """A connection of `member` is gone."""
        self._open[member] -= 1
