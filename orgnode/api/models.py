"""What the local API takes and gives: the one place where its JSON is described.

Handlers, the OpenAPI document and the Python client are all made from these models. Requests refuse
unknown fields; answers tolerate them when read, so that an older client understands a newer node.
Errors of validation never repeat a value, and a request's `repr` hides the prompt and the scores.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from mesh.taxonomy import BARRIERS, CATEGORIES, RETRACTION_REASONS
from orgnode.store import EventType

MAX_TEXT = 200_000
"""Longest incident text in characters."""

MAX_BATCH = 256
"""Most incidents in one request."""

MAX_PAGE = 500
"""Most signals in one answer."""

_LARGEST = 2**53 - 1  # that JSON holds exactly

BandName = Literal["low", "moderate", "high", "critical"]
StatusName = Literal["live", "retracted", "expired", "erased"]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _within(least: int, most: int) -> BeforeValidator:
    """A query parameter is text: only plain ASCII digits are a number, and the range is named."""

    def checked(value: object) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
            value = int(value)
        if not isinstance(value, int) or not least <= value <= most:
            raise PydanticCustomError("range", f"give a whole number from {least} to {most}")
        return value

    return BeforeValidator(checked)


def _flag(value: object) -> object:
    # The spellings of a query; anything else is left to the type, which refuses it.
    return {"1": True, "true": True, "0": False, "false": False}.get(str(value).lower(), value)


Flag = Annotated[bool, BeforeValidator(_flag)]
Whole = Annotated[int, _within(0, _LARGEST), Field(ge=0, le=_LARGEST)]
PageSize = Annotated[int, _within(1, MAX_PAGE), Field(ge=1, le=MAX_PAGE)]


class Request(BaseModel):
    """The base of what is taken: strict types, nothing unknown, no value in any error."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class Answer(BaseModel):
    """The base of what is given."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


# --- errors


class Problem(Answer):
    """What went wrong and what to do about it."""

    code: str = Field(description="The condition's name, stable: `BelowThresholdError`")
    message: str = Field(description="What happened, for a person")
    hint: str = Field(default="", description="What to do about it; may be empty")


class ErrorAnswer(Answer):
    """Every answer that is not a success."""

    error: Problem


# --- incidents


class IncidentRequest(Request):
    """An incident to publish as a signal. Text and scores never leave the organization."""

    text: str = Field(
        repr=False, min_length=1, max_length=MAX_TEXT, description="The prompt; stays in the vault"
    )
    components: dict[str, int] = Field(
        repr=False,
        description="Assessed severity, one integer of 0 to 10 for each component of the mesh's "
        "rubric; only commitments to them are published",
        examples=[
            {
                "capability_gain": 8,
                "breadth": 7,
                "ease_of_weaponization": 6,
                "discoverability": 5,
            }
        ],
    )
    category: str = Field(
        description="MLCommons AILuminate hazard code",
        json_schema_extra={"enum": [*CATEGORIES]},
    )
    technique: str = Field(
        description="MITRE ATLAS id",
        json_schema_extra={"pattern": r"^AML\.T[0-9]{4}(\.[0-9]{3})?$"},
        examples=["AML.T0054"],
    )
    confidence: int = Field(default=80, ge=0, le=100, description="Percent")
    band: BandName | None = Field(
        default=None, description="Band to claim; without it the highest that the scores reach"
    )
    barrier: str | None = Field(
        default=None,
        repr=False,
        description="The safeguard that failed, if you choose to publish it",
        json_schema_extra={"enum": [*sorted(BARRIERS), None]},
    )
    reference: str | None = Field(
        default=None,
        repr=False,
        min_length=1,
        max_length=200,
        description="Your own id of the incident: reporting it again then publishes nothing new",
    )
    derived_from: Hash | None = Field(
        default=None,
        description="Id of the signal that you warn because of, if you have not met the attack "
        "yourself. It must be live and certified; `confidence` is lowered to what it allows (80 % "
        "of its own), and nothing is published if that is too low. Such a signal is never a source",
    )


class BatchRequest(Request):
    """Incidents to publish together. A malformed request is refused whole and publishes nothing."""

    incidents: list[IncidentRequest] = Field(min_length=1, max_length=MAX_BATCH)


class IncidentQuery(Request):
    """What to wait for before the answer."""

    wait: Literal["certified"] | None = Field(
        default=None,
        description="Answer when a quorum of members holds it durably, or after ten seconds: "
        "`certified` says which",
    )


class IncidentAnswer(Answer):
    """Where an incident's signal stands, durable in the own log."""

    incident: str = Field(description="Id of the incident in this organization's vault")
    signal: Hash = Field(description="Id of the signal in the mesh")
    index: int = Field(description="Its place in this organization's log")
    band: BandName
    confidence: int | None = Field(
        default=None, description="Percent, as published; null if it is erased by now"
    )
    duplicate: bool = Field(description="True if this reference was published before")
    size: int = Field(description="Size of the signed tree that covers the signal")
    certified: bool = Field(
        default=False,
        description="Whether a quorum of members holds it durably; until then it is provisional, "
        "and counts nowhere",
    )


