"""The witness: it cosigns what is stored here, one history of each log, and nothing in a hurry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from repl_support import Cluster, Node, present

from mesh.certificate import check_cosignature
from mesh.evidence import verify_evidence
from mesh.testing.orglog import OrgLog
from mesh.wire import Announcement
from mesh.witness import (
    AddCheckpoint,
    BadConsistencyError,
    OldAboveNewError,
    SplitCheckpointError,
    StaleOldSizeError,
    Witnessed,
)
from orgnode.federation.errors import (
    ForkedSelfError,
    NotMirroredError,
    RecoveringError,
    SuspendedPeerError,
)
from orgnode.federation.reply import body_reader
from orgnode.store import StoreFullError
from proofs.merkle import consistency_proof

NOON = 1_795_000_000.0


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path, 4, clock=lambda: NOON)


@pytest.fixture
def node(cluster: Cluster) -> Iterator[Node]:
    """Member 0, which signs at once, as if it had asked about its past."""
    built = cluster.build(0)
    built.replicator.witness.open()
    yield built
    built.store.close()


def request(log: OrgLog, old: int, size: int | None = None) -> bytes:
    size = log.size if size is None else size
    proof = consistency_proof(old, size, lambda nodes: list(log.nodes(nodes))) if old else []
    return AddCheckpoint(old, tuple(proof), log.checkpoint(size)).encode()


async def hold(node: Node, log: OrgLog) -> None:
    """Have the node mirror all of a log."""
    held = node.holds(log.name)
    await node.replicator.syncs[log.name].on_announce(log.announcement(held, certified=False))


async def cosigned(node: Node, log: OrgLog, old: int, size: int | None = None) -> int:
    """Ask for a cosignature; returns its time."""
    reply = await node.replicator.witness.add_checkpoint(log.name, request(log, old, size))
    assert reply.status == 200
    return check_cosignature(log.mesh, node.name, log.checkpoint(size), reply.body)


async def status(node: Node, asker: str, body: bytes) -> tuple[int, str]:
    """What a member is answered, by the service."""
    reply = await node.replicator.service.answer(
        asker, "POST", "/federation/v1/add-checkpoint", body_reader(body)
    )
    return reply.status, reply.body.decode()


async def test_what_is_mirrored_is_cosigned(cluster: Cluster, node: Node) -> None:
    log = cluster.log(1, 3)
    await hold(node, log)
    assert await cosigned(node, log, 0) == int(NOON)
    assert node.store.witnessed(log.name).size == 3
    for number in range(5):
        log.append_sighting(f"{number:064x}")
    await hold(node, log)
    assert await cosigned(node, log, 3, 6) == int(NOON)
    assert await cosigned(node, log, 6, 8) == int(NOON)
    assert await cosigned(node, log, 8, 8) == int(NOON), "once more, as after a lost answer"


async def test_nobody_but_its_owner_has_a_log_cosigned(cluster: Cluster, node: Node) -> None:
    """A witness that others brought further could not take part in the owner's round."""
    log = cluster.log(1, 3)
    await hold(node, log)
    told, text = await status(node, cluster.name(2), request(log, 0))
    assert (told, "NotYourLogError" in text) == (403, True)
    assert node.store.witnessed(log.name).size == 0


async def test_a_clock_that_was_never_set_gives_no_time_zero(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, 4, clock=lambda: 0.0)
    node = cluster.build(0)
    node.replicator.witness.open()
    log = cluster.log(1, 1)
    await hold(node, log)
    assert await cosigned(node, log, 0) == 1
    node.store.close()


async def test_nothing_is_cosigned_before_this_node_knows_its_past(cluster: Cluster) -> None:
    node = cluster.build(0)
    log = cluster.log(1, 1)
    await hold(node, log)
    with pytest.raises(RecoveringError):
        await cosigned(node, log, 0)
    assert (await status(node, log.name, request(log, 0)))[0] == 503
    assert node.store.witnessed(log.name).size == 0
    node.store.close()


async def test_what_is_not_held_is_not_cosigned(cluster: Cluster, node: Node) -> None:
    log = cluster.log(1, 2)
    with pytest.raises(NotMirroredError):
        await cosigned(node, log, 0)
    await hold(node, log)
    assert await cosigned(node, log, 0)
    log.append_sighting("ab" * 32)
    with pytest.raises(NotMirroredError):
        await cosigned(node, log, 2)
    assert node.store.witnessed(log.name).size == 2


