"""Committee members who pool fewer shares than the threshold test no guess."""

from __future__ import annotations

from hashlib import sha256

import pytest

from mesh.testing import TestMesh
from mesh.token import token_of_output
from proofs.oprf import (
    EvaluationProofError,
    evaluate,
    finalize,
    hash_input,
    prove_evaluation,
    verify_evaluation,
)
from proofs.ristretto import (
    Element,
    invert_scalar,
    map_to_element,
    multiply,
    multiply_base,
    multiply_sum,
    random_scalars,
    scalar,
    subtract,
)
from proofs.threshold.combining import combine
from proofs.threshold.shamir import lagrange

GUESS = sha256(b"the window that they guess").digest()


def pooled(world: TestMesh) -> tuple[dict[int, tuple[Element, ...]], int]:
    """What all but one of a threshold of seats make of the guess, and the seat that is missing."""
    *few, missing = world.committee.seats[: world.committee.threshold]
    hashed = [hash_input(GUESS)]
    return {seat.index: evaluate(world.shares[seat.member], hashed) for seat in few}, missing.index


def test_every_output_stays_possible(world: TestMesh) -> None:
    """For whatever output they suppose, the missing seat could have given what leads to it."""
    partials, missing = pooled(world)
    weights = lagrange((*partials, missing))
    had = multiply_sum([weights[index] for index in partials], [e for (e,) in partials.values()])
    tokens = set()
    for number in range(1, 21):
        supposed = map_to_element(bytes([number]) * 64)
        fitting = multiply(invert_scalar(weights[missing]), subtract(supposed, had))
        assert combine({**partials, missing: (fitting,)}) == (supposed,)
        tokens.add(token_of_output(finalize(GUESS, supposed)))
    assert len(tokens) == 20


def test_no_supposed_answer_of_the_missing_seat_verifies(world: TestMesh) -> None:
    """Only the seat itself can show which one is right: they have its public share, no proof."""
    _, missing = pooled(world)
    seat = world.committee.seat(missing)
    assert seat is not None
    hashed = [hash_input(GUESS)]
    supposed, nonce = random_scalars(b"\1" * 64, b"supposed", 2)
    answer = evaluate(supposed, hashed)
    for public in (seat.element, multiply_base(supposed)):
        proof = prove_evaluation(supposed, public, hashed, answer, nonce)
        with pytest.raises(EvaluationProofError):
            verify_evaluation(seat.element, hashed, answer, proof)


def test_what_they_combine_without_it_is_another_token(world: TestMesh) -> None:
    partials, missing = pooled(world)
    seat = world.committee.seat(missing)
    assert seat is not None
    whole = {**partials, missing: evaluate(world.shares[seat.member], [hash_input(GUESS)])}
    (right,) = combine(whole)
    assert combine(partials) != (right,)
    assert combine({**partials, missing: evaluate(scalar(1), [hash_input(GUESS)])}) != (right,)
