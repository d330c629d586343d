"""Warnings about warnings get weaker, whoever passes them on."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.constraints import Constraints
from mesh.dampening import (
    DampenedAwayError,
    DampeningError,
    OverconfidentError,
    ceiling,
    check_derived,
    dampened,
    dampened_confidence,
)
from mesh.errors import BodyError
from mesh.testing import make_mesh

PARENT = "ab" * 32


@dataclass(frozen=True)
class Claim:
    """What is looked at in a signal."""

    confidence: int
    derived_from: str | None = PARENT


def rules(percent: int = 80, floor: int = 50) -> Constraints:
    constraints = make_mesh(4).mesh.constraints
    return constraints.model_copy(update={"dampening_percent": percent, "dampening_floor": floor})


@pytest.mark.parametrize(
    ("parent", "allowed"),
    [(100, 80), (99, 79), (80, 64), (64, 51), (63, 50), (62, None), (1, None), (0, None)],
)
def test_a_derived_signal_has_four_fifths_of_its_parent_s_confidence(
    parent: int, allowed: int | None
) -> None:
    assert dampened(rules(), parent) == allowed
    assert ceiling(rules(), parent) == (parent * 4 // 5 if allowed is None else allowed)
    if allowed is None:
        with pytest.raises(DampenedAwayError, match="not passed on"):
            dampened_confidence(rules(), parent)
    else:
        assert dampened_confidence(rules(), parent) == allowed


@given(st.integers(0, 100), st.integers(1, 80), st.integers(50, 100))
def test_it_is_always_weaker_and_never_more_likely_wrong_than_right(
    parent: int, percent: int, floor: int
) -> None:
    allowed = dampened(rules(percent, floor), parent)
    if allowed is None:
        assert parent * percent < floor * 100
    else:
        assert floor <= allowed < parent
        assert allowed * 100 <= parent * percent


@given(st.integers(1, 80), st.integers(50, 100))
def test_a_chain_of_warnings_ends(percent: int, floor: int) -> None:
    confidence: int | None = 100
    for _ in range(3):
        if confidence is not None:
            confidence = dampened(rules(percent, floor), confidence)
    assert confidence is None or dampened(rules(percent, floor), confidence) is None


def test_a_claim_is_held_against_its_parent() -> None:
    for confidence in (50, 63, 64):
        check_derived(rules(), Claim(confidence), 80)
    with pytest.raises(OverconfidentError, match="80 % of its parent's is 64 %"):
        check_derived(rules(), Claim(65), 80)
    with pytest.raises(DampenedAwayError):
        check_derived(rules(), Claim(49), 80)
    # A parent too weak to be passed on allows nothing, not even the floor.
    for weak in (62, 0):
        with pytest.raises(DampenedAwayError):
            check_derived(rules(), Claim(50), weak)


def test_without_the_parent_only_what_holds_for_every_parent_is_checked() -> None:
    for confidence in (50, 80):
        check_derived(rules(), Claim(confidence))
    with pytest.raises(OverconfidentError):
        check_derived(rules(), Claim(81))
    with pytest.raises(DampenedAwayError):
        check_derived(rules(), Claim(49))
    check_derived(rules(floor=60), Claim(60))
    with pytest.raises(DampenedAwayError):
        check_derived(rules(floor=60), Claim(59))
    with pytest.raises(OverconfidentError):
        check_derived(rules(percent=70), Claim(71))


def test_a_direct_signal_claims_what_it_likes() -> None:
    for confidence in (0, 49, 100):
        for parent in (None, 10):
            check_derived(rules(), Claim(confidence, None), parent)


def test_the_errors_are_bodies_errors() -> None:
    for error in (DampenedAwayError, OverconfidentError):
        assert issubclass(error, DampeningError)
        assert issubclass(error, BodyError)
