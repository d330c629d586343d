"""Simulated runs a second, on one core: five nodes for a minute of their time, and whatever seeds draw."""

from __future__ import annotations

import time

from benchmarks.report import Row, median_ms
from orgnode.testing.simplan import NOTHING, SAFETY, Fixed
from orgnode.testing.simsuite import Result, run_seed
from proofs import ed25519

RUNS = 400
WARM = 10
VERIFICATIONS = 2_000


def _measure(fixed: Fixed) -> tuple[float, list[Result]]:
    """Seconds that the runs take, once all is loaded, and what came of them."""
    for seed in range(WARM):
        run_seed(seed, fixed=fixed)
    start = time.perf_counter()
    results = [run_seed(WARM + seed, fixed=fixed) for seed in range(RUNS)]
    return time.perf_counter() - start, results


def _verification_ms() -> float:
    seed, message = bytes(range(32)), bytes(100)
    public, signature = ed25519.public_key(seed), ed25519.sign(seed, message)

    def verify() -> None:
        for _ in range(VERIFICATIONS):
            assert ed25519.verify(public, message, signature)

    return median_ms(verify, 5) / VERIFICATIONS


def run() -> list[Row]:
    """Measure in this process."""
    seconds, results = _measure(Fixed(SAFETY, 5))
    mixed, drawn = _measure(NOTHING)
    broken = sum(bool(result.rule) for result in (*results, *drawn))
    virtual = sum(result.seconds for result in results)
    each = seconds / RUNS
    how = f"{RUNS} seeds, one core; five nodes, faults for {virtual / RUNS:.0f} virtual seconds"
    return [
        Row("simulated runs", RUNS / seconds, "a second", 8, at_most=False, how=how),
        Row("faster than real time", virtual / seconds, "×", how=how),
        Row("one run against one verification", 1000 * each / _verification_ms(), "×", how="Ed25519, by libsodium, in the same minutes: what does not depend on the machine"),
        Row("runs as seeds draw them", RUNS / mixed, "a second", how=f"{RUNS} seeds, one core; 4, 5 or 7 members, some healed after 38 virtual seconds"),
        Row("runs that broke a rule", broken, "", 0, how="of all of these"),
    ]  # fmt: skip
