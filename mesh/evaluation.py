"""Asking the committee: signed requests and answers that can be held against who signed them.

A member asks each seat to evaluate 32 blinded elements with its share of the mesh's key. Always 32:
how many windows a text has stays unknown, unused places are filled with random elements. The same
request goes to every seat that is asked.

An *open* request is for a promotion, which publishes the inputs and the answers: its elements are
not blinded, and it holds exactly those that the published proof is about, 1 to 32.

    request   signal-mesh/v1/evaluation-request
              {asker, committee, day, elements[32], mesh, nonce, open, version}
                                                                      signed by the asker
    answer    signal-mesh/v1/evaluation-answer
              {elements[32], mesh, proof, request, seat}              signed by the seat's member

`request` is the SHA-256 of the whole request note, so an answer belongs to one request of one
asker. `proof` is that of RFC 9497 mode VOPRF for the whole batch, against the seat's public share.

An honest seat never signs a false answer. So one that is signed, belongs to a request and is false
convicts its seat's member: `verify_misconduct` needs the two notes and the mesh, nothing else. The
request in it tells nothing about the asker's windows: blinded elements are uniform, and those of an
open request are published anyhow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256, sha512
from typing import Annotated, ClassVar, Final

from pydantic import Field

from mesh import strictjson
from mesh.committee import Seat
from mesh.constraints import UnknownMemberError
from mesh.days import Day, format_day, parse_day
from mesh.document import document_text, read_document
from mesh.errors import MeshError
from mesh.genesis import Mesh
from mesh.member import MemberCard
from mesh.model import Base64Bytes, Digest, Model
from proofs.note import Signer, open_note, parse_note, sign_note
from proofs.oprf import PROOF_BYTES, EvaluationProofError, evaluate, prove_evaluation
from proofs.oprf import verify_evaluation as verify_proof
from proofs.ristretto import (
    ELEMENT_BYTES,
    Element,
    InvalidElementError,
    Scalar,
    decode_element,
    multiply_base,
    nonzero,
    reduce_scalar,
)

BATCH: Final = 32
"""Elements of every request that is not open; at most so many are in one that is."""
NONCE_BYTES: Final = 32
"""Length of a request's nonce."""
REQUEST_KIND: Final = "evaluation-request"
"""Kind of the note that a request is."""
ANSWER_KIND: Final = "evaluation-answer"
"""Kind of the note that an answer is."""
MAX_EVALUATION_NOTE: Final = 4_096
"""Longest request or answer, signature included, in bytes."""

_NONCE_LABEL: Final = b"signal-mesh/v1/evaluation nonce"


class EvaluationError(MeshError):
    """A request for evaluation, or an answer to one, does not hold."""


class EvaluationRequestError(EvaluationError):
    """A request can't be answered."""


class EvaluationRequestFormatError(EvaluationRequestError):
    """A request is too long, not in its canonical encoding, or its fields are not exactly those of
    one: 32 elements (in an open one 1 to 32), a nonce of 32 bytes, one signature."""


class UnknownAskerError(EvaluationRequestError):
    """A request is signed by nobody of this mesh, or names somebody else than its signer."""


class ForeignRequestError(EvaluationRequestError):
    """A request was made for another mesh, version or committee: its answer would be of no use."""


class RequestDayError(EvaluationRequestError):
    """A request is dated too far from today: an old one is replayed, or a clock is wrong."""


class RequestElementError(EvaluationRequestError):
    """A request holds something that is no group element, or is the identity: evaluating it could
    tell about the share."""


class RepeatedElementError(EvaluationRequestError):
    """A request holds one element twice: its blinds were not fresh, or it pays for one twice."""


class SeatError(EvaluationError):
    """A member is about to answer without a seat, or with a share that is not its seat's: the
    answer would convict it."""


class EvaluationAnswerError(EvaluationError):
    """An answer can't be used."""


class AnswerFormatError(EvaluationAnswerError):
    """An answer is too long, not in its canonical encoding, or its fields are not exactly those of
    one, or it is for another mesh or seat."""


