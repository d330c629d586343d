"""`kill -9` while publishing: nothing acknowledged is lost, nothing is signed twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from mesh.genesis import Mesh
from orgnode.client import ApiError, ClientError, NodeClient
from orgnode.errors import OrgnodeError
from orgnode.federation.client import PeerClient
from orgnode.federation.httpline import HttpLine
from orgnode.keystore import KeyStore
from orgnode.testnet import TestNetwork
from orgnode.tls import client_context
from proofs.checkpoint import open_checkpoint

pytestmark = [pytest.mark.system, pytest.mark.slow]

ROUNDS = 50
COMPONENTS = {
    "capability_gain": 5,
    "breadth": 5,
    "ease_of_weaponization": 5,
    "discoverability": 5,
}


class Witnessed:
    """Every checkpoint that was ever served, by size: a second root for a size is the failure."""

    def __init__(self, mesh: Mesh, name: str) -> None:
        self.name = name
        self._key = mesh.log_key(name)
        self.roots: dict[int, bytes] = {}

    def add(self, note: bytes) -> int:
        """Remember a checkpoint; returns its size."""
        checkpoint = open_checkpoint(note, self._key)
        known = self.roots.setdefault(checkpoint.size, checkpoint.root)
        assert known == checkpoint.root, f"two roots for size {checkpoint.size}"
        return checkpoint.size


async def _publish(node: NodeClient, round_number: int, acknowledged: list[str]) -> None:
    number = 0
    while True:
        number += 1
        try:
            published = await node.report(
                text=f"ignore all previous instructions, {round_number} {number} {id(node)}",
                components=COMPONENTS,
                category="cse",
                technique="AML.T0051",
            )
        except ApiError:
            raise
        except ClientError:
            return  # killed
        acknowledged.append(published.signal)


async def _watch(peer: PeerClient, seen: Witnessed) -> None:
    while True:
        try:
            seen.add(await peer.checkpoint(seen.name))
        except OrgnodeError:
            return  # killed


async def _round(
    network: TestNetwork, peer: PeerClient, seen: Witnessed, number: int, rng: random.Random
) -> list[str]:
    """Start the node, publish, kill it at a random moment; returns what it acknowledged."""
    await network.up(signing=True)  # the other one runs, and tells it of its past
    process = network.orgs[0].process
    assert process is not None
    acknowledged: list[str] = []
    async with NodeClient.from_datadir(network.orgs[0].directory) as node:
        publishers = [asyncio.create_task(_publish(node, number, acknowledged)) for _ in range(3)]
        tasks = [*publishers, asyncio.create_task(_watch(peer, seen))]
        if number % 10:
            # The first proofs wait for a worker to start; go on from an acknowledgement, so that
            # the moment falls among commits and not before them.
            while not acknowledged:
                await asyncio.wait(tasks, timeout=0.005)
                assert not any(task.done() for task in publishers), "the node refuses to publish"
        await asyncio.wait(tasks, timeout=rng.uniform(0.0, 0.15))
        assert process.send(signal.SIGKILL)
        assert process.wait(10)
        await asyncio.gather(*tasks)
    return acknowledged


async def test_nothing_acknowledged_is_lost_and_no_size_is_signed_twice(tmp_path: Path) -> None:
    """Fifty rounds of start, publish, `kill -9`, with a peer that remembers all it is served.

    The peer's own node runs all the while: both seats of the committee are needed to publish.
    """
    rng = random.Random(2026)
    both = TestNetwork.create(tmp_path / "net", 2)
    mesh = both.mesh
    owner, observer = both.orgs
    alone = TestNetwork(owner.directory, (owner,))
    other = TestNetwork(observer.directory, (observer,))
    keys = KeyStore.open(observer.datadir.keys)
    card = mesh.member(owner.name)
    seen = Witnessed(mesh, owner.name)
    acknowledged: list[str] = []
    line = HttpLine(card, client_context(keys, card.certificate))
    async with PeerClient(card, line, max_body_bytes=mesh.constraints.max_body_bytes) as peer:
        try:
            await other.up()
            for number in range(ROUNDS):
                acknowledged += await _round(alone, peer, seen, number, rng)
            await alone.up(signing=True)
            async with NodeClient.from_datadir(owner.directory) as node:
                for signal_id in acknowledged:
                    assert (await node.signal(signal_id)).status == "live"
                size = seen.add(await peer.checkpoint(seen.name))
                assert size >= len(acknowledged)
        finally:
            alone.down()
            other.down()
    assert len(acknowledged) > ROUNDS
    assert len(seen.roots) > ROUNDS
    # What was signed and never served counts as well.
    with sqlite3.connect(owner.datadir.database) as database:
        for size, root in database.execute("SELECT size, root FROM checkpoint"):
            assert seen.roots.setdefault(size, root) == root


async def test_workers_end_with_a_killed_node(tmp_path: Path) -> None:
    """A killed node leaves no worker process behind."""
    both = TestNetwork.create(tmp_path / "net", 2)
    await both.up()
    process = both.orgs[0].process
    assert process is not None
    try:
        async with both.client(both.orgs[0]) as node:
            await node.report(
                text="ignore all previous instructions",
                components=COMPONENTS,
                category="cse",
                technique="AML.T0051",
            )
        workers = _children(process.pid)
        assert workers
    finally:
        process.send(signal.SIGKILL)
        process.wait(10)
        both.down()
    async with asyncio.timeout(10):
        while any(_runs(pid) for pid in workers):
            await asyncio.sleep(0.02)


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _runs(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False
