"""What the federation server serves, and what it does not let anybody do to it."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fed_support import HOST, World, make_server, publish, raw_connection, serving

from mesh.testing.orglog import OrgLog
from mesh.wire import ERASED, Announcement, encode_announcement
from orgnode.federation import FederationServer, ServerLimits
from orgnode.federation.errors import (
    AnnouncementError,
    ListenError,
    PeerAnswerError,
    PeerUnreachableError,
    PortInUseError,
    SuspendedPeerError,
)
from orgnode.federation.paths import ANNOUNCE, log_path
from orgnode.listening import Crowd
from orgnode.store import StoreFullError
from orgnode.store.sqlite import SqliteStore
from orgnode.tls import server_context
from proofs.tiles import decode_bundle

# Long enough for a busy machine, short enough for a test.
BRIEF = 0.25


@pytest.fixture(scope="module")
def log300(world: World) -> OrgLog:
    return world.log(0, 300)


@pytest.fixture
async def full(world: World, store: SqliteStore, log300: OrgLog) -> SqliteStore:
    await publish(store, log300)
    return store


async def ask(
    server: FederationServer, context: ssl.SSLContext, request: bytes
) -> tuple[int, dict[str, str], bytes]:
    """One raw request; returns status, headers, body."""
    async with raw_connection(server.port, context) as (reader, writer):
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return int(lines[0].split(" ")[1]), headers, body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


# --- serving


async def test_the_whole_log_can_be_read(world: World, full: SqliteStore, log300: OrgLog) -> None:
    async with serving(world, full) as server, world.client(1, 0, server.port) as client:
        assert await client.ping() == {
            "name": world.name(0),
            "mesh": world.mesh.mesh_id,
            "version": 0,
        }
        assert await client.checkpoint(world.name(0)) == log300.checkpoint()
        for index, width in [(0, 256), (0, 1), (0, 255), (1, 1), (1, 43), (1, 44)]:
            assert await client.tile(world.name(0), 0, index, width) == log300.tile(0, index, width)
            bundle = await client.bundle(world.name(0), index, width)
            assert bundle == decode_bundle(log300.bundle(index, width), width)
        assert await client.tile(world.name(0), 1, 0, 1) == log300.tile(1, 0, 1)
        for start, end in [(0, 256), (299, 300), (250, 260)]:
            assert await client.bodies(world.name(0), start, end) == log300.bodies(start, end)


async def test_an_erased_body_is_not_served_any_more(
    world: World, full: SqliteStore, log300: OrgLog
) -> None:
    async with serving(world, full) as server, world.client(1, 0, server.port) as client:
        await full.erase_body(log300.name, 7)
        before, erased, after = await client.bodies(world.name(0), 6, 9)
        assert erased == ERASED
        assert [before, after] == [log300.answers[6], log300.answers[8]]


@pytest.mark.parametrize(
    "rest",
    [
        "tile/0/001.p/45",
        "tile/0/001",
        "tile/0/002.p/1",
        "tile/1/000.p/2",
        "tile/2/000.p/1",
        "tile/63/000.p/1",
        "tile/0/x999/x999/x999/999.p/1",
        "tile/entries/001.p/45",
        "tile/entries/x999/x999/x999/999",
        "bodies/299/301",
        "bodies/9999999999999990/9999999999999999",
    ],
)
async def test_what_the_log_does_not_reach_is_not_found(
    world: World, full: SqliteStore, rest: str
) -> None:
    async with serving(world, full) as server:
        path = log_path(world.name(0)) + rest
        status, _, body = await ask(server, world.client_context(1, 0), get(path))
        assert status == 404
        assert b"NotServedError" in body


async def test_before_the_first_checkpoint_there_is_none(world: World, store: SqliteStore) -> None:
    async with serving(world, store) as server, world.client(1, 0, server.port) as client:
        with pytest.raises(PeerAnswerError) as caught:
            await client.checkpoint(world.name(0))
        assert (caught.value.status, caught.value.told) == (404, "NotServedError")


async def test_only_what_never_changes_may_be_kept(world: World, full: SqliteStore) -> None:
    prefix = log_path(world.name(0))
    async with serving(world, full) as server:
        for rest, kept in {
            "checkpoint": False,
            "bodies/0/1": False,
            "tile/0/000": True,
            "tile/0/001.p/3": True,
            "tile/entries/000": True,
        }.items():
            request = get(prefix + rest)
            status, headers, _ = await ask(server, world.client_context(1, 0), request)
            assert status == 200
            assert ("immutable" in headers["cache-control"]) == kept
            assert ("no-store" in headers["cache-control"]) != kept
            assert "content-encoding" not in headers


async def test_what_is_not_held_is_not_found(world: World, full: SqliteStore) -> None:
    """Not this node's own log under another name, and nothing under a name that is no member's."""
    async with serving(world, full) as server:
        for name, code in (
            (world.name(2), "NotServedError"),
            ("nobody.example", "UnknownLogError"),
        ):
            for rest in ("checkpoint", "certificate", "seen", "bodies/0/1", "tile/0/000"):
                request = get(log_path(name) + rest)
                status, _, body = await ask(server, world.client_context(1, 0), request)
                assert (status, code.encode() in body) == (404, True)


async def test_a_mirrored_log_is_served_as_its_owner_serves_it(
    world: World, store: SqliteStore
) -> None:
    mirrored = world.log(2, 300)
    await publish(store, mirrored)
    await store.certify(
        mirrored.name, mirrored.certificate(260), 260, mirrored.frontier(260).root()
    )
    async with serving(world, store) as server, world.client(1, 0, server.port) as client:
        log = mirrored.name
        assert await client.checkpoint(log) == mirrored.checkpoint()
        assert await client.certificate(log) == mirrored.certificate(260)
        assert await client.seen(log) == mirrored.checkpoint()
        assert await client.tile(log, 0, 1, 44) == mirrored.tile(0, 1, 44)
        assert await client.tile(log, 1, 0, 1) == mirrored.tile(1, 0, 1)
        bundle = await client.bundle(log, 1, 44)
        assert bundle == decode_bundle(mirrored.bundle(1, 44), 44)
        assert await client.bodies(log, 250, 300) == mirrored.bodies(250, 300)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET {own}tile/0/00", 400),
        ("GET {own}tile/0/000.p/256", 400),
        ("GET {own}tile/0/000?x=1", 400),
        ("GET {own}tile/0/0%300", 400),
        ("GET {own}tile/0/../0/000", 400),
        ("GET {own}bodies/0/257", 400),
        ("GET {own}bodies/01/2", 400),
        ("GET {own}secrets", 400),
        ("GET {other}checkpoint", 404),
        ("GET {own}", 404),
        ("GET /", 404),
        ("GET /federation/v1/ping/", 404),
        ("GET /federation/v2/ping", 404),
        ("POST {own}checkpoint", 405),
        ("HEAD {own}checkpoint", 405),
        ("DELETE /federation/v1/ping", 405),
        ("GET /federation/v1/announce", 405),
    ],
)
async def test_other_requests_are_refused(
    world: World, store: SqliteStore, request_line: str, status: int
) -> None:
    line = request_line.format(own=log_path(world.name(0)), other=log_path(world.name(2)))
    async with (
        serving(world, store) as server,
        raw_connection(server.port, world.client_context(1, 0)) as (reader, writer),
    ):
        writer.write(f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        assert (await reader.readline()).split(b" ")[1] == str(status).encode()


@pytest.mark.parametrize(
    "request_bytes",
    [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 20_000, b"G:\r\n"],
)
async def test_what_is_not_http_gets_a_400_and_no_more(
    world: World, store: SqliteStore, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serving(world, store) as server,
        raw_connection(server.port, world.client_context(1, 0)) as (reader, writer),
    ):
        writer.write(request_bytes + b"\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.0 400") or answer.startswith(b"HTTP/1.1 400")
        assert b"aaaa" not in answer
    assert not caplog.records  # a peer must not fill the log with tracebacks


# --- announcements


async def test_an_announcement_reaches_the_node_with_its_senders_name(
    world: World, store: SqliteStore
) -> None:
    seen = []

    async def on_announce(member: str, announcement: Announcement) -> tuple[int, int]:
        seen.append((member, announcement))
        return 17, 5

    log = world.log(1, 3)
    async with (
        serving(world, store, on_announce) as server,
        world.client(1, 0, server.port) as client,
    ):
        assert await client.announce(log.announcement(1)) == (17, 5)
    assert seen == [(world.name(1), log.announcement(1))]


async def test_nobody_announces_somebody_elses_log(world: World, store: SqliteStore) -> None:
    log = world.log(1, 1)
    async with serving(world, store) as server, world.client(2, 0, server.port) as client:
        with pytest.raises(PeerAnswerError) as caught:
            await client.announce(log.announcement(0))
        assert (caught.value.status, caught.value.told) == (403, "NotYourLogError")


async def test_a_broken_announcement_is_refused(world: World, store: SqliteStore) -> None:
    data = encode_announcement(world.log(1, 2).announcement(0))
    async with serving(world, store) as server, world.client(1, 0, server.port) as client:
        for broken in (b"", data[:-1], data + b"x", b"\xff" * 100):
            with pytest.raises(PeerAnswerError) as caught:
                await client.announce(broken)
            assert caught.value.status == 400


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (SuspendedPeerError("no"), 403, "SuspendedPeerError"),
        (AnnouncementError("no"), 400, "AnnouncementError"),
        (StoreFullError("the disk at /secret/path is full"), 503, "NotNowError"),
    ],
)
async def test_why_an_announcement_is_not_taken(
    world: World, store: SqliteStore, error: Exception, status: int, told: str
) -> None:
    async def on_announce(member: str, announcement: Announcement) -> tuple[int, int]:
        raise error

    data = encode_announcement(world.log(1, 1).announcement(0))
    async with serving(world, store, on_announce) as server:
        request = post(ANNOUNCE, data)
        found, _, body = await ask(server, world.client_context(1, 0), request)
        assert (found, told.encode() in body, b"secret" in body) == (status, True, False)


# --- who may connect


async def test_without_a_certificate_there_is_no_answer(world: World, store: SqliteStore) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with serving(world, store) as server:
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await ask(server, context, get("/federation/v1/ping"))


async def test_a_strangers_certificate_is_refused(world: World, store: SqliteStore) -> None:
    from orgnode.tls import client_context

    # The stranger's certificate even carries the name of a member.
    context = client_context(world.stranger, world.card(0).certificate)
    async with (
        serving(world, store) as server,
        world.client(1, 0, server.port, context=context) as client,
    ):
        with pytest.raises(PeerUnreachableError):
            await client.ping()


async def test_a_member_cannot_issue_certificates(
    world: World, store: SqliteStore, tmp_path: Path
) -> None:
    """Members' certificates are trust anchors; what one of them signs must not be trusted."""
    keys = world.keystores[world.name(1)]
    parent = x509.load_der_x509_certificate(keys.certificate)
    signing = serialization.load_pem_private_key(keys.transport_key_pem(b"p"), b"p")
    child_key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    child = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "child")]))
        .issuer_name(parent.subject)
        .public_key(child_key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(signing, hashes.SHA256())  # type: ignore[arg-type]
    )
    chain = tmp_path / "chain.pem"
    chain.write_bytes(
        child_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + child.public_bytes(serialization.Encoding.PEM)
        + parent.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=world.card(0).certificate)
    context.load_cert_chain(chain)
    async with serving(world, store) as server:
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await ask(server, context, get("/federation/v1/ping"))


