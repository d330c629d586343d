"""Daily quotas: how many entries one member can make all others store, verify and match.

Whether an entry counts is decided from its log alone, so that every member decides alike: entries
of one day beyond `Constraints.daily_quota` are refused for good, and days never fall within a log.
*Attack:* a member floods the mesh; or it dates entries back to days whose quota is not used up.
What a log has not used of the days since its last entry it can use at once: no clock is shared that
a reader could tell so by.

A retraction and evidence are free. *Attack:* a member who has used its quota up could no longer
withdraw a mistake, and nobody could say that it shows two histories.

A retraction is bound by no date either, and moves no day: it is judged alike whatever the reader's
clock says, and whatever the clock said by which earlier entries were dated. *Attack:* a member, or
a clock that was wrong for a minute, has its retractions refused by some members or all, for good.

An entry of a kind or version that is not known here is none of these: nothing but its note is
kept, it uses up nothing, and moves no day. What older versions decided about other entries must
stand when it is known, so a kind to come must not change that: see ADR 0012.
"""

from mesh.entry import Kind
from mesh.errors import EntryError

_FREE = frozenset({Kind.RETRACTION, Kind.EVIDENCE})


class QuotaExceededError(EntryError):
    """An entry is beyond its member's quota of its day: it stands in the log and never counts."""


class BackdatedEntryError(EntryError):
    """An entry is dated before one that stands earlier in the same log."""


def counts_for_quota(kind: Kind) -> bool:
    """Whether an entry of this kind uses up a part of its member's quota of the day."""
    return kind not in _FREE


def bound_by_days(kind: Kind) -> bool:
    """Whether an entry of this kind must be dated in order, and is followed by none before it."""
    return kind is not Kind.RETRACTION
