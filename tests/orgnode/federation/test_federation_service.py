"""What the service answers, and what one member may take of it; the same behind every transport."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from fed_support import World, make_service, publish, raw_connection, serving
from hypothesis import given
from hypothesis import strategies as st

from mesh.days import Day
from mesh.errors import MeshError
from mesh.evaluation import MAX_EVALUATION_NOTE
from mesh.metering import BudgetExceededError
from mesh.testing.orglog import OrgLog
from mesh.vector import LogPosition, decode_vector, encode_vector, vector_bytes
from mesh.wire import MISSING, Announcement, decode_bodies, encode_announcement, encode_bodies
from mesh.witness import (
    MAX_REQUEST,
    AddCheckpoint,
    BadConsistencyError,
    ForeignCheckpointError,
    MalformedRequestError,
    OldAboveNewError,
    SplitCheckpointError,
    StaleOldSizeError,
    UnknownOriginError,
    Witnessed,
    judge,
)
from orgnode.federation import FederationService, Reply, ServerLimits
from orgnode.federation.accounts import Room, TokenBucket
from orgnode.federation.errors import (
    AnnouncementError,
    AnswerTooLargeError,
    MirrorQuotaError,
    NotMirroredError,
    NotYourRequestError,
    PeerAnswerError,
    RecoveringError,
    StaleOldSizeAnswer,
    SuspendedPeerError,
)
from orgnode.federation.paths import (
    ADD_CHECKPOINT,
    ANNOUNCE,
    EVALUATE,
    EVALUATIONS,
    GOSSIP,
    PING,
    log_path,
    receipt_path,
)
from orgnode.federation.reply import body_reader, note_reply, unwrap
from orgnode.store import StoreFullError
from orgnode.store.sqlite import SqliteStore
from proofs.cosignature import cosign, verify_cosignature
from proofs.merkle import EMPTY_ROOT
from proofs.note import NoteError

ID = "ab" * 32


async def ask(
    service: FederationService, peer: str, method: str, path: str, body: bytes | None = None
) -> Reply:
    return await service.answer(peer, method, path, body_reader(body))


def code(reply: Reply) -> str:
    assert reply.content_type == "application/json"
    return str(json.loads(reply.body)["error"]["code"])


def raising(error: Exception) -> Callable[..., Awaitable[Any]]:
    async def handler(*_: object) -> Any:
        raise error

    return handler


async def turns(count: int = 20) -> None:
    """Let everything that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


# --- statuses


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (MalformedRequestError("no"), 400, "MalformedRequestError"),
        (OldAboveNewError("no"), 400, "OldAboveNewError"),
        (ForeignCheckpointError("no"), 403, "ForeignCheckpointError"),
        (UnknownOriginError("no"), 404, "UnknownOriginError"),
        (BadConsistencyError("no"), 422, "BadConsistencyError"),
        (SplitCheckpointError("no"), 422, "SplitCheckpointError"),
        (SuspendedPeerError("no"), 403, "SuspendedPeerError"),
        (NotMirroredError("no"), 503, "NotMirroredError"),
        (RecoveringError("no"), 503, "RecoveringError"),
        (StoreFullError("the disk at /secret/path is full"), 503, "NotNowError"),
        (MeshError("no"), 400, "MeshError"),
        (NoteError("no"), 400, "NoteError"),
    ],
)
async def test_why_nothing_is_cosigned(
    world: World, store: SqliteStore, error: Exception, status: int, told: str
) -> None:
    service = make_service(world, store, add_checkpoint=raising(error))
    reply = await ask(service, world.name(1), "POST", ADD_CHECKPOINT, b"x")
    assert (reply.status, code(reply), b"secret" in reply.body) == (status, told, False)
    with pytest.raises(PeerAnswerError) as caught:
        unwrap("birch", reply, 1_000)
    assert (caught.value.status, caught.value.told, caught.value.size) == (status, told, None)


