"""Seeded schedules: many followers of many logs, some of them dishonest, over a failing network."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import pytest

from mesh import assessment, diagnosis, follower, outcome
from mesh.evidence import Evidence, EvidenceKind
from mesh.testing import Faults, ProofChecker
from mesh.testing.simulation import InvariantError, Simulation
from mesh.wire import ERASED

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
        *(f"fault {field.name}" for field in fields(Faults)),
        *(outcome.value for outcome in assessment.Outcome),
        *(f"evidence {kind}" for kind in EvidenceKind),
        "SegmentMismatchError",
        "checkpoint refused",
        "crashed",
        "overtaken",
        "stored",
        "suspended",
        "turned FORKS",
        "turned BEHIND",
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


class _Forgetful:
    """A history that answers one question as if nothing had been stored."""

    def __init__(self, history: object, question: str, answer: object) -> None:
        self._history = history
        self._question = question
        self._answer = answer

    def __getattr__(self, name: str) -> object:
        if name == self._question:
            return lambda *_: self._answer
        return getattr(self._history, name)


def _settle_without_verdicts(
    assessed: Sequence[assessment.Assessed], verdicts: Sequence[object], **given: Any
) -> tuple[assessment.Assessed, ...]:
    return REAL_SETTLE(assessed, [None] * len(verdicts), **given)


def _settle_asking(question: str, answer: object) -> Callable[..., tuple[object, ...]]:
    def settle(*args: Any, history: object, **given: Any) -> tuple[assessment.Assessed, ...]:
        history = _Forgetful(history, question, answer)
        return REAL_SETTLE(*args, history=history, **given)  # type: ignore[arg-type]

    return settle


def _offer_holding_age_against_it(self: follower.LogFollower, note: bytes) -> bool:
    newest = self._known.newest
    following = REAL_OFFER(self, note)
    signed = follower.open_signed(self.member.name, self._key, note)
    if newest is not None and signed.size < newest.size:
        kind = EvidenceKind.SPLIT
        self._convict(Evidence(kind, self.member.name, newest.note, signed.note))
    return following


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
    "evidence is not verified": (
        assessment,
        "verify_evidence",
        lambda *_: None,
        "did not publish",
    ),
    "copies count again": (
        follower,
        "settle",
        _settle_asking("holds_entry", False),
        "did not accept exactly",
    ),
    "anything can be retracted": (
        follower,
        "settle",
        _settle_asking("signal_expires", 0),
        "did not publish",
    ),
    "days may fall": (
        follower,
        "settle",
        _settle_asking("last_day", None),
        "did not publish",
    ),
    "an author accuses as often as it likes": (
        follower,
        "settle",
        _settle_asking("accuses", None),
        "did not publish",
    ),
    "whoever serves a log is believed that bodies were erased": (
        assessment._Run,
        "believe",
        lambda self, entry: assessment.lapse(entry) if entry.answer == ERASED else entry,
        "did not accept exactly",
    ),
    "an older checkpoint is held against the log": (
        follower.LogFollower,
        "offer",
        _offer_holding_age_against_it,
        "for nothing",
    ),
    "older checkpoints are not compared with what is held": (
        diagnosis.OwnTree,
        "contradicts",
        lambda *_: None,
        "saw nothing",
    ),
    "forks across sizes are not diagnosed": (
        follower.LogFollower,
        "diagnosis",
        lambda self: None,
        "saw nothing",
    ),
    "wrong bytes are taken for a fork": (
        diagnosis,
        "forked",
        lambda *_: True,
        "for nothing",
    ),
    "a wrong body is refused for good": (
        outcome,
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
