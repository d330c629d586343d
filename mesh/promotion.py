"""Promotions: window hashes that many organizations met are published, so that all match offline.

A promotion gives, for each window, its input (the window's keyed hash), its token, and the signals
that are the evidence; and for all of them together the committee's evaluations with their proofs.
Whoever reads it recomputes each token from its input, so a promotion can't lie about them.

    P_j = H(input_j)                          as in RFC 9497, not blinded
    each seat i of exactly t:  E_ij, proof    that E_ij = k_i·P_j for the k_i of its public share
    token_j = token of F(k, input_j)          from Σ λ_i·E_ij = k·P_j

Whether the named signals suffice is not decided here: they stand in other logs and come and go.
From then on the tokens' scalars can be computed by all members, so signals that come later are no
evidence of their own.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field, model_validator

from mesh import strictjson
from mesh.committee import MAX_SEATS, Seat
from mesh.constraints import MAX_TOKENS
from mesh.errors import BodyFormatError, BodyTooLargeError, MeshError
from mesh.genesis import Mesh
from mesh.model import Base64Bytes, Digest, Model
from mesh.token import token_of_output
from proofs.errors import ProofsError
from proofs.oprf import PROOF_BYTES, finalize, hash_input, verify_evaluation
from proofs.ristretto import ELEMENT_BYTES, Element, decode_element
from proofs.threshold.combining import combine
from proofs.threshold.shamir import MAX_INDEX

MAX_PROMOTED: Final = MAX_TOKENS
"""Most windows in one promotion."""
MAX_PROMOTED_SOURCES: Final = 32
"""Most signals that are named as the evidence for one window."""


class PromotionFormatError(BodyFormatError):
    """A promotion's fields are not exactly those of a promotion, or one is out of range."""


class PromotionOrderError(PromotionFormatError):
    """Windows, sources or seats are not strictly rising: one would count twice, or a promotion have
    two spellings."""


class PromotionError(MeshError):
    """A promotion's evaluations do not hold against the committee."""


class SeatCountError(PromotionError):
    """The evaluations are not those of exactly as many seats as it takes."""


class UnknownSeatError(PromotionError):
    """An evaluation is that of a seat which the committee does not have."""


class PromotionProofError(PromotionError):
    """A seat's evaluation does not verify against its public share."""


class WrongTokenError(PromotionError):
    """A token is not the one of its input: another window would be matched in its name."""


def _rising(ids: tuple[str, ...]) -> tuple[str, ...]:
    if any(first >= second for first, second in pairwise(ids)):
        raise PromotionOrderError("a window's sources are sorted, each once")
    return ids


class PromotedWindow(Model):
    """A window that is an attack pattern by now."""

    format_error: ClassVar[type[MeshError]] = PromotionFormatError

    input: Digest
    """The window's keyed hash, which the token is computed from."""
    token: Digest
    sources: Annotated[
        tuple[Digest, ...],
        Field(strict=False, min_length=1, max_length=MAX_PROMOTED_SOURCES),
        AfterValidator(_rising),
    ]
    """Ids of the signals that are the evidence, sorted."""


_Evaluated = Annotated[Base64Bytes, Field(min_length=ELEMENT_BYTES, max_length=ELEMENT_BYTES)]


class SeatEvaluation(Model):
    """What one seat of the committee evaluated."""

    format_error: ClassVar[type[MeshError]] = PromotionFormatError

    seat: Annotated[int, Field(ge=1, le=MAX_INDEX)]
    """Index of the seat."""
    elements: Annotated[
        tuple[_Evaluated, ...], Field(strict=False, min_length=1, max_length=MAX_PROMOTED)
    ]
    """The evaluated elements, in the order of the windows."""
    proof: Annotated[Base64Bytes, Field(min_length=PROOF_BYTES, max_length=PROOF_BYTES)]
    """That all of them were evaluated with the seat's share (RFC 9497, section 2.2)."""


