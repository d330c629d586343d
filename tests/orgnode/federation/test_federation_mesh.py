"""Whole federation sides over real mutual TLS, and beside peers that misbehave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from fed_maverick import Answer, MaverickServer, Reply
from fed_node import Federation, FederationSettings
from fed_support import FAST, HOST, World, honest, make_federation, until

from mesh.days import Day
from mesh.entry import Kind
from mesh.sighting import compose_sighting, parse_sighting
from mesh.signal import parse_signal
from mesh.testing.orglog import TODAY, OrgLog
from mesh.testing.signals import SignalPool
from orgnode.federation import ClientLimits, Rhythm
from orgnode.federation.errors import PeerAnswerError, PortInUseError
from orgnode.federation.hooks import Hooks
from orgnode.federation.status import PeerStatus
from orgnode.logs import FIELDS
from orgnode.ownlog import Draft
from orgnode.store import SignalFilter
from orgnode.store.sqlite import SqliteStore

OpenStore = Callable[[int], SqliteStore]


@dataclass
class Node:
    place: int
    name: str
    store: SqliteStore
    federation: Federation
    alerts: dict[tuple[str, str], str]
    pool: SignalPool
    published: int = field(default=0)

    async def grow(self, count: int) -> None:
        """Publish so many cheap entries."""
        drafts = []
        for _ in range(count):
            self.published += 1
            body = compose_sighting(f"{self.place:032x}{self.published:032x}", "confirm")
            sighting = parse_sighting(body)
            drafts.append(Draft(Kind.SIGHTING, Day(TODAY + 30), body, sighting=sighting))
        own_log = self.federation.replicator.own_log
        await asyncio.gather(*(own_log.append(draft) for draft in drafts))

    async def report(self, number: int) -> None:
        """Publish a real signal."""
        made = self.pool[number]
        signal = parse_signal(made.body)
        draft = Draft(Kind.SIGNAL, Day(TODAY + 30), made.body, made.salt, signal=signal)
        await self.federation.replicator.own_log.append(draft)

    @property
    def size(self) -> int:
        return self.store.state(self.name).size

    def holds(self, other: Node) -> bool:
        """Whether this node holds all of the other one's log, certified."""
        return self.store.certified_size(other.name) == other.size

    def status(self, place: int) -> PeerStatus:
        name = self.federation.replicator._mesh.members[place].name
        return next(one for one in self.federation.statuses() if one.name == name)


@asynccontextmanager
async def nodes(
    world: World, open_store: OpenStore, *places: int, ready: bool = True, **more: Any
) -> AsyncIterator[list[Node]]:
    """Running federation sides of these members."""
    async with AsyncExitStack() as stack:
        running = []
        for place in places:
            node = await start(world, open_store, place, **more)
            stack.push_async_callback(node.federation.stop, 0.5)
            running.append(node)
        for node in running:
            if ready:
                async with asyncio.timeout(10):
                    await node.federation.replicator.recovery.done.wait()
        yield running


async def start(world: World, open_store: OpenStore, place: int, **more: Any) -> Node:
    store = open_store(place)
    alerts: dict[tuple[str, str], str] = {}
    hooks = Hooks(
        alert=lambda kind, subject, detail: alerts.update({(kind, subject): detail}),
        calm=lambda kind, subject: alerts.pop((kind, subject), None) and None,
    )
    federation = make_federation(world, place, store, hooks=hooks, **more)
    await federation.start(HOST, world.card(place).port)
    name = world.name(place)
    size = store.state(name).size
    return Node(place, name, store, federation, alerts, SignalPool(world.mesh, name), size)


def all_hold_all(running: list[Node]) -> bool:
    return all(a.holds(b) for a in running for b in running)


async def test_what_one_publishes_all_have_certified(world: World, open_store: OpenStore) -> None:
    async with nodes(world, open_store, 0, 1, 2, 3) as running:
        for round_ in range(3):
            await asyncio.gather(*(node.grow(round_ + 1) for node in running))
            await asyncio.gather(*(node.report(round_) for node in running))
        await until(lambda: all_hold_all(running))
        for node in running:
            assert len(node.store.signals(SignalFilter())) == 4 * 3
            assert [one.error for one in node.federation.statuses()] == [""] * 3


async def test_a_signal_is_certified_everywhere_without_waiting_for_gossip(
    world: World, open_store: OpenStore
) -> None:
    lazy = Rhythm(gossip=(1000.0, 1000.0))
    async with nodes(world, open_store, 0, 1, 2, 3, rhythm=lazy) as running:
        await running[0].grow(1)
        await until(lambda: all_hold_all(running))
        started = time.monotonic()
        await running[0].report(0)
        await until(lambda: all_hold_all(running))
        assert time.monotonic() - started < 2.0


