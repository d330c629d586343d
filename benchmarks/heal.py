"""Healing after a partition of ten minutes in which both sides went on publishing; five node processes."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.certify import _everywhere, _premade_incident, _stores
from benchmarks.network import adjust, running
from benchmarks.report import Row
from orgnode.testing.premade import write_premade
from orgnode.testnet import TestNetwork
from orgnode.testnet.relay import Relay
from orgnode.testnet.state import PREMADE

PARTITION_SECONDS = float(os.environ.get("BENCH_PARTITION_SECONDS", "600"))
SIDES = ((0, 1), (2, 3, 4))
SIGNALS = 500
"""Published on each side during the partition."""
TOKENS = 8


async def _measure(root: Path) -> list[Row]:
    network = TestNetwork.create(
        root / "mesh", 5, daily_quota=1_000_000, relayed=True, module=PREMADE
    )
    adjust(network)
    genesis = network.orgs[0].datadir.genesis.read_bytes()
    shares = {
        place: SIGNALS // len(side) + (index < SIGNALS % len(side))
        for side in SIDES
        for index, place in enumerate(side)
    }
    for place, org in enumerate(network.orgs):
        write_premade(org.directory, genesis, org.name, shares[place], tokens=TOKENS, processes=2)
    async with Relay(network.relay_endpoints()) as relay, running(network) as clients:
        relay.partition(SIDES)
        cut = time.perf_counter()

        async def publish(place: int) -> None:
            pause = PARTITION_SECONDS * 0.9 / shares[place]
            for number in range(shares[place]):
                await clients[place].report(**_premade_incident(number))  # type: ignore[arg-type]
                await asyncio.sleep(max(0.0, cut + (number + 1) * pause - time.perf_counter()))

        await asyncio.gather(*(publish(place) for place in shares))
        await asyncio.sleep(max(0.0, cut + PARTITION_SECONDS - time.perf_counter()))
        with ExitStack() as stack:
            stores = _stores(stack, network)
            before = _everywhere(network, stores)
            relay.heal()
            healed = time.perf_counter()
            async with asyncio.timeout(300):
                while _everywhere(network, stores) < 2 * SIGNALS:
                    await asyncio.sleep(0.02)
            took = time.perf_counter() - healed
    if before:
        raise AssertionError(f"{before} entries were certified everywhere during the partition")
    how = f"2 and 3 nodes apart for {PARTITION_SECONDS:g} s (links swallow bytes), {SIGNALS} signals on each side"
    return [Row("heal → certified everywhere", took, "s", 10, how=how)]


def run() -> list[Row]:
    """Measure with five real node processes and a relay between them."""
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as root:
        return asyncio.run(_measure(Path(root)))
