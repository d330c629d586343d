"""What the local API says about the committee."""

from __future__ import annotations

from pydantic import Field

from mesh.days import format_day
from orgnode.api.models import Answer
from orgnode.evaluating.status import SeatStatus


class SeatAnswer(Answer):
    """One seat of the committee, as this node sees it now."""

    member: str
    index: int = Field(description="Index of its share of the mesh's key")
    own: bool = Field(description="Whether it is this node's")
    up: bool = Field(description="Whether it just told its counts")
    error: str = Field(description="Why not, or what was wrong with its last answer; may be empty")
    excluded: bool = Field(description="It signed a wrong evaluation not long ago: not asked")
    latency_ms: float | None = Field(
        description="How long it takes to answer, smoothed; null before it was asked"
    )
    day: str | None = Field(description="The day (UTC) that it counts; null if it is not known")
    used: int | None = Field(description="What it evaluated for this organization on that day")
    left: int | None = Field(description="What it will still evaluate for it on that day")
    evaluated: dict[str, int] = Field(
        description="What it says that it evaluated on that day, by member; a restarted seat may "
        "count up to a block too much, and never too little"
    )

    @classmethod
    def of(cls, seat: SeatStatus) -> SeatAnswer:
        """The answer for a seat."""
        return cls(
            member=seat.member,
            index=seat.index,
            own=seat.own,
            up=seat.up,
            error=seat.error,
            excluded=seat.excluded,
            latency_ms=None if seat.latency is None else round(seat.latency * 1000, 1),
            day=None if seat.day is None else format_day(seat.day),
            used=seat.used,
            left=seat.left,
            evaluated=dict(seat.evaluated),
        )


class CommitteeAnswer(Answer):
    """The members that share the mesh's key. Numbers are of elements; a batch has 32 of them."""

    threshold: int = Field(description="How many seats evaluate together")
    budget: int = Field(description="What each seat evaluates for one organization a day")
    seats: list[SeatAnswer]
