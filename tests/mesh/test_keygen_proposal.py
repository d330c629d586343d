"""Proposals: one text for one key generation, and every card in it verified."""

from hashlib import sha256

import pytest
from keygen_support import cast

from mesh import strictjson
from mesh.document import document_text
from mesh.keygen import ProposalError, SeatError, UnknownFounderError, propose, read_proposal
from mesh.member import CardSignatureError, sealing_possession_context, sign_card
from mesh.strictjson import StrictJSONError
from mesh.testing.members import founder, founders
from proofs.ed25519 import public_key
from proofs.holder import prove_holding
from proofs.note import BadSignatureError, NoteError, Signer
from proofs.ristretto import multiply_base


def changed(text: str, **changes: object) -> str:
    line = text.split("\n")[1].encode()
    value = strictjson.loads(line, max_bytes=len(line)) | changes
    return document_text("keygen", value)


def test_a_proposal_is_read_as_written() -> None:
    cards = [member.card_note for member in founders(4)]
    text = propose("a mesh", cards)
    read = read_proposal(text)
    assert read.text == text
    assert propose("a mesh", cards[::-1]) == text
    assert (read.name, read.attempt, read.threshold) == ("a mesh", 1, 3)
    assert read.names == read.seats == tuple(sorted(m.name for m in founders(4)))
    assert read.ceremony == sha256(text.encode()).hexdigest()
    for place, name in enumerate(read.names):
        assert read.place_of(name) == place
        assert read.index_of(name) == place + 1
        assert read.member(name).name == name


@pytest.mark.parametrize(
    ("n", "seats", "threshold"),
    [(2, 2, 2), (3, 3, 2), (8, 8, 5), (9, 9, 5), (30, 9, 5)],
)
def test_default_seats(n: int, seats: int, threshold: int) -> None:
    proposal = cast(n).proposal
    assert proposal.seats == proposal.names[:9]
    assert len(proposal.seats) == seats
    assert proposal.threshold == threshold


def test_chosen_seats() -> None:
    members = founders(5)
    chosen = [members[4].name, members[1].name]
    read = read_proposal(propose("m", [m.card_note for m in members], seats=chosen))
    assert read.seats == tuple(sorted(chosen))
    assert read.index_of(read.seats[1]) == 2
    assert read.index_of(members[0].name) is None
    assert [r.index for r in read.terms(read.seats[0]).recipients].count(None) == 3


def test_another_attempt_is_another_ceremony() -> None:
    assert cast(3).proposal.ceremony != cast(3, None, 2).proposal.ceremony
    assert cast(3).proposal != cast(3, None, 2).proposal


def test_terms_are_each_dealers_own() -> None:
    first, second = cast(3).proposal, cast(3, None, 2).proposal
    digests = {p.terms(name).digest for p in (first, second) for name in p.names}
    assert len(digests) == 6


def test_seats_that_cannot_be() -> None:
    cards = [member.card_note for member in founders(11)]
    names = sorted(member.name for member in founders(11))
    for seats in ([], names[:1], names[:10], [names[0], names[0]], ["stranger.example", names[0]]):
        with pytest.raises(SeatError):
            propose("m", cards, seats=seats)
    with pytest.raises(SeatError):
        read_proposal(changed(propose("m", cards[:2]), seats=["a.example", names[0]]))


def test_who_is_no_founder() -> None:
    with pytest.raises(UnknownFounderError):
        cast(3).proposal.member("stranger.example")
    with pytest.raises(UnknownFounderError):
        cast(3).proposal.place_of("x" * 1000)


def test_texts_that_are_no_proposal() -> None:
    text = cast(4).proposal.text
    cards = [member.card_note.decode() for member in cast(4).members.values()]
    assert changed(text) == text
    for false in (
        "",
        "signal-mesh/v1/genesis\n{}\n",
        text.replace("{", "{ ", 1),
        changed(text, more=1),
        changed(text, attempt=0),
        changed(text, attempt="1"),
        changed(text, threshold=2),
        changed(text, threshold=4),
        changed(text, name=""),
        changed(text, name=" x"),
        changed(text, name="x\ny"),
        changed(text, cards=cards[::-1]),
        changed(text, cards=[*cards, cards[-1]]),
        changed(text, cards=cards[:1]),
        changed(text, cards=[1]),
        changed(text, seats=list(reversed(cast(4).proposal.seats))),
        changed(text, seats=1),
    ):
        with pytest.raises(ProposalError):
            read_proposal(false)
    with pytest.raises(StrictJSONError):
        read_proposal("signal-mesh/v1/keygen\n{\n")


def test_cards_are_verified() -> None:
    text = cast(3).proposal.text
    cards = [member.card_note.decode() for member in cast(3).members.values()]
    for false, error in (
        (cards[0].replace('"port":2', '"port":3'), BadSignatureError),
        ("rubbish", NoteError),
        (cards[0].rsplit("— ", 1)[0], CardSignatureError),
    ):
        assert false not in cards
        with pytest.raises(error):
            read_proposal(changed(text, cards=[false, *cards[1:]]))
    with pytest.raises(BadSignatureError):
        propose("m", [cards[0].replace('"port":2', '"port":3').encode(), cards[1].encode()])


def test_one_card_a_founder() -> None:
    one, again = founder(0), founder(0, seed=5, name=founder(0).name)
    for cards in ([one, again, founder(1)], [one, one, founder(1)]):
        with pytest.raises(ProposalError, match="one card of each founder"):
            propose("m", [member.card_note for member in cards])


@pytest.mark.parametrize("role", ["identity", "sealing"])
def test_one_key_a_founder(role: str) -> None:
    # Whoever owns both cards can prove possession of the one key under both names.
    one, two = founder(0), founder(1)
    sealing = one.sealing if role == "sealing" else two.sealing
    seed = one.identity.seed if role == "identity" else two.identity.seed
    identity = Signer(two.name, seed)
    context = sealing_possession_context(two.name, public_key(seed).hex())
    card = two.card.model_copy(
        update={
            "identity": public_key(seed).hex(),
            "sealing": multiply_base(sealing).hex(),
            "sealing_proof": prove_holding([sealing], context, bytes(32)),
        }
    )
    log = Signer(two.name, two.log_seed)
    note = sign_card(card, identity=identity, log=log, witness=two.witness)
    with pytest.raises(ProposalError, match=f"one {role} key"):
        propose("m", [one.card_note, note])


@pytest.mark.parametrize("attempt", [0, -1, 1_000_001])
def test_attempts(attempt: int) -> None:
    with pytest.raises(ProposalError):
        propose("m", [member.card_note for member in founders(2)], attempt=attempt)
