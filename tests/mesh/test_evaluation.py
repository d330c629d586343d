"""Requests and answers of the committee: what is refused by name, and what convicts a seat."""

from collections.abc import Sequence
from typing import Any

import pytest

from mesh import strictjson
from mesh.committee import Seat
from mesh.days import Day, DayFormatError
from mesh.document import document_text
from mesh.errors import MeshError
from mesh.evaluation import (
    BATCH,
    MAX_EVALUATION_NOTE,
    AnswerFormatError,
    EvaluationRequest,
    EvaluationRequestError,
    EvaluationRequestFormatError,
    ForeignRequestError,
    NoMisconductError,
    RepeatedElementError,
    ReplayedAnswerError,
    RequestDayError,
    RequestElementError,
    SeatError,
    UnknownAskerError,
    WrongEvaluationError,
    compose_answer,
    compose_request,
    open_answer,
    open_request,
    request_digest,
    verify_misconduct,
)
from mesh.genesis import open_genesis
from mesh.strictjson import StrictJSONError
from mesh.testing import found, founders, make_mesh
from mesh.token import token_of_output
from proofs.note import (
    BadSignatureError,
    NoteFormatError,
    Signer,
    UnsignedNoteError,
    add_signatures,
    encode_base64,
    parse_note,
    sign_note,
)
from proofs.oprf import (
    blind_input,
    evaluate,
    finalize,
    hash_input,
    prove_evaluation,
    verify_evaluation,
)
from proofs.ristretto import (
    Element,
    Scalar,
    multiply,
    multiply_base,
    random_scalars,
    scalar,
)
from proofs.threshold.combining import combine
from proofs.threshold.shamir import recover

DAY = Day(20_000)
WORLD = make_mesh(4)
MESH = WORLD.mesh
ASKER = WORLD.member(0).identity
OTHER = WORLD.member(3).identity
SERVER = WORLD.member(1)
SHARE = WORLD.shares[SERVER.name]
STRANGER = Signer("stranger.example", bytes(32))
NONCE = bytes(range(32))
PROOF_NONCE = random_scalars(bytes(32), b"proof nonce", 1)[0]
INPUTS = [bytes([place]) * 32 for place in range(BATCH)]
BLINDS = random_scalars(bytes(32), b"blinds", BATCH)
ELEMENTS = [blind_input(data, blind) for data, blind in zip(INPUTS, BLINDS, strict=True)]


def seat_of(name: str) -> Seat:
    seat = MESH.constraints.committee.seat_of(name)
    assert seat is not None
    return seat


SEAT = seat_of(SERVER.name)
REQUEST = compose_request(MESH, ASKER, ELEMENTS, NONCE, DAY)
OPENED = open_request(MESH, REQUEST, DAY, 1)
ANSWER = compose_answer(MESH, SERVER.identity, SHARE, OPENED, PROOF_NONCE)


def value_of(note: bytes) -> dict[str, Any]:
    value: dict[str, Any] = strictjson.loads(parse_note(note).text.split("\n")[1].encode())
    return value


def request_with(signer: Signer = ASKER, drop: str = "", **changes: object) -> bytes:
    value = {key: held for key, held in (value_of(REQUEST) | changes).items() if key != drop}
    return sign_note(document_text("evaluation-request", value), (signer,))


def answer_with(signer: Signer = SERVER.identity, drop: str = "", **changes: object) -> bytes:
    value = {key: held for key, held in (value_of(ANSWER) | changes).items() if key != drop}
    return sign_note(document_text("evaluation-answer", value), (signer,))


def texts(elements: Sequence[bytes]) -> list[str]:
    return [encode_base64(element) for element in elements]


def opened(note: bytes) -> EvaluationRequest:
    return open_request(MESH, note, DAY, 1)


# The whole way


