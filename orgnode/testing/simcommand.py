"""Run seeds of the simulator, replay one, or make the table of planted bugs.

python -m orgnode.testing.simcommand --seeds 300 --jobs 2
python -m orgnode.testing.simcommand --start 17 --seeds 1 --trace
python -m orgnode.testing.simcommand --bug 'quorum one too small' --seeds 50
python -m orgnode.testing.simcommand --table --write
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

import typer

from mesh.testing.sometimes import Sometimes
from orgnode.testing.plantedbugs import PLANTED
from orgnode.testing.simpage import BUGS, write_table
from orgnode.testing.simpage import table as make_table
from orgnode.testing.simplan import LIVENESS, SAFETY, Fixed, draw_plan
from orgnode.testing.simsuite import (
    EXPECTED,
    MOST_SEEDS,
    find,
    replay_command,
    run_seeds,
)
from orgnode.testing.simulated import simulate

MAX_SIMULATED = 13
"""Members of a mesh that runs in reasonable time."""

_TELLING = 100
"""So many seeds should meet everything."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 100,
    start: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    bug: Annotated[str, typer.Option(help="Plant this bug first.")] = "",
    mode: Annotated[str, typer.Option(help="safety or liveness; the seed says, else.")] = "",
    members: Annotated[int, typer.Option(help="How many; the seed says, else.")] = 0,
    trace: Annotated[bool, typer.Option("--trace", help="Show all that happens.")] = False,
    table: Annotated[bool, typer.Option("--table", help="The first seed for each bug.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Put that table on the page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a run.")] = False,
) -> None:
    """Simulate meshes of nodes under faults; exit 1 if a rule broke."""
    if bug and bug not in PLANTED:
        typer.echo(f"no such bug; there are: {', '.join(PLANTED)}", err=True)
        raise typer.Exit(2)
    if mode not in ("", SAFETY, LIVENESS) or (members and not 4 <= members <= MAX_SIMULATED):
        typer.echo(
            f"a mode is {SAFETY} or {LIVENESS}, and there are 4 to {MAX_SIMULATED} members",
            err=True,
        )
        raise typer.Exit(2)
    fixed = Fixed(mode, members)
    if table:
        raise typer.Exit(not print_table(jobs, write=write))
    if trace:
        raise typer.Exit(not all(show(seed, bug, fixed) for seed in range(start, start + seeds)))
    if as_json:
        for result in run_seeds(range(start, start + seeds), bug=bug, fixed=fixed, jobs=jobs):
            typer.echo(json.dumps(asdict(result)))
    else:
        raise typer.Exit(not many(range(start, start + seeds), bug, fixed, jobs))


def show(seed: int, bug: str, fixed: Fixed) -> bool:
    """Run one seed and print everything; returns whether nothing broke."""
    plan = draw_plan(seed, fixed)
    typer.echo(f"{plan}\n")
    with PLANTED[bug].plant() if bug else nullcontext():
        outcome = simulate(plan, logger=typer.echo)
    typer.echo(f"\ntrace {outcome.trace}")
    typer.echo(", ".join(f"{what} {times}" for what, times in sorted(outcome.met.items())))
    if outcome.violation is None:
        typer.echo(f"nothing broke in {outcome.seconds:.0f} virtual seconds")
        return True
    typer.echo(f"BROKEN: {outcome.violation}")
    if isinstance(outcome.violation, BaseExceptionGroup):
        sys.excepthook(type(outcome.violation), outcome.violation, None)
    return False


def many(seeds: range, bug: str, fixed: Fixed, jobs: int) -> bool:
    """Run seeds, print those that break; returns whether none did."""
    met, broken, virtual = Sometimes(EXPECTED), 0, 0.0
    slowest = 0.0, 0
    begun = time.perf_counter()
    for result in run_seeds(seeds, bug=bug, fixed=fixed, jobs=jobs):
        met.merge(result.met)
        virtual += result.seconds
        slowest = max(slowest, (result.settled or 0.0, result.seed))
        if result.rule:
            broken += 1
            typer.echo(f"seed {result.seed} ({result.mode}): {result.told}")
            typer.echo(f"  {replay_command(result.seed, bug, fixed)}")
    took = time.perf_counter() - begun
    typer.echo(
        f"{len(seeds)} runs in {took:.1f} s ({len(seeds) / took:.1f} a second, "
        f"{virtual / took:.0f} times faster than real time); {broken} broke; "
        f"slowest to settle: seed {slowest[1]}, {slowest[0]:.0f} virtual seconds"
    )
    if (missing := met.missing()) and len(seeds) >= _TELLING:
        typer.echo(f"never met: {', '.join(missing)}")
    return not broken


def print_table(jobs: int, *, write: bool = False) -> bool:
    """Find the first seed for each planted bug, and print a table in Markdown.

    :param write: put it into `docs/simulator.md` as well.
    """
    rows = []
    with ProcessPoolExecutor(jobs) as pool:
        for bug, result in zip(PLANTED.values(), pool.map(find, PLANTED), strict=True):
            where = "none of the first " + str(MOST_SEEDS) if result is None else str(result.seed)
            rule = "" if result is None else result.rule
            rows.append([f"{bug.name}: {bug.what}", where, rule])
    typer.echo(make_table(BUGS, rows))
    if write:
        write_table(BUGS, rows)
    return all(rule for _, _, rule in rows)


if __name__ == "__main__":
    app()
