"""Many seeds: running them, with a planted bug or without, and what they must have met together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final

from orgnode.testing.conducts import MAKERS
from orgnode.testing.plantedbugs import PLANTED
from orgnode.testing.simplan import NOTHING, Fixed, draw_plan
from orgnode.testing.simulated import CRASHED, Outcome, simulate

MOST_SEEDS: Final = 200
"""Seeds within which every planted bug is found."""

EXPECTED: Final = (
    "request lost",
    "answer lost",
    "request cut off",
    "answer cut off",
    "arrived twice",
    "overtaken",
    "deadline passed",
    "nobody there",
    "broke off",
    "crash",
    "shut down in order",
    "write lost in a crash",
    "acknowledgement lost in a crash",
    "StoreFullError",
    "asked a mirror",
    "a mirror served another's log",
    "a certificate came before its content",
    "an old backup was restored",
    "a node restored from an old backup recovered itself",
    "evidence was read in a log",
    "convicted by fork",
    "convicted by split",
    "a receipt was given",
    "answered 409",
    "answered 503",
    "deferred MissingBodyError",
    "published a retraction",
    "published a sighting",
    "published nothing: RecoveringError",
    "a new day began",
    "something expired",
    "lapsed ExpiredEntryError",
    "a log grew past a tile",
    "a whole tile of entries was fetched",
    "a log was caught up on past a page",
    *(f"a member {conduct}" for conduct in MAKERS),
)
"""What a few hundred runs together must have met: each kind of fault, with an effect."""


@dataclass(frozen=True)
class Result:
    """What is kept of a run that went over a process's border."""

    seed: int
    mode: str
    members: int
    rule: str
    told: str
    """The violation in words, empty if there is none."""
    trace: str
    met: dict[str, int]
    seconds: float
    settled: float | None
    steps: int


def replay_command(seed: int, bug: str = "", fixed: Fixed = NOTHING) -> str:
    """What to type to see a run again, in full."""
    command = f"python -m orgnode.testing.simcommand --start {seed} --seeds 1 --trace"
    if bug:
        command += f" --bug '{bug}'"
    if fixed.mode:
        command += f" --mode {fixed.mode}"
    if fixed.members:
        command += f" --members {fixed.members}"
    return command


def run_seed(seed: int, bug: str = "", fixed: Fixed = NOTHING) -> Result:
    """Run one seed, with a planted bug if one is named."""
    with PLANTED[bug].plant() if bug else nullcontext():
        return _result(simulate(draw_plan(seed, fixed)))


def run_seeds(
    seeds: Iterable[int], *, bug: str = "", fixed: Fixed = NOTHING, jobs: int = 1
) -> Iterator[Result]:
    """Run many seeds, in order, over so many processes."""
    run = partial(run_seed, bug=bug, fixed=fixed)
    if jobs <= 1:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run, seeds, chunksize=4)


def find(bug: str, *, start: int = 0, most: int = MOST_SEEDS) -> Result | None:
    """The first run that finds a planted bug; None if none of them does."""
    for seed in range(start, start + most):
        result = run_seed(seed, bug)
        if caught(result):
            return result
    return None


def caught(result: Result) -> bool:
    """Whether a run broke a rule. A crash shows only that what is planted does not fit the code."""
    return bool(result.rule) and result.rule != CRASHED


def _result(outcome: Outcome) -> Result:
    violation = outcome.violation
    return Result(
        seed=outcome.plan.seed,
        mode=outcome.plan.mode,
        members=outcome.plan.members,
        rule=outcome.rule,
        told="" if violation is None else _told(violation),
        trace=outcome.trace,
        met=dict(outcome.met),
        seconds=outcome.seconds,
        settled=outcome.settled,
        steps=outcome.steps,
    )


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return f"{error.message}: {'; '.join(_told(one) for one in error.exceptions)}"
    return f"{type(error).__name__}: {error}"
