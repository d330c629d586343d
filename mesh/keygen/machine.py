"""One founder's part in a key generation, or an onlooker's: notes in, notes and the outcome out.

The machine has no clock and no channel. Whoever runs it shows it the notes of all founders, its own
earlier ones included, in any order and as often as it likes, and carries its notes to the others.
Until all have signed a genesis that pins the transcript, nothing is decided: two founders who were
shown different notes come to different transcripts and don't sign the same genesis.
"""

from functools import cached_property
from hashlib import sha512
from typing import Final, TypeVar

from mesh.committee import Committee, Seat
from mesh.fingerprint.keys import SelectionKey
from mesh.keygen.errors import (
    FounderKeyError,
    NotADealerError,
    NothingToJudgeError,
    TranscriptError,
)
from mesh.keygen.notes import (
    ComplaintBody,
    NoteReader,
    OpenedDeal,
    OpenedVerdict,
    compose_deal,
    compose_verdict,
)
from mesh.keygen.outcome import KeygenOutcome, Notes, Resolution, resolve, stand
from mesh.keygen.proposal import CONTRIBUTION_BYTES, KeygenProposal, read_proposal
from mesh.keygen.transcript import read_transcript, transcript_digest, write_transcript
from proofs.note import Signer
from proofs.ristretto import Scalar, add_scalars, multiply_base, scalar
from proofs.threshold.dealing import Payload, complain, make_deal, open_payload
from proofs.threshold.errors import DealerFaultError

MAX_DEALS: Final = 2
"""Different deals of one dealer that are kept: two prove the equivocation."""
MAX_VERDICTS: Final = 16
"""Different verdicts of one founder that are kept, those with the smallest digests. One that keeps
to the protocol gives at most one for each deal."""

_NoteT = TypeVar("_NoteT", OpenedDeal, OpenedVerdict)

_CONTRIBUTION: Final = b"signal-mesh/v1/selection contribution\n"
_SELECTION: Final = b"signal-mesh/v1/selection key\n"


