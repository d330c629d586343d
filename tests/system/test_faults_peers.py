"""One real node among eight peers that misbehave, each in its own way, and one honest one.

The node and the honest peer are processes of their own; the others are scripted, with the keys of
real members. Every fault is seen by its name where an operator looks (`peers`, refused signals, the
feed), and the honest peer's signals arrive all the while.
"""

from __future__ import annotations

import asyncio
import gzip
import sqlite3
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from faults_support import (
    Running,
    held_by,
    incident,
    running,
    seated,
    signing,
    taking_part,
    world_of,
)
from fed_maverick import Answer, MaverickServer, Reply
from fed_support import honest, lying

from mesh.days import LAST_DAY, Day
from mesh.entry import Kind
from mesh.evidence import Evidence, verify_evidence
from mesh.testing.members import TestMesh
from mesh.testing.orglog import OrgLog
from mesh.testing.signals import Lie, MadeSignal, forge_signal, make_signal
from orgnode.api.models import RefusalAnswer
from orgnode.api.node_models import PeerAnswer
from orgnode.cli.feed import Wanted, follow_feed
from orgnode.client import NodeClient
from orgnode.datadir import DataDir
from orgnode.federation.client import PeerClient
from orgnode.federation.errors import PeerAnswerError
from orgnode.federation.httpline import HttpLine
from orgnode.keystore import KeyStore
from orgnode.node import today
from orgnode.testnet import TestNetwork
from orgnode.tls import client_context, server_context
from proofs.merkle import leaf_hash
from proofs.note import Signer, sign_note
from proofs.tiles import BundleError, encode_bundle

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
]

WITHIN = 60.0


@dataclass
class Scripted:
    """A member whose node a test plays."""

    world: TestMesh
    log: OrgLog
    server: MaverickServer
    keys: KeyStore

    @property
    def name(self) -> str:
        return self.log.name

    def answers(self, answer: Answer) -> None:
        # It takes part in the rest, whatever becomes of its log: else nobody could publish in the
        # meantime, or have anything certified.
        self.only(taking_part(self.world, self.log, answer))

    def only(self, answer: Answer) -> None:
        """Answer nothing else; but its seat works."""
        self.server.answer = seated(self.world, self.name, answer)


@dataclass
class Scene:
    """The node that is looked at, and everybody around it."""

    node: Running
    client: NodeClient
    world: TestMesh
    network: TestNetwork
    honest: Running
    scripted: dict[str, Scripted] = field(default_factory=dict)

    def __getitem__(self, label: str) -> Scripted:
        return self.scripted[f"{label}.example"]

    async def peer(self, label: str) -> PeerAnswer:
        return next(one for one in await self.client.peers() if one.name == f"{label}.example")

    async def refusals(self, label: str) -> dict[int, RefusalAnswer]:
        found = await self.client.refusals(issuer=f"{label}.example", limit=500)
        return {one.index: one for one in found}

    async def until(self, look: Callable[[], Awaitable[Any]]) -> Any:
        """Look until there is something to see, and return it."""
        async with asyncio.timeout(WITHIN):
            while not (seen := await look()):
                await asyncio.sleep(0.05)
            return seen

    async def failing(self, label: str, error: str) -> PeerAnswer:
        """Wait until the peer is shown with this error."""

        async def look() -> PeerAnswer | None:
            peer = await self.peer(label)
            return peer if peer.error == error else None

        return await self.until(look)

    async def settled(self, label: str) -> PeerAnswer:
        """Wait until all that the scripted member has published is decided, and certified."""
        size = self[label].log.size

        async def look() -> PeerAnswer | None:
            peer = await self.peer(label)
            return peer if peer.size == peer.certified == size else None

        return await self.until(look)

    async def decided(self, label: str, **expected: int) -> None:
        """Wait until so many entries of a settled log came out each way.

        What a node says of them a moment before need not be final: a body may come after its entry.
        """
        seen = await self.settled(label)

        async def look() -> bool:
            nonlocal seen
            seen = await self.peer(label)
            return counts(seen) == expected

        try:
            await self.until(look)
        except TimeoutError:
            assert counts(seen) == expected  # which shows the difference
            raise

    async def honest_signals_arrive(self) -> None:
        """What the honest member publishes now is in the node's feed soon."""
        async with NodeClient.from_datadir(self.honest.directory) as other:
            published = await other.report(
                **incident(f"ignore all instructions {Random().random()}")
            )

        async def look() -> bool:
            return (await held_by(self.node.directory)).get(published.signal) == "live"

        assert await self.until(look)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    network = TestNetwork.create(tmp_path_factory.mktemp("peers") / "net", 10)
    mesh = network.mesh
    stores = {org.name: KeyStore.open(org.datadir.keys) for org in network.orgs}
    world = world_of(network)
    certificates = [card.certificate for card in mesh.members]
    for org in network.orgs[:2]:
        config = org.datadir.config
        lines = config.read_text().splitlines()
        lines = [line for line in lines if not line.removeprefix("# ").startswith("poll_interval")]
        config.write_text("\n".join([*lines, "poll_interval = [0.2, 0.4]", ""]))
    async with AsyncExitStack() as stack:
        scripted = {}
        for org in network.orgs[2:]:
            log = OrgLog(world, world.member(org.name), day=today())
            server = MaverickServer(
                server_context(stores[org.name], certificates),
                honest(log),
                port=mesh.member(org.name).port,
            )
            scripted[org.name] = Scripted(world, log, server, stores[org.name])
            scripted[org.name].answers(honest(log))
            await stack.enter_async_context(server)
        other = stack.enter_context(running(network.orgs[1].directory))
        node = stack.enter_context(running(network.orgs[0].directory))
        client = await stack.enter_async_context(NodeClient.from_datadir(node.directory))
        async with NodeClient.from_datadir(other.directory) as beside:
            await signing(beside)
        await signing(client)
        yield Scene(node, client, world, network, other, scripted)
        assert node.process.poll() is None, "whatever they did, the node runs"
        assert not [
            line
            for line in node.lines
            if line["event"].endswith(("crashed", "failed"))
            and line["level"] in {"error", "critical"}
        ]


