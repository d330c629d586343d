"""The token index of a node: its size and memory, how fast a check is answered, what a commit costs."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.report import Row, quantile
from benchmarks.storefill import SEGMENT, IndexSample, fill_index, fill_store
from mesh.testing import make_mesh
from orgnode.store import SqliteStore

GROUPS = 12_821
"""Of 78 rows each: 1,000,038 tokens in all."""

LOOKUPS = 2_000
TOKENS = 26
COMMITS = 12


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _times(
    ask: Callable[[Sequence[str]], object], questions: Sequence[Sequence[str]]
) -> list[float]:
    """Milliseconds of each question's second asking: the first one warmed the file's pages."""
    for question in questions:
        ask(question)
    times = []
    for question in questions:
        start = time.perf_counter()
        ask(question)
        times.append(1_000 * (time.perf_counter() - start))
    return times


def _row(what: str, times: list[float], asked: float | None = None, how: str = "") -> Row:
    told = f"median of {len(times)}; p99 {quantile(times, 0.99):.3f} ms" + (how and f"; {how}")
    return Row(what, quantile(times, 0.5), "ms", asked, how=told)


def _lookups(path: Path, own: str, sample: IndexSample) -> tuple[list[Row], float]:
    """Time lookups in this process; also how many MiB it grew by."""
    rng = random.Random(5)

    def unknown(n: int) -> list[str]:
        return [rng.randbytes(32).hex() for _ in range(n)]

    def some(values: Sequence[str], hits: int) -> list[list[str]]:
        return [rng.sample(values, hits) + unknown(32 - hits) for _ in range(LOOKUPS)]

    misses, single = some((), 0), some(sample.single, TOKENS)
    common, known = some(sample.common, TOKENS), some(sample.inputs, 32)
    one = [
        [*sample.of_one_signal, *unknown(32 - len(sample.of_one_signal))] for _ in range(LOOKUPS)
    ]
    before = _resident_mib()
    with SqliteStore.open(path, name=own) as store:
        if len(store.sources(single[0])) != TOKENS or len(store.promotions(known[0])) != 32:
            raise AssertionError("the index does not hold what was written to it")
        evidence = [len(held[0].sources) for held in store.promotions(known[0]).values()]
        if evidence != [3] * 32:
            raise AssertionError(f"the promotions have other evidence: {evidence}")
        rows = [
            _row("look up 32 tokens, none known", _times(store.sources, misses), 0.2),
            _row(f"look up 32 tokens, {TOKENS} of as many signals", _times(store.sources, single), 0.2),
            _row(f"look up 32 tokens, {len(sample.of_one_signal)} of one signal", _times(store.sources, one)),
            _row(f"look up 32 tokens, {TOKENS} with 3 sources each", _times(store.sources, common)),
            _row("look up 32 inputs, none promoted", _times(store.promotions, misses)),
            _row("look up 32 inputs, all promoted", _times(store.promotions, known), how="3 signals of evidence each"),
            _row("which of 32 tokens are promoted, none", _times(store.promoted_tokens, misses)),
        ]  # fmt: skip
        grown = _resident_mib() - before
    return rows, grown


def _commits(path: Path, own: str, *, indexed: bool) -> float:
    """Median milliseconds of committing 256 signals with 26 tokens each."""
    world = make_mesh(4)
    peer = world.member(1)
    with SqliteStore.open(path, name=own) as store:
        times = asyncio.run(
            fill_store(
                store, SEGMENT * COMMITS, mesh=world.mesh, log=peer.name, identity=peer.identity,
                log_signer=peer.log_signer(world.mesh.mesh_id), tokens=TOKENS, indexed=indexed,
            )
        )  # fmt: skip
    return 1_000 * quantile(times[1:], 0.5)


def _measure(root: Path) -> list[Row]:
    own, path = "acme.example", root / "node.db"
    # In another process, so that this one's memory tells of the store alone.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        sample = pool.apply(fill_index, (path, GROUPS, own))
    rows, grown = _lookups(path, own, sample)
    plain = _commits(root / "plain.db", own, indexed=False)
    empty = _commits(root / "empty.db", own, indexed=True)
    full = _commits(path, own, indexed=True)
    many = f"{sample.rows:,} rows of a token and a signal"
    what = f"commit {SEGMENT} signals of {TOKENS} tokens"
    return [
        Row("token index in the database", sample.index_bytes / 2**20, "MiB", 200, how=many),
        Row("memory of the process, opening and all lookups below", grown, "MiB", 200, how="resident"),
        Row("promotions in the database", sample.promotion_bytes / 2**20, "MiB", how=f"{sample.promoted:,} inputs with 3 sources, their entries included"),
        *rows,
        Row(f"{what}, not indexed", plain, "ms", how=f"median of {COMMITS - 1}"),
        Row(f"{what}, indexed", empty, "ms", how="into an empty index"),
        Row(f"{what}, indexed among a million", full, "ms", how=f"{SEGMENT / full * 1000:,.0f} signals/s if nothing else took time"),
    ]  # fmt: skip


def run() -> list[Row]:
    """Measure a store whose index was written by SQL."""
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as root:
        return _measure(Path(root))
