"""Members that make others work, store, send or log without end: what that comes to here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest
import structlog
from repl_support import QUICK, SLOW_GOSSIP, Asked, Cluster, InlineWorkers, Node, running, until

from mesh.entry import Kind
from mesh.testing.orglog import OrgLog
from mesh.vector import ROOT_BYTES, LogPosition, encode_vector
from mesh.wire import MISSING, Announcement, WireLimits, decode_announcement, encode_announcement
from mesh.witness import AddCheckpoint
from orgnode.federation import followed, held
from orgnode.federation.backoff import Backoff
from orgnode.federation.fetch import to_its_end
from orgnode.federation.followed import MAX_WITHHELD
from orgnode.federation.limits import ServerLimits
from orgnode.federation.reply import RefusedError, Reply, body_reader, json_reply, octets_reply
from orgnode.federation.turns import Turn

PREFIX = "/federation/v1/"
STILL = replace(QUICK, gossip=SLOW_GOSSIP)
# The pauses of production, and nobody who asks by itself.
SLOW = replace(STILL, backoff=0.25, backoff_cap=60.0)


async def ask(node: Node, peer: str, what: str, body: bytes) -> Reply:
    reply: Reply = await node.replicator.service.answer(
        peer, "POST", PREFIX + what, body_reader(body)
    )
    return reply


async def announce(node: Node, log: OrgLog, announcement: Announcement) -> Reply:
    return await ask(node, log.name, "announce", encode_announcement(announcement))


async def claim(node: Node, peer: str, log: str, size: int) -> Reply:
    """The peer says in a vector that it holds so much of a log."""
    vector = encode_vector([LogPosition(log, size, 0, bytes(ROOT_BYTES))])
    return await ask(node, peer, "gossip", vector)


def rest(log: OrgLog, start: int, certificate: bytes = b"") -> Announcement:
    """Everything from `start` on."""
    entries, bodies = tuple(log.notes[start:]), tuple(log.answers[start:])
    return Announcement(log.checkpoint(), start, entries, bodies, certificate)


def nothing_served(asked: Asked) -> Reply:
    return RefusedError(404, "NotServedError", "no").reply


class Counting(InlineWorkers):
    """Tells what was handed on, and waits with it until it may go on."""

    def __init__(self) -> None:
        self.run_count = 0
        self.verified = 0
        self.proving = False
        self.heavy_sizes: list[int] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.begun = asyncio.Event()

    async def verify(self, claims: Any) -> Any:
        self.verified += len(claims)
        return await super().verify(claims)

    async def run(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.run_count += 1
        if self.proving:  # it is what comes after that is held up
            return fn(*args, **kwargs)
        return await self._do(fn, *args, **kwargs)

    async def heavy(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = await self._do(fn, *args, **kwargs)
        self.heavy_sizes.append(len(getattr(result, "assessed", result)))
        return result

    async def _do(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.begun.set()
        await self.go_on.wait()
        return fn(*args, **kwargs)


# --- work for nothing


async def test_a_false_certificate_is_seen_before_any_work(tmp_path: Path) -> None:
    """Else its sender has proofs verified again and again, and nothing is ever stored."""
    async with running(tmp_path, rhythm=STILL) as cluster:
        workers = Counting()
        node = await cluster.start(0, ready=False, workers=workers)
        log = cluster.log(1, 1)
        assert (await announce(node, log, rest(log, 0))).status == 200
        false = log.checkpoint(1)
        log.append_signals(2)
        for number in range(20):
            log.append_sighting(sha256(b"%d" % number).hexdigest())
        workers.run_count = workers.verified = 0
        assert (await announce(node, log, rest(log, 1, false))).status == 400
        assert (workers.run_count, workers.verified) == (0, 0)
        assert node.holds(log.name) == 1
        assert (await announce(node, log, rest(log, 1))).status == 200
        assert (workers.run_count > 0, workers.verified) == (True, 2)


async def test_too_few_cosignatures_are_not_even_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[bytes] = []
    monkeypatch.setattr(held, "open_certificate", lambda mesh, log, note: opened.append(note))
    async with running(tmp_path, rhythm=STILL) as cluster:
        node = await cluster.start(0, ready=False)
        log = cluster.log(1, 2)
        few = replace(rest(log, 0), certificate=log.certificate(2, by=(log.name, cluster.name(0))))
        assert (await announce(node, log, few)).status == 400
        assert opened == []


async def test_who_breaks_off_pays_until_the_work_is_done(tmp_path: Path) -> None:
    """A thread that has begun can't be stopped, and it holds what was announced."""
    async with running(tmp_path, rhythm=STILL) as cluster:
        workers = Counting()
        node = await cluster.start(0, ready=False, workers=workers)
        log = cluster.log(1, 20)
        workers.go_on.clear()
        account = node.replicator.service._accounts[log.name]
        asking = asyncio.create_task(announce(node, log, rest(log, 0)))
        await workers.begun.wait()
        held_bytes = account.held
        assert held_bytes > 0
        for _ in range(3):
            asking.cancel()
            await asyncio.sleep(0.01)
            assert (asking.done(), account.held) == (False, held_bytes)
        workers.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert account.held == 0


