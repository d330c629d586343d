"""Publishing: `POST /v1/incidents`, one or many, and `POST /v1/signals/{id}/retract`."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from mesh.errors import MeshError
from orgnode.api.errors import ComponentNamesError, problem
from orgnode.api.models import (
    BatchAnswer,
    BatchRequest,
    BatchResult,
    IncidentAnswer,
    IncidentQuery,
    IncidentRequest,
    RetractAnswer,
    RetractRequest,
)
from orgnode.api.routing import Route, answer, body_of, query_of
from orgnode.api.services import NodeServices
from orgnode.errors import OrgnodeError
from orgnode.incidents import IncidentInput
from proofs.errors import ProofsError

CERTIFIED_SECONDS: Final = 10.0
"""How long a request that waits for certification may take longer, at most."""


class IncidentRoutes:
    """What publishes and withdraws. Nothing here keeps, logs or repeats an incident's content."""

    def __init__(self, node: NodeServices) -> None:
        self._node = node
        self._components = tuple(name for name, _ in node.mesh.constraints.rubric.components)

    def routes(self) -> list[Route]:
        """The routes of this subject."""
        return [
            Route(
                "POST",
                "/v1/incidents",
                self.report,
                name="reportIncident",
                summary="Publish an incident as a signal",
                description="Answers when the signal is durable in this organization's log; with "
                "`wait=certified` when a quorum of members holds it too, or after ten seconds. The "
                "text and the scores stay in the vault.",
                tag="incidents",
                query=IncidentQuery,
                body=IncidentRequest,
                answers={201: IncidentAnswer, 200: IncidentAnswer},
                errors=(409, 429, 503),
            ),
            Route(
                "POST",
                "/v1/incidents/batch",
                self.report_batch,
                name="reportIncidents",
                summary="Publish many incidents",
                description="A malformed request is refused whole. Otherwise each incident has its "
                "own result, in order; one that can't be published does not stop the others.",
                tag="incidents",
                query=IncidentQuery,
                body=BatchRequest,
                answers={200: BatchAnswer},
                errors=(429, 503),
            ),
            Route(
                "POST",
                "/v1/signals/{id}/retract",
                self.retract,
                name="retractSignal",
                summary="Withdraw an own signal",
                description="Its content is erased here and at every peer that hears of it; its "
                "digest stays in the log.",
                tag="signals",
                body=RetractRequest,
                answers={200: RetractAnswer},
                parameters={"id": "The signal's id"},
                errors=(403, 404, 409, 503),
            ),
        ]

    async def report(self, request: web.Request) -> web.Response:
        """Publish one incident: 201, or 200 when its reference was published before."""
        asked = query_of(request, IncidentQuery)
        published = await self._publish(await body_of(request, IncidentRequest))
        if asked.wait is not None:
            (published,) = await self._certified([published])
        return answer(published, 200 if published.duplicate else 201)

    async def report_batch(self, request: web.Request) -> web.Response:
        """Publish many incidents; each has its own result."""
        asked = query_of(request, IncidentQuery)
        batch = await body_of(request, BatchRequest)
        results = await asyncio.gather(*(self._result(one) for one in batch.incidents))
        if asked.wait is not None:
            held = iter(await self._certified([one.published for one in results if one.published]))
            results = [
                one.model_copy(update={"published": next(held)}) if one.published else one
                for one in results
            ]
        return answer(BatchAnswer(results=results))

    async def retract(self, request: web.Request) -> web.Response:
        """Withdraw an own signal."""
        asked = await body_of(request, RetractRequest)
        entry_id = request.match_info["id"]
        placed = await self._node.publisher.retract(entry_id, asked.reason)
        return answer(
            RetractAnswer(
                retraction=placed.entry_id,
                signal=entry_id,
                index=placed.index,
                size=placed.checkpoint_size,
            )
        )

    async def _certified(self, published: list[IncidentAnswer]) -> list[IncidentAnswer]:
        """Wait until a quorum has cosigned all of these, at most so long; says which it has.

        The feed wakes whoever waits whenever something became certified.
        """
        store, feed, name = self._node.store, self._node.feed, self._node.name
        last = max((one.index for one in published), default=-1)
        clock = asyncio.get_running_loop().time
        end = clock() + CERTIFIED_SECONDS
        while (size := store.certified_size(name)) <= last and not feed.closed and clock() < end:
            await feed.wait(end - clock())
        return [one.model_copy(update={"certified": one.index < size}) for one in published]

    async def _result(self, incident: IncidentRequest) -> BatchResult:
        try:
            return BatchResult(ok=True, published=await self._publish(incident))
        except (MeshError, ProofsError, OrgnodeError) as error:
            return BatchResult(ok=False, error=problem(error))

    async def _publish(self, incident: IncidentRequest) -> IncidentAnswer:
        if incident.components.keys() != set(self._components):
            raise ComponentNamesError(
                "the components are not those of this mesh's rubric",
                hint=f"give exactly {', '.join(self._components)}",
            )
        published = await self._node.publisher.report(
            IncidentInput(
                text=incident.text,
                components=tuple(incident.components[name] for name in self._components),
                category=incident.category,
                technique=incident.technique,
                confidence=incident.confidence,
                band=incident.band,
                barrier=incident.barrier,
                reference=incident.reference,
                derived_from=incident.derived_from,
            )
        )
        return IncidentAnswer.model_validate(
            {
                "incident": published.incident_id,
                "signal": published.entry_id,
                "index": published.index,
                "band": published.band,
                "confidence": published.confidence,
                "duplicate": published.duplicate,
                "size": published.checkpoint_size,
                "certified": published.index < self._node.store.certified_size(self._node.name),
            }
        )
