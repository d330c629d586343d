"""What can go wrong with evaluating windows. No message holds a window, a scalar or a share."""

from __future__ import annotations

from collections.abc import Mapping

from mesh.days import Day, format_day
from orgnode.errors import OrgnodeError


class EvaluatingError(OrgnodeError):
    """Windows can't be evaluated, or this node's seat can't evaluate."""


class NoSeatError(EvaluatingError):
    """This member has no seat on the committee, so there is nothing for a share to answer for."""


class CommitteeUnreachableError(EvaluatingError):
    """Fewer seats than the threshold answered in time. Nothing is known about the windows.

    `seats` says for each member of the committee that could not be had, why; `had` is how many
    could be.
    """

    def __init__(self, had: int, threshold: int, seats: Mapping[str, str]) -> None:
        self.had = had
        self.threshold = threshold
        self.seats = dict(seats)
        causes = "; ".join(f"{member}: {reason}" for member, reason in self.seats.items())
        super().__init__(
            f"only {had} of the {threshold} seats that are needed can be had ({causes})",
            hint="see `orgnode committee`; ask the operators of these members",
        )


class EvaluationBudgetError(EvaluatingError):
    """Seats that would be needed have evaluated as much for this organization as a day allows.

    `resets` is the day (UTC) at whose start enough of them evaluate again.
    """

    def __init__(self, resets: Day, seats: Mapping[str, str]) -> None:
        self.resets = resets
        self.seats = dict(seats)
        super().__init__(
            "this organization has used up its evaluations of the day at "
            f"{', '.join(sorted(self.seats))}; it can ask again at 00:00 UTC on "
            f"{format_day(resets)}",
            hint="lower the policy's sample rate; the budget is a constraint of the mesh",
        )


class SeatFailedError(EvaluatingError):
    """One seat did not give a usable answer; another one is asked in its place.

    `label` names the condition in metrics; `resets` is the day on which it will answer again, if
    it refused for the day's budget.
    """

    def __init__(self, label: str, reason: str, *, resets: Day | None = None) -> None:
        super().__init__(reason)
        self.label = label
        self.resets = resets

    @property
    def budget(self) -> bool:
        """Whether it refused for the day's budget."""
        return self.resets is not None
