"""Deals and verdicts: the two kinds of notes of a key generation, signed with identity keys.

    signal-mesh/v1/keygen-deal
    {"ceremony": …, "commitments": […], "contribution": digest, "dealer": …, "proof": …,
     "sealed": [one for each founder, …]}

    signal-mesh/v1/keygen-verdict
    {"ceremony": …, "checked": {dealer: digest of its deal, …},
     "complaints": [{"deal": digest, "dealer": …, "exposure": …}, …], "founder": …}

A deal's digest is the SHA-256 of its text. A verdict says which deals its founder opened and found
right, and proves the wrong ones. A founder may give several verdicts, as deals come in; what they
say together counts.

A deal that its dealer signed and that is plainly wrong (`OpenedDeal.fault`) is no error here: it is
kept, for it shows everybody why the dealer does not count.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from mesh.committee import MAX_SEATS
from mesh.document import PREFIX, document_text, read_document
from mesh.errors import MeshError
from mesh.keygen.errors import (
    ForeignCeremonyError,
    ImpersonationError,
    KeygenFormatError,
    KeygenNoteError,
    NotADealerError,
)
from mesh.keygen.proposal import KeygenProposal
from mesh.model import Base64Bytes, Digest, Model
from mesh.names import check_name
from proofs.note import Signer, open_note, parse_note, sign_note
from proofs.threshold.dealing import (
    CheckedDeal,
    Deal,
    FalseComplaintError,
    MalformedDealError,
    check_deal,
    judge,
)
from proofs.threshold.errors import DealerFaultError
from proofs.threshold.sealing import EXPOSURE_BYTES

DEAL_KIND: Final = "keygen-deal"
VERDICT_KIND: Final = "keygen-verdict"
MAX_DEAL_NOTE: Final = 32_768
"""Longest deal, signature included, in bytes: room for payloads to 100 founders."""
MAX_VERDICT_NOTE: Final = 8_192
_CACHED: Final = 1_024

_Name = Annotated[str, AfterValidator(check_name)]


class DealBody(Model):
    """What a dealer signs. Its cryptography is checked apart."""

    format_error: ClassVar[type[MeshError]] = KeygenFormatError

    ceremony: Digest
    dealer: _Name
    commitments: Annotated[tuple[Digest, ...], Field(strict=False, max_length=2 * MAX_SEATS)]
    """Feldman commitments, hex, the constant one first."""
    contribution: Digest
    """Commitment to the dealer's part of the selection key."""
    sealed: Annotated[tuple[Base64Bytes, ...], Field(strict=False)]
    """One payload for each founder, in the order of names."""
    proof: Base64Bytes

    def deal(self) -> Deal:
        """The deal as `proofs` knows it."""
        return Deal(
            tuple(map(bytes.fromhex, self.commitments)),
            bytes.fromhex(self.contribution),
            self.sealed,
            self.proof,
        )


class ComplaintBody(Model):
    """One complaint about one deal, with what proves it."""

    format_error: ClassVar[type[MeshError]] = KeygenFormatError

    dealer: _Name
    deal: Digest
    exposure: Annotated[
        Base64Bytes, Field(min_length=EXPOSURE_BYTES, max_length=EXPOSURE_BYTES, repr=False)
    ]


class VerdictBody(Model):
    """What a founder says of the deals that it received."""

    format_error: ClassVar[type[MeshError]] = KeygenFormatError

    ceremony: Digest
    founder: _Name
    checked: Annotated[dict[_Name, Digest], Field(max_length=MAX_SEATS)]
    complaints: Annotated[tuple[ComplaintBody, ...], Field(strict=False, max_length=2 * MAX_SEATS)]


@dataclass(frozen=True)
class OpenedDeal:
    """A deal whose signature holds, with the fault that everybody can see in it, if any."""

    dealer: str
    digest: str
    """SHA-256 of the note's text, hex."""
    note: bytes = field(repr=False)
    checked: CheckedDeal | None = field(repr=False)
    fault: MalformedDealError | None


@dataclass(frozen=True)
class OpenedVerdict:
    """A verdict whose signature holds. Its complaints are not judged yet."""

    founder: str
    digest: str
    """SHA-256 of the note's text, hex."""
    note: bytes = field(repr=False)
    checked: dict[str, str]
    """Digests of the deals that the founder found right, by dealer."""
    complaints: tuple[ComplaintBody, ...] = field(repr=False)


OpenedNote = OpenedDeal | OpenedVerdict


def compose_deal(proposal: KeygenProposal, signer: Signer, deal: Deal) -> bytes:
    """Write and sign a deal."""
    body = DealBody(
        ceremony=proposal.ceremony,
        dealer=signer.name,
        commitments=tuple(data.hex() for data in deal.commitments),
        contribution=deal.enclosure_digest.hex(),
        sealed=deal.sealed,
        proof=deal.proof,
    )
    return sign_note(document_text(DEAL_KIND, body.to_json()), (signer,))