def counts(peer: PeerAnswer) -> dict[str, int]:
    """How many entries of the peer's log came out how."""
    return {outcome: count for outcome, count in peer.entries.items() if count}


# --- entries: each is decided on its own, with a name


async def test_bad_entries_are_refused_each_for_its_reason(scene: Scene) -> None:
    log = scene["cobalt"].log
    mesh, day, rng = scene.world.mesh, today(), Random(7)
    expected: dict[int, str] = {}

    def add(error: str, note: bytes) -> None:
        expected[log.size] = error
        log.append_note(note)

    def publish(error: str, made: MadeSignal, **changes: Any) -> None:
        expected[log.size] = error
        log.append(Kind.SIGNAL, made.salt, made.body, **changes)

    def made() -> MadeSignal:
        return make_signal(mesh, log.name, rng)

    first = log.append_signal(made())
    # Claims that the proofs do not bear out, one of them copied from another issuer's log.
    publish("FalseHolderProofError", make_signal(mesh, "dune.example", rng))
    for lie in Lie:
        publish(LIES.get(lie, "ProofEquationError"), forge_signal(mesh, log.name, lie, rng))
    for error, changes in FOREIGN.items():
        publish(error, made(), **changes(day))
    # Bodies that are no signal.
    for error, change in BODIES.items():
        one = made()
        publish(error, replace(one, body=change(one.body)))
    # Notes that are not what this member signed.
    true = log.notes[0]
    add("BadSignatureError", true.replace(b"signal", b"signaL", 1))
    stranger = Signer(log.name, bytes(32))
    text = true.decode().rpartition("\n\n")[0] + "\n"
    add("UnsignedNoteError", sign_note(text, (stranger,)))
    kind, line, _ = text.split("\n")
    for error, change in LINES.items():
        written = change(line)
        add(error, sign_note(f"{kind}\n{written}\n", (log.member.identity,)))
    # One entry has one encoding: the same in other words is refused.
    add("EntryFormatError", sign_note(f"{kind}\n {line}\n", (log.member.identity,)))
    # An entry of the largest size is carried like any; more has no place in a log.
    unknown = "signal-mesh/v1/unknown\n"
    overhead = len(sign_note(f"{unknown}\n", (log.member.identity,)))
    padded = f"{unknown}{' ' * (65_535 - overhead)}\n"
    log.append_note(sign_note(padded, (log.member.identity,)))
    assert len(log.notes[-1]) == 65_535
    with pytest.raises(BundleError):
        encode_bundle([log.notes[-1] + b"\n"])
    last = log.append_signal(made())

    await scene.decided("cobalt", accepted=2, deferred=1, refused=len(expected))
    refused = await scene.refusals("cobalt")
    assert {index: one.error for index, one in refused.items()} == expected
    assert all(one.reason for one in refused.values())
    signals = await held_by(scene.node.directory)
    assert [signals.get(one) for one in (first, last)] == ["live"] * 2
    assert not {leaf_hash(log.notes[index]).hex() for index in expected} & set(signals)
    # Whoever watches the feed is told of each.
    told = set()
    async with aclosing(follow_feed(scene.client, 0, Wanted(types=["refused"]))) as items:
        async for item in items:
            if item.issuer == log.name:
                told.add((item.index, item.error))
            if len(told) == len(expected):
                break
    assert told == set(expected.items())
    await scene.honest_signals_arrive()


