"""The simulator finds every bug that is planted in the nodes, within two hundred seeds."""

import re
from pathlib import Path

import pytest
from sim_support import run_apart

from orgnode.testing.plantedbugs import PLANTED
from orgnode.testing.simsuite import MOST_SEEDS, caught, run_seed

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"
ROW = re.compile(r"\| ([a-z' ,-]+): .* \| (\d+) \| .* \|")
STEP = 10


def table() -> dict[str, int]:
    """The seed that the page gives for each bug."""
    rows = (ROW.fullmatch(line) for line in PAGE.read_text("utf-8").splitlines())
    return {row[1]: int(row[2]) for row in rows if row}


def test_the_page_lists_every_bug() -> None:
    assert table().keys() == PLANTED.keys()
    assert len(PLANTED) >= 12


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str) -> None:
    # Where the page says first. Any change of the nodes may move it, within bounds.
    if caught(run_seed(table()[bug], bug)):
        return
    for start in range(0, MOST_SEEDS, STEP):
        if any(caught(result) for result in run_apart(start, STEP, bug=bug)):
            return
    pytest.fail(f"no seed under {MOST_SEEDS} notices: {bug}")
