"""How much each member has had evaluated: a budget a day, and counts that everybody can compare.

Evaluation is what stands between a stolen selection key and a dictionary of guesses. Each seat
counts for itself. A threshold of more than half of the seats makes that less than two budgets in
all, however an asker spreads its requests. Every seat publishes its counts as a signed note: an
asker can compare them with its own. They may be too high by what a seat had saved ahead when it
crashed, and are never too low.

    counts   signal-mesh/v1/evaluation-counts
             {counts: {member: elements}, day, member, mesh}          signed by the seat's member
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from pydantic import Field

from mesh import strictjson
from mesh.constraints import UnknownMemberError
from mesh.days import Day, format_day, parse_day
from mesh.document import document_text, read_document
from mesh.errors import MeshError
from mesh.genesis import Mesh
from mesh.model import Digest, Model
from proofs.note import Signer, open_note, sign_note

COUNTS_KIND: Final = "evaluation-counts"
"""Kind of the note that a seat's counts are."""
MAX_COUNTS_NOTE: Final = 32_768
"""Longest note of counts in bytes: 100 members with the longest names fit."""
KEPT_DAYS: Final = 7
"""Days before the one last counted that a meter remembers."""


class MeteringError(MeshError):
    """Evaluations can't be counted, or counts do not hold."""


class BudgetExceededError(MeteringError):
    """An asker has used up its evaluations for the day; nothing was evaluated or counted."""

    def __init__(self, asker: str, budget: int, resets: Day) -> None:
        self.asker = asker
        self.budget = budget
        """Elements a day."""
        self.resets = resets
        """Day on which it has its budget again."""
        super().__init__(
            f"{asker} has used its {budget} evaluations of the day; "
            f"it can ask again on {format_day(resets)} (UTC)"
        )


class CountError(MeteringError):
    """A number of evaluations is negative, not an integer, or nothing at all."""


class CountsFormatError(MeteringError):
    """Counts are too long, not in their canonical encoding, or their fields are not exactly those
    of counts."""


class CountsMemberError(MeteringError):
    """Counts are signed by nobody of this mesh, name another member than their signer, or count
    for somebody who is no member."""


class Meter:
    """One seat's counts, by day and asker. Keep them beside it: `restore` reads them in again.

    :param budget: elements that each asker may have evaluated in a day.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._days: dict[Day, dict[str, int]] = {}

    def charge(self, asker: str, day: Day, elements: int) -> None:
        """Count elements before they are evaluated.

        :param day: the seat's own day, not the request's: an asker could choose that.
        :raises BudgetExceededError: the budget does not suffice for all of them; none is counted.
        :raises CountError: less than one element.
        """
        if elements < 1:
            raise CountError("count one evaluation or more")
        used = self._days.get(day, {}).get(asker, 0)
        if used + elements > self.budget:
            raise BudgetExceededError(asker, self.budget, Day(day + 1))
        self._of(day)[asker] = used + elements

    def counts(self, day: Day) -> dict[str, int]:
        """Elements by asker, for askers that had any; empty if the day is not remembered."""
        return dict(self._days.get(day, {}))

    def restore(self, day: Day, counts: Mapping[str, int]) -> None:
        """Take in counts that were saved. What was counted since stays: counts only ever grow.

        :raises CountError: a count is negative.
        """
        if any(count < 0 for count in counts.values()):
            raise CountError("a count is not negative")
        present = self._of(day)
        for asker, count in counts.items():
            present[asker] = max(count, present.get(asker, 0))

    def _of(self, day: Day) -> dict[str, int]:
        counts = self._days.setdefault(day, {})
        # Measured from the day that is counted, which so is never forgotten itself.
        for old in [known for known in self._days if known < day - KEPT_DAYS]:
            del self._days[old]
        return counts


@dataclass(frozen=True)
class EvaluationCounts:
    """What a seat says that it evaluated for whom, on one day."""

    member: str
    day: Day
    counts: dict[str, int]
    """Elements by asker."""


class _Counts(Model):
    format_error: ClassVar[type[MeshError]] = CountsFormatError

    counts: dict[str, Annotated[int, Field(ge=0, le=strictjson.MAX_INTEGER)]]
    day: str
    member: str
    mesh: Digest


def compose_counts(mesh: Mesh, signer: Signer, day: Day, counts: Mapping[str, int]) -> bytes:
    """Sign a day's counts with the identity key of the seat's member.

    :raises CountsFormatError: a count is negative or past 2^53 - 1.
    :raises CountsMemberError: the signer's key is no member's identity key, or an asker is no
        member.
    """
    body = _Counts(counts=dict(counts), day=format_day(day), member=signer.name, mesh=mesh.mesh_id)
    _check_members(mesh, body)
    if mesh.member(signer.name).identity_key != signer.verifier_key:
        raise CountsMemberError(f"this is not the identity key of {signer.name}")
    return sign_note(document_text(COUNTS_KIND, body.to_json()), (signer,))


def open_counts(mesh: Mesh, member: str, note: bytes) -> EvaluationCounts:
    """Verify and read the counts that a member published.

    :raises NoteError: not a signed note, or the signature is not that of the member.
    :raises CountsFormatError: oversize, other fields, not in their canonical encoding, or more
        signatures than one.
    :raises CountsMemberError: of another mesh or member, or an asker is no member.
    :raises UnknownMemberError: there is no such member.
    :raises MeshError: not strict JSON, or not a day.
    """
    if len(note) > MAX_COUNTS_NOTE:
        raise CountsFormatError(f"counts are at most {MAX_COUNTS_NOTE} bytes")
    text = open_note(note, (mesh.member(member).identity_key,)).text
    # Further lines are covered by no signature: one signed text would make many notes.
    if note.count(b"\n", len(text.encode()) + 1) != 1:
        raise CountsFormatError("counts have one signature, their author's")
    body = _Counts.parse(
        read_document(text, COUNTS_KIND, max_bytes=MAX_COUNTS_NOTE, error=CountsFormatError)
    )
    if document_text(COUNTS_KIND, body.to_json()) != text:
        raise CountsFormatError("counts are written in their canonical encoding")
    if (body.mesh, body.member) != (mesh.mesh_id, member):
        raise CountsMemberError(f"these are not the counts of {member} in this mesh")
    _check_members(mesh, body)
    return EvaluationCounts(member, parse_day(body.day), body.counts)


def _check_members(mesh: Mesh, body: _Counts) -> None:
    try:
        for name in (body.member, *body.counts):
            mesh.member(name)
    except UnknownMemberError:
        raise CountsMemberError("counts are by members of this mesh, for members") from None
