"""Hedging, seats' lines and the memory, each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from fed_support import World

from orgnode.evaluating.cache import WindowCache
from orgnode.evaluating.errors import SeatFailedError
from orgnode.evaluating.hedging import HedgeBudget, TooFewAnswersError, ask_enough
from orgnode.evaluating.lines import (
    EXCLUDED_SECONDS,
    FORGIVEN_SECONDS,
    MAX_PATIENCE,
    UNKNOWN_SECONDS,
    SeatLine,
)

LONG = 30.0


class Room:
    """Seats that answer when a test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.running: set[str] = set()
        self.answers: dict[str, asyncio.Future[str]] = {}

    async def ask(self, key: str) -> str:
        self.asked.append(key)
        self.running.add(key)
        try:
            future = self.answers.setdefault(key, asyncio.get_running_loop().create_future())
            return await future
        finally:
            self.running.discard(key)

    def says(self, key: str, answer: str | Exception) -> None:
        future = self.answers.setdefault(key, asyncio.get_running_loop().create_future())
        if isinstance(answer, str):
            future.set_result(answer)
        else:
            future.set_exception(answer)


def failure(label: str = "Broken") -> SeatFailedError:
    return SeatFailedError(label, "broken")


async def run(
    room: Room,
    candidates: str,
    needed: int,
    *,
    patience: Callable[[str], float] = lambda _: LONG,
    seconds: float = LONG,
    hedge: Callable[[str], bool] = lambda _: True,
) -> dict[str, str]:
    until = asyncio.get_running_loop().time() + seconds
    return await ask_enough(
        candidates, needed, room.ask, patience=patience, until=until, hedge=hedge
    )


async def test_only_as_many_as_needed_are_asked() -> None:
    room = Room()
    for key in "abcd":
        room.says(key, key.upper())
    assert await run(room, "abcd", 2) == {"a": "A", "b": "B"}
    assert room.asked == ["a", "b"]


async def test_a_failure_is_replaced_at_once_and_only_once() -> None:
    room = Room()
    room.says("a", failure())
    room.says("b", "B")
    room.says("c", "C")
    assert await run(room, "abcd", 2) == {"b": "B", "c": "C"}
    assert room.asked == ["a", "b", "c"]


async def test_who_is_late_is_hedged_and_ended() -> None:
    room = Room()
    room.says("b", "B")
    room.says("c", "C")
    hedged: list[str] = []

    def hedge(key: str) -> bool:
        hedged.append(key)
        return True

    found = await run(room, "abc", 2, patience=lambda key: 0.0 if key == "a" else LONG, hedge=hedge)
    assert found == {"b": "B", "c": "C"}
    assert hedged == ["a"]
    assert not room.running


async def test_a_late_answer_still_counts() -> None:
    room = Room()

    def hedge(key: str) -> bool:
        room.says("a", "A")
        return True

    assert await run(room, "ab", 1, patience=lambda _: 0.0, hedge=hedge) == {"a": "A"}
    assert not room.running


async def test_without_leave_nobody_is_hedged() -> None:
    room = Room()
    with pytest.raises(TooFewAnswersError) as caught:
        await run(room, "ab", 1, patience=lambda _: 0.0, hedge=lambda _: False, seconds=0.05)
    assert room.asked == ["a"]
    assert (caught.value.waiting, caught.value.late) == (("a",), True)


async def test_a_hedge_that_was_put_off_comes_later() -> None:
    room = Room()
    room.says("b", "B")
    refusals = iter([False, True])
    found = await run(room, "ab", 1, patience=lambda _: 0.0, hedge=lambda _: next(refusals))
    assert found == {"b": "B"}


async def test_too_few_are_noticed_before_the_time_is_over() -> None:
    room = Room()
    room.says("a", failure("A"))
    room.says("b", failure("B"))
    with pytest.raises(TooFewAnswersError) as caught:
        async with asyncio.timeout(LONG / 3):
            await run(room, "abc", 2)  # c will never answer, and it would not help
    assert {key: error.label for key, error in caught.value.failures.items()} == {
        "a": "A",
        "b": "B",
    }
    assert (caught.value.waiting, caught.value.late) == (("c",), False)
    assert not room.running


