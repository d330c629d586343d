"""The Python client against a real node's API, and the feed across every kind of interruption."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from aiohttp import web
from api_support import COMPONENTS, TOKEN, ApiNode, Served, incident, open_store, serving

from mesh.testing import Lie, OrgLog, TestMesh, falsify
from orgnode.api import ApiOptions
from orgnode.api.models import FeedItem
from orgnode.api.sse import FeedLimits
from orgnode.client import (
    ApiError,
    ClientError,
    NodeClient,
    NodeUnreachableError,
    RequestTooLongError,
    UnauthorizedError,
    UnexpectedAnswerError,
)
from orgnode.config import NodeConfig, write_config
from orgnode.datadir import DataDir, RunInfo


async def take(feed: AsyncIterator[FeedItem], count: int) -> list[FeedItem]:
    """That many items."""
    found = []
    while len(found) < count:
        found.append(await asyncio.wait_for(anext(feed), 20))
    return found


async def test_reporting_reading_and_retracting(api: Served, peer_log: OrgLog) -> None:
    async with NodeClient(api.url, TOKEN) as node:
        published = await node.report(
            text="an attack",
            components=COMPONENTS,
            category="ncr",
            technique="AML.T0054",
            reference="case 1",
        )
        assert (published.band, published.duplicate) == ("high", False)
        signal = await node.signal(published.signal)
        assert (signal.id, signal.own, signal.status) == (published.signal, True, "live")
        assert (await node.proof(published.signal)).index == 0
        retracted = await node.retract(published.signal, "false_positive")
        assert retracted.index == 1
        assert (await node.signal(published.signal)).status == "retracted"

        peer_log.append_signal(
            falsify(peer_log.mesh, peer_log.pool[0], Lie.ALTERED_PROOF, Random(3))
        )
        peer_log.append_signals(3)
        await api.node.follow(peer_log)
        page = await node.signals(issuer=peer_log.name, limit=2)
        assert len(page.signals) == 2
        rest = await node.signals(issuer=peer_log.name, limit=2, cursor=page.next)
        assert (len(rest.signals), rest.next) == (1, None)
        assert [one.id async for one in node.iter_signals(issuer=peer_log.name)] == [
            one.id for one in page.signals + rest.signals
        ]
        assert [one.index for one in await node.refusals()] == [0]
        assert (await node.status()).name == api.node.name
        assert await node.peers() == []
        assert (await node.constraints()).mesh == api.node.mesh.mesh_id
        assert (await node.ready()).ready
        api.node.reasons = ("draining",)
        assert (await node.ready()).reasons == ["draining"]


async def test_many_incidents_go_in_batches(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orgnode.client.BATCH_INCIDENTS", 3)
    many = [incident(text=f"attack number {i}", reference=f"{i}") for i in range(7)]
    many[4]["category"] = "xyz"
    async with NodeClient(api.url, TOKEN) as node:
        results = await node.report_many(many)
    assert [one.ok for one in results] == [True] * 4 + [False] + [True] * 2
    assert results[4].error is not None
    assert results[4].error.code == "UnknownCategoryError"
    assert api.node.store.state(api.node.name).size == 6
    text = api.node.metrics.render()[0].decode()
    assert 'requests_total{route="/v1/incidents/batch",status="200"} 3.0' in text


async def test_batches_are_bounded_in_bytes(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orgnode.client.BATCH_BYTES", 1000)
    async with NodeClient(api.url, TOKEN) as node:
        results = await node.report_many([incident(text=letter * 600) for letter in "abc"])
    assert [one.ok for one in results] == [True] * 3
    text = api.node.metrics.render()[0].decode()
    assert 'requests_total{route="/v1/incidents/batch",status="200"} 3.0' in text


async def test_refusals_carry_the_nodes_words(api: Served) -> None:
    async with NodeClient(api.url, TOKEN) as node:
        with pytest.raises(ApiError) as caught:
            await node.report(text="x", components=COMPONENTS, category="ncr", technique="T1")
        assert (caught.value.status, caught.value.code) == (422, "TechniqueFormatError")
        assert "AML.T0054" in caught.value.hint
        assert "TechniqueFormatError" in str(caught.value)
        for path in ("../status", "a/b", "?x", ""):
            with pytest.raises(ApiError) as caught:
                await node.signal(path)
            assert caught.value.status == 404


async def test_a_wrong_token_an_absent_node_and_something_else(
    api: Served, unused_tcp_port: int
) -> None:
    async with NodeClient(api.url, "wrong") as node:
        with pytest.raises(UnauthorizedError) as caught:
            await node.status()
        assert caught.value.hint
        with pytest.raises(UnauthorizedError):
            await anext(node.feed())
    async with NodeClient(f"http://127.0.0.1:{unused_tcp_port}", TOKEN) as node:
        with pytest.raises(NodeUnreachableError) as unreachable:
            await node.status()
        assert "orgnode run" in unreachable.value.hint
        with pytest.raises(NodeUnreachableError):
            await anext(node.feed())

    async def other(_request: web.Request) -> web.Response:
        return web.Response(text="<html>hello</html>")

    async def redirect(_request: web.Request) -> web.Response:
        raise web.HTTPFound("http://attacker.example/")

    async with (
        _stand_in({"/v1/status": other, "/v1/peers": redirect}) as url,
        NodeClient(url, TOKEN) as node,
    ):
        with pytest.raises(UnexpectedAnswerError):
            await node.status()
        with pytest.raises(UnexpectedAnswerError):  # never followed with the token
            await node.peers()
        with pytest.raises(UnexpectedAnswerError):
            await anext(node.feed())


async def test_a_node_that_does_not_answer_in_time() -> None:
    release = asyncio.Event()

    async def silent(_request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    async with _stand_in({"/v1/status": silent}) as url:
        async with NodeClient(url, TOKEN, timeout=0.1) as node:
            with pytest.raises(NodeUnreachableError, match="in time") as caught:
                await node.status()
            assert caught.value.hint.startswith("it runs, "), "to start it would not help"
        release.set()


@asynccontextmanager
async def _stand_in(handlers: dict[str, object]) -> AsyncIterator[str]:
    app = web.Application()
    for path, handler in handlers.items():
        app.router.add_get(path, handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_what_can_not_be_sent_is_named_without_its_content() -> None:
    async with NodeClient("http://127.0.0.1:9", TOKEN) as node:
        with pytest.raises(ClientError) as caught:
            await node.report_many([incident(text="secret \ud800")])
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
        with pytest.raises(RequestTooLongError):
            await node.report(
                text="\x00" * 200_000, components={}, category="ncr", technique="AML.T0054"
            )


async def test_outside_its_block_the_client_says_how_to_use_it() -> None:
    node = NodeClient("http://127.0.0.1:9", TOKEN)
    with pytest.raises(RuntimeError, match="async with"):
        await node.status()
    assert TOKEN not in repr(node)


async def test_the_feed_yields_each_event_once_across_cut_connections(
    api: Served, peer_log: OrgLog
) -> None:
    async with (
        _Cutter(api.server.port) as cutter,
        NodeClient(cutter.url, TOKEN) as node,
        aclosing(node.feed(after=0)) as feed,
    ):
        found: list[int] = []
        sent: list[int] = []
        for round_ in range(6):
            sent += await api.node.fill(50)
            # Cut in the middle of the bytes, wherever that is.
            cutter.cut_after(1_000 + 7_777 * round_)
            found += [one.seq for one in await take(feed, 50)]
        assert found == sent
        assert cutter.connections > 3


class _Cutter:
    """A TCP relay that cuts its connections after so many bytes of answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._left = 1 << 40
        self.connections = 0

    def cut_after(self, count: int) -> None:
        self._left = count

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> _Cutter:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.sleep(0.05)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        near, far = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            far.write(await reader.readuntil(b"\r\n\r\n"))
            while chunk := await near.read(4096):
                writer.write(chunk[: max(self._left, 0)])
                self._left -= len(chunk)
                if self._left <= 0:
                    self._left = 1 << 40
                    break
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            for one in (writer, far):
                one.close()
            await asyncio.gather(writer.wait_closed(), far.wait_closed(), return_exceptions=True)