LIES = {
    Lie.POINT_OFF_CURVE: "NotOnCurveError",
    Lie.NO_HOLDER: "FalseHolderProofError",
    Lie.COPIED_HOLDER: "FalseHolderProofError",
}
FOREIGN: dict[str, Callable[[Day], dict[str, Any]]] = {
    "ForeignMeshError": lambda day: {"mesh_id": "0" * 64},
    "DatedAheadError": lambda day: {"day": Day(day + 30), "expires": Day(day + 60)},
    "ExpiryBeforeDayError": lambda day: {"day": day, "expires": Day(day - 1)},
    "ExpiryTooFarError": lambda day: {"day": day, "expires": LAST_DAY},
}
BODIES: dict[str, Callable[[bytes], bytes]] = {
    "SignalFormatError": lambda body: body[:-1] + b',"unknown":1}',
    "DuplicateKeyError": lambda body: body[:-1] + b',"confidence":1}',
    "JSONNumberError": lambda body: body[:-1] + b',"a":1' + b"0" * 400 + b"}",
    "JSONDepthError": lambda body: body[:-1] + b',"a":' + b"[" * 15_000 + b"}",
    "JSONEncodingError": lambda body: body[:-1] + b',"a":"\xff"}',
}
LINES: dict[str, Callable[[str], str]] = {
    "EntryFormatError": lambda line: line[:-1] + ',"unknown":1}',
    "DuplicateKeyError": lambda line: line[:-1] + ',"version":0}',
    "JSONNumberError": lambda line: line.replace('"version":0', '"version":NaN'),
    "JSONDepthError": lambda line: "[" * 30_000 + "]" * 30_000,
}


async def test_what_can_not_be_decided_yet(scene: Scene) -> None:
    """Unknown kinds and versions wait; bodies that are missing or wrong are had later."""
    log = scene["dune"].log
    mesh, day = scene.world.mesh, today()
    log.append_signal(log.pool[6], day=Day(day - 60), expires=Day(day - 1))
    log.append_unknown()
    made = log.pool[5]
    log.append(Kind.SIGNAL, made.salt, made.body, version=mesh.version + 1)
    erased, missing, wrong, gone = log.append_signals(4)
    withheld, spoilt = log.withhold_body(4), log.corrupt_body(5)
    log.erase_body(3)
    log.erase_body(6)
    log.append_retraction(erased)
    last = log.append_signal()
    # Two are expired, or erased and retracted; one has a wrong body; four wait, among them what is
    # said to be erased and was never retracted.
    await scene.decided("dune", accepted=2, deferred=4, lapsed=2, refused=1)
    assert {i: one.error for i, one in (await scene.refusals("dune")).items()} == {
        5: "BodyDigestError"
    }
    signals = await held_by(scene.node.directory)
    assert signals[last] == "live"
    assert not {erased, missing, wrong, gone} & set(signals)

    log.answers[4], log.answers[5] = withheld, spoilt

    async def healed() -> bool:
        held = await held_by(scene.node.directory)
        return held.get(missing) == held.get(wrong) == "live"

    assert await scene.until(healed)
    await scene.decided("dune", accepted=4, deferred=3, lapsed=2)
    assert await scene.refusals("dune") == {}


