"""What the founders generate a key about: who takes part, who gets a share, how many are needed.

    signal-mesh/v1/keygen
    {"attempt": …, "cards": [signed card, …], "name": …, "seats": [name, …], "threshold": …}

The SHA-256 of this text is the *ceremony*; every note of the key generation names it. Cards and
seats stand in the order of names. The holder of seat i (from 1) gets the share of index i. Only
holders of seats deal: as few as t of them could use the key anyway, so that more dealers would not
make it safer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Annotated, ClassVar, Final

from pydantic import Field

from mesh.committee import MAX_SEATS, MIN_SEATS
from mesh.constraints import MAX_MEMBERS, MAX_MESH_NAME, MIN_MEMBERS
from mesh.document import document_text, read_document
from mesh.errors import MeshError
from mesh.keygen.errors import ProposalError, SeatError, UnknownFounderError
from mesh.member import MAX_CARD_NOTE, MemberCard, open_card
from mesh.model import Model
from proofs.threshold.dealing import Recipient, Terms

KEYGEN_KIND: Final = "keygen"
MAX_PROPOSAL: Final = MAX_MEMBERS * (MAX_CARD_NOTE + 1_024)
"""Longest proposal in bytes."""
MAX_ATTEMPT: Final = 1_000_000
CONTRIBUTION_BYTES: Final = 32
"""What each dealer adds to the selection key."""

_CONTEXT: Final = b"signal-mesh/v1/keygen\n"


class _ProposalBody(Model):
    format_error: ClassVar[type[MeshError]] = ProposalError

    name: Annotated[str, Field(min_length=1, max_length=MAX_MESH_NAME)]
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)]
    cards: Annotated[
        tuple[str, ...], Field(strict=False, min_length=MIN_MEMBERS, max_length=MAX_MEMBERS)
    ]
    seats: Annotated[tuple[str, ...], Field(strict=False)]
    threshold: int


@dataclass(frozen=True)
class KeygenProposal:
    """A proposal that was read and checked. Equal texts are equal proposals."""

    text: str
    name: str = field(compare=False)
    """The mesh's."""
    attempt: int = field(compare=False)
    members: tuple[MemberCard, ...] = field(compare=False, repr=False)
    """All founders, by name."""
    seats: tuple[str, ...] = field(compare=False)
    """Who deals and gets a share, by name; the holder of `seats[i]` gets index i + 1."""
    threshold: int = field(compare=False)
    """⌊m/2⌋ + 1 of m seats."""

    @cached_property
    def ceremony(self) -> str:
        """SHA-256 of the text, hex."""
        return sha256(self.text.encode()).hexdigest()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All founders' names, in order."""
        return tuple(card.name for card in self.members)

    def place_of(self, name: str) -> int:
        """A founder's place among all founders.

        :raises UnknownFounderError: it is none.
        """
        try:
            return self._places[name]
        except KeyError:
            raise UnknownFounderError(
                f"{name[:100]!r} is not a founder in this key generation"
            ) from None

    def member(self, name: str) -> MemberCard:
        """A founder's card.

        :raises UnknownFounderError: it is none.
        """
        return self.members[self.place_of(name)]

    def index_of(self, name: str) -> int | None:
        """The index of a founder's share, from 1, or None if it has no seat."""
        return self.seats.index(name) + 1 if name in self.seats else None

    def terms(self, dealer: str) -> Terms:
        """What a founder with a seat has to deal."""
        context = _CONTEXT + bytes.fromhex(self.ceremony) + dealer.encode()
        return Terms(self.threshold, self._recipients, context, enclosure_bytes=CONTRIBUTION_BYTES)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def _recipients(self) -> tuple[Recipient, ...]:
        return tuple(
            Recipient(card.sealing_element, self.index_of(card.name)) for card in self.members
        )


def propose(
    mesh_name: str,
    cards: Sequence[bytes],
    *,
    seats: Sequence[str] | None = None,
    attempt: int = 1,
) -> str:
    """Write the text of a proposal.

    :param cards: the founders' signed cards, in any order.
    :param seats: names of the founders that get a share, 2 to 9. By default all founders if there
        are at most 9, else the first 9 by name.
    :param attempt: raise it when a key generation is repeated with the same cards, so that notes
        of the one before don't count.
    :raises ProposalError: no key generation can be proposed so.
    :raises MeshError: a card does not hold.
    :raises NoteError: a card is not a signed note, or a signature on it is false.
    """
    opened = sorted(((open_card(card), card.decode()) for card in cards), key=lambda o: o[0].name)
    names = [card.name for card, _ in opened]
    chosen = names[:MAX_SEATS] if seats is None else sorted(seats)
    _check_founders([card for card, _ in opened], chosen)
    text = document_text(
        KEYGEN_KIND,
        {
            "name": mesh_name,
            "attempt": attempt,
            "cards": [note for _, note in opened],
            "seats": chosen,
            "threshold": len(chosen) // 2 + 1,
        },
    )
    _read(text)
    return text


def read_proposal(text: str) -> KeygenProposal:
    """Read a proposal and verify every card in it.

    :raises ProposalError: not a proposal, not in its canonical encoding, or no key generation can
        be held so.
    :raises MeshError: a card does not hold, or not strict JSON.
    :raises NoteError: a card is not a signed note, or a signature on it is false.
    """
    body = _read(text)
    members = tuple(open_card(card.encode()) for card in body.cards)
    _check_founders(members, body.seats)
    return KeygenProposal(text, body.name, body.attempt, members, body.seats, body.threshold)


def _check_founders(members: Sequence[MemberCard], seats: Sequence[str]) -> None:
    names = [card.name for card in members]
    if names != sorted(set(names)):
        raise ProposalError("a proposal holds one card of each founder, in the order of names")
    for role in ("identity", "sealing"):
        if len({getattr(card, role) for card in members}) != len(members):
            raise ProposalError(f"two founders have one {role} key: one could speak as the other")
    unknown = set(seats) - set(names)
    if unknown:
        raise SeatError(f"seats for {', '.join(sorted(unknown))[:300]}, whose card is not there")


def _read(text: str) -> _ProposalBody:
    value = read_document(text, KEYGEN_KIND, max_bytes=MAX_PROPOSAL, error=ProposalError)
    body = _ProposalBody.parse(value)
    if not body.name.isprintable() or body.name != body.name.strip():
        raise ProposalError("a mesh's name is printable and has no spaces around it")
    if not MIN_SEATS <= len(body.seats) <= MAX_SEATS:
        raise SeatError(f"a committee has {MIN_SEATS} to {MAX_SEATS} seats")
    if list(body.seats) != sorted(set(body.seats)):
        raise SeatError("each seat has one holder, and they stand in the order of names")
    if body.threshold != len(body.seats) // 2 + 1:
        raise SeatError("the threshold is more than half of the seats: ⌊m/2⌋ + 1")
    if document_text(KEYGEN_KIND, body.to_json()) != text:
        raise ProposalError("a proposal is written in its canonical encoding")
    return body