async def test_the_feed_survives_a_restart_of_the_node(
    world: TestMesh, tmp_path: Path, unused_tcp_port: int
) -> None:
    with open_store(world, tmp_path) as store:
        told: list[bool] = []
        first = ApiNode(world, store)
        async with (
            NodeClient(f"http://127.0.0.1:{unused_tcp_port}", TOKEN) as client,
            aclosing(client.feed(connection=told.append)) as feed,
        ):
            async with serving(first, port=unused_tcp_port):
                waiting = asyncio.create_task(take(feed, 7))
                while not first.feed.subscribers:
                    await asyncio.sleep(0.01)
                sent = await first.fill(2)
                while first.metrics.feed_deliveries._value.get() < 2:
                    await asyncio.sleep(0.01)
            second = ApiNode(world, store)
            sent += await second.fill(4)  # while nobody can listen
            async with serving(second, port=unused_tcp_port):
                sent += await second.fill(1)
                items = await waiting
    assert [one.seq for one in items] == sent
    assert {one.type for one in items} == {"signal"}
    assert told == [False, True]


async def test_a_live_feed_knows_its_place_before_the_first_event(
    api: Served, peer_log: OrgLog
) -> None:
    await api.node.fill(3)
    async with (
        _Cutter(api.server.port) as cutter,
        NodeClient(cutter.url, TOKEN) as node,
        aclosing(node.feed()) as feed,
    ):
        waiting = asyncio.create_task(take(feed, 2))
        while not api.node.feed.subscribers:
            await asyncio.sleep(0.01)
        cutter.cut_after(10)  # the next bytes, of the first event, never arrive
        sent = await api.node.fill(2)
        assert [one.seq for one in await waiting] == sent
        assert cutter.connections == 2


