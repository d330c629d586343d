"""The feed over a real socket: ids, resuming, filters, heartbeats, slow subscribers, goodbyes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import httpx
import httpx_sse
import pytest
from api_support import TOKEN, ApiNode, Served, incident, serving

from mesh.testing import Lie, OrgLog, TestMesh, falsify
from orgnode.api import ApiOptions
from orgnode.api.eventstream import EventParser, ServerEvent
from orgnode.api.sse import FeedLimits
from orgnode.incidents import IncidentInput


class Stream:
    """A subscriber on a plain connection, one event at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = EventParser()
        self._events: list[ServerEvent] = []
        self.raw = b""
        self.ended = False

    async def next(self) -> ServerEvent | None:
        """The next event, or None at the end of the stream."""
        while not self._events:
            size = int((await self._reader.readline()) or b"0", 16)
            chunk = await self._reader.readexactly(size)
            self.ended = size == 0
            if self.ended:
                return None
            await self._reader.readexactly(2)
            self.raw += chunk
            self._events = self._parser.feed(chunk)
        return self._events.pop(0)

    async def take(self, count: int) -> list[ServerEvent]:
        """That many events."""
        return [event for _ in range(count) if (event := await self.next()) is not None]

    async def rest(self) -> list[ServerEvent]:
        """Everything up to the end."""
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