async def test_the_size_that_was_cosigned_last_is_told_as_c2sp_has_it(
    world: World, store: SqliteStore
) -> None:
    service = make_service(world, store, add_checkpoint=raising(StaleOldSizeError("x", 17)))
    reply = await ask(service, world.name(1), "POST", ADD_CHECKPOINT, b"x")
    assert (reply.status, reply.content_type, reply.body) == (409, "text/x.tlog.size", b"17\n")
    with pytest.raises(PeerAnswerError) as caught:
        unwrap("birch", reply, 1_000)
    assert caught.value.size == 17


def test_an_answer_in_memory_has_its_cap_too() -> None:
    assert unwrap("birch", note_reply(b"1234"), 4) == b"1234"
    with pytest.raises(AnswerTooLargeError):
        unwrap("birch", note_reply(b"12345"), 4)


class OneWitness:
    """A witness that mirrors everything and forgets nothing, by the rules of `mesh.witness`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.known = Witnessed(0, EMPTY_ROOT)

    async def __call__(self, peer: str, data: bytes) -> Reply:
        judged = judge(self.world.mesh, AddCheckpoint.parse(data), self.known)
        self.known = Witnessed(judged.size, judged.root)
        return note_reply(
            cosign(judged.text, self.world.test_mesh.member(0).witness, 1_700_000_000)
        )


async def test_a_witness_over_tls(world: World, store: SqliteStore) -> None:
    log = world.log(1, 3)
    request = AddCheckpoint(0, (), log.checkpoint(3))
    async with (
        serving(world, store, add_checkpoint=OneWitness(world)) as server,
        world.client(1, 0, server.port) as client,
    ):
        line = await client.add_checkpoint(request.encode())
        text = log.checkpoint(3).decode().partition("\n\n")[0] + "\n"
        key = world.test_mesh.member(0).witness.verifier_key
        assert verify_cosignature(text, line, key) == 1_700_000_000
        with pytest.raises(StaleOldSizeAnswer) as stale:
            await client.add_checkpoint(request.encode())
        assert stale.value.size == 3
        for data, status in (
            (b"old 3\n\nno note", 400),
            (AddCheckpoint(3, (), log.sign_root(3, bytes(32))).encode(), 422),
            (AddCheckpoint(3, (), log.checkpoint(2)).encode(), 400),
            (AddCheckpoint(3, (), log.checkpoint(3)[:-8] + b"AAAAAA=\n").encode(), 403),
            (AddCheckpoint(3, (), b"elsewhere.example\n" + log.checkpoint(3)).encode(), 404),
            (b"x" * (MAX_REQUEST + 1), 413),
        ):
            with pytest.raises(PeerAnswerError) as refused:
                await client.add_checkpoint(data)
            assert refused.value.status == status
            assert not isinstance(refused.value, StaleOldSizeAnswer)
        async with raw_connection(server.port, world.client_context(1, 0)) as (reader, writer):
            body = request.encode()
            head = f"POST {ADD_CHECKPOINT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
            writer.write(head.encode() + b"\r\n\r\n" + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 409 ")
            assert b"\r\ncontent-type: text/x.tlog.size\r\n" in answer.lower()
            assert b"\r\ncontent-length: 2\r\n" in answer.lower()
            assert await reader.readexactly(2) == b"3\n"


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (SuspendedPeerError("no"), 403, "SuspendedPeerError"),
        (AnnouncementError("no"), 400, "AnnouncementError"),
        (MirrorQuotaError("no"), 429, "MirrorQuotaError"),
        (RecoveringError("no"), 503, "RecoveringError"),
        (StoreFullError("the disk at /secret/path is full"), 503, "NotNowError"),
    ],
)
async def test_why_an_announcement_is_not_taken(
    world: World, store: SqliteStore, error: Exception, status: int, told: str
) -> None:
    service = make_service(world, store, announce=raising(error))
    data = encode_announcement(world.log(1, 1).announcement(0))
    reply = await ask(service, world.name(1), "POST", ANNOUNCE, data)
    assert (reply.status, code(reply), b"secret" in reply.body) == (status, told, False)


async def test_an_announcement_is_answered_with_both_sizes(
    world: World, store: SqliteStore
) -> None:
    seen: list[tuple[str, Announcement]] = []

    async def announce(peer: str, announcement: Announcement) -> tuple[int, int]:
        seen.append((peer, announcement))
        return 7, 5

    service = make_service(world, store, announce=announce)
    announcement = world.log(1, 2).announcement(0)
    reply = await ask(service, world.name(1), "POST", ANNOUNCE, encode_announcement(announcement))
    assert json.loads(unwrap("birch", reply, 100)) == {"size": 7, "certified": 5}
    assert seen == [(world.name(1), announcement)]


async def test_only_its_owner_announces_a_log(world: World, store: SqliteStore) -> None:
    """A mirror serves it, but does not speak for it."""
    data = encode_announcement(world.log(1, 1).announcement(0))
    reply = await ask(make_service(world, store), world.name(2), "POST", ANNOUNCE, data)
    assert (reply.status, code(reply)) == (403, "NotYourLogError")


async def test_vectors_are_exchanged(world: World, store: SqliteStore) -> None:
    mine = encode_vector([LogPosition("acme.example", 9, 8, bytes(32))])
    theirs = encode_vector([LogPosition("acme.example", 3, 2, bytes(32))])
    heard = []

    async def gossip(peer: str, vector: bytes) -> bytes:
        heard.append((peer, decode_vector(vector)))
        return mine

    async with (
        serving(world, store, gossip=gossip) as server,
        world.client(2, 0, server.port) as client,
    ):
        assert await client.gossip(theirs) == mine
        assert heard == [(world.name(2), decode_vector(theirs))]
        with pytest.raises(PeerAnswerError) as caught:
            await client.gossip(b"x" * (vector_bytes() + 1))
        assert caught.value.status == 413


async def test_a_broken_vector_is_refused(world: World, store: SqliteStore) -> None:
    async def gossip(peer: str, vector: bytes) -> bytes:
        return encode_vector(decode_vector(vector))

    reply = await ask(
        make_service(world, store, gossip=gossip), world.name(1), "POST", GOSSIP, b"\x00"
    )
    assert (reply.status, code(reply)) == (400, "TruncatedMessageError")


async def test_a_receipt_is_given_or_there_is_none(world: World, store: SqliteStore) -> None:
    async def receipt(peer: str, retraction: str) -> bytes | None:
        return f"{peer} {retraction}".encode() if retraction == ID else None

    async with (
        serving(world, store, receipt=receipt) as server,
        world.client(1, 0, server.port) as client,
    ):
        assert await client.receipt(ID) == f"{world.name(1)} {ID}".encode()
        assert await client.receipt("cd" * 32) is None
        with pytest.raises(PeerAnswerError) as caught:
            await client.receipt("CD" * 32)
        assert (caught.value.status, caught.value.told) == (404, "UnknownPathError")


async def test_the_seat_is_asked_if_there_is_one(world: World, store: SqliteStore) -> None:
    async def evaluate(peer: str, note: bytes) -> bytes:
        return peer.encode() + note

    peer = world.name(1)
    seat = make_service(world, store, evaluate=evaluate, counts=lambda: b"counts")
    assert (await ask(seat, peer, "POST", EVALUATE, b" x")).body == peer.encode() + b" x"
    assert (await ask(seat, peer, "GET", EVALUATIONS)).body == b"counts"
    none = make_service(world, store)
    for method, path in (("POST", EVALUATE), ("GET", EVALUATIONS)):
        reply = await ask(none, peer, method, path, b"x")
        assert (reply.status, code(reply)) == (404, "NoSeatError")


async def test_a_used_up_budget_says_until_when(world: World, store: SqliteStore) -> None:
    spent = BudgetExceededError(world.name(1), 100, Day(10))
    service = make_service(world, store, evaluate=raising(spent))
    reply = await ask(service, world.name(1), "POST", EVALUATE, b"x")
    assert (reply.status, code(reply)) == (429, "BudgetExceededError")
    assert json.loads(reply.body)["error"]["resets"] == "1970-01-11"
    service = make_service(world, store, evaluate=raising(NotYourRequestError("no")))
    assert (await ask(service, world.name(1), "POST", EVALUATE, b"x")).status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ANNOUNCE),
        ("GET", ADD_CHECKPOINT),
        ("GET", GOSSIP),
        ("GET", EVALUATE),
        ("POST", EVALUATIONS),
        ("POST", PING),
        ("POST", receipt_path(ID)),
        ("POST", f"{log_path('acme.example')}checkpoint"),
    ],
)
async def test_each_path_has_one_method(
    world: World, store: SqliteStore, method: str, path: str
) -> None:
    reply = await ask(make_service(world, store), world.name(1), method, path)
    assert (reply.status, code(reply)) == (405, "MethodError")


@pytest.mark.parametrize("path", [ANNOUNCE, ADD_CHECKPOINT, GOSSIP, EVALUATE])
async def test_a_body_is_read_up_to_its_cap(world: World, store: SqliteStore, path: str) -> None:
    caps = {
        ANNOUNCE: ServerLimits().max_body,
        ADD_CHECKPOINT: MAX_REQUEST,
        GOSSIP: vector_bytes(),
        EVALUATE: ServerLimits().max_evaluation,
    }
    asked = []

    async def read(cap: int) -> bytes:
        asked.append(cap)
        return await body_reader(bytes(cap + 1))(cap)

    service = make_service(world, store, evaluate=raising(AssertionError()))
    reply = await service.answer(world.name(1), "POST", path, read)
    assert (reply.status, code(reply), asked) == (413, "RequestTooLargeError", [caps[path]])
    assert caps[EVALUATE] >= MAX_EVALUATION_NOTE


@pytest.mark.parametrize("who", ["own", "stranger"])
async def test_nobody_but_a_peer_is_answered(world: World, store: SqliteStore, who: str) -> None:
    peer = world.name(0) if who == "own" else "stranger.example"
    reply = await ask(make_service(world, store), peer, "GET", PING)
    assert (reply.status, code(reply)) == (403, "NotAMemberError")


# --- logs


@pytest.fixture(scope="module")
def mirrored(world: World) -> OrgLog:
    return world.log(2, 5)


async def test_a_checkpoint_that_is_certified_comes_with_its_cosignatures(
    world: World, store: SqliteStore, mirrored: OrgLog
) -> None:
    service = make_service(world, store)
    await publish(store, mirrored)

    async def note(which: str) -> Reply:
        return await ask(service, world.name(1), "GET", log_path(mirrored.name) + which)

    assert (await note("checkpoint")).body == mirrored.checkpoint()
    assert code(await note("certificate")) == "NotServedError"
    older = mirrored.certificate(3)
    await store.certify(mirrored.name, older, 3, mirrored.frontier(3).root())
    assert (await note("checkpoint")).body == mirrored.checkpoint()
    assert (await note("certificate")).body == older
    newest = mirrored.certificate(5)
    await store.certify(mirrored.name, newest, 5, mirrored.frontier(5).root())
    assert (await note("checkpoint")).body == newest
    assert (await note("certificate")).body == newest
    assert (await note("seen")).status == 200


async def test_what_was_only_seen_is_told_too(
    world: World, store: SqliteStore, mirrored: OrgLog
) -> None:
    """A member that recovers asks for what it signed, whether anybody holds it or not."""
    service = make_service(world, store)
    await publish(store, mirrored)
    ahead = mirrored.sign_root(9, bytes(32))
    await store.save_state(mirrored.name, replace(store.state(mirrored.name), target=ahead))
    path = log_path(mirrored.name)
    assert (await ask(service, world.name(1), "GET", f"{path}seen")).body == ahead
    assert (await ask(service, world.name(1), "GET", f"{path}checkpoint")).body != ahead
    beyond = await ask(service, world.name(1), "GET", f"{path}bodies/5/6")
    assert (beyond.status, code(beyond)) == (404, "NotServedError")


async def test_a_body_that_is_not_here_is_missing(world: World, store: SqliteStore) -> None:
    log = world.log(2, 3)
    kept = log.withhold_body(1)
    await publish(store, log)
    path = f"{log_path(log.name)}bodies/0/3"
    reply = await ask(make_service(world, store), world.name(1), "GET", path)
    answers = decode_bodies(reply.body, 3, 32_768)
    assert answers[1] == MISSING != kept
    assert [answers[0], answers[2]] == [log.answers[0], log.answers[2]]


async def test_a_log_that_is_being_recovered_is_not_served(
    world: World, store: SqliteStore, mirrored: OrgLog
) -> None:
    """An old backup of the own log must not pass for its present."""
    await publish(store, world.log(0, 2))
    await publish(store, mirrored)
    own = world.name(0)
    service = make_service(world, store, may_serve=lambda log: log != own)
    for rest in ("checkpoint", "certificate", "seen", "bodies/0/1", "tile/0/000.p/1"):
        reply = await ask(service, world.name(1), "GET", log_path(own) + rest)
        assert (reply.status, code(reply)) == (503, "RecoveringError")
    reply = await ask(service, world.name(1), "GET", f"{log_path(mirrored.name)}checkpoint")
    assert reply.body == mirrored.checkpoint()


# --- what one member may take


async def test_requests_at_a_time(world: World, store: SqliteStore) -> None:
    release = asyncio.Event()

    async def gossip(peer: str, vector: bytes) -> bytes:
        await release.wait()
        return b"done"

    service = make_service(world, store, ServerLimits(in_flight=2), gossip=gossip)
    peer, other = world.name(1), world.name(2)
    held = [asyncio.create_task(ask(service, peer, "POST", GOSSIP, b"x")) for _ in range(2)]
    await turns()
    refused = await ask(service, peer, "GET", PING)
    assert (refused.status, code(refused)) == (429, "TooManyRequestsError")
    assert (await ask(service, other, "GET", PING)).status == 200
    release.set()
    assert [reply.body for reply in await asyncio.gather(*held)] == [b"done", b"done"]
    assert (await ask(service, peer, "GET", PING)).status == 200


async def test_checks_and_logs_do_not_hold_each_other_up(world: World, store: SqliteStore) -> None:
    release = asyncio.Event()

    async def waits(peer: str, data: bytes) -> bytes:
        await release.wait()
        return b"done"

    limits = ServerLimits(in_flight=1, evaluations=1, rate=0.0, burst=3)
    service = make_service(world, store, limits, gossip=waits, evaluate=waits)
    peer = world.name(1)
    running = [asyncio.create_task(ask(service, peer, "POST", GOSSIP, b"x"))]
    await turns()
    running.append(asyncio.create_task(ask(service, peer, "POST", EVALUATE, b"x")))
    await turns()
    for method, path in (("POST", EVALUATE), ("GET", PING)):
        refused = await ask(service, peer, method, path, b"x")
        assert (refused.status, code(refused)) == (429, "TooManyRequestsError")
    release.set()
    assert [reply.status for reply in await asyncio.gather(*running)] == [200, 200]
    # Nor do they share what is left of the rate: one of three for each.
    assert (await ask(service, peer, "GET", PING)).status == 200
    assert (await ask(service, peer, "POST", EVALUATE, b"x")).status == 200
    assert code(await ask(service, peer, "GET", PING)) == "RequestRateError"
    assert code(await ask(service, peer, "POST", EVALUATE, b"x")) == "RequestRateError"


async def test_requests_a_second(world: World, store: SqliteStore) -> None:
    now = 1_000.0
    limits = ServerLimits(rate=2.0, burst=3)
    service = make_service(world, store, limits, clock=lambda: now)
    peer, other = world.name(1), world.name(2)

    async def granted(who: str, tries: int = 10) -> int:
        replies = [await ask(service, who, "GET", PING) for _ in range(tries)]
        for reply in replies:
            assert reply.status == 200 or (reply.status, code(reply)) == (429, "RequestRateError")
        return sum(reply.status == 200 for reply in replies)

    assert await granted(peer) == 3
    assert await granted(other) == 3  # each has its own
    now += 0.5
    assert await granted(peer) == 1
    now -= 100.0  # a clock that steps back gives nothing and takes nothing
    assert await granted(peer) == 0
    now += 1.0
    assert await granted(peer) == 2
    now += 1_000.0
    assert await granted(peer) == 3


async def test_what_is_refused_counts_too(world: World, store: SqliteStore) -> None:
    service = make_service(world, store, ServerLimits(rate=0.0, burst=2), clock=lambda: 0.0)
    replies = [await ask(service, world.name(1), "GET", "/nothing") for _ in range(3)]
    assert [reply.status for reply in replies] == [404, 404, 429]


async def test_the_default_rate_is_that_of_the_loop(world: World, store: SqliteStore) -> None:
    service = make_service(world, store, ServerLimits(rate=100_000.0, burst=1))
    for _ in range(5):
        assert (await ask(service, world.name(1), "GET", PING)).status == 200
        await asyncio.sleep(0.001)


async def test_announcements_at_a_time(world: World, store: SqliteStore) -> None:
    release = asyncio.Event()

    async def announce(peer: str, announcement: Announcement) -> tuple[int, int]:
        await release.wait()
        return 1, 1

    service = make_service(world, store, ServerLimits(announcements=2), announce=announce)
    data = {n: encode_announcement(world.log(n, 1).announcement(0)) for n in (1, 2)}
    held = [
        asyncio.create_task(ask(service, world.name(n), "POST", ANNOUNCE, data[n]))
        for n in (1, 1, 2)
    ]
    await turns()
    refused = await ask(service, world.name(1), "POST", ANNOUNCE, data[1])
    assert (refused.status, code(refused)) == (429, "TooManyRequestsError")
    assert (await ask(service, world.name(1), "GET", PING)).status == 200
    release.set()
    assert [reply.status for reply in await asyncio.gather(*held)] == [200, 200, 200]


async def test_large_bodies_wait_for_room(world: World, store: SqliteStore) -> None:
    """However many a member sends at once, only what it has room for is taken into memory."""
    release = asyncio.Event()
    reading: list[str] = []

    def slow(peer: str) -> Callable[[int], Awaitable[bytes]]:
        async def read(cap: int) -> bytes:
            reading.append(peer)
            await release.wait()
            return bytes(cap)

        return read

    limits = ServerLimits(announcements=20, in_flight=20, max_body=1_000, held=2_500)
    service = make_service(world, store, limits)
    peer, other = world.name(1), world.name(2)
    sent = [
        asyncio.create_task(service.answer(peer, "POST", ANNOUNCE, slow(peer))) for _ in range(10)
    ]
    await turns()
    assert reading == [peer, peer]
    assert service._accounts[peer].held == 2_000
    sent.append(asyncio.create_task(service.answer(other, "POST", ANNOUNCE, slow(other))))
    await turns()
    assert reading == [peer, peer, other]
    release.set()
    assert {reply.status for reply in await asyncio.gather(*sent)} == {400}
    assert len(reading) == 11
    assert service._accounts[peer].held == 0


async def test_a_small_body_takes_only_its_own_room(world: World, store: SqliteStore) -> None:
    release = asyncio.Event()
    running = 0

    async def gossip(peer: str, vector: bytes) -> bytes:
        nonlocal running
        running += 1
        await release.wait()
        return b""

    limits = ServerLimits(held=vector_bytes() + 100)
    service = make_service(world, store, limits, gossip=gossip)
    held = [
        asyncio.create_task(ask(service, world.name(1), "POST", GOSSIP, bytes(10)))
        for _ in range(5)
    ]
    await turns()
    assert (running, service._accounts[world.name(1)].held) == (5, 50)
    release.set()
    await asyncio.gather(*held)


async def inline(fn: Callable[..., Any], *args: Any) -> Any:
    """Runs a read at once, as the simulator does."""
    return fn(*args)


class Desk:
    """Runs reads when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.release = asyncio.Event()

    async def run(self, fn: Callable[..., Any], *args: Any) -> Any:
        self.begun += 1
        await self.release.wait()
        return fn(*args)


