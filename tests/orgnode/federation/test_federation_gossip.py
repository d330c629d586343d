"""Who holds what: comparing vectors, asking whoever has more, and telling who lags."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from repl_support import QUICK, SLOW_GOSSIP, Asked, Cluster, Node, running, until

from mesh.days import Day
from mesh.evidence import verify_evidence
from mesh.testing.orglog import TODAY, OrgLog
from mesh.vector import LogPosition, decode_vector, encode_vector
from mesh.wire import Announcement, WireError
from orgnode.federation.errors import AnnouncementError
from orgnode.federation.reply import Reply, octets_reply
from orgnode.store import StoreFullError

STILL = replace(QUICK, gossip=SLOW_GOSSIP)
"""Nothing is gossiped but what a test asks for."""


async def hold(node: Node, log: OrgLog, certified: bool = False) -> None:
    """Have a node mirror all of a log, as if its owner had pushed it."""
    sync = node.replicator.syncs[log.name]
    await sync.on_announce(log.announcement(sync.size, certified=certified))


async def three(cluster: Cluster) -> list[Node]:
    """Three nodes; the log of the fourth member is played by the tests."""
    return await cluster.start_all(0, 1, 2)


async def told(node: Node, peer: str, vector: bytes) -> None:
    """A peer sends the node its vector, the first one for a while."""
    node.replicator.gossip._heeded.clear()
    await node.replicator.gossip.asked(peer, vector)


async def test_the_asker_and_the_asked_learn_the_same(tmp_path: Path) -> None:
    """One exchange; then each pulls what the other one has more of."""
    async with running(tmp_path, 5, rhythm=STILL) as cluster:
        nodes = await cluster.start_all(0, 1, 2, 3)
        theirs, ours = cluster.log(4, 5), nodes[2].name
        await hold(nodes[0], theirs)
        cluster.net.split([nodes[2].name], [nodes[0].name])
        await nodes[2].publish(2)
        await until(lambda: nodes[1].holds(ours) == 2)
        assert nodes[0].holds(ours) == 0
        nodes[1].replicator.gossip._heeded.clear()
        vector = await nodes[0].replicator.gossip.exchange(nodes[1].name)
        assert {one.log: one.size for one in vector if one.size} == {ours: 2}
        await until(lambda: nodes[0].holds(ours) == 2)
        await until(lambda: nodes[1].holds(theirs.name) == 5)


async def test_a_random_peer_is_asked_again_and_again(tmp_path: Path) -> None:
    async with running(tmp_path, 5) as cluster:
        nodes = await cluster.start_all()
        start = len(cluster.net.asked)
        mine = nodes[0].name

        def asked() -> list[str]:
            return [
                one.peer
                for one in cluster.net.asked[start:]
                if one.asker == mine and one.path.endswith("gossip")
            ]

        await until(lambda: set(asked()) == set(cluster.names[1:]))


async def test_a_peer_that_hangs_holds_up_no_gossip_with_others(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await three(cluster)

        async def hanging(asked: Asked) -> Reply | None:
            if asked.peer == cluster.name(1) and asked.asker == nodes[0].name:
                await asyncio.sleep(1000)
            return None

        cluster.net.meddlers.append(hanging)
        start = len(cluster.net.asked)

        def asked(place: int) -> int:
            return sum(
                one.path.endswith("gossip") and one.peer == cluster.name(place)
                for one in cluster.net.asked[start:]
                if one.asker == nodes[0].name
            )

        await until(lambda: asked(2) >= 8)
        assert asked(1) == 1, "one that is open is not doubled"


@pytest.mark.parametrize(
    "answer",
    [b"", b"\xff\xff", b"\x00\x01\x05", encode_vector([]) + b"x", b"\x00\x02" + b"\x01a" * 30],
)
async def test_a_broken_vector_changes_nothing(tmp_path: Path, answer: bytes) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        nodes = await three(cluster)
        with pytest.raises(WireError):
            await nodes[0].replicator.gossip.asked(nodes[1].name, answer)

        def lying(asked: Asked) -> Reply | None:
            return octets_reply(answer) if asked.path.endswith("gossip") else None

        cluster.net.meddlers.append(lying)
        with pytest.raises(WireError):
            await nodes[0].replicator.gossip.exchange(nodes[1].name)


async def test_a_vector_about_strangers_is_read_and_forgotten(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        nodes = await three(cluster)
        odd = encode_vector([LogPosition(f"n{n}.example", 9, 0, bytes(32)) for n in range(4)])
        gossip = nodes[0].replicator.gossip
        await told(nodes[0], nodes[1].name, odd)
        assert gossip.position(nodes[1].name, "n1.example") is None
        too_many = [LogPosition(f"n{n}.example", 9, 0, bytes(32)) for n in range(5)]
        with pytest.raises(WireError):
            await gossip.asked(nodes[1].name, encode_vector(too_many))


async def test_another_tree_is_found_out_even_at_a_smaller_size(tmp_path: Path) -> None:
    """One member holds 5 of one history, another one 3 of the other: that one is the proof."""
    async with running(tmp_path, rhythm=STILL) as cluster:
        nodes = await three(cluster)
        log = cluster.log(3, 5)
        twin = log.fork(2)
        twin.append_sighting("77" * 32)
        await hold(nodes[0], log)
        await hold(nodes[1], twin)
        await nodes[0].replicator.gossip.exchange(nodes[1].name)
        await until(lambda: all(node.replicator.syncs[log.name].suspended for node in nodes[:2]))
        for node in nodes[:2]:
            evidence = node.store.state(log.name).evidence
            assert evidence is not None
            verify_evidence(cluster.mesh.mesh, evidence)


async def test_a_liar_about_roots_convicts_nobody(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        nodes = await three(cluster)
        log = cluster.log(3, 5)
        for node in nodes:
            await hold(node, log)
        false = encode_vector([LogPosition(log.name, 5, 0, b"otherwise" + bytes(23))])
        start = len(cluster.net.asked)
        await told(nodes[0], nodes[1].name, false)
        await until(lambda: any(f"{log.name}/checkpoint" in p for p in cluster.net.paths(start)))
        await asyncio.sleep(0.1)
        assert nodes[0].replicator.syncs[log.name].suspended == ""
        asked = [p for p in cluster.net.paths(start) if f"{log.name}/checkpoint" in p]
        assert len(asked) == 1, "it is looked at once for each such word"


HASTY = replace(STILL, patience=0.02, backoff=0.2, backoff_cap=60.0)
"""Hints are followed at once, and who failed is left alone for long."""


def pulls(cluster: Cluster, log: str, start: int = 0) -> int:
    """How often anybody began to pull a log."""
    return sum(f"logs/{log}/checkpoint" in path for path in cluster.net.paths(start))


async def test_who_holds_less_than_it_says_is_left_alone_for_a_while(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=HASTY) as cluster:
        nodes = await three(cluster)
        log = cluster.log(3, 2)
        for node in nodes:
            await hold(node, log)
        claim = encode_vector([LogPosition(log.name, 10**9, 0, bytes(32))])
        start = len(cluster.net.asked)
        for _ in range(10):
            await told(nodes[0], nodes[1].name, claim)
            await asyncio.sleep(0.05)
        assert 1 <= pulls(cluster, log.name, start) <= 3


async def test_what_was_said_once_is_followed_once(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=replace(HASTY, backoff_cap=0.02)) as cluster:
        nodes = await three(cluster)
        log = cluster.log(3, 2)
        for node in nodes:
            await hold(node, log)
        claim = encode_vector([LogPosition(log.name, 10**9, 0, bytes(32))])
        start = len(cluster.net.asked)
        await told(nodes[0], nodes[1].name, claim)
        await until(lambda: pulls(cluster, log.name, start) == 1)
        await asyncio.sleep(0.2)
        assert pulls(cluster, log.name, start) == 1


async def test_what_is_said_during_a_pull_is_not_forgotten(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=HASTY) as cluster:
        nodes = await three(cluster)
        log = cluster.log(3, 2)
        await hold(nodes[1], log)
        reached, go_on = asyncio.Event(), asyncio.Event()
        stale = log.checkpoint()

        async def slow(asked: Asked) -> Reply | None:
            if asked.path.endswith(f"{log.name}/checkpoint") and not reached.is_set():
                reached.set()
                await go_on.wait()
                return Reply(200, "text/plain", stale)
            return None

        cluster.net.meddlers.append(slow)
        await nodes[0].replicator.gossip.exchange(nodes[1].name)
        await reached.wait()
        log.append_sighting("55" * 32)
        await hold(nodes[1], log)
        await nodes[0].replicator.gossip.exchange(nodes[1].name)
        go_on.set()
        await until(lambda: nodes[0].holds(log.name) == 3)


async def test_a_mirror_that_fails_is_asked_less_and_less(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=HASTY) as cluster:
        nodes = await three(cluster)
        log = cluster.log(3, 2)
        await hold(nodes[1], log)

        def failing(asked: Asked) -> Reply | None:
            return Reply(500, "text/plain", b"") if "/logs/" in asked.path else None

        cluster.net.meddlers.append(failing)
        await nodes[0].replicator.gossip.exchange(nodes[1].name)
        await asyncio.sleep(0.8)
        assert 2 <= pulls(cluster, log.name) <= 5
        (status,) = (one for one in nodes[0].replicator.peers() if one.name == nodes[1].name)
        assert status.error == "PeerAnswerError"
        await hold(nodes[0], log)
        await nodes[0].replicator.gossip.exchange(nodes[1].name)
        (status,) = (one for one in nodes[0].replicator.peers() if one.name == nodes[1].name)
        assert status.error == "", "nothing is wanted of it any more"


async def test_a_full_disk_here_is_nobody_elses_failure(tmp_path: Path) -> None:
    class Full:
        def __init__(self, store: Any) -> None:
            self._store = store
            self.failures = 2

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def commit_segment(self, *args: Any) -> int:
            if self.failures:
                self.failures -= 1
                raise StoreFullError("the disk is full")
            return await self._store.commit_segment(*args)

    async with running(tmp_path, rhythm=HASTY) as cluster:
        others = [await cluster.start(place, ready=False) for place in (1, 2)]
        full = Full(cluster.open_store(0))
        node = await cluster.start(0, store=full)
        log = cluster.log(3, 2)
        await hold(others[0], log)
        errors: set[str] = set()
        await node.replicator.gossip.exchange(others[0].name)
        while node.holds(log.name) < 2:
            errors |= {one.error for one in node.replicator.peers() if one.name != log.name}
            await asyncio.sleep(0.01)
        assert full.failures == 0
        assert errors == {""}


async def test_a_defect_in_the_middle_of_a_pull_does_not_end_the_pulling(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=HASTY) as cluster:
        nodes = await three(cluster)
        log = cluster.log(3, 2)
        await hold(nodes[1], log)

        def faulty(*_: object) -> None:
            raise RuntimeError("a defect")

        hooks = nodes[0].replicator.hooks
        hooks.assessed, true = faulty, hooks.assessed
        await nodes[0].replicator.gossip.exchange(nodes[1].name)
        await until(lambda: nodes[0].holds(log.name) == 2)
        await asyncio.sleep(0.05)
        hooks.assessed = true
        log.append_sighting("55" * 32)
        await hold(nodes[1], log)
        await nodes[0].replicator.gossip.exchange(nodes[1].name)
        await until(lambda: nodes[0].holds(log.name) == 3)


async def test_a_log_that_floods_is_left_alone_until_tomorrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orgnode.federation.mirrorquota.MIRROR_FACTOR", 2 / 4096)
    monkeypatch.setattr("orgnode.federation.chasing._QUOTA_PAUSE", 0.6)
    today = [TODAY]
    async with running(tmp_path, rhythm=HASTY) as cluster:
        others = [await cluster.start(place, ready=False) for place in (1, 2)]
        node = await cluster.start(0, today=lambda: today[0])
        log = cluster.log(3, 3)
        generous = others[0].replicator.syncs[log.name]._held  # it takes whatever comes
        generous._quota, generous._segment = None, 256
        generous.refresh()
        await hold(others[0], log)
        await node.replicator.gossip.exchange(others[0].name)
        await until(lambda: ("mirror_quota", log.name) in node.told.alerts)
        start = len(cluster.net.asked)
        for _ in range(4):
            node.replicator.gossip._heeded.clear()
            await others[0].replicator.gossip.exchange(node.name)
            await asyncio.sleep(0.05)
        assert pulls(cluster, log.name, start) == 0
        today[0] = Day(TODAY + 1)
        await until(lambda: node.holds(log.name) == 3)
        await until(lambda: ("mirror_quota", log.name) not in node.told.alerts)


async def test_one_that_gossips_without_end_is_answered_but_not_heeded(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        nodes = await three(cluster)
        gossip = nodes[0].replicator.gossip
        log = cluster.log(3, 2)
        claims = [encode_vector([LogPosition(log.name, n, 0, bytes(32))]) for n in (3, 4)]
        gossip._heeded.clear()
        for claim in claims:
            decode_vector(await gossip.asked(nodes[1].name, claim))
        known = gossip.position(nodes[1].name, log.name)
        assert known is not None
        assert known.size == 3


async def test_a_push_gets_a_moment_before_a_hint_is_followed(tmp_path: Path) -> None:
    """Else every push would race a pull of the same entries from whoever has them sooner."""
    async with running(tmp_path, rhythm=replace(STILL, backoff=0.3)) as cluster:
        nodes = await three(cluster)
        log = cluster.log(3, 2)
        await hold(nodes[1], log, certified=True)
        start = len(cluster.net.asked)
        await nodes[0].replicator.gossip.exchange(nodes[1].name)
        await asyncio.sleep(0.1)
        await hold(nodes[0], log, certified=True)
        await asyncio.sleep(0.4)
        assert not any("/logs/" in one.path for one in cluster.net.asked[start:])


async def test_an_announcement_with_a_gap_is_pulled_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=replace(STILL, patience=20.0)) as cluster:
        nodes = await three(cluster)
        log = cluster.log(3, 2)
        await hold(nodes[1], log)
        handler = nodes[0].replicator._announced
        cluster.net.services[log.name] = nodes[1].replicator.service  # a mirror in its place
        start = asyncio.get_running_loop().time()
        await handler(log.name, Announcement(log.checkpoint(), 2, (), ()))
        await until(lambda: nodes[0].holds(log.name) == 2)
        assert asyncio.get_running_loop().time() - start < 2


async def test_an_announcement_that_does_not_fit_is_looked_into_at_once(tmp_path: Path) -> None:
    """Broken bytes, or two histories: only what the owner serves can tell."""
    async with running(tmp_path, rhythm=replace(STILL, patience=20.0)) as cluster:
        nodes = await three(cluster)
        log = cluster.log(3, 5)
        twin = log.fork(3)
        for number in range(4):
            twin.append_sighting(f"{number:064x}")
        await hold(nodes[0], log)
        await hold(nodes[1], twin)
        cluster.net.services[log.name] = nodes[1].replicator.service  # the owner's second face
        told_of = twin.announcement(5, certified=False)
        with pytest.raises(AnnouncementError):
            await nodes[0].replicator._announced(log.name, told_of)
        await until(lambda: nodes[0].replicator.syncs[log.name].suspended == "fork")


async def test_entries_come_from_a_second_mirror_when_the_first_one_fails(tmp_path: Path) -> None:
    async with running(tmp_path, 5, rhythm=STILL) as cluster:
        nodes = await cluster.start_all(0, 1, 2, 3)
        log = cluster.log(4, 6)
        for node in nodes[1:]:
            await hold(node, log)
        bad = cluster.names[1:3]

        def failing(asked: Asked) -> Reply | None:
            if asked.peer in bad and asked.asker == nodes[0].name and "/logs/" in asked.path:
                return Reply(500, "text/plain", b"")
            return None

        cluster.net.meddlers.append(failing)
        for node in nodes[1:]:
            await nodes[0].replicator.gossip.exchange(node.name)
        await until(lambda: nodes[0].holds(log.name) == 6)
        assert nodes[0].store.bodies(log.name, 0, 6) == log.answers


async def test_a_mirror_that_trickles_is_given_up_for_one_that_does_not(tmp_path: Path) -> None:
    async with running(tmp_path, 5, rhythm=replace(STILL, turn=0.2)) as cluster:
        nodes = await cluster.start_all(0, 1, 2, 3)
        log = cluster.log(4, 6)
        for node in nodes[1:3]:
            await hold(node, log)
        order: list[str] = []

        async def trickling(asked: Asked) -> Reply | None:
            if asked.asker == nodes[0].name and f"{log.name}/checkpoint" in asked.path:
                order.append(asked.peer)
                if order[0] == asked.peer:
                    await asyncio.sleep(0.9)  # within every deadline
            return None

        cluster.net.meddlers.append(trickling)
        for node in nodes[1:3]:
            await nodes[0].replicator.gossip.exchange(node.name)
        start = asyncio.get_running_loop().time()
        await until(lambda: nodes[0].holds(log.name) == 6)
        assert asyncio.get_running_loop().time() - start < 0.8
        assert len(order) == 2


async def test_a_missing_body_is_asked_for_when_it_is_noticed(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        nodes = await three(cluster)
        log = cluster.log(3, 2)
        await hold(nodes[1], log)
        body = log.withhold_body(0)
        await hold(nodes[0], log)
        await until(lambda: nodes[0].store.first_missing(log.name) is None)
        assert nodes[0].store.bodies(log.name, 0, 1) == [body]


async def test_a_body_missed_before_a_restart_is_asked_for_after_it(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        nodes = await three(cluster)
        log = cluster.log(3, 2)
        body = log.withhold_body(0)
        await hold(nodes[0], log)
        await cluster.stop(0)
        log.answers[0] = body
        await hold(nodes[1], log)
        again = await cluster.start(0)
        await until(lambda: again.store.first_missing(log.name) is None)


# --- what two nodes of one mind agree on


async def test_what_differs_in_the_own_log_is_asked_about(tmp_path: Path) -> None:
    """A peer that holds another history of it has a checkpoint that this node has signed."""
    async with running(tmp_path, rhythm=STILL) as cluster:
        nodes = await three(cluster)
        victim = nodes[0]
        await victim.publish(2)
        await until(lambda: nodes[1].certified(victim.name) == 2)
        false = encode_vector([LogPosition(victim.name, 2, 0, b"otherwise" + bytes(23))])
        await told(victim, nodes[1].name, false)
        await until(lambda: any("seen" in path for path in cluster.net.paths()[-3:]))
        await asyncio.sleep(0.05)
        assert victim.told.alerts == {}, "what it could show is this node's own history"
        twin = cluster.log(0, 3)

        def showing(asked: Asked) -> Reply | None:
            if asked.path.endswith(f"{victim.name}/seen"):
                return Reply(200, "text/plain", twin.checkpoint())
            return None

        cluster.net.meddlers.append(showing)
        await told(victim, nodes[1].name, false)
        await until(lambda: ("disk_behind", victim.name) in victim.told.alerts)


async def test_a_checkpoint_that_this_node_never_signed_stops_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=STILL) as cluster:
        nodes = await three(cluster)
        victim = nodes[0]
        await victim.publish(2)
        forged = cluster.log(1, 9)

        def showing(asked: Asked) -> Reply | None:
            if asked.path.endswith(f"{victim.name}/seen"):
                return Reply(200, "text/plain", forged.checkpoint())
            return None

        cluster.net.meddlers.append(showing)
        false = encode_vector([LogPosition(victim.name, 9, 0, bytes(32))])
        start = len(cluster.net.asked)
        await told(victim, nodes[1].name, false)
        await until(lambda: any("seen" in path for path in cluster.net.paths(start)))
        await asyncio.sleep(0.05)
        assert victim.told.alerts == {}
        await victim.publish()


# --- lagging


@pytest.fixture
def now() -> list[float]:
    return [1_000_000.0]


@pytest.fixture
def clock(now: list[float]) -> Callable[[], float]:
    return lambda: now[0]


async def test_lagging_is_lacking_the_same_entries_for_long(
    tmp_path: Path, now: list[float], clock: Callable[[], float]
) -> None:
    async with running(tmp_path, rhythm=STILL, clock=clock) as cluster:
        nodes = await three(cluster)
        one, peer = nodes[0], nodes[1].name
        for node in nodes[1:]:
            await one.replicator.gossip.exchange(node.name)
        log = cluster.log(3, 2)
        await hold(one, log)
        gossip = one.replicator.gossip

        async def says(size: int) -> None:
            held = [LogPosition(log.name, size, 0, log.frontier(size).root())] if size else []
            await told(one, peer, encode_vector(held))

        await says(0)
        assert (gossip.behind(peer), gossip.behind_since(peer)) == (2, now[0])
        now[0] += 0.2
        await says(1)
        assert gossip.behind_since(peer) == now[0] - 0.2, "it lacks a part of it still"
        log.append_sighting("66" * 32)
        await hold(one, log)
        now[0] += 0.2
        await says(2)
        assert gossip.behind_since(peer) == now[0], "it caught up, and lacks something newer"
        assert one.told.alerts == {}
        now[0] += 0.4
        await says(2)
        assert one.told.alerts == {("peer_behind", peer): "it lacks 1 entries"}
        await says(3)
        assert (gossip.behind(peer), gossip.behind_since(peer)) == (0, None)
        assert one.told.alerts == {}


async def test_an_old_vector_alone_is_no_alert(
    tmp_path: Path, now: list[float], clock: Callable[[], float]
) -> None:
    """In a large mesh it may be minutes old, and the peer have all by now."""
    async with running(tmp_path, rhythm=STILL, clock=clock) as cluster:
        nodes = await three(cluster)
        one, peer = nodes[0], nodes[1].name
        for node in nodes[1:]:
            await one.replicator.gossip.exchange(node.name)
        log = cluster.log(3, 2)
        await hold(one, log)
        gossip = one.replicator.gossip
        gossip._watch()
        now[0] += 100.0
        gossip._watch()
        assert ("peer_behind", peer) not in one.told.alerts
        one.replicator._contacts.failed(peer, "gossip", TimeoutError())
        gossip._watch()
        assert ("peer_behind", peer) in one.told.alerts


async def test_a_member_that_was_never_heard_of_is_an_alert(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await three(cluster)
        away = cluster.name(3)
        await until(lambda: ("peer_behind", away) in nodes[0].told.alerts)
        assert nodes[0].told.alerts["peer_behind", away] == "it has not been heard"
        status = {each.name: each for each in nodes[0].replicator.peers()}[away]
        assert (status.their_size, status.last_contact, status.behind) == (None, None, 0)
        await cluster.start(3)
        await until(lambda: ("peer_behind", away) not in nodes[0].told.alerts)
