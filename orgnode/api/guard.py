"""The middleware before every route: host, token, and one form for every error.

The order matters. The Host header comes first: a page in the operator's browser that rebinds its
own name to this address is turned away before anything is compared. Then the token, so that without
it nobody learns which paths exist. Errors of any kind become the common JSON; an unexpected one
shows its caller nothing and the log only its class and place.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection

import structlog
from aiohttp import web

from mesh.errors import MeshError
from orgnode.api.connection import LocalConnection
from orgnode.api.errors import (
    HostNotAllowedError,
    MethodNotAllowedError,
    RequestError,
    UnauthorizedError,
    UnknownRouteError,
    internal,
    problem,
    status_of,
)
from orgnode.api.models import ErrorAnswer
from orgnode.api.routing import Handler, answer
from orgnode.errors import OrgnodeError
from orgnode.metrics import Metrics
from proofs.errors import ProofsError

log = structlog.get_logger(__name__)

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names that a browser can't be talked into giving to another address."""

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def host_names(host: str) -> frozenset[str]:
    """Return the Host names that stand for a configured listening address.

    An address of all interfaces allows no name by itself: the operator lists the names it is
    reached by.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return LOOPBACK_NAMES | {host.lower()}
    if address.is_unspecified:
        return LOOPBACK_NAMES
    return LOOPBACK_NAMES | {f"[{address}]" if address.version == 6 else str(address)}


class Guard:
    """The checks before a handler, and the catching of its errors.

    `token` is the bearer token; `hosts` are the allowed Host names, without port; `open_paths` need
    no token, `api_key_paths` take it in the header `x-api-key` too, where gateways put it.
    """

    def __init__(
        self,
        *,
        token: str,
        hosts: Collection[str],
        open_paths: Collection[str],
        metrics: Metrics,
        api_key_paths: Collection[str] = (),
    ) -> None:
        self._token = token.encode()
        self._expected = f"Bearer {token}".encode()
        self._api_key = frozenset(api_key_paths)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._open = frozenset(open_paths)
        self._metrics = metrics

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the request, run its handler, and answer whatever it raises."""
        connection = request.protocol
        assert isinstance(connection, LocalConnection)
        connection.begin()
        try:
            return await self._handle(request, handler)
        finally:
            connection.end()

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check_host(request)
            self._check_token(request)
            response = await handler(request)
        except web.HTTPNotFound:
            response = self._failed(request, _unknown_route())
        except web.HTTPMethodNotAllowed as error:
            response = self._failed(request, _unknown_method(error))
            response.headers["Allow"] = error.headers["Allow"]
        except (OrgnodeError, MeshError, ProofsError) as error:
            response = self._failed(request, error)
        except Exception as error:
            log.error("api.failed", route=_route(request), method=request.method, exc_info=error)
            response = answer(internal(), 500)
        self._metrics.requests.labels(_route(request), str(response.status)).inc()
        if not response.prepared:
            for name, value in _HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    def _failed(self, request: web.Request, error: Exception) -> web.Response:
        status = status_of(error, request.method)
        if status >= 500 and not isinstance(error, RequestError):
            log.warning("api.failed", route=_route(request), method=request.method, exc_info=error)
        response = answer(ErrorAnswer(error=problem(error)), status)
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="orgnode"'
        if status == 503:
            response.headers["Retry-After"] = "1"
        return response

    def _check_host(self, request: web.Request) -> None:
        given = request.headers.getall("Host", [])
        name = _without_port(given[0].lower()) if len(given) == 1 else ""
        if name not in self._hosts:
            raise HostNotAllowedError(
                "this node does not answer to the host name that the request gives",
                hint="use http://127.0.0.1 with the node's port, or the name or address that "
                "`local_host` in config.toml gives",
            )

    def _check_token(self, request: web.Request) -> None:
        if request.path in self._open:
            return
        expected, given = self._expected, request.headers.getall("Authorization", [])
        if not given and request.path in self._api_key:
            expected, given = self._token, request.headers.getall("x-api-key", [])
        if len(given) != 1:
            raise UnauthorizedError(
                "the request has no bearer token",
                hint="send  Authorization: Bearer <token>; the token is in the data directory's "
                "file `token`",
            )
        # Compared as bytes in constant time: how far a guess was right must not show.
        if not hmac.compare_digest(given[0].encode("utf-8", "surrogateescape"), expected):
            raise UnauthorizedError(
                "the bearer token is wrong",
                hint="read the token again from the data directory's file `token`",
            )


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isascii() and port.isdigit() else host


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


def _unknown_route() -> UnknownRouteError:
    return UnknownRouteError(
        "there is nothing at this path", hint="GET /v1/openapi.json lists every route"
    )


def _unknown_method(error: web.HTTPMethodNotAllowed) -> MethodNotAllowedError:
    allowed = ", ".join(sorted(error.allowed_methods))
    return MethodNotAllowedError(
        f"this path does not take {error.method}", hint=f"it takes {allowed}"
    )