async def test_a_key_outside_the_mesh_is_cut_even_if_tls_lets_it_in(
    world: World, store: SqliteStore
) -> None:
    """The pin decides, not the list of trust anchors."""
    from orgnode.tls import client_context, server_context

    loose = server_context(world.keystores[world.name(0)], [world.stranger.certificate])
    async with serving(world, store, context=loose) as server:
        context = client_context(world.stranger, world.card(0).certificate)
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await ask(server, context, get("/federation/v1/ping"))


async def test_no_older_tls(world: World, store: SqliteStore) -> None:
    context = world.client_context(1, 0)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(world, store) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(server, context, get("/federation/v1/ping"))


# --- floods, bombs and slowness


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP, identity"])
async def test_a_compressed_request_is_refused_unread(
    world: World, store: SqliteStore, coding: str
) -> None:
    bomb = zlib.compress(bytes(50_000_000), 9)
    request = post(ANNOUNCE, bomb, f"Content-Encoding: {coding}")
    async with serving(world, store) as server:
        status, _, body = await ask(server, world.client_context(1, 0), request)
        assert (status, b"EncodedRequestError" in body) == (415, True)


async def test_an_enormous_body_is_refused_by_its_length(world: World, store: SqliteStore) -> None:
    request = f"POST {ANNOUNCE} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    async with serving(world, store) as server:
        status, _, _ = await ask(server, world.client_context(1, 0), request.encode())
        assert status == 413