def compose_verdict(
    proposal: KeygenProposal,
    signer: Signer,
    checked: dict[str, str],
    complaints: tuple[ComplaintBody, ...],
) -> bytes:
    """Write and sign a verdict."""
    body = VerdictBody(
        ceremony=proposal.ceremony, founder=signer.name, checked=checked, complaints=complaints
    )
    return sign_note(document_text(VERDICT_KIND, body.to_json()), (signer,))


class NoteReader:
    """Opens the notes of one key generation, and judges complaints, each of them once.

    What is remembered is a function of the note's bytes and the proposal alone, so that machines of
    one process may share a reader.
    """

    def __init__(self, proposal: KeygenProposal) -> None:
        self.proposal = proposal
        self._notes: dict[bytes, OpenedNote] = {}
        self._judged: dict[tuple[str, str, bytes], DealerFaultError | None] = {}

    def open(self, note: bytes) -> OpenedNote:
        """Verify a note's signature, then read it.

        :raises KeygenNoteError: it does not count in this key generation; the subclass says why.
        :raises UnknownFounderError: its signer is no founder.
        :raises NotADealerError: a deal of a founder without a seat.
        :raises NoteError: not a signed note, or the signature is not the founder's.
        :raises MeshError: not strict JSON.
        """
        opened = self._notes.get(note)
        if opened is None:
            opened = self._open(note)
            if len(self._notes) < _CACHED:
                self._notes[note] = opened
        return opened

    def judge(self, deal: OpenedDeal, complaint: ComplaintBody, founder: str) -> str | None:
        """Judge a founder's complaint about a well-formed deal.

        :return: the name of the dealer's fault, or None if the complaint is false.
        """
        assert deal.checked is not None, "a malformed deal needs no complaint"
        key = deal.digest, founder, complaint.exposure
        if key not in self._judged:
            place = self.proposal.place_of(founder)
            try:
                fault = judge(deal.checked, place, complaint.exposure)
            except FalseComplaintError:
                fault = None
            if len(self._judged) >= _CACHED:
                return None if fault is None else type(fault).__name__
            self._judged[key] = fault
        known = self._judged[key]
        return None if known is None else type(known).__name__

    def _open(self, note: bytes) -> OpenedNote:
        lines = parse_note(note, MAX_DEAL_NOTE).signatures
        if len(lines) != 1:
            raise KeygenFormatError("a note of a key generation has one signature")
        name = lines[0].name
        text = open_note(note, (self.proposal.member(name).identity_key,)).text
        digest = sha256(text.encode()).hexdigest()
        if text.startswith(f"{PREFIX}{DEAL_KIND}\n"):
            return self._open_deal(note, text, digest, name)
        return self._open_verdict(note, text, digest, name)

    def _open_deal(self, note: bytes, text: str, digest: str, name: str) -> OpenedDeal:
        body = DealBody.parse(_value(text, DEAL_KIND, MAX_DEAL_NOTE))
        self._check(body, DEAL_KIND, text, body.ceremony, body.dealer, name)
        if self.proposal.index_of(name) is None:
            raise NotADealerError(f"{name} deals, but has no seat in the committee")
        try:
            checked = check_deal(self.proposal.terms(name), body.deal())
        except MalformedDealError as fault:
            return OpenedDeal(name, digest, note, None, fault)
        return OpenedDeal(name, digest, note, checked, None)

    def _open_verdict(self, note: bytes, text: str, digest: str, name: str) -> OpenedVerdict:
        if len(note) > MAX_VERDICT_NOTE:
            raise KeygenFormatError(f"a verdict is at most {MAX_VERDICT_NOTE} bytes")
        body = VerdictBody.parse(_value(text, VERDICT_KIND, MAX_VERDICT_NOTE))
        self._check(body, VERDICT_KIND, text, body.ceremony, body.founder, name)
        for dealer in (*body.checked, *(complaint.dealer for complaint in body.complaints)):
            if self.proposal.index_of(dealer) is None:
                raise KeygenFormatError(f"a verdict on {dealer}, who is no dealer")
        return OpenedVerdict(name, digest, note, body.checked, body.complaints)

    def _check(
        self, body: Model, kind: str, text: str, ceremony: str, speaker: str, signer: str
    ) -> None:
        if ceremony != self.proposal.ceremony:
            raise ForeignCeremonyError(
                f"the note of {signer} belongs to another key generation: compare the proposals"
            )
        if speaker != signer:
            raise ImpersonationError(f"{signer} signed a note in which {speaker} speaks")
        if document_text(kind, body.to_json()) != text:
            raise KeygenFormatError("a note is written in its canonical encoding")


def _value(text: str, kind: str, limit: int) -> object:
    value: object = read_document(text, kind, max_bytes=limit, error=KeygenNoteError)
    return value
