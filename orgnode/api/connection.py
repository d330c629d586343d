"""Connections to the local API: a request's headers come within a deadline, or not at all.

aiohttp times idle connections only. Headers that never end would hold a file descriptor for ever,
and every program of the machine may connect, with a token or without.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


class LocalConnection(RequestHandler):
    """One connection. `begin` and `end` mark the time that a request is handled in."""

    __slots__ = ("_busy", "_deadline", "_header_seconds")

    def __init__(self, server: web.Server, header_seconds: float, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._header_seconds = header_seconds
        self._busy = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect a request."""
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Give a request's headers a deadline from their first byte on."""
        if not self._busy and self._deadline is None:
            self._arm()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timer."""
        self._disarm()
        super().connection_lost(exc)

    def begin(self) -> None:
        """A request's headers are here."""
        self._busy = True
        self._disarm()

    def end(self) -> None:
        """The request has been handled; until the next byte only the keep-alive time counts."""
        self._busy = False

    def _arm(self) -> None:
        self._deadline = self._loop.call_later(self._header_seconds, self._cut)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        self._deadline = None
        if self.transport is not None:
            self.transport.abort()