async def test_who_breaks_off_a_big_read_pays_until_it_is_done(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        workers = Counting()
        node = await cluster.start(0, ready=False, workers=workers)
        log = cluster.log(1, 20)
        assert (await announce(node, log, rest(log, 0))).status == 200
        peer = cluster.name(2)
        path = f"{PREFIX}logs/{log.name}/tile/entries/000.p/20"
        workers.go_on.clear()
        workers.begun.clear()
        account = node.replicator.service._accounts[peer]
        service = node.replicator.service
        asking = asyncio.create_task(service.answer(peer, "GET", path, body_reader(b"")))
        await workers.begun.wait()
        held_bytes = account.held
        asking.cancel()
        await asyncio.sleep(0.01)
        assert (asking.done(), account.held) == (False, held_bytes)
        assert held_bytes > 0
        workers.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert account.held == 0


async def test_what_is_certified_meanwhile_does_not_break_off_the_work(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        node = await cluster.start(0, ready=False)
        log = cluster.log(1, 1)
        await announce(node, log, rest(log, 0))
        true = log.certificate(1)
        for number in range(20):
            log.append_sighting(sha256(b"%d" % number).hexdigest())
        assert (await announce(node, log, rest(log, 1, true))).status == 200
        assert (node.holds(log.name), node.certified(log.name)) == (21, 1)


async def test_promotions_are_checked_a_few_at_a_time_and_apart(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        workers = Counting()
        node = await cluster.start(0, ready=False, workers=workers)
        log = cluster.log(1)
        for number in range(40):
            log.append(Kind.PROMOTION, bytes([number]) * 32, b"not one")
        assert (await announce(node, log, rest(log, 0))).status == 200
        assert workers.heavy_sizes == [16, 16, 8]
        assert node.holds(log.name) == 40


async def test_promotions_whose_bodies_came_late_are_too(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        workers = Counting()
        node = await cluster.start(0, ready=False, workers=workers)
        log = cluster.log(1)
        for number in range(40):
            log.append(Kind.PROMOTION, bytes([number]) * 32, b"not one")
        bare = replace(rest(log, 0), bodies=(MISSING,) * 40)
        assert (await announce(node, log, bare)).status == 200
        workers.heavy_sizes.clear()
        items = list(zip(range(40), log.notes, log.answers, strict=True))
        sync = node.replicator.syncs[log.name]
        async with sync._held.lock:
            assert await sync._held.reassess(items[::-1]) == 40
        assert workers.heavy_sizes == [16, 16, 8]
        assert node.store.first_missing(log.name) is None


async def test_who_breaks_off_among_promotions_has_no_more_of_them_checked(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        workers = Counting()
        node = await cluster.start(0, ready=False, workers=workers)
        log = cluster.log(1)
        for number in range(40):
            log.append(Kind.PROMOTION, bytes([number]) * 32, b"not one")
        workers.go_on.clear()
        workers.proving = True
        asking = asyncio.create_task(announce(node, log, rest(log, 0)))
        await workers.begun.wait()
        asking.cancel()
        workers.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert workers.heavy_sizes == [16]
        assert node.holds(log.name) == 0
        assert (await announce(node, log, rest(log, 0))).status == 200
        assert node.holds(log.name) == 40


async def test_a_job_goes_to_its_end_and_who_waits_for_it_too() -> None:
    go_on, done = asyncio.Event(), []

    async def job(error: Exception | None) -> str:
        await go_on.wait()
        done.append(error)
        if error is not None:
            raise error
        return "done"

    for error in (None, ValueError("of no use")):
        go_on.clear()
        waiting = asyncio.create_task(to_its_end(job(error)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0.01)
        assert not waiting.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert [type(one) for one in done] == [type(None), ValueError]
    assert await to_its_end(job(None)) == "done"
    with pytest.raises(ValueError, match="of no use"):
        await to_its_end(job(ValueError("of no use")))


# --- checkpoints without entries


def far(log: OrgLog, size: int) -> Announcement:
    """A checkpoint of entries that nobody has."""
    return Announcement(log.sign_root(size, size.to_bytes(32, "big")), 0, (), ())


def withheld(node: Node, log: OrgLog) -> list[int]:
    size = node.holds(log.name)
    return [one.size for one in node.store.checkpoints(log.name, 1000) if one.size > size]


async def test_only_so_many_checkpoints_are_kept_whose_entries_are_withheld(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "_NEARER_PAUSE", 0.0)
    async with running(tmp_path, rhythm=STILL) as cluster:
        cluster.net.meddlers.append(nothing_served)
        node = await cluster.start(0, ready=False)
        log = cluster.log(1, 3)
        for number in range(60):
            assert (await announce(node, log, far(log, 1000 - number))).status == 200
        assert len(withheld(node, log)) == MAX_WITHHELD
        segment = node.replicator.syncs[log.name]._held.next_segment()
        assert segment is not None
        assert segment.size == 1000 - (MAX_WITHHELD - 1), "nobody backs those that came then"
        # What comes with its entries is taken all the same, and so is what a quorum vouches for.
        assert (await announce(node, log, rest(log, 0))).status == 200
        assert node.holds(log.name) == 3
        assert len(withheld(node, log)) == MAX_WITHHELD
        log.append_sighting("11" * 32)
        certified = replace(rest(log, 4), certificate=log.certificate(4))
        assert (await announce(node, log, certified)).status == 200
        segment = node.replicator.syncs[log.name]._held.next_segment()
        assert segment is not None
        assert segment.size == 4


async def test_what_passes_for_entries_has_no_more_checkpoints_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "_NEARER_PAUSE", 0.0)
    async with running(tmp_path, rhythm=STILL) as cluster:
        cluster.net.meddlers.append(nothing_served)
        node = await cluster.start(0, ready=False)
        log = cluster.log(1)
        for number in range(MAX_WITHHELD):
            await announce(node, log, far(log, 1000 - number))
        for size in range(9, 1, -1):
            junk = replace(far(log, size), entries=(b"no",) * size, bodies=(MISSING,) * size)
            assert (await announce(node, log, junk)).status == 400
            assert (await announce(node, log, far(log, size))).status == 200
        assert len(withheld(node, log)) == MAX_WITHHELD


async def test_a_checkpoint_without_entries_is_come_nearer_to_once_a_second(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        cluster.net.meddlers.append(nothing_served)
        node = await cluster.start(0, ready=False)
        log = cluster.log(1)
        for number in range(10):
            assert (await announce(node, log, far(log, 1000 - number))).status == 200
        assert withheld(node, log) == [1000, 999]


async def test_after_a_while_one_comes_nearer_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "_NEARER_PAUSE", 0.05)
    async with running(tmp_path, rhythm=STILL) as cluster:
        cluster.net.meddlers.append(nothing_served)
        node = await cluster.start(0, ready=False)
        log = cluster.log(1)
        for number in range(3):
            await announce(node, log, far(log, 1000 - number))
            await asyncio.sleep(0.06)
        assert withheld(node, log) == [1000, 999, 998]


async def test_no_number_of_own_checkpoints_is_too_many(tmp_path: Path) -> None:
    """A node that asks about its own past must forget nothing that it signed."""
    async with running(tmp_path, rhythm=STILL) as cluster:
        node = cluster.build(0)
        log = cluster.log(0)
        sync = node.replicator._own_sync
        for number in range(MAX_WITHHELD + 4):
            await sync.remember(far(log, 1000 - number).checkpoint)
        assert len(withheld(node, log)) == MAX_WITHHELD + 4
        node.store.close()


# --- signs of life


def test_a_sign_of_life_cuts_a_pause_once_and_only_one_that_may_be_over() -> None:
    backoff = Backoff(0.25, 60.0, Random(1))
    assert backoff.sign_of_life() is None, "there is no pause"
    backoff.failed()
    assert backoff.sign_of_life() is None, "it answered, and will answer the same"
    cuts = []
    for _ in range(7):
        backoff.failed(passing=True)
        cuts.append(backoff.sign_of_life())
        assert backoff.sign_of_life() is None, "this pause was cut short already"
    assert cuts == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert backoff.failures == 8, "a sign of life is no success"
    backoff.failed(passing=True)
    backoff.worked()
    assert backoff.sign_of_life() is None
    backoff.failed(passing=True)
    assert backoff.sign_of_life() == 0.25
    assert Backoff(0.02, 0.01).sign_of_life() is None


async def test_who_gossips_and_serves_nothing_is_left_alone_all_the_same(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        async with running(tmp_path, rhythm=SLOW) as cluster:
            cluster.net.meddlers.append(nothing_served)
            node = await cluster.start(0, ready=False)
            liar, start = cluster.name(1), len(cluster.net.asked)
            for _ in range(60):
                await claim(node, liar, liar, 10**6)
                await asyncio.sleep(0.02)
            asked = [path for path in cluster.net.paths(start) if "checkpoint" in path]
    assert 1 <= len(asked) <= 5
    assert Counter(line["event"] for line in lines)["pull.failed"] == 1


async def test_what_a_source_refused_is_not_asked_again_for_a_sign_of_life(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=replace(SLOW, backoff=0.02)) as cluster:
        cluster.net.meddlers.append(nothing_served)
        node = await cluster.start(0, ready=False)
        liar = cluster.name(1)
        source = node.replicator._chasers[liar]._sources[liar]
        await claim(node, liar, liar, 10**6)
        await until(lambda: source.backoff.failures)
        source.backoff.failures = 20  # as after a long while: a pause of at least 30 s comes next
        await until(lambda: source.backoff.failures == 21)
        for _ in range(5):
            await claim(node, liar, liar, 10**6)
            await asyncio.sleep(0.05)
        assert source.backoff.failures == 21


async def test_a_source_that_could_not_be_reached_is_asked_once_it_is_heard(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, rhythm=SLOW) as cluster:
        node, other, _ = await cluster.start_all(0, 1, 2)
        cluster.net.split([node.name], [other.name])
        cluster.net.meddlers.append(  # it is not pushed either
            lambda asked: nothing_served(asked) if asked.asker == other.name else None
        )
        await other.publish(3)
        chaser = node.replicator._chasers[other.name]
        source = chaser._sources[other.name]
        source.backoff.failures = 20  # a pause of at least 30 s comes next
        await claim(node, other.name, other.name, 3)
        chaser.hint(other.name, 3, urgent=True)
        source.ready = 0.0
        chaser._wake.set()
        await until(lambda: source.backoff.failures == 21)
        cluster.net.heal()
        await claim(node, other.name, other.name, 3)
        await until(lambda: node.holds(other.name) == 3, 5)


async def test_who_takes_nothing_is_not_handed_it_again_for_a_vector(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=SLOW) as cluster:
        liar = cluster.name(1)
        sent: list[int] = []

        def takes_nothing(asked: Asked) -> Reply | None:
            if asked.peer != liar:
                return None
            if asked.path.endswith("/announce"):
                sent.append(len(asked.body))
                return json_reply({"size": 0, "certified": 0})
            return nothing_served(asked)

        cluster.net.meddlers.append(takes_nothing)
        nodes = await cluster.start_all(0, 2, 3)
        await nodes[0].publish(100)
        await until(lambda: sent)
        await asyncio.sleep(0.3)
        before = len(sent)
        for number in range(60):
            await claim(nodes[0], liar, nodes[0].name, number % 5)
            await asyncio.sleep(0.02)
        assert len(sent) - before <= 3


async def test_who_has_it_by_other_means_goes_on_at_once(tmp_path: Path) -> None:
    """It took nothing of the push, and pulled: its vector says so, and the certificate is due."""
    async with running(tmp_path, rhythm=replace(SLOW, backoff=0.1, backoff_cap=1000.0)) as cluster:
        peer = cluster.name(1)
        sent: list[Announcement] = []

        def takes_nothing(asked: Asked) -> Reply | None:
            if asked.peer == peer and asked.path.endswith("/announce"):
                sent.append(decode_announcement(asked.body, WireLimits()))
                return json_reply({"size": 0, "certified": 0})
            return nothing_served(asked) if asked.peer == peer else None

        cluster.net.meddlers.append(takes_nothing)
        nodes = await cluster.start_all(0, 2, 3)
        line = nodes[0].replicator.pusher.lines[peer]
        await nodes[0].publish(5)
        await until(lambda: line.backoff.failures and nodes[0].certified(nodes[0].name) == 5)
        line.backoff.failures = 20  # as after a long while: a pause of minutes comes next
        await until(lambda: line.backoff.failures == 21)
        before = len(sent)
        await claim(nodes[0], peer, nodes[0].name, 4)
        await asyncio.sleep(0.2)
        assert len(sent) == before, "it would be handed the last one again"
        await claim(nodes[0], peer, nodes[0].name, 5)
        await until(lambda: len(sent) > before)
        assert (sent[before].start, sent[before].entries) == (5, ())


async def test_refusals_that_repeat_are_one_line_with_a_count(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        async with running(tmp_path, rhythm=STILL) as cluster:
            node = await cluster.start(0, ready=False)
            for _ in range(20):
                assert (await ask(node, cluster.name(1), "announce", b"junk")).status == 400
                assert (await ask(node, cluster.name(2), "nothing", b"")).status == 404
            node.replicator.service._repeats._pause = 0.0
            node.replicator.service._repeats._kinds = {
                kind: (0.0, more)
                for kind, (_, more) in node.replicator.service._repeats._kinds.items()
            }
            await ask(node, cluster.name(1), "announce", b"junk")
    refused = [line for line in lines if line["event"] == "federation.refused"]
    assert [(line["peer"], line["count"]) for line in refused] == [
        (cluster.name(1), 1),
        (cluster.name(2), 1),
        (cluster.name(1), 20),
    ]


# --- slow mirrors


def held_by(log: OrgLog) -> bytes:
    return encode_vector([LogPosition(log.name, log.size, 0, log.frontier().root())])


class Unlucky(Random):
    """Chooses what comes first: the slow one, if it may."""

    def choice(self, seq: Any) -> Any:
        return seq[0]


class Mirrors:
    """Members 1 and 2 serve a log of member 3; every answer of the first takes `slow` seconds."""

    def __init__(self, cluster: Cluster, log: OrgLog, slow: float) -> None:
        self.cluster = cluster
        self.log = log
        self.slow = slow
        self.bodies: Counter[str] = Counter()
        cluster.net.meddlers.append(self.answer)

    async def answer(self, asked: Asked) -> Reply | None:
        name = asked.peer
        if name not in (self.cluster.name(1), self.cluster.name(2)):
            return None
        if f"/logs/{self.log.name}/" not in asked.path:
            return nothing_served(asked)
        if "/bodies/" in asked.path:
            self.bodies[name] += 1
            if name == self.cluster.name(1):
                await asyncio.sleep(self.slow)
        data = served(self.log, asked)
        return nothing_served(asked) if data is None else octets_reply(data)


def served(log: OrgLog, asked: Asked) -> bytes | None:
    from fed_support import honest

    data: Any = honest(log)(asked.method, asked.path, asked.body)
    return data if isinstance(data, bytes) else None


async def test_a_slow_mirror_that_began_alone_loses_its_turn(tmp_path: Path) -> None:
    rhythm = replace(STILL, turn=0.3, patience=0.05)
    async with running(tmp_path, rhythm=rhythm) as cluster:
        log = cluster.log(3, 256 * 6)
        mirrors = Mirrors(cluster, log, slow=0.25)
        node = await cluster.start(0, ready=False)
        slow, quick = cluster.name(1), cluster.name(2)
        node.replicator._chasers[log.name]._jitter = Unlucky()
        await ask(node, slow, "gossip", held_by(log))
        await until(lambda: mirrors.bodies[slow] == 1)
        await ask(node, quick, "gossip", held_by(log))
        await until(lambda: node.holds(log.name) == log.size, 5)
        assert mirrors.bodies[quick] >= 3
        assert mirrors.bodies[slow] <= 3


async def test_a_slow_mirror_goes_on_while_there_is_no_other(tmp_path: Path) -> None:
    rhythm = replace(STILL, turn=0.02, patience=0.05)
    async with running(tmp_path, rhythm=rhythm) as cluster:
        log = cluster.log(3, 256 * 2)
        mirrors = Mirrors(cluster, log, slow=0.2)
        node = await cluster.start(0, ready=False)
        await ask(node, cluster.name(1), "gossip", held_by(log))
        await until(lambda: node.holds(log.name) == log.size, 5)
        assert mirrors.bodies == {cluster.name(1): 2}, "nothing was asked for twice"


async def test_a_turn_ends_when_others_are_there() -> None:
    others = False
    turn = Turn(0.02, lambda: others)
    assert await turn.wait(asyncio.sleep(0.05, "late")) == "late", "nobody else was there"
    others = True
    ended = asyncio.Event()

    async def never() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await turn.wait(never())
    assert ended.is_set()
    done = asyncio.create_task(asyncio.sleep(0, "here"))
    await done
    assert await turn.wait(done) == "here", "what has come is used"


# --- rates


@pytest.mark.parametrize("what", ["announce", "add-checkpoint", "gossip"])
async def test_what_costs_more_than_a_read_has_a_rate_of_its_own(tmp_path: Path, what: str) -> None:
    limits = ServerLimits(
        announce_rate=0.0,
        announce_burst=3,
        cosign_rate=0.0,
        cosign_burst=3,
        gossip_rate=0.0,
        gossip_burst=3,
    )
    async with running(tmp_path, rhythm=STILL) as cluster:
        node = await cluster.start(0, ready=False, server_limits=limits)
        log = cluster.log(1, 1)
        bodies = {
            "announce": encode_announcement(rest(log, 0)),
            "add-checkpoint": AddCheckpoint(0, (), log.checkpoint()).encode(),
            "gossip": encode_vector([]),
        }
        told = [(await ask(node, log.name, what, bodies[what])).status for _ in range(5)]
        assert [status == 429 for status in told] == [False] * 3 + [True] * 2
        for other in bodies.keys() - {what}:
            assert (await ask(node, log.name, other, bodies[other])).status != 429
        read = await node.replicator.service.answer(
            log.name, "GET", PREFIX + "ping", body_reader(b"")
        )
        assert read.status == 200
        assert (await ask(node, cluster.name(2), what, bodies[what])).status != 429


def test_the_rates_leave_room_for_a_busy_owner() -> None:
    """50 entries a second, each certified alone, make 100 announcements and 50 rounds."""
    limits = ServerLimits()
    assert limits.announce_rate >= 150
    assert limits.cosign_rate >= 75
    assert limits.gossip_rate <= 10
