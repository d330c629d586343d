"""Following a peer's log from nothing: tiles and bodies over mutual TLS, notes, tree, proofs, SQLite."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from benchmarks.network import found, held, running_alone
from benchmarks.report import Row
from mesh.days import Day
from mesh.entry import Kind
from mesh.signal import SignalDraft, parse_signal
from orgnode.node import Node, today
from orgnode.ownlog import Draft
from proofs.ristretto import random_scalars

SIGNALS = 5_000
LONG_SIGNALS = 1_500
TOKENS = 26
_AT_ONCE = 64


async def _published(node: Node, count: int, tokens: int) -> float:
    """Publish signals with fresh scalars, as if the committee had answered; returns the seconds."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def publish() -> None:
        async with gate:
            scalars = tuple(random_scalars(os.urandom(32), b"benchmark", tokens))
            draft = SignalDraft("cse", "AML.T0051", scalars, (5, 6, 5, 4))
            salt, composed = await node.workers.compose(node.name, draft)
            signal = parse_signal(composed.body)
            expires = Day(today() + 90)
            await node.own_log.append(
                Draft(Kind.SIGNAL, expires, body=composed.body, salt=salt, signal=signal)
            )

    start = time.perf_counter()
    await asyncio.gather(*(publish() for _ in range(count)))
    return time.perf_counter() - start


async def _measure(root: Path, count: int, tokens: int) -> tuple[float, float]:
    """Signals a second published, and followed."""
    network = found(root, 2, workers=2)
    source = network.orgs[0].name
    async with Node.open(network.orgs[0].datadir) as (node, _):
        async with running_alone(network, 1):  # a node signs only after it has asked others
            await node.replicator.recovery.done.wait()
        published = await _published(node, count, tokens)
        async with running_alone(network, 1) as reader:
            start, first = time.perf_counter(), await held(reader, source)
            while (size := await held(reader, source)) < count:
                await asyncio.sleep(0.02)
            took = time.perf_counter() - start
            counts = (await reader.status()).entries[source]
    if counts["accepted"] != count:
        raise AssertionError(f"not all were accepted: {counts}")
    return count / published, (size - first) / took


def run() -> list[Row]:
    """Measure with two nodes, the following one a process of its own."""
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as root:
        made, followed = asyncio.run(_measure(Path(root), SIGNALS, 1))
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as root:
        made_long, followed_long = asyncio.run(_measure(Path(root), LONG_SIGNALS, TOKENS))
    how = "proofs made, durable, one node, 2 workers; the committee not asked"
    return [
        Row("publish, one token each", made, "signals/s", how=how),
        Row(f"publish, {TOKENS} tokens each", made_long, "signals/s", how=how),
        Row(f"follow a log of {SIGNALS:,} signals, one token each", followed, "signals/s", 700, at_most=False, how="all proofs verified, one run"),
        Row(f"follow a log of {LONG_SIGNALS:,} signals, {TOKENS} tokens each", followed_long, "signals/s", how="all proofs verified, one run"),
    ]  # fmt: skip