@asynccontextmanager
async def subscribed(
    port: int, query: str = "", last: int | None = None, receive_buffer: int | None = None
) -> AsyncIterator[Stream]:
    plain = socket.socket()
    if receive_buffer is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
    limit = 1 << 16 if receive_buffer is None else receive_buffer
    reader, writer = await asyncio.open_connection(sock=plain, limit=limit)
    resume = "" if last is None else f"Last-Event-ID: {last}\r\n"
    writer.write(
        f"GET /v1/feed{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {TOKEN}\r\n{resume}\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    assert b"text/event-stream" in head
    try:
        yield Stream(reader, writer)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def ids(events: list[ServerEvent]) -> list[int]:
    return [int(event.id) for event in events]


async def test_news_arrive_with_ids_and_one_line_of_json(api: Served, peer_log: OrgLog) -> None:
    async with subscribed(api.server.port) as stream:
        (opening,) = await stream.take(1)
        assert (opening.event, opening.id) == ("cursor", "0")
        signals = peer_log.append_signals(3)
        await api.node.follow(peer_log)
        events = await stream.take(3)
        assert ids(events) == [4, 5, 6], "after three provisional ones"
        assert [event.event for event in events] == ["signal"] * 3
        data = [json.loads(event.data) for event in events]
        assert [one["signal"]["id"] for one in data] == signals
        assert [one["seq"] for one in data] == [4, 5, 6]
        assert {one["certified"] for one in data} == {True}
        _, shown = await api.get(f"/v1/signals/{signals[0]}")
        assert data[0]["signal"].items() <= shown.items()


async def test_a_signal_comes_when_a_quorum_holds_it_and_before_if_asked_for(
    api: Served, peer_log: OrgLog
) -> None:
    (signal,) = peer_log.append_signals(1)
    port = api.server.port
    async with (
        subscribed(port) as plain,
        subscribed(port, "?provisional=1") as early,
        subscribed(port, "?type=provisional") as named,
    ):
        for stream in (plain, early, named):
            await stream.take(1)
        await api.node.follow(peer_log, certified=False)
        for stream in (early, named):
            (event,) = await stream.take(1)
            told = json.loads(event.data)
            assert (event.event, event.id, told["certified"]) == ("provisional", "1", False)
            assert (told["signal"]["id"], told["signal"]["certified"]) == (signal, False)
        await api.node.certify(peer_log.name)
        for stream in (plain, early):
            (event,) = await stream.take(1)
            told = json.loads(event.data)
            assert (event.event, event.id, told["certified"]) == ("signal", "2", True)
            assert told["signal"]["certified"] is True
    async with subscribed(port, "?after=0&provisional=0") as stream:
        assert [event.event for event in await stream.take(2)] == ["cursor", "signal"]


@pytest.mark.parametrize("certified", [True, False])
async def test_who_asked_for_the_past_is_told_when_it_is_over(
    api: Served, peer_log: OrgLog, certified: bool
) -> None:
    peer_log.append_signals(3)
    await api.node.follow(peer_log, certified)
    await api.node.fill(1, certified=False)
    end = str(api.node.store.last_seq())
    async with subscribed(api.server.port, "?after=0") as stream:
        async with asyncio.timeout(5):  # long before the heartbeat
            events = await stream.take(5 if certified else 2)
    signals = ["signal"] * 3 if certified else []
    assert [event.event for event in events] == ["cursor", *signals, "cursor"]
    assert (events[0].id, events[-1].id) == ("0", end)


async def test_without_a_cursor_only_news_are_sent(api: Served, peer_log: OrgLog) -> None:
    peer_log.append_signals(3)
    await api.node.follow(peer_log)
    async with subscribed(api.server.port) as stream:
        assert (await stream.take(1))[0].id == "6"
        peer_log.append_signals(1)
        await api.node.follow(peer_log)
        assert ids(await stream.take(1)) == [8]


@pytest.mark.parametrize(
    ("query", "last", "expected"),
    [
        ("?after=0", None, [6, 7, 8, 9, 10]),
        ("?after=8", None, [9, 10]),
        ("", 8, [9, 10]),
        ("?after=1", 9, [10]),  # the header wins: it is what a browser sends on reconnecting
    ],
)
async def test_a_subscriber_goes_on_where_it_was(
    api: Served, peer_log: OrgLog, query: str, last: int | None, expected: list[int]
) -> None:
    peer_log.append_signals(5)
    await api.node.follow(peer_log)
    async with subscribed(api.server.port, query, last) as stream:
        events = await stream.take(1 + len(expected))
        assert events[0].event == "cursor"
        assert ids(events[1:]) == expected


async def test_replaying_many_pages_loses_nothing_and_repeats_nothing(
    api: Served,
) -> None:
    numbers = await api.node.fill(700)
    async with subscribed(api.server.port, "?after=0") as stream:
        events = await stream.take(701)
        assert ids(events[1:]) == numbers
        numbers = await api.node.fill(1)
        assert ids(await stream.take(1)) == numbers


async def test_filters_are_applied_by_the_server(api: Served, peer_log: OrgLog) -> None:
    peer_log.append_signal(falsify(peer_log.mesh, peer_log.pool[0], Lie.ALTERED_PROOF, Random(7)))
    signals = peer_log.append_signals(8)
    await api.node.follow(peer_log)
    peer_log.append_retraction(signals[0])
    await api.node.follow(peer_log)
    _, listed = await api.get("/v1/signals")
    by_id = {one["id"]: one for one in listed["signals"]}
    category = by_id[signals[1]]["category"]

    async def matching(query: str) -> list[dict[str, Any]]:
        await api.node.publisher.report(_incident())  # the end, which every filter here passes
        end = api.node.store.last_seq()
        async with subscribed(api.server.port, f"?after=0&{query}") as stream:
            found = []
            while not found or found[-1]["seq"] < end:
                event = await stream.next()
                assert event is not None
                if event.event != "cursor":
                    found.append(json.loads(event.data))
        return [one for one in found if one["signal" if "signal" in one else "issuer"]]

    high = await matching("min_band=high")
    assert high
    assert all(one["signal"]["band_level"] >= 3 for one in high)
    assert {one["type"] for one in high} <= {"signal", "retraction"}
    in_category = await matching(f"category={category}&category=ncr")
    assert {one["signal"]["category"] for one in in_category} == {category, "ncr"}
    kinds = await matching("type=signal&type=refused")
    assert {one["type"] for one in kinds} == {"signal", "refused"}
    retractions = [
        one for one in await matching("type=retraction&type=signal") if one["type"] == "retraction"
    ]
    assert [one["signal"]["id"] for one in retractions] == [signals[0]]
    assert retractions[0]["reason"] == "false_positive"


def _incident() -> IncidentInput:
    given = incident()
    return IncidentInput(
        text=given["text"],
        components=tuple(given["components"].values()),
        category="ncr",
        technique=given["technique"],
    )


@pytest.mark.parametrize(
    "query",
    [
        "?min_band=worst",
        "?after=-1",
        "?after=x",
        "?after=1&after=2",
        "?type=gossip",
        "?speed=1",
        "?after=99999999999999999",
    ],
)
async def test_a_query_that_does_not_hold_is_refused(api: Served, query: str) -> None:
    status, refused = await api.get(f"/v1/feed{query}")
    assert (status, refused["error"]["code"]) == (400, "InvalidQueryError")


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 40, "٣"])
async def test_a_last_event_id_that_never_was_is_refused(api: Served, last: str) -> None:
    status, refused = await api.get("/v1/feed", headers={"Last-Event-ID": last})
    assert (status, refused["error"]["code"]) == (400, "InvalidLastEventIdError")


