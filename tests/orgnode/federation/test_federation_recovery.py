"""A node that starts asks others about its own past before it signs anything."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from repl_support import QUICK, SLOW_GOSSIP, Asked, Cluster, Node, running, until

from mesh.evidence import verify_evidence
from mesh.following import FollowerState
from mesh.vector import LogPosition, decode_vector, encode_vector
from mesh.wire import Announcement, encode_announcement
from orgnode.alerts import CONVICTED
from orgnode.federation.backoff import Backoff
from orgnode.federation.errors import ForkedSelfError, RecoveringError, SuspendedPeerError
from orgnode.federation.reply import Reply, body_reader, note_reply, octets_reply
from orgnode.ownlog import OwnLogError
from orgnode.store import StoreFullError


def everywhere(nodes: list[Node], log: str, size: int) -> bool:
    return all(node.certified(log) >= size for node in nodes)


def backup(cluster: Cluster, place: int) -> Path:
    """A copy of a stopped node's disk."""
    copy = cluster.path(place).with_suffix(".backup")
    shutil.copy(cluster.path(place), copy)
    return copy


def put_back(cluster: Cluster, place: int, copy: Path) -> None:
    """Put a stopped node's disk back to what it was."""
    for suffix in ("-wal", "-shm"):
        cluster.path(place).with_name(cluster.path(place).name + suffix).unlink(missing_ok=True)
    shutil.copy(copy, cluster.path(place))


async def mark_restored(cluster: Cluster, place: int, without: bytes = b"") -> None:
    """What `orgnode restore` leaves in the database."""
    store = cluster.open_store(place)
    await store.set_meta("restored", without)
    store.close()


async def get(node: Node, asker: str, what: str) -> tuple[int, bytes]:
    """What a member is answered that reads the node's own log."""
    path = f"/federation/v1/logs/{node.name}/{what}"
    reply = await node.replicator.service.answer(asker, "GET", path, body_reader(None))
    return reply.status, reply.body


async def older(cluster: Cluster) -> tuple[list[Node], Path]:
    """Four nodes of which the first published 3 + 3; its disk of after the first 3, certified."""
    nodes = await cluster.start_all()
    await nodes[0].publish(3)
    await until(lambda: everywhere(nodes, nodes[0].name, 3))
    await cluster.stop(0)
    copy = backup(cluster, 0)
    nodes[0] = await cluster.start(0)
    await nodes[0].publish(3)
    await until(lambda: everywhere(nodes, nodes[0].name, 6))
    await cluster.stop(0)
    put_back(cluster, 0, copy)
    return nodes[1:], copy


@pytest.mark.parametrize(("members", "others"), [(2, 1), (3, 2), (4, 2), (5, 3)])
async def test_nothing_is_signed_before_enough_members_were_asked(
    tmp_path: Path, members: int, others: int
) -> None:
    async with running(tmp_path, members) as cluster:
        node = await cluster.start(0, ready=False)
        with pytest.raises(RecoveringError) as caught:
            await node.publish()
        assert caught.value.hint
        for place in range(1, members):
            answered, needed, waiting = node.replicator.recovery.progress
            assert (answered, needed) == (min(place - 1, others), others)
            assert len(waiting) == members - place
            if place <= others:
                assert not node.replicator.recovery.done.is_set()
                assert node.store.checkpoint(node.name) is None
            await cluster.start(place, ready=False)
            want = min(place, others)
            await until(lambda want=want: node.replicator.recovery.progress[0] >= want)
        await cluster.ready(node)
        await node.publish()
        assert not any("announce" in path for path in cluster.net.paths()[:2])