class ReplayedAnswerError(EvaluationAnswerError):
    """An answer was signed for another request."""


class WrongEvaluationError(EvaluationAnswerError):
    """A seat signed an evaluation that its share did not make. Keep both notes as evidence."""

    def __init__(self, member: str, seat: int, request: bytes, answer: bytes) -> None:
        self.member = member
        """Name of the member that signed the answer."""
        self.seat = seat
        self.request = request
        """The signed request."""
        self.answer = answer
        """The signed answer."""
        super().__init__(
            f"{member} signed an evaluation that seat {seat}'s share did not make; "
            "the request and the answer prove it to anybody"
        )


class NoMisconductError(EvaluationError):
    """An answer is right: it convicts nobody."""


class _Request(Model):
    format_error: ClassVar[type[MeshError]] = EvaluationRequestFormatError

    asker: str
    committee: Digest
    day: str
    elements: Annotated[
        tuple[Base64Bytes, ...], Field(strict=False, min_length=1, max_length=BATCH)
    ]
    mesh: Digest
    nonce: Annotated[Base64Bytes, Field(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    open: bool
    version: Annotated[int, Field(ge=0, le=strictjson.MAX_INTEGER)]


_ElementBytes = Annotated[Base64Bytes, Field(min_length=ELEMENT_BYTES, max_length=ELEMENT_BYTES)]


class _Answer(Model):
    format_error: ClassVar[type[MeshError]] = AnswerFormatError

    elements: Annotated[
        tuple[_ElementBytes, ...], Field(strict=False, min_length=1, max_length=BATCH)
    ]
    mesh: Digest
    proof: Annotated[Base64Bytes, Field(min_length=PROOF_BYTES, max_length=PROOF_BYTES)]
    request: Digest
    seat: Annotated[int, Field(ge=0, le=strictjson.MAX_INTEGER)]


@dataclass(frozen=True)
class EvaluationRequest:
    """A request whose signature and elements were checked."""

    asker: str
    """Name of the member that signed it."""
    elements: tuple[Element, ...]
    """32 different elements; 1 to 32 if the request is open."""
    digest: str
    """SHA-256 of the whole note, hex."""
    day: Day
    """Day that the asker dated it."""
    open: bool = False
    """Whether the elements are not blinded, since everything is to be published."""


@dataclass(frozen=True)
class EvaluationAnswer:
    """An answer that was verified: element i is the seat's share times the request's element i."""

    seat: int
    """Index of the seat."""
    elements: tuple[Element, ...]
    proof: bytes
    """RFC 9497 mode VOPRF, against the seat's public share; 64 bytes."""


def request_digest(note: bytes) -> str:
    """What an answer names its request by: SHA-256 of the whole note, hex."""
    return sha256(note).hexdigest()


def compose_request(
    mesh: Mesh,
    asker: Signer,
    elements: Sequence[Element],
    nonce: bytes,
    day: Day,
    *,
    public: bool = False,
) -> bytes:
    """Sign a request with the asker's identity key.

    :param elements: 32 different ones, each blinded with a fresh blind, or random.
    :param nonce: 32 fresh random bytes.
    :param public: make it an open request: 1 to 32 elements that are not blinded.
    :raises EvaluationRequestError: other elements, or a nonce of another length.
    :raises UnknownAskerError: the signer's key is no member's identity key.
    """
    _check_signer(mesh, asker, UnknownAskerError)
    body = _Request(
        asker=asker.name,
        committee=mesh.constraints.committee.transcript,
        day=format_day(day),
        elements=tuple(elements),
        mesh=mesh.mesh_id,
        nonce=nonce,
        open=public,
        version=mesh.version,
    )
    _elements_of(body)
    return sign_note(document_text(REQUEST_KIND, body.to_json()), (asker,))


def open_request(mesh: Mesh, note: bytes, today: Day, max_skew: int) -> EvaluationRequest:
    """Verify and read a request from anybody.

    :param max_skew: most days between the request's day and today, either way.
    :raises UnknownAskerError: its signer is no member, or it names another asker.
    :raises EvaluationRequestFormatError: oversize, other fields, another number of elements than
        32 (1 to 32 if it is open), not in its canonical encoding, or more signatures than one.
    :raises ForeignRequestError: made for another mesh, version or committee.
    :raises RequestDayError: dated further from today.
    :raises RequestElementError: something in it is no group element.
    :raises RepeatedElementError: two of its elements are alike.
    :raises NoteError: not a signed note, or the signature is false.
    :raises MeshError: not strict JSON, or not a day.
    """
    body = _read_request(mesh, note)
    day = parse_day(body.day)
    if abs(day - today) > max_skew:
        raise RequestDayError(
            f"the request is dated {body.day}, more than {max_skew} day(s) from today; "
            "check both clocks"
        )
    return EvaluationRequest(body.asker, _elements_of(body), request_digest(note), day, body.open)


def compose_answer(
    mesh: Mesh, seat_member: Signer, share: Scalar, request: EvaluationRequest, nonce: Scalar
) -> bytes:
    """Evaluate a request that `open_request` returned, prove it, and sign the answer.

    :param share: the seat's share of the mesh's key.
    :param nonce: a fresh random scalar. The proof's nonce is drawn from it, the share and the
        request, so that even one that repeats does not betray the share.
    :raises SeatError: the signer's key is not that of a seat's member, or the share is not the
        seat's.
    """
    _check_signer(mesh, seat_member, SeatError)
    seat = mesh.constraints.committee.seat_of(seat_member.name)
    if seat is None:
        raise SeatError(f"{seat_member.name} has no seat in the committee")
    public = multiply_base(share)
    if public.hex() != seat.share:
        raise SeatError(
            f"this is not the share of seat {seat.index}: restore it from the key generation"
        )
    evaluated = evaluate(share, request.elements)
    hedged = _hedged_nonce(nonce, share, request.digest)
    body = _Answer(
        elements=evaluated,
        mesh=mesh.mesh_id,
        proof=prove_evaluation(share, public, request.elements, evaluated, hedged),
        request=request.digest,
        seat=seat.index,
    )
    return sign_note(document_text(ANSWER_KIND, body.to_json()), (seat_member,))


def open_answer(mesh: Mesh, request_note: bytes, seat: Seat, answer: bytes) -> EvaluationAnswer:
    """Verify and read a seat's answer: signature, then request, then form, then the proof.

    :param request_note: the signed request that was sent.
    :param seat: the seat that was asked, out of the mesh's committee.
    :raises NoteError: not a signed note, or the signature is not that of the seat's member.
    :raises ReplayedAnswerError: signed for another request.
    :raises AnswerFormatError: oversize, other fields, for another mesh or seat, not in its
        canonical encoding, or more signatures than one.
    :raises WrongEvaluationError: all that holds, and the evaluation is false. It carries both
        notes: evidence against the member.
    :raises EvaluationRequestError: the request itself does not hold.
    :raises MeshError: not strict JSON.
    """
    text = _open_single(answer, mesh.member(seat.member), AnswerFormatError)
    value = read_document(text, ANSWER_KIND, max_bytes=MAX_EVALUATION_NOTE, error=AnswerFormatError)
    # Before the other fields: an answer to somebody else's request is not this asker's to judge.
    if not isinstance(value, dict) or value.get("request") != request_digest(request_note):
        raise ReplayedAnswerError(f"{seat.member} signed this answer for another request")
    body = _Answer.parse(value)
    if document_text(ANSWER_KIND, body.to_json()) != text:
        raise AnswerFormatError("an answer is written in its canonical encoding")
    if (body.mesh, body.seat) != (mesh.mesh_id, seat.index):
        raise AnswerFormatError(f"this is not an answer of seat {seat.index} of this mesh")
    asked = _elements_of(_read_request(mesh, request_note))
    try:
        elements = tuple(decode_element(element) for element in body.elements)
        verify_proof(seat.element, asked, elements, body.proof)
    except (InvalidElementError, EvaluationProofError):
        raise WrongEvaluationError(seat.member, seat.index, request_note, answer) from None
    return EvaluationAnswer(seat.index, elements, body.proof)


def verify_misconduct(mesh: Mesh, request_note: bytes, answer_note: bytes) -> str:
    """Judge a request and an answer from anybody; return the member that they convict.

    :raises NoMisconductError: the answer is right, or its signer has no seat.
    :raises EvaluationError: the notes do not belong together, or one of them does not hold.
    :raises MeshError: not strict JSON.
    :raises NoteError: not a signed note, or a signature is false.
    """
    name = parse_note(answer_note, MAX_EVALUATION_NOTE).signatures[0].name
    seat = mesh.constraints.committee.seat_of(name)
    if seat is None:
        raise NoMisconductError("the answer is signed by nobody who has a seat in the committee")
    try:
        open_answer(mesh, request_note, seat, answer_note)
    except WrongEvaluationError as wrong:
        return wrong.member
    raise NoMisconductError(f"the answer of {seat.member} is right")


def _read_request(mesh: Mesh, note: bytes) -> _Request:
    if len(note) > MAX_EVALUATION_NOTE:
        raise EvaluationRequestFormatError(f"a request is at most {MAX_EVALUATION_NOTE} bytes")
    name = parse_note(note).signatures[0].name
    try:
        member = mesh.member(name)
    except UnknownMemberError:
        raise UnknownAskerError("the request is signed by nobody of this mesh") from None
    text = _open_single(note, member, EvaluationRequestFormatError)
    body = _Request.parse(
        read_document(
            text,
            REQUEST_KIND,
            max_bytes=MAX_EVALUATION_NOTE,
            error=EvaluationRequestFormatError,
        )
    )
    if document_text(REQUEST_KIND, body.to_json()) != text:
        raise EvaluationRequestFormatError("a request is written in its canonical encoding")
    if body.asker != name:
        raise UnknownAskerError("the request names another asker than its signer")
    here = (mesh.mesh_id, mesh.version, mesh.constraints.committee.transcript)
    if (body.mesh, body.version, body.committee) != here:
        raise ForeignRequestError("the request was made for another mesh, version or committee")
    return body


def _elements_of(body: _Request) -> tuple[Element, ...]:
    if not body.open and len(body.elements) != BATCH:
        raise EvaluationRequestFormatError(f"a request that is not open has {BATCH} elements")
    try:
        elements = tuple(decode_element(element) for element in body.elements)
    except InvalidElementError as error:
        raise RequestElementError(f"the request can't be evaluated: {error}") from None
    if len(set(elements)) != len(elements):
        raise RepeatedElementError("the request holds one element twice; draw fresh blinds")
    return elements


def _open_single(note: bytes, member: MemberCard, error: type[MeshError]) -> str:
    """The text of a note that this member signed, and nobody else."""
    if len(note) > MAX_EVALUATION_NOTE:
        raise error(f"the note is over {MAX_EVALUATION_NOTE} bytes")
    text = open_note(note, (member.identity_key,)).text
    # Further lines are covered by no signature: one signed text would make many notes.
    if note.count(b"\n", len(text.encode()) + 1) != 1:
        raise error("the note has one signature, its author's")
    return text


def _check_signer(mesh: Mesh, signer: Signer, error: type[MeshError]) -> None:
    try:
        key = mesh.member(signer.name).identity_key
    except UnknownMemberError:
        raise error(f"{signer.name} is no member of this mesh") from None
    if key != signer.verifier_key:
        raise error(f"this is not the identity key of {signer.name}")


def _hedged_nonce(nonce: Scalar, share: Scalar, request: str) -> Scalar:
    parts = nonce + share + bytes.fromhex(request)  # each of them has 32 bytes
    return nonzero(reduce_scalar(sha512(_NONCE_LABEL + parts).digest()))