async def test_too_few_candidates_are_not_even_asked_in_vain() -> None:
    room = Room()
    with pytest.raises(TooFewAnswersError):
        await run(room, "a", 2)
    assert not room.running


async def test_other_errors_come_through_and_nothing_runs_on() -> None:
    room = Room()
    room.says("a", ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await run(room, "abc", 2)
    assert not room.running


async def test_no_more_than_needed_are_returned() -> None:
    room = Room()

    def hedge(key: str) -> bool:
        for one in "abc":
            room.says(one, one.upper())
        return True

    found = await run(room, "abc", 2, patience=lambda _: 0.0, hedge=hedge)
    assert len(found) == 2


def test_hedges_have_a_budget() -> None:
    now = 0.0
    budget = HedgeBudget(lambda: now, saved=2)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(11):
        budget.earn()
    assert [budget.spend() for _ in range(2)] == [True, False]
    now = 100.0
    assert [budget.spend() for _ in range(3)] == [True, True, False]


# --- lines


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def line(wide: World, clock: Clock) -> SeatLine:
    return SeatLine(wide.test_mesh.committee.seats[0], own=False, clock=clock)


def test_a_seat_is_as_fast_as_it_was(line: SeatLine) -> None:
    assert line.latency is None
    assert line.expected == UNKNOWN_SECONDS
    for _ in range(50):
        line.answered(0.2)
    assert line.latency == pytest.approx(0.2)
    assert line.expected == pytest.approx(0.2)
    # No deviation is left, so anything later than usual is late.
    assert 0.2 <= line.patience < 0.25


def test_patience_has_bounds(line: SeatLine) -> None:
    for _ in range(50):
        line.answered(0.001)
    assert line.patience == 0.025
    for _ in range(50):
        line.answered(30.0)
    assert line.patience == MAX_PATIENCE


def test_slowness_is_forgiven(line: SeatLine, clock: Clock) -> None:
    line.answered(1.0)
    clock.now += FORGIVEN_SECONDS
    assert line.expected == pytest.approx((1.0 + UNKNOWN_SECONDS) / 2)
    clock.now += 20 * FORGIVEN_SECONDS
    assert line.expected == pytest.approx(UNKNOWN_SECONDS, rel=0.01)


def test_being_given_up_makes_slow_but_never_fast(line: SeatLine) -> None:
    line.answered(0.1)
    line.unanswered(0.05)
    assert line.expected == pytest.approx(0.1)
    line.unanswered(2.0)
    assert line.expected == pytest.approx(2.0)


def test_failures_pass(line: SeatLine, clock: Clock) -> None:
    line.failed("Broken")
    assert line.failing
    assert line.error == "Broken"
    clock.now += 31.0
    assert not line.failing
    line.failed("Broken")
    line.answered(0.1)
    assert not line.failing
    assert line.error == ""


def test_a_liar_is_left_out_for_a_while(line: SeatLine, clock: Clock) -> None:
    line.convicted()
    clock.now += EXCLUDED_SECONDS - 1
    assert line.excluded
    clock.now += 2
    assert not line.excluded


# --- the memory


def test_the_memory_forgets_what_was_not_used_longest() -> None:
    cache = WindowCache(2)
    cache.put(b"a", "aa" * 32)
    cache.put(b"b", "bb" * 32)
    assert cache.get(b"a") == "aa" * 32
    cache.put(b"c", "cc" * 32)
    assert cache.get(b"b") is None
    assert cache.get(b"a") == "aa" * 32
    assert len(cache) == 2


def test_the_memory_does_not_hold_the_windows() -> None:
    cache = WindowCache()
    cache.put(b"a" * 32, "aa" * 32)
    (key,) = cache._tokens
    assert key != b"a" * 32
    assert len({key, *WindowCache()._tokens}) == 1
    other = WindowCache()
    other.put(b"a" * 32, "aa" * 32)
    assert key not in other._tokens  # each process has a secret of its own
