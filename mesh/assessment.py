"""What one entry of a peer's log is worth: accepted, refused, deferred or lapsed.

An entry is assessed alone and from its exact bytes: signature first, then the envelope, then the
dates, then the body against its signed digest, then the body's content. Whatever is wrong with it
stays with it; the entries before and after are assessed all the same.

    REFUSED   it breaks a rule, and is recorded with the name of that rule
    DEFERRED  it can't be judged yet: its body was not handed over, or it is of a kind or under a
              version of the constraints that this node does not know; look again later
    LAPSED    a true entry without live content: expired, or its body was lawfully erased
    ACCEPTED  it holds; for a signal only once its proofs do too

Three things can't be decided from the entry alone and are left to `settle`: signals' proofs, which
are verified in batches by the caller (`mesh.claims`), whether an entry stands twice in the log, and
whether what a retraction withdraws stands before it. What a sighting or a promotion refers to
stands in other logs; both are accepted by themselves, and counted by whoever has those logs too.

Certification (a quorum of cosignatures over a checkpoint that covers the entry) will be a fact
about an accepted entry, not a fifth outcome: it arrives later than the entry and is kept beside
it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from mesh.claims import Claim, claim_of
from mesh.days import Day, format_day
from mesh.entry import Envelope, Kind, check_body, check_dates, is_expired, open_entry
from mesh.errors import (
    BodyDigestError,
    BodyError,
    BodyTooLargeError,
    EntryError,
    MeshError,
    MissingBodyError,
    UnknownKindError,
    UnknownVersionError,
)
from mesh.genesis import Mesh
from mesh.member import MemberCard
from mesh.promotion import PromotionBody, parse_promotion, verify_promotion
from mesh.retraction import RetractionBody, parse_retraction
from mesh.sighting import SightingBody, parse_sighting
from mesh.signal import SignalBody, parse_signal
from mesh.wire import ERASED, MISSING, BodyAnswer, Erased, Missing, Present
from proofs.errors import ProofsError
from proofs.merkle import leaf_hash

MAX_REASON: Final = 300
"""Longest reason in characters: parts of it can come from a peer."""


class Outcome(StrEnum):
    """What became of an entry."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DEFERRED = "deferred"
    LAPSED = "lapsed"


class DuplicateEntryError(EntryError):
    """The same signed entry stands in the log before: what was signed once counts once."""


class UnknownTargetError(EntryError):
    """A retraction withdraws something that is no signal earlier in the same log."""


class ExpiredEntryError(EntryError):
    """An entry's last day has passed; its content is not kept."""


class ErasedBodyError(BodyError):
    """An entry's body was erased lawfully; its digest remains."""


class VerdictCountError(MeshError):
    """There is not one verdict for each claim: an unverified proof would pass for verified."""


RETRYABLE: Final = frozenset(
    kind.__name__
    for kind in (MissingBodyError, BodyDigestError, UnknownKindError, UnknownVersionError)
)
"""Names of the errors that a later look can lift.

A body that does not hash to the signed digest is not the entry's body; whoever serves wrong bytes
must not be able to have a true entry refused for ever, so it is asked for again like a missing
one. Every other refusal is final.
"""


@dataclass(frozen=True, slots=True)
class Assessed:
    """One entry and what it is worth.

    The content (`signal`, `retraction`, `sighting` or `promotion`) is there only while the outcome
    is ACCEPTED. `answer` holds the body that is worth keeping: one that is not the entry's own is
    dropped (`Missing`), and so is that of an expired entry (`Erased`).
    """

    index: int
    """Place in the log, from 0."""
    entry_id: str
    """The leaf hash in hex."""
    leaf: bytes
    """The leaf hash (RFC 6962, section 2.1)."""
    note: bytes
    """The entry's exact bytes."""
    answer: BodyAnswer
    outcome: Outcome
    reason: str = ""
    """Why, for people; empty when accepted."""
    error: str = ""
    """Name of the error's class; empty when accepted."""
    envelope: Envelope | None = None
    """What the entry says; None if it could not be read or trusted."""
    signal: SignalBody | None = None
    retraction: RetractionBody | None = None
    sighting: SightingBody | None = None
    promotion: PromotionBody | None = None
    """Its evaluations are verified."""
    claim: Claim | None = None
    """The proofs that a signal stands or falls with; None once `settle` has decided."""

    @property
    def retryable(self) -> bool:
        """Whether the body should be asked for again, or the entry looked at after an upgrade."""
        return self.error in RETRYABLE

    @property
    def holds_signal(self) -> bool:
        """Whether a later retraction can withdraw this: any signal that is not refused for good.

        One whose body is still to come counts too. If it did not, a signal that is retracted before
        its body comes in would be live afterwards.
        """
        return (
            (self.outcome is not Outcome.REFUSED or self.retryable)
            and self.envelope is not None
            and self.envelope.kind is Kind.SIGNAL
        )

    def without_content(self, outcome: Outcome, error: MeshError | ProofsError) -> "Assessed":
        """The same entry with another outcome, its reason, and no content."""
        return replace(
            self,
            outcome=outcome,
            reason=_printable(str(error)),
            error=type(error).__name__,
            signal=None,
            retraction=None,
            sighting=None,
            promotion=None,
            claim=None,
        )


