"""The genesis: version 0 of the constraints, signed by every founder. Its hash is the mesh's id.

The founders exchange member cards, one of them drafts the text, each signs it on their own
machine, and the signed copies are merged. The text holds the members' whole signed cards, so
whoever reads it verifies possession of every key again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Final

from mesh.constraints import MAX_MEMBERS, Constraints
from mesh.document import document_text, read_document
from mesh.errors import MeshError
from mesh.member import MemberCard, open_card
from proofs.note import (
    Signer,
    UnsignedNoteError,
    VerifierKey,
    add_signatures,
    open_note,
    parse_note,
    sign_note,
)

GENESIS_KIND: Final = "genesis"
"""Kind of the note that a genesis is."""

MAX_GENESIS: Final = 1_000_000
"""Longest genesis, signatures included, in bytes."""


class GenesisError(MeshError):
    """A genesis does not hold."""


class GenesisFormatError(GenesisError):
    """A genesis is not in its canonical encoding, or its fields are not exactly those of one."""


class GenesisCardsError(GenesisError):
    """The cards handed in are not those of the constraints' members."""


class GenesisMismatchError(GenesisError):
    """Copies of a genesis hold different texts: the founders signed different meshes."""


class FounderError(GenesisError):
    """Somebody who is not a founder, or not under this key, is about to sign a genesis."""


class MissingFounderSignatureError(GenesisError):
    """A founder has not signed: nobody can be made a member without their consent."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        self.missing = missing
        super().__init__(
            f"the genesis lacks the signatures of {', '.join(missing)}: "
            "have each of them sign it, then merge the copies"
        )


@dataclass(frozen=True)
class Mesh:
    """A mesh as its verified genesis defines it."""

    mesh_id: str
    """SHA-256 of the genesis's text, hex."""
    constraints: Constraints
    note: bytes = field(repr=False)
    """The signed genesis."""

    @property
    def version(self) -> int:
        """Version of the constraints in force."""
        return self.constraints.version

    @property
    def members(self) -> tuple[MemberCard, ...]:
        """The members' cards, by name."""
        return self.constraints.members

    def member(self, name: str) -> MemberCard:
        """The member's card.

        :raises UnknownMemberError: there is none of this name.
        """
        return self.constraints.member(name)

    def peers_of(self, name: str) -> tuple[MemberCard, ...]:
        """Every member but this one.

        :raises UnknownMemberError: there is none of this name.
        """
        own = self.member(name)
        return tuple(card for card in self.members if card is not own)

    @cached_property
    def _log_keys(self) -> dict[str, VerifierKey]:
        return {card.name: card.log_key(self.mesh_id) for card in self.members}

    def log_key(self, name: str) -> VerifierKey:
        """Verifies a member's checkpoints in this mesh.

        :raises UnknownMemberError: there is none of this name.
        """
        return self._log_keys[self.member(name).name]


def draft_genesis(constraints: Constraints, card_notes: Iterable[bytes]) -> str:
    """Write the text that the founders sign.

    :param card_notes: the signed cards of exactly the constraints' members, in any order.
    :raises GenesisCardsError: a card is missing, superfluous, or differs from the constraints.
    :raises GenesisFormatError: the constraints are not version 0.
    :raises MeshError: a card does not hold.
    """
    if constraints.version != 0:
        raise GenesisFormatError("a genesis holds version 0 of the constraints")
    notes = {open_card(note): note for note in card_notes}
    if set(notes) != set(constraints.members):
        raise GenesisCardsError(
            "hand in the signed card of each member of the constraints, and no other"
        )
    cards = [notes[card].decode() for card in constraints.members]
    return document_text(GENESIS_KIND, {**constraints.to_json(), "members": cards})


def sign_genesis(genesis: str | bytes, identity: Signer) -> bytes:
    """Sign a drafted text, or add a signature to a copy that others signed before.

    The text is read and checked first: nobody signs what they could not use.

    :raises GenesisError: the text is no genesis, or the signer's key is no founder's.
    :raises MeshError: its constraints or a card do not hold.
    :raises NoteError: not a signed note.
    """
    constraints = read_genesis(genesis)
    if identity.verifier_key not in _founder_keys(constraints):
        raise FounderError(
            f"{identity.name} is not a founder of {constraints.name!r} under this identity key"
        )
    if isinstance(genesis, str):
        return sign_note(genesis, (identity,))
    return add_signatures(genesis, (identity,))