def test_t_seats_give_what_the_whole_key_gives() -> None:
    key = recover(
        dict(
            list({seat_of(name).index: share for name, share in WORLD.shares.items()}.items())[
                : MESH.constraints.committee.threshold
            ]
        )
    )
    assert multiply_base(key).hex() == MESH.constraints.committee.public_key
    partials = {}
    for seat in MESH.constraints.committee.seats[1:]:
        signer, share = WORLD.member(seat.member).identity, WORLD.shares[seat.member]
        answer = compose_answer(MESH, signer, share, OPENED, PROOF_NONCE)
        checked = open_answer(MESH, REQUEST, seat, answer)
        assert checked.seat == seat.index
        partials[checked.seat] = checked.elements
    assert len(partials) == MESH.constraints.committee.threshold
    for data, element in zip(INPUTS, combine(partials, BLINDS), strict=True):
        assert element == multiply(key, hash_input(data))
        assert len(token_of_output(finalize(data, element))) == 64


def test_a_request_says_what_it_was_made_of() -> None:
    assert EvaluationRequest(ASKER.name, tuple(ELEMENTS), request_digest(REQUEST), DAY) == OPENED
    assert REQUEST.startswith(b"signal-mesh/v1/evaluation-request\n{")
    assert ANSWER.startswith(b"signal-mesh/v1/evaluation-answer\n{")
    assert max(len(REQUEST), len(ANSWER)) + 300 < MAX_EVALUATION_NOTE


def test_the_longest_names_fit() -> None:
    name = f"{'x' * 63}.{'y' * 33}.zz"
    note = request_with(Signer(name, bytes(32)), asker=name, version=2**53 - 1)
    assert len(name) == 100
    assert len(note) <= MAX_EVALUATION_NOTE


# Requests


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH + 1])
def test_a_request_has_exactly_32_elements(count: int) -> None:
    elements = [multiply_base(scalar(place)) for place in range(1, count + 1)]
    with pytest.raises(EvaluationRequestFormatError):
        compose_request(MESH, ASKER, elements, NONCE, DAY)
    with pytest.raises(EvaluationRequestFormatError):
        opened(request_with(elements=texts(elements)))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_nonce_has_32_bytes(size: int) -> None:
    with pytest.raises(EvaluationRequestFormatError):
        compose_request(MESH, ASKER, ELEMENTS, bytes(size), DAY)
    with pytest.raises(EvaluationRequestFormatError):
        opened(request_with(nonce=encode_base64(bytes(size))))


@pytest.mark.parametrize("bad", [b"", bytes(32), b"\xff" * 32, bytes(ELEMENTS[0]) + b"\0"])
def test_what_is_no_element_is_refused_on_both_sides(bad: bytes) -> None:
    elements = [*ELEMENTS[:-1], Element(bad)]
    with pytest.raises(RequestElementError):
        compose_request(MESH, ASKER, elements, NONCE, DAY)
    with pytest.raises(RequestElementError):
        opened(request_with(elements=texts(elements)))


def test_a_repeated_element_is_refused_on_both_sides() -> None:
    elements = [*ELEMENTS[:-1], ELEMENTS[0]]
    with pytest.raises(RepeatedElementError):
        compose_request(MESH, ASKER, elements, NONCE, DAY)
    with pytest.raises(RepeatedElementError):
        opened(request_with(elements=texts(elements)))


@pytest.mark.parametrize("shift", [-3, -2, -1, 0, 1, 2, 3])
@pytest.mark.parametrize("skew", [0, 1, 2])
def test_a_request_is_of_today_more_or_less(shift: int, skew: int) -> None:
    today = Day(DAY + shift)
    if abs(shift) <= skew:
        assert open_request(MESH, REQUEST, today, skew).day == DAY
    else:
        with pytest.raises(RequestDayError):
            open_request(MESH, REQUEST, today, skew)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"mesh": "0" * 64}, ForeignRequestError),
        ({"version": 1}, ForeignRequestError),
        ({"committee": "0" * 64}, ForeignRequestError),
        ({"asker": OTHER.name}, UnknownAskerError),
        ({"asker": "stranger.example"}, UnknownAskerError),
        ({"day": "2024-13-01"}, DayFormatError),
        ({"day": 20_000}, EvaluationRequestFormatError),
        ({"version": True}, EvaluationRequestFormatError),
        ({"mesh": "A" * 64}, EvaluationRequestFormatError),
        ({"committee": 1}, EvaluationRequestFormatError),
        ({"asker": None}, EvaluationRequestFormatError),
        ({"open": 0}, EvaluationRequestFormatError),
        ({"open": "true"}, EvaluationRequestFormatError),
        ({"elements": "x"}, EvaluationRequestFormatError),
        ({"elements": [1] * BATCH}, EvaluationRequestFormatError),
        ({"more": 1}, EvaluationRequestFormatError),
    ],
)
def test_other_fields_are_refused(change: dict[str, object], error: type[MeshError]) -> None:
    with pytest.raises(error):
        opened(request_with(**change))
    if "more" not in change:
        (name,) = change
        with pytest.raises(EvaluationRequestFormatError):
            opened(request_with(drop=name))


