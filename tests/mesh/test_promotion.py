"""A promotion can't lie about its tokens: each is recomputed from what the committee evaluated."""

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import BodyError, BodyTooLargeError, FormatError, MeshError
from mesh.genesis import Mesh
from mesh.promotion import (
    MAX_PROMOTED,
    MAX_PROMOTED_SOURCES,
    PromotedWindow,
    PromotionFormatError,
    PromotionOrderError,
    PromotionProofError,
    SeatCountError,
    UnknownSeatError,
    WrongTokenError,
    compose_promotion,
    parse_promotion,
    verify_promotion,
)
from mesh.strictjson import JSONSizeError, StrictJSONError, dumps
from mesh.testing import evaluated_scalars, make_mesh, make_promotion, open_evaluations
from mesh.testing.promotions import Evaluation
from mesh.token import token_hex
from proofs.oprf import hash_input, prove_evaluation
from proofs.ristretto import multiply, multiply_base, random_scalars, scalar

WORLD = make_mesh(5)  # five seats, three evaluate
MESH = WORLD.mesh
INPUTS = [bytes([place]) * 32 for place in (1, 2, 3)]
SOURCES = tuple(sorted(bytes([place]).hex() * 32 for place in (0xAB, 0xCD, 0xEF)))
BODY = make_promotion(WORLD, INPUTS, SOURCES)
VALUE: dict[str, Any] = json.loads(BODY)


def check(body: bytes, mesh: Mesh = MESH) -> None:
    verify_promotion(mesh, parse_promotion(body))


def windows(**changes: object) -> list[dict[str, Any]]:
    """The windows, the first of them changed."""
    first, *others = VALUE["windows"]
    return [{**first, **changes}, *others]


def evaluations(place: int = 0, **changes: object) -> list[dict[str, Any]]:
    """The evaluations, one of them changed."""
    made = [dict(each) for each in VALUE["evaluations"]]
    made[place].update(changes)
    return made


def with_fields(**fields: object) -> bytes:
    return dumps({**VALUE, **fields})


def promoted(seats: list[int] | None = None, evaluated: list[Evaluation] | None = None) -> bytes:
    """The same windows with other evaluations."""
    read = parse_promotion(BODY)
    return compose_promotion(
        read.windows, open_evaluations(WORLD, INPUTS, seats) if evaluated is None else evaluated
    )


def test_an_honest_promotion_holds() -> None:
    read = parse_promotion(BODY)
    verify_promotion(MESH, read)
    assert [window.input for window in read.windows] == [data.hex() for data in INPUTS]
    scalars = evaluated_scalars(WORLD, INPUTS)
    assert [window.token for window in read.windows] == [token_hex(x) for x in scalars]
    assert {window.sources for window in read.windows} == {SOURCES}
    assert [each.seat for each in read.evaluations] == [1, 2, 3]
    assert read.encode() == BODY


@pytest.mark.parametrize("seats", [[1, 2, 3], [3, 4, 5], [1, 3, 5], [5, 1, 2]])
def test_any_seats_give_the_same_tokens(seats: list[int]) -> None:
    check(promoted(seats))


def test_one_window_and_as_many_as_allowed() -> None:
    check(make_promotion(WORLD, INPUTS[:1], SOURCES[:1]))
    many = [bytes([place]) * 32 for place in range(MAX_PROMOTED)]
    check(make_promotion(WORLD, many, SOURCES[:1]))
    with pytest.raises(PromotionFormatError):
        make_promotion(WORLD, [*many, b"\xff" * 32], SOURCES[:1])


# --- lies


def test_a_wrong_token() -> None:
    other = token_hex(evaluated_scalars(WORLD, [bytes(32)])[0])
    second = VALUE["windows"][1]["token"]
    for token in (other, second, "00" * 32, "ff" * 32):
        with pytest.raises(WrongTokenError, match=VALUE["windows"][0]["input"][:16]):
            check(with_fields(windows=windows(token=token)))
    last = [*VALUE["windows"][:2], {**VALUE["windows"][2], "token": other}]
    with pytest.raises(WrongTokenError):
        check(with_fields(windows=last))


