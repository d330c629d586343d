import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import FormatError, MeshError
from mesh.member import (
    MAX_CARD_NOTE,
    CardFormatError,
    CardKeyError,
    CardSignatureError,
    MemberCard,
    log_origin,
    open_card,
    sealing_possession_context,
    sign_card,
)
from mesh.names import NameFormatError
from mesh.strictjson import DuplicateKeyError, StrictJSONError
from mesh.testing.members import TestMember, founder
from proofs.ed25519 import public_key
from proofs.errors import ProofsError
from proofs.holder import prove_holding
from proofs.note import BadSignatureError, Signer, VerifierKey, sign_note
from proofs.ristretto import multiply_base

MEMBER = founder(0)
OTHER = founder(1)


def signers(member: TestMember) -> tuple[Signer, Signer, Signer]:
    return member.identity, Signer(member.name, member.log_seed), member.card_witness


def altered(**fields: object) -> str:
    """The card's text with other fields, for signing as it is."""
    value = {**MEMBER.card.to_json(), **fields}
    return (
        "signal-mesh/v1/member-card\n"
        + json.dumps(value, separators=(",", ":"), sort_keys=True)
        + "\n"
    )


def test_a_signed_card_is_read_again() -> None:
    assert open_card(MEMBER.card_note) == MEMBER.card
    assert MEMBER.card_note.startswith(b"signal-mesh/v1/member-card\n{")


@pytest.mark.parametrize("role", ["identity", "log", "witness"])
def test_possession_of_each_key_must_be_proven(role: str) -> None:
    """Somebody enters another member's public key in a card of their own."""
    stolen = MEMBER.card.model_copy(update={role: getattr(OTHER.card, role)})
    with pytest.raises(CardSignatureError, match=role):
        open_card(
            sign_note(f"signal-mesh/v1/member-card\n{stolen.encode().decode()}\n", signers(MEMBER))
        )
    own = dict(zip(("identity", "log", "witness"), signers(MEMBER), strict=True))
    with pytest.raises(CardSignatureError, match=role):
        sign_card(stolen, **own)


def test_possession_of_the_sealing_key_must_be_proven() -> None:
    """Another's sealing key, with every proof for it that there is; or none that holds."""
    card, other = MEMBER.card, OTHER.card
    copies: list[dict[str, object]] = [
        {"sealing": other.sealing, "sealing_proof": other.sealing_proof},  # copied as it is
        {"sealing": other.sealing},  # under the own key's proof
        {"sealing_proof": other.sealing_proof},
        {"sealing_proof": bytes(64)},
        {"sealing_proof": card.sealing_proof[:63] + bytes([card.sealing_proof[63] ^ 1])},
    ]
    for context in (
        b"",
        sealing_possession_context(other.name, card.identity),
        sealing_possession_context(card.name, other.identity),
    ):
        copies.append({"sealing_proof": prove_holding([MEMBER.sealing], context, bytes(32))})
    own = dict(zip(("identity", "log", "witness"), signers(MEMBER), strict=True))
    for update in copies:
        stolen = card.model_copy(update=update)
        with pytest.raises(CardSignatureError, match="sealing"):
            open_card(sign_note(altered(**stolen.to_json()), signers(MEMBER)))
        with pytest.raises(CardSignatureError, match="sealing"):
            sign_card(stolen, **own)


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31)])
def test_a_sealing_key_is_a_group_element(key: bytes) -> None:
    with pytest.raises(CardKeyError, match="sealing"):
        open_card(sign_note(altered(sealing=key.hex()), signers(MEMBER)))
    with pytest.raises(CardKeyError, match="sealing"):
        MemberCard.parse({**MEMBER.card.to_json(), "sealing": key.hex()})


def test_what_the_sealing_proof_is_made_for() -> None:
    assert MEMBER.card.sealing_element == multiply_base(MEMBER.sealing)
    assert (
        sealing_possession_context("acme.example", "ab" * 32)
        == b"signal-mesh/v1/sealing key\nacme.example\n" + b"\xab" * 32
    )


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_each_signature_is_needed(missing: int) -> None:
    some = [signer for i, signer in enumerate(signers(MEMBER)) if i != missing]
    with pytest.raises(CardSignatureError):
        open_card(sign_note(altered(), some))


def test_a_card_signed_by_strangers_only() -> None:
    with pytest.raises(CardSignatureError):
        open_card(sign_note(altered(), signers(OTHER)))


def test_no_other_signatures_are_carried() -> None:
    with pytest.raises(CardSignatureError):
        open_card(sign_note(altered(), (*signers(MEMBER), OTHER.identity)))


def test_the_name_signed_under_is_the_cards() -> None:
    other_name = [Signer("other.example", s) for s in (MEMBER.log_seed,)]
    with pytest.raises(CardSignatureError):
        sign_card(MEMBER.card, identity=MEMBER.identity, log=other_name[0], witness=MEMBER.witness)


