"""A witness whose disk was put back cosigns no second history; forks are seen before they count."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from fed_support import honest
from repl_support import Cluster, Node, Rhythm, running, until

from mesh.testing.orglog import OrgLog
from mesh.vector import encode_vector
from mesh.wire import Announcement, encode_announcement
from mesh.witness import AddCheckpoint
from orgnode.federation.reply import RefusedError, Reply, body_reader, octets_reply

API = "/federation/v1"
OWNER, WITNESS, OTHER, LAST = 1, 0, 2, 3


def showing(cluster: Cluster, views: dict[str, OrgLog]) -> Callable[..., Reply | None]:
    """The log's owner serves each member a view of its own, and of it the first bundle only."""
    owner = cluster.name(OWNER)
    withheld = ("/tile/entries/001", "/tile/entries/002", "/bodies/256/")

    def meddle(asked) -> Reply | None:  # type: ignore[no-untyped-def]
        if asked.peer != owner:
            return None
        if asked.path.endswith("/gossip"):
            return octets_reply(encode_vector([]))
        view = views.get(asked.asker)
        if view is None or f"/logs/{owner}/" not in asked.path or asked.path.endswith("/seen"):
            return RefusedError(404, "NotServedError", "no").reply
        if any(part in asked.path for part in withheld):
            return RefusedError(503, "NotNowError", "later").reply
        data = honest(view)(asked.method, asked.path, asked.body)
        return (
            RefusedError(404, "NotServedError", "no").reply if data is None else octets_reply(data)
        )

    return meddle


def history(cluster: Cluster, mark: str, size: int) -> OrgLog:
    log = cluster.log(OWNER)
    for number in range(size):
        log.append_sighting(sha256(f"{mark} {number}".encode()).hexdigest())
    return log


async def ask(node: Node, log: OrgLog, what: str, body: bytes) -> int:
    service = node.replicator.service
    return (await service.answer(log.name, "POST", f"{API}/{what}", body_reader(body))).status


async def tell(node: Node, log: OrgLog, *, entries: bool = False) -> int:
    bare = Announcement(log.checkpoint(), 0, (), ())
    whole = log.announcement(0, certified=False)
    return await ask(node, log, "announce", encode_announcement(whole if entries else bare))


async def cosign(node: Node, log: OrgLog, size: int | None = None) -> int:
    request = AddCheckpoint(0, (), log.checkpoint(size))
    return await ask(node, log, "add-checkpoint", request.encode())


async def put_back(cluster: Cluster, place: int, backup: Path) -> None:
    """Stop a node, and restore its disk as `orgnode restore` does."""
    await cluster.stop(place)
    disk = cluster.path(place)
    for suffix in ("-wal", "-shm"):
        disk.with_name(disk.name + suffix).unlink(missing_ok=True)
    shutil.copy(backup, disk)
    store = cluster.open_store(place)
    await store.set_meta("restored", b"")
    store.close()


async def backed_up(cluster: Cluster, place: int) -> Path:
    """A copy of a node's disk as it is now; the node runs again."""
    await cluster.stop(place)
    backup = cluster.path(place).with_suffix(".backup")
    shutil.copy(cluster.path(place), backup)
    await cluster.start(place, ready=False)
    return backup


async def test_another_history_is_noticed_before_anything_is_cosigned(tmp_path: Path) -> None:
    """The owner feeds it to the restored node while the member that knows better is away."""
    rhythm = Rhythm(gossip=(1.0, 5.0), backoff=0.05, patience=2.0)
    async with running(tmp_path, rhythm=rhythm) as cluster:
        nodes = await cluster.start_all()
        await cluster.stop(OWNER)
        await cluster.start(
            OWNER, ready=False
        )  # stands for the liar: it answers, and holds nothing
        backup = await backed_up(cluster, WITNESS)
        witness, other = cluster.nodes[cluster.name(WITNESS)], nodes[OTHER]
        await cluster.ready(witness)
        log = cluster.log(OWNER, 3)
        twin = log.fork(2)
        twin.append_sighting("ab" * 32)
        cluster.net.split([cluster.name(OWNER)], [])
        for node in (witness, other):
            assert await tell(node, log, entries=True) == 200
            assert await cosign(node, log) == 200
        await put_back(cluster, WITNESS, backup)
        cluster.net.split([cluster.name(WITNESS)], [cluster.name(OTHER)])
        witness = await cluster.start(WITNESS, ready=False)
        assert await tell(witness, twin, entries=True) == 200
        assert await cosign(witness, twin) == 503
        cluster.net.heal()
        async with asyncio.timeout(20):
            while (answer := await cosign(witness, twin)) == 503:  # not yet
                await asyncio.sleep(0.005)
        assert answer == 403
        assert witness.store.state(log.name).evidence is not None


@pytest.mark.parametrize("restored", [True, False])
async def test_what_was_cosigned_on_the_way_to_a_larger_checkpoint_is_told(
    tmp_path: Path, restored: bool
) -> None:
    """Both members are kept from reaching a checkpoint, but they cosigned a smaller one."""
    async with running(tmp_path) as cluster:
        one, two = history(cluster, "one", 600), history(cluster, "two", 601)
        places = (WITNESS, OTHER, LAST)
        views = {cluster.name(WITNESS): one, cluster.name(OTHER): one if restored else two}
        cluster.net.meddlers.append(showing(cluster, views))
        for place in places:
            await cluster.start(place, ready=False)
        witness, other, last = (cluster.nodes[cluster.name(place)] for place in places)
        for node in (witness, other, last):
            await cluster.ready(node)
        if restored:
            backup = await backed_up(cluster, WITNESS)
            witness = cluster.nodes[cluster.name(WITNESS)]
            await cluster.ready(witness)
        for node, view in ((witness, one), (other, one if restored else two)):
            await tell(node, view)
            await until(lambda node=node: node.holds(one.name) == 256)
            assert await cosign(node, view, 256) in (200, 403)
        if restored:
            await put_back(cluster, WITNESS, backup)
            views[cluster.name(WITNESS)] = views[cluster.name(LAST)] = two
            witness = await cluster.start(WITNESS)
            await tell(witness, two)
            assert await cosign(witness, two, 256) in (403, 409, 422)
        await until(
            lambda: all(node.store.state(one.name).evidence for node in (witness, other)),
            seconds=20,
        )
        assert await cosign(witness, two, 256) != 200
