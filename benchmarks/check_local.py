"""The local tier of a check: a 2,000-character text against 100,000 promoted windows.

The store is a real one on disk, with three signals of three organizations behind every promoted
window; inputs and tokens are random, but for one attack's, which are real. Texts are words in
random order, each other than the one before, so that nothing is answered from a cache of answers;
the attack's text is a known one. In process the checker is called; over HTTP the node's local API
answers on loopback, one request after the other, client and server in one process.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp

from benchmarks.report import Row, quantile
from mesh.fingerprint import WindowSet
from mesh.testing import make_mesh
from orgnode.api import ApiOptions, LocalServer, Readiness, build_app
from orgnode.checking import Checker, CheckQuestion, PolicyFile
from orgnode.feed import FeedHub
from orgnode.metrics import Metrics
from orgnode.store.sqlite import SqliteStore
from orgnode.testing.knowledge import Knowledge
from orgnode.workers import Workers

TOKEN = "benchmark-token-0123456789-0123456789"
CHARACTERS = 2_000
_SIGNAL = 32
_MESH = 5


def run(promoted: int = 100_000, checks: int = 500) -> list[Row]:
    """Measure both ways, for texts that nobody met and for a known attack."""
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(_measure(Path(directory), promoted, checks))
    how = f"{CHARACTERS}-character texts, {promoted} promoted windows, {checks} checks"
    rows = []
    for name, times in found.items():
        goals = (2.0, 10.0) if name == "unknown text, in process" else (None, None)
        for q, goal in zip((0.5, 0.99), goals, strict=True):
            seen = quantile(times, q) * 1000
            rows.append(Row(f"local check, {name}: p{q * 100:.0f}", seen, "ms", goal, how=how))
    return rows


async def _measure(directory: Path, promoted: int, checks: int) -> dict[str, list[float]]:
    rng = random.Random(7)
    attack = _text(rng)
    texts = [_text(rng) for _ in range(checks)]
    world = make_mesh(_MESH)
    name = world.member(0).name
    with SqliteStore.open(directory / "node.db", name=name, mesh_id=world.mesh.mesh_id) as store:
        knowledge = Knowledge(world, store)
        await _fill(knowledge, promoted - len(knowledge.windows(attack)), attack)
        metrics, workers = Metrics(), Workers(1, world.mesh.note)
        (directory / "policy.toml").write_text('mode = "enforce"\nsample_rate = 0.0\n')
        checker = Checker(
            mesh=world.mesh, name=name, selection_key=knowledge.key, store=store,
            evaluator=knowledge.holder, policy=PolicyFile(directory, knowledge.key),
            benign=WindowSet.of(knowledge.key, ()), workers=workers, metrics=metrics,
            now=lambda: time.time() + 86_400,
        )  # fmt: skip
        feed = FeedHub(store, metrics, max_subscribers=1)
        node: Any = SimpleNamespace(
            name=name, mesh=world.mesh, store=store, publisher=None, feed=feed, metrics=metrics,
            checker=checker, started=time.time(), readiness=Readiness, peers=tuple,
        )  # fmt: skip
        server = LocalServer(build_app(node, ApiOptions(TOKEN)), "127.0.0.1", 0)
        await server.start()
        headers = {"Authorization": f"Bearer {TOKEN}"}

        async def called(text: str) -> str:
            return str((await checker.check(CheckQuestion((text,)))).answer)

        try:
            async with aiohttp.ClientSession(headers=headers) as session:

                async def posted(text: str) -> str:
                    url = f"http://127.0.0.1:{server.port}/v1/check"
                    async with session.post(url, json={"text": text}) as response:
                        return str((await response.json())["answer"])

                return {
                    "unknown text, in process": await _timed(called, texts, "allow"),
                    "known attack, in process": await _timed(called, [attack] * checks, "block"),
                    "unknown text, over HTTP": await _timed(posted, texts, "allow"),
                    "known attack, over HTTP": await _timed(posted, [attack] * checks, "block"),
                }
        finally:
            feed.close()
            await server.stop()
            await checker.close()
            await workers.close()


async def _timed(
    ask: Callable[[str], Awaitable[str]], texts: Sequence[str], wanted: str
) -> list[float]:
    for text in texts[:20]:
        assert await ask(text) == wanted
    times = []
    for text in texts:
        start = time.perf_counter()
        answer = await ask(text)
        times.append(time.perf_counter() - start)
        assert answer == wanted
    return times


async def _fill(knowledge: Knowledge, count: int, attack: str) -> None:
    """Promote random windows, each known from three organizations; and an attack's."""
    for start in range(0, count, _SIGNAL):
        size = min(_SIGNAL, count - start)
        tokens = sorted(os.urandom(32).hex() for _ in range(size))
        signals = await asyncio.gather(*(knowledge.signal(place, tokens) for place in (1, 2, 3)))
        inputs = [os.urandom(32) for _ in range(size)]
        await knowledge.promote(4, inputs, signals, tokens)
    signals = await knowledge.met(attack, (1, 2, 3))
    await knowledge.sight(4, signals[0])
    await knowledge.promote(4, knowledge.windows(attack), signals)


def _text(rng: random.Random) -> str:
    words: list[str] = []
    while len(" ".join(words)) < CHARACTERS:
        words.append("".join(rng.choices("etaoinshrdlucmfwypvbgk", k=rng.randint(2, 9))))
    return " ".join(words)[:CHARACTERS]


if __name__ == "__main__":
    from benchmarks.report import show

    show(run())