class KeyGeneration:
    """A key generation as one founder sees it; without a name, as anybody else does.

    :param own: the founder's name.
    :param identity: its signing key, to deal and to give a verdict.
    :param sealing: its private sealing key, to open what was dealt to it.
    :param reader: may be shared by machines of one process and one proposal.
    :raises UnknownFounderError: the name is not in the proposal.
    :raises FounderKeyError: a key is not the one on the founder's card.
    """

    def __init__(
        self,
        proposal: KeygenProposal,
        own: str | None = None,
        identity: Signer | None = None,
        sealing: Scalar | None = None,
        *,
        reader: NoteReader | None = None,
    ) -> None:
        self.proposal = proposal
        self.own = own
        self._identity = identity
        self._sealing = sealing
        self._reader = reader or NoteReader(proposal)
        self._deals: dict[str, dict[str, OpenedDeal]] = {}
        self._verdicts: dict[str, dict[str, OpenedVerdict]] = {}
        self._payloads: dict[str, Payload | None] = {}
        self._resolved: Resolution | None = None
        if self._reader.proposal != proposal:
            raise ValueError("the reader is that of another proposal")
        if own is None:
            if identity is not None or sealing is not None:
                raise FounderKeyError("keys without the founder's name: say whose they are")
            return
        card = proposal.member(own)
        if identity is not None and identity.verifier_key != card.identity_key:
            raise FounderKeyError(f"this is not the identity key on the card of {own}")
        if sealing is not None and multiply_base(sealing) != card.sealing_element:
            raise FounderKeyError(f"this is not the sealing key on the card of {own}")

    @property
    def is_dealer(self) -> bool:
        """Whether the founder has to deal: whether it is to have a seat."""
        return self.own in self.proposal.seats

    @property
    def has_dealt(self) -> bool:
        """Whether the founder's own deal was received or made."""
        return self.own in self._deals

    @property
    def missing_deals(self) -> tuple[str, ...]:
        """Who has not dealt yet."""
        return tuple(name for name in self.proposal.seats if name not in self._deals)

    @property
    def missing_verdicts(self) -> tuple[str, ...]:
        """Founders that have not said of each deal that stands whether it is right.

        A founder that gave a verdict is missing again when another deal comes in.
        """
        standing = stand(self._reader, self._notes)
        wanted = {(dealer, deal.digest) for dealer, deal in standing.deals.items()}
        return tuple(
            name
            for name in self.proposal.names
            if name not in self._verdicts or not wanted <= self._said_by(name)
        )

    @property
    def equivocations(self) -> dict[str, tuple[bytes, bytes]]:
        """Dealers that signed two different deals, with both notes."""
        return {
            dealer: (deals[0].note, deals[1].note)
            for dealer, deals in self._notes.deals.items()
            if len(deals) > 1
        }

    def deal(self, seed: bytes) -> bytes:
        """Make the founder's deal, or return the one that was made and received before: a second,
        different one would convict the founder of equivocation.

        :param seed: at least 32 fresh secret random bytes.
        :raises NotADealerError: the founder is to have no seat.
        :raises FounderKeyError: the machine has no identity key.
        :raises InvalidScalarError: the seed is shorter.
        """
        own, identity = self._speaker()
        if not self.is_dealer:
            raise NotADealerError(f"{own} has no seat in the committee, so it does not deal")
        if own in self._deals:
            return self._notes.deals[own][0].note
        hashed = _CONTRIBUTION + bytes.fromhex(self.proposal.ceremony) + own.encode() + b"\n" + seed
        contribution = sha512(hashed).digest()[:CONTRIBUTION_BYTES]
        deal = make_deal(self.proposal.terms(own), seed, enclosure=contribution)
        note = compose_deal(self.proposal, identity, deal)
        self.receive(note)
        return note

    def receive(self, note: bytes) -> None:
        """Take in a deal or a verdict of any founder. One that was received before changes nothing.

        A second, different deal of a dealer, or a deal that is plainly wrong, is no error: it is
        kept and shows in the outcome.

        :raises KeygenNoteError: it does not count here; the subclass says why.
        :raises UnknownFounderError: its signer is no founder.
        :raises NotADealerError: a deal of a founder without a seat.
        :raises NoteError: not a signed note, or its signature is false.
        :raises MeshError: not strict JSON.
        """
        opened = self._reader.open(note)
        if isinstance(opened, OpenedDeal):
            changed = _keep(self._deals.setdefault(opened.dealer, {}), opened, MAX_DEALS)
        else:
            changed = _keep(self._verdicts.setdefault(opened.founder, {}), opened, MAX_VERDICTS)
        if changed:
            self._resolved = None
            self.__dict__.pop("_notes", None)

    def verdict(self, seed: bytes) -> bytes:
        """Say which of the deals received so far are right, and prove the wrong ones.

        If the founder's earlier verdict says all of it already, that one is returned. Give another
        one after more deals came in; what all of them say counts.

        :param seed: at least 32 fresh secret random bytes, used only to prove a complaint.
        :raises NothingToJudgeError: there is no deal yet.
        :raises FounderKeyError: the machine has no identity key or no sealing key.
        :raises InvalidScalarError: the seed is shorter.
        """
        own, identity = self._speaker()
        sealing = self._opener()
        deals = stand(self._reader, Notes(self._notes.deals, {})).deals
        if not deals:
            raise NothingToJudgeError("no founder has dealt rightly yet: receive the deals first")
        checked: dict[str, str] = {}
        wrong: list[OpenedDeal] = []
        for dealer, deal in deals.items():
            if self._payload(deal) is None:
                wrong.append(deal)
            else:
                checked[dealer] = deal.digest
        for verdict in self._notes.verdicts.get(own, ()):
            proven = {complaint.deal for complaint in verdict.complaints}
            if checked.items() <= verdict.checked.items() and {d.digest for d in wrong} <= proven:
                return verdict.note
        place = self.proposal.place_of(own)
        complaints = []
        for deal in wrong:
            assert deal.checked is not None, "only well-formed deals stand"
            complaints.append(
                ComplaintBody(
                    dealer=deal.dealer,
                    deal=deal.digest,
                    exposure=complain(deal.checked, place, sealing, seed),
                )
            )
        note = compose_verdict(self.proposal, identity, checked, tuple(complaints))
        self.receive(note)
        return note

    def outcome(self) -> KeygenOutcome:
        """What the notes received so far come to; it does not depend on their order.

        :raises TooFewDealersError: fewer good deals than the threshold.
        :raises TooFewSeatsError: fewer founders than the threshold checked them.
        """
        resolution = self._resolution()
        transcript = write_transcript(self.proposal, self._notes)
        committee = Committee(
            threshold=self.proposal.threshold,
            public_key=resolution.public_key.hex(),
            seats=tuple(
                Seat(member=name, index=index, share=share.hex())
                for name, index, share in resolution.shares
            ),
            transcript=transcript_digest(transcript),
        )
        try:
            digest = None if self._sealing is None else SelectionKey(self.selection_key()).digest
        except DealerFaultError:
            digest = None  # A wrong payload that was not complained about; `selection_key` says it.
        return KeygenOutcome(
            committee,
            transcript,
            tuple(deal.dealer for deal in resolution.qualified),
            resolution.excluded,
            resolution.unseated,
            resolution.disputed,
            digest,
        )

    def share(self) -> Scalar | None:
        """The founder's share of the key, or None if it has no seat.

        :raises KeygenFailedError: the notes give no key.
        :raises FounderKeyError: the machine has no sealing key.
        :raises DealerFaultError: a dealer that counts dealt wrongly to this founder, which has not
            complained: give a verdict, and sign no genesis with this transcript.
        """
        self._opener()
        resolution = self._resolution()
        public = {name: share for name, _, share in resolution.shares}.get(self.own or "")
        if public is None:
            return None
        total = scalar(0)
        for deal in resolution.qualified:
            share = self._opened(deal).share
            assert share is not None, "whoever has a seat is dealt shares"
            total = add_scalars(total, share)
        assert multiply_base(total) == public, "checked shares add up to the public share"
        return total

    def selection_key(self) -> bytes:
        """The mesh's selection key: 32 bytes, the hash of all contributions that count.

        :raises KeygenFailedError: the notes give no key.
        :raises FounderKeyError: the machine has no sealing key.
        :raises DealerFaultError: as for `share`.
        """
        self._opener()
        state = sha512(_SELECTION + bytes.fromhex(self.proposal.ceremony))
        for deal in self._resolution().qualified:
            name = deal.dealer.encode()
            state.update(len(name).to_bytes(2, "big") + name + self._opened(deal).enclosure)
        return state.digest()[:32]

    @cached_property
    def _notes(self) -> Notes:
        return Notes(
            {name: _sorted(deals) for name, deals in self._deals.items()},
            {name: _sorted(verdicts) for name, verdicts in self._verdicts.items()},
        )

    def _resolution(self) -> Resolution:
        if self._resolved is None:
            self._resolved = resolve(self._reader, self._notes)
        return self._resolved

    def _said_by(self, name: str) -> set[tuple[str, str]]:
        said: set[tuple[str, str]] = set()
        for verdict in self._notes.verdicts.get(name, ()):
            said |= verdict.checked.items()
            said |= {(complaint.dealer, complaint.deal) for complaint in verdict.complaints}
        return said

    def _speaker(self) -> tuple[str, Signer]:
        if self.own is None or self._identity is None:
            raise FounderKeyError("only a founder with its identity key can speak")
        return self.own, self._identity

    def _opener(self) -> Scalar:
        if self.own is None or self._sealing is None:
            raise FounderKeyError("only a founder with its sealing key can open what it was dealt")
        return self._sealing

    def _payload(self, deal: OpenedDeal) -> Payload | None:
        if deal.digest not in self._payloads:
            try:
                self._payloads[deal.digest] = self._open(deal)
            except DealerFaultError:
                self._payloads[deal.digest] = None
        return self._payloads[deal.digest]

    def _opened(self, deal: OpenedDeal) -> Payload:
        return self._payload(deal) or self._open(deal)

    def _open(self, deal: OpenedDeal) -> Payload:
        sealing = self._opener()
        assert self.own is not None, "a sealing key is a founder's"
        assert deal.checked is not None, "only well-formed deals are opened"
        return open_payload(deal.checked, self.proposal.place_of(self.own), sealing)


