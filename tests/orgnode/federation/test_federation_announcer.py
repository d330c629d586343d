"""Telling peers what is new: at once, in few exchanges, and without a peer holding up another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fed_maverick import MaverickServer, Reply
from fed_support import FAST, DirectWorkers, World, free_ports, publish, until

from mesh.testing.orglog import OrgLog
from mesh.wire import Announcement, WireLimits, decode_announcement
from orgnode.federation import Announcer, ClientLimits, Rhythm
from orgnode.federation import announcer as announcer_module
from orgnode.store.sqlite import SqliteStore


class Listener:
    """A peer that takes announcements as a true one does, as far as their sizes go."""

    def __init__(self, held: int = 0) -> None:
        self.held = held
        self.heard: list[Announcement] = []
        self.say: list[Reply | bytes | None] = []

    def __call__(self, method: str, path: str, body: bytes) -> Reply | bytes | None:
        assert (method, path) == ("POST", "/federation/v1/announce")
        announcement = decode_announcement(body, WireLimits())
        self.heard.append(announcement)
        if self.say:
            return self.say.pop(0)
        upto = announcement.start + len(announcement.entries)
        if announcement.start <= self.held < upto:
            self.held = upto
        return b'{"size":%d}' % self.held


@asynccontextmanager
async def announcing(
    world: World,
    store: SqliteStore,
    listeners: dict[int, Listener],
    rhythm: Rhythm = FAST,
    limits: ClientLimits | None = None,
) -> AsyncIterator[Announcer]:
    """Member 0 announces to the listeners, who stand in for the members of their places."""
    servers, clients = [], {}
    for place, listener in listeners.items():
        server = await MaverickServer(world.server_context(place), listener).__aenter__()
        servers.append(server)
        limits = limits or ClientLimits()
        clients[world.name(place)] = world.client(0, place, server.port, limits)
    announcer = Announcer(
        mesh=world.mesh,
        name=world.name(0),
        store=store,
        clients=clients,
        workers=DirectWorkers(),
        rhythm=rhythm,
    )
    try:
        yield announcer
    finally:
        await announcer.stop()
        for client in clients.values():
            await client.close()
        for server in servers:
            await server.__aexit__()


async def grow(store: SqliteStore, log: OrgLog, count: int) -> int:
    log.append_signals(count)
    return await publish(store, log)


async def test_a_new_entry_goes_out_in_one_exchange(world: World, store: SqliteStore) -> None:
    log, peer = world.log(0), Listener()
    async with announcing(world, store, {1: peer}) as announcer:
        announcer.start()
        announcer.notify(await grow(store, log, 1))
        await until(lambda: peer.held == 1)
        before = len(peer.heard)
        announcer.notify(await grow(store, log, 1))
        await until(lambda: peer.held == 2)
        (announcement,) = peer.heard[before:]
        assert announcement == log.announcement(1)


async def test_an_empty_log_is_not_announced(world: World, store: SqliteStore) -> None:
    peer = Listener()
    await publish(store, world.log(0))
    async with announcing(world, store, {1: peer}) as announcer:
        announcer.start()
        announcer.notify(0)
        await asyncio.sleep(0.1)
    assert peer.heard == []


async def test_peers_are_told_at_the_start(world: World, store: SqliteStore) -> None:
    log = world.log(0)
    await grow(store, log, 4)
    peer, fresh = Listener(held=4), Listener(held=1)
    async with announcing(world, store, {1: peer, 2: fresh}) as announcer:
        announcer.start()
        await until(lambda: fresh.held == 4)
    assert peer.heard == [Announcement(log.checkpoint(), 4, (), ())]
    assert fresh.heard[-1] == log.announcement(1)


async def test_what_comes_while_one_is_on_its_way_goes_together(
    world: World, store: SqliteStore
) -> None:
    log, peer = world.log(0), Listener()
    async with announcing(world, store, {1: peer}) as announcer:
        announcer.start()
        announcer.notify(await grow(store, log, 1))
        await until(lambda: peer.held == 1)
        before = len(peer.heard)
        on_its_way, go_on = hold_answers(announcer, world.name(1))
        announcer.notify(await grow(store, log, 1))
        await on_its_way.wait()
        for _ in range(20):
            announcer.notify(await grow(store, log, 1))
        go_on.set()
        await until(lambda: peer.held == 22)
        assert peer.heard[before:][1:] == [log.announcement(2)]


def hold_answers(announcer: Announcer, peer: str) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold back a peer's answers from now on; returns what tells of one and what lets them go."""
    on_its_way, go_on = asyncio.Event(), asyncio.Event()
    client = announcer._lines[peer].client
    announce = client.announce

    async def held(data: Announcement | bytes) -> int:
        size = await announce(data)
        on_its_way.set()
        await go_on.wait()
        return size

    client.announce = held  # type: ignore[method-assign]
    return on_its_way, go_on


