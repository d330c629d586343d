"""What a route is, and how a request is taken in: one table for serving and for describing.

A `Route` names its handler and the models of what it takes and gives. The application registers
exactly the table, the OpenAPI document is generated from it, and handlers read their input through
`body_of` and `query_of`, so that the three can't drift apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from aiohttp import web
from multidict import MultiMapping
from pydantic import ValidationError

from mesh import strictjson
from orgnode.api import loosejson
from orgnode.api.errors import (
    ContentEncodingError,
    InvalidQueryError,
    InvalidRequestError,
    NotJSONError,
    RequestTooLargeError,
    RequestTooSlowError,
    fields_of,
)
from orgnode.api.models import Answer, Request

MAX_BODY: Final = 1 << 20
"""Largest request body in bytes."""

BODY_SECONDS: Final = 30.0
"""How long a body may take to arrive."""

MAX_FOREIGN_BODY: Final = 16 << 20
"""Largest body of a gateway's request in bytes: images come in it, though nobody looks at them."""

_MAX_DEPTH = 16

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RequestT = TypeVar("RequestT", bound=Request)


@dataclass(frozen=True)
class Media:
    """An answer that is not one of the models: its content type and what it is."""

    content_type: str
    description: str


@dataclass(frozen=True)
class Route:
    """One method of one path.

    `answers` maps each status of success (and 503 of `/readyz`) to what it gives; `errors` lists
    the statuses whose answer is the common error, besides those that every route can give. `open`
    routes need no token; `api_key` ones take it in the header `x-api-key` too.
    """

    method: str
    path: str
    handler: Handler
    name: str
    summary: str
    tag: str
    answers: Mapping[int, type[Answer] | Media]
    description: str = ""
    body: type[Request] | None = None
    query: type[Request] | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    open: bool = False
    api_key: bool = False


async def body_of(request: web.Request, model: type[RequestT]) -> RequestT:
    """Read a request's body as strict JSON of a model.

    Raises NotJSONError, ContentEncodingError, RequestTooLargeError, RequestTooSlowError,
    StrictJSONError, InvalidRequestError.
    """
    data = await _data_of(request, MAX_BODY)
    value = strictjson.loads(data, max_bytes=MAX_BODY, max_depth=_MAX_DEPTH)
    return _validated(value, model)


async def loose_body_of(
    request: web.Request, model: type[RequestT], limit: int = MAX_BODY
) -> RequestT:
    """Read a request's body as JSON that may hold fractions, of a model; at most `limit` bytes.

    Raises what `body_of` raises.
    """
    return _validated(loosejson.loads(await _data_of(request, limit)), model)


async def _data_of(request: web.Request, limit: int) -> bytes:
    if request.content_type != "application/json":
        raise NotJSONError(
            "the body's Content-Type is not application/json",
            hint="send the header  Content-Type: application/json",
        )
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ContentEncodingError("the body is compressed", hint="send it as it is")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            if limit != MAX_BODY:
                return await request.clone(client_max_size=limit).read()
            return await request.read()
    except TimeoutError as error:
        raise RequestTooSlowError(
            f"the body did not arrive within {BODY_SECONDS:.0f} seconds", hint="send it again"
        ) from error
    except web.HTTPRequestEntityTooLarge as error:
        raise RequestTooLargeError(
            f"the body is over {limit} bytes", hint="send less at once; split the batch"
        ) from error


def _validated(value: object, model: type[RequestT]) -> RequestT:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidRequestError(
            fields_of(error), hint="GET /v1/openapi.json describes each request"
        ) from None  # its context would hold the input


def query_of(request: web.Request, model: type[RequestT]) -> RequestT:
    """Read a request's query parameters as a model; only tuples may be repeated.

    Raises InvalidQueryError.
    """
    try:
        return model.model_validate(_collected(request.query, model))
    except ValidationError as error:
        names = ", ".join(model.model_fields) or "none"
        raise InvalidQueryError(
            fields_of(error), hint=f"the parameters of this route are: {names}"
        ) from None


def _collected(query: MultiMapping[str], model: type[Request]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name in query:
        given = query.getall(name)
        known = model.model_fields.get(name)
        if known is not None and known.default == ():
            values[name] = tuple(given)
        elif len(given) > 1:
            raise InvalidQueryError(f"{name[:40]}: given {len(given)} times", hint="give it once")
        else:
            values[name] = given[0]
    return values


def answer(model: Answer, status: int = 200) -> web.Response:
    """Answer with a model as JSON."""
    return web.Response(
        body=model.model_dump_json().encode(), status=status, content_type="application/json"
    )