def from_transcript(
    proposal: KeygenProposal | str,
    transcript: bytes,
    own: str | None = None,
    identity: Signer | None = None,
    sealing: Scalar | None = None,
) -> KeyGeneration:
    """The machine that has received just the notes of a transcript. Compare its outcome's committee
    with the one in the genesis; with the founder's keys it also gives share and selection key.

    :raises TranscriptError: not a transcript, that of another key generation, or not in its
        canonical encoding.
    :raises KeygenError: a note in it does not count, or the arguments don't fit.
    :raises NoteError: a note in it is not signed by its founder.
    :raises MeshError: the proposal or a note does not hold.
    """
    if isinstance(proposal, str):
        proposal = read_proposal(proposal)
    machine = KeyGeneration(proposal, own, identity, sealing)
    for note in read_transcript(proposal, transcript):
        machine.receive(note)
    if write_transcript(proposal, machine._notes) != transcript:
        raise TranscriptError("a transcript holds each note once, in its canonical order")
    return machine


def _sorted(notes: dict[str, _NoteT]) -> tuple[_NoteT, ...]:
    return tuple(notes[digest] for digest in sorted(notes))


def _keep(kept: dict[str, _NoteT], opened: _NoteT, limit: int) -> bool:
    # Whatever the order in which notes come in, the same ones are kept: those with the smallest
    # digests; of two signatures under one text, the smaller.
    known = kept.get(opened.digest)
    if known is not None and known.note <= opened.note:
        return False
    kept[opened.digest] = opened
    if len(kept) > limit:
        del kept[max(kept)]
    return True