async def test_a_body_of_unknown_length_is_cut_off(world: World, store: SqliteStore) -> None:
    limits = ServerLimits(max_body=10_000)
    request = f"POST {ANNOUNCE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(world, store, limits=limits) as server:
        chunks = b"fff\r\n" + bytes(0xFFF) + b"\r\n"
        data = request.encode() + chunks * 10
        status, _, _ = await ask(server, world.client_context(1, 0), data)
        assert status == 413


async def ends(reader: asyncio.StreamReader, within: float) -> float:
    """Read until the connection ends; returns how long that took."""
    started = time.monotonic()
    async with asyncio.timeout(within):
        try:
            while await reader.read(65_536):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
    return time.monotonic() - started


@pytest.mark.parametrize("sent", [b"", b"GET /federation/v1/ping HTTP/1.1\r\nHost"])
async def test_unfinished_headers_are_cut_off(
    world: World, store: SqliteStore, sent: bytes
) -> None:
    async with (
        serving(world, store, limits=ServerLimits(header=BRIEF)) as server,
        raw_connection(server.port, world.client_context(1, 0)) as (reader, writer),
    ):
        writer.write(sent)
        assert await ends(reader, within=5) > BRIEF / 2


async def test_trickled_headers_do_not_move_the_deadline(world: World, store: SqliteStore) -> None:
    async with (
        serving(world, store, limits=ServerLimits(header=BRIEF)) as server,
        raw_connection(server.port, world.client_context(1, 0)) as (reader, writer),
    ):
        # A first request that is whole: the deadline is that of the second one's headers.
        writer.write(get("/federation/v1/ping"))
        await reader.readuntil(b"}")
        finished = asyncio.create_task(ends(reader, within=5))
        writer.write(b"GET /federation/v1/ping HTTP/1.1\r\nSlow: ")
        while not finished.done():
            writer.write(b"a")
            await asyncio.sleep(BRIEF / 10)
        assert BRIEF / 2 < await finished < 10 * BRIEF