async def test_a_cursor_from_before_what_is_kept_is_told_of_the_gap(
    api: Served, peer_log: OrgLog
) -> None:
    peer_log.append_signals(6)
    await api.node.follow(peer_log)
    await api.node.store.trim_events(11)
    async with subscribed(api.server.port, last=2) as stream:
        gap, *events = await stream.take(3)
        assert (gap.event, gap.id) == ("gap", "10")
        assert json.loads(gap.data)["after"] == 2
        assert ids(events) == [11, 12]
    async with subscribed(api.server.port, last=10) as stream:
        assert (await stream.take(1))[0].event == "cursor"
    async with subscribed(api.server.port, "?after=0") as stream:
        assert [event.event for event in await stream.take(2)] == ["cursor", "signal"]


async def test_a_cursor_from_a_longer_history_is_told_and_goes_on_live(
    api: Served, peer_log: OrgLog
) -> None:
    peer_log.append_signals(2)
    await api.node.follow(peer_log)
    async with subscribed(api.server.port, last=900) as stream:
        (gap,) = await stream.take(1)
        assert (gap.event, gap.id) == ("gap", "4")
        peer_log.append_signals(1)
        await api.node.follow(peer_log)
        assert ids(await stream.take(1)) == [6]


async def test_quiet_feeds_beat_and_move_the_cursor_of_a_filter_that_passes_nothing(
    node: ApiNode, peer_log: OrgLog
) -> None:
    options = ApiOptions(TOKEN, feed=FeedLimits(heartbeat_seconds=0.05))
    async with (
        serving(node, options) as api,
        subscribed(api.server.port, "?type=evidence") as stream,
    ):
        opening = await stream.next()
        assert opening is not None
        assert json.loads(opening.data)["heartbeat"] == 0.05
        peer_log.append_signals(2)
        await node.follow(peer_log, certified=False)
        moved = await stream.next()
        assert moved is not None
        assert (moved.event, moved.id) == ("cursor", "2")
        assert b": heartbeat\n" in stream.raw or await _beats(stream)


async def _beats(stream: Stream) -> bool:
    size = int(await stream._reader.readline(), 16)
    return b": heartbeat\n" in await stream._reader.readexactly(size)


async def test_a_draining_node_says_goodbye_and_where_to_resume(
    node: ApiNode, peer_log: OrgLog
) -> None:
    peer_log.append_signals(3)
    await node.follow(peer_log)
    async with serving(node) as api, subscribed(api.server.port, "?after=0") as stream:
        await stream.take(4)
        node.feed.close()
        (bye,) = await stream.rest()
        assert bye.event == "bye"
        assert json.loads(bye.data)["resume"] == 6
        assert stream.ended