async def test_big_reads_at_a_time(world: World, store: SqliteStore, mirrored: OrgLog) -> None:
    await publish(store, mirrored)
    desk = Desk()
    service = make_service(world, store, ServerLimits(reads=2), run=desk.run)
    path = log_path(mirrored.name)
    rests = ["bodies/0/5", "tile/entries/000.p/5", "tile/0/000.p/5", "tile/0/000.p/4"]
    asked = [asyncio.create_task(ask(service, world.name(1), "GET", path + rest)) for rest in rests]
    await turns()
    assert desk.begun == 2
    small = await ask(service, world.name(1), "GET", f"{path}checkpoint")  # does not wait
    assert small.body == mirrored.checkpoint()
    other = asyncio.create_task(ask(service, world.name(3), "GET", path + rests[0]))
    await turns()
    assert desk.begun == 3
    desk.release.set()
    replies = await asyncio.gather(*asked)
    assert [reply.status for reply in replies] == [200] * 4
    assert replies[2].body == mirrored.tile(0, 0, 5)
    assert (await other).body == replies[0].body


async def test_an_answer_counts_until_it_was_handed_over(
    world: World, store: SqliteStore, mirrored: OrgLog
) -> None:
    """Whoever asks again and again and never reads waits for itself."""
    await publish(store, mirrored)
    service = make_service(world, store, ServerLimits(reads=1, in_flight=2), run=inline)
    peer, path = world.name(1), f"{log_path(mirrored.name)}bodies/0/5"
    async with service.exchange(peer, "GET", path, body_reader(None)) as reply:
        assert reply.body == encode_bodies(mirrored.answers)
        assert service._accounts[peer].held == len(reply.body)
        second = asyncio.create_task(ask(service, peer, "GET", path))
        await turns(50)
        assert not second.done()
        assert (await ask(service, peer, "GET", PING)).status == 429
        assert (await ask(service, world.name(3), "GET", path)).status == 200
    assert (await second).status == 200
    assert service._accounts[peer].held == 0


