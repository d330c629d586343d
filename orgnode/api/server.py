"""Listening: the local API on a socket, and its orderly end."""

from __future__ import annotations

import errno

import structlog
from aiohttp import web

from orgnode.errors import OrgnodeError

log = structlog.get_logger(__name__)

KEEPALIVE_SECONDS = 75.0

SHUTDOWN_SECONDS = 10.0
"""How long running requests may take to finish once the server stops."""


class LocalListenError(OrgnodeError):
    """The local API can't listen where the settings say."""


class LocalServer:
    """Serves the application on an address. Port 0 takes any free one; `port` tells which.

    Close the node's feed before `stop`, so that its subscribers are told instead of cut off.
    """

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        self._app = app
        self._host = host
        self._runner: web.AppRunner | None = None
        self.port = port

    async def start(self) -> None:
        """Listen. Raises LocalListenError."""
        runner = web.AppRunner(
            self._app,
            access_log=None,  # requests are counted, not listed
            keepalive_timeout=KEEPALIVE_SECONDS,
            auto_decompress=False,  # compressed bodies are refused unread
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self.port).start()
        except OSError as error:
            await runner.cleanup()
            raise _listen_error(error, self._host, self.port) from error
        self._runner = runner
        self.port = runner.addresses[0][1]
        log.info("api.listening", host=self._host, port=self.port)

    async def stop(self) -> None:
        """Take no more connections, finish running requests, and close."""
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
