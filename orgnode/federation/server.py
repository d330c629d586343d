"""The federation server: members read this node's log, announce their own, and ask its seat.

Mutual TLS; the peer of a request is the member whose pinned key was proven in that connection's
handshake, never a name that the request carries. Only this node's own log is served. Requests are
small and few kinds, so they are dispatched by hand: every path has exactly one spelling, and what
is not listed here is answered 404 without a look at its body.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import cast

import structlog
from aiohttp import web

from mesh.days import format_day
from mesh.errors import MeshError
from mesh.genesis import Mesh
from mesh.member import log_origin
from mesh.metering import BudgetExceededError
from mesh.wire import Announcement, WireError, WireLimits, decode_announcement
from orgnode.errors import NotAMemberError, OrgnodeError
from orgnode.federation.connection import Connection, ConnectionServer
from orgnode.federation.errors import (
    AnnouncementError,
    ListenError,
    NotYourLogError,
    NotYourRequestError,
    PortInUseError,
    SuspendedPeerError,
)
from orgnode.federation.limits import ServerLimits
from orgnode.federation.paths import (
    ANNOUNCE,
    EVALUATE,
    EVALUATIONS,
    PING,
    PathError,
    parse_resource,
    split_log_path,
)
from orgnode.federation.serving import NotServedError, OwnLogReader, Served
from orgnode.listening import Crowd, listen
from orgnode.store import Store
from orgnode.tls import member_of, peer_pin
from proofs.errors import ProofsError

log = structlog.get_logger(__name__)

OnAnnounce = Callable[[str, Announcement], Awaitable[int]]
OnEvaluate = Callable[[str, bytes], Awaitable[bytes]]
Counts = Callable[[], bytes]


class _RefusedError(Exception):
    """An answer that is not 200, with the code that names why."""

    def __init__(self, status: int, code: str, message: str, *, resets: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.resets = resets


class FederationServer:
    """Serves one organization's log to the members of its mesh.

    `context` is the server side of the mesh's mutual TLS. `on_announce` gets the announcing
    member's name and the announcement, and returns the size up to which this node holds that
    member's log. `on_evaluate` gets the member's name and the signed request for evaluation that it
    sent, and returns the signed answer; `counts` returns the signed note of what was evaluated
    today. Both are None without a seat on the committee.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        store: Store,
        context: ssl.SSLContext,
        on_announce: OnAnnounce,
        on_evaluate: OnEvaluate | None = None,
        counts: Counts | None = None,
        limits: ServerLimits | None = None,
    ) -> None:
        self._mesh = mesh
        self._name = name
        self._limits = limits or ServerLimits()
        self._context = context
        self._on_announce = on_announce
        self._on_evaluate = on_evaluate
        self._counts = counts
        self._wire = WireLimits(max_body=mesh.constraints.max_body_bytes)
        self._reader = OwnLogReader(store, name)
        self._origins = {m.name: log_origin(m.name, mesh.mesh_id).encode() for m in mesh.members}
        self._in_flight: Counter[str] = Counter()
        self._threads: ThreadPoolExecutor | None = None
        self._connections: ConnectionServer | None = None
        self._announcing: Counter[str] = Counter()
        self._evaluating: Counter[str] = Counter()
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
                    hint="stop the other process, or set another federation_port",
                ) from error
            raise ListenError(
                f"cannot listen for the federation on {host}:{port}: {error.strerror}",
                hint="check federation_host and federation_port in the configuration",
            ) from error
        self._connections = connections
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="serve")
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
        for server in servers:
            server.close()
        if connections is not None:
            await asyncio.sleep(0)  # requests that have just arrived get their handler first
            connections.pre_shutdown()
            await connections.shutdown(drain)
        for server in servers:
            # Handshakes that never end would hold this up; their own deadline closes them.
            with suppress(TimeoutError):
                async with asyncio.timeout(drain):
                    await server.wait_closed()
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)

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
        response = await self._answer(request, peer)
        # The answer is written here, inside the exchange's deadline, so that a reader who never
        # reads is cut off too; aiohttp finds it written and goes on to the next request.
        with suppress(ConnectionError):
            await response.prepare(request)
            await response.write_eof()
        connection.end_exchange()
        return response

    async def _answer(self, request: web.BaseRequest, peer: str | None) -> web.Response:
        if peer is None:
            return _error(403, "NotAMemberError", "this connection belongs to no member")
        # Counted apart, so that many checks don't hold up the logs, nor the logs the checks.
        if request.raw_path == EVALUATE:
            running, most = self._evaluating, self._limits.evaluations
        else:
            running, most = self._in_flight, self._limits.in_flight
        if running[peer] >= most:
            return _error(429, "TooManyRequestsError", "too many requests at a time")
        running[peer] += 1
        try:
            return await self._dispatch(request, peer)
        except _RefusedError as refused:
            log.info("federation.refused", peer=peer, status=refused.status, error=refused.code)
            return _error(refused.status, refused.code, str(refused), refused.resets)
        finally:
            running[peer] -= 1

    async def _dispatch(self, request: web.BaseRequest, peer: str) -> web.Response:
        # A request has no business being compressed; refused before a byte of the body is looked
        # at.
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _RefusedError(415, "EncodedRequestError", "requests are not compressed here")
        path = request.raw_path
        if path == ANNOUNCE:
            _expect(request, "POST")
            return await self._announce(request, peer)
        if path == EVALUATE:
            _expect(request, "POST")
            return await self._evaluate(request, peer)
        if path == EVALUATIONS:
            _expect(request, "GET")
            return self._evaluations()
        if path == PING:
            _expect(request, "GET")
            constraints = self._mesh.constraints
            return _json(
                {"name": self._name, "mesh": self._mesh.mesh_id, "version": constraints.version}
            )
        log_and_rest = split_log_path(path)
        if log_and_rest is None:
            raise _RefusedError(404, "UnknownPathError", "there is nothing at this path")
        _expect(request, "GET")
        return await self._log_resource(*log_and_rest)

    async def _log_resource(self, member: str, rest: str) -> web.Response:
        if member != self._name:
            raise _RefusedError(404, "UnknownLogError", "only this member's own log is served here")
        try:
            resource = parse_resource(rest)
        except PathError as error:
            raise _RefusedError(400, "PathError", str(error)) from error
        assert self._threads is not None
        loop = asyncio.get_running_loop()
        try:
            served: Served = await loop.run_in_executor(self._threads, self._reader.read, resource)
        except NotServedError as error:
            raise _RefusedError(404, "NotServedError", str(error)) from error
        return web.Response(
            body=served.data,
            content_type=served.content_type,
            headers={"Cache-Control": served.cache_control},
        )

    async def _announce(self, request: web.BaseRequest, peer: str) -> web.Response:
        # An owner announces one after the other; the second is for one that it gave up waiting for.
        if self._announcing[peer] >= self._limits.announcements:
            raise _RefusedError(429, "TooManyRequestsError", "too many announcements at a time")
        self._announcing[peer] += 1
        try:
            return await self._announced(await self._body(request, self._limits.max_body), peer)
        finally:
            self._announcing[peer] -= 1

    async def _announced(self, body: bytes, peer: str) -> web.Response:
        try:
            announcement = decode_announcement(body, self._wire)
        except WireError as error:
            raise _RefusedError(400, type(error).__name__, str(error)) from error
        # The owner alone speaks for a log: its origin must be the one of whoever proved the key.
        if announcement.checkpoint.partition(b"\n")[0] != self._origins[peer]:
            raise _RefusedError(403, NotYourLogError.__name__, "this log is not the sender's")
        try:
            size = await self._on_announce(peer, announcement)
        except (NotYourLogError, SuspendedPeerError) as error:
            raise _RefusedError(403, type(error).__name__, str(error)) from error
        except AnnouncementError as error:
            raise _RefusedError(400, type(error).__name__, str(error)) from error
        except OrgnodeError as error:
            log.warning("federation.announce_failed", peer=peer, error=type(error).__name__)
            raise _RefusedError(503, "NotNowError", "this node cannot take entries now") from error
        return _json({"size": size})

    async def _evaluate(self, request: web.BaseRequest, peer: str) -> web.Response:
        if self._on_evaluate is None:
            raise _no_seat()
        note = await self._body(request, self._limits.max_evaluation)
        try:
            answer = await self._on_evaluate(peer, note)
        except BudgetExceededError as error:
            raise _RefusedError(
                429, type(error).__name__, str(error), resets=format_day(error.resets)
            ) from error
        except NotYourRequestError as error:
            raise _RefusedError(403, type(error).__name__, str(error)) from error
        except (MeshError, ProofsError) as error:
            raise _RefusedError(400, type(error).__name__, str(error)) from error
        except OrgnodeError as error:
            log.warning("federation.evaluate_failed", peer=peer, error=type(error).__name__)
            raise _RefusedError(503, "NotNowError", "this node cannot evaluate now") from error
        return _note(answer)

    def _evaluations(self) -> web.Response:
        if self._counts is None:
            raise _no_seat()
        return _note(self._counts())

    async def _body(self, request: web.BaseRequest, cap: int) -> bytes:
        if (request.content_length or 0) > cap:
            raise _RefusedError(413, "RequestTooLargeError", f"at most {cap} bytes are taken")
        body = bytearray()
        while chunk := await request.content.readany():
            body += chunk
            if len(body) > cap:
                raise _RefusedError(413, "RequestTooLargeError", f"at most {cap} bytes are taken")
        return bytes(body)


def _expect(request: web.BaseRequest, method: str) -> None:
    if request.method != method:
        raise _RefusedError(405, "MethodError", f"this path takes {method} only")


def _no_seat() -> _RefusedError:
    return _RefusedError(404, "NoSeatError", "this member has no seat on the committee")


def _note(note: bytes) -> web.Response:
    return web.Response(body=note, content_type="text/plain", headers={"Cache-Control": "no-store"})


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(value, separators=(",", ":")).encode(),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _error(status: int, code: str, message: str, resets: str | None = None) -> web.Response:
    error = {"code": code, "message": message}
    if resets is not None:
        error["resets"] = resets
    return _json({"error": error}, status)
