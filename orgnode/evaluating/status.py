"""How the committee looks from this node: what it measured, and what the seats say about today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from mesh.days import Day
from mesh.genesis import Mesh
from mesh.metering import EvaluationCounts
from orgnode.evaluating.lines import SeatLine

COUNTS_SECONDS: Final = 2.0
"""How long the seats are waited for."""


class CommitteeView(Protocol):
    """What knows the committee; an `Evaluator`."""

    @property
    def lines(self) -> Mapping[str, SeatLine]:
        """What is known of each seat, by member."""
        ...

    async def counts(self, deadline: float) -> dict[str, EvaluationCounts | str]:
        """What each seat says that it evaluated today, or why that is not known."""
        ...


class CommitteeNode(Protocol):
    """What `committee_status` needs of a node."""

    @property
    def name(self) -> str:
        """This organization's name."""
        ...

    @property
    def mesh(self) -> Mesh:
        """The mesh."""
        ...

    @property
    def evaluator(self) -> CommitteeView:
        """What asks the committee."""
        ...


@dataclass(frozen=True)
class SeatStatus:
    """One seat of the committee.

    `up` says that its counts could just be had, `error` why not, or what was wrong with its last
    answer; `latency` is in seconds, smoothed, None until it was asked for an evaluation.
    `evaluated` has the elements that it says it evaluated on `day`, by asker; `used` and `left`
    are this organization's share of that, None while it is not known. `excluded`: it signed a wrong
    evaluation not long ago and is not asked.
    """

    member: str
    index: int
    own: bool
    up: bool
    error: str
    latency: float | None
    excluded: bool
    day: Day | None
    used: int | None
    left: int | None
    evaluated: Mapping[str, int] = field(default_factory=dict)


async def committee_status(
    node: CommitteeNode, deadline: float = COUNTS_SECONDS
) -> list[SeatStatus]:
    """Ask every seat for its counts and say how each stands, by index."""
    counts = await node.evaluator.counts(deadline)
    budget = node.mesh.constraints.evaluation_budget
    found = []
    for line in sorted(node.evaluator.lines.values(), key=lambda line: line.index):
        told = counts[line.member]
        known = told if isinstance(told, EvaluationCounts) else None
        used = None if known is None else known.counts.get(node.name, 0)
        found.append(
            SeatStatus(
                member=line.member,
                index=line.index,
                own=line.own,
                up=known is not None,
                error=line.error if isinstance(told, EvaluationCounts) else told,
                latency=line.latency,
                excluded=line.excluded,
                day=None if known is None else known.day,
                used=used,
                left=None if used is None else max(0, budget - used),
                evaluated={} if known is None else known.counts,
            )
        )
    return found