async def test_what_is_held_without_its_bodies_is_not_cosigned(
    cluster: Cluster, node: Node
) -> None:
    """*Attack:* show the body to some witnesses only, and have all of them vouch for it."""
    log = cluster.log(1, 4)
    body = log.withhold_body(2)
    await hold(node, log)
    assert node.holds(log.name) == 4
    with pytest.raises(NotMirroredError) as caught:
        await cosigned(node, log, 0)
    assert "entry 2" in str(caught.value)
    assert await cosigned(node, log, 0, 2), "what lies before it is whole"
    log.answers[2] = body
    await node.replicator.syncs[log.name]._held.reassess([(2, log.notes[2], present(log, 2))])
    assert await cosigned(node, log, 2)


async def test_the_statuses_are_those_of_the_specification(cluster: Cluster, node: Node) -> None:
    log = cluster.log(1, 4)
    await hold(node, log)
    assert await cosigned(node, log, 0, 2)
    name = log.name
    assert (await status(node, name, b"old x\n\n"))[0] == 400
    foreign = request(log, 2).replace(name.encode() + b"/", b"nobody.example/")
    assert (await status(node, name, foreign))[0] == 404
    forged = request(log, 2).replace(b"\n4\n", b"\n5\n")
    assert (await status(node, name, forged))[0] == 403
    assert await status(node, name, request(log, 1)) == (409, "2\n")
    assert await status(node, name, request(log, 0)) == (409, "2\n")
    above = AddCheckpoint(4, (), log.checkpoint(2)).encode()
    assert (await status(node, name, above))[0] == 400
    bad = AddCheckpoint(2, (bytes(32),), log.checkpoint()).encode()
    assert (await status(node, name, bad))[0] == 422
    assert node.store.witnessed(name).size == 2
    assert node.replicator.syncs[name].suspended == "", "a bad proof proves nothing"
    assert (await status(node, name, request(log, 2)))[0] == 200


async def test_a_second_root_is_refused_and_convicts(cluster: Cluster, node: Node) -> None:
    log = cluster.log(1, 4)
    twin = log.fork(2)
    twin.append_sighting("cd" * 32)
    twin.append_sighting("ef" * 32)
    await hold(node, log)
    assert await cosigned(node, log, 0)
    with pytest.raises(SplitCheckpointError):
        await node.replicator.witness.add_checkpoint(log.name, request(twin, 4))
    (evidence,) = node.told.evidence
    verify_evidence(cluster.mesh.mesh, evidence)
    assert node.replicator.syncs[log.name].suspended == "split"
    with pytest.raises(SuspendedPeerError):
        await cosigned(node, log, 4)
    assert (await status(node, log.name, request(log, 4)))[0] == 403
    assert node.store.witnessed(log.name).root == log.frontier().root()


async def test_another_history_than_the_one_held_is_never_cosigned(
    cluster: Cluster, node: Node
) -> None:
    """This witness has cosigned nothing of the log yet; what it mirrors is enough to know."""
    log = cluster.log(1, 4)
    twin = log.fork(2)
    twin.append_sighting("cd" * 32)
    await hold(node, log)
    with pytest.raises(SplitCheckpointError):
        await cosigned(node, twin, 0, 3)
    assert node.store.witnessed(log.name).size == 0
    (evidence,) = node.told.evidence
    verify_evidence(cluster.mesh.mesh, evidence)


async def test_a_rewritten_history_is_refused_and_convicts(cluster: Cluster, node: Node) -> None:
    log = cluster.log(1, 4)
    twin = log.fork(2)
    for number in range(4):
        twin.append_sighting(f"{number:064x}")
    await hold(node, log)
    assert await cosigned(node, log, 0)
    with pytest.raises(BadConsistencyError):
        await node.replicator.witness.add_checkpoint(log.name, request(twin, 4))
    assert node.store.witnessed(log.name).size == 4


