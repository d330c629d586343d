"""What goes into a store and what comes out of it: plain frozen data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, get_args

from mesh.constraints import BAND_NAMES
from mesh.days import Day, format_day
from mesh.evidence import Evidence
from mesh.outcome import RETRYABLE, Assessed, Outcome
from mesh.promotion import PromotionBody
from mesh.sighting import SightingBody
from mesh.signal import SignalBody
from mesh.wire import BodyAnswer


class SignalStatus(StrEnum):
    """Where an accepted signal stands. Only a live one counts and has its content."""

    LIVE = "live"
    RETRACTED = "retracted"
    EXPIRED = "expired"
    ERASED = "erased"
    """Its body was erased at this node for another lawful reason."""


EventType = Literal[
    "signal",
    "provisional",
    "retraction",
    "refused",
    "evidence",
    "sighting",
    "promotion",
    "misconduct",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)


@dataclass(frozen=True)
class LogRow:
    """One entry of a log as it is to be stored: the exact bytes, and what was made of them.

    `kind`, `day` and `expires` are None when the envelope could not be read. `retracts` is the id
    of the signal that an accepted retraction withdraws, `retraction_reason` says why. `evidence` is
    what an accepted entry of evidence says, verified.
    """

    index: int
    entry_id: str
    leaf: bytes
    note: bytes = field(repr=False)
    answer: BodyAnswer = field(repr=False)
    kind: str | None
    day: Day | None
    expires: Day | None
    outcome: Outcome
    reason: str = ""
    error: str = ""
    signal: SignalBody | None = None
    retracts: str | None = None
    retraction_reason: str = ""
    sighting: SightingBody | None = None
    promotion: PromotionBody | None = None
    evidence: Evidence | None = None

    @property
    def retryable(self) -> bool:
        """Whether a later look can change the outcome (see `mesh.outcome.RETRYABLE`)."""
        return self.error in RETRYABLE

    @classmethod
    def of(cls, assessed: Assessed) -> LogRow:
        """The row for an assessed entry."""
        envelope, retraction = assessed.envelope, assessed.retraction
        return cls(
            index=assessed.index,
            entry_id=assessed.entry_id,
            leaf=assessed.leaf,
            note=assessed.note,
            answer=assessed.answer,
            kind=None if envelope is None else str(envelope.kind),
            day=None if envelope is None else Day(envelope.day),
            expires=None if envelope is None else Day(envelope.expires),
            outcome=assessed.outcome,
            reason=assessed.reason,
            error=assessed.error,
            signal=assessed.signal,
            retracts=None if retraction is None else retraction.target,
            retraction_reason="" if retraction is None else str(retraction.reason),
            sighting=assessed.sighting,
            promotion=assessed.promotion,
            evidence=assessed.evidence,
        )


@dataclass(frozen=True)
class SealedIncident:
    """A vault row: an incident encrypted under its own data key, that wrapped by the master key.

    `expires` is the day after which it is erased. `reference_mac` is the HMAC of the caller's
    idempotency key, never the key itself.
    """

    id: str
    entry_id: str | None
    day: Day
    expires: Day
    wrapped_key: bytes = field(repr=False)
    sealed: bytes = field(repr=False)
    reference_mac: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class KnownReference:
    """Which incident, and which signal, a reference was used for; outlives the incident itself."""

    incident_id: str
    entry_id: str | None


@dataclass(frozen=True)
class SignalRecord:
    """An accepted signal. Once it is not live, only its id, dates, band and category are left.

    Band and category stay for the feed: who followed `high` must also hear of a retraction there.
    `received` is when this node stored it, in seconds since 1970-01-01 UTC; `cursor` its place
    among all signals here, for paging. `certified` says that a certificate covers its place in the
    log, `suspended` that there is evidence against that log. Only what is live, certified and not
    suspended counts.
    """

    id: str
    issuer: str
    index: int
    day: Day
    expires: Day
    band_level: int
    category: str
    technique: str | None
    confidence: int | None
    tokens: tuple[str, ...]
    derived_from: str | None
    barrier: str | None
    direct: bool | None
    status: SignalStatus
    own: bool
    received: float
    cursor: int
    certified: bool
    suspended: bool

    @property
    def band(self) -> str:
        """The band's name."""
        return BAND_NAMES[self.band_level - 1]

    def to_json(self) -> dict[str, Any]:
        """The signal as the local API and the feed show it."""
        return {
            "id": self.id,
            "issuer": self.issuer,
            "index": self.index,
            "day": format_day(self.day),
            "expires": format_day(self.expires),
            "band": self.band,
            "band_level": self.band_level,
            "category": self.category,
            "technique": self.technique,
            "confidence": self.confidence,
            "tokens": list(self.tokens),
            "direct": self.direct,
            "derived_from": self.derived_from,
            "barrier": self.barrier,
            "status": str(self.status),
            "certified": self.certified,
            "suspended": self.suspended,
            "own": self.own,
            "received": self.received,
        }


