"""The loop on a virtual clock: time jumps, the order follows from the seed, nothing hangs."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from mesh.testing.virtualtime import (
    Clock,
    DeadlockError,
    Machine,
    StepBudgetError,
    VirtualLoop,
    current_machine,
)


def test_hours_of_timers_take_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1800):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    begun = time.perf_counter()
    loop = VirtualLoop()
    assert loop.run(main()) == 5400.0
    assert time.perf_counter() - begun < 5
    assert loop.steps < 50


def test_time_stands_still_while_something_can_run() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        seen = []
        for _ in range(50):
            await asyncio.sleep(0)
            seen.append(loop.time())
        return seen

    assert set(VirtualLoop().run(main())) == {0.0}


def order(seed: int) -> list[int]:
    async def note(place: int, out: list[int]) -> None:
        await asyncio.sleep(1)
        out.append(place)

    async def main() -> list[int]:
        out: list[int] = []
        await asyncio.gather(*(note(place, out) for place in range(8)))
        return out

    return VirtualLoop(seed).run(main())


def test_the_seed_decides_who_runs_first() -> None:
    assert order(3) == order(3)
    assert len({tuple(order(seed)) for seed in range(10)}) > 5
    assert sorted(order(4)) == list(range(8))


def test_waiting_for_what_cannot_come_is_an_error() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.create_task(hang(), name="the one that hangs")

    with pytest.raises(DeadlockError, match=r"the one that hangs at .*hang"):
        VirtualLoop().run(main())


def test_spinning_is_an_error() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(StepBudgetError, match="more than 200 steps"):
        VirtualLoop(steps=200).run(main())


def test_a_cancelled_timer_does_not_count() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        for _ in range(2_000):
            loop.call_later(500, pytest.fail, "it was cancelled").cancel()
        await asyncio.sleep(1)
        return loop.time()

    loop = VirtualLoop()
    assert loop.run(main()) == 1.0
    assert not loop._heap


def test_executors_run_at_once_and_hand_errors_over() -> None:
    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(lambda: 7)

    assert VirtualLoop().run(main()) == 7


def test_an_error_that_nobody_awaits_is_raised_at_the_end() -> None:
    async def fail() -> None:
        raise OSError("nobody listens")

    async def main() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(1)
        assert task.done()

    with pytest.raises(BaseExceptionGroup) as told:
        VirtualLoop().run(main())
    assert str(told.value.exceptions[0]) == "nobody listens"


def test_an_error_that_somebody_takes_is_not() -> None:
    async def fail() -> None:
        raise OSError("somebody listens")

    async def main() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(1)
        with pytest.raises(OSError, match="listens"):
            await task

    VirtualLoop().run(main())


def test_a_killed_machine_runs_nothing_more() -> None:
    done: list[str] = []

    async def work(machine_of: list[Machine | None]) -> None:
        machine_of.append(current_machine())
        asyncio.get_running_loop().call_later(2, done.append, "timer")
        child = asyncio.create_task(asyncio.sleep(3))
        child.add_done_callback(lambda _: done.append("child"))
        try:
            await asyncio.sleep(5)
        finally:
            done.append("finally")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        machine, seen = Machine("a", loop), []
        task = machine.start(work(seen))
        await asyncio.sleep(1)
        assert seen == [machine]
        machine.kill()
        await asyncio.sleep(100)
        assert not task.done()
        assert done == []

    VirtualLoop().run(main())


def test_tasks_of_a_killed_machine_wait_for_nothing_any_more() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        machine = Machine("a", loop)
        machine.start(asyncio.sleep(5), "of the dead")
        machine.kill()
        assert loop.tasks_of(machine) == 0
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError) as told:
        VirtualLoop().run(main())
    assert "of the dead" not in str(told.value)


def test_a_failure_just_before_the_power_is_cut_is_not_lost() -> None:
    async def fail() -> None:
        raise OSError("it was at fault")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        machine = Machine("a", loop)
        machine.start(fail())
        await asyncio.sleep(1)
        machine.kill()

    with pytest.raises(BaseExceptionGroup):
        VirtualLoop().run(main())


def test_an_error_of_a_killed_machine_is_lost_with_it() -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise OSError("too late")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        machine = Machine("a", loop)
        machine.start(fail())
        await asyncio.sleep(0.5)
        machine.kill()
        await asyncio.sleep(5)

    VirtualLoop().run(main())


@pytest.mark.parametrize("may_fail", [False, True])
def test_an_error_of_a_machine_that_may_fail_is_only_counted(may_fail: bool) -> None:
    async def fail() -> None:
        raise OSError("a liar's own affair")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        Machine("liar", loop, may_fail=may_fail).start(fail())
        await asyncio.sleep(1)

    loop = VirtualLoop()
    if may_fail:
        loop.run(main())
    else:
        with pytest.raises(BaseExceptionGroup):
            loop.run(main())
    assert loop.tolerated == ({"OSError: a liar's own affair": 1} if may_fail else {})


def test_tasks_of_a_machine_are_counted() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        machine = Machine("a", loop)
        for name in ("one", "two", "three"):
            machine.start(asyncio.sleep(5), name)
        Machine("b", loop).start(asyncio.sleep(5), "one")
        assert loop.tasks_of(machine) == 3
        assert loop.tasks_of(machine, but={"one", "two"}) == 1
        await asyncio.sleep(6)
        assert loop.tasks_of(machine) == 0

    VirtualLoop().run(main())


def test_a_clock_may_be_wrong() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        clock = Clock(loop, 1_000.0)
        await asyncio.sleep(5)
        assert clock() == 1_005.0
        clock.skew = -60.0
        assert clock() == 945.0

    VirtualLoop().run(main())


def test_who_never_gives_up_does_not_keep_a_run_from_ending() -> None:
    loop = VirtualLoop()

    class Nothing:
        def __await__(self) -> Iterator[None]:
            yield

    async def stubborn() -> None:
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            for _ in range(21):  # longer than the loop is patient, and than closing takes
                with suppress(BaseException):
                    await Nothing()
            assert loop.over

    async def main() -> int:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(1)
        assert not task.done()
        assert not loop.over
        return 7

    assert loop.run(main()) == 7
