"""Receipts: a member tells an issuer that it has carried out a retraction.

    signal-mesh/v1/receipt
    {"day": …, "erased": …, "log": …, "member": …, "mesh": …, "retraction": …, "target": …}

    — <member> <signature of its identity key>

A receipt says whether its signer holds a copy, on that day. That no copy is left anywhere nobody
can prove.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, StringConstraints

from mesh.constraints import UnknownMemberError
from mesh.days import Day, format_day, parse_day
from mesh.document import document_text, read_document
from mesh.errors import MeshError
from mesh.genesis import Mesh
from mesh.model import Digest, Model
from mesh.names import check_name
from proofs.note import Signer, open_note, parse_note, sign_note

RECEIPT_KIND: Final = "receipt"
"""Kind of the note that a receipt is."""
MAX_RECEIPT: Final = 2_048
"""Longest receipt, signature included, in bytes."""


class ReceiptError(MeshError):
    """A receipt does not hold."""


class ReceiptFormatError(ReceiptError):
    """A receipt is too long, not in its canonical encoding, has other fields, or more signatures
    than its member's."""


class ForeignReceiptError(ReceiptError):
    """A receipt was signed for another mesh."""


class ReceiptSignerError(ReceiptError):
    """A receipt is signed by nobody of this mesh, names another member than its signer, or is of
    the log's owner, whose word about its own log is none."""


class _Receipt(Model):
    format_error: ClassVar[type[MeshError]] = ReceiptFormatError

    day: Annotated[str, StringConstraints(max_length=10)]
    erased: bool
    log: Annotated[str, AfterValidator(check_name)]
    member: Annotated[str, AfterValidator(check_name)]
    mesh: Digest
    retraction: Digest
    target: Digest


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a member says that it did about one retraction."""

    mesh: str
    """Id of the mesh, hex."""
    log: str
    """Name of the member whose log holds the retraction."""
    retraction: str
    """Id of the retraction."""
    target: str
    """Id of the signal that was withdrawn."""
    member: str
    """Name of the member that signed."""
    erased: bool
    """Whether no copy of the signal's content is held there any more, in no file of the node: it
    was erased, or had never arrived. False where one is kept, since the node can't read it."""
    day: Day
    """Day on which it was signed."""


def compose_receipt(
    mesh: Mesh,
    signer: Signer,
    *,
    log: str,
    retraction: str,
    target: str,
    erased: bool,
    day: Day,
) -> bytes:
    """Sign a receipt with a member's identity key.

    :param log: name of the member whose log holds the retraction.
    :raises ReceiptSignerError: the signer's key is no member's identity key, or the log's owner's.
    :raises ReceiptFormatError: an id is none.
    :raises UnknownMemberError: the log is nobody's.
    """
    try:
        known = mesh.member(signer.name).identity_key == signer.verifier_key
    except UnknownMemberError:
        known = False
    if not known:
        raise ReceiptSignerError(f"this is not the identity key of a member {signer.name}")
    body = _Receipt(
        day=format_day(day),
        erased=erased,
        log=log,
        member=signer.name,
        mesh=mesh.mesh_id,
        retraction=retraction,
        target=target,
    )
    _check_parties(mesh, body)
    return sign_note(document_text(RECEIPT_KIND, body.to_json()), (signer,))


def open_receipt(mesh: Mesh, note: bytes) -> Receipt:
    """Verify and read a receipt from anybody, signature first.

    Whether it answers a retraction that exists is the reader's to check: compare `log`,
    `retraction` and `target`.

    :raises ReceiptFormatError: oversize, other fields, not in its canonical encoding, or more than
        one signature.
    :raises ReceiptSignerError: its signer is no member, it names another, or the log's owner.
    :raises ForeignReceiptError: made for another mesh.
    :raises UnknownMemberError: it is about the log of nobody.
    :raises NoteError: not a signed note, or the signature is false.
    :raises MeshError: not strict JSON, or not a day.
    """
    if len(note) > MAX_RECEIPT:
        raise ReceiptFormatError(f"a receipt is at most {MAX_RECEIPT} bytes, not {len(note)}")
    signer = parse_note(note).signatures[0].name
    try:
        member = mesh.member(signer)
    except UnknownMemberError:
        raise ReceiptSignerError("the receipt is signed by nobody of this mesh") from None
    text = open_note(note, (member.identity_key,)).text
    # Further lines are covered by no signature: one signed text would make many receipts.
    if note.count(b"\n", len(text.encode()) + 1) != 1:
        raise ReceiptFormatError("a receipt has one signature, its member's")
    body = _Receipt.parse(
        read_document(text, RECEIPT_KIND, max_bytes=MAX_RECEIPT, error=ReceiptFormatError)
    )
    if document_text(RECEIPT_KIND, body.to_json()) != text:
        raise ReceiptFormatError("a receipt is written in its canonical encoding")
    if body.mesh != mesh.mesh_id:
        raise ForeignReceiptError("the receipt was signed for another mesh")
    if body.member != signer:
        raise ReceiptSignerError(f"{signer} signed a receipt in the name of {body.member}")
    _check_parties(mesh, body)
    return Receipt(
        mesh=body.mesh,
        log=body.log,
        retraction=body.retraction,
        target=body.target,
        member=body.member,
        erased=body.erased,
        day=parse_day(body.day),
    )


def _check_parties(mesh: Mesh, body: _Receipt) -> None:
    mesh.member(body.log)
    if body.log == body.member:
        raise ReceiptSignerError(f"{body.member} signs a receipt for its own retraction")