class PromotionBody(Model):
    """The body of a promotion."""

    format_error: ClassVar[type[MeshError]] = PromotionFormatError

    windows: Annotated[
        tuple[PromotedWindow, ...], Field(strict=False, min_length=1, max_length=MAX_PROMOTED)
    ]
    """By input."""
    evaluations: Annotated[
        tuple[SeatEvaluation, ...], Field(strict=False, min_length=1, max_length=MAX_SEATS)
    ]
    """By seat; as many as the committee's threshold says."""

    @model_validator(mode="after")
    def _check(self) -> "PromotionBody":
        if any(first.input >= second.input for first, second in pairwise(self.windows)):
            raise PromotionOrderError("windows are sorted by input, each once")
        if any(first.seat >= second.seat for first, second in pairwise(self.evaluations)):
            raise PromotionOrderError("evaluations are sorted by seat, each once")
        if any(len(each.elements) != len(self.windows) for each in self.evaluations):
            raise PromotionFormatError("each seat evaluates each of the windows")
        return self


def parse_promotion(body: bytes, max_bytes: int = strictjson.MAX_BYTES) -> PromotionBody:
    """Read a promotion's body. Its evaluations are verified apart, by `verify_promotion`.

    :param max_bytes: longest body accepted, in bytes.
    :raises StrictJSONError: it is not strict JSON, or too long.
    :raises PromotionFormatError: its fields are not exactly those of a promotion.
    """
    return PromotionBody.parse(strictjson.loads(body, max_bytes=max_bytes))


def compose_promotion(
    windows: Sequence[PromotedWindow],
    evaluations: Iterable[tuple[int, Sequence[Element], bytes]],
    max_bytes: int = strictjson.MAX_BYTES,
) -> bytes:
    """Write a promotion's body.

    :param windows: sorted by input.
    :param evaluations: index, evaluated elements in the windows' order, and proof of as many seats
        as the threshold says, in any order.
    :param max_bytes: the constraints' `max_body_bytes`.
    :raises PromotionFormatError: they don't make a promotion.
    :raises BodyTooLargeError: promote fewer windows at once.
    """
    body = PromotionBody(
        windows=tuple(windows),
        evaluations=tuple(
            SeatEvaluation(seat=seat, elements=tuple(elements), proof=proof)
            for seat, elements, proof in sorted(evaluations, key=lambda each: each[0])
        ),
    ).encode()
    if len(body) > max_bytes:
        raise BodyTooLargeError(
            f"a promotion of {len(body)} bytes, at most {max_bytes} are allowed: "
            "promote fewer windows at once"
        )
    return body


def verify_promotion(mesh: Mesh, body: PromotionBody) -> None:
    """Verify every token of a promotion against the committee of the constraints in force.

    :raises SeatCountError: not exactly as many seats as the threshold says.
    :raises UnknownSeatError: a seat that the committee does not have.
    :raises PromotionProofError: a seat's evaluation is false; it names the seat.
    :raises WrongTokenError: a token is not its input's.
    """
    committee = mesh.constraints.committee
    if len(body.evaluations) != committee.threshold:
        raise SeatCountError(
            f"evaluations of {len(body.evaluations)} seats; "
            f"a promotion has those of exactly {committee.threshold}"
        )
    seats: list[Seat] = []
    for evaluation in body.evaluations:
        seat = committee.seat(evaluation.seat)
        if seat is None:
            raise UnknownSeatError(f"the committee has no seat {evaluation.seat}")
        seats.append(seat)
    inputs = [bytes.fromhex(window.input) for window in body.windows]
    try:
        hashed = [hash_input(each) for each in inputs]
        partials = {
            seat.index: _verified(seat, hashed, evaluation)
            for seat, evaluation in zip(seats, body.evaluations, strict=True)
        }
        combined = combine(partials, None)
        tokens = [
            token_of_output(finalize(data, element))
            for data, element in zip(inputs, combined, strict=True)
        ]
    except ProofsError as error:
        # Nobody can find inputs whose hash or value is the identity or zero.
        raise PromotionProofError(f"the evaluations give no token: {error}") from None
    for window, token in zip(body.windows, tokens, strict=True):
        if window.token != token:
            raise WrongTokenError(f"the token of input {window.input[:16]} is {token[:16]}")


def _verified(
    seat: Seat, hashed: Sequence[Element], evaluation: SeatEvaluation
) -> tuple[Element, ...]:
    try:
        elements = tuple(decode_element(element) for element in evaluation.elements)
        verify_evaluation(seat.element, hashed, elements, evaluation.proof)
    except ProofsError as error:
        raise PromotionProofError(
            f"the evaluation of seat {seat.index} ({seat.member}) does not hold: {error}"
        ) from None
    return elements
