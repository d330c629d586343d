"""From publishing at one organization to the feeds of the other four, five node processes."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

from benchmarks.network import found, incident, running
from benchmarks.report import Row, quantile
from orgnode.client import NodeClient

SIGNALS = 200
WARM_UP = 10
PAUSE = 0.1


async def _listen(
    client: NodeClient, seen: dict[str, float], wanted: int, ready: asyncio.Event
) -> None:
    ready.set()
    async with aclosing(client.feed(after=0)) as feed:
        async for event in feed:
            if event.type == "signal" and event.signal is not None:
                seen[event.signal.id] = time.perf_counter()
                if len(seen) == wanted:
                    return


async def _measure(root: Path) -> list[Row]:
    async with running(found(root, 5)) as clients:
        seen: list[dict[str, float]] = [{} for _ in clients]
        listening = [asyncio.Event() for _ in clients]
        readers = [
            asyncio.create_task(_listen(client, times, SIGNALS + WARM_UP, ready))
            for client, times, ready in zip(clients[1:], seen[1:], listening[1:], strict=True)
        ]
        await asyncio.gather(*(ready.wait() for ready in listening[1:]))
        sent: dict[str, float] = {}
        acked: list[float] = []
        for number in range(SIGNALS + WARM_UP):
            start = time.perf_counter()
            published = await clients[0].report(**incident(number))  # type: ignore[arg-type]
            if number >= WARM_UP:
                sent[published.signal] = start
                acked.append(time.perf_counter() - start)
            await asyncio.sleep(PAUSE)
        async with asyncio.timeout(30):
            await asyncio.gather(*readers)
    spans = [(times[signal] - start) * 1000 for times in seen[1:] for signal, start in sent.items()]
    how = f"{len(sent)} signals × 4 feeds, from the call of report() on, proof included"
    return [
        Row("publish → the other four feeds, p50", quantile(spans, 0.5), "ms", 150, how=how),
        Row("publish → the other four feeds, p99", quantile(spans, 0.99), "ms", 500, how=how),
        Row("publish → acknowledged, p50", quantile(acked, 0.5) * 1000, "ms", how="durable, proof included"),
    ]  # fmt: skip


def run() -> list[Row]:
    """Measure with five real node processes on this machine."""
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as root:
        return asyncio.run(_measure(Path(root)))