async def test_peers_alike_share_the_making(
    world: World, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, peers = world.log(0), {place: Listener() for place in (1, 2, 3)}
    made = []
    encode = announcer_module.encode_announcement
    monkeypatch.setattr(
        announcer_module, "encode_announcement", lambda a: made.append(a.start) or encode(a)
    )
    async with announcing(world, store, peers) as announcer:
        announcer.start()
        announcer.notify(await grow(store, log, 1))
        await until(lambda: all(peer.held == 1 for peer in peers.values()))
        made.clear()
        announcer.notify(await grow(store, log, 1))
        await until(lambda: all(peer.held == 2 for peer in peers.values()))
        assert made == [1]
        assert announcer._made == {}  # nothing is kept: a body in it may be erased


async def test_who_is_far_behind_is_only_told_the_size(world: World, store: SqliteStore) -> None:
    log, peer = world.log(0), Listener()
    async with announcing(world, store, {1: peer}) as announcer:
        announcer.start()
        announcer.notify(await grow(store, log, 257))
        await until(lambda: len(peer.heard) >= 3)
        assert all(one == Announcement(log.checkpoint(), 257, (), ()) for one in peer.heard)
        peer.held = 1  # it has pulled the first
        await until(lambda: peer.held == 257)
        assert peer.heard[-1] == log.announcement(1)


async def test_more_bytes_than_an_announcement_may_have_are_left_to_the_pull(
    world: World, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcer_module, "MAX_ANNOUNCEMENT_BYTES", 10_000)
    log, peer = world.log(0), Listener()
    async with announcing(world, store, {1: peer}) as announcer:
        announcer.start()
        announcer.notify(await grow(store, log, 20))
        await until(lambda: len(peer.heard) >= 3)
        assert {len(one.entries) for one in peer.heard} == {0}


async def test_a_peer_that_goes_back_is_told_again(world: World, store: SqliteStore) -> None:
    """It was restored from a backup, say."""
    log, peer = world.log(0), Listener()
    async with announcing(world, store, {1: peer}) as announcer:
        announcer.start()
        announcer.notify(await grow(store, log, 5))
        await until(lambda: peer.held == 5)
        peer.held = 2
        announcer.notify(await grow(store, log, 1))
        await until(lambda: peer.held == 6)


@pytest.mark.parametrize(
    "failure",
    [
        Reply(status=503),
        Reply(status=403, body=b'{"error":{"code":"SuspendedPeerError"}}'),
        Reply(hang=True),
        Reply(b"nonsense"),
        Reply(b'{"size":99999999}'),
        Reply(raw=b""),
    ],
)
async def test_failures_are_survived_and_hold_up_nobody_else(
    world: World, store: SqliteStore, failure: Reply
) -> None:
    log, bad, good = world.log(0), Listener(), Listener()
    bad.say = [failure] * 3
    limits = ClientLimits(long=0.2)
    async with announcing(world, store, {1: bad, 2: good}, limits=limits) as announcer:
        announcer.start()
        for size in range(1, 6):
            announcer.notify(await grow(store, log, 1))
            await until(lambda size=size: good.held == size)
        announcer.notify(await grow(store, log, 1))
        await until(lambda: bad.held == 6)


async def test_a_failing_peer_is_asked_less_and_less(world: World, store: SqliteStore) -> None:
    log, bad = world.log(0), Listener()
    bad.say = [Reply(status=503)] * 1000
    rhythm = Rhythm(backoff=0.05, backoff_cap=100.0)
    async with announcing(world, store, {1: bad}, rhythm=rhythm) as announcer:
        announcer.start()
        announcer.notify(await grow(store, log, 1))
        await asyncio.sleep(0.8)
        assert len(bad.heard) <= 6
        await until(lambda: len(bad.heard) >= 2)
        backoff = announcer._lines[world.name(1)].backoff
        backoff.failures = 20  # as after a long outage: a pause of at least 50 s comes next
        await until(lambda: backoff.failures == 21)
        tries = len(bad.heard)
        for _ in range(5):  # growth does not shorten the pause, a sign of life does
            announcer.notify(await grow(store, log, 1))
        announcer.alive(world.name(2))
        await asyncio.sleep(0.1)
        assert len(bad.heard) == tries
        announcer.alive(world.name(1))
        await until(lambda: len(bad.heard) > tries)


async def test_nobody_at_home_is_survived(world: World, store: SqliteStore) -> None:
    log = world.log(0)
    client = world.client(0, 1, free_ports(1)[0])
    announcer = Announcer(
        mesh=world.mesh,
        name=world.name(0),
        store=store,
        clients={world.name(1): client},
        workers=DirectWorkers(),
        rhythm=FAST,
    )
    announcer.start()
    announcer.notify(await grow(store, log, 1))
    line = announcer._lines[world.name(1)]
    await until(lambda: line.backoff.failures >= 2)  # it keeps trying, further and further apart
    await announcer.stop()
    assert line.task is None
    await announcer.stop()
    await client.close()