async def test_a_read_with_room_for_none_beside_it_goes_alone(
    world: World, store: SqliteStore, mirrored: OrgLog
) -> None:
    await publish(store, mirrored)
    service = make_service(world, store, ServerLimits(held=1))
    path = f"{log_path(mirrored.name)}bodies/0/5"
    replies = await asyncio.gather(*(ask(service, world.name(1), "GET", path) for _ in range(4)))
    assert [reply.status for reply in replies] == [200] * 4


async def test_a_handler_that_fails_gives_everything_back(world: World, store: SqliteStore) -> None:
    service = make_service(world, store, gossip=raising(RuntimeError("a bug")))
    for _ in range(ServerLimits().in_flight + 1):
        with pytest.raises(RuntimeError):
            await ask(service, world.name(1), "POST", GOSSIP, bytes(100))
    assert service._accounts[world.name(1)].held == 0
    assert (await ask(service, world.name(1), "GET", PING)).status == 200


async def test_a_request_that_is_given_up_gives_everything_back(
    world: World, store: SqliteStore
) -> None:
    async def never(cap: int) -> bytes:
        await asyncio.Event().wait()
        return b""

    limits = ServerLimits(announcements=3, held=2 * ServerLimits().max_body)
    service = make_service(world, store, limits)
    peer = world.name(1)
    running = [asyncio.create_task(service.answer(peer, "POST", ANNOUNCE, never)) for _ in range(3)]
    await turns()  # two are reading, the third is waiting for room
    for task in reversed(running):
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert service._accounts[peer].held == 0
    data = encode_announcement(world.log(2, 1).announcement(0))
    assert code(await ask(service, peer, "POST", ANNOUNCE, data)) == "NotYourLogError"