def test_who_signs_a_request() -> None:
    impostor = Signer(ASKER.name, bytes(32))
    for signer in (STRANGER, impostor, WORLD.member(0).card_witness):
        with pytest.raises(UnknownAskerError):
            compose_request(MESH, signer, ELEMENTS, NONCE, DAY)
    with pytest.raises(UnknownAskerError, match="nobody"):
        opened(request_with(STRANGER, asker=STRANGER.name))
    for signer in (impostor, WORLD.member(0).card_witness):
        with pytest.raises(UnsignedNoteError):
            opened(request_with(signer))
    with pytest.raises(UnknownAskerError, match="another asker"):
        opened(request_with(OTHER))
    with pytest.raises(BadSignatureError):
        opened(REQUEST.replace(b'"version":0', b'"version":1'))


def test_a_request_has_one_text_and_one_signature() -> None:
    text = parse_note(REQUEST).text
    for other in (text.replace('"version":0', '"version": 0'), text.replace("/", "\\/")):
        assert other != text
        with pytest.raises(MeshError):
            opened(sign_note(other, (ASKER,)))
    with pytest.raises(EvaluationRequestFormatError, match="canonical"):
        opened(sign_note(text.replace('"version":0', '"version": 0'), (ASKER,)))
    with pytest.raises(EvaluationRequestFormatError, match="one signature"):
        opened(add_signatures(REQUEST, (OTHER,)))
    with pytest.raises(EvaluationRequestFormatError, match="one signature"):
        opened(REQUEST + REQUEST.splitlines(keepends=True)[-1])


def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(EvaluationRequestFormatError, match="at most"):
        opened(REQUEST + b" " * MAX_EVALUATION_NOTE)
    with pytest.raises(NoteFormatError):
        opened(b"hello")
    with pytest.raises(EvaluationRequestFormatError, match="first line"):
        opened(ANSWER)
    with pytest.raises(EvaluationRequestFormatError):
        opened(sign_note("signal-mesh/v1/evaluation-request\n[]\n", (ASKER,)))
    with pytest.raises(StrictJSONError):
        opened(sign_note("signal-mesh/v1/evaluation-request\n{1}\n", (ASKER,)))


# Open requests


@pytest.mark.parametrize("count", [1, 5, BATCH])
def test_an_open_request_is_answered_for_exactly_its_elements(count: int) -> None:
    elements = [hash_input(data) for data in INPUTS[:count]]
    note = compose_request(MESH, ASKER, elements, NONCE, DAY, public=True)
    request = opened(note)
    assert request.open
    assert not OPENED.open
    assert request.elements == tuple(elements)
    answer = compose_answer(MESH, SERVER.identity, SHARE, request, PROOF_NONCE)
    checked = open_answer(MESH, note, SEAT, answer)
    assert checked.elements == evaluate(SHARE, elements)
    # The proof stands by itself, which is what it is published for.
    verify_evaluation(SEAT.element, elements, checked.elements, checked.proof)