def test_the_token_of_another_input() -> None:
    """A harmless window is passed off as the attack: its evaluations are not the attack's."""
    with pytest.raises(PromotionProofError, match="seat 1"):
        check(with_fields(windows=windows(input="00" * 32)))


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_other_than_exactly_as_many_seats_as_it_takes(count: int) -> None:
    with pytest.raises(SeatCountError):
        check(promoted(list(range(1, count + 1))))


def test_a_seat_that_there_is_not() -> None:
    with pytest.raises(UnknownSeatError, match="seat 6"):
        check(with_fields(evaluations=evaluations(2, seat=6)))


def test_an_evaluation_under_another_seats_name() -> None:
    with pytest.raises(PromotionProofError, match="seat 4"):
        check(with_fields(evaluations=evaluations(2, seat=4)))
    first, second, third = VALUE["evaluations"]
    swapped = [{**second, "seat": 1}, {**first, "seat": 2}, third]
    with pytest.raises(PromotionProofError, match="seat 1"):
        check(with_fields(evaluations=swapped))


def test_a_proof_of_another_batch() -> None:
    for others in (INPUTS[:2], [*INPUTS[:2], bytes(32)], INPUTS[::-1]):
        (_, _, proof), *_ = open_evaluations(WORLD, others)
        with pytest.raises(PromotionProofError, match="seat 1"):
            check(with_fields(evaluations=evaluations(proof=b64encode(proof).decode())))


def test_a_proof_of_another_seat_or_none() -> None:
    for proof in (VALUE["evaluations"][1]["proof"], b64encode(bytes(64)).decode()):
        with pytest.raises(PromotionProofError):
            check(with_fields(evaluations=evaluations(proof=proof)))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_every_seats_proof_is_verified(place: int) -> None:
    proof = bytearray(b64decode(VALUE["evaluations"][place]["proof"]))
    proof[40] ^= 1
    with pytest.raises(PromotionProofError, match=f"seat {place + 1}"):
        check(with_fields(evaluations=evaluations(place, proof=b64encode(proof).decode())))


def test_evaluations_with_a_key_of_ones_own() -> None:
    """A member proves, rightly, that it used some other key; or shifts elements between seats."""
    hashed = [hash_input(data) for data in INPUTS]
    key, nonce = random_scalars(bytes(32), b"own", 2)
    evaluated = tuple(multiply(key, element) for element in hashed)
    proof = prove_evaluation(key, multiply_base(key), hashed, evaluated, nonce)
    honest = open_evaluations(WORLD, INPUTS)
    with pytest.raises(PromotionProofError, match="seat 1"):
        check(promoted(evaluated=[(1, evaluated, proof), *honest[1:]]))


def test_elements_that_are_changed_or_none() -> None:
    elements = VALUE["evaluations"][0]["elements"]
    twice = multiply(scalar(2), open_evaluations(WORLD, INPUTS)[0][1][0])
    for bad in (bytes(32), b"\xff" * 32, twice):
        changed = [b64encode(bad).decode(), *elements[1:]]
        with pytest.raises(PromotionProofError, match="seat 1"):
            check(with_fields(evaluations=evaluations(elements=changed)))
    with pytest.raises(PromotionProofError, match="seat 1"):
        check(with_fields(evaluations=evaluations(elements=elements[::-1])))


def test_a_promotion_of_another_meshs_committee() -> None:
    with pytest.raises(PromotionProofError):
        check(BODY, make_mesh(5, seed=1).mesh)
    with pytest.raises(SeatCountError):
        check(BODY, make_mesh(3).mesh)


