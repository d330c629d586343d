"""The federation server: HTTP around `FederationService`, for members only.

Mutual TLS; the peer of a request is the member whose pinned key was proven in that connection's
handshake, never a name that the request carries. Every phase of an exchange has a deadline
(`orgnode.federation.connection`), the sending of the answer too. What may be asked, and how much at
a time, is the service's.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from contextlib import suppress
from typing import cast

import structlog
from aiohttp import web

from mesh.genesis import Mesh
from orgnode.copies import PORT_TAKEN
from orgnode.errors import NotAMemberError
from orgnode.federation.connection import Connection, ConnectionServer
from orgnode.federation.errors import ListenError, PortInUseError
from orgnode.federation.limits import ServerLimits
from orgnode.federation.reply import ReadBody, RefusedError, Reply, too_large
from orgnode.federation.service import FederationService
from orgnode.listening import Crowd, close_listening, listen
from orgnode.tls import member_of, peer_pin

log = structlog.get_logger(__name__)


class FederationServer:
    """Answers the members of a mesh over HTTPS.

    `context` is the server side of the mesh's mutual TLS, `service` what answers; `limits` are
    those of connections and deadlines, by default the service's.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        service: FederationService,
        context: ssl.SSLContext,
        limits: ServerLimits | None = None,
    ) -> None:
        self._mesh = mesh
        self._name = name
        self._service = service
        self._context = context
        self._limits = limits or service.limits
        self._connections: ConnectionServer | None = None
        self._servers: list[asyncio.Server] = []

    @property
    def port(self) -> int:
        """The TCP port that the server listens on; raises RuntimeError when it does not."""
        if not self._servers:
            raise RuntimeError("the federation server is not started")
        return cast(int, self._servers[0].sockets[0].getsockname()[1])

    async def start(self, host: str, port: int) -> None:
        """Listen on `host`:`port` (0: any free port). Raises PortInUseError or ListenError."""
        connections = ConnectionServer(self._handle, self._identify, self._limits)
        crowd = Crowd(self._limits.handshakes, lambda: connections.admitted)
        bound: list[socket.socket] = []
        try:
            bound = await listen(host, port, crowd)
            for one in bound:
                self._servers.append(await self._serve(one, connections))
        except OSError as error:
            for server in self._servers:
                server.close()
            for one in bound:
                one.close()
            self._servers.clear()
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(
                    f"federation port {port} on {host} is taken",
                    hint=PORT_TAKEN,
                ) from error
            raise ListenError(
                f"cannot listen for the federation on {host}:{port}: {error.strerror}",
                hint="check federation_host and federation_port in the configuration",
            ) from error
        self._connections = connections
        log.info("federation.listening", host=host, port=self.port)

    async def _serve(self, bound: socket.socket, connections: ConnectionServer) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            connections,
            sock=bound,
            ssl=self._context,
            ssl_handshake_timeout=self._limits.handshake,
            ssl_shutdown_timeout=min(2.0, self._limits.handshake),
        )

    async def stop(self, drain: float = 5.0) -> None:
        """Take no new connections, give running exchanges `drain` seconds, close the rest."""
        servers, self._servers = self._servers, []
        connections, self._connections = self._connections, None
        await close_listening(servers)
        if connections is not None:
            await asyncio.sleep(0)  # requests that have just arrived get their handler first
            connections.pre_shutdown()
            await connections.shutdown(drain)
        for server in servers:
            # Handshakes that never end would hold this up; their own deadline closes them.
            with suppress(TimeoutError):
                async with asyncio.timeout(drain):
                    await server.wait_closed()

    def _identify(self, tls: ssl.SSLObject) -> str | None:
        try:
            member = member_of(peer_pin(tls), self._mesh)
        except NotAMemberError:
            return None
        # Nobody else holds this node's own key, so its own key on the other end is a loop or a
        # theft.
        return None if member.name == self._name else member.name

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast(Connection, request.protocol)
        connection.begin_exchange()
        peer = connection.member
        if peer is None:
            # Its connection was cut while the request was on its way up.
            refused = RefusedError(403, "NotAMemberError", "this connection belongs to no member")
            response = await _send(request, refused.reply)
        elif request.headers.get("Content-Encoding", "identity").lower() != "identity":
            # A request has no business being compressed; refused before a byte of the body is
            # looked at.
            refused = RefusedError(415, "EncodedRequestError", "requests are not compressed here")
            response = await _send(request, refused.reply)
        else:
            path = request.raw_path
            async with self._service.exchange(peer, request.method, path, _body(request)) as reply:
                response = await _send(request, reply)
        connection.end_exchange()
        return response


async def _send(request: web.BaseRequest, reply: Reply) -> web.Response:
    # The answer is written here, inside the exchange's deadline and the peer's account, so that a
    # reader who never reads is cut off too; aiohttp finds it written and goes on to the next
    # request.
    headers = {"Content-Type": reply.content_type, **reply.headers}
    response = web.Response(status=reply.status, body=reply.body, headers=headers)
    with suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()
    return response


def _body(request: web.BaseRequest) -> ReadBody:
    async def read(cap: int) -> bytes:
        if (request.content_length or 0) > cap:
            raise too_large(cap)
        body = bytearray()
        while chunk := await request.content.readany():
            body += chunk
            if len(body) > cap:
                raise too_large(cap)
        return bytes(body)

    return read
