"""Seeded schedules: many followers of many logs, some of them dishonest, over a failing network."""

from collections.abc import Sequence
from typing import Any

import pytest

from mesh import assessment, follower
from mesh.testing import ProofChecker
from mesh.testing.simulation import InvariantError, Simulation

SEEDS = 60
PROOFS = ProofChecker()  # proofs are used again by every seed: each is verified once


def run(seed: int) -> Simulation:
    simulation = Simulation(seed, check_proofs=PROOFS)
    simulation.run()
    return simulation


@pytest.mark.parametrize("seed", range(SEEDS))
def test_honest_logs_arrive_whole_and_dishonest_ones_are_convicted(seed: int) -> None:
    run(seed)


def test_the_schedules_do_meet_what_they_are_about() -> None:
    missing = {
        *(f"fault {fault}" for fault in ("lost", "truncated", "reordered", "corrupted")),
        *(outcome.value for outcome in assessment.Outcome),
        *(f"evidence {kind}" for kind in ("fork", "split", "shrink")),
        "SegmentMismatchError",
        "checkpoint refused",
        "crashed",
        "overtaken",
        "stored",
        "suspended",
        "turned FORKS",
        "turned SHRINKS",
    }
    for seed in range(SEEDS):
        missing -= (+run(seed).met).keys()
        if not missing:
            return
    pytest.fail(f"no schedule ever met: {missing}")


def test_a_seed_is_a_run() -> None:
    assert run(7).trace == run(7).trace
    assert run(7).trace != run(8).trace


# --- the schedules find what they are meant to find -----------------------------------------------


class _AnyRoot:
    """Equal to every root."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


REAL_OFFER = follower.LogFollower.offer
REAL_SETTLE = assessment.settle


def _settle_without_verdicts(
    assessed: Sequence[assessment.Assessed], verdicts: Sequence[object], **held: Any
) -> tuple[assessment.Assessed, ...]:
    return REAL_SETTLE(assessed, [None] * len(verdicts), **held)


def _settle_without_duplicates(
    assessed: Sequence[assessment.Assessed], verdicts: Sequence[Any], **held: Any
) -> tuple[assessment.Assessed, ...]:
    return REAL_SETTLE(assessed, verdicts, **{**held, "holds_entry": lambda _: False})


def _settle_without_targets(
    assessed: Sequence[assessment.Assessed], verdicts: Sequence[Any], **held: Any
) -> tuple[assessment.Assessed, ...]:
    return REAL_SETTLE(assessed, verdicts, **{**held, "holds_signal": lambda _: True})


def _offer_as_answered(self: follower.LogFollower, note: bytes, *, pushed: bool = False) -> bool:
    return REAL_OFFER(self, note)


def _offer_forgetting(self: follower.LogFollower, note: bytes, *, pushed: bool = False) -> bool:
    return REAL_OFFER(self, note, pushed=True)


PLANTED: dict[str, tuple[object, str, object, str]] = {
    "the root is not compared": (
        follower,
        "root_from_ranges",
        lambda *_: _AnyRoot(),
        "never was",
    ),
    "proofs are not verified": (
        follower,
        "settle",
        _settle_without_verdicts,
        "did not publish",
    ),
    "promotions are not verified": (
        assessment,
        "verify_promotion",
        lambda *_: None,
        "did not publish",
    ),
    "copies count again": (
        follower,
        "settle",
        _settle_without_duplicates,
        "did not accept exactly",
    ),
    "anything can be retracted": (
        follower,
        "settle",
        _settle_without_targets,
        "did not publish",
    ),
    "an overtaken push is held against the log": (
        follower.LogFollower,
        "offer",
        _offer_as_answered,
        "for nothing",
    ),
    "a shrunk log is not noticed": (
        follower.LogFollower,
        "offer",
        _offer_forgetting,
        "saw nothing",
    ),
    "forks across sizes are not diagnosed": (
        follower.LogFollower,
        "diagnosis",
        lambda self: None,
        "saw nothing",
    ),
    "wrong bytes are taken for a fork": (
        follower,
        "forked",
        lambda *_: True,
        "for nothing",
    ),
    "a wrong body is refused for good": (
        assessment,
        "RETRYABLE",
        frozenset({"MissingBodyError"}),
        "did not accept exactly",
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found_within_a_few_seeds(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, name, planted, symptom = PLANTED[fault]
    monkeypatch.setattr(where, name, planted)
    for seed in range(SEEDS):
        try:
            run(seed)
        except InvariantError as error:
            assert symptom in str(error), str(error)  # noqa: PT017 - no error is fine until the last
            return
    pytest.fail(f"no schedule noticed: {fault}")
