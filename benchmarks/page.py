"""`docs/benchmarks.md`, written from the kept JSON: no figure there that was not measured."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.report import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"

HEAD = """# Benchmarks

`make bench` measures everything below and writes this page from the JSON that it keeps under
`benchmarks/results/`; `make bench ARGS="severity follow"` measures some of it. Figures depend on the machine, so
where it matters they are ratios against something else in the same run. A ✗ is a figure that was asked for and not reached.
"""

TITLES = {
    "severity": "The severity proof",
    "follow": "Following a peer's log",
    "latency": "From publishing to the others' feeds",
    "sse": "The feed",
    "taxii": "Against a TAXII 2.1 server",
    "footprint": "Memory and start-up",
    "demo": "The demo",
}


def write(names: tuple[str, ...]) -> None:
    """Write the page from what is kept of these benchmarks, in this order."""
    parts = [HEAD]
    for name in names:
        kept = RESULTS / f"{name}.json"
        if not kept.exists():
            continue
        document = json.loads(kept.read_text())
        packages = ", ".join(f"{key} {value}" for key, value in document["packages"].items())
        parts.append(f"## {TITLES[name]}\n")
        parts.append("| what | asked | seen | | how |\n|---|---|---|---|---|")
        parts += [_line(row) for row in document["rows"]]
        parts.append(
            f"\nPython {document['python']}, {document['machine']}, {document['cpus']} cores; {packages}.\n"
        )
    PAGE.write_text("\n".join(parts))


def _line(row: dict[str, object]) -> str:
    asked = "" if row["asked"] is None else f"{'≤' if row['at_most'] else '≥'} {row['asked']:g}"
    mark = {True: "✓", False: "✗", None: ""}[row["reached"]]  # type: ignore[index]
    return f"| {row['what']} | {asked} | {row['seen']:.4g} {row['unit']} | {mark} | {row['how']} |"
