"""The breaker: what people say of blocked texts, and which tokens no longer block here."""

from __future__ import annotations

from aiohttp import web

from orgnode.api.breaker_models import (
    BreakerAnswer,
    JudgementAnswer,
    JudgementRequest,
    LiftAnswer,
)
from orgnode.api.routing import Route, answer, body_of
from orgnode.api.services import NodeServices


class BreakerRoutes:
    """What judges blocked checks. No text comes in here, and none is told of."""

    def __init__(self, node: NodeServices) -> None:
        self._breaker = node.checker.breaker

    def routes(self) -> list[Route]:
        """The routes of this subject."""
        return [
            Route(
                "POST",
                "/v1/checks/{id}/judgement",
                self.judge,
                name="judgeCheck",
                summary="Say what a blocked text turned out to be",
                description="Three diverse blocked texts that are judged benign put the tokens "
                "that they have in common in shadow: those escalate here and never block, until a "
                "person lifts that. A later judgement of the same text replaces this one.",
                tag="checks",
                body=JudgementRequest,
                answers={200: JudgementAnswer},
                parameters={"id": "`check` of an answer that found a block"},
                errors=(404, 409, 503),
            ),
            Route(
                "GET",
                "/v1/breaker",
                self.show,
                name="getBreaker",
                summary="Show which tokens don't block here, and what can be judged",
                description="All of it is local to this organization, and digests only.",
                tag="checks",
                answers={200: BreakerAnswer},
            ),
            Route(
                "POST",
                "/v1/breaker/{token}/lift",
                self.lift,
                name="liftToken",
                summary="Have a token block again",
                description="What was judged before no longer speaks for it: only what persons "
                "judge benign after this can put it in shadow again.",
                tag="checks",
                answers={200: LiftAnswer},
                parameters={"token": "The name of a token in shadow, or the token itself"},
                errors=(404, 503),
            ),
        ]

    async def judge(self, request: web.Request) -> web.Response:
        """Take a judgement."""
        asked = await body_of(request, JudgementRequest)
        check = request.match_info["id"]
        return answer(
            JudgementAnswer.of(await self._breaker.judge(check, asked.opinion, asked.judge))
        )

    async def show(self, _request: web.Request) -> web.Response:
        """Show what the breaker holds."""
        return answer(BreakerAnswer.of(self._breaker.status()))

    async def lift(self, request: web.Request) -> web.Response:
        """Lift a token's shadow."""
        token = request.match_info["token"]
        await self._breaker.lift(token)
        return answer(LiftAnswer(token=token))