def assess(
    mesh: Mesh, member: MemberCard, index: int, note: bytes, answer: BodyAnswer, today: Day
) -> Assessed:
    """Assess one entry of a member's log. Never raises for anything that a peer can send.

    :param note: the entry as the tree holds it.
    :param answer: what was answered when its body was asked for.
    """
    return assess_leaf(mesh, member, index, leaf_hash(note), note, answer, today)


def assess_leaf(
    mesh: Mesh,
    member: MemberCard,
    index: int,
    leaf: bytes,
    note: bytes,
    answer: BodyAnswer,
    today: Day,
) -> Assessed:
    """`assess` for a caller that has hashed the entry already."""
    bare = Assessed(index, leaf.hex(), leaf, note, answer, Outcome.ACCEPTED)
    try:
        envelope = open_entry(note, member, mesh)
    except (UnknownKindError, UnknownVersionError) as error:
        return bare.without_content(Outcome.DEFERRED, error)
    except (MeshError, ProofsError) as error:
        return bare.without_content(Outcome.REFUSED, error)
    read = replace(bare, envelope=envelope)
    try:
        check_dates(envelope, today, mesh.constraints)
    except MeshError as error:
        return read.without_content(Outcome.REFUSED, error)
    if is_expired(envelope, today):
        expired = ExpiredEntryError(f"expired after {format_day(Day(envelope.expires))}")
        return replace(read, answer=ERASED).without_content(Outcome.LAPSED, expired)
    match answer:
        case Missing():
            missing = MissingBodyError("its body was not handed over; it is asked for again")
            return read.without_content(Outcome.DEFERRED, missing)
        case Erased():
            return read.without_content(Outcome.LAPSED, ErasedBodyError("its body was erased"))
        case Present(salt, body):
            return _assess_body(mesh, member, read, envelope, salt, body)


def _assess_body(
    mesh: Mesh, member: MemberCard, read: Assessed, envelope: Envelope, salt: bytes, body: bytes
) -> Assessed:
    try:
        check_body(envelope, salt, body, mesh.constraints)
    except (BodyDigestError, BodyTooLargeError) as error:
        return replace(read, answer=MISSING).without_content(Outcome.REFUSED, error)
    try:
        match envelope.kind:
            case Kind.SIGNAL:
                signal = parse_signal(body)
                return replace(read, signal=signal, claim=claim_of(mesh, member.name, signal, salt))
            case Kind.RETRACTION:
                return replace(read, retraction=parse_retraction(body))
            case Kind.SIGHTING:
                return replace(read, sighting=parse_sighting(body))
            case Kind.PROMOTION:
                promotion = parse_promotion(body)
                verify_promotion(mesh, promotion)
                return replace(read, promotion=promotion)
    except (MeshError, ProofsError) as error:
        return read.without_content(Outcome.REFUSED, error)


def claims_of(assessed: Iterable[Assessed]) -> tuple[Claim, ...]:
    """The signals' proofs still to be verified, in the entries' order."""
    return tuple(entry.claim for entry in assessed if entry.claim is not None)


def settle(
    assessed: Sequence[Assessed],
    verdicts: Sequence[ProofsError | None],
    *,
    holds_signal: Callable[[str], bool],
    holds_entry: Callable[[str], bool],
) -> tuple[Assessed, ...]:
    """Decide what an entry alone could not: its proof, duplicates, and the targets of retractions.

    :param assessed: entries of one log, in the log's order.
    :param verdicts: for each of `claims_of(assessed)` the error that it was refused with, or None
        if it holds.
    :param holds_signal: whether the log holds, before these entries, a signal with this id that was
        not refused for good (see `Assessed.holds_signal`).
    :param holds_entry: whether the log holds, before these entries, an entry with this id, whatever
        became of it.
    :raises VerdictCountError: there is not one verdict for each claim.
    """
    if len(verdicts) != len(claims_of(assessed)):
        raise VerdictCountError(
            f"{len(verdicts)} verdicts for the proofs of {len(claims_of(assessed))} signals"
        )
    remaining = iter(verdicts)
    seen: set[str] = set()
    signals: set[str] = set()
    settled: list[Assessed] = []
    for proven in assessed:
        entry = proven
        verdict = next(remaining) if entry.claim is not None else None
        if entry.entry_id in seen or holds_entry(entry.entry_id):
            again = DuplicateEntryError("the same signed entry stands earlier in this log")
            entry = entry.without_content(Outcome.REFUSED, again)
        elif verdict is not None:
            entry = entry.without_content(Outcome.REFUSED, verdict)
        elif entry.claim is not None:
            entry = replace(entry, claim=None)
        elif entry.retraction is not None:
            target = entry.retraction.target
            if target not in signals and not holds_signal(target):
                unknown = UnknownTargetError("what it withdraws is no signal earlier in this log")
                entry = entry.without_content(Outcome.REFUSED, unknown)
        seen.add(entry.entry_id)
        if entry.holds_signal:
            signals.add(entry.entry_id)
        settled.append(entry)
    return tuple(settled)


def _printable(text: str) -> str:
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown if len(shown) <= MAX_REASON else shown[: MAX_REASON - 1] + "…"