# --- reading


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (with_fields(extra=1), PromotionFormatError),
        (dumps({"windows": VALUE["windows"]}), PromotionFormatError),
        (dumps({"evaluations": VALUE["evaluations"]}), PromotionFormatError),
        (with_fields(windows=[]), PromotionFormatError),
        (with_fields(evaluations=[]), PromotionFormatError),
        (with_fields(windows=VALUE["windows"][::-1]), PromotionOrderError),
        (with_fields(windows=[VALUE["windows"][0]] * 3), PromotionOrderError),
        (with_fields(windows=VALUE["windows"][:2]), PromotionFormatError),
        (with_fields(windows=windows(sources=[])), PromotionFormatError),
        (with_fields(windows=windows(sources=[SOURCES[0]] * 2)), PromotionOrderError),
        (with_fields(windows=windows(sources=SOURCES[::-1])), PromotionOrderError),
        (
            with_fields(windows=windows(sources=[f"{i:064x}" for i in range(33)])),
            PromotionFormatError,
        ),
        (with_fields(windows=windows(sources=["ab"])), PromotionFormatError),
        (with_fields(windows=windows(input="AB" * 32)), PromotionFormatError),
        (with_fields(windows=windows(token=None)), PromotionFormatError),
        (with_fields(windows=windows(extra=1)), PromotionFormatError),
        (with_fields(evaluations=VALUE["evaluations"][::-1]), PromotionOrderError),
        (with_fields(evaluations=[VALUE["evaluations"][0]] * 3), PromotionOrderError),
        (with_fields(evaluations=evaluations(1, seat=1)), PromotionOrderError),
        (with_fields(evaluations=evaluations(seat=0)), PromotionFormatError),
        (with_fields(evaluations=evaluations(2, seat=256)), PromotionFormatError),
        (with_fields(evaluations=evaluations(seat="1")), PromotionFormatError),
        (with_fields(evaluations=evaluations(seat=True)), PromotionFormatError),
        (with_fields(evaluations=evaluations(elements=[])), PromotionFormatError),
        (
            with_fields(evaluations=evaluations(elements=VALUE["evaluations"][0]["elements"][:2])),
            PromotionFormatError,
        ),
        (with_fields(evaluations=evaluations(elements=["AAAA"] * 3)), PromotionFormatError),
        (with_fields(evaluations=evaluations(elements=["!"] * 3)), FormatError),
        (with_fields(evaluations=evaluations(proof="AAAA")), PromotionFormatError),
        (with_fields(evaluations=evaluations(extra=1)), PromotionFormatError),
        (b"[]", PromotionFormatError),
        (b"", StrictJSONError),
    ],
)
def test_refused(body: bytes, error: type[MeshError]) -> None:
    with pytest.raises(error):
        parse_promotion(body)


def test_ten_seats_are_no_committee() -> None:
    ten = [{**VALUE["evaluations"][0], "seat": seat} for seat in range(1, 11)]
    with pytest.raises(PromotionFormatError):
        parse_promotion(with_fields(evaluations=ten))


def test_size_limits() -> None:
    with pytest.raises(JSONSizeError):
        parse_promotion(BODY, len(BODY) - 1)
    assert parse_promotion(BODY, len(BODY))
    read, honest = parse_promotion(BODY), open_evaluations(WORLD, INPUTS)
    assert compose_promotion(read.windows, honest, len(BODY)) == BODY
    with pytest.raises(BodyTooLargeError):
        compose_promotion(read.windows, honest, len(BODY) - 1)


def test_what_is_composed_is_checked_and_its_seats_are_sorted() -> None:
    read, honest = parse_promotion(BODY), open_evaluations(WORLD, INPUTS)
    assert compose_promotion(read.windows, honest[::-1]) == BODY
    with pytest.raises(PromotionOrderError):
        compose_promotion(read.windows[::-1], honest)
    with pytest.raises(PromotionOrderError):
        compose_promotion(read.windows, honest[:1] * 3)
    with pytest.raises(PromotionFormatError):
        compose_promotion(read.windows[:2], honest)
    most = tuple(f"{place:064x}" for place in range(MAX_PROMOTED_SOURCES))
    assert PromotedWindow(input="ab" * 32, token="cd" * 32, sources=most).sources == most
    assert issubclass(PromotionFormatError, BodyError)


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.sampled_from(["ab" * 32, "", "AAAA"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["windows", "input", "seat", "elements"]), inner),
))  # fmt: skip
def test_any_value_in_any_place_is_read_or_refused_by_name(value: Any) -> None:
    for body in (
        *(with_fields(**{field: value}) for field in VALUE),
        *(with_fields(windows=windows(**{field: value})) for field in VALUE["windows"][0]),
        *(
            with_fields(evaluations=evaluations(**{field: value}))
            for field in VALUE["evaluations"][0]
        ),
    ):
        try:
            check(body)
        except MeshError:
            continue
        assert body == BODY or json.loads(body)["windows"][0]["sources"] == value
