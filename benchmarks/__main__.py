"""`python -m benchmarks [NAME …] [--json]`: measure, keep JSON, write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import asdict

from benchmarks import page, plot, timesplot
from benchmarks.report import Row, save, show

NAMES = (
    "severity",
    "follow",
    "latency",
    "certify",
    "heal",
    "retraction",
    "simulator",
    "sse",
    "taxii",
    "footprint",
    "demo",
    "recall",
    "falsepositives",
    "check_local",
    "regional",
    "tokenindex",
    "evaluation",
    "insider",
)


def main() -> int:
    """Run the named benchmarks, or all; exit code 1 when a figure that was asked for was not reached."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default all"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a row")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    for name in options.names or NAMES:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        measured = importlib.import_module(f"benchmarks.{name}").run()
        save(name, measured)
        rows += measured
    page.write(NAMES)
    plot.write()
    timesplot.write()
    if options.json:
        for row in rows:
            print(json.dumps(asdict(row) | {"reached": row.reached}, ensure_ascii=False))
    else:
        show(rows)
    return int(any(row.reached is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
