"""Checks in the API's own form: `/v1/check`, `/v1/policy`, and sightings of signals."""

from __future__ import annotations

from aiohttp import web

from orgnode.api.check_models import (
    CheckAnswer,
    CheckRequest,
    PolicyAnswer,
    SightingAnswer,
    SightingRequest,
)
from orgnode.api.routing import Route, answer, body_of, loose_body_of
from orgnode.api.services import NodeServices
from orgnode.checking import CheckQuestion


class CheckRoutes:
    """What asks the mesh about a text, and what a person tells the mesh about a signal."""

    def __init__(self, node: NodeServices) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        """The routes of this subject."""
        return [
            Route(
                "POST",
                "/v1/check",
                self.check,
                name="checkText",
                summary="Ask whether a text is a known attack",
                description="Always answers 200 when the request is in form: when the mesh can't "
                "verify, the route's fail mode is the answer, and `reason` says why.",
                tag="checks",
                body=CheckRequest,
                answers={200: CheckAnswer},
                errors=(503,),
            ),
            Route(
                "GET",
                "/v1/policy",
                self.policy,
                name="getPolicy",
                summary="Show the operator's rules in force",
                description="They are edited in the data directory; see `orgnode policy`.",
                tag="checks",
                answers={200: PolicyAnswer},
            ),
            Route(
                "POST",
                "/v1/signals/{id}/sighting",
                self.sight,
                name="sightSignal",
                summary="Confirm or deny another organization's signal",
                description="Publishes a person's judgement. Own signals, and those of the same "
                "control group, are refused.",
                tag="signals",
                body=SightingRequest,
                answers={201: SightingAnswer},
                parameters={"id": "The signal's id"},
                errors=(403, 404, 409, 503),
            ),
        ]

    async def check(self, request: web.Request) -> web.Response:
        """Answer a check."""
        asked = await loose_body_of(request, CheckRequest)
        question = CheckQuestion((asked.text,), asked.route, asked.tenant, asked.risk)
        return answer(CheckAnswer.of(await self._node.checker.check(question)))

    async def policy(self, _request: web.Request) -> web.Response:
        """Show the operator's rules, as they are on disk now."""
        checker = self._node.checker
        policy = await checker.refresh()
        return answer(PolicyAnswer.of(policy, checker.policy.problem, checker.warnings()))

    async def sight(self, request: web.Request) -> web.Response:
        """Publish a sighting."""
        asked = await body_of(request, SightingRequest)
        signal = request.match_info["id"]
        placed = await self._node.publisher.sight(signal, asked.verdict)
        return answer(
            SightingAnswer(
                sighting=placed.entry_id,
                signal=signal,
                verdict=asked.verdict,
                index=placed.index,
                size=placed.checkpoint_size,
            ),
            201,
        )
