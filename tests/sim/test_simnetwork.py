"""The simulated network: what each fault does to a request, and that it is counted."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from mesh.testing.network import (
    LATE,
    BrokenOffError,
    Conditions,
    NobodyThereError,
    SilenceError,
    SimNetwork,
)
from mesh.testing.virtualtime import Machine, VirtualLoop

Scenario = Callable[[SimNetwork, "Echo"], Awaitable[Any]]


class Echo:
    """Answers with what it got, and remembers it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.got: list[Any] = []
        self.pause = 0.0
        self.machine = Machine("b", loop)

    async def answer(self, src: str, message: Any) -> Any:
        self.got.append(message)
        await asyncio.sleep(self.pause)
        return src, message


def play(scenario: Scenario, conditions: Conditions | None = None, seed: int = 0) -> Any:
    loop = VirtualLoop(seed)
    network = SimNetwork(loop, Random(seed), size=len, conditions=conditions or Conditions())
    echo = Echo(loop)
    network.attach("b", echo.machine, echo.answer)

    async def main() -> Any:
        return await scenario(network, echo)

    return loop.run(main())


def ask(network: SimNetwork, message: str = "hello", deadline: float = 10.0) -> Any:
    return network.request("a", "b", message, deadline=deadline)


def test_a_request_is_answered_after_a_while() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> None:
        assert await ask(network) == ("a", "hello")
        assert 0.02 <= echo.loop.now < 0.5
        assert (network.traffic["a"].sent, network.traffic["a"].bytes_sent) == (1, 5)
        assert (network.traffic["b"].received, network.traffic["b"].bytes_received) == (1, 5)
        assert network.traffic["b"].sent == network.traffic["a"].received == 1

    play(scenario)


def test_a_cut_is_silent_and_has_a_direction() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> None:
        network.cut("a", "b")
        with pytest.raises(SilenceError):
            await ask(network)
        assert echo.loop.now == 10.0
        assert echo.got == []
        network.restore("a", "b")
        network.cut("b", "a")
        with pytest.raises(SilenceError):
            await ask(network)
        assert echo.got == ["hello"]
        assert network.met["request cut off"] == network.met["answer cut off"] == 1
        network.restore("b", "a")
        assert await ask(network)

    play(scenario)


def test_what_was_cut_twice_must_be_restored_twice() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> None:
        network.cut("a", "b")
        network.cut("a", "b")
        network.restore("a", "b")
        assert network.is_cut("a", "b")
        network.restore("a", "b")
        network.restore("a", "b")
        assert not network.is_cut("a", "b")
        network.cut("a", "b")
        network.heal()
        assert await ask(network)

    play(scenario)


def test_lost_messages_are_lost_on_either_way() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> None:
        lost = 0
        for _ in range(60):
            try:
                await ask(network, deadline=1.0)
            except SilenceError:
                lost += 1
        assert network.met["request lost"] + network.met["answer lost"] == lost
        assert min(network.met["request lost"], network.met["answer lost"]) > 5
        network.heal()
        assert network.conditions.loss == 0

    play(scenario, Conditions(loss=0.3))


def test_a_second_copy_arrives_and_is_answered_once() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> None:
        assert await ask(network)
        await asyncio.sleep(LATE + 1)
        assert echo.got == ["hello", "hello"]
        assert network.met["arrived twice"] == 1
        assert network.traffic["a"].received == 1

    play(scenario, Conditions(again=1.0))


def test_stragglers_are_overtaken() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> None:
        asked = [asyncio.create_task(ask(network, str(place), 30.0)) for place in range(20)]
        await asyncio.gather(*asked)
        assert echo.got != [str(place) for place in range(20)]
        assert network.met["overtaken"] > 0
        assert network.most_in_flight == 20

    play(scenario, Conditions(straggle=0.5))


def test_nobody_there_is_told_or_not() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> None:
        network.detach("b")
        kinds = set()
        for _ in range(20):
            with pytest.raises((NobodyThereError, SilenceError)) as told:
                await ask(network)
            kinds.add(told.type)
        assert kinds == {NobodyThereError, SilenceError}

    play(scenario)


def test_a_machine_that_dies_breaks_off_or_falls_silent() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> None:
        kinds = set()
        echo.pause = 5.0
        for _ in range(20):
            task = asyncio.create_task(ask(network))
            await asyncio.sleep(1)
            echo.machine.kill()
            network.detach("b")
            with pytest.raises((BrokenOffError, SilenceError)) as told:
                await task
            kinds.add(told.type)
            echo.machine = Machine("b", echo.loop)
            network.attach("b", echo.machine, echo.answer)
        assert kinds == {BrokenOffError, SilenceError}
        assert network.met["broke off"] > 0

    play(scenario)


def test_what_a_dead_machine_sent_goes_on_until_it_is_forgotten() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> None:
        network.slow("b", 3.0)
        for forgotten in (False, True):
            asker = Machine("a", echo.loop)
            asker.start(ask(network, f"forgotten: {forgotten}"))
            await asyncio.sleep(0.001)
            asker.kill()
            network.detach("a")
            if forgotten:
                network.forget("a")
            await asyncio.sleep(20)
        assert echo.got == ["forgotten: False"]

    play(scenario)


def test_nobody_is_told_who_is_not_there_any_more() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> None:
        network.detach("b")
        for _ in range(10):  # about half of them are going to be refused
            asker = Machine("a", echo.loop)
            asker.start(ask(network))
            await asyncio.sleep(0.001)
            asker.kill()
            network.detach("a")
        await asyncio.sleep(60)
        gc.collect()  # an error that was set and never taken shows then
        assert network.met["nobody there"] > 0

    play(scenario)


def test_a_slow_machine_takes_longer_both_ways() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> None:
        network.slow("b", 2.0)
        for _ in range(5):
            await ask(network, deadline=60.0)
        assert echo.loop.now > 5.0
        before = echo.loop.now
        network.slow("b", 0.0)
        await ask(network)
        assert echo.loop.now - before < 0.5

    play(scenario)


def test_taps_see_both_ways() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> None:
        seen: list[Any] = []
        network.taps.append(lambda *args: seen.append(args))
        await ask(network)
        assert seen == [("a", "b", "hello", None), ("a", "b", "hello", ("a", "hello"))]

    play(scenario)


def test_equal_seeds_give_equal_runs() -> None:
    async def scenario(network: SimNetwork, echo: Echo) -> list[float]:
        times = []
        for _ in range(30):
            with suppress(SilenceError):
                await ask(network, deadline=2.0)
            times.append(echo.loop.now)
        return times

    storm = Conditions(loss=0.2, again=0.2, straggle=0.2, jitter=0.1)
    assert play(scenario, storm, 5) == play(scenario, storm, 5)
    assert play(scenario, storm, 5) != play(scenario, storm, 6)
