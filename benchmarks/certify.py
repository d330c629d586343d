"""From publishing to certified at every peer: how long it takes, and how many a second, five node processes."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, aclosing
from functools import partial
from pathlib import Path

from benchmarks import cpu
from benchmarks.network import adjust, incident, running
from benchmarks.report import Row, quantile
from orgnode.client import NodeClient
from orgnode.store.sqlite import SqliteStore
from orgnode.testing.premade import MARK, write_premade
from orgnode.testnet import TestNetwork
from orgnode.testnet.state import PREMADE

ORGS = 5
SIGNALS = 200
PAUSE = 0.1
SECONDS = 60.0
TOKENS = 8
LOADS = ((1, 220.0), (TOKENS, 180.0))
"""How many tokens each signal has, and how many signals a second are offered."""
QUOTA = 1_000_000


async def _listen(client: NodeClient, seen: dict[str, float], ready: asyncio.Event) -> None:
    ready.set()
    async with aclosing(client.feed(after=0)) as feed:
        async for event in feed:  # certified signals only
            if event.type == "signal" and event.signal is not None:
                seen[event.signal.id] = time.perf_counter()


async def _latency(root: Path) -> list[Row]:
    """One organization publishes ready-made signals, all five are watched."""
    network = _premade(root, SIGNALS, TOKENS)
    async with running(network) as clients:
        seen: list[dict[str, float]] = [{} for _ in clients]
        listening = [asyncio.Event() for _ in clients]
        readers = [
            asyncio.create_task(_listen(client, times, ready))
            for client, times, ready in zip(clients, seen, listening, strict=True)
        ]
        await asyncio.gather(*(ready.wait() for ready in listening))
        sent: dict[str, float] = {}
        for number in range(SIGNALS):
            org = number % ORGS
            start = time.perf_counter()
            answer = await clients[org].report(**_premade_incident(number // ORGS))
            sent[answer.signal] = start
            await asyncio.sleep(PAUSE)
        async with asyncio.timeout(30):
            while not all(signal in times for signal in sent for times in seen):
                await asyncio.sleep(0.05)
        for reader in readers:
            reader.cancel()
    last = [max(times[signal] for times in seen) - start for signal, start in sent.items()]
    how = (
        f"{SIGNALS} ready-made signals, one every {PAUSE:g} s, until the last of five feeds has it"
    )
    return [
        Row("publish → certified at all peers, p50", quantile(last, 0.5) * 1000, "ms", 250, how=how),
        Row("publish → certified at all peers, p99", quantile(last, 0.99) * 1000, "ms", 1000, how=how),
    ]  # fmt: skip


def _premade(root: Path, signals: int, tokens: int) -> TestNetwork:
    network = TestNetwork.create(root / "mesh", ORGS, daily_quota=QUOTA, module=PREMADE)
    adjust(network)
    genesis = network.orgs[0].datadir.genesis.read_bytes()
    for org in network.orgs:
        write_premade(
            org.directory, genesis, org.name, signals // ORGS + 1, tokens=tokens, processes=2
        )
    return network


def _premade_incident(number: int) -> dict[str, object]:
    return {**incident(number), "reference": f"{MARK}{number}"}


async def _publish(client: NodeClient, numbers: Sequence[int], start: float, pace: float) -> int:
    """Publish at a steady pace, at most 16 at a time; returns how many."""
    gate = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        async with gate:
            await client.report(**_premade_incident(number))  # type: ignore[arg-type]

    tasks = []
    for place, number in enumerate(numbers):
        await asyncio.sleep(max(0.0, start + place * pace - time.perf_counter()))
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    return len(tasks)


async def _throughput(root: Path, tokens: int, rate: float) -> list[Row]:
    """All organizations publish ready-made signals for a minute."""
    each = int(rate * SECONDS / ORGS)
    network = _premade(root, each * ORGS, tokens)
    async with running(network) as clients:
        nodes = _pids(network)
        start, before = time.perf_counter(), cpu.times(nodes)
        publishing = asyncio.gather(
            *(_publish(client, range(each), start, ORGS / rate) for client in clients)
        )
        with ExitStack() as stack:
            stores = _stores(stack, network)
            await asyncio.sleep(max(0.0, start + SECONDS - time.perf_counter()))
            certified = _everywhere(network, stores)
            span = time.perf_counter() - start
            await publishing
            async with asyncio.timeout(300):
                while _everywhere(network, stores) < each * ORGS:
                    await asyncio.sleep(0.1)
            drained, after = time.perf_counter() - start, cpu.times(nodes)
    what = f"{tokens} token{'s' if tokens > 1 else ''} each"
    how = f"{ORGS} processes, {rate:g}/s offered for {SECONDS:g} s, proofs ready-made"
    return [
        Row(f"certified at every node, {what}", each * ORGS / drained, "signals/s", 200, at_most=False, how=f"{how}; until the last is certified at all"),
        Row(f"of them within the minute, {what}", certified / span, "signals/s", how=how),
        Row(f"the last certified everywhere, {what}", drained - SECONDS, "s", how="after the minute"),
        *cpu.rows(before, after, each * ORGS, f"{what}; processor time on all {ORGS} nodes together"),
    ]  # fmt: skip


async def _everything(root: Path) -> list[Row]:
    """All organizations report incidents, with fingerprint, committee, proof, certificate."""
    seconds = SECONDS / 2
    network = TestNetwork.create(
        root / "mesh", ORGS, daily_quota=QUOTA, evaluation_budget=10_000_000
    )
    adjust(network)
    async with running(network) as clients:
        nodes = _pids(network)
        start, before = time.perf_counter(), cpu.times(nodes)

        async def reporting(client: NodeClient, first: int) -> int:
            done = 0
            while time.perf_counter() < start + seconds:
                await client.report(**incident(first + done))  # type: ignore[arg-type]
                done += 1
            return done

        pending = asyncio.gather(
            *(
                reporting(client, 1_000_000 * place + 250_000 * line)
                for place, client in enumerate(clients)
                for line in range(2)
            )
        )
        with ExitStack() as stack:
            stores = _stores(stack, network)
            await asyncio.sleep(max(0.0, start + seconds - time.perf_counter()))
            certified = _everywhere(network, stores)
            span, after = time.perf_counter() - start, cpu.times(nodes)
            await pending
    how = f"{ORGS} processes, two reporters each for {seconds:g} s; fingerprint, committee, proof, certified at all five"
    return [
        Row(
            "incidents reported and certified at every node", certified / span, "signals/s", how=how
        ),
        *cpu.rows(before, after, certified, "processor time on all nodes together"),
    ]


def _pids(network: TestNetwork) -> list[int]:
    return [org.process.pid for org in network.orgs if org.process is not None]


def _stores(stack: ExitStack, network: TestNetwork) -> list[SqliteStore]:
    mesh_id = network.mesh.mesh_id
    return [
        stack.enter_context(SqliteStore.open(org.datadir.database, name=org.name, mesh_id=mesh_id))
        for org in network.orgs
    ]


def _everywhere(network: TestNetwork, stores: Sequence[SqliteStore]) -> int:
    """How many entries are certified at every node, over all logs."""
    return sum(min(store.certified_size(org.name) for store in stores) for org in network.orgs)


def run() -> list[Row]:
    """Measure with five real node processes on this machine."""
    rows: list[Row] = []
    loads = [partial(_throughput, tokens=tokens, rate=rate) for tokens, rate in LOADS]
    for measure in (_latency, *loads, _everything):
        with tempfile.TemporaryDirectory(prefix="mesh-bench-") as root:
            rows += asyncio.run(measure(Path(root)))
    return rows
