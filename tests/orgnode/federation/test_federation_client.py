"""What a peer can answer, and what the client makes of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from fed_maverick import Answer, MaverickServer, Reply
from fed_support import HOST, QUICK, World, free_ports, honest, lying

from mesh.evaluation import MAX_EVALUATION_NOTE
from mesh.metering import MAX_COUNTS_NOTE
from mesh.testing.orglog import OrgLog
from mesh.wire import MISSING
from orgnode.federation import ClientLimits, HttpLine, PeerClient
from orgnode.federation.errors import (
    AnswerTooLargeError,
    EncodedAnswerError,
    PeerAnswerError,
    PeerError,
    PeerTimeoutError,
    PeerUnreachableError,
    StaleOldSizeAnswer,
    WrongPeerError,
)
from orgnode.tls import client_context
from proofs.tiles import decode_bundle

Call = Callable[[PeerClient], Any]

LOG = "birch.example"

CALLS: list[tuple[str, Call]] = [
    ("ping", lambda c: c.ping()),
    ("checkpoint", lambda c: c.checkpoint(LOG)),
    ("certificate", lambda c: c.certificate(LOG)),
    ("seen", lambda c: c.seen(LOG)),
    ("tile", lambda c: c.tile(LOG, 0, 0, 5)),
    ("bundle", lambda c: c.bundle(LOG, 0, 5)),
    ("bodies", lambda c: c.bodies(LOG, 0, 5)),
    ("announce", lambda c: c.announce(b"x")),
    ("add-checkpoint", lambda c: c.add_checkpoint(b"x")),
    ("gossip", lambda c: c.gossip(b"x")),
    ("receipt", lambda c: c.receipt("ab" * 32)),
    ("evaluate", lambda c: c.evaluate(b"x", QUICK.short)),
    ("counts", lambda c: c.evaluation_counts()),
]
every_call = pytest.mark.parametrize("call", [c for _, c in CALLS], ids=[n for n, _ in CALLS])


@asynccontextmanager
async def talking_to(
    world: World, answer: Answer, limits: ClientLimits = QUICK
) -> AsyncIterator[tuple[PeerClient, MaverickServer]]:
    """Member 0 asks member 1."""
    async with (
        MaverickServer(world.server_context(1), answer) as maverick,
        world.client(0, 1, maverick.port, limits) as client,
    ):
        yield client, maverick


def always(reply: Reply | bytes) -> Answer:
    return lambda method, path, body: reply


@pytest.fixture(scope="module")
def log5(world: World) -> OrgLog:
    return world.log(1, 5)


async def test_true_answers_are_read(world: World, log5: OrgLog) -> None:
    log5_missing = [*log5.answers[:2], MISSING]
    async with talking_to(world, honest(log5)) as (client, maverick):
        assert await client.checkpoint(LOG) == log5.checkpoint()
        assert await client.tile(LOG, 0, 0, 5) == log5.tile(0, 0, 5)
        assert await client.bundle(LOG, 0, 5) == decode_bundle(log5.bundle(0, 5), 5)
        assert await client.bodies(LOG, 0, 2) == log5_missing[:2]
        assert maverick.asked[0] == f"GET /federation/v1/logs/{log5.name}/checkpoint"


async def test_a_connection_is_used_again(world: World, log5: OrgLog) -> None:
    async with talking_to(world, honest(log5)) as (client, maverick):
        for _ in range(5):
            await client.checkpoint(LOG)
        assert len(maverick._tasks) == 1


@every_call
async def test_silence_is_cut_off(world: World, call: Call) -> None:
    limits = ClientLimits(short=0.2, long=0.2)
    async with talking_to(world, always(Reply(hang=True)), limits) as (client, _):
        started = time.monotonic()
        with pytest.raises(PeerTimeoutError):
            await call(client)
        assert 0.15 < time.monotonic() - started < 3


@every_call
async def test_a_trickle_is_cut_off_although_bytes_keep_coming(world: World, call: Call) -> None:
    limits = ClientLimits(short=0.2, long=0.2)
    reply = Reply(b"x" * 160, pace=0.02)
    async with talking_to(world, always(reply), limits) as (client, _):
        started = time.monotonic()
        with pytest.raises(PeerTimeoutError):
            await call(client)
        assert time.monotonic() - started < 3


async def test_a_peer_that_accepts_and_never_speaks_tls_is_cut_off(world: World) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with world.client(0, 1, port, ClientLimits(short=0.2)) as client:
            with pytest.raises(PeerTimeoutError):
                await client.ping()


async def test_nobody_there(world: World) -> None:
    async with world.client(0, 1, free_ports(1)[0]) as client:
        with pytest.raises(PeerUnreachableError, match=r"127\.0\.0\.1"):
            await client.ping()


@every_call
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "x-gzip"])
async def test_a_compressed_answer_is_refused_unread(world: World, call: Call, coding: str) -> None:
    bomb = zlib.compress(bytes(20_000_000), 9) if coding != "gzip" else gzip.compress(b"{}")
    reply = Reply(bomb, headers=[("Content-Encoding", coding)])
    async with talking_to(world, always(reply)) as (client, _):
        with pytest.raises(EncodedAnswerError):
            await call(client)


async def test_a_compressed_refusal_is_not_inflated(world: World) -> None:
    bomb = zlib.compress(bytes(20_000_000), 9)
    reply = Reply(bomb, status=500, headers=[("Content-Encoding", "deflate")])
    async with talking_to(world, always(reply)) as (client, _):
        with pytest.raises(PeerAnswerError) as caught:
            await client.ping()
        assert (caught.value.status, caught.value.told) == (500, None)


@every_call
async def test_an_enormous_answer_is_refused_by_its_length(world: World, call: Call) -> None:
    reply = Reply(b"x", length=10**12)
    async with talking_to(world, always(reply)) as (client, _):
        with pytest.raises(AnswerTooLargeError):
            await call(client)


@every_call
async def test_an_answer_without_end_is_cut_off(world: World, call: Call) -> None:
    """Chunked, so that only counting helps: more than any true answer, and then still more."""
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    reply = Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 40)
    async with talking_to(world, always(reply), ClientLimits()) as (client, _):
        with pytest.raises(AnswerTooLargeError):
            await call(client)


@every_call
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(world: World, call: Call, status: int) -> None:
    async with MaverickServer(world.server_context(1), always(b"{}")) as elsewhere:
        target = f"https://{HOST}:{elsewhere.port}/federation/v1/ping"
        reply = Reply(status=status, headers=[("Location", target)])
        async with talking_to(world, always(reply)) as (client, _):
            with pytest.raises(PeerAnswerError) as caught:
                await call(client)
            assert caught.value.status == status
        assert elsewhere.asked == []


async def test_nothing_is_kept_or_inflated_between_calls(world: World) -> None:
    reply = Reply(b'{"name":"x"}', headers=[("Set-Cookie", "id=1; Path=/")])
    async with talking_to(world, always(reply)) as (client, _):
        await client.ping()
        assert isinstance(client.line, HttpLine)
        session = client.line._session
        assert session is not None
        assert isinstance(session.cookie_jar, aiohttp.DummyCookieJar)
        assert not session.auto_decompress
        assert not session.trust_env  # a proxy from the environment would see the traffic


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
@every_call
async def test_a_truncated_answer_is_no_answer(world: World, call: Call, raw: bytes) -> None:
    async with talking_to(world, always(Reply(raw=raw))) as (client, _):
        with pytest.raises(PeerAnswerError):
            await call(client)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_not_http_is_a_peers_error(world: World, raw: bytes) -> None:
    async with talking_to(world, always(Reply(raw=raw))) as (client, _):
        with pytest.raises(PeerError):
            await client.ping()


@pytest.mark.parametrize("cut", [1, 31, 32, 100])
async def test_a_truncated_tile_is_refused(world: World, log5: OrgLog, cut: int) -> None:
    answer = lying(log5, tile=lambda path: log5.tile(0, 0, 5)[:-cut])
    async with talking_to(world, answer) as (client, _):
        with pytest.raises(PeerAnswerError, match="tile"):
            await client.tile(LOG, 0, 0, 5)


@pytest.mark.parametrize("cut", [1, 2, 300])
async def test_truncated_bundles_and_bodies_are_refused(
    world: World, log5: OrgLog, cut: int
) -> None:
    from mesh.wire import encode_bodies

    answer = lying(
        log5,
        entries=lambda path: log5.bundle(0, 5)[:-cut],
        bodies=lambda path: encode_bodies(log5.answers)[:-cut],
    )
    async with talking_to(world, answer) as (client, _):
        with pytest.raises(PeerAnswerError, match="bundle"):
            await client.bundle(LOG, 0, 5)
        with pytest.raises(PeerAnswerError, match="bodies"):
            await client.bodies(LOG, 0, 5)


async def test_an_announcement_is_answered_with_two_sizes(world: World) -> None:
    async with talking_to(world, always(b'{"size":7,"certified":5}')) as (client, _):
        assert await client.announce(b"x") == (7, 5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        b'{"size":1}',
        b'{"certified":1}',
        b'{"size":-1,"certified":0}',
        b'{"size":1,"certified":-1}',
        b'{"size":1.0,"certified":0}',
        b'{"size":true,"certified":0}',
        b'{"size":"1","certified":0}',
        b'{"size":1,"certified":"0"}',
        b'{"size":1,"size":2,"certified":0}',
        b'{"size":9007199254740993,"certified":0}',
        b"{" * 500,
        b"\xff",
    ],
)
async def test_other_answers_to_an_announcement_are_none(world: World, body: bytes) -> None:
    async with talking_to(world, always(body)) as (client, _):
        with pytest.raises(PeerAnswerError):
            await client.announce(b"x")


# --- witness and mirrors


async def test_each_question_has_its_path(world: World) -> None:
    """What a member is asked over HTTP is where C2SP has it, or beside it."""
    async with talking_to(world, always(b"{}")) as (client, maverick):
        await client.certificate("acme.example")
        await client.seen("acme.example")
        await client.add_checkpoint(b"x")
        await client.gossip(b"x")
        await client.receipt("ab" * 32)
    assert maverick.asked == [
        "GET /federation/v1/logs/acme.example/certificate",
        "GET /federation/v1/logs/acme.example/seen",
        "POST /federation/v1/add-checkpoint",
        "POST /federation/v1/gossip",
        f"GET /federation/v1/receipts/{'ab' * 32}",
    ]


SIZE_TYPE = ("Content-Type", "text/x.tlog.size")


async def test_a_witness_tells_the_size_that_it_cosigned_last(world: World) -> None:
    reply = Reply(b"20852014\n", status=409, headers=[SIZE_TYPE])
    async with talking_to(world, always(reply)) as (client, _):
        with pytest.raises(StaleOldSizeAnswer) as caught:
            await client.add_checkpoint(b"x")
        assert (caught.value.size, caught.value.status) == (20852014, 409)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"7", "text/x.tlog.size", 409),
        (b"07\n", "text/x.tlog.size", 409),
        (b"-7\n", "text/x.tlog.size", 409),
        (b"7\n\n", "text/x.tlog.size", 409),
        (b"\xd9\xa7\n", "text/x.tlog.size", 409),
        (b"9" * 20 + b"\n", "text/x.tlog.size", 409),
        (b"7\n", "text/plain", 409),
        (b"7\n", "text/x.tlog.size", 422),
    ],
)
async def test_another_answer_tells_no_size(
    world: World, body: bytes, content_type: str, status: int
) -> None:
    reply = Reply(body, status=status, headers=[("Content-Type", content_type)])
    async with talking_to(world, always(reply)) as (client, _):
        with pytest.raises(PeerAnswerError) as caught:
            await client.add_checkpoint(b"x")
        assert not isinstance(caught.value, StaleOldSizeAnswer)
        assert (caught.value.size, caught.value.status) == (None, status)


@pytest.mark.parametrize(
    ("status", "code", "is_none"),
    [
        (404, "NotServedError", True),
        (404, "UnknownPathError", False),  # an older version: it does not know the question
        (404, "UnknownLogError", False),
        (503, "NotServedError", False),
    ],
)
async def test_only_one_answer_says_that_nothing_was_seen(
    world: World, status: int, code: str, is_none: bool
) -> None:
    """Whoever recovers counts on it: a peer that did not understand has not said `nothing`."""
    reply = Reply(json.dumps({"error": {"code": code}}).encode(), status=status)
    async with talking_to(world, always(reply)) as (client, _):
        for call in (client.seen(LOG), client.receipt("ab" * 32)):
            if is_none:
                assert await call is None
            else:
                with pytest.raises(PeerAnswerError):
                    await call


async def test_connections_come_from_the_address_that_is_set(world: World, log5: OrgLog) -> None:
    async with MaverickServer(world.server_context(1), honest(log5)) as maverick:
        card = world.card(1, maverick.port)
        line = HttpLine(card, world.client_context(0, 1), limits=QUICK, source="127.0.0.7")
        async with PeerClient(card, line, max_body_bytes=32_768, limits=QUICK) as client:
            assert await client.checkpoint(LOG) == log5.checkpoint()
        assert maverick.sources == ["127.0.0.7"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("SuspendedPeerError", "SuspendedPeerError"),
        ("<script>", None),
        ("x" * 65, None),
        ("line\nbreak", None),
        (7, None),
    ],
)
async def test_only_well_formed_names_of_errors_are_taken_over(
    world: World, code: object, told: str | None
) -> None:
    body = json.dumps({"error": {"code": code, "message": "do not repeat this"}}).encode()
    async with talking_to(world, always(Reply(body, status=403))) as (client, _):
        with pytest.raises(PeerAnswerError) as caught:
            await client.checkpoint(LOG)
        assert caught.value.told == told
        assert "do not repeat" not in str(caught.value)


# --- who answers


async def test_a_server_with_another_members_certificate_is_not_the_peer(
    world: World, log5: OrgLog
) -> None:
    async with MaverickServer(world.server_context(2), honest(log5)) as maverick:
        async with world.client(0, 1, maverick.port) as client:
            with pytest.raises(WrongPeerError, match=world.name(1)):
                await client.checkpoint(LOG)
        assert maverick.asked == []


async def test_the_pin_is_checked_before_anything_is_sent(world: World, log5: OrgLog) -> None:
    """Even if the list of trust anchors were too long, the key decides."""
    loose = client_context(world.keystores[world.name(0)], world.card(1).certificate)
    loose.load_verify_locations(cadata=world.card(2).certificate)
    async with MaverickServer(world.server_context(2), honest(log5)) as maverick:
        async with world.client(0, 1, maverick.port, context=loose) as client:
            for call in (client.checkpoint(LOG), client.announce(b"secret")):
                with pytest.raises(WrongPeerError):
                    await call
        assert maverick.asked == []


async def test_a_plain_text_server_is_not_the_peer(world: World) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(plain, HOST, 0)
    async with server, world.client(0, 1, server.sockets[0].getsockname()[1]) as client:
        with pytest.raises(PeerUnreachableError):
            await client.ping()
    await server.wait_closed()


# --- the line itself


class StillLine:
    """A line on which nothing is answered before `release`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.release = asyncio.Event()

    async def ask(self, method: str, path: str, **settings: Any) -> bytes:
        self.asked.append(path)
        await self.release.wait()
        return b""

    async def close(self) -> None:
        return None