@pytest.mark.parametrize("count", [0, BATCH + 1])
def test_an_open_request_has_1_to_32_elements(count: int) -> None:
    elements = [multiply_base(scalar(place)) for place in range(1, count + 1)]
    with pytest.raises(EvaluationRequestFormatError):
        compose_request(MESH, ASKER, elements, NONCE, DAY, public=True)
    with pytest.raises(EvaluationRequestFormatError):
        opened(request_with(open=True, elements=texts(elements)))


def test_an_answer_for_too_few_elements_of_an_open_request_convicts() -> None:
    elements = [hash_input(data) for data in INPUTS[:3]]
    note = compose_request(MESH, ASKER, elements, NONCE, DAY, public=True)
    fewer = EvaluationRequest(ASKER.name, tuple(elements[:2]), request_digest(note), DAY, True)
    answer = compose_answer(MESH, SERVER.identity, SHARE, fewer, PROOF_NONCE)
    with pytest.raises(WrongEvaluationError):
        open_answer(MESH, note, SEAT, answer)


# Composing answers


def test_only_a_seat_answers_and_only_with_its_own_share() -> None:
    with pytest.raises(SeatError, match="not the share"):
        compose_answer(MESH, SERVER.identity, scalar(5), OPENED, PROOF_NONCE)
    with pytest.raises(SeatError, match="not the share"):
        compose_answer(MESH, OTHER, SHARE, OPENED, PROOF_NONCE)
    with pytest.raises(SeatError, match="no member"):
        compose_answer(MESH, STRANGER, SHARE, OPENED, PROOF_NONCE)
    with pytest.raises(SeatError, match="identity key"):
        compose_answer(MESH, SERVER.witness, SHARE, OPENED, PROOF_NONCE)


def test_a_member_without_a_seat_asks_but_does_not_answer() -> None:
    names = [member.name for member in founders(4)]
    world = found(founders(4), seats=names[:3])
    last = world.member(3)
    note = compose_request(world.mesh, last.identity, ELEMENTS, NONCE, DAY)
    request = open_request(world.mesh, note, DAY, 1)
    with pytest.raises(SeatError, match="no seat"):
        compose_answer(world.mesh, last.identity, SHARE, request, PROOF_NONCE)
    first = world.member(0)
    answer = compose_answer(
        world.mesh, first.identity, world.shares[first.name], request, PROOF_NONCE
    )
    seat = world.mesh.constraints.committee.seat_of(first.name)
    assert seat is not None
    assert open_answer(world.mesh, note, seat, answer).seat == seat.index
    forged = sign_note(parse_note(answer).text, (last.identity,))
    with pytest.raises(NoMisconductError, match="nobody who has a seat"):
        verify_misconduct(world.mesh, note, forged)


def test_a_repeated_nonce_does_not_repeat_in_the_proof() -> None:
    other = compose_request(MESH, ASKER, ELEMENTS, bytes(32), DAY)
    second = compose_answer(MESH, SERVER.identity, SHARE, opened(other), PROOF_NONCE)
    assert value_of(second)["elements"] == value_of(ANSWER)["elements"]
    assert value_of(second)["proof"] != value_of(ANSWER)["proof"]
    plain = prove_evaluation(SHARE, SEAT.element, ELEMENTS, evaluate(SHARE, ELEMENTS), PROOF_NONCE)
    assert value_of(ANSWER)["proof"] != encode_base64(plain)
    again = compose_answer(MESH, SERVER.identity, SHARE, OPENED, PROOF_NONCE)
    assert again == ANSWER
    fresh = compose_answer(MESH, SERVER.identity, SHARE, OPENED, scalar(9))
    assert fresh != ANSWER


# Answers


def test_an_answer_to_another_request_is_refused_before_its_fields() -> None:
    other = compose_request(MESH, ASKER, ELEMENTS, bytes(32), DAY)
    resigned = compose_request(MESH, OTHER, ELEMENTS, NONCE, DAY)
    for note in (other, resigned):
        with pytest.raises(ReplayedAnswerError):
            open_answer(MESH, note, SEAT, ANSWER)
    for note in (answer_with(drop="request"), answer_with(request="0" * 64, elements=[])):
        with pytest.raises(ReplayedAnswerError):
            open_answer(MESH, REQUEST, SEAT, note)
    with pytest.raises(ReplayedAnswerError):
        open_answer(
            MESH,
            REQUEST,
            SEAT,
            sign_note("signal-mesh/v1/evaluation-answer\n[]\n", (SERVER.identity,)),
        )