async def test_an_unfinished_body_is_cut_off(world: World, store: SqliteStore) -> None:
    async with (
        serving(world, store, limits=ServerLimits(exchange=BRIEF)) as server,
        raw_connection(server.port, world.client_context(1, 0)) as (reader, writer),
    ):
        writer.write(post(ANNOUNCE, bytes(1000))[:-1])
        assert await ends(reader, within=5) > BRIEF / 2


async def test_who_never_reads_is_cut_off(world: World, full: SqliteStore, log300: OrgLog) -> None:
    limits = ServerLimits(exchange=BRIEF)
    path = log_path(log300.name) + "bodies/0/256"
    async with serving(world, full, limits=limits) as server:
        async with world.client(1, 0, server.port) as client:
            one = len(await client.line.ask("GET", path, cap=10_000_000, deadline=5))
        async with raw_connection(server.port, world.client_context(1, 0)) as (reader, writer):
            writer.transport.pause_reading()
            writer.write(get(path) * 30)
            await asyncio.sleep(4 * BRIEF)
            writer.transport.resume_reading()
            got = 0
            async with asyncio.timeout(5):
                try:
                    while data := await reader.read(1 << 20):
                        got += len(data)
                except (ConnectionError, ssl.SSLError):
                    pass
            assert got < 30 * one


async def test_who_never_reads_waits_for_itself_alone(
    world: World, full: SqliteStore, log300: OrgLog
) -> None:
    """An answer counts as under way until the peer has taken it, on whichever connection."""
    greedy = get(log_path(log300.name) + "bodies/0/256") * 30
    tile = get(log_path(log300.name) + "tile/0/000")
    me, other = world.client_context(1, 0), world.client_context(2, 0)
    async with serving(world, full, limits=ServerLimits(reads=1)) as server:
        async with raw_connection(server.port, me) as (_, writer):
            writer.transport.pause_reading()
            writer.write(greedy)
            async with asyncio.timeout(10):
                while True:  # until the buffers between the two are full
                    try:
                        async with asyncio.timeout(0.5):
                            await ask(server, me, tile)
                    except TimeoutError:
                        break
            assert (await ask(server, other, tile))[0] == 200
        assert (await ask(server, me, tile))[0] == 200