async def test_who_was_away_catches_up(world: World, open_store: OpenStore) -> None:
    async with nodes(world, open_store, 0, 1, 2, 3) as running:
        await running[0].grow(2)
        await until(lambda: all_hold_all(running))
        await running[3].federation.stop()
        await running[0].grow(300)
        await until(lambda: all_hold_all(running[:3]))
        async with nodes(world, open_store, 3) as (again,):
            await until(lambda: all_hold_all([*running[:3], again]))
            await again.grow(1)
            await until(lambda: all_hold_all([*running[:3], again]))


async def test_publishing_resumes_as_soon_as_the_peer_is_back(
    world: World, open_store: OpenStore
) -> None:
    """Its first request is a sign of life; without it the line would wait for its backoff."""
    slow = Rhythm(gossip=(0.02, 0.05), backoff=0.02, backoff_cap=1000.0)
    async with nodes(world, open_store, 0, 1, 2, rhythm=slow) as running:
        await running[0].grow(1)
        line = running[0].federation.replicator.pusher.lines[world.name(3)]
        await until(lambda: line.backoff.failures > 0)
        line.backoff.failures = 20  # as after a long outage: hours of pause
        await until(lambda: line.backoff.failures > 20)
        async with nodes(world, open_store, 3) as (back,):
            await until(lambda: back.holds(running[0]))
            await until(lambda: line.backoff.failures == 0)


MISCHIEF: dict[str, Callable[[OrgLog], Answer]] = {
    "hangs": lambda log: lambda m, p, b: Reply(hang=True),
    "trickles": lambda log: lambda m, p, b: Reply(b"x" * 500, pace=0.05),
    "garbage": lambda log: lambda m, p, b: b"\x00" * 1000,
    "errors": lambda log: lambda m, p, b: Reply(status=500),
    "endless": lambda log: lambda m, p, b: Reply(b"x", length=10**12),
    "bomb": lambda log: lambda m, p, b: Reply(b"x", headers=[("Content-Encoding", "gzip")]),
    "redirects": lambda log: lambda m, p, b: Reply(status=302, headers=[("Location", p)]),
    "conflicts": lambda log: (
        lambda m, p, b: Reply(b"99\n", status=409, headers=[("Content-Type", "text/x.tlog.size")])
    ),
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
    settings = FederationSettings(client=ClientLimits(short=0.5, long=0.5))
    async with bad, nodes(world, open_store, 0, 1, 2, settings=settings, rhythm=FAST) as running:
        log = world.name(3)
        for node in running:
            # As if it had gossiped that it holds more than they do.
            node.federation.replicator._chasers[log].hint(log, 3, urgent=True)
        for _ in range(4):
            await asyncio.gather(*(node.grow(2) for node in running))
        await until(lambda: all_hold_all(running))
        await until(lambda: running[0].status(3).error != "")
        assert running[0].status(1).error == ""
        if mischief == "forks":
            chaser = running[0].federation.replicator._chasers[log]
            await until(lambda: running[0].size >= 8)
            while not running[0].status(3).suspended:
                chaser.hint(log, 10**6, urgent=True, doubtful=True)
                await asyncio.sleep(0.05)
        else:
            assert running[0].status(3).suspended == ""
        started = time.monotonic()
        await running[0].federation.stop(0.5)
        assert time.monotonic() - started < 3


async def test_a_federation_that_cannot_listen_starts_nothing(
    world: World, open_store: OpenStore
) -> None:
    async with nodes(world, open_store, 0, ready=False) as (a,):
        twin = make_federation(world, 0, a.store)
        with pytest.raises(PortInUseError):
            await twin.start(HOST, a.federation.server.port)
        await twin.stop()


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1, 0.3])
async def test_stopping_in_the_middle_of_everything(
    world: World, open_store: OpenStore, delay: float
) -> None:
    """Whatever runs is ended, and what was acknowledged is there afterwards."""
    async with nodes(world, open_store, 0, 1, 2) as running:
        await running[0].grow(200)
        await asyncio.sleep(delay)
        size = running[1].federation.replicator.syncs[running[0].name].size
        async with asyncio.timeout(8):
            await asyncio.gather(*(node.federation.stop(1.0) for node in running))
        assert open_store(1).state(running[0].name).size >= size
        assert open_store(0).state(running[0].name).size == 200
    async with nodes(world, open_store, 0, 1, 2) as again:
        await until(lambda: all_hold_all(again))


async def test_log_lines_hold_names_and_numbers_only(world: World, open_store: OpenStore) -> None:
    with structlog.testing.capture_logs() as lines:
        bad = MaverickServer(
            world.server_context(3), lambda m, p, b: b"do not repeat", port=world.card(3).port
        )
        async with bad, nodes(world, open_store, 0, 1, 2) as running:
            await running[0].grow(2)
            await until(lambda: all_hold_all(running) and running[0].status(3).error != "")
            client = running[0].federation.replicator.clients[world.name(1)]
            with pytest.raises(PeerAnswerError):
                await client.announce(b"do not repeat")
    assert {line["event"] for line in lines} >= {"gossip.failed", "recovery.done"}
    for line in lines:
        assert set(line) - {"log_level"} <= FIELDS
    assert "do not repeat" not in repr(lines)
