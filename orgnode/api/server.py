"""Listening: the local API on a socket, and its orderly end."""

from __future__ import annotations

import asyncio
import errno
import socket

import structlog
from aiohttp import web

from orgnode.api.connection import LocalConnection
from orgnode.errors import OrgnodeError
from orgnode.listening import Crowd, close_listening, listen

log = structlog.get_logger(__name__)

KEEPALIVE_SECONDS = 75.0

SHUTDOWN_SECONDS = 10.0
"""How long running requests may take to finish once the server stops."""


HEADER_SECONDS = 10.0
"""How long a request's headers may take to arrive."""

CONNECTIONS = 1024
"""Open connections at a time."""


class LocalListenError(OrgnodeError):
    """The local API can't listen where the settings say."""


class LocalServer:
    """Serves the application on an address. Port 0 takes any free one; `port` tells which.

    Close the node's feed before `stop`, so that its subscribers are told instead of cut off.
    """

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        header_seconds: float = HEADER_SECONDS,
        connections: int = CONNECTIONS,
    ) -> None:
        self._app = app
        self._host = host
        self._header_seconds = header_seconds
        self._crowd = Crowd(connections)
        self._runner: web.AppRunner | None = None
        self._servers: list[asyncio.Server] = []
        self.port = port

    async def start(self) -> None:
        """Listen. Raises LocalListenError."""
        runner = web.AppRunner(self._app, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        self._runner = runner
        bound: list[socket.socket] = []
        try:
            bound = await listen(self._host, self.port, self._crowd)
            for one in bound:
                self._servers.append(
                    await asyncio.get_running_loop().create_server(self._connection, sock=one)
                )
        except OSError as error:
            await self.stop()
            for one in bound:
                one.close()
            raise _listen_error(error, self._host, self.port) from error
        self.port = self._servers[0].sockets[0].getsockname()[1]
        log.info("api.listening", host=self._host, port=self.port)

    def _connection(self) -> LocalConnection:
        assert self._runner is not None
        assert self._runner.server is not None
        return LocalConnection(
            self._runner.server,
            self._header_seconds,
            loop=asyncio.get_running_loop(),
            access_log=None,  # requests are counted, not listed
            keepalive_timeout=KEEPALIVE_SECONDS,
            auto_decompress=False,  # compressed bodies are refused unread
        )

    async def stop(self) -> None:
        """Take no more connections, finish running requests, and close."""
        servers, self._servers = self._servers, []
        await close_listening(servers)
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()


def _listen_error(error: OSError, host: str, port: int) -> LocalListenError:
    if error.errno == errno.EADDRINUSE:
        return LocalListenError(
            f"port {port} on {host} is in use",
            hint="set local_port to another one in config.toml, or 0 for any free port",
        )
    return LocalListenError(
        f"can't listen on {host} port {port}: {error.strerror or type(error).__name__}",
        hint="set local_host in config.toml to an address of this machine, such as 127.0.0.1",
    )