async def test_a_dropped_client_comes_back_for_the_rest(node: ApiNode) -> None:
    limits = FeedLimits(stall_seconds=0.3, close_seconds=0.3)
    async with (
        serving(node, ApiOptions(TOKEN, feed=limits)) as api,
        NodeClient(api.url, TOKEN) as client,
        aclosing(client.feed(after=0)) as feed,
    ):
        sent = await node.fill(256)
        found = [one.seq for one in await take(feed, 1)]
        while not node.metrics.feed_dropped._metrics and len(sent) < 40_000:
            sent += await node.fill(256, tokens=32)  # while this consumer takes nothing
            await asyncio.sleep(0.02)
        assert node.metrics.feed_dropped._metrics, "the sockets took everything"
        found += [one.seq for one in await take(feed, len(sent) - 1)]
    assert found == sent


async def test_filters_reach_the_node(api: Served, peer_log: OrgLog) -> None:
    signals = peer_log.append_signals(8)
    await api.node.follow(peer_log)
    peer_log.append_retraction(signals[0])
    await api.node.follow(peer_log)
    async with NodeClient(api.url, TOKEN) as node:
        async with aclosing(node.feed(types=["retraction"], after=0)) as feed:
            (item,) = await take(feed, 1)
        assert item.type == "retraction"
        assert item.signal is not None
        assert (item.signal.id, item.reason) == (signals[0], "false_positive")
        listed = [one async for one in node.iter_signals(min_band="high")]
        async with aclosing(node.feed(types=["signal"], min_band="high", after=0)) as feed:
            items = await take(feed, len(listed))
        assert [one.signal.id for one in items if one.signal] == [
            one.id for one in reversed(listed)
        ]
        category = listed[0].category
        async with aclosing(node.feed(categories=[category], after=0)) as feed:
            (item,) = await take(feed, 1)
        assert item.signal is not None
        assert item.signal.category == category
        with pytest.raises(ApiError):
            await anext(node.feed(min_band="worst"))


async def test_a_gap_is_an_item_of_its_own(api: Served) -> None:
    await api.node.fill(6)
    await api.node.store.trim_events(11)
    async with NodeClient(api.url, TOKEN) as node:
        async with aclosing(node.feed(after=1)) as feed:
            gap, *items = await take(feed, 3)
        assert (gap.type, gap.seq) == ("gap", 10)
        assert gap.reason
        assert [one.seq for one in items] == [11, 12]
        async with aclosing(node.feed(after=99)) as feed:
            (gap,) = await take(feed, 1)
            assert (gap.type, gap.seq) == ("gap", 12)
            numbers = await api.node.fill(1)
            assert [one.seq for one in await take(feed, 1)] == numbers


async def test_provisional_signals_and_cursors_come_if_asked_for(api: Served) -> None:
    (early,) = await api.node.fill(1, certified=False)
    async with NodeClient(api.url, TOKEN) as node:
        async with aclosing(node.feed(after=0, provisional=True)) as feed:
            (item,) = await take(feed, 1)
        assert (item.type, item.seq, item.certified) == ("provisional", early, False)
        async with aclosing(node.feed(after=0, cursors=True)) as feed:
            items = await take(feed, 2)
        assert [(one.type, one.seq) for one in items] == [("cursor", 0), ("cursor", early)]
        async with aclosing(node.feed(after=0)) as feed:
            waiting = asyncio.create_task(take(feed, 1))
            while not api.node.feed.subscribers:
                await asyncio.sleep(0.01)
            numbers = await api.node.fill(1)
            (item,) = await waiting
        assert (item.type, item.seq, item.certified) == ("signal", numbers[0] - 1, True)
        assert item.signal is not None
        assert item.signal.certified


