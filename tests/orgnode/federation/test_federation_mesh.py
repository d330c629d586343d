"""Whole federation sides against one another, and beside peers that misbehave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import structlog
from fed_maverick import Answer, MaverickServer, Reply
from fed_node import Federation, FederationSettings
from fed_support import HOST, World, honest, make_federation, publish, until

from mesh.assessment import Assessed
from mesh.testing.orglog import OrgLog
from orgnode.federation import ClientLimits, Rhythm
from orgnode.federation.errors import PeerAnswerError, PortInUseError
from orgnode.logs import FIELDS
from orgnode.store import SignalFilter
from orgnode.store.sqlite import SqliteStore

OpenStore = Callable[[int], SqliteStore]


@dataclass
class Node:
    place: int
    store: SqliteStore
    log: OrgLog
    federation: Federation

    async def grow(self, count: int) -> None:
        self.log.append_signals(count)
        self.federation.notify(await publish(self.store, self.log))

    def holds(self, other: Node) -> bool:
        state = self.store.state(other.log.name)
        return state.size == other.log.size and state.frontier == other.log.frontier()


@asynccontextmanager
async def nodes(
    world: World, open_store: OpenStore, *places: int, **more: Any
) -> AsyncIterator[list[Node]]:
    """Running federation sides of these members, each with a log that is empty and signed."""
    async with AsyncExitStack() as stack:
        running = []
        for place in places:
            node = await start(world, open_store, place, world.log(place), **more)
            stack.push_async_callback(node.federation.stop, 0.5)
            running.append(node)
        yield running


async def start(world: World, open_store: OpenStore, place: int, log: OrgLog, **more: Any) -> Node:
    store = open_store(place)
    await publish(store, log)
    federation = make_federation(world, place, store, **more)
    await federation.start(HOST, world.card(place).port)
    return Node(place, store, log, federation)


async def test_what_one_publishes_all_have(world: World, open_store: OpenStore) -> None:
    async with nodes(world, open_store, 0, 1, 2, 3) as running:
        for round_ in range(3):
            await asyncio.gather(*(node.grow(round_ + 1) for node in running))
        await until(lambda: all(a.holds(b) for a in running for b in running if a is not b))
        for node in running:
            assert len(node.store.signals(SignalFilter())) == 4 * 6
            assert all(status.error == "" for status in node.federation.statuses())


async def test_a_signal_arrives_by_announcement_without_waiting_for_a_poll(
    world: World, open_store: OpenStore
) -> None:
    lazy = Rhythm(poll=(1000.0, 1000.0))
    async with nodes(world, open_store, 0, 1, rhythm=lazy) as (a, b):
        await a.grow(1)
        await until(lambda: b.holds(a))
        started = time.monotonic()
        await a.grow(1)
        await until(lambda: b.holds(a))
        assert time.monotonic() - started < 1.0


async def test_who_was_away_catches_up(world: World, open_store: OpenStore) -> None:
    async with nodes(world, open_store, 0, 1) as (a, b):
        await a.grow(2)
        await until(lambda: b.holds(a))
        await b.federation.stop()
        await a.grow(300)
        await b.grow(1)  # published while cut off
        again = await start(world, open_store, 1, b.log)
        try:
            await until(lambda: again.holds(a) and a.holds(again))
        finally:
            await again.federation.stop()


async def test_announcing_resumes_as_soon_as_the_peer_is_back(
    world: World, open_store: OpenStore
) -> None:
    """Its first request is a sign of life; without it the announcer would wait for its backoff."""
    slow = Rhythm(poll=(0.02, 0.05), backoff=0.02, backoff_cap=1000.0)
    async with nodes(world, open_store, 0, rhythm=slow) as (a,):
        await a.grow(1)
        line = a.federation.announcer._lines[world.name(1)]
        await until(lambda: line.backoff.failures > 0)
        line.backoff.failures = 20  # as after a long outage: hours of pause
        await until(lambda: line.backoff.failures > 20)
        async with nodes(world, open_store, 1) as (b,):
            await until(lambda: b.holds(a))
            await until(lambda: line.backoff.failures == 0)


MISCHIEF: dict[str, Callable[[OrgLog], Answer]] = {
    "hangs": lambda log: lambda m, p, b: Reply(hang=True),
    "trickles": lambda log: lambda m, p, b: Reply(b"x" * 500, pace=0.05),
    "garbage": lambda log: lambda m, p, b: b"\x00" * 1000,
    "errors": lambda log: lambda m, p, b: Reply(status=500),
    "endless": lambda log: lambda m, p, b: Reply(b"x", length=10**12),
    "bomb": lambda log: lambda m, p, b: Reply(b"x", headers=[("Content-Encoding", "gzip")]),
    "redirects": lambda log: lambda m, p, b: Reply(status=302, headers=[("Location", p)]),
    "forks": lambda log: _forking(log),
}


def _forking(log: OrgLog) -> Answer:
    twin = log.fork(1)
    twin.append_signals(log.size - 1)
    answers = [honest(log), honest(twin)]
    turn = 0

    def answer(method: str, path: str, body: bytes) -> Reply | bytes | None:
        nonlocal turn
        if path.endswith("checkpoint"):
            turn += 1
        return answers[turn % 2](method, path, body)

    return answer


@pytest.mark.parametrize("mischief", MISCHIEF)
async def test_a_bad_peer_holds_up_nobody_else(
    world: World, open_store: OpenStore, mischief: str
) -> None:
    bad = MaverickServer(
        world.server_context(3), MISCHIEF[mischief](world.log(3, 3)), port=world.card(3).port
    )
    settings = FederationSettings(client=ClientLimits(short=0.3, long=0.3))
    async with bad, nodes(world, open_store, 0, 1, settings=settings) as (a, b):
        for _ in range(5):
            await a.grow(2)
            await b.grow(1)
        await until(lambda: a.holds(b) and b.holds(a))
        by_name = {status.name: status for status in a.federation.statuses()}
        await until(lambda: _status(a, 3).error != "")
        assert by_name[world.name(1)].error == ""
        assert (_status(a, 3).suspended != "") == (mischief == "forks")
        started = time.monotonic()
        await a.federation.stop(0.5)
        assert time.monotonic() - started < 3


def _status(node: Node, place: int) -> Any:
    return next(
        s for s in node.federation.statuses() if s.name == node.log.world.member(place).name
    )


async def test_a_fault_of_this_node_on_one_log_does_not_end_the_following(
    world: World, open_store: OpenStore
) -> None:
    """Say, a metrics callback that raises: it is logged, and the next round goes on."""
    faults = []

    def assessed(log: str, entries: Sequence[Assessed]) -> None:
        if len(faults) < 2:
            faults.append(log)
            raise RuntimeError("a defect")

    async with nodes(world, open_store, 0) as (a,):
        await a.federation.announcer.stop()  # so that everything comes by pulling
        await a.grow(2)
        async with nodes(world, open_store, 1, assessed=assessed) as (b,):
            await until(lambda: b.holds(a))
            for _ in range(3):
                await a.grow(1)
                await until(lambda: b.holds(a))
            assert len(faults) == 2


async def test_a_federation_that_cannot_listen_starts_nothing(
    world: World, open_store: OpenStore
) -> None:
    async with nodes(world, open_store, 0) as (a,):
        twin = make_federation(world, 0, a.store)
        with pytest.raises(PortInUseError):
            await twin.start(HOST, a.federation.server.port)
        await twin.stop()


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1, 0.3])
async def test_stopping_in_the_middle_of_everything(
    world: World, open_store: OpenStore, delay: float
) -> None:
    """Whatever runs is ended, and what was acknowledged is there afterwards."""
    async with nodes(world, open_store, 0, 1) as (a, b):
        await a.grow(200)
        await asyncio.sleep(delay)
        size = b.federation.syncs[a.log.name].size
        async with asyncio.timeout(5):
            await asyncio.gather(a.federation.stop(1.0), b.federation.stop(1.0))
        assert open_store(1).state(a.log.name).size >= size
        again = await start(world, open_store, 1, b.log)
        await again.federation.stop(1.0)


async def test_log_lines_hold_names_and_numbers_only(world: World, open_store: OpenStore) -> None:
    with structlog.testing.capture_logs() as lines:
        bad = MaverickServer(
            world.server_context(3), lambda m, p, b: b"do not repeat", port=world.card(3).port
        )
        async with bad, nodes(world, open_store, 0, 1) as (a, b):
            await a.grow(2)
            await until(lambda: b.holds(a) and _status(a, 3).error != "")
            with pytest.raises(PeerAnswerError):
                await a.federation.clients[world.name(1)].announce(b"do not repeat")
    assert {line["event"] for line in lines} >= {"pull.failed", "federation.refused"}
    for line in lines:
        assert set(line) - {"log_level"} <= FIELDS
    assert "do not repeat" not in repr(lines)
