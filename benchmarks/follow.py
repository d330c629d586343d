"""Following a peer's log from nothing: tiles and bodies over mutual TLS, notes, tree, proofs, SQLite."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.network import found, held, incident, running_alone
from benchmarks.report import Row

SIGNALS = 5_000


async def _measure(root: Path) -> list[Row]:
    network = found(root, 2, workers=2)
    source = network.orgs[0].name
    async with running_alone(network, 0) as writer:
        start = time.perf_counter()
        results = await writer.report_many(incident(i) for i in range(SIGNALS))
        published = time.perf_counter() - start
        if not all(result.ok for result in results):
            raise AssertionError("an incident was not published")
        async with running_alone(network, 1) as reader:
            start, first = time.perf_counter(), await held(reader, source)
            while (size := await held(reader, source)) < SIGNALS:
                await asyncio.sleep(0.02)
            took = time.perf_counter() - start
            counts = (await reader.status()).entries[source]
    if counts["accepted"] != SIGNALS:
        raise AssertionError(f"not all were accepted: {counts}")
    return [
        Row("publish, proofs made, one node, 2 workers", SIGNALS / published, "signals/s", how="5,000 in batches of 256"),
        Row("follow a log of 5,000 signals", (size - first) / took, "signals/s", 700, at_most=False, how=f"{took:.2f} s, one run; {first} held when the clock started"),
    ]  # fmt: skip


def run() -> list[Row]:
    """Measure with two real node processes."""
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as root:
        return asyncio.run(_measure(Path(root)))