async def test_a_silent_connection_is_given_up_and_made_anew() -> None:
    calls = 0
    release = asyncio.Event()

    async def mute(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        seq = 5 if calls == 1 else 6
        await response.write(
            f'id: {seq}\nevent: cursor\ndata: {{"seq":{seq},"heartbeat":0.01}}\n\n'.encode()
        )
        if calls > 1:
            assert request.headers["Last-Event-ID"] == "5"
            await response.write(b'id: 6\nevent: evidence\ndata: {"seq":6,"at":1.0}\n\n')
            await response.write(b'id: 7\nevent: evidence\ndata: {"seq":7,"at":1.0}\n\n')
        await release.wait()
        return response

    async with _stand_in({"/v1/feed": mute}) as url, NodeClient(url, TOKEN) as node:
        async with aclosing(node.feed()) as feed:
            (item,) = await take(feed, 1)
        release.set()
    assert (item.seq, item.type) == (7, "evidence")
    assert calls == 2


@pytest.mark.parametrize("kind", ["dropped", "bye"])
async def test_the_feed_resumes_where_the_node_says(kind: str) -> None:
    asked: list[str | None] = []
    first = (
        'id: 5\nevent: cursor\ndata: {"seq":5,"heartbeat":15}\n\n'
        f'event: {kind}\ndata: {{"reason":"x","resume":9}}\n\n'
    )
    second = 'id: 10\nevent: evidence\ndata: {"seq":10,"at":1.0}\n\n'

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        text = first if len(asked) == 1 else second
        return web.Response(text=text, content_type="text/event-stream")

    async with (
        _stand_in({"/v1/feed": handler}) as url,
        NodeClient(url, TOKEN) as node,
        aclosing(node.feed()) as feed,
    ):
        (item,) = await take(feed, 1)
    assert item.seq == 10
    assert asked == [None, "9"]


@pytest.mark.parametrize(
    "event",
    [
        "event: signal\ndata: not JSON\n\n",
        'event: signal\ndata: {"at":1.0}\n\n',
        'event: signal\ndata: {"seq":"1"}\n\n',
        "event: dropped\ndata: {}\n\n",
        "event: cursor\ndata: x\n\n",
        "event: cursor\ndata: []\n\n",
        'event: gap\ndata: {"heartbeat":{}}\n\n',
        'event: signal\ndata: {"seq":1,"at":"noon"}\n\n',
    ],
)
async def test_a_feed_out_of_form_is_an_error_not_a_loss(event: str) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text=event, content_type="text/event-stream")

    async with _stand_in({"/v1/feed": handler}) as url, NodeClient(url, TOKEN) as node:
        with pytest.raises(UnexpectedAnswerError):
            await anext(node.feed(after=0))


async def test_a_token_that_was_changed_ends_the_feed(
    world: TestMesh, node: ApiNode, unused_tcp_port: int
) -> None:
    async with (
        NodeClient(f"http://127.0.0.1:{unused_tcp_port}", TOKEN) as client,
        aclosing(client.feed(after=0)) as feed,
    ):
        async with serving(node, port=unused_tcp_port):
            await node.fill(1)
            await take(feed, 1)
        other = ApiNode(world, node.store)
        async with serving(other, ApiOptions("another token"), port=unused_tcp_port):
            with pytest.raises(UnauthorizedError):
                await take(feed, 1)


def test_a_client_from_a_data_directory(tmp_path: Path) -> None:
    datadir = DataDir(tmp_path / "node")
    datadir.create()
    token = datadir.create_token()
    write_config(datadir, NodeConfig(name="acme.example", control_group="acme", local_port=8999))
    assert repr(NodeClient.from_datadir(datadir.path)) == "NodeClient('http://127.0.0.1:8999')"
    with datadir.lock():
        datadir.write_run(RunInfo(1, "0.0.0.0", 9001, 9002))
        found = NodeClient.from_datadir(str(datadir.path))
        assert repr(found) == "NodeClient('http://127.0.0.1:9001')"
        assert found._token == token
        datadir.write_run(RunInfo(1, "::1", 9001, 9002))
        assert repr(NodeClient.from_datadir(datadir.path)) == "NodeClient('http://[::1]:9001')"