class BatchResult(Answer):
    """What became of one incident of a batch: `published` or `error`."""

    ok: bool
    published: IncidentAnswer | None = None
    error: Problem | None = None


class BatchAnswer(Answer):
    """Results in the order of the request's incidents."""

    results: list[BatchResult]


# --- signals


class SignalAnswer(Answer):
    """A signal, an own one or a verified one of a peer.

    Once it is not live its content is erased: the fields that are gone are null, `tokens` is empty.
    """

    id: Hash
    issuer: str
    index: int
    day: str = Field(description="YYYY-MM-DD")
    expires: str = Field(description="YYYY-MM-DD")
    band: BandName
    band_level: int = Field(description="1 low, 2 moderate, 3 high, 4 critical")
    category: str
    technique: str | None = None
    confidence: int | None = None
    claimed_confidence: int | None = Field(
        default=None,
        description="What the issuer of a derived signal claims, where its parent allows less: "
        "then `confidence` is what the parent allows",
    )
    tokens: list[Hash]
    direct: bool | None = None
    derived_from: Hash | None = None
    barrier: str | None = None
    status: StatusName
    certified: bool = Field(
        default=False,
        description="Whether a quorum of members holds it durably, as of this answer (also within "
        "an event of the feed, whatever held when that happened); before it does, the signal is "
        "provisional and counts nowhere",
    )
    suspended: bool = Field(
        default=False, description="Its issuer has been proven to show two histories; not counted"
    )
    own: bool
    received: float = Field(description="When this node stored it, Unix seconds")


class CertificateAnswer(Answer):
    """Who cosigned the newest checkpoint that covers a signal: it changes as the log grows.

    `counts_since` is the signal's own, and does not.
    """

    size: int = Field(description="Entries that the cosigned checkpoint covers")
    time: int = Field(
        description="When this checkpoint, the log's newest, was cosigned: lower median of the "
        "cosignatures' times, Unix seconds"
    )
    counts_since: float | None = Field(
        default=None,
        description="When the signal began to count at this node: certified, and with its content, "
        "Unix seconds; null if it is not live, or too many hold its tokens to tell",
    )
    cosigners: list[str] = Field(description="Members that hold it durably, sorted")
    quorum: int = Field(description="How many had to")


class ReceiptAnswer(Answer):
    """A member's signed word that a retraction reached it."""

    member: str
    erased: bool = Field(description="Whether it held no copy of the signal's content any more")
    day: str = Field(description="YYYY-MM-DD, as the member dated it")
    at: float = Field(description="When this node stored it, Unix seconds")


class SharingAnswer(Answer):
    """Another live signal that holds some of the same tokens."""

    signal: Hash
    issuer: str
    tokens: int = Field(description="How many tokens both hold")


class SignalDetailAnswer(SignalAnswer):
    """A signal, and what this node knows about it from others. All empty once it is not live."""

    sharing: list[SharingAnswer] = Field(
        default_factory=list,
        description="Up to 100 live signals that share tokens with it, those with most first",
    )
    confirmed_by: list[str] = Field(
        default_factory=list, description="Members where a person confirmed it, sorted"
    )
    denied_by: list[str] = Field(
        default_factory=list, description="Members where a person denied it, sorted"
    )
    promoted: int = Field(
        default=0, description="How many of its tokens are promoted: matched without the committee"
    )
    certificate: CertificateAnswer | None = Field(
        default=None, description="Who cosigned it; null while it is provisional"
    )
    receipts: list[ReceiptAnswer] = Field(
        default_factory=list,
        description="Of an own signal that was retracted: who said that they have erased it",
    )
    unreceipted: list[str] = Field(
        default_factory=list, description="Members that have not said so yet, sorted"
    )