async def test_an_idle_connection_is_closed(world: World, store: SqliteStore) -> None:
    async with (
        serving(world, store, limits=ServerLimits(idle=BRIEF)) as server,
        raw_connection(server.port, world.client_context(1, 0)) as (reader, writer),
    ):
        writer.write(get("/federation/v1/ping"))
        assert await reader.readuntil(b"}")
        assert await ends(reader, within=5) > BRIEF / 2


async def test_a_handshake_that_never_ends_is_cut_off(world: World, store: SqliteStore) -> None:
    async with serving(world, store, limits=ServerLimits(handshake=BRIEF)) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        assert await ends(reader, within=5) < 5
        writer.close()


async def test_a_member_has_only_so_many_connections(world: World, store: SqliteStore) -> None:
    async with serving(world, store, limits=ServerLimits(connections=2)) as server:
        context = world.client_context(1, 0)
        ping = get("/federation/v1/ping")

        async def opens() -> bool:
            async with raw_connection(server.port, context) as (reader, writer):
                writer.write(ping)
                try:
                    return bool(await reader.readline())
                except (ConnectionError, ssl.SSLError):
                    return False

        async with (
            raw_connection(server.port, context) as (first, writer1),
            raw_connection(server.port, context) as (second, writer2),
        ):
            for reader, writer in ((first, writer1), (second, writer2)):
                writer.write(ping)
                assert await reader.readline()
            assert not await opens()
            async with world.client(2, 0, server.port) as other:
                assert await other.ping()  # another member is not affected
        async with asyncio.timeout(5):
            while not await opens():  # the closed ones are counted out again
                await asyncio.sleep(0.01)


async def test_a_member_has_only_so_many_requests_at_a_time(
    world: World, store: SqliteStore
) -> None:
    release = asyncio.Event()

    async def on_announce(member: str, announcement: Announcement) -> tuple[int, int]:
        await release.wait()
        return 1, 0

    announcement = world.log(1, 1).announcement(0)
    async with (
        serving(world, store, on_announce, ServerLimits(in_flight=2)) as server,
        world.client(1, 0, server.port) as client,
        world.client(2, 0, server.port) as other,
    ):
        held = [asyncio.create_task(client.announce(announcement)) for _ in range(2)]
        refused = None
        async with asyncio.timeout(5):
            while refused is None:
                try:
                    await client.ping()
                    await asyncio.sleep(0.005)
                except PeerAnswerError as error:
                    refused = error.status
        assert refused == 429
        assert await other.ping()
        release.set()
        assert await asyncio.gather(*held) == [(1, 0), (1, 0)]
        assert await client.ping()


async def test_a_member_has_only_so_many_announcements_at_a_time(
    world: World, store: SqliteStore
) -> None:
    # Each may hold megabytes for as long as an exchange lasts.
    limits = ServerLimits(announcements=1)
    async with (
        serving(world, store, limits=limits) as server,
        raw_connection(server.port, world.client_context(1, 0)) as (reader, writer),
        world.client(1, 0, server.port) as client,
        world.client(2, 0, server.port) as other,
    ):
        writer.write(post(ANNOUNCE, bytes(1000))[:-1])  # never whole
        refused = None
        async with asyncio.timeout(5):
            while refused != 429:
                with pytest.raises(PeerAnswerError) as caught:
                    await client.announce(b"no announcement")
                refused = caught.value.status
        assert await client.ping()  # other questions are answered
        with pytest.raises(PeerAnswerError) as caught:
            await other.announce(b"no announcement")
        assert caught.value.status == 400  # and other members are not affected
        writer.write(b"\0")
        assert (await reader.readline()).split()[1] == b"400"
        with pytest.raises(PeerAnswerError) as caught:
            await client.announce(b"no announcement")
        assert caught.value.status == 400


