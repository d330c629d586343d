"""Rows of measurements, as JSON that is kept and as a table for people."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

T = TypeVar("T")

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One figure: what was asked (None: reported only), what was seen, in which unit, how."""

    what: str
    seen: float
    unit: str
    asked: float | None = None
    at_most: bool = True
    how: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the figure is as good as asked; None when nothing was asked."""
        if self.asked is None:
            return None
        return self.seen <= self.asked if self.at_most else self.seen >= self.asked


def median_ms(fn: Callable[[], object], repeat: int, warm: int = 1) -> float:
    """Median wall time of `fn` in milliseconds."""
    for _ in range(warm):
        fn()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        fn()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile of the values, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def save(name: str, rows: Sequence[Row]) -> None:
    """Keep a run's rows as JSON, with what they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    document = {
        "benchmark": name,
        "python": sys.version.split()[0],
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": {
            package: version(package)
            for package in ("aiohttp", "pynacl", "pyblst", "py-arkworks-bls12381", "py-ecc")
        },
        "rows": [asdict(row) | {"reached": row.reached} for row in rows],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def show(rows: Sequence[Row]) -> None:
    """Print rows as a table."""
    table = Table(title="Benchmarks", title_justify="left")
    for column in ("what", "asked", "seen", "", "how"):
        table.add_column(column, justify="right" if column in {"asked", "seen"} else "left")
    for row in rows:
        sign = "≤" if row.at_most else "≥"
        asked = f"{sign} {row.asked:g}" if row.asked is not None else ""
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[row.reached]
        table.add_row(row.what, asked, f"{row.seen:.4g} {row.unit}", mark, row.how)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


@contextmanager
def child(command: Sequence[str], **kwargs: object) -> Iterator[subprocess.Popen[str]]:
    """A process of our own that is ended, and waited for, when the block is left."""
    process = subprocess.Popen(command, text=True, **kwargs)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
