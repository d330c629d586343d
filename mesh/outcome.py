"""What an assessed entry is: its outcome, its content, and what can change about it.

    REFUSED   it breaks a rule, and is recorded with the name of that rule
    DEFERRED  it can't be judged yet: its body was not handed over, or it is of a kind or under a
              version of the constraints that this node does not know; look again later
    LAPSED    a true entry without live content: expired, or its body was lawfully erased
    ACCEPTED  it holds; for a signal only once its proofs do too

That a certificate covers an entry is a fact about an accepted entry, not a fifth outcome: it comes
later than the entry and is kept beside it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mesh.claims import Claim
from mesh.entry import Envelope, Kind
from mesh.errors import (
    BodyDigestError,
    BodyError,
    DatedAheadError,
    EntryError,
    ExpiryBeforeDayError,
    ExpiryTooFarError,
    ExpiryTooSoonError,
    MeshError,
    MissingBodyError,
    UnknownKindError,
    UnknownVersionError,
)
from mesh.evidence import Evidence
from mesh.promotion import PromotionBody
from mesh.quota import BackdatedEntryError, QuotaExceededError
from mesh.retraction import RetractionBody
from mesh.sighting import SightingBody
from mesh.signal import SignalBody
from mesh.wire import BodyAnswer
from proofs.errors import ProofsError

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


class EarlyExpiryError(EntryError):
    """A retraction expires before the signal that it withdraws.

    Who reads the log between the two days would have the signal, and never hear of its retraction.
    """


class ExpiredEntryError(EntryError):
    """An entry's last day has passed; its content is not kept."""


class ErasedBodyError(BodyError):
    """An entry's body was erased lawfully; its digest remains."""


class VerdictCountError(MeshError):
    """There is not one verdict for each claim: an unverified proof would pass for verified."""


AWAITED: Final = frozenset(kind.__name__ for kind in (MissingBodyError, BodyDigestError))
"""Names of the errors of an entry whose body is awaited.

A body that does not hash to the signed digest is not the entry's body; whoever serves wrong bytes
must not be able to have a true entry refused for ever, so it is asked for again like a missing
one. Every other refusal is final.
"""

UNREAD: Final = frozenset(kind.__name__ for kind in (UnknownKindError, UnknownVersionError))
"""Names of the errors of an entry that waits for an upgrade of this node. Its body is awaited from
then on, and not kept before: nothing could be told of it, not even when to erase it."""

RETRYABLE: Final = AWAITED | UNREAD
"""Names of the errors that a later look can lift."""

NOTE_ERRORS: Final = frozenset(
    kind.__name__
    for kind in (
        BackdatedEntryError,
        DatedAheadError,
        DuplicateEntryError,
        ExpiryBeforeDayError,
        ExpiryTooFarError,
        ExpiryTooSoonError,
        QuotaExceededError,
    )
)
"""Names of the errors that refuse an entry with a readable envelope for its note alone.

An entry refused for one of them does not *stand* (see `mesh.history`).
"""


@dataclass(frozen=True, slots=True)
class Assessed:
    """One entry and what it is worth.

    The content (`signal`, `retraction`, `sighting`, `promotion` or `evidence`) is there only while
    the outcome is ACCEPTED. `answer` holds the body that is worth keeping: one that is not the
    entry's own is dropped (`Missing`), as is that of an entry which can't be read yet, and so is
    that of an expired entry (`Erased`).
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
    evidence: Evidence | None = None
    """Verified: whoever owns the accused log signed two histories."""
    claim: Claim | None = None
    """The proofs that a signal stands or falls with; None once `settle` has decided."""

    @property
    def retryable(self) -> bool:
        """Whether the body should be asked for again, or the entry looked at after an upgrade."""
        return self.error in RETRYABLE

    @property
    def stands(self) -> bool:
        """Whether the note is in order, whatever its body is worth: see `mesh.history`."""
        return self.envelope is not None and self.error not in NOTE_ERRORS

    @property
    def holds_signal(self) -> bool:
        """Whether a later retraction can withdraw this: any signal that stands.

        One whose body is still to come counts too. If it did not, a signal that is retracted before
        its body comes in would be live afterwards. One whose body was refused counts as well, or
        members that have the body would judge its retraction unlike those that still wait for it.
        """
        return self.stands and self.envelope is not None and self.envelope.kind is Kind.SIGNAL

    def with_content(
        self,
        *,
        signal: SignalBody | None = None,
        retraction: RetractionBody | None = None,
        sighting: SightingBody | None = None,
        promotion: PromotionBody | None = None,
        evidence: Evidence | None = None,
        claim: Claim | None = None,
    ) -> "Assessed":
        """The same entry with this content, and no other."""
        # Not by `dataclasses.replace`, which takes ten times as long: this is done for each entry.
        return Assessed(
            self.index,
            self.entry_id,
            self.leaf,
            self.note,
            self.answer,
            self.outcome,
            self.reason,
            self.error,
            self.envelope,
            signal,
            retraction,
            sighting,
            promotion,
            evidence,
            claim,
        )

    def without_content(self, outcome: Outcome, error: MeshError | ProofsError) -> "Assessed":
        """The same entry with another outcome, its reason, and no content."""
        return Assessed(
            self.index,
            self.entry_id,
            self.leaf,
            self.note,
            self.answer,
            outcome,
            _printable(str(error)),
            type(error).__name__,
            self.envelope,
        )


def _printable(text: str) -> str:
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown if len(shown) <= MAX_REASON else shown[: MAX_REASON - 1] + "…"