def merge_genesis(notes: Sequence[bytes]) -> bytes:
    """Put the founders' signatures of several copies of one genesis together, in order of names.

    Signatures that are no founder's are left out; each founder's counts once. Not every founder
    need have signed yet.

    :raises GenesisMismatchError: the copies' texts differ, or there is no copy.
    :raises MissingFounderSignatureError: no founder signed any of them.
    :raises MeshError: the genesis or a card does not hold.
    :raises NoteError: a copy is not a signed note, or a founder's signature is false.
    """
    texts = {parse_note(note).text for note in notes}
    if len(texts) != 1:
        raise GenesisMismatchError("hand in signed copies of one and the same genesis text")
    (text,) = texts
    constraints = read_genesis(text)
    keys = _founder_keys(constraints)
    head = text.encode() + b"\n"
    lines: dict[str, bytes] = {}
    for note in notes:
        for line in note[len(head) :].splitlines(keepends=True):
            try:
                opened = open_note(head + line, keys)
            except UnsignedNoteError:
                continue
            lines.setdefault(opened.verified[0].name, line)
    if not lines:
        raise MissingFounderSignatureError(tuple(card.name for card in constraints.members))
    return head + b"".join(line for _, line in sorted(lines.items()))


def missing_signatures(note: bytes) -> tuple[str, ...]:
    """Names of the founders who have not signed yet.

    :raises MeshError: the genesis or a card does not hold.
    :raises NoteError: not a signed note, or a founder's signature is false.
    """
    constraints = read_genesis(note)
    return _missing(constraints, note)


def open_genesis(note: bytes) -> Mesh:
    """Verify a genesis and every card in it.

    The founders' keys stand in the text, so the text is parsed (strictly, within a limit) before
    the signatures can be checked; nothing of it is returned before all of them are.

    :raises MissingFounderSignatureError: a founder has not signed; it names who.
    :raises GenesisError: not a genesis.
    :raises MeshError: its constraints or a card do not hold.
    :raises NoteError: not a signed note, or a founder's signature is false.
    """
    constraints = read_genesis(note)
    missing = _missing(constraints, note)
    if missing:
        raise MissingFounderSignatureError(missing)
    return Mesh(mesh_id_of(note), constraints, note)


def mesh_id_of(genesis: str | bytes) -> str:
    """The id of the mesh that a genesis founds, signed or not: the SHA-256 of its text, hex.

    Founders compare it by another channel before they sign. It says nothing of whether the genesis
    holds.

    :raises NoteError: not a signed note.
    """
    text = genesis if isinstance(genesis, str) else parse_note(genesis).text
    return sha256(text.encode()).hexdigest()


def read_genesis(genesis: str | bytes) -> Constraints:
    """Read the rules in a genesis, to be shown before it is signed. Founders' signatures are not
    looked at; those on the cards in it are.

    :param genesis: the text if nobody has signed it yet, else a signed copy.
    :raises GenesisFormatError: not a genesis, or not in its canonical encoding.
    :raises MeshError: its constraints or a card do not hold.
    :raises NoteError: not a signed note.
    """
    text = genesis if isinstance(genesis, str) else parse_note(genesis).text
    value = read_document(text, GENESIS_KIND, max_bytes=MAX_GENESIS, error=GenesisFormatError)
    if not isinstance(value, dict) or not isinstance(value.get("members"), list):
        raise GenesisFormatError("a genesis is an object that lists its members' cards")
    cards = value["members"]
    if not all(isinstance(card, str) for card in cards) or len(cards) > MAX_MEMBERS:
        raise GenesisFormatError(f"members are at most {MAX_MEMBERS} signed cards")
    notes = [card.encode() for card in cards]
    constraints = Constraints.parse({**value, "members": [open_card(note) for note in notes]})
    # One mesh has one text: other spacing, order or left-out defaults would give it a second id.
    if draft_genesis(constraints, notes) != text:
        raise GenesisFormatError("a genesis is written in its canonical encoding")
    return constraints


def _founder_keys(constraints: Constraints) -> tuple[VerifierKey, ...]:
    return tuple(card.identity_key for card in constraints.members)


def _missing(constraints: Constraints, note: bytes) -> tuple[str, ...]:
    try:
        signed = {key.name for key in open_note(note, _founder_keys(constraints)).verified}
    except UnsignedNoteError:
        signed = set()
    return tuple(card.name for card in constraints.members if card.name not in signed)