@pytest.mark.parametrize("at", [30, 100, 300])
def test_a_changed_byte(at: int) -> None:
    note = bytearray(MEMBER.card_note)
    note[at] ^= 0x01
    with pytest.raises((MeshError, ProofsError)):
        open_card(bytes(note))


def test_a_changed_host_breaks_the_signatures() -> None:
    note = MEMBER.card_note.replace(b'"127.0.0.1"', b'"127.0.0.2"')
    assert note != MEMBER.card_note
    with pytest.raises(BadSignatureError):
        open_card(note)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"name": "Acme"}, NameFormatError),
        ({"host": "http://x"}, NameFormatError),
        ({"control_group": ""}, NameFormatError),
        ({"port": 0}, CardFormatError),
        ({"port": 65_536}, CardFormatError),
        ({"port": "443"}, CardFormatError),
        ({"port": True}, CardFormatError),
        ({"identity": MEMBER.card.identity.upper()}, CardFormatError),
        ({"identity": MEMBER.card.identity + "\n"}, CardFormatError),
        ({"identity": "00"}, CardFormatError),
        ({"transport_pin": None}, CardFormatError),
        ({"sealing": MEMBER.card.sealing.upper()}, CardFormatError),
        ({"sealing": "00"}, CardFormatError),
        ({"sealing_proof": "AAAA"}, CardFormatError),
        ({"sealing_proof": "AAAA" * 22}, CardFormatError),
        ({"sealing_proof": None}, CardFormatError),
        ({"certificate": ""}, CardFormatError),
        ({"certificate": "AB=="}, FormatError),
        ({"certificate": "AA"}, FormatError),
        ({"certificate": "AA==\n"}, FormatError),
        ({"certificate": "-_8="}, FormatError),
        ({"certificate": "é"}, FormatError),
        ({"certificate": "AAAA" * 1_366}, CardFormatError),
        ({"extra": 1}, CardFormatError),
        ({"log": MEMBER.card.identity}, CardKeyError),
        ({"witness": MEMBER.card.log}, CardKeyError),
    ],
)
def test_fields_are_exact(fields: dict[str, object], error: type[MeshError]) -> None:
    with pytest.raises(error):
        open_card(sign_note(altered(**fields), signers(MEMBER)))


@pytest.mark.parametrize("field", sorted(MemberCard.model_fields))
def test_no_field_may_be_missing(field: str) -> None:
    value = MEMBER.card.to_json()
    del value[field]
    text = f"signal-mesh/v1/member-card\n{json.dumps(value)}\n"
    with pytest.raises(CardFormatError):
        open_card(sign_note(text, signers(MEMBER)))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (altered().replace("member-card", "genesis"), CardFormatError),
        (altered().replace("/v1/", "/v2/"), CardFormatError),
        (altered() + "more\n", CardFormatError),
        (altered().replace("\n{", "\n\n{"), CardFormatError),
        (altered().replace('{"', '{ "', 1), CardFormatError),
        (altered().replace("{", '{"port":1,', 1), DuplicateKeyError),
        ("signal-mesh/v1/member-card\n[]\n", CardFormatError),
        ("signal-mesh/v1/member-card\n" + "[" * 9_000 + "\n", StrictJSONError),
    ],
)
def test_other_texts_are_no_cards(text: str, error: type[MeshError]) -> None:
    with pytest.raises(error):
        open_card(sign_note(text, signers(MEMBER)))


def test_size_is_checked_before_anything_else() -> None:
    with pytest.raises(CardFormatError):
        open_card(b"x" * (MAX_CARD_NOTE + 1))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises((MeshError, ProofsError)):
        open_card(data)


def test_verifier_keys() -> None:
    card = MEMBER.card
    mesh_id = "0123456789abcdef" * 4
    assert log_origin(card.name, mesh_id) == "acme.example/0123456789abcdef"
    assert card.log_key(mesh_id).name == "acme.example/0123456789abcdef"
    assert card.log_key(mesh_id).public == bytes.fromhex(card.log)
    assert card.identity_key.public == bytes.fromhex(card.identity)
    assert card.witness_key == VerifierKey(card.name, 0x04, bytes.fromhex(card.witness))
    assert card.identity_key is card.identity_key
    assert card.endpoint == (card.host, card.port)


def test_keys_made_on_use_change_neither_equality_nor_encoding() -> None:
    fresh = MemberCard.parse(MEMBER.card.to_json())
    assert MEMBER.card.identity_key.name == "acme.example"
    assert fresh == MEMBER.card
    assert hash(fresh) == hash(MEMBER.card)
    assert fresh.encode() == MEMBER.card.encode()


def test_errors_do_not_repeat_values() -> None:
    secret = "hunter2-" * 4
    with pytest.raises(MeshError) as caught:
        MemberCard.parse({**MEMBER.card.to_json(), "identity": secret, "port": secret})
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert public_key(MEMBER.log_seed).hex() == MEMBER.card.log