JUNK = st.tuples(
    st.sampled_from(["GET", "POST", "PUT", "", "get", "\x00"]),
    st.one_of(
        st.sampled_from([ANNOUNCE, ADD_CHECKPOINT, GOSSIP, EVALUATE, EVALUATIONS, PING]),
        st.text(max_size=30),
        st.text(max_size=30).map(lambda rest: log_path("birch.example") + rest),
        st.text(max_size=70).map(receipt_path),
    ),
    st.binary(max_size=300),
)


@given(st.lists(JUNK, max_size=20))
async def test_a_peers_junk_touches_no_other_peer(
    junk_world: tuple[World, FederationService], junk: list[tuple[str, str, bytes]]
) -> None:
    world, service = junk_world
    peer, other = world.name(1), world.name(2)
    replies = await asyncio.gather(*(ask(service, peer, *one) for one in junk))
    for reply in replies:
        assert reply.status == 200 or 400 <= reply.status < 500
        assert not reply.body or len(reply.body) < 1_000
    assert service._accounts[peer].held == 0
    assert (await ask(service, other, "GET", PING)).status == 200


@pytest.fixture(scope="module")
def junk_world(world: World, tmp_path_factory: pytest.TempPathFactory) -> Any:
    async def strict(peer: str, data: bytes) -> bytes:
        return encode_vector(decode_vector(data))

    async def witness(peer: str, data: bytes) -> Reply:
        return note_reply(AddCheckpoint.parse(data).encode())

    async def receipt(peer: str, retraction: str) -> bytes | None:
        return None

    path = tmp_path_factory.mktemp("junk") / "store.db"
    store = SqliteStore.open(path, name=world.name(0), mesh_id=world.mesh.mesh_id)
    yield (
        world,
        make_service(
            world,
            store,
            ServerLimits(in_flight=6),
            gossip=strict,
            add_checkpoint=witness,
            receipt=receipt,
        ),
    )
    store.close()


