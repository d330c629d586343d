"""Checks that ask the committee, and how soon news is matched: five real node processes, 3 of 5."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.network import RUBRIC, found, running
from benchmarks.report import Row, quantile
from benchmarks.texts import text
from orgnode.checking import editing
from orgnode.client import NodeClient

CHECKS = 200
SIGNALS = 60
WARM_UP = 10
SUSPICIOUS = 0.5
_POLL = 0.005


async def _timed(client: NodeClient, prompt: str) -> tuple[float, float]:
    """Milliseconds of a check as its caller sees it, and as the node says."""
    start = time.perf_counter()
    answer = await client.check(prompt, risk=SUSPICIOUS)
    took = (time.perf_counter() - start) * 1000
    if not answer.verified or answer.tier != "regional":
        raise RuntimeError(f"the check was not answered by the committee: {answer.reason}")
    return took, answer.took_ms


async def _checks(client: NodeClient) -> list[Row]:
    for seed in range(WARM_UP):
        await _timed(client, text(seed))
    new, again = [], []
    for seed in range(WARM_UP, WARM_UP + CHECKS):
        new.append(await _timed(client, text(seed)))
        again.append(await _timed(client, text(seed)))
    how = f"{CHECKS} texts of 2,000 characters one after the other, 32 windows each"
    outside = [one[0] for one in new]
    return [
        Row("check, regional tier, p50", quantile(outside, 0.5), "ms", 50, how=f"{how}, by HTTP"),
        Row("check, regional tier, p95", quantile(outside, 0.95), "ms", 100, how=f"{how}, by HTTP"),
        Row("check, regional tier, inside the node, p50", quantile([one[1] for one in new], 0.5), "ms", how=how),
        Row("the same texts again (seen windows), p50", quantile([one[0] for one in again], 0.5), "ms", 5, how="by HTTP"),
        Row("the same texts again (seen windows), p95", quantile([one[0] for one in again], 0.95), "ms", 5, how="by HTTP"),
    ]  # fmt: skip


async def _until(client: NodeClient, prompt: str, finding: str) -> float:
    """When a node's check first finds this."""
    while (await client.check(prompt, risk=SUSPICIOUS)).finding != finding:
        await asyncio.sleep(_POLL)
    return time.perf_counter()


async def _news(clients: list[NodeClient]) -> list[Row]:
    issuer, peers = clients[0], clients[1:]
    matched, gone = [], []
    for number in range(SIGNALS):
        prompt = text(10_000 + number)
        # Seen before, so that the polls don't wait for the committee.
        await asyncio.gather(*(client.check(prompt, risk=SUSPICIOUS) for client in peers))
        published = await issuer.report(
            text=prompt,
            components=dict(zip(RUBRIC, (6, 6, 5, 4), strict=True)),
            category="cse",
            technique="AML.T0051",
        )
        start = time.perf_counter()
        async with asyncio.timeout(30):
            seen = await asyncio.gather(*(_until(client, prompt, "escalate") for client in peers))
        matched += [(at - start) * 1000 for at in seen]
        await issuer.retract(published.signal, "mistake")
        start = time.perf_counter()
        async with asyncio.timeout(30):
            seen = await asyncio.gather(*(_until(client, prompt, "allow") for client in peers))
        gone += [(at - start) * 1000 for at in seen]
    how = f"{SIGNALS} signals × 4 peers, from the issuer's acknowledgement on; polled every 5 ms"
    return [
        Row("new signal → matched at a peer, p50", quantile(matched, 0.5), "ms", how=how),
        Row("new signal → matched at a peer, p99", quantile(matched, 0.99), "ms", 1000, how=how),
        Row("retracted → no longer matched, p50", quantile(gone, 0.5), "ms", how=how),
        Row("retracted → no longer matched, p99", quantile(gone, 0.99), "ms", 1000, how=how),
    ]


async def _measure(root: Path) -> list[Row]:
    network = found(root, 5)
    for org in network.orgs:
        # A check that takes too long is to be seen in the figures, not refused.
        settings = editing.load(org.directory).model_copy(update={"regional_ms": 5_000})
        editing.save(org.directory, settings)
    async with running(network) as clients:
        return [*await _checks(clients[3]), *await _news(clients)]


def run() -> list[Row]:
    """Measure with five real node processes on this machine; all five have a seat, three suffice."""
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as root:
        return asyncio.run(_measure(Path(root)))