async def test_a_body_over_the_limit(scene: Scene) -> None:
    log = scene["juniper"].log
    log.append(Kind.SIGNAL, bytes(32), b" " * (scene.world.mesh.constraints.max_body_bytes + 1))
    entry = log.append_signal()
    peer = await scene.failing("juniper", "PeerAnswerError")
    assert peer.size == 0
    log.withhold_body(0)  # what it can't send is nobody else's loss
    await scene.settled("juniper")
    assert (await held_by(scene.node.directory))[entry] == "live"


# --- logs: what is served, and what was signed


async def test_a_smaller_tree(scene: Scene) -> None:
    """Going back is no crime, and takes nothing away; going on from there is one."""
    liar = scene["ember"]
    accepted = liar.log.append_signals(4)
    await scene.settled("ember")
    signed = liar.log.checkpoint()
    liar.log.truncate(2)
    await scene.until(asked_since(liar, "gossip"))
    await scene.honest_signals_arrive()
    peer = await scene.peer("ember")
    assert (peer.size, peer.suspended) == (4, False)
    held = await held_by(scene.node.directory)
    assert {held.get(one) for one in accepted} == {"live"}
    liar.log.append_signals(4)
    evidence = await suspended(scene, liar, "fork")
    verify_evidence(scene.world.mesh, evidence)
    assert {evidence.first, evidence.second} == {signed, liar.log.checkpoint()}
    await nothing_more(scene, liar, accepted)


async def test_a_forked_tree(scene: Scene) -> None:
    liar = scene["fjord"]
    accepted = liar.log.append_signals(3)
    await scene.settled("fjord")
    other = liar.log.fork(1)
    other.append_signals(2)
    signed = liar.log.checkpoint()
    liar.log = other
    liar.answers(honest(other))
    evidence = await suspended(scene, liar, "split")
    verify_evidence(scene.world.mesh, evidence)
    assert {evidence.first, evidence.second} == {signed, other.checkpoint()}
    await nothing_more(scene, liar, accepted)


async def suspended(scene: Scene, liar: Scripted, kind: str) -> Evidence:
    """Wait until the log is suspended everywhere; returns the evidence as it is stored."""

    async def here() -> bool:
        return (await scene.peer(liar.name.partition(".")[0])).suspended

    await scene.until(here)
    location = f"file:{DataDir(scene.node.directory).database}?mode=ro"
    with closing(sqlite3.connect(location, uri=True)) as connection:
        (stored,) = connection.execute(
            "SELECT evidence FROM log WHERE name = ?", (liar.name,)
        ).fetchone()
    evidence = Evidence.from_json(stored)
    assert (evidence.kind, evidence.log) == (kind, liar.name)
    async with aclosing(follow_feed(scene.client, 0, Wanted(types=["evidence"]))) as items:
        async for item in items:
            if item.issuer == liar.name:
                assert item.kind == kind
                break

    async def everywhere() -> bool:
        async with NodeClient.from_datadir(scene.honest.directory) as other:
            return next(one for one in await other.peers() if one.name == liar.name).suspended

    await scene.until(everywhere)
    return evidence


async def nothing_more(scene: Scene, liar: Scripted, accepted: list[str]) -> None:
    """What the log grows by now is not taken, and what was taken counts no more; it is kept."""
    size = (await scene.peer(liar.name.partition(".")[0])).size
    later = liar.log.append_signals(3)
    card = scene.world.mesh.member("acme.example")
    line = HttpLine(card, client_context(liar.keys, card.certificate))
    limit = scene.world.mesh.constraints.max_body_bytes
    async with PeerClient(card, line, max_body_bytes=limit) as peer:
        with pytest.raises(PeerAnswerError) as refused:
            await peer.announce(liar.log.announcement(0))
    assert (refused.value.status, refused.value.told) == (403, "SuspendedPeerError")
    await scene.honest_signals_arrive()
    assert (await scene.peer(liar.name.partition(".")[0])).size == size
    assert not {*accepted, *later} & set(await held_by(scene.node.directory))
    kept = (await scene.client.signals(issuer=liar.name, suspended=True)).signals
    assert {one.id for one in kept} == set(accepted)


