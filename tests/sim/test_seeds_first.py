"""A hundred and fifty seeds of whole nodes under faults: nothing that never bends breaks."""

import pytest
from sim_support import run_apart

from mesh.testing.sometimes import Sometimes
from orgnode.testing.simsuite import EXPECTED, Result, replay_command

START, SEEDS = 0, 150


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return run_apart(START, SEEDS)


@pytest.mark.parametrize("place", range(SEEDS))
def test_nothing_breaks(results: list[Result], place: int) -> None:
    result = results[place]
    assert result.seed == START + place
    assert not result.rule, f"{result.told}\n  {replay_command(result.seed)}"


def test_every_kind_of_fault_did_happen(results: list[Result]) -> None:
    suite = Sometimes(EXPECTED)
    for result in results:
        suite.merge(result.met)
    assert suite.missing() == []
    assert {result.members for result in results} == {4, 5, 7}
    assert {result.mode for result in results} == {"safety", "liveness"}
