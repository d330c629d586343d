import json
import pickle
from hashlib import sha256

import pytest

from mesh.committee import ShareConsistencyError
from mesh.constraints import Constraints, ConstraintsError, DuplicateMemberError, UnknownMemberError
from mesh.errors import MeshError
from mesh.fingerprint import SelectionKey
from mesh.genesis import (
    FounderError,
    GenesisCardsError,
    GenesisError,
    GenesisFormatError,
    GenesisMismatchError,
    MissingFounderSignatureError,
    draft_genesis,
    merge_genesis,
    mesh_id_of,
    missing_signatures,
    open_genesis,
    sign_genesis,
)
from mesh.member import CardSignatureError, MemberCard, sealing_possession_context, sign_card
from mesh.strictjson import DuplicateKeyError, StrictJSONError
from mesh.testing.members import TestMember, founders, make_mesh
from proofs.ed25519 import public_key
from proofs.errors import ProofsError
from proofs.holder import prove_holding
from proofs.note import BadSignatureError, NoteError, Signer, sign_note
from proofs.ristretto import multiply_base

MEMBERS = founders(4)
STRANGER = founders(6)[5]
COMMITTEE = make_mesh(4).committee
CONSTRAINTS = Constraints(
    name="test",
    members=tuple(m.card for m in MEMBERS),
    committee=COMMITTEE,
    selection_key_digest="ab" * 32,
)
TEXT = draft_genesis(CONSTRAINTS, [m.card_note for m in MEMBERS])
COMPLETE = merge_genesis([sign_genesis(TEXT, m.identity) for m in MEMBERS])


def signed(text: str, members: list[TestMember] = MEMBERS) -> bytes:
    """Sign any text, unchecked."""
    return sign_note(text, [m.identity for m in members])


def edited(**fields: object) -> str:
    first, line, _ = TEXT.split("\n")
    value = {**json.loads(line), **fields}
    return (
        f"{first}\n{json.dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=False)}\n"
    )


def test_founders_sign_apart_and_merge() -> None:
    mesh = open_genesis(COMPLETE)
    assert mesh.mesh_id == sha256(TEXT.encode()).hexdigest()
    # What founders compare before they sign is what they get.
    for genesis in (TEXT, sign_genesis(TEXT, MEMBERS[0].identity), COMPLETE):
        assert mesh_id_of(genesis) == mesh.mesh_id
    assert mesh.constraints == CONSTRAINTS
    assert mesh.note == COMPLETE
    assert mesh.version == 0


def test_founders_may_sign_one_copy_in_turn() -> None:
    note = sign_genesis(TEXT, MEMBERS[2].identity)
    for member in (MEMBERS[0], MEMBERS[3], MEMBERS[1]):
        note = sign_genesis(note, member.identity)
    assert open_genesis(note).mesh_id == open_genesis(COMPLETE).mesh_id
    assert merge_genesis([note]) == COMPLETE


def test_the_text_does_not_depend_on_the_order_of_cards() -> None:
    assert draft_genesis(CONSTRAINTS, [m.card_note for m in reversed(MEMBERS)]) == TEXT


@pytest.mark.parametrize("absent", range(4))
def test_every_founder_must_sign(absent: int) -> None:
    some = [m for i, m in enumerate(MEMBERS) if i != absent]
    note = merge_genesis([sign_genesis(TEXT, m.identity) for m in some])
    name = MEMBERS[absent].name
    assert missing_signatures(note) == (name,)
    with pytest.raises(MissingFounderSignatureError, match=name) as caught:
        open_genesis(note)
    assert caught.value.missing == (name,)
    assert missing_signatures(COMPLETE) == ()


def test_a_strangers_signature_stands_for_nobody() -> None:
    note = signed(TEXT, [*MEMBERS[:3], STRANGER])
    with pytest.raises(MissingFounderSignatureError):
        open_genesis(note)
    assert missing_signatures(signed(TEXT, [STRANGER])) == tuple(m.name for m in MEMBERS)
    # Under a founder's name it is another key all the same.
    posing = Signer(MEMBERS[3].name, STRANGER.identity.seed)
    note = sign_note(TEXT, [*(m.identity for m in MEMBERS[:3]), posing])
    with pytest.raises(MissingFounderSignatureError):
        open_genesis(note)


def test_another_of_the_founders_own_keys_is_not_enough() -> None:
    note = sign_note(TEXT, [*(m.identity for m in MEMBERS[:3]), MEMBERS[3].card_witness])
    with pytest.raises(MissingFounderSignatureError):
        open_genesis(note)


def test_a_founders_false_signature_refuses_the_whole() -> None:
    other = edited(name="other")
    line = signed(other, [MEMBERS[3]])[len(other.encode()) + 1 :]
    note = signed(TEXT, MEMBERS[:3]) + line
    with pytest.raises(BadSignatureError):
        open_genesis(note)
    with pytest.raises(BadSignatureError):
        merge_genesis([note])