@dataclass(frozen=True)
class EntryRecord:
    """What is known of one entry of a log, without its content."""

    log: str
    index: int
    entry_id: str
    kind: str | None
    day: Day | None
    expires: Day | None
    outcome: Outcome
    error: str
    reason: str
    received: float


@dataclass(frozen=True)
class DeferredRow:
    """An entry to look at again: its exact bytes, what is held of its body, and why it waits."""

    index: int
    entry_id: str
    note: bytes = field(repr=False)
    answer: BodyAnswer = field(repr=False)
    error: str = ""


@dataclass(frozen=True)
class CheckpointRecord:
    """A signed checkpoint that this node has seen or made."""

    log: str
    size: int
    root: bytes
    note: bytes = field(repr=False)


@dataclass(frozen=True)
class ReceiptRecord:
    """A member's signed word on what it did about a retraction (see `mesh.receipt`).

    `at` is when it was stored here, in seconds since 1970-01-01 UTC.
    """

    member: str
    note: bytes = field(repr=False)
    at: float


@dataclass(frozen=True)
class SignalFilter:
    """Which signals to list; None means any. `min_band` is a level, 1 to 4.

    `provisional` adds those that no certificate covers yet, `suspended` those of logs with evidence
    against them.
    """

    min_band: int | None = None
    category: str | None = None
    issuer: str | None = None
    status: SignalStatus | None = None
    provisional: bool = False
    suspended: bool = False


@dataclass(frozen=True)
class FeedFilter:
    """Which events to send. An empty `categories` or `types` means any.

    `min_band` and `categories` ask for signals (and their retractions and sightings): with either
    of them refused entries are left out, since nothing about those is proven, and promotions, which
    have neither. Evidence against a log is about all its signals and always passes, as misconduct
    of a committee member does, unless `types` leaves them out.

    `provisional` adds what happened to signals before they were certified: `provisional` events,
    and retractions of signals that never had a `signal` event. `suspended` adds what signals and
    sightings of logs with evidence against them were about; their retractions always pass.
    """

    min_band: int | None = None
    categories: frozenset[str] = frozenset()
    types: frozenset[EventType] = frozenset()
    provisional: bool = False
    suspended: bool = False


@dataclass(frozen=True)
class FeedEvent:
    """Something that happened here, in the order in which it became durable.

    `seq` rises without reuse; `at` is in seconds since 1970-01-01 UTC; `data` is ready for JSON.
    Content that has been erased since is not in it. `data["certified"]` says whether what it is
    about counted when it happened: a `signal` event comes with certification and so always says
    true, a `provisional` one false. `data["signal"]["certified"]` is how it is now.
    """

    seq: int
    type: EventType
    at: float
    data: dict[str, Any] = field(repr=False)


Counts = dict[str, dict[Outcome, int]]
"""For each log: how many of its entries had which outcome."""

Rows = Sequence[LogRow]