async def test_connections_are_bounded_and_given_back(world: TestMesh, node: ApiNode) -> None:
    small = ApiNode(world, node.store, max_subscribers=2)
    async with serving(small) as api:
        async with subscribed(api.server.port) as one, subscribed(api.server.port) as two:
            await one.take(1)
            await two.take(1)
            status, refused = await api.get("/v1/feed")
            assert (status, refused["error"]["code"]) == (503, "TooManySubscribersError")
        async with asyncio.timeout(8):  # noticed within a tick, long before the heartbeat
            while small.feed.subscribers:
                await asyncio.sleep(0.05)
        async with subscribed(api.server.port) as three:
            await three.take(1)


@pytest.mark.parametrize("reason", ["stalled", "behind"])
async def test_who_takes_nothing_is_dropped_and_told_where_to_resume(
    node: ApiNode, reason: str
) -> None:
    limits = FeedLimits(
        buffer_events=10 if reason == "behind" else 100_000,
        stall_seconds=60.0 if reason == "behind" else 0.5,
        close_seconds=30.0,
    )
    async with (
        serving(node, ApiOptions(TOKEN, feed=limits)) as api,
        subscribed(api.server.port, "?after=0", receive_buffer=4096) as stream,
        subscribed(api.server.port) as healthy,
    ):
        await stream.take(1)
        await healthy.take(1)
        dropped = node.metrics.feed_dropped.labels(reason)
        sent, seen = [], 0
        while not dropped._value.get():
            sent += await node.fill(256, tokens=32)
            seen += len(await healthy.take(256))
            assert len(sent) < 20_000, "the socket took everything"
            await asyncio.sleep(0.05)
        assert seen == len(sent)  # one slow subscriber costs the others nothing
        # Whoever reads on finds everything up to where it is told to resume, and then why.
        *events, last = await stream.rest()
        assert last.event == "dropped"
        told = json.loads(last.data)
        assert told["reason"] == reason
        assert ids(events) == [one for one in sent if one <= told["resume"]]
        left = [one for one in sent if one > told["resume"]]
        async with subscribed(api.server.port, last=told["resume"]) as again:
            if left:
                assert ids((await again.take(2))[1:]) == left[:1]


async def test_a_slow_replay_is_not_dropped_while_it_takes_what_it_is_sent(
    node: ApiNode,
) -> None:
    numbers = await node.fill(1_500, tokens=32)  # more than the sockets' buffers take at once
    limits = FeedLimits(buffer_events=10, stall_seconds=0.6)
    async with (
        serving(node, ApiOptions(TOKEN, feed=limits)) as api,
        subscribed(api.server.port, "?after=0", receive_buffer=4096) as stream,
    ):
        events: list[ServerEvent] = []
        while len(events) < 1_501:
            events += await stream.take(min(25, 1_501 - len(events)))
            await asyncio.sleep(0.05)
        assert ids(events[1:]) == numbers
        assert not node.metrics.feed_dropped._metrics


async def test_an_independent_client_reads_the_feed(api: Served, peer_log: OrgLog) -> None:
    signals = peer_log.append_signals(4)
    await api.node.follow(peer_log)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        httpx.AsyncClient(headers=headers, trust_env=False) as client,
        httpx_sse.aconnect_sse(client, "GET", f"{api.url}/v1/feed?after=0") as source,
    ):
        found = []
        async for event in source.aiter_sse():
            data = json.loads(event.data)
            if event.event == "signal":
                assert event.id == str(data["seq"])
                found.append(data["signal"]["id"])
            if len(found) == 4:
                break
    assert found == signals


async def test_deliveries_and_subscribers_are_counted(api: Served, peer_log: OrgLog) -> None:
    peer_log.append_signals(3)
    await api.node.follow(peer_log)
    async with subscribed(api.server.port, "?after=0") as one:
        await one.take(4)
        assert api.node.metrics.feed_subscribers._value.get() == 1
        assert api.node.metrics.feed_deliveries._value.get() == 3
    while api.node.feed.subscribers:
        await asyncio.sleep(0.05)
    assert api.node.metrics.feed_subscribers._value.get() == 0
