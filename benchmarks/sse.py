"""Fan-out of the feed: events a second to many subscribers of one node, each event to each.

The node's real local API serves a real SQLite store over real sockets; rows are synthetic signals
of full size, committed while the subscribers wait (live), or before they come (replay). Subscribers
are connections of another process, which checks every event: ids without a gap or a repeat, and the
JSON of each. The clock runs from the first commit (or connection) to the last subscriber's last
event; node, store and subscribers share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.report import Row, child
from mesh.assessment import Outcome
from mesh.days import Day
from mesh.following import FollowerState
from mesh.signal import parse_signal
from mesh.testing import TODAY, SignalPool, TestMesh, make_mesh
from orgnode.api import ApiOptions, LocalServer, Readiness, build_app
from orgnode.feed import FeedHub
from orgnode.metrics import Metrics
from orgnode.store import LogRow
from orgnode.store.sqlite import SqliteStore
from proofs.merkle import leaf_hash

TOKEN = "benchmark-token-0123456789-0123456789"
SEGMENT = 256
DEADLINE_SECONDS = 120.0

_EVENT = re.compile(rb"id: (\d+)\nevent: signal\ndata: ([^\n]*)\n\n")


def run(subscribers: int = 100, events: int = 5_000) -> list[Row]:
    """Measure live and replayed fan-out."""
    live = measure(subscribers, events, live=True)
    replay = measure(subscribers, events, live=False)
    how = f"{subscribers} subscribers in another process, {events} events, each parsed"
    return [
        Row(
            "feed, live: deliveries",
            live["deliveries_per_second"],
            "/s",
            30_000,
            at_most=False,
            how=how,
        ),
        Row("feed, live: lost or repeated", live["lost"], "", 0, how=how),
        Row("feed, replay: deliveries", replay["deliveries_per_second"], "/s", how=how),
        Row("feed, replay: lost or repeated", replay["lost"], "", 0, how=how),
    ]


def measure(subscribers: int = 100, events: int = 5_000, *, live: bool = True) -> dict[str, Any]:
    """Measure one run: deliveries a second, and how many were lost, repeated or malformed."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_serve(Path(directory), subscribers, events, live))


async def _serve(directory: Path, subscribers: int, events: int, live: bool) -> dict[str, Any]:
    world = make_mesh(4)
    with SqliteStore.open(
        directory / "node.db", name=world.member(0).name, mesh_id=world.mesh.mesh_id
    ) as store:
        metrics = Metrics()
        feed = FeedHub(store, metrics, max_subscribers=subscribers)
        node = SimpleNamespace(
            name=world.member(0).name, mesh=world.mesh, store=store, publisher=None, feed=feed,
            metrics=metrics, started=time.time(), readiness=Readiness, peers=tuple,
        )  # fmt: skip
        server = LocalServer(build_app(node, ApiOptions(TOKEN)), "127.0.0.1", 0)
        await server.start()
        try:
            if not live:
                await _commit(world, store, feed, events)
            command = [
                sys.executable, "-m", "benchmarks.sse", str(server.port), str(subscribers),
                str(events), "0" if live else "1",
            ]  # fmt: skip
            with child(command, stdin=-1, stdout=-1) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                await asyncio.to_thread(process.stdout.readline)  # "ready": connected, or warm
                start = time.perf_counter()
                if live:
                    await _commit(world, store, feed, events)
                else:
                    process.stdin.write("go\n")
                    process.stdin.flush()
                committed = time.perf_counter()
                async with asyncio.timeout(DEADLINE_SECONDS):
                    told = json.loads(await asyncio.to_thread(process.stdout.readline))
                seconds = time.perf_counter() - start
                process.stdin.close()
                process.stdout.close()
                process.wait()
        finally:
            feed.close()
            await server.stop()
    return {
        "subscribers": subscribers,
        "events": events,
        "live": live,
        "seconds": seconds,
        "commit_seconds": committed - start,
        "deliveries_per_second": subscribers * events / seconds,
        "lost": subscribers * events - told["delivered"] + told["wrong"],
        "dropped": told["dropped"],
    }


async def _commit(world: TestMesh, store: SqliteStore, feed: FeedHub, events: int) -> None:
    """Commit signals as a peer's segments, as fast as the store takes them."""
    name = world.member(1).name
    made = SignalPool(world.mesh, name)[0]
    body = parse_signal(made.body)
    state = store.state(name)
    for first in range(state.size, state.size + events, SEGMENT):
        rows, leaves = [], []
        for index in range(first, min(first + SEGMENT, events)):
            note = f"{name} {index} ".encode().ljust(300, b".")
            leaf = leaf_hash(note)
            leaves.append(leaf)
            rows.append(
                LogRow(
                    index=index, entry_id=leaf.hex(), leaf=leaf, note=note, answer=made.answer,
                    kind="signal", day=TODAY, expires=Day(TODAY + 90), outcome=Outcome.ACCEPTED,
                    signal=body,
                )
            )  # fmt: skip
        state = FollowerState(first + len(rows), state.frontier.extend(leaves))
        await store.commit_segment(name, first, rows, state)
        root = state.frontier.root()
        feed.notify(await store.certify(name, b"benchmark", state.size, root))


class _Subscriber(asyncio.Protocol):
    """One connection, which checks what it receives."""

    def __init__(self, events: int, replay: bool) -> None:
        self.events = events
        self.query = "?after=0" if replay else ""
        self.pending = b""
        self.seen = 0
        self.wrong = 0
        self.dropped = False
        self.opened = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(
            f"GET /v1/feed{self.query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if not self.opened.done() and b"event: cursor" in data:
            self.opened.set_result(None)
        buffer = self.pending + data
        end = 0
        for found in _EVENT.finditer(buffer):
            end = found.end()
            seq = int(found[1])
            document = json.loads(found[2])
            if seq != self.seen + 1 or document["seq"] != seq or not document["signal"]["tokens"]:
                self.wrong += 1
            self.seen = seq
        self.pending = buffer[end:]
        self.dropped = self.dropped or b"event: dropped" in self.pending
        if self.seen >= self.events and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        for waiting in (self.opened, self.done):
            if not waiting.done():
                waiting.set_result(None)


async def _subscribe(port: int, subscribers: int, events: int, replay: bool) -> None:
    loop = asyncio.get_running_loop()
    if replay:
        print("ready", flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)
    connections = [
        (await loop.create_connection(lambda: _Subscriber(events, replay), "127.0.0.1", port))[1]
        for _ in range(subscribers)
    ]
    await asyncio.gather(*(one.opened for one in connections))
    if not replay:
        print("ready", flush=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*(one.done for one in connections)), DEADLINE_SECONDS)
    told = {
        "delivered": sum(one.seen for one in connections),
        "wrong": sum(one.wrong for one in connections),
        "dropped": sum(one.dropped for one in connections),
    }
    print(json.dumps(told), flush=True)


def main(arguments: Sequence[str]) -> None:
    """Be the subscribers' process."""
    parser = argparse.ArgumentParser()
    for name in ("port", "subscribers", "events", "replay"):
        parser.add_argument(name, type=int)
    given = parser.parse_args(arguments)
    asyncio.run(_subscribe(given.port, given.subscribers, given.events, bool(given.replay)))


if __name__ == "__main__":
    main(sys.argv[1:])
