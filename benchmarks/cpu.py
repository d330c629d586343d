"""Which part of a node's work takes the processor's time, read from Linux' accounts of threads."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.report import Row

LOOP, THREADS, WORKERS, LOAD = (
    "event loops",
    "other threads (the disk, small checks)",
    "worker processes (proofs)",
    "the load generator",
)

Times = Mapping[str, float]


def times(nodes: Iterable[int]) -> Times:
    """Processor seconds so far, by part, of node processes and of this one; empty off Linux."""
    spent: Counter[str] = Counter()
    if not Path("/proc/self/task").is_dir():
        return spent
    children = _children()
    for node in nodes:
        for task in Path(f"/proc/{node}/task").iterdir():
            spent[LOOP if task.name == str(node) else THREADS] += _seconds(task / "stat")
        for child in children.get(node, ()):
            spent[WORKERS] += _seconds(Path(f"/proc/{child}/stat"))
    own = os.times()
    spent[LOAD] += own.user + own.system
    return spent


def rows(before: Times, after: Times, signals: int, how: str) -> list[Row]:
    """What each signal took of the processor, by part."""
    return [
        Row(
            f"of which: {part}", (after[part] - before[part]) / signals * 1000, "ms/signal", how=how
        )
        for part in (LOOP, THREADS, WORKERS, LOAD)
        if part in after and signals
    ]


def _seconds(stat: Path) -> float:
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it ended just now
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            found.setdefault(int(fields[1]), []).append(int(place.name))
    return found