def test_the_signature_is_looked_at_first() -> None:
    for signer in (OTHER, SERVER.card_witness, Signer(SERVER.name, bytes(32))):
        with pytest.raises(UnsignedNoteError):
            open_answer(MESH, REQUEST, SEAT, answer_with(signer, request="0" * 64))
    bent = ANSWER.replace(b'"seat":2', b'"seat":3')
    assert bent != ANSWER
    with pytest.raises(BadSignatureError):
        open_answer(MESH, REQUEST, SEAT, bent)


def test_one_seat_s_answer_is_not_another_s() -> None:
    other = seat_of(OTHER.name)
    with pytest.raises(UnsignedNoteError):
        open_answer(MESH, REQUEST, other, ANSWER)
    with pytest.raises(AnswerFormatError, match="not an answer of seat"):
        open_answer(MESH, REQUEST, other, answer_with(OTHER))
    with pytest.raises(AnswerFormatError, match="not an answer of seat"):
        open_answer(MESH, REQUEST, SEAT, answer_with(seat=other.index))
    with pytest.raises(AnswerFormatError, match="of this mesh"):
        open_answer(MESH, REQUEST, SEAT, answer_with(mesh="0" * 64))


@pytest.mark.parametrize(
    "change",
    [
        {"elements": []},
        {"elements": texts([*ELEMENTS, multiply_base(scalar(5))])},
        {"elements": texts([*ELEMENTS[:-1], Element(bytes(31))])},
        {"elements": [1] * BATCH},
        {"proof": encode_base64(bytes(63))},
        {"proof": encode_base64(bytes(65))},
        {"proof": "?"},
        {"seat": True},
        {"seat": "2"},
        {"mesh": 1},
        {"more": 1},
    ],
)
def test_an_answer_of_another_form_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(MeshError) as refused:
        open_answer(MESH, REQUEST, SEAT, answer_with(**change))
    assert not isinstance(refused.value, WrongEvaluationError | ReplayedAnswerError)
    if "more" not in change:
        with pytest.raises(AnswerFormatError):
            open_answer(MESH, REQUEST, SEAT, answer_with(drop=next(iter(change))))


def test_an_answer_has_one_text_and_one_signature() -> None:
    spaced = parse_note(ANSWER).text.replace('"seat":2', '"seat": 2')
    with pytest.raises(AnswerFormatError, match="canonical"):
        open_answer(MESH, REQUEST, SEAT, sign_note(spaced, (SERVER.identity,)))
    with pytest.raises(AnswerFormatError, match="one signature"):
        open_answer(MESH, REQUEST, SEAT, add_signatures(ANSWER, (OTHER,)))
    with pytest.raises(AnswerFormatError, match="one signature"):
        open_answer(MESH, REQUEST, SEAT, ANSWER + ANSWER.splitlines(keepends=True)[-1])
    with pytest.raises(AnswerFormatError, match="over"):
        open_answer(MESH, REQUEST, SEAT, ANSWER + b" " * MAX_EVALUATION_NOTE)
    with pytest.raises(AnswerFormatError, match="first line"):
        open_answer(MESH, REQUEST, SEAT, sign_note("x\n{}\n", (SERVER.identity,)))


# Misconduct


def lie_with(key: Scalar, elements: Sequence[Element]) -> bytes:
    """What a seat that lies would sign at best: a proof for the key that it really used."""
    evaluated = evaluate(key, elements)
    proof = prove_evaluation(key, SEAT.element, ELEMENTS, evaluated, PROOF_NONCE)
    return answer_with(elements=texts(evaluated), proof=encode_base64(proof))


