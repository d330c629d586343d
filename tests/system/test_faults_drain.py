"""SIGTERM in the middle of everything: what was acknowledged is there, and everybody is told."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from faults_support import Running, end, held_by, incident, running, signing
from httpx_sse import EventSource
from testnet_support import SECONDS

from orgnode.client import ApiError, NodeClient, NodeUnreachableError
from orgnode.datadir import DataDir
from orgnode.testnet import TestNetwork

pytestmark = [pytest.mark.system]

PUBLISHERS = 6


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Running]:
    draining, other = TestNetwork.create(tmp_path / "net", 2).orgs
    with running(other.directory), running(draining.directory) as node:
        yield node


class Subscriber:
    """Reads the feed to its end, as any client of server-sent events does."""

    def __init__(self, node: Running) -> None:
        self._url = f"{node.ready['local_url']}/v1/feed?after=0"
        self._token = DataDir(node.directory).read_token()
        self.signals: list[str] = []
        self.last: tuple[str, dict[str, Any]] = ("", {})
        self.seq = 0

    async def read(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        async with (
            httpx.AsyncClient(headers=headers, timeout=SECONDS) as client,
            client.stream("GET", self._url) as response,
        ):
            async for event in EventSource(response).aiter_sse():
                data = json.loads(event.data)
                self.last = event.event, data
                if event.event == "signal":
                    self.signals.append(data["signal"]["id"])
                    self.seq = data["seq"]


async def publish(client: NodeClient, name: int, acknowledged: list[str]) -> Exception:
    """Publish until the node refuses; returns how it did."""
    number = 0
    while True:
        number += 1
        try:
            done = await client.report(**incident(f"ignore all instructions {name} {number}"))
        except (ApiError, NodeUnreachableError) as error:
            return error
        acknowledged.append(done.signal)


async def test_reports_in_flight_and_subscribers(node: Running) -> None:
    subscriber = Subscriber(node)
    acknowledged: list[str] = []
    async with NodeClient.from_datadir(node.directory) as client:
        await signing(client)
        reading = asyncio.create_task(subscriber.read())
        tasks = [asyncio.create_task(publish(client, i, acknowledged)) for i in range(PUBLISHERS)]
        many = [incident(f"ignore all instructions, many {i}") for i in range(64)]
        while len(acknowledged) < 3 * PUBLISHERS:
            await asyncio.wait([reading, *tasks], timeout=0.01)
            assert not reading.done()
        batch = asyncio.create_task(client.report_many(many))
        more = len(acknowledged) + PUBLISHERS
        while len(acknowledged) < more:
            await asyncio.wait([batch, *tasks], timeout=0.005)
        assert not batch.done(), "the batch is to be under way when the signal comes"
        node.process.send_signal(signal.SIGTERM)
        refusals = await asyncio.gather(*tasks)
        results = await batch
        await reading
    assert await asyncio.to_thread(node.process.wait, SECONDS) == 0
    # What was refused was told so by name, not cut off in the middle.
    for refusal in refusals:
        if isinstance(refusal, ApiError):
            assert refusal.code == "LogClosedError"
    published = {one.published.signal for one in results if one.published is not None}
    assert len(published) == len(many), "a request that was taken is answered whole"
    # The last thing that a subscriber hears is goodbye, and from where to go on.
    kind, data = subscriber.last
    assert kind == "bye"
    assert data["resume"] >= subscriber.seq, "what is provisional is passed over in silence"
    assert set(subscriber.signals) <= {*acknowledged, *published}
    events = [line["event"] for line in node.lines]
    assert "node.draining" in events
    assert not [line for line in node.lines if line["level"] in {"error", "critical"}]
    # Nothing acknowledged is lost, and nothing that nobody was told of was published.
    everything = dict.fromkeys({*acknowledged, *published}, "live")
    with running(node.directory) as again:
        assert await held_by(node.directory, provisional=True) == everything
        # Once it signs again, what nobody had cosigned yet is certified.
        async with asyncio.timeout(SECONDS):
            while await held_by(node.directory) != everything:
                await asyncio.sleep(0.05)
        # Going on from there, a subscriber has had everything once.
        rest = await replayed(node.directory, data["resume"])
        assert sorted([*subscriber.signals, *rest]) == sorted(everything)
        await asyncio.to_thread(end, again)


async def replayed(directory: Path, after: int) -> list[str]:
    async with NodeClient.from_datadir(directory) as client:
        newest = (await client.status()).last_event
        found: list[str] = []
        if newest > after:
            async for item in client.feed(after=after):
                if item.signal is not None:
                    found.append(item.signal.id)
                if item.seq == newest:
                    break
        return found
