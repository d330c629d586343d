"""From a retraction to its end everywhere: matched at no node, receipts from all peers; five node processes."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.certify import TOKENS, _everywhere, _premade, _premade_incident, _stores
from benchmarks.network import running
from benchmarks.report import Row, quantile

SIGNALS = 100


async def _measure(root: Path) -> list[Row]:
    network = _premade(root, 5 * SIGNALS, TOKENS)
    gone, received = [], []
    async with running(network) as clients:
        with ExitStack() as stack:
            stores = _stores(stack, network)
            published = [
                (await clients[0].report(**_premade_incident(number))).signal  # type: ignore[arg-type]
                for number in range(SIGNALS)
            ]
            async with asyncio.timeout(30):
                while _everywhere(network, stores) < SIGNALS:
                    await asyncio.sleep(0.05)
            for signal in published:
                record = stores[0].signal(signal)
                assert record is not None
                start = time.perf_counter()
                await clients[0].retract(signal, "false_positive")
                async with asyncio.timeout(10):
                    while any(store.sources(record.tokens) for store in stores):
                        await asyncio.sleep(0.002)
                    gone.append(time.perf_counter() - start)
                    while len(stores[0].receipts(signal)) < len(stores) - 1:
                        await asyncio.sleep(0.002)
                    received.append(time.perf_counter() - start)
    how = f"{SIGNALS} retractions one after the other, five processes"
    return [
        Row("retraction → matched nowhere, p99", quantile(gone, 0.99) * 1000, "ms", 1000, how=how),
        Row("retraction → receipts from all four peers, p50", quantile(received, 0.5) * 1000, "ms", how=how),
        Row("retraction → receipts from all four peers, p99", quantile(received, 0.99) * 1000, "ms", 1000, how=how),
    ]  # fmt: skip


def run() -> list[Row]:
    """Measure with five real node processes on this machine."""
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as root:
        return asyncio.run(_measure(Path(root)))
