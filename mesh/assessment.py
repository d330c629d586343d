"""What one entry of a peer's log is worth: accepted, refused, deferred or lapsed.

An entry is assessed alone and from its exact bytes: signature first, then the envelope, then the
dates, then the body against its signed digest, then the body's content. Whatever is wrong with it
stays with it; the entries before and after are assessed all the same.

What can't be decided from the entry alone is left to `settle` (see there), which every assessed
entry goes through before it counts. What a sighting, a promotion or a derived signal refers to
stands in other logs; each is accepted by itself, and counted by whoever has those logs too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mesh.accusation import RepeatedAccusationError, accusation_due, parse_accusation
from mesh.claims import Claim, claim_of
from mesh.constraints import Constraints
from mesh.dampening import check_derived
from mesh.days import Day, format_day
from mesh.entry import Envelope, Kind, check_body, check_dates, is_expired, open_entry
from mesh.errors import (
    BodyDigestError,
    BodyTooLargeError,
    EntryError,
    MeshError,
    MissingBodyError,
    UnknownKindError,
    UnknownVersionError,
)
from mesh.evidence import verify_evidence
from mesh.genesis import Mesh
from mesh.history import LogHistory
from mesh.member import MemberCard
from mesh.outcome import (
    MAX_REASON,
    NOTE_ERRORS,
    RETRYABLE,
    Assessed,
    DuplicateEntryError,
    EarlyExpiryError,
    ErasedBodyError,
    ExpiredEntryError,
    Outcome,
    UnknownTargetError,
    VerdictCountError,
)
from mesh.promotion import parse_promotion, verify_promotion
from mesh.quota import (
    BackdatedEntryError,
    QuotaExceededError,
    bound_by_days,
    counts_for_quota,
)
from mesh.retraction import parse_retraction
from mesh.sighting import parse_sighting
from mesh.signal import parse_signal
from mesh.wire import ERASED, MISSING, BodyAnswer, Erased, Missing, Present
from proofs.errors import ProofsError
from proofs.merkle import leaf_hash

__all__ = [
    "MAX_REASON",
    "NOTE_ERRORS",
    "RETRYABLE",
    "Assessed",
    "DuplicateEntryError",
    "EarlyExpiryError",
    "ErasedBodyError",
    "ExpiredEntryError",
    "Outcome",
    "UnknownTargetError",
    "VerdictCountError",
    "assess",
    "assess_leaf",
    "claims_of",
    "lapse",
    "settle",
]


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

    def read_as(envelope: Envelope | None, answer: BodyAnswer = answer) -> Assessed:
        return Assessed(index, leaf.hex(), leaf, note, answer, Outcome.ACCEPTED, envelope=envelope)

    try:
        envelope = open_entry(note, member, mesh)
    except (UnknownKindError, UnknownVersionError) as error:
        return read_as(None, MISSING).without_content(Outcome.DEFERRED, error)
    except (MeshError, ProofsError) as error:
        return read_as(None).without_content(Outcome.REFUSED, error)
    read = read_as(envelope)
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
        case Erased():  # `settle` knows whether to believe it
            return read.without_content(Outcome.DEFERRED, _erased_without_reason())
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
                check_derived(mesh.constraints, signal)
                claim = claim_of(mesh, member.name, signal, salt)
                return read.with_content(signal=signal, claim=claim)
            case Kind.RETRACTION:
                return read.with_content(retraction=parse_retraction(body))
            case Kind.SIGHTING:
                return read.with_content(sighting=parse_sighting(body))
            case Kind.PROMOTION:
                promotion = parse_promotion(body)
                verify_promotion(mesh, promotion)
                return read.with_content(promotion=promotion)
            case Kind.EVIDENCE:
                evidence = parse_accusation(body)
                verify_evidence(mesh, evidence)
                return read.with_content(evidence=evidence)
    except (MeshError, ProofsError) as error:
        return read.without_content(Outcome.REFUSED, error)


def claims_of(assessed: Iterable[Assessed]) -> tuple[Claim, ...]:
    """The signals' proofs still to be verified, in the entries' order."""
    return tuple(entry.claim for entry in assessed if entry.claim is not None)


def settle(
    assessed: Sequence[Assessed],
    verdicts: Sequence[ProofsError | None],
    *,
    mesh: Mesh,
    history: LogHistory,
    stored: bool = False,
) -> tuple[Assessed, ...]:
    """Decide what an entry alone could not, each entry at its place in the log.

    First what the notes decide, so that it is decided alike by all members, whatever they hold of
    the bodies: no entry counts twice; none is dated before an earlier one; none is beyond the quota
    of its day. Then what needs its own body: a signal's proofs must hold; a retraction withdraws a
    signal before it, and expires no earlier; an author accuses a log once, and again after a while.
    Last, that a body was erased is believed only of what the log itself retracts, here or before;
    else the body is missing. *Attack:* whoever serves a log could have its signals forgotten by
    saying that they were erased.

    The outcome is the same however a log is cut into batches, but for one thing that whoever
    stores the outcomes must do: once a retraction is accepted, its target is over (`lapse`) if it
    still waits for its body.

    :param assessed: entries of one log, in the log's order.
    :param verdicts: for each of `claims_of(assessed)` the error that it was refused with, or None
        if it holds.
    :param history: the log before these entries.
    :param stored: the entries stand in `history` already and are looked at again, because their
        bodies came or this node was upgraded. What the notes decide was decided then and is not
        looked at again: it must not depend on when a body comes.
    :raises VerdictCountError: there is not one verdict for each claim.
    """
    if len(verdicts) != len(claims_of(assessed)):
        raise VerdictCountError(
            f"{len(verdicts)} verdicts for the proofs of {len(claims_of(assessed))} signals"
        )
    remaining = iter(verdicts)
    run = _Run(mesh.constraints, history, stored)
    settled: list[Assessed] = []
    for entry in assessed:
        verdict = next(remaining) if entry.claim is not None else None
        settled.append(run.settle(entry, verdict))
    return tuple(run.believe(entry) for entry in settled)


def lapse(entry: Assessed) -> Assessed:
    """An entry that waits for its body, once its log retracts it: its content never counts."""
    erased = ErasedBodyError("its log retracts it, and its body was erased")
    return replace(entry, answer=ERASED).without_content(Outcome.LAPSED, erased)


@dataclass
class _Run:
    """What the entries settled so far in one batch add to the history before it."""

    rules: Constraints
    history: LogHistory
    stored: bool
    last: Day | None = None
    ids: set[str] = field(default_factory=set)
    signals: dict[str, Day] = field(default_factory=dict)
    retracted: set[str] = field(default_factory=set)
    accused: dict[str, Day] = field(default_factory=dict)
    counted: dict[Day, int] = field(default_factory=dict)
    indexes: set[int] = field(default_factory=set)
    unread: bool = False

    def __post_init__(self) -> None:
        self.last = None if self.stored else self.history.last_day()

    def settle(self, entry: Assessed, verdict: ProofsError | None) -> Assessed:
        """Decide the next entry, except whether to believe that its body was erased."""
        out_of_order = None if self.stored else self._judge_note(entry)
        refusal = out_of_order or verdict or self._judge_content(entry)
        if refusal is not None:
            entry = entry.without_content(Outcome.REFUSED, refusal)
        elif entry.evidence is not None and self._awaits_accusation(entry.index):
            waits = MissingBodyError(
                "an accusation before it has no body yet; that one comes first"
            )
            entry = entry.without_content(Outcome.DEFERRED, waits)
        if entry.claim is not None:
            entry = entry.with_content(signal=entry.signal)  # decided
        self._note(entry)
        return entry

    def believe(self, entry: Assessed) -> Assessed:
        """Decide whether to believe that a body was erased, once all entries are settled."""
        if entry.outcome is not Outcome.DEFERRED or not isinstance(entry.answer, Erased):
            return entry
        if entry.entry_id in self.retracted or self.history.is_retracted(entry.entry_id):
            return lapse(entry)
        return replace(entry, answer=MISSING)

    def _judge_note(self, entry: Assessed) -> EntryError | None:
        if entry.entry_id in self.ids or self.history.holds_entry(entry.entry_id):
            return DuplicateEntryError("the same signed entry stands earlier in this log")
        self.ids.add(entry.entry_id)
        if entry.envelope is None or not entry.stands:
            return None
        kind, day = entry.envelope.kind, Day(entry.envelope.day)
        bound = bound_by_days(kind)
        if bound and self.last is not None and day < self.last:
            return BackdatedEntryError(
                f"dated {format_day(day)}, and an earlier entry of this log "
                f"{format_day(self.last)}: days never fall within a log"
            )
        if counts_for_quota(kind):
            before = self.counted.get(day)
            before = self.history.counted_on(day) if before is None else before
            quota = self.rules.daily_quota
            if before >= quota:
                return QuotaExceededError(
                    f"its member has published {quota} entries of {format_day(day)} before "
                    "it; more of one day do not count"
                )
            self.counted[day] = before + 1
        if bound:
            self.last = day
        return None

    def _judge_content(self, entry: Assessed) -> EntryError | None:
        envelope = entry.envelope
        if entry.retraction is not None and envelope is not None:
            target = entry.retraction.target
            until = self.history.signal_expires(target, entry.index)
            until = self.signals.get(target) if until is None else until
            if until is None:
                return UnknownTargetError("what it withdraws is no signal earlier in this log")
            if envelope.expires < until:
                return EarlyExpiryError(
                    f"it expires after {format_day(Day(envelope.expires))}, and what it withdraws "
                    f"lives until {format_day(until)}"
                )
        if entry.evidence is not None and envelope is not None:
            accused = entry.evidence.log
            known = self.accused.get(accused) or self.history.accuses(accused)
            if not accusation_due(self.rules, known, Day(envelope.day)):
                return RepeatedAccusationError(f"its log accuses {accused} already")
        return None

    def _awaits_accusation(self, index: int) -> bool:
        """Whether it is open still what an accusation before this one says.

        It may be against the same log; then it is the one that counts, for all members.
        """
        stored = self.history.unread_accusations(index)
        return self.unread or any(place not in self.indexes for place in stored)

    def _note(self, entry: Assessed) -> None:
        self.indexes.add(entry.index)
        if entry.retraction is not None:
            self.retracted.add(entry.retraction.target)
        if entry.envelope is None:
            return
        if entry.holds_signal:
            self.signals[entry.entry_id] = Day(entry.envelope.expires)
        if entry.evidence is not None:
            self.accused[entry.evidence.log] = Day(entry.envelope.day)
        if entry.envelope.kind is Kind.EVIDENCE and entry.retryable:
            self.unread = True


def _erased_without_reason() -> MissingBodyError:
    return MissingBodyError(
        "its body is said to be erased, but the log does not retract it; it is asked for again"
    )
