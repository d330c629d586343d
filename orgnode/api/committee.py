"""The committee as this node sees it: `/v1/committee`."""

from __future__ import annotations

from aiohttp import web

from orgnode.api.committee_models import CommitteeAnswer, SeatAnswer
from orgnode.api.routing import Route, answer
from orgnode.evaluating.status import CommitteeNode, committee_status


class CommitteeRoutes:
    """What shows the committee."""

    def __init__(self, node: CommitteeNode) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        """The routes of this subject."""
        return [
            Route(
                "GET",
                "/v1/committee",
                self.committee,
                name="getCommittee",
                summary="Show who evaluates windows, how fast, and what is left of the budget",
                description="Asks every seat for its signed counts, for at most two seconds.",
                tag="mesh",
                answers={200: CommitteeAnswer},
            )
        ]

    async def committee(self, _request: web.Request) -> web.Response:
        """Show every seat."""
        constraints = self._node.mesh.constraints
        seats = await committee_status(self._node)
        return answer(
            CommitteeAnswer(
                threshold=constraints.committee.threshold,
                budget=constraints.evaluation_budget,
                seats=[SeatAnswer.of(seat) for seat in seats],
            )
        )