async def test_while_it_asks_a_node_mirrors_and_serves_others_but_not_its_own_log(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        await asyncio.gather(*(node.publish(2) for node in nodes))
        await until(lambda: all(everywhere(nodes, one.name, 2) for one in nodes))
        await cluster.stop(0)
        cluster.net.split([cluster.name(0)], cluster.names[1:])
        again = await cluster.start(0, ready=False)
        assert (await get(again, cluster.name(1), "checkpoint"))[0] == 503
        assert (await get(again, cluster.name(1), "seen"))[0] == 503
        other = again.replicator.service
        path = f"/federation/v1/logs/{cluster.name(2)}/checkpoint"
        assert (await other.answer(cluster.name(1), "GET", path, body_reader(None))).status == 200
        vector = decode_vector(
            await again.replicator.gossip.asked(cluster.name(1), encode_vector([]))
        )
        assert [one.log for one in vector] == cluster.names[1:]
        log = cluster.log(3, 0)
        await nodes[3].publish()
        news = Announcement(
            nodes[3].store.checkpoint(log.name) or b"",
            2,
            tuple(nodes[3].store.entries(log.name, 2, 3)),
            tuple(nodes[3].store.bodies(log.name, 2, 3)),
        )
        reply = await other.answer(
            log.name, "POST", "/federation/v1/announce", body_reader(encode_announcement(news))
        )
        assert (reply.status, again.holds(log.name)) == (200, 3)
        cluster.net.heal()
        await cluster.ready(again)
        assert (await get(again, cluster.name(1), "checkpoint"))[0] == 200


async def test_a_whole_mesh_that_restarts_at_once_comes_back(tmp_path: Path) -> None:
    """Each has entries that no other has yet: nobody may wait for what is not served."""
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        for node in nodes:
            cluster.net.split([node.name], [name for name in cluster.names if name != node.name])
        await asyncio.gather(*(node.publish(2) for node in nodes))
        for place in range(4):
            await cluster.stop(place)
        cluster.net.heal()
        nodes = await cluster.start_all()
        await until(lambda: all(everywhere(nodes, one.name, 2) for one in nodes))


@pytest.mark.parametrize("marked", [True, False])
async def test_an_old_disk_is_brought_up_to_what_was_signed(tmp_path: Path, marked: bool) -> None:
    async with running(tmp_path) as cluster:
        others, _ = await older(cluster)
        if marked:
            await mark_restored(cluster, 0)
        again = await cluster.start(0)
        assert again.size == 6
        await until(lambda: again.certified(again.name) == 6)
        assert again.store.bodies(again.name, 0, 6) == others[0].store.bodies(again.name, 0, 6)
        await again.publish(2)
        await until(lambda: everywhere([again, *others], again.name, 8))
        assert all(node.told.evidence == [] for node in (again, *others))
        assert again.store.meta("restored") == (b"-" if marked else None)
        assert again.replicator.recovery.lacking == 0


async def test_an_empty_disk_is_restored_from_mirrors(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        await nodes[0].publish(300)
        await until(lambda: everywhere(nodes, nodes[0].name, 300))
        frontier = nodes[0].store.state(nodes[0].name).frontier
        await cluster.stop(0)
        cluster.path(0).unlink()
        await mark_restored(cluster, 0)
        again = await cluster.start(0)
        assert again.store.state(again.name).frontier == frontier
        assert len(again.told.assessed) >= 300
        await again.publish()
        await until(lambda: everywhere([again, *nodes[1:]], again.name, 301))


async def test_signing_begins_as_soon_as_the_last_entry_is_back(tmp_path: Path) -> None:
    async with running(tmp_path, rhythm=replace(QUICK, behind_alert=1000.0)) as cluster:
        await older(cluster)
        go_on = asyncio.Event()

        async def slow(asked: Asked) -> Reply | None:
            if f"logs/{cluster.name(0)}/tile" in asked.path:
                await go_on.wait()
            return None

        cluster.net.meddlers.append(slow)
        again = await cluster.start(0, ready=False)
        await until(lambda: again.replicator.recovery.progress[0] == 3)
        assert again.replicator.recovery.lacking == 3
        assert not again.replicator.recovery.done.is_set()
        go_on.set()
        await cluster.ready(again)


async def test_after_a_restore_all_others_are_asked(tmp_path: Path) -> None:
    """What was never certified may be known to one member alone."""
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        await one.publish(2)
        await until(lambda: everywhere(nodes, one.name, 2))
        await cluster.stop(0)
        copy = backup(cluster, 0)
        one = await cluster.start(0)
        cluster.net.split([one.name], cluster.names[1:3])
        await one.publish()
        await until(lambda: nodes[3].holds(one.name) == 3)
        await cluster.stop(0)
        cluster.net.split(cluster.names, [cluster.name(3)])
        put_back(cluster, 0, copy)
        await mark_restored(cluster, 0)
        cluster.net.cut -= {(a, b) for a, b in cluster.net.cut if cluster.name(3) not in (a, b)}
        again = await cluster.start(0, ready=False)
        await until(lambda: again.replicator.recovery.progress[0] == 2)
        assert again.replicator.recovery.progress == (2, 3, (cluster.name(3),))
        await until(lambda: "recovering" in again.told.kinds())
        assert cluster.name(3) in again.told.alerts["recovering", again.name]
        assert not again.replicator.recovery.done.is_set()
        cluster.net.heal()
        await cluster.ready(again)
        assert again.size == 3
        assert "recovering" not in again.told.kinds()
        await again.publish()
        await until(lambda: everywhere([again, *nodes[1:]], again.name, 4))
        assert again.store.meta("restored") == b"-"


async def test_a_member_that_is_gone_for_ever_can_be_excused(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        await older(cluster)
        await cluster.stop(3)
        await mark_restored(cluster, 0, cluster.name(3).encode())
        again = await cluster.start(0)
        assert again.size == 6
        assert again.store.meta("restored") == b"-"


async def test_what_a_liar_shows_of_the_own_log_does_not_count(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        await older(cluster)
        await mark_restored(cluster, 0)
        liar = cluster.name(1)
        forged = cluster.log(2, 9)

        def lying(asked: Asked) -> Reply | None:
            if asked.peer == liar and asked.path.endswith(f"{cluster.name(0)}/seen"):
                return note_reply(forged.checkpoint())
            return None

        cluster.net.meddlers.append(lying)
        again = await cluster.start(0, ready=False)
        await until(lambda: again.replicator.recovery.progress == (2, 3, (liar,)))
        await asyncio.sleep(0.2)
        assert again.replicator.recovery.progress == (2, 3, (liar,))
        assert again.size == 6
        assert again.replicator.recovery.error is None
        cluster.net.meddlers.clear()
        await cluster.ready(again)


async def test_who_does_not_hand_over_what_it_claims_does_not_count(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        others, _ = await older(cluster)
        await others[1].publish()
        await until(lambda: everywhere(others, others[1].name, 1))
        await mark_restored(cluster, 0)
        liar = cluster.name(1)
        claim = encode_vector([LogPosition(cluster.name(2), 10**6, 0, bytes(32))])

        def lying(asked: Asked) -> Reply | None:
            if asked.peer == liar and asked.path.endswith("gossip"):
                return octets_reply(claim)
            return None

        cluster.net.meddlers.append(lying)
        again = await cluster.start(0, ready=False)
        await until(lambda: again.replicator.recovery.progress == (2, 3, (liar,)))
        await asyncio.sleep(0.2)
        assert again.replicator.recovery.progress == (2, 3, (liar,))
        cluster.net.meddlers.clear()
        await cluster.ready(again)


async def test_a_log_that_is_suspended_here_holds_up_no_recovery(tmp_path: Path) -> None:
    """Others may follow it still, and hold more of it; here nothing of it is cosigned."""
    async with running(tmp_path) as cluster:
        log = cluster.log(3, 3)
        twin = log.fork(2)
        twin.append_sighting("77" * 32)
        knowing = cluster.build(0)
        sync = knowing.replicator.syncs[log.name]
        await sync.on_announce(log.announcement(0, certified=False))
        with pytest.raises(SuspendedPeerError):
            await sync.on_announce(twin.announcement(0, certified=False))
        await knowing.replicator.stop()
        knowing.store.close()
        log.append_sighting("88" * 32)
        others = [await cluster.start(place, ready=False) for place in (1, 2)]
        for node in others:
            await node.replicator.syncs[log.name].on_announce(log.announcement(0, certified=False))
        again = await cluster.start(0)
        assert again.holds(log.name) == 3


async def test_a_sign_of_life_ends_the_waiting_for_a_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Patient(Backoff):
        def failed(self) -> float:
            super().failed()
            return 60.0

    monkeypatch.setattr("orgnode.federation.recovery.Backoff", Patient)
    async with running(tmp_path) as cluster:
        node = await cluster.start(0, ready=False)
        await asyncio.sleep(0.1)
        monkeypatch.undo()
        await cluster.start(1, ready=False)
        await cluster.start(2, ready=False)
        await cluster.ready(node)


async def test_what_was_signed_and_nobody_has_is_waited_for(tmp_path: Path) -> None:
    """Signing on would make another history of it."""
    async with running(tmp_path, rhythm=replace(QUICK, gossip=SLOW_GOSSIP)) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        await one.publish(2)
        await until(lambda: everywhere(nodes, one.name, 2))
        await cluster.stop(0)
        copy = backup(cluster, 0)
        lost = cluster.build(0)
        await lost.replicator.own_log.start()
        await lost.publish(3)
        only = Announcement(lost.store.checkpoint(lost.name) or b"", 5, (), ())
        entries = tuple(lost.store.entries(lost.name, 2, 5))
        bodies = tuple(lost.store.bodies(lost.name, 2, 5))
        await lost.replicator.stop()
        lost.store.close()
        put_back(cluster, 0, copy)
        await nodes[1].replicator.syncs[one.name].on_announce(only)
        cluster.net.split([one.name], [cluster.name(3)])
        again = await cluster.start(0, ready=False)
        await until(lambda: "recovering" in again.told.kinds())
        assert again.replicator.recovery.lacking == 3
        await until(lambda: "3 of 5 own entries" in again.told.alerts["recovering", again.name])
        with pytest.raises(RecoveringError):
            await again.publish()
        await cluster.stop(0)
        cluster.net.split([one.name], cluster.names[1:])
        again = await cluster.start(0, ready=False)
        assert again.replicator.recovery.lacking == 3, "it is known after a restart too"
        cluster.net.heal()
        whole = Announcement(only.checkpoint, 2, entries, bodies)
        await nodes[3].replicator.syncs[one.name].on_announce(whole)
        await nodes[3].replicator.gossip.exchange(one.name)
        await cluster.ready(again)
        assert again.size == 5
        await again.publish()
        await until(lambda: everywhere([again, *nodes[1:]], one.name, 6))


async def diverged(cluster: Cluster) -> list[Node]:
    """The first node's disk holds 3 entries, the last of them another than members have seen."""
    nodes = await cluster.start_all()
    one = nodes[0]
    await one.publish(2)
    await until(lambda: everywhere(nodes, one.name, 2))
    await cluster.stop(0)
    copy = backup(cluster, 0)
    nodes[0] = await cluster.start(0)
    await nodes[0].publish()
    await until(lambda: everywhere(nodes, one.name, 3))
    await cluster.stop(0)
    put_back(cluster, 0, copy)
    other = cluster.build(0)
    await other.replicator.own_log.start()
    await other.publish()
    await other.replicator.stop()
    other.store.close()
    return nodes[1:]


async def test_a_disk_that_members_contradict_is_not_signed_on(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        others = await diverged(cluster)
        again = await cluster.start(0, ready=False)
        await until(lambda: ("forked_self", again.name) in again.told.alerts)
        with pytest.raises(ForkedSelfError):
            await again.publish()
        evidence = again.store.state(again.name).evidence
        assert evidence is not None
        verify_evidence(cluster.mesh.mesh, evidence)
        assert again.replicator.recovery.error is not None
        assert again.told.evidence == []
        assert not again.replicator.recovery.done.is_set()
        assert (await get(again, cluster.name(1), "checkpoint"))[0] == 503
        assert all(node.replicator.syncs[again.name].suspended == "" for node in others)


async def test_a_convicted_node_knows_it_at_its_start_whoever_answers(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        await diverged(cluster)
        again = await cluster.start(0, ready=False)
        await until(lambda: again.store.state(again.name).evidence is not None)
        for place in range(4):
            await cluster.stop(place)
        alone = await cluster.start(0, ready=False)
        assert ("forked_self", alone.name) in alone.told.alerts, "before anybody answered"
        with pytest.raises(ForkedSelfError) as caught:
            await alone.publish()
        assert caught.value.hint == CONVICTED
        await asyncio.sleep(0.1)
        assert "recovering" not in alone.told.kinds()
        assert not alone.replicator.recovery.done.is_set()


async def test_who_restored_a_backup_is_told_at_once_whom_it_waits_for(tmp_path: Path) -> None:
    rhythm = replace(QUICK, behind_alert=1000.0)
    async with running(tmp_path, rhythm=rhythm) as cluster:
        await older(cluster)
        for place in (1, 2, 3):
            await cluster.stop(place)
        fresh = await cluster.start(0, ready=False)
        await asyncio.sleep(0.1)
        assert "recovering" not in fresh.told.kinds(), "it may have just started with the others"
        await cluster.stop(0)
        await mark_restored(cluster, 0)
        again = await cluster.start(0, ready=False)
        await until(lambda: "recovering" in again.told.kinds())
        assert "0 of 3" in again.told.alerts["recovering", again.name]
        with pytest.raises(RecoveringError) as caught:
            await again.publish()
        assert "all of them must answer" in caught.value.hint
        assert "orgnode restore FILE --without NAME` into a new, empty" in caught.value.hint
        await cluster.start(1, ready=False)
        await until(lambda: "1 of 3" in again.told.alerts["recovering", again.name])


async def test_an_amnesia_that_shows_later_stops_the_node_and_asks_all_next_time(
    tmp_path: Path,
) -> None:
    """A snapshot of the machine was put back while the only one who knew better was away."""
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        one = nodes[0]
        await one.publish(2)
        await until(lambda: everywhere(nodes, one.name, 2))
        await cluster.stop(0)
        copy = backup(cluster, 0)
        one = await cluster.start(0)
        cluster.net.split([one.name], cluster.names[1:3])
        await one.publish()
        await until(lambda: nodes[3].holds(one.name) == 3)
        await cluster.stop(0)
        put_back(cluster, 0, copy)
        cluster.net.split(cluster.names, [cluster.name(3)])
        cluster.net.cut -= {(a, b) for a, b in cluster.net.cut if cluster.name(3) not in (a, b)}
        again = await cluster.start(0)
        assert again.size == 2
        cluster.net.heal()
        await until(lambda: ("disk_behind", again.name) in again.told.alerts)
        assert "forked_self" not in again.told.kinds(), "it has signed nothing else"
        with pytest.raises(ForkedSelfError):
            await again.publish()
        await until(lambda: again.store.meta("restored") == b"")
        await cluster.stop(0)
        healed = await cluster.start(0)
        assert healed.size == 3, "it had signed nothing yet that contradicts it"
        await healed.publish()
        await until(lambda: everywhere([healed, *nodes[1:]], healed.name, 4))


async def test_once_it_signs_a_node_follows_its_own_log_no_more(tmp_path: Path) -> None:
    """Two would write to it. Only bodies that mirrors lacked are still asked for."""
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all()
        await nodes[0].publish(2)
        await until(lambda: everywhere(nodes, nodes[0].name, 2))
        nodes[0].replicator._own_chaser.hint(nodes[1].name, 10**6, urgent=True)
        await asyncio.sleep(0.1)
        asked = [path for path in cluster.net.paths() if path.startswith("acme>")]
        assert not any(f"logs/{nodes[0].name}/checkpoint" in path for path in asked)


async def test_a_full_disk_at_the_end_is_tried_again(tmp_path: Path) -> None:
    class Full:
        def __init__(self, store: object) -> None:
            self._store = store
            self.failures = 2

        def __getattr__(self, name: str) -> object:
            return getattr(self._store, name)

        async def save_state(self, log: str, state: FollowerState) -> int:
            if log == cluster.name(0) and self.failures:
                self.failures -= 1
                raise StoreFullError("the disk is full")
            return await self._store.save_state(log, state)  # type: ignore[attr-defined, no-any-return]

    async with running(tmp_path) as cluster:
        await cluster.start_all(1, 2, 3)
        node = await cluster.start(0, store=Full(cluster.open_store(0)))  # type: ignore[arg-type]
        await node.publish()


async def test_a_database_that_contradicts_itself_is_not_started(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        nodes = await cluster.start_all(0, 1, 2)
        await nodes[0].publish(2)
        await cluster.stop(0)
        node = cluster.build(0)
        state = node.store.state(node.name)
        node.replicator.own_log._store = _Stored(replace(state, checkpoint=None))  # type: ignore[assignment]
        with pytest.raises(OwnLogError):
            await node.replicator.start()
        await node.replicator.stop()
        node.store.close()


class _Stored:
    def __init__(self, state: FollowerState) -> None:
        self._state = state

    def state(self, log: str) -> FollowerState:
        return self._state


async def test_stopping_while_it_asks_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:

        async def hanging(asked: Asked) -> Reply | None:
            await asyncio.sleep(1000)
            return None

        cluster.net.meddlers.append(hanging)
        await cluster.start(0, ready=False)
        await asyncio.sleep(0.05)
        async with asyncio.timeout(1):
            await cluster.stop(0)