async def test_tiles_and_answers_that_are_no_true_ones(scene: Scene) -> None:
    """Truncated, exchanged, compressed, endless, broken off: nothing is taken; then all is."""
    liar = scene["heron"]
    log = liar.log
    bomb = gzip.compress(bytes(256_000_000), 1)

    def of_width(path: str) -> int:
        return int(path.rpartition("p/")[2]) if ".p/" in path else 256

    lies: list[tuple[str, str, Callable[[str], Reply | bytes]]] = [
        ("PeerAnswerError", "tile", lambda path: log.tile(0, 1, 44)[:-1]),
        ("PeerAnswerError", "entries", lambda path: log.bundle(0, 256)[:-1]),
        ("SegmentMismatchError", "tile", lambda path: bytes(32 * of_width(path))),
        ("EncodedAnswerError", "bodies", lambda path: _gzip(bomb)),
        ("AnswerTooLargeError", "checkpoint", lambda path: Reply(b"", length=10**12)),
        ("PeerUnreachableError", "checkpoint", lambda path: Reply(raw=b"")),
    ]
    log.append_signals(300)
    for error, part, lie in lies:
        liar.answers(lying(log, **{part: lie}))
        await scene.until(asked_since(liar, part))
        peer = await scene.failing("heron", error)
        assert (peer.size, peer.up, peer.suspended) == (0, False, False), error
    await scene.honest_signals_arrive()
    liar.answers(honest(log))
    await scene.decided("heron", accepted=300)
    status = Path(f"/proc/{scene.node.process.pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 250_000, "kB: nothing was inflated"


def asked_since(liar: Scripted, part: str) -> Callable[[], Awaitable[bool]]:
    """Whether the node has asked for this part of the log since now."""
    before = len(liar.server.asked)

    async def look() -> bool:
        return any(f"/{part}" in path for path in liar.server.asked[before:])

    return look


def _gzip(data: bytes) -> Reply:
    return Reply(data, headers=[("Content-Encoding", "gzip")])


async def test_silence_and_one_byte_a_second(scene: Scene) -> None:
    """Both are cut off at the same deadline, while others are served as ever."""
    slow, silent = scene["grove"], scene["iris"]
    slow.log.append_signals(1)
    silent.log.append_signals(1)
    slow.only(lambda method, path, body: Reply(slow.log.checkpoint(), pace=1.0))
    silent.only(lambda method, path, body: Reply(hang=True))
    both = [
        asyncio.create_task(scene.failing(label, "PeerTimeoutError")) for label in ("grove", "iris")
    ]
    while not all(task.done() for task in both):
        await scene.honest_signals_arrive()
        await asyncio.wait(both, timeout=0.5)
    for task in both:
        assert task.result().size == 0
    for peer in (slow, silent):
        peer.answers(honest(peer.log))
    await scene.settled("grove")
    await scene.settled("iris")


# --- who is at the other end


async def test_a_client_without_a_members_certificate(scene: Scene, tmp_path: Path) -> None:
    card = scene.world.mesh.member("acme.example")
    none = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    none.check_hostname, none.verify_mode = False, ssl.CERT_NONE
    (tmp_path / "keys").mkdir(mode=0o700)
    stranger = KeyStore.create(tmp_path / "keys", "birch.example")  # a member's name, another key
    for context in (none, client_context(stranger, card.certificate)):
        assert await asked(card.port, context, card.name) == b""
    # The same question with a member's key is answered.
    member = client_context(scene["juniper"].keys, card.certificate)
    assert (await asked(card.port, member, card.name)).startswith(b"HTTP/1.1 200 ")


async def asked(port: int, context: ssl.SSLContext, name: str) -> bytes:
    """Ask for the checkpoint; returns all that came, nothing if the connection was refused."""
    path = f"/federation/v1/logs/{name}/checkpoint"
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return await reader.read()
        finally:
            writer.transport.abort()
    except (ConnectionError, ssl.SSLError):
        return b""


async def test_a_server_with_another_members_certificate(scene: Scene) -> None:
    victim = scene["juniper"]
    await victim.server.__aexit__()
    mesh = scene.world.mesh
    others = server_context(scene["iris"].keys, [card.certificate for card in mesh.members])
    size = (await scene.peer("juniper")).size
    victim.log.append_signals(1)
    async with MaverickServer(others, honest(victim.log), port=mesh.member(victim.name).port) as it:
        await scene.failing("juniper", "WrongPeerError")
        assert it.asked == [], "nothing is said to whoever is not the peer"
    assert (await scene.peer("juniper")).size == size
    await victim.server.__aenter__()
    await scene.settled("juniper")