RIGHT = evaluate(SHARE, ELEMENTS)
LIES = {
    "another key": lie_with(scalar(77), ELEMENTS),
    "other elements": lie_with(SHARE, ELEMENTS[::-1]),
    "one element": answer_with(elements=texts([*RIGHT[:-1], multiply_base(scalar(5))])),
    "two elements swapped": answer_with(elements=texts([RIGHT[1], RIGHT[0], *RIGHT[2:]])),
    "the request sent back": answer_with(elements=texts(ELEMENTS)),
    "one element left out": answer_with(elements=texts(RIGHT[:-1])),
    "the identity": answer_with(elements=texts([*RIGHT[:-1], bytes(32)])),
    "no element": answer_with(elements=texts([*RIGHT[:-1], b"\xff" * 32])),
    "a bent proof": answer_with(proof=encode_base64(bytes([1]) + bytes(63))),
    "a proof over the order": answer_with(proof=encode_base64(b"\xff" * 64)),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_signed_wrong_evaluation_convicts(lie: bytes) -> None:
    with pytest.raises(WrongEvaluationError) as wrong:
        open_answer(MESH, REQUEST, SEAT, lie)
    caught = wrong.value
    assert (caught.member, caught.seat) == (SERVER.name, SEAT.index)
    assert (caught.request, caught.answer) == (REQUEST, lie)
    assert SERVER.name in str(caught)
    assert verify_misconduct(MESH, caught.request, caught.answer) == SERVER.name


def test_misconduct_is_for_ever_and_for_everybody() -> None:
    # No day is asked for, and only public things are: a mesh read anew from its genesis will do.
    reader = open_genesis(MESH.note)
    assert verify_misconduct(reader, REQUEST, LIES["another key"]) == SERVER.name


def test_a_right_answer_convicts_nobody() -> None:
    with pytest.raises(NoMisconductError, match="is right"):
        verify_misconduct(MESH, REQUEST, ANSWER)


def test_nobody_is_framed() -> None:
    lie = LIES["another key"]
    other = compose_request(MESH, ASKER, ELEMENTS, bytes(32), DAY)
    # A right answer beside another request.
    with pytest.raises(ReplayedAnswerError):
        verify_misconduct(MESH, other, ANSWER)
    # A wrong answer that the accused did not sign, or whose text was changed.
    text = parse_note(lie).text
    with pytest.raises(UnsignedNoteError):
        verify_misconduct(MESH, REQUEST, sign_note(text, (Signer(SERVER.name, bytes(32)),)))
    with pytest.raises(BadSignatureError):
        verify_misconduct(MESH, REQUEST, ANSWER.replace(b'"seat":2', b'"seat":1'))
    # Signed by another seat in the accused's name.
    with pytest.raises(AnswerFormatError, match="not an answer of seat"):
        verify_misconduct(MESH, REQUEST, answer_with(OTHER))
    # Signed by nobody with a seat.
    with pytest.raises(NoMisconductError, match="nobody"):
        verify_misconduct(MESH, REQUEST, sign_note(text, (STRANGER,)))
    # A right answer given in another mesh, where the same keys hold another share.
    elsewhere = found(founders(4), name="another mesh").mesh
    with pytest.raises(MeshError) as refused:
        verify_misconduct(elsewhere, REQUEST, ANSWER)
    assert not isinstance(refused.value, WrongEvaluationError)


def test_a_request_that_does_not_hold_convicts_nobody() -> None:
    # An honest seat refuses it; a signed answer to it may say anything.
    bad = request_with(mesh="0" * 64)
    with pytest.raises(EvaluationRequestError):
        verify_misconduct(
            MESH, bad, answer_with(request=request_digest(bad), elements=texts(ELEMENTS))
        )


def test_secrets_stay_out_of_errors_and_reprs() -> None:
    with pytest.raises(SeatError) as refused:
        compose_answer(MESH, OTHER, SHARE, OPENED, PROOF_NONCE)
    for text in (str(refused.value), repr(refused.value), repr(OPENED)):
        assert SHARE.hex() not in text
        assert repr(SHARE) not in text
