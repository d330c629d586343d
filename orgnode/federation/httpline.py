"""The line to one peer over HTTPS: pinned, warm, capped in bytes and in time.

The only address ever asked is the endpoint in the peer's member card. Redirects are answers like
any other wrong status; a compressed answer is refused unread; every answer has a size that it may
not exceed and a deadline for the whole of it, so that one byte a second is cut like silence.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import aiohttp
from yarl import URL

from mesh.member import MemberCard
from orgnode.federation.errors import (
    EncodedAnswerError,
    PeerAnswerError,
    PeerTimeoutError,
    PeerUnreachableError,
    WrongPeerError,
)
from orgnode.federation.limits import ClientLimits
from orgnode.federation.reply import MAX_REFUSAL, answer_too_large, refusal
from orgnode.tls import peer_pin


class HttpLine:
    """A `Line` over mutual TLS.

    `context` is the client side of the mesh's mutual TLS, which trusts the peer's certificate
    alone. `source` is the own address to connect from, None for the system's choice.
    """

    def __init__(
        self,
        card: MemberCard,
        context: ssl.SSLContext,
        *,
        limits: ClientLimits | None = None,
        source: str | None = None,
    ) -> None:
        self.card = card
        self._local = None if source is None else (source, 0)
        self._context = context
        self._limits = limits or ClientLimits()
        self._origin = URL.build(scheme="https", host=card.host, port=card.port)
        self._session: aiohttp.ClientSession | None = None
        self._evaluating: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections; a later call opens them anew."""
        sessions = (self._session, self._evaluating)
        self._session = self._evaluating = None
        for session in sessions:
            if session is not None:
                await session.close()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        cap: int,
        deadline: float,
        body: bytes | None = None,
        evaluation: bool = False,
    ) -> bytes:
        """See `Line.ask`."""
        name = self.card.name
        try:
            async with asyncio.timeout(deadline):
                return await self._exchange(self._open(evaluation), method, path, cap, body)
        except TimeoutError as error:
            raise PeerTimeoutError(
                f"{name} gave no whole answer within {deadline:g} s",
                hint=f"ask the operator of {name} whether the node is overloaded",
            ) from error
        except (aiohttp.ClientConnectorCertificateError, _PinError) as error:
            raise WrongPeerError(
                f"whoever answers at {self.card.host}:{self.card.port} is not {name}",
                hint="check the endpoint in the member card; a changed key needs a new genesis",
            ) from error
        except aiohttp.ClientPayloadError as error:
            raise PeerAnswerError(f"{name} broke off in the middle of its answer") from error
        except aiohttp.ClientResponseError as error:
            raise PeerAnswerError(f"{name} answered with something that is not HTTP") from error
        except aiohttp.ServerDisconnectedError as error:
            # The handshake was done, so the other side is the peer: it may not know our certificate
            # (TLS 1.3 tells the client so only after its own part), or is just shutting down.
            raise PeerUnreachableError(
                f"{name} closed the connection without an answer",
                hint=f"if {name}'s node is running, compare mesh ids: its genesis may be another",
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise PeerUnreachableError(
                f"no connection to {name} at {self.card.host}:{self.card.port}",
                hint=f"check the network, and whether {name}'s node is running",
            ) from error

    async def _exchange(
        self, session: aiohttp.ClientSession, method: str, path: str, cap: int, body: bytes | None
    ) -> bytes:
        async with session.request(
            method, self._origin.with_path(path, encoded=True), data=body, allow_redirects=False
        ) as response:
            if response.status != 200:
                raise await self._refused(response)
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding.lower() != "identity":
                raise EncodedAnswerError(f"{self.card.name} compressed its answer")
            return await self._read(response, cap)

    async def _read(self, response: aiohttp.ClientResponse, cap: int) -> bytes:
        length = response.content_length
        if length is not None and length > cap:
            raise answer_too_large(self.card.name, cap)
        data = bytearray()
        while chunk := await response.content.readany():
            data += chunk
            if len(data) > cap:
                raise answer_too_large(self.card.name, cap)
        return bytes(data)

    async def _refused(self, response: aiohttp.ClientResponse) -> PeerAnswerError:
        body = b""
        if "Content-Encoding" not in response.headers:
            body = await self._read(response, MAX_REFUSAL)
        # The header as it came: aiohttp would make up a type where there is none.
        content_type = response.headers.get("Content-Type", "")
        return refusal(self.card.name, response.status, content_type, body)

    def _open(self, evaluation: bool) -> aiohttp.ClientSession:
        if evaluation:
            if self._evaluating is None:
                self._evaluating = self._new_session(self._limits.evaluations)
            return self._evaluating
        if self._session is None:
            self._session = self._new_session(self._limits.connections)
        return self._session

    def _new_session(self, connections: int) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._context,
                limit=connections,
                keepalive_timeout=self._limits.idle,
                local_addr=self._local,
            ),
            request_class=_pinned_requests(self.card.transport_pin),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            # An answer is never inflated: compressed ones are refused before they are read.
            auto_decompress=False,
            trust_env=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "orgnode"},
        )


class _PinError(aiohttp.ClientError):
    """The key of the connection is not the pinned one."""


def _pinned_requests(pin: str) -> type[aiohttp.ClientRequest]:
    """A request class that looks at the connection's key before it sends a byte, each time."""

    class PinnedRequest(aiohttp.ClientRequest):
        async def send(self, conn: Any) -> aiohttp.ClientResponse:
            tls = None if conn.transport is None else conn.transport.get_extra_info("ssl_object")
            if tls is None or peer_pin(tls) != pin:
                raise _PinError("the connection's key is not the pinned one")
            return await super().send(conn)

    return PinnedRequest
