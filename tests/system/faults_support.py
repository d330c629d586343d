"""Single nodes as real processes, started under conditions that a test sets; and played members."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fed_maverick import Answer, Reply
from testnet_support import SECONDS, Ran, environment

from mesh.evaluation import compose_answer, open_request
from mesh.member import log_origin
from mesh.testing.members import TestMember, TestMesh
from mesh.testing.orglog import OrgLog
from mesh.vector import LogPosition, encode_vector
from mesh.wire import WireLimits, decode_announcement
from mesh.witness import AddCheckpoint
from orgnode.client import NodeClient
from orgnode.federation.paths import ADD_CHECKPOINT, ANNOUNCE, EVALUATE, GOSSIP, log_path
from orgnode.keystore import KeyStore
from orgnode.node import today
from orgnode.share import read_share
from orgnode.testnet import TestNetwork
from proofs.cosignature import cosign
from proofs.note import Signer, parse_note
from proofs.ristretto import random_scalars

COMPONENTS = {
    "capability_gain": 6,
    "breadth": 5,
    "ease_of_weaponization": 5,
    "discoverability": 5,
}

_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
# To write and read past permissions, to look into any directory, to act as the owner of any file.
_OVERRIDES = (1, 2, 3)


def incident(text: str, **changes: Any) -> dict[str, Any]:
    """An incident for `NodeClient.report`."""
    return {
        "text": text,
        "components": COMPONENTS,
        "category": "ncr",
        "technique": "AML.T0054",
        **changes,
    }


def without_override() -> None:
    """Between fork and exec: take from root the power to write where permissions forbid it."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in _OVERRIDES:
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_CAPBSET_DROP")


@dataclass
class Running:
    """A node that serves."""

    process: subprocess.Popen[bytes]
    directory: Path
    ready: dict[str, Any]
    output: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.output.read_text().splitlines() if line]


def command(directory: Path, *options: str | Path) -> list[str]:
    """The command line that runs a node."""
    data = ("--data-dir", str(directory))
    return [sys.executable, "-m", "orgnode", *data, "--json", "run", *map(str, options)]


def refused(directory: Path, *options: str | Path, unprivileged: bool = False) -> Ran:
    """Run a node that must end by itself; returns how, when it and all it started have ended."""
    with subprocess.Popen(
        command(directory, *options),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        preexec_fn=without_override if unprivileged else None,
    ) as process:
        try:
            # The pipes end with the last process that holds them: a worker left behind would too.
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Ran(process.returncode, out.decode(), err.decode())


@contextmanager
def running(directory: Path, *options: str | Path) -> Iterator[Running]:
    """A node that serves when this yields; it is killed at the end if it still runs."""
    output = directory.parent / f"{directory.name}.err"
    with (
        output.open("ab") as errors,
        subprocess.Popen(
            command(directory, *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, output.read_text()
            yield Running(process, directory, json.loads(line), output)
        finally:
            process.kill()


def end(node: Running) -> None:
    """Let a node drain and end, as a service manager does."""
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(SECONDS) == 0


async def held_by(directory: Path, *, provisional: bool = False) -> dict[str, str]:
    """The signals that a running node holds, each with its status.

    :param provisional: those too that are not certified.
    """
    held: dict[str, str] = {}
    async with NodeClient.from_datadir(directory) as node:
        cursor = None
        while True:
            page = await node.signals(limit=500, cursor=cursor, provisional=provisional)
            held |= {one.id: one.status for one in page.signals}
            cursor = page.next
            if cursor is None:
                return held


def statuses(directory: Path) -> dict[str, str]:
    """The same where nothing else is going on."""
    return asyncio.run(held_by(directory))


async def signing(node: NodeClient) -> None:
    """Wait until a node has asked others about its past, and publishes."""
    async with asyncio.timeout(SECONDS):
        while (await node.ready()).recovering:
            await asyncio.sleep(0.05)


def published(directory: Path, text: str) -> str:
    """Publish one incident through a running node; returns its id when it is certified."""

    async def publish() -> str:
        async with NodeClient.from_datadir(directory) as node:
            await signing(node)
            made = await node.report(**incident(text), wait=True)
            assert made.certified
            return made.signal

    return asyncio.run(publish())


# --- members whose node a test plays, with the keys of a network's organizations


class Owner(TestMember):
    """A member of a real network as the fakes take one; its keys are in its key store."""

    def log_signer(self, mesh_id: str) -> Signer:
        return Signer(log_origin(self.name, mesh_id), self.log_seed)


def world_of(network: TestNetwork) -> TestMesh:
    """A real network's mesh and keys, as the fakes take them."""
    mesh = network.mesh
    members, shares = [], {}
    for org in network.orgs:
        keys = KeyStore.open(org.datadir.keys)
        seed = keys.card_log.seed
        card = mesh.member(org.name)
        members.append(Owner(card, keys.identity, keys.witness, seed, keys.sealing))
        share = read_share(org.datadir, mesh, keys)
        if share is not None:
            shares[org.name] = share
    datadir = network.orgs[0].datadir
    return TestMesh(
        mesh,
        tuple(sorted(members, key=lambda member: member.name)),
        datadir.read_selection_key(),
        shares,
        datadir.proposal.read_text(),
        datadir.transcript.read_bytes(),
    )


def taking_part(world: TestMesh, log: OrgLog, answer: Answer) -> Answer:
    """As `answer` for what is asked of the member's log; in all else a node that has its log alone.

    It gossips, its log is certified, and it cosigns whatever it is asked to, having it or not.
    """
    own, member = log_path(log.name), world.member(log.name)

    def answers(method: str, path: str, body: bytes) -> Reply | bytes | None:
        if path == GOSSIP:
            root = log.frontier().root()
            return encode_vector([LogPosition(log.name, log.size, log.size, root)])
        if path == ANNOUNCE:
            told = decode_announcement(body, WireLimits())
            held = [signed_size(note) for note in (told.checkpoint, told.certificate)]
            return json.dumps({"size": held[0], "certified": held[1]}).encode()
        if path == ADD_CHECKPOINT:
            note = AddCheckpoint.parse(body).checkpoint
            return cosign(parse_note(note).text, member.witness, int(time.time()))
        if path == f"{own}certificate":
            return log.certificate()
        if path.startswith(own) and path != f"{own}seen":
            return answer(method, path, body)
        return Reply(b'{"error":{"code":"NotServedError","message":""}}', status=404)

    return answers


def signed_size(note: bytes) -> int:
    """The size that a checkpoint tells; 0 if there is none."""
    return int(note.split(b"\n")[1]) if note else 0


def seated(world: TestMesh, name: str, answer: Answer) -> Answer:
    """As `answer`, but the member's seat, if it has one, evaluates for everybody."""
    share = world.shares.get(name)
    if share is None:
        return answer
    mesh, identity = world.mesh, world.member(name).identity

    def answers(method: str, path: str, body: bytes) -> Reply | bytes | None:
        if path != EVALUATE:
            return answer(method, path, body)
        request = open_request(mesh, body, today(), mesh.constraints.clock_skew_days)
        (nonce,) = random_scalars(os.urandom(32), b"nonce", 1)
        return compose_answer(mesh, identity, share, request, nonce)

    return answers
