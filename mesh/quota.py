"""Daily quotas: how many entries one member can make all others store, verify and match.

Whether an entry counts is decided from its log alone, so that every member decides alike: entries
of one day beyond `Constraints.daily_quota` are refused for good, and days never fall within a log.
*Attack:* a member floods the mesh; or it dates entries back to days whose quota is not used up.

A retraction and evidence are free. *Attack:* a member who has used its quota up could no longer
withdraw a mistake, and nobody could say that it shows two histories.
"""

from mesh.entry import Kind
from mesh.errors import EntryError

_FREE = frozenset({Kind.RETRACTION, Kind.EVIDENCE})


class QuotaExceededError(EntryError):
    """An entry is beyond its member's quota of its day: it stands in the log and never counts."""


class BackdatedEntryError(EntryError):
    """An entry is dated before one that stands earlier in the same log."""


def counts_for_quota(kind: Kind | None) -> bool:
    """Whether an entry uses up a part of its member's quota of the day.

    :param kind: the entry's kind; None for one that this version does not know. That one counts:
        nobody floods the mesh with kinds of tomorrow.
    """
    return kind is None or kind not in _FREE
