"""How much of one log is mirrored in a day, so that no member can fill another's disk.

The quota of the constraints binds what *counts*; entries beyond it are refused, but they stand in
the log and have to be stored all the same. So each node stops following a log for the rest of its
own day (UTC) when that log has grown by several times the quota. What is certified is exempt: a
quorum of the members holds it already, each under its own limit, so a node that was away for long
catches up at once.
"""

from __future__ import annotations

from mesh.days import Day, format_day
from orgnode.federation.errors import MirrorQuotaError

MIRROR_FACTOR = 4
"""How many times its daily quota a log may grow at a mirror in a day."""


class MirrorQuota:
    """Counts, for one log, what was mirrored today. Kept in memory: a restart begins anew."""

    def __init__(self, log: str, daily_quota: int) -> None:
        self._log = log
        self._most = int(MIRROR_FACTOR * daily_quota)
        self._day: Day | None = None
        self._taken = 0

    @property
    def most(self) -> int:
        """How many uncertified entries are mirrored in a day."""
        return self._most

    def check(self, start: int, end: int, certified: int, today: Day) -> None:
        """Whether the entries [start, end) may be stored, of a log certified up to `certified`.

        :raises MirrorQuotaError: they are too many for today.
        """
        if today != self._day:
            self._day, self._taken = today, 0
        if self._taken + _uncertified(start, end, certified) > self._most:
            raise MirrorQuotaError(
                f"the log of {self._log} grew by more than {self._most} entries on "
                f"{format_day(today)} that nobody certified; it is followed again tomorrow",
                hint=f"ask the operator of {self._log} what its node is publishing",
            )

    def took(self, start: int, end: int, certified: int) -> None:
        """The entries [start, end) were stored."""
        self._taken += _uncertified(start, end, certified)


def _uncertified(start: int, end: int, certified: int) -> int:
    return end - max(start, min(end, certified))