class SignalsAnswer(Answer):
    """One page of signals, newest first."""

    signals: list[SignalAnswer]
    next: int | None = Field(
        default=None, description="`cursor` of the next page; null on the last page"
    )


class SignalsQuery(Request):
    """Which signals to list."""

    min_band: BandName | None = Field(default=None, description="Only this band and above")
    category: str | None = Field(default=None, description="Only this hazard code")
    issuer: str | None = Field(default=None, description="Only this member's")
    status: StatusName | None = Field(default=None, description="Only with this status")
    provisional: Flag = Field(
        default=False, description="Those too that no quorum has cosigned yet: they count nowhere"
    )
    suspended: Flag = Field(
        default=False, description="Those too whose issuer has been proven to show two histories"
    )
    limit: PageSize = Field(default=50, description="Page size")
    cursor: Whole | None = Field(default=None, description="`next` of the page before")


class ProofAnswer(Answer):
    """Everything that somebody else needs to verify a published signal, byte for byte."""

    signal: Hash
    issuer: str
    index: int
    mesh: Hash
    note: str = Field(description="The signed entry, base64")
    salt: str = Field(description="The body's salt, base64")
    body: str = Field(description="The body, base64")
    checkpoint: str = Field(description="The issuer's signed checkpoint, base64")
    inclusion: list[Hash] = Field(description="RFC 6962 inclusion proof, hex, leaf to root")
    certified: bool = Field(
        default=False, description="Whether the checkpoint carries the cosignatures of a quorum"
    )


class RetractRequest(Request):
    """Withdraw an own signal everywhere."""

    reason: str = Field(
        description="Why; published", json_schema_extra={"enum": [*RETRACTION_REASONS]}
    )


class RetractAnswer(Answer):
    """Where the retraction stands in the own log."""

    retraction: Hash = Field(description="Id of the retraction's entry")
    signal: Hash
    index: int
    size: int = Field(description="Size of the signed tree that covers the retraction")


# --- refusals


class RefusalAnswer(Answer):
    """An entry of a peer that did not hold. Its content is never shown."""

    id: Hash
    issuer: str
    index: int
    error: str = Field(description="Name of the check that it failed")
    reason: str
    received: float = Field(description="When this node stored it, Unix seconds")


class RefusalsAnswer(Answer):
    """Refused entries, newest first."""

    refusals: list[RefusalAnswer]


class RefusalsQuery(Request):
    """Which refusals to list."""

    issuer: str | None = Field(default=None, description="Only this member's")
    limit: PageSize = Field(default=50, description="How many")


# --- the feed


class FeedQuery(Request):
    """Which events to follow, and from where."""

    min_band: BandName | None = Field(default=None, description="Only this band and above")
    category: tuple[str, ...] = Field(default=(), description="Only these hazard codes; repeatable")
    type: tuple[EventType, ...] = Field(default=(), description="Only these types; repeatable")
    provisional: Flag = Field(
        default=False,
        description="Also `provisional` events: signals that no quorum has cosigned yet",
    )
    after: Whole | None = Field(
        default=None,
        description="Start behind this event; 0 for all that are kept. `Last-Event-ID` wins. "
        "Without either only new events are sent",
    )


class FeedItem(Answer):
    """One event of the feed: the JSON in its `data`.

    `signal` comes with types `signal` (it is certified, and counts from now on), `provisional` (no
    quorum has cosigned it yet), `retraction` (with `reason`) and `sighting` (`by` is the member
    whose person gave the `verdict`); `issuer`, `index`, `id`, `error` and `reason` describe a
    `refused` entry; `issuer`, `index`, `id` and `windows` a `promotion`; `issuer`, `kind` and
    `reason` a log's proven fault (`evidence`) or a seat's wrong answer (`misconduct`).
    The client also yields `gap`: events between `seq` and before could not be had; and, if it is
    asked to, `cursor`: nothing more up to `seq`.
    """

    seq: int
    type: str
    at: float | None = Field(default=None, description="When this node stored it, Unix seconds")
    certified: bool | None = Field(
        default=None,
        description="Whether a quorum had cosigned what it is about when it happened: false in "
        "every `provisional` event. `signal.certified` says whether one has by now",
    )
    signal: SignalAnswer | None = None
    issuer: str | None = None
    index: int | None = None
    id: str | None = None
    kind: str | None = None
    error: str | None = None
    reason: str | None = None
    by: str | None = None
    verdict: str | None = Field(default=None, description="`confirm` or `deny`")
    windows: int | None = Field(default=None, description="How many windows were promoted")
