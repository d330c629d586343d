"""How long `make demo` takes once it is set up."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from benchmarks.report import Row

ROOT = Path(__file__).parent.parent


def run() -> list[Row]:
    """Run the demo as a person would, three times."""
    subprocess.run(["make", "setup"], cwd=ROOT, check=True, capture_output=True)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(["make", "demo"], cwd=ROOT, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return [Row("make demo, set-up done", sorted(times)[1], "s", 40, how="median of 3")]
