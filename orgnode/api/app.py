"""The aiohttp application of the local API, made from a node and a few options."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from orgnode.api import openapi
from orgnode.api.about import AboutRoutes
from orgnode.api.breaker import BreakerRoutes
from orgnode.api.checks import CheckRoutes
from orgnode.api.committee import CommitteeRoutes
from orgnode.api.gateways import GatewayRoutes
from orgnode.api.guard import Guard, host_names
from orgnode.api.incidents import IncidentRoutes
from orgnode.api.routing import MAX_BODY, Handler, Route
from orgnode.api.services import NodeServices
from orgnode.api.signals import SignalRoutes
from orgnode.api.sse import FeedLimits
from orgnode.config import NodeConfig


@dataclass(frozen=True)
class ApiOptions:
    """How the API is served.

    `token` is the bearer token; `hosts` the Host names that it answers to, without port; `feed`
    says when a feed connection speaks up and when it is given up; `metrics_open` serves /metrics
    without the token.
    """

    token: str = field(repr=False)
    hosts: Collection[str] = field(default_factory=lambda: host_names("127.0.0.1"))
    feed: FeedLimits = field(default_factory=FeedLimits)
    metrics_open: bool = False

    @classmethod
    def of(cls, config: NodeConfig, token: str) -> ApiOptions:
        """The options that a node's settings ask for."""
        return cls(
            token=token,
            hosts=host_names(config.local_host),
            feed=FeedLimits(
                heartbeat_seconds=config.heartbeat_seconds,
                buffer_events=config.subscriber_buffer,
            ),
            metrics_open=config.metrics_open,
        )


def routes_of(node: NodeServices, options: ApiOptions) -> list[Route]:
    """The route table of one node's API."""
    table: list[Route] = []
    described: dict[str, Any] = {}

    def describe() -> dict[str, Any]:
        if not described:
            described.update(openapi.document(table))
        return described

    table += IncidentRoutes(node).routes()
    table += SignalRoutes(node, options.feed).routes()
    table += CheckRoutes(node).routes()
    table += BreakerRoutes(node).routes()
    table += GatewayRoutes(node).routes()
    table += CommitteeRoutes(node).routes()
    table += AboutRoutes(node, describe, metrics_open=options.metrics_open).routes()
    return table


def build_app(node: NodeServices, options: ApiOptions) -> web.Application:
    """Make the application: exactly the routes of the table, behind the guard."""
    table = routes_of(node, options)
    guard = Guard(
        token=options.token,
        hosts=options.hosts,
        open_paths=[route.path for route in table if route.open],
        api_key_paths=[route.path for route in table if route.api_key],
        metrics=node.metrics,
    )

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await guard.handle(request, handler)

    app = web.Application(middlewares=[guarded], client_max_size=MAX_BODY)
    for route in table:
        app.router.add_route(route.method, route.path, route.handler, expect_handler=_expected)
    return app


async def _expected(request: web.Request) -> None:
    """Answer `Expect: 100-continue`; the library's own answer to others bypasses the guard."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
