"""What the node says about itself and the mesh: status, peers, rules, health, metrics."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web

from orgnode.api.errors import problem
from orgnode.api.node_models import (
    AlertAnswer,
    AlertsAnswer,
    ConstraintsAnswer,
    HealthAnswer,
    PeerAnswer,
    PeersAnswer,
    ReadyAnswer,
    StatusAnswer,
)
from orgnode.api.routing import Media, Route, answer
from orgnode.api.services import NodeServices
from proofs.group import backend_names

_FRONT: Final = """\
This is the local API of an organization's node in a signal mesh. It has no web page.

People use the command line:   orgnode --help   (feed, signals, peers, doctor ...)
Programs use HTTP and JSON:    GET /v1/openapi.json describes every route

Requests carry  Authorization: Bearer <token>  with the token from the file `token` in the node's
data directory. /healthz and /readyz answer without.
"""


class AboutRoutes:
    """What describes the node. `described` returns the OpenAPI document of all routes."""

    def __init__(
        self, node: NodeServices, described: Callable[[], dict[str, Any]], *, metrics_open: bool
    ) -> None:
        self._node = node
        self._described = described
        self._metrics_open = metrics_open

    def routes(self) -> list[Route]:
        """The routes of this subject."""
        return [
            Route(
                "GET",
                "/v1/status",
                self.status,
                name="getStatus",
                summary="Show what this node is and holds",
                tag="node",
                answers={200: StatusAnswer},
            ),
            Route(
                "GET",
                "/v1/peers",
                self.peers,
                name="listPeers",
                summary="Show how this node stands with every other member",
                tag="mesh",
                answers={200: PeersAnswer},
            ),
            Route(
                "GET",
                "/v1/alerts",
                self.alerts,
                name="listAlerts",
                summary="List what a person should know now",
                description="Conditions that hold at this moment, such as a peer that lacks "
                "entries for long. One that is over is not listed any more.",
                tag="node",
                answers={200: AlertsAnswer},
            ),
            Route(
                "GET",
                "/v1/constraints",
                self.constraints,
                name="getConstraints",
                summary="Show the shared rules in force",
                tag="mesh",
                answers={200: ConstraintsAnswer},
            ),
            Route(
                "GET",
                "/v1/openapi.json",
                self.openapi,
                name="getOpenAPI",
                summary="Get this document",
                tag="node",
                answers={200: Media("application/json", "An OpenAPI 3.1 document")},
            ),
            Route(
                "GET",
                "/",
                self.front,
                name="getFront",
                summary="Tell whoever opens it in a browser what this is",
                tag="node",
                answers={200: Media("text/plain", "A few lines for people")},
                open=True,
            ),
            Route(
                "GET",
                "/healthz",
                self.health,
                name="getHealth",
                summary="Tell whether the process answers",
                tag="node",
                answers={200: HealthAnswer},
                open=True,
            ),
            Route(
                "GET",
                "/readyz",
                self.ready,
                name="getReadiness",
                summary="Tell whether the node can serve",
                tag="node",
                answers={200: ReadyAnswer, 503: ReadyAnswer},
                open=True,
            ),
            Route(
                "GET",
                "/metrics",
                self.metrics,
                name="getMetrics",
                summary="Get Prometheus metrics",
                tag="node",
                answers={200: Media("text/plain", "Prometheus or OpenMetrics text")},
                open=self._metrics_open,
            ),
        ]

    async def status(self, _request: web.Request) -> web.Response:
        """Show what this node is and holds."""
        node, mesh = self._node, self._node.mesh
        readiness = node.readiness()
        prover, verifier = backend_names()
        return answer(
            StatusAnswer(
                name=node.name,
                mesh=mesh.mesh_id,
                mesh_name=mesh.constraints.name,
                version=mesh.version,
                members=len(mesh.members),
                trial=mesh.constraints.trial,
                software=version("signal-mesh"),
                ready=readiness.ready,
                reasons=list(readiness.reasons),
                recovering=readiness.recovering,
                halted=None if readiness.halted is None else problem(readiness.halted),
                started=node.started,
                log_size=node.store.state(node.name).size,
                certified_size=node.store.certified_size(node.name),
                alerts=len(node.alerts.current()),
                entries=self._entries(),
                last_event=node.store.last_seq(),
                subscribers=node.feed.subscribers,
                prover=prover,
                verifier=verifier,
            )
        )

    async def peers(self, _request: web.Request) -> web.Response:
        """Show how this node stands with every other member."""
        entries, mesh = self._entries(), self._node.mesh
        return answer(
            PeersAnswer(
                peers=[
                    PeerAnswer.of(
                        status, mesh.member(status.name).control_group, entries.get(status.name, {})
                    )
                    for status in self._node.peers()
                ]
            )
        )

    async def alerts(self, _request: web.Request) -> web.Response:
        """List the alerts that stand."""
        return answer(
            AlertsAnswer(alerts=[AlertAnswer.of(one) for one in self._node.alerts.current()])
        )

    async def constraints(self, _request: web.Request) -> web.Response:
        """Show the shared rules in force."""
        mesh = self._node.mesh
        return answer(
            ConstraintsAnswer(
                mesh=mesh.mesh_id,
                digest=mesh.constraints.digest(),
                constraints=mesh.constraints.to_json(),
                genesis=b64encode(mesh.note).decode(),
            )
        )

    async def openapi(self, _request: web.Request) -> web.Response:
        """Describe this API."""
        return web.json_response(self._described())

    async def front(self, _request: web.Request) -> web.Response:
        """Tell a person with a browser where to go; it says nothing of this node."""
        return web.Response(text=_FRONT)

    async def health(self, _request: web.Request) -> web.Response:
        """Tell that the process answers."""
        return answer(HealthAnswer())

    async def ready(self, _request: web.Request) -> web.Response:
        """Tell whether the node can serve: 503 with the reasons if not."""
        readiness = self._node.readiness()
        return answer(
            ReadyAnswer(
                ready=readiness.ready,
                reasons=list(readiness.reasons),
                recovering=readiness.recovering,
                halted=None if readiness.halted is None else problem(readiness.halted),
                instance=self._node.instance,
            ),
            200 if readiness.ready else 503,
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """Expose the metrics."""
        body, content_type = self._node.metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _entries(self) -> dict[str, dict[str, int]]:
        return {
            log: {outcome.name.lower(): count for outcome, count in by_outcome.items()}
            for log, by_outcome in self._node.store.counts().items()
        }
