"""Accusations: evidence against a log, published as an entry of whoever found it.

The body of an entry of kind `evidence` is the evidence itself, as canonical strict JSON. Every
member verifies it, so it matters to nobody whose log it stands in; it may stand in the accused log
too. It takes effect at once: the accused log is suspended. Evidence uses up no quota; instead
one author's second evidence against one log is refused, unless half of the first one's life has
passed.

It lives as long as entries may, and its author says it again before it ends: who joins later, or
was away, has to hear of it too.
"""

from mesh.constraints import Constraints
from mesh.days import Day
from mesh.errors import EntryError
from mesh.evidence import Evidence


class RepeatedAccusationError(EntryError):
    """An author accuses a log again so soon: one proof is enough, more of them are a flood."""


def accusation_due(constraints: Constraints, accused_on: Day | None, day: Day) -> bool:
    """Whether an author may accuse a log on `day`: for the first time, or again.

    :param accused_on: the day of its newest accusation of that log; None if there is none.
    """
    return accused_on is None or day >= accused_on + constraints.max_expiry_days // 2


def parse_accusation(body: bytes) -> Evidence:
    """Read an accusation's body. Nothing is verified yet: see `mesh.evidence.verify_evidence`.

    :raises EvidenceFormatError: its fields are not exactly those of evidence.
    :raises StrictJSONError: not strict JSON.
    """
    return Evidence.from_json(body)


def compose_accusation(evidence: Evidence) -> bytes:
    """Write an accusation's body.

    It is never longer than `mesh.constraints.MIN_BODY_BYTES`, so it fits under any constraints: its
    checkpoints are bare, and a fork between logs of at most `mesh.evidence.MAX_SIZE` entries needs
    few hashes.

    :raises EvidenceFormatError: a part is longer than any part of true evidence.
    """
    return evidence.to_json()
