"""Asking one peer: pinned, warm, capped in bytes and in time.

The only address ever asked is the endpoint in the peer's member card. Redirects are answers like
any other wrong status; a compressed answer is refused unread; every answer has a size that it may
not exceed and a deadline for the whole of it, so that one byte a second is cut like silence.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Any

import aiohttp
from yarl import URL

from mesh.days import Day, DayFormatError, parse_day
from mesh.evaluation import MAX_EVALUATION_NOTE
from mesh.member import MemberCard
from mesh.metering import MAX_COUNTS_NOTE
from mesh.strictjson import StrictJSONError, loads
from mesh.wire import (
    Announcement,
    BodyAnswer,
    WireError,
    WireLimits,
    decode_bodies,
    encode_announcement,
)
from orgnode.federation.errors import (
    AnswerTooLargeError,
    EncodedAnswerError,
    PeerAnswerError,
    PeerTimeoutError,
    PeerUnreachableError,
    WrongPeerError,
)
from orgnode.federation.limits import KIB, ClientLimits
from orgnode.federation.paths import ANNOUNCE, EVALUATE, EVALUATIONS, PING, log_path
from orgnode.tls import peer_pin
from proofs.tiles import (
    MAX_ENTRY,
    BundleError,
    decode_bundle,
    entries_path,
    tile_path,
)

HASH = 32
MAX_ERROR = 4 * KIB

_CODE = re.compile(r"[A-Za-z]{1,64}", re.ASCII)


class PeerClient:
    """A warm line to one peer. Use as `async with`, or call `close` when done.

    `context` is the client side of the mesh's mutual TLS, which trusts the peer's certificate
    alone. Every method raises PeerUnreachableError, WrongPeerError,
    PeerTimeoutError or PeerAnswerError, and nothing else.
    """

    def __init__(
        self,
        card: MemberCard,
        context: ssl.SSLContext,
        *,
        max_body_bytes: int,
        limits: ClientLimits | None = None,
    ) -> None:
        self.card = card
        self._limits = limits or ClientLimits()
        self._wire = WireLimits(max_body=max_body_bytes)
        self._origin = URL.build(scheme="https", host=card.host, port=card.port)
        self._log = log_path(card.name)
        self._context = context
        self._session: aiohttp.ClientSession | None = None
        self._evaluating: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> PeerClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the line; a later call opens it anew."""
        sessions = (self._session, self._evaluating)
        self._session = self._evaluating = None
        for session in sessions:
            if session is not None:
                await session.close()

    async def ping(self) -> dict[str, Any]:
        """The peer's name, mesh id and constraints version, as it states them."""
        return self._object(await self._get(PING, KIB, self._limits.short))

    async def checkpoint(self) -> bytes:
        """The signed note of the peer's latest checkpoint, unverified."""
        return await self._get(
            f"{self._log}checkpoint", self._wire.max_checkpoint, self._limits.short
        )

    async def tile(self, level: int, index: int, width: int) -> bytes:
        """The hashes of one tile (32 bytes each), unverified."""
        path = self._log + tile_path(level, index, width)
        data = await self._get(path, width * HASH, self._limits.long)
        if len(data) != width * HASH:
            raise PeerAnswerError(
                f"{self.card.name} served a tile of {len(data)} bytes instead of {width * HASH}"
            )
        return data

    async def bundle(self, index: int, width: int) -> list[bytes]:
        """The `width` entries of one bundle, unverified."""
        path = self._log + entries_path(index, width)
        data = await self._get(path, width * (MAX_ENTRY + 2), self._limits.long)
        try:
            return decode_bundle(data, width)
        except BundleError as error:
            raise PeerAnswerError(f"{self.card.name} served a broken bundle: {error}") from error

    async def bodies(self, start: int, end: int) -> list[BodyAnswer]:
        """The bodies of the entries `start`..`end` (exclusive), unverified."""
        count = end - start
        cap = self._wire.bodies_bytes(count)
        data = await self._get(f"{self._log}bodies/{start}/{end}", cap, self._limits.long)
        try:
            return list(decode_bodies(data, count, self._wire.max_body))
        except WireError as error:
            raise PeerAnswerError(f"{self.card.name} served broken bodies: {error}") from error

    async def announce(self, announcement: Announcement | bytes) -> int:
        """Hand the peer new entries of the own log; returns up to which size it holds the log."""
        data = (
            announcement if isinstance(announcement, bytes) else encode_announcement(announcement)
        )
        answer = self._object(await self._ask("POST", ANNOUNCE, KIB, self._limits.long, body=data))
        size = answer.get("size")
        if type(size) is not int or size < 0:
            raise PeerAnswerError(f"{self.card.name} answered an announcement without a size")
        return size

    async def evaluate(self, note: bytes, deadline: float) -> bytes:
        """Hand the peer's committee seat a signed request, for at most `deadline` seconds.

        Returns the signed answer, unverified. On a line of its own: see `ClientLimits`.
        """
        if self._evaluating is None:
            self._evaluating = self._new_session(self._limits.evaluations)
        return await self._ask(
            "POST", EVALUATE, MAX_EVALUATION_NOTE, deadline, body=note, session=self._evaluating
        )

    async def evaluation_counts(self) -> bytes:
        """The signed note of what the peer's seat evaluated today, and for whom; unverified."""
        return await self._get(EVALUATIONS, MAX_COUNTS_NOTE, self._limits.short)

    def _object(self, data: bytes) -> dict[str, Any]:
        try:
            value = loads(data, max_bytes=KIB, max_depth=2)
        except StrictJSONError as error:
            raise PeerAnswerError(f"{self.card.name} answered with broken JSON") from error
        if not isinstance(value, dict):
            raise PeerAnswerError(f"{self.card.name} answered with JSON that is no object")
        return value

    async def _get(self, path: str, cap: int, deadline: float) -> bytes:
        return await self._ask("GET", path, cap, deadline)

    async def _ask(
        self,
        method: str,
        path: str,
        cap: int,
        deadline: float,
        body: bytes | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> bytes:
        name = self.card.name
        try:
            async with asyncio.timeout(deadline):
                return await self._exchange(session or self._open(), method, path, cap, body)
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
                await self._raise_status(response)
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding.lower() != "identity":
                raise EncodedAnswerError(f"{self.card.name} compressed its answer")
            return await self._read(response, cap)

    async def _read(self, response: aiohttp.ClientResponse, cap: int) -> bytes:
        length = response.content_length
        if length is not None and length > cap:
            raise self._too_large(cap)
        data = bytearray()
        while chunk := await response.content.readany():
            data += chunk
            if len(data) > cap:
                raise self._too_large(cap)
        return bytes(data)

    def _too_large(self, cap: int) -> AnswerTooLargeError:
        return AnswerTooLargeError(f"{self.card.name} answers with more than {cap} bytes")

    async def _raise_status(self, response: aiohttp.ClientResponse) -> None:
        told, resets = None, None
        if "Content-Encoding" not in response.headers:
            told, resets = _refusal(await self._read(response, MAX_ERROR))
        named = f" ({told})" if told else ""
        raise PeerAnswerError(
            f"{self.card.name} answered {response.status}{named}",
            status=response.status,
            told=told,
            resets=resets,
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._new_session(self._limits.connections)
        return self._session

    def _new_session(self, connections: int) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._context, limit=connections, keepalive_timeout=self._limits.idle
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


def _refusal(data: bytes) -> tuple[str | None, Day | None]:
    """The error's name and the day in a peer's refusal, if well formed; never any other text."""
    try:
        value = loads(data, max_bytes=MAX_ERROR, max_depth=3)
    except StrictJSONError:
        return None, None
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return None, None
    code, day = error.get("code"), error.get("resets")
    told = code if isinstance(code, str) and _CODE.fullmatch(code) else None
    try:
        return told, parse_day(day) if isinstance(day, str) else None
    except DayFormatError:
        return told, None