def test_merging() -> None:
    copies = [sign_genesis(TEXT, m.identity) for m in MEMBERS]
    assert merge_genesis([*copies, *copies, COMPLETE]) == COMPLETE
    assert merge_genesis(copies[::-1]) == COMPLETE
    assert merge_genesis([signed(TEXT, [*MEMBERS, STRANGER])]) == COMPLETE
    with pytest.raises(GenesisMismatchError):
        merge_genesis([])
    with pytest.raises(GenesisMismatchError):
        merge_genesis([*copies, signed(edited(name="other"))])
    with pytest.raises(MissingFounderSignatureError):
        merge_genesis([signed(TEXT, [STRANGER])])


def test_only_founders_sign() -> None:
    for signer in (STRANGER.identity, Signer("acme.example", STRANGER.identity.seed)):
        with pytest.raises(FounderError):
            sign_genesis(TEXT, signer)
        with pytest.raises(FounderError):
            sign_genesis(COMPLETE, signer)


def test_nobody_signs_what_nobody_could_use() -> None:
    with pytest.raises(GenesisError):
        sign_genesis("signal-mesh/v1/genesis\n{}\n", MEMBERS[0].identity)
    with pytest.raises(MeshError):
        sign_genesis(edited(max_expiry_days=0), MEMBERS[0].identity)


def test_cards_must_be_the_members() -> None:
    notes = [m.card_note for m in MEMBERS]
    for wrong in (notes[:3], [*notes, STRANGER.card_note], [*notes[:3], STRANGER.card_note]):
        with pytest.raises(GenesisCardsError):
            draft_genesis(CONSTRAINTS, wrong)
    moved = MEMBERS[3].card.model_copy(update={"port": 1})
    log = Signer(moved.name, MEMBERS[3].log_seed)
    card = sign_card(moved, identity=MEMBERS[3].identity, log=log, witness=MEMBERS[3].witness)
    with pytest.raises(GenesisCardsError):
        draft_genesis(CONSTRAINTS, [*notes[:3], card])


def test_only_version_0_is_a_genesis() -> None:
    later = Constraints(
        version=1,
        parent="ab" * 32,
        name="test",
        members=CONSTRAINTS.members,
        committee=COMMITTEE,
        selection_key_digest="ab" * 32,
    )
    with pytest.raises(GenesisFormatError):
        draft_genesis(later, [m.card_note for m in MEMBERS])
    with pytest.raises(GenesisFormatError):
        open_genesis(signed(edited(version=1, parent="ab" * 32)))


def test_a_card_without_proof_of_possession_does_not_found() -> None:
    """A founder enters another organization's witness key as their own."""
    stolen = MEMBERS[3].card.model_copy(update={"witness": STRANGER.card.witness})
    text = f"signal-mesh/v1/member-card\n{stolen.encode().decode()}\n"
    log = Signer(stolen.name, MEMBERS[3].log_seed)
    bad = sign_note(text, (MEMBERS[3].identity, log)).decode()
    cards = [*(m.card_note.decode() for m in MEMBERS[:3]), bad]
    with pytest.raises(CardSignatureError, match="witness"):
        open_genesis(signed(edited(members=cards)))


def rewritten(place: int, **update: object) -> tuple[TestMember, MemberCard]:
    """A founder whose card claims something of another's, honestly signed with own keys."""
    member = MEMBERS[place]
    return member, member.card.model_copy(update=update)


