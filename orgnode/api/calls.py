"""How the Python client talks HTTP to a node: requests, the feed's stream, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import aiohttp
from pydantic import ValidationError
from yarl import URL

from orgnode.api.eventstream import EventParser, ServerEvent
from orgnode.api.models import Answer, ErrorAnswer
from orgnode.api.node_models import ReadyAnswer
from orgnode.errors import OrgnodeError

MAX_REQUEST_BYTES: Final = 1 << 20
"""Longest request that a node takes, in bytes."""

_HEARTBEATS: Final = 3  # of silence in a row mean that the connection is dead
_HEARTBEAT_SECONDS: Final = 15.0  # unless the node says otherwise
_SHORTEST_SECONDS: Final = 0.3
_MAX_ERROR_BYTES: Final = 65_536

AnswerT = TypeVar("AnswerT", bound=Answer)


class ClientError(OrgnodeError):
    """The root of what the client raises."""


class NodeUnreachableError(ClientError):
    """No node answers at the URL, or it stopped answering."""


class UnauthorizedError(ClientError):
    """The node does not accept the token."""


class OtherNodeError(ClientError):
    """What answers at the data directory's address is not the node of this directory.

    A copy of the directory has the same port and the same token: nothing was asked of that node.
    """


class RequestTooLongError(ClientError):
    """What is to be sent is longer than a node takes; nothing was sent."""


class UnexpectedAnswerError(ClientError):
    """What answers is not a node's local API, or one of a version that this client can't read."""


class ApiError(ClientError):
    """The node refused the request. `code` is its name for the reason, `status` the HTTP status."""

    def __init__(self, status: int, code: str, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self._code = code

    @property
    def code(self) -> str:
        """The condition's name, as the node reports it."""
        return self._code

    def __str__(self) -> str:
        return f"{self._code}: {super().__str__()}"


class Caller:
    """One session with one node: its address, its token, and a limit in seconds on each request.

    `known(instance)` says whether the node that calls itself so is the one that is meant; without
    it any is. It is asked once, before anything else is sent.
    """

    def __init__(
        self,
        url: str,
        token: str,
        timeout: float,
        known: Callable[[str], bool] | None = None,
    ) -> None:
        self.url = URL(url)
        self._timeout = timeout
        self._known = known
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=timeout),
            connector=aiohttp.TCPConnector(limit=0),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(
        self,
        path: str,
        model: type[AnswerT],
        query: Mapping[str, object] | None = None,
        also: int | None = None,
    ) -> AnswerT:
        """Ask for something; query values of None are left out, status `also` is a success too."""
        given = {key: str(value) for key, value in (query or {}).items() if value is not None}
        return await self._request("GET", path, model, params=given, also=also)

    async def post(
        self,
        path: str,
        body: bytes,
        model: type[AnswerT],
        query: Mapping[str, object] | None = None,
    ) -> AnswerT:
        """Send encoded JSON, with query parameters. Raises RequestTooLongError."""
        if len(body) > MAX_REQUEST_BYTES:
            raise RequestTooLongError(
                f"the request is {len(body)} bytes long; a node takes {MAX_REQUEST_BYTES}",
                hint="shorten the text",
            )
        given = {key: str(value) for key, value in (query or {}).items()}
        return await self._request("POST", path, model, params=given, data=body)

    async def _request(
        self,
        method: str,
        path: str,
        model: type[AnswerT],
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        also: int | None = None,
    ) -> AnswerT:
        await self._recognize()
        return await self._exchange(method, path, model, params, data, also)

    async def _recognize(self) -> None:
        """Raises OtherNodeError if it is not the node that is meant."""
        if self._known is None:
            return
        ready = await self._exchange("GET", "readyz", ReadyAnswer, None, None, 503)
        if not self._known(ready.instance):
            raise OtherNodeError(
                f"no node runs on this data directory, but one of another directory answers at "
                f"{self.url}",
                hint="is this a copy of a node's directory? Name the directory of the node that "
                "runs with --data-dir. Never start a copy beside it: two nodes with one identity "
                "sign two histories, and the mesh convicts the organization",
            )
        self._known = None

    async def _exchange(
        self,
        method: str,
        path: str,
        model: type[AnswerT],
        params: Mapping[str, str] | None,
        data: bytes | None,
        also: int | None,
    ) -> AnswerT:
        headers = {} if data is None else {"Content-Type": "application/json"}
        try:
            async with self._session.request(
                method,
                self.url / path,
                params=params,
                data=data,
                headers=headers,
                allow_redirects=False,
            ) as response:
                if response.status // 100 != 2 and response.status != also:
                    raise await _refusal(response)
                answer = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error
        try:
            return model.model_validate_json(answer)
        except ValidationError as error:
            raise unexpected(f"an answer that is no {model.__name__}") from error

    async def stream(
        self, query: Sequence[tuple[str, str]], cursor: int | None
    ) -> AsyncGenerator[ServerEvent, None]:
        """Yield the events of one feed connection, from behind `cursor`, until it ends."""
        await self._recognize()
        headers = {"Accept": "text/event-stream"}
        if cursor is not None:
            headers["Last-Event-ID"] = str(cursor)
        silence = self._timeout
        parser = EventParser()
        try:
            async with self._session.request(
                "GET",
                self.url / "v1/feed",
                params=query,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout),
            ) as response:
                if response.status != 200:
                    raise await _refusal(response)
                while True:
                    async with asyncio.timeout(silence):
                        chunk = await response.content.readany()
                    if not chunk:
                        return
                    for event in parser.feed(chunk):
                        if event.event in ("cursor", "gap"):
                            silence = _HEARTBEATS * _heartbeat(event)
                        yield event
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> NodeUnreachableError:
        if isinstance(error, TimeoutError):
            # Something took the connection: to start another one would not help.
            return NodeUnreachableError(
                f"the node at {self.url} did not answer in time",
                hint="it runs, but is busy or was stopped: look at its log and try again; if it "
                "stays so, end it and start it anew",
            )
        return NodeUnreachableError(
            f"the node at {self.url} can't be reached ({type(error).__name__})",
            hint="start it with `orgnode run`, and check host and port",
        )


def encode(value: Mapping[str, Any]) -> bytes:
    """Encode a request's body. Raises ClientError for text that is no UTF-8."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise _lone_surrogate() from None  # its context would hold the text


def _lone_surrogate() -> ClientError:
    return ClientError(
        "a text holds half of a surrogate pair and can't be sent",
        hint='clean it with text.encode("utf-8", "replace").decode()',
    )


def _heartbeat(event: ServerEvent) -> float:
    try:
        beat = float(json.loads(event.data).get("heartbeat", _HEARTBEAT_SECONDS))
    except (ValueError, TypeError, AttributeError) as error:
        raise unexpected(f"a feed event of type {event.event[:40]!r} out of form") from error
    return max(beat, _SHORTEST_SECONDS)


async def _refusal(response: aiohttp.ClientResponse) -> ClientError:
    answer = await response.content.read(_MAX_ERROR_BYTES)
    try:
        problem = ErrorAnswer.model_validate_json(answer).error
    except ValidationError:
        return unexpected(f"HTTP status {response.status} without the API's error form")
    if response.status == 401:
        return UnauthorizedError(problem.message, hint=problem.hint)
    return ApiError(response.status, problem.code, problem.message, problem.hint)


def unexpected(what: str) -> UnexpectedAnswerError:
    """Make the error for something that no node says."""
    return UnexpectedAnswerError(
        f"the server gave {what}",
        hint="check that the URL is a node's local API, and that both are of one version",
    )
