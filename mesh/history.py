"""What a node has stored of one log, as far as judging the log's next entries needs it.

What one entry means for another is decided from the log alone, and as far as can be from the signed
notes alone, never from how a body was judged: bodies come at different times at different members,
and members must decide alike. An entry *stands* (`mesh.outcome.Assessed.stands`) when its note is
in order: readable, dated as the constraints allow, no copy of an earlier entry, not dated before
one, within the quota of its day (a retraction is bound by neither of the last two). It stands also
while its body is missing, and when its body is refused. In a table of entries: the envelope was
read, and the name of the error is none of `mesh.outcome.NOTE_ERRORS`.

Standing entries are what is counted for the quota, what gives the log its last day (retractions
apart), and, if they are signals, what can be retracted. *Attack:* were refused bodies left out of
the count, an owner could hand a worthless body to some members and withhold it from others; the
last entries of the day would then be beyond the quota for some, and within it for others, for good.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from mesh.days import Day
from proofs.merkle import NodeAddress


class LogHistory(Protocol):
    """What is stored of ONE log. Asked before the entries at hand are stored, or about stored ones.

    It is asked anew each time; an implementation may be a view of what is current.
    """

    def holds_entry(self, entry_id: str) -> bool:
        """Whether the log holds an entry with this id, whatever became of it."""
        ...

    def signal_expires(self, entry_id: str, before: int) -> Day | None:
        """The last day of the signal with this id, if it stands in the log under index `before`.

        None if it does not.

        The index matters for a retraction whose body comes late: a signal that stands behind the
        retraction is not withdrawn by it.
        """
        ...

    def is_retracted(self, entry_id: str) -> bool:
        """Whether the log holds an accepted retraction of this entry."""
        ...

    def accuses(self, accused: str) -> Day | None:
        """The day of the newest evidence against the log of this member that the log has accepted.

        The newest by its place in the log; None if there is none.
        """
        ...

    def unread_accusations(self, before: int) -> Collection[int]:
        """Indexes under `before` of entries of evidence whose body is still awaited (retryable).

        The lowest 1,000 are enough when there are more.
        """
        ...

    def counted_on(self, day: Day) -> int:
        """How many entries dated this day stand in the log, of kinds that use up the quota.

        Those are the kinds for which `mesh.quota.counts_for_quota` is true.
        """
        ...

    def last_day(self) -> Day | None:
        """The highest day of any standing entry that is bound by days; None while there is none.

        Those are of the kinds for which `mesh.quota.bound_by_days` is true.
        """
        ...


class TreeReader(Protocol):
    """The tree of the entries that are stored of one log."""

    def nodes(self, addresses: Sequence[NodeAddress]) -> list[bytes]:
        """Hashes of perfect subtrees within the stored size, in the order asked for."""
        ...