@pytest.mark.parametrize(
    "what", ["name", "identity", "log", "witness", "sealing key", "endpoint", "transport pin"]
)
def test_two_founders_cannot_share(what: str) -> None:
    first, second = MEMBERS[0], MEMBERS[1]
    identity, log, witness = second.identity.seed, second.log_seed, second.witness.seed
    sealing = second.sealing
    update: dict[str, object] = {}
    match what:
        case "name":
            update = {"name": first.name}
        case "identity":
            identity = first.identity.seed
        case "log":
            log = first.log_seed
        case "witness":
            witness = first.log_seed  # another role's key of another member
        case "sealing key":
            sealing = first.sealing
        case "endpoint":
            update = {"host": first.card.host, "port": first.card.port}
        case "transport pin":
            update = {"transport_pin": first.card.transport_pin}
    name = first.name if what == "name" else second.name
    possession = sealing_possession_context(name, public_key(identity).hex())
    card = second.card.model_copy(
        update={
            "sealing": multiply_base(sealing).hex(),
            "sealing_proof": prove_holding([sealing], possession, bytes(32)),
            "identity": public_key(identity).hex(),
            "log": public_key(log).hex(),
            "witness": public_key(witness).hex(),
            **update,
        }
    )
    note = sign_card(
        card,
        identity=Signer(card.name, identity),
        log=Signer(card.name, log),
        witness=Signer(card.name, witness),
    )
    cards = [first.card_note, note, MEMBERS[2].card_note, MEMBERS[3].card_note]
    with pytest.raises(DuplicateMemberError):
        open_genesis(signed(edited(members=[c.decode() for c in cards])))
    with pytest.raises(DuplicateMemberError):
        Constraints(
            name="test",
            members=(first.card, card, MEMBERS[2].card, MEMBERS[3].card),
            committee=COMMITTEE,
            selection_key_digest="ab" * 32,
        )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (TEXT.replace("genesis", "signal", 1), GenesisFormatError),
        (TEXT.replace("/v1/", "/v2/", 1), GenesisFormatError),
        (TEXT + "\n", GenesisFormatError),
        (TEXT + "x\n", GenesisFormatError),
        (TEXT.replace('{"', '{ "', 1), GenesisFormatError),
        (TEXT.replace('"name":"test"', '"name":"test","name":"x"'), DuplicateKeyError),
        (edited(unknown=1), ConstraintsError),
        (edited(members={}), GenesisFormatError),
        (edited(members=[1, 2]), GenesisFormatError),
        (edited(members=[]), ConstraintsError),
        (edited(members=[m.card_note.decode() for m in MEMBERS[::-1]]), GenesisFormatError),
        (edited(members=[MEMBERS[0].card_note.decode()] * 2), ConstraintsError),
        ("signal-mesh/v1/genesis\n[]\n", GenesisFormatError),
        ("signal-mesh/v1/genesis\n1e5\n", StrictJSONError),
        ("signal-mesh/v1/genesis\n" + "[" * 100_000 + "\n", StrictJSONError),
    ],
)
def test_other_texts_are_no_genesis(text: str, error: type[MeshError]) -> None:
    with pytest.raises(error):
        open_genesis(signed(text))


def test_left_out_defaults_are_not_a_second_spelling() -> None:
    first, line, _ = TEXT.split("\n")
    value = json.loads(line)
    del value["clock_skew_days"]
    shorter = (
        f"{first}\n{json.dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=False)}\n"
    )
    with pytest.raises(GenesisFormatError):
        open_genesis(signed(shorter))


@pytest.mark.parametrize("at", [10, 60, 500, -20])
def test_a_changed_byte(at: int) -> None:
    note = bytearray(COMPLETE)
    note[at] ^= 0x01
    with pytest.raises((MeshError, ProofsError)):
        open_genesis(bytes(note))


def test_oversize() -> None:
    with pytest.raises(NoteError):
        open_genesis(TEXT.encode() + b"x" * 1_000_000)


def test_a_mesh_finds_members_and_keys() -> None:
    mesh = make_mesh(5).mesh
    name = mesh.members[2].name
    assert mesh.member(name) is mesh.members[2]
    assert mesh.peers_of(name) == mesh.members[:2] + mesh.members[3:]
    assert mesh.log_key(name) == mesh.member(name).log_key(mesh.mesh_id)
    assert mesh.log_key(name) is mesh.log_key(name)
    for ask in (mesh.member, mesh.peers_of, mesh.log_key):
        with pytest.raises(UnknownMemberError):
            ask("nobody.example")


def test_a_mesh_travels_to_worker_processes() -> None:
    mesh = make_mesh(4).mesh
    mesh.log_key(mesh.members[0].name)
    again = pickle.loads(pickle.dumps(mesh))
    assert again == mesh
    assert again.log_key(mesh.members[0].name) == mesh.log_key(mesh.members[0].name)


def test_only_the_digest_of_the_selection_key_is_in_the_genesis() -> None:
    made = make_mesh(4)
    assert made.selection_key.hex().encode() not in made.mesh.note
    digest = SelectionKey(made.selection_key).digest
    assert made.mesh.constraints.selection_key_digest == digest
    assert digest.encode() in made.mesh.note


def test_the_committee_is_in_the_genesis_and_nobodys_share() -> None:
    made = make_mesh(4)
    assert open_genesis(made.mesh.note).constraints.committee == made.committee
    assert sorted(made.shares) == [member.name for member in made.members]
    for name, share in made.shares.items():
        seat = made.committee.seat_of(name)
        assert seat is not None
        assert multiply_base(share) == seat.element
        assert share.hex().encode() not in made.mesh.note
    first, second = (seat.share for seat in made.committee.seats[:2])
    text = made.mesh.note.decode().partition("\n\n")[0] + "\n"
    with pytest.raises(ShareConsistencyError):
        open_genesis(signed(text.replace(second, first), list(made.members)))
