"""Receipts: a member's signed word that it carried a retraction out, and nobody else's."""

from typing import Any

import pytest

from mesh import strictjson
from mesh.constraints import UnknownMemberError
from mesh.days import Day, DayFormatError
from mesh.document import document_text
from mesh.errors import MeshError
from mesh.receipt import (
    MAX_RECEIPT,
    ForeignReceiptError,
    Receipt,
    ReceiptFormatError,
    ReceiptSignerError,
    compose_receipt,
    open_receipt,
)
from mesh.testing import make_mesh
from proofs.note import BadSignatureError, NoteError, Signer, sign_note

MADE = make_mesh(4)
MESH = MADE.mesh
OWNER, PEER, OTHER = (MADE.member(place) for place in range(3))
RETRACTION, TARGET = "ab" * 32, "cd" * 32
DAY = Day(20_000)

FIELDS: dict[str, Any] = {
    "day": "2024-10-04",
    "erased": True,
    "log": OWNER.name,
    "member": PEER.name,
    "mesh": MESH.mesh_id,
    "retraction": RETRACTION,
    "target": TARGET,
}


def compose(signer: Signer = PEER.identity, **changes: Any) -> bytes:
    fields = {
        "log": OWNER.name,
        "retraction": RETRACTION,
        "target": TARGET,
        "erased": True,
        "day": DAY,
    }
    return compose_receipt(MESH, signer, **{**fields, **changes})


def signed(signer: Signer = PEER.identity, kind: str = "receipt", **changes: Any) -> bytes:
    """A receipt as somebody signs it who keeps to no rule."""
    return sign_note(document_text(kind, {**FIELDS, **changes}), (signer,))


@pytest.mark.parametrize("erased", [True, False])
def test_a_receipt_is_read_as_signed(erased: bool) -> None:
    note = compose(erased=erased)
    assert open_receipt(MESH, note) == Receipt(
        mesh=MESH.mesh_id,
        log=OWNER.name,
        retraction=RETRACTION,
        target=TARGET,
        member=PEER.name,
        erased=erased,
        day=DAY,
    )
    assert note.startswith(b"signal-mesh/v1/receipt\n")
    assert len(note) <= MAX_RECEIPT // 2


def test_the_fields_themselves() -> None:
    assert compose() == signed()


def test_nobody_signs_in_another_s_name() -> None:
    with pytest.raises(ReceiptSignerError, match="in the name of"):
        open_receipt(MESH, signed(OTHER.identity))
    with pytest.raises(ReceiptSignerError, match="nobody of this mesh"):
        open_receipt(MESH, signed(Signer("nobody.example", bytes(32))))
    with pytest.raises(NoteError):  # another key under the member's name
        open_receipt(MESH, signed(Signer(PEER.name, bytes(32))))
    for signer in (Signer(PEER.name, bytes(32)), Signer("nobody.example", bytes(32))):
        with pytest.raises(ReceiptSignerError):
            compose(signer)


def test_a_changed_receipt_is_refused() -> None:
    note = compose(erased=False)
    with pytest.raises(BadSignatureError):
        open_receipt(MESH, note.replace(b'"erased":false', b'"erased":true'))


def test_an_owner_s_word_about_its_own_log_is_none() -> None:
    with pytest.raises(ReceiptSignerError, match="own retraction"):
        compose(OWNER.identity)
    with pytest.raises(ReceiptSignerError, match="own retraction"):
        open_receipt(MESH, signed(OWNER.identity, member=OWNER.name))


def test_receipts_of_other_meshes_and_logs_of_nobody() -> None:
    with pytest.raises(ForeignReceiptError):
        open_receipt(MESH, signed(mesh="ef" * 32))
    with pytest.raises(UnknownMemberError):
        open_receipt(MESH, signed(log="nobody.example"))
    with pytest.raises(UnknownMemberError):
        compose(log="nobody.example")


def test_one_signed_text_makes_one_receipt() -> None:
    note = compose()
    more = note + signed(OTHER.identity).rpartition(b"\n\n")[2]
    with pytest.raises(ReceiptFormatError, match="one signature"):
        open_receipt(MESH, more)
    spaced = strictjson.dumps(FIELDS).decode().replace(":true", ": true")
    with pytest.raises(ReceiptFormatError, match="canonical"):
        open_receipt(MESH, sign_note(f"signal-mesh/v1/receipt\n{spaced}\n", (PEER.identity,)))


def test_a_signature_on_something_else_is_no_receipt() -> None:
    with pytest.raises(ReceiptFormatError):
        open_receipt(MESH, signed(kind="retraction"))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"extra": 1}, ReceiptFormatError),
        ({"erased": 1}, ReceiptFormatError),
        ({"erased": None}, ReceiptFormatError),
        ({"retraction": "AB" * 32}, ReceiptFormatError),
        ({"target": "ab"}, ReceiptFormatError),
        ({"day": "2024-13-01"}, DayFormatError),
        ({"day": 20_000}, ReceiptFormatError),
        ({"log": "Acme"}, MeshError),
    ],
)
def test_refused_by_its_form(changes: dict[str, Any], error: type[MeshError]) -> None:
    with pytest.raises(error):
        open_receipt(MESH, signed(**changes))


def test_composing_checks_ids() -> None:
    with pytest.raises(ReceiptFormatError):
        compose(retraction="ab")
    with pytest.raises(ReceiptFormatError):
        compose(target="AB" * 32)


def test_a_receipt_of_any_length_is_not_even_parsed() -> None:
    with pytest.raises(ReceiptFormatError, match="at most"):
        open_receipt(MESH, b"x" * (MAX_RECEIPT + 1))