async def test_strangers_cannot_take_all_file_descriptors(world: World, store: SqliteStore) -> None:
    limits = ServerLimits(handshakes=5)
    async with serving(world, store, limits=limits) as server:
        async with raw_connection(server.port, world.client_context(1, 0)) as (reader, writer):
            writer.write(get("/federation/v1/ping"))
            assert await reader.readline()  # a member's connection takes nobody's place
            silent = [await asyncio.open_connection(HOST, server.port) for _ in range(20)]
            dropped = 0
            for stream, _ in silent:
                with suppress(TimeoutError, ConnectionError):
                    async with asyncio.timeout(BRIEF):
                        await stream.read(1)
                dropped += stream.at_eof() or stream.exception() is not None
            assert dropped == 15
            writer.write(get("/federation/v1/ping"))
            assert await reader.readuntil(b"}")  # who was there before is still served
        for _, stranger in silent:
            stranger.close()
        async with asyncio.timeout(5), world.client(2, 0, server.port) as client:
            while True:  # the closed ones are counted out again
                with suppress(PeerUnreachableError):
                    assert await client.ping()
                    break


async def test_the_nodes_own_key_on_the_other_end_is_nobody(
    world: World, store: SqliteStore
) -> None:
    keys = world.keystores[world.name(0)]
    certificates = [card.certificate for card in world.mesh.members]  # as a node trusts them
    context = server_context(keys, certificates)
    async with serving(world, store, context=context) as server:
        async with world.client(1, 0, server.port) as peer:
            assert await peer.ping()
        async with world.client(0, 0, server.port) as loop_or_thief:
            with pytest.raises(PeerUnreachableError):
                await loop_or_thief.ping()


# --- starting and stopping


async def test_a_taken_port_is_named(world: World, store: SqliteStore) -> None:
    async with serving(world, store) as server:
        second = make_server(world, store)
        with pytest.raises(PortInUseError, match=str(server.port)) as caught:
            await second.start(HOST, server.port)
        assert "federation_port" in caught.value.hint
        await second.stop()


async def test_a_host_that_is_not_ours_is_named(world: World, store: SqliteStore) -> None:
    server = make_server(world, store)
    with pytest.raises(ListenError, match=r"203\.0\.113\.1"):
        await server.start("203.0.113.1", 0)
    await server.stop()


async def test_stopping_lets_what_runs_finish(world: World, store: SqliteStore) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def on_announce(member: str, announcement: Announcement) -> tuple[int, int]:
        begun.set()
        await release.wait()
        return 5, 0

    async with (
        serving(world, store, on_announce) as server,
        world.client(1, 0, server.port) as client,
    ):
        running = asyncio.create_task(client.announce(world.log(1, 1).announcement(0)))
        await begun.wait()
        stopping = asyncio.create_task(server.stop(drain=5))
        await asyncio.sleep(0.05)
        assert not stopping.done()
        release.set()
        assert await running == (5, 0)
        await stopping
        with pytest.raises(PeerUnreachableError):
            await client.ping()


async def test_stopping_does_not_wait_for_ever(world: World, store: SqliteStore) -> None:
    async def on_announce(member: str, announcement: Announcement) -> tuple[int, int]:
        await asyncio.Event().wait()
        return 0, 0

    async with (
        serving(world, store, on_announce) as server,
        world.client(1, 0, server.port) as client,
        raw_connection(server.port, world.client_context(2, 0)),
    ):
        limits = replace(client._limits, long=30.0)
        client._limits = limits
        running = asyncio.create_task(client.announce(world.log(1, 1).announcement(0)))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(3):
            await server.stop(drain=0.2)
        with pytest.raises(PeerUnreachableError):
            await running


async def test_a_handshake_that_ends_after_the_server_is_cut(
    world: World, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would close that connection any more: the server has forgotten all of its own."""
    accepted, enter = asyncio.Event(), Crowd.enter
    monkeypatch.setattr(Crowd, "enter", lambda crowd: (accepted.set(), enter(crowd))[1])
    async with serving(world, store) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        await accepted.wait()
        await server.stop(drain=0.1)
        try:
            async with asyncio.timeout(5):
                with suppress(ConnectionError, ssl.SSLError):
                    await writer.start_tls(world.client_context(1, 0))
                    assert await reader.read() == b""
        finally:
            writer.transport.abort()