async def test_only_so_many_questions_are_under_way_on_any_line(world: World) -> None:
    line = StillLine()
    limits = ClientLimits(connections=3)
    client = PeerClient(world.card(1), line, max_body_bytes=32_768, limits=limits)
    asked = [asyncio.create_task(client.checkpoint(f"log{n}.example")) for n in range(3)]
    asked += [asyncio.create_task(client.gossip(b"")) for _ in range(2)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert line.asked == [f"/federation/v1/logs/log{n}.example/checkpoint" for n in range(3)]
    evaluation = asyncio.create_task(client.evaluate(b"x", 1.0))  # these have room of their own
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(line.asked) == 4
    line.release.set()
    await asyncio.gather(*asked, evaluation)
    assert len(line.asked) == 6


async def test_a_cancelled_call_leaves_the_line_usable(world: World, log5: OrgLog) -> None:
    hang = True

    def answer(method: str, path: str, body: bytes) -> Reply | bytes | None:
        return Reply(hang=True) if hang else honest(log5)(method, path, body)

    async with talking_to(world, answer, ClientLimits()) as (client, maverick):
        call = asyncio.create_task(client.checkpoint(LOG))
        async with asyncio.timeout(5):
            while not maverick.asked:
                await asyncio.sleep(0.005)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        hang = False
        assert await client.checkpoint(LOG) == log5.checkpoint()


async def test_a_closed_line_opens_again(world: World, log5: OrgLog) -> None:
    async with talking_to(world, honest(log5)) as (client, _):
        await client.checkpoint(LOG)
        await client.close()
        await client.close()
        assert await client.checkpoint(LOG) == log5.checkpoint()


@pytest.mark.parametrize(
    ("resets", "read"),
    [
        ("1970-01-11", 10),
        ("1970-1-11", None),
        ("9999-99-99", None),
        (10, None),
        (["1970-01-11"], None),
        (None, None),
    ],
)
async def test_the_day_of_a_refusal_is_read_or_ignored(
    world: World, resets: object, read: int | None
) -> None:
    error = {"error": {"code": "BudgetExceededError", "resets": resets}}
    answer = always(Reply(json.dumps(error).encode(), status=429))
    async with talking_to(world, answer) as (client, _):
        with pytest.raises(PeerAnswerError) as caught:
            await client.evaluate(b"x", QUICK.short)
    assert (caught.value.told, caught.value.resets) == ("BudgetExceededError", read)


async def test_an_evaluation_has_the_callers_deadline(world: World) -> None:
    async with talking_to(world, always(Reply(hang=True)), ClientLimits()) as (client, _):
        started = time.monotonic()
        with pytest.raises(PeerTimeoutError):
            await client.evaluate(b"x", 0.2)
        assert time.monotonic() - started < 2.0


async def test_an_answer_larger_than_any_true_one_is_cut_off(world: World) -> None:
    async with talking_to(world, always(b"x" * (MAX_EVALUATION_NOTE + 1))) as (client, _):
        with pytest.raises(AnswerTooLargeError):
            await client.evaluate(b"x", QUICK.short)
    async with talking_to(world, always(b"x" * (MAX_COUNTS_NOTE + 1))) as (client, _):
        with pytest.raises(AnswerTooLargeError):
            await client.evaluation_counts()