class Watching:
    """A store that tells what the witness does with it, and fails or waits on demand."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.full = False
        self.reached = asyncio.Event()
        self.hold: asyncio.Event | None = None
        self.writes = 0
        self.believed: Witnessed | None = None

    def witnessed(self, log: str) -> Witnessed:
        known: Witnessed = self._store.witnessed(log)
        return self.believed or known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def put_witnessed(self, *arguments: Any) -> None:
        self.writes += 1
        self.reached.set()
        if self.full:
            raise StoreFullError("the disk is full")
        if self.hold is not None:
            await self.hold.wait()
        await self._store.put_witnessed(*arguments)


async def test_what_is_cosigned_is_on_the_disk_before(cluster: Cluster) -> None:
    store = Watching(cluster.open_store(0))
    node = cluster.build(0, store=store)  # type: ignore[arg-type]
    node.replicator.witness.open()
    log = cluster.log(1, 2)
    await hold(node, log)
    store.full = True
    with pytest.raises(StoreFullError):
        await cosigned(node, log, 0)
    store.full, store.hold = False, asyncio.Event()
    store.reached.clear()
    asking = asyncio.create_task(cosigned(node, log, 0))
    await store.reached.wait()
    await asyncio.sleep(0)
    assert not asking.done()
    store.hold.set()
    assert await asking
    writes = store.writes
    assert await cosigned(node, log, 2)
    assert store.writes == writes, "what is on the disk already is not written again"
    node.store.close()


async def test_of_two_requests_at_once_one_is_told_the_size(cluster: Cluster) -> None:
    store = Watching(cluster.open_store(0))
    node = cluster.build(0, store=store)  # type: ignore[arg-type]
    node.replicator.witness.open()
    log = cluster.log(1, 6)
    await hold(node, log)
    results = await asyncio.gather(
        cosigned(node, log, 0, 4), cosigned(node, log, 0, 6), return_exceptions=True
    )
    assert results[0] == int(NOON)
    assert isinstance(results[1], StaleOldSizeError)
    assert results[1].size == 4
    assert store.writes == 1, "the second one waits for the first, and is judged by its outcome"
    node.store.close()


async def test_the_disk_has_the_last_word(cluster: Cluster) -> None:
    """Whatever this process believes that it cosigned last."""
    store = Watching(cluster.open_store(0))
    node = cluster.build(0, store=store)  # type: ignore[arg-type]
    node.replicator.witness.open()
    log = cluster.log(1, 6)
    await hold(node, log)
    assert await cosigned(node, log, 0, 4)
    store.believed = Witnessed()
    with pytest.raises(StaleOldSizeError) as caught:
        await cosigned(node, log, 0, 6)
    assert caught.value.size == 4
    node.store.close()


async def test_logs_do_not_wait_for_each_other(cluster: Cluster) -> None:
    store = Watching(cluster.open_store(0))
    node = cluster.build(0, store=store)  # type: ignore[arg-type]
    node.replicator.witness.open()
    one, other = cluster.log(1, 1), cluster.log(2, 1)
    await hold(node, one)
    await hold(node, other)
    store.hold = asyncio.Event()
    slow = asyncio.create_task(cosigned(node, one, 0))
    await store.reached.wait()
    store.hold, held = None, store.hold
    assert await cosigned(node, other, 0)
    held.set()
    assert await slow
    node.store.close()


async def test_the_own_log_is_cosigned_by_the_same_rules(cluster: Cluster) -> None:
    node = cluster.build(0)
    await node.replicator.own_log.start()
    witness = node.replicator.witness
    await node.publish(3)
    note = node.store.checkpoint(node.name)
    assert note is not None
    with pytest.raises(RecoveringError):
        await witness.cosign_own(note)
    witness.open()
    line = await witness.cosign_own(note)
    assert check_cosignature(cluster.mesh.mesh, node.name, note, line) == int(NOON)
    await node.publish(2)
    newer = node.store.checkpoint(node.name)
    assert newer is not None
    assert await witness.cosign_own(newer)
    assert node.store.witnessed(node.name).size == 5
    with pytest.raises(OldAboveNewError):
        await witness.cosign_own(note)
    await node.replicator.stop()
    node.store.close()


async def test_a_second_history_of_the_own_log_stops_this_node(cluster: Cluster) -> None:
    node = cluster.build(0)
    await node.replicator.own_log.start()
    node.replicator.witness.open()
    await node.publish(2)
    twin = cluster.log(0, 2)
    with pytest.raises(SplitCheckpointError):
        await cosigned(node, twin, 0)
    assert ("forked_self", node.name) in node.told.alerts
    with pytest.raises(ForkedSelfError):
        await node.publish()
    assert node.store.meta("restored") == b"", "the next start asks everybody"
    other = cluster.log(1, 1)
    await hold(node, other)
    with pytest.raises(RecoveringError):
        await cosigned(node, other, 0)
    await node.replicator.stop()
    node.store.close()


async def test_an_announcement_of_nothing_but_a_checkpoint_is_not_enough(
    cluster: Cluster, node: Node
) -> None:
    log = cluster.log(1, 2)
    await node.replicator.syncs[log.name].on_announce(Announcement(log.checkpoint(), 2, (), ()))
    with pytest.raises(NotMirroredError):
        await cosigned(node, log, 0)