# --- the parts of an account


@given(
    st.floats(0.1, 100.0),
    st.integers(1, 10),
    st.lists(st.floats(-1.0, 2.0), min_size=1, max_size=50),
)
def test_a_bucket_never_grants_more_than_its_rate(
    rate: float, burst: int, steps: list[float]
) -> None:
    now = 0.0
    bucket = TokenBucket(rate, burst, lambda: now)
    forward = granted = 0.0
    for step in steps:
        now += step
        forward += max(0.0, step)
        granted += bucket.take()
        assert granted <= burst + rate * forward + 1e-6


async def test_who_waits_for_room_is_let_in_in_order() -> None:
    room, order = Room(10), list[str]()

    async def enter(name: str, units: int) -> None:
        await room.take(units)
        order.append(name)

    await enter("first", 6)
    waiting = [asyncio.create_task(enter(*one)) for one in (("big", 8), ("small", 1))]
    await turns()
    assert order == ["first"]  # the small one would fit, but must not overtake for ever
    room.give(6)
    await asyncio.gather(*waiting)
    assert (order, room.taken) == (["first", "big", "small"], 9)


async def test_who_gives_up_waiting_takes_no_room() -> None:
    room = Room(10)
    await room.take(10)
    first = asyncio.create_task(room.take(10))
    second = asyncio.create_task(room.take(5))
    await turns()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    room.give(10)
    await second
    assert room.taken == 5


async def test_who_gives_up_lets_the_next_one_in() -> None:
    room = Room(10)
    await room.take(4)
    first = asyncio.create_task(room.take(10))
    second = asyncio.create_task(room.take(5))
    await turns()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await asyncio.wait_for(second, 1)
    assert room.taken == 9


async def test_who_gives_up_when_it_is_just_let_in_gives_its_room_back() -> None:
    room = Room(10)
    await room.take(10)
    first = asyncio.create_task(room.take(10))
    await turns()
    room.give(10)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert room.taken == 0
