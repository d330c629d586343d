"""Simulated runs as such: reproducible, sensitive, and telling how to see them again."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog
from sim_support import run_apart
from typer.testing import CliRunner

from mesh.testing.checkers import ViolationError
from mesh.testing.network import Conditions
from mesh.testing.virtualtime import VirtualLoop
from orgnode.federation.chasing import Chaser
from orgnode.federation.gossip import Gossip
from orgnode.federation.held import HeldLog
from orgnode.store.errors import StoreDamagedError
from orgnode.testing import simsuite
from orgnode.testing.conducts import MAKERS
from orgnode.testing.plantedbugs import PLANTED, PlantedBug
from orgnode.testing.scale import measure
from orgnode.testing.simcommand import app
from orgnode.testing.simnode import SimNode
from orgnode.testing.simplan import LIVENESS, SAFETY, Deed, Fixed, Plan, draw_plan, quorum_of
from orgnode.testing.simsuite import find, replay_command, run_seed
from orgnode.testing.simsurroundings import nodes_logging
from orgnode.testing.simulated import Outcome, simulate

SEED = 3


def quiet_plan(**changes: Any) -> Plan:
    """Five honest members, no faults, one signal."""
    plan = next(draw_plan(seed) for seed in range(100) if draw_plan(seed).members == 5)
    deeds = (Deed(2.0, "signal", plan.names[0]), Deed(4.0, "retract", plan.names[0]))
    return replace(
        plan,
        **{
            **{"mode": LIVENESS, "liars": {}, "gone": {}, "conditions": Conditions()},
            **{"strikes": (), "deeds": deeds, "chaos": 8.0, "midnight": None},
            **changes,
        },
    )


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    with monkeypatch.context() as patch:
        yield patch


def broken(outcome: Outcome) -> str:
    assert outcome.violation is not None
    return outcome.rule


def test_in_peace_everything_is_certified_and_withdrawn_at_once() -> None:
    outcome = simulate(quiet_plan())
    assert outcome.violation is None
    assert outcome.settled is not None
    assert outcome.settled <= 2.0
    assert outcome.met["published a signal"] == outcome.met["published a retraction"] == 1
    assert outcome.met["a receipt was given"] == 4


@pytest.mark.parametrize("mode", [SAFETY, LIVENESS])
def test_a_seed_runs_in_either_mode(mode: str) -> None:
    result = run_seed(SEED, fixed=Fixed(mode=mode))
    assert (result.rule, result.mode) == ("", mode)
    assert (result.settled is None) is (mode == SAFETY)


def test_a_seed_is_a_run_whatever_the_hash_seed() -> None:
    seeds = range(SEED, SEED + 3)
    here = [run_seed(seed).trace for seed in seeds]
    assert len(set(here)) == 3
    for hash_seed in (1, 4711):
        told = run_apart(SEED, 3, hash_seed=hash_seed)
        assert [result.trace for result in told] == here
    assert [run_seed(seed).trace for seed in seeds] == here


def test_a_violation_tells_how_to_see_it_again() -> None:
    bug = "certificates unchecked"
    result = find(bug)
    assert result is not None
    ran = CliRunner().invoke(
        app, ["--bug", bug, "--start", str(result.seed), "--seeds", "1"], catch_exceptions=False
    )
    assert ran.exit_code == 1
    command = replay_command(result.seed, bug)
    assert f"  {command}\n" in ran.output
    args = re.findall(r"'[^']*'|\S+", command)[3:]
    again = CliRunner().invoke(app, [arg.strip("'") for arg in args], catch_exceptions=False)
    assert again.exit_code == 1
    assert f"BROKEN: {result.told.removeprefix('ViolationError: ')}" in again.output
    assert f"trace {result.trace}" in again.output


def test_the_command_says_so_when_nothing_broke() -> None:
    ran = CliRunner().invoke(app, ["--start", str(SEED), "--seeds", "1", "--trace"])
    assert (ran.exit_code, "nothing broke" in ran.output) == (0, True)
    many = CliRunner().invoke(app, ["--start", str(SEED), "--seeds", "2"])
    assert (many.exit_code, "2 runs in" in many.output) == (0, True)
    assert CliRunner().invoke(app, ["--bug", "none such"]).exit_code == 2


def test_the_table_has_a_row_for_each_bug(planted: pytest.MonkeyPatch) -> None:
    few = dict(list(PLANTED.items())[:1])
    planted.setattr(simsuite, "PLANTED", few)
    planted.setattr("orgnode.testing.simcommand.PLANTED", few)
    ran = CliRunner().invoke(app, ["--table"], catch_exceptions=False)
    (bug,) = few.values()
    assert f"| {bug.name}: {bug.what} | " in ran.output


def test_every_conduct_is_drawn() -> None:
    drawn = {conduct for seed in range(200) for conduct in draw_plan(seed).liars.values()}
    assert drawn == set(MAKERS)


def test_liars_and_broken_machines_leave_a_quorum() -> None:
    for seed in range(200):
        plan = draw_plan(seed)
        assert len(plan.names) - len({*plan.liars, *plan.gone}) >= quorum_of(plan.members)
        assert len(plan.liars) <= (plan.members - 1) // 3
        assert str(plan).startswith(f"seed {seed}: ")


def test_a_bug_is_taken_out_again() -> None:
    before = vars(Gossip)["_compare"]
    with PLANTED["no anti-entropy"].plant():
        assert vars(Gossip)["_compare"] is not before
    assert vars(Gossip)["_compare"] is before

    class Child(Gossip):
        pass

    with PlantedBug("b", "", lambda: [(Child, "_compare", None)]).plant():
        assert Child._compare is None
    assert "_compare" not in vars(Child)


def test_a_task_that_crashes_breaks_the_run(planted: pytest.MonkeyPatch) -> None:
    async def crash(self: object, peer: str) -> None:
        raise KeyError(peer)

    planted.setattr(Gossip, "exchange", crash)
    assert broken(simulate(quiet_plan(mode=SAFETY))) == "a task crashed"


def test_an_error_that_nobody_takes_breaks_the_run(planted: pytest.MonkeyPatch) -> None:
    async def crash(self: object) -> None:
        raise KeyError("lost")

    planted.setattr(Chaser, "_run", crash)
    assert broken(simulate(quiet_plan(mode=SAFETY))) == "KeyError"


def test_a_mesh_that_does_not_settle_breaks_the_run(planted: pytest.MonkeyPatch) -> None:
    async def never(self: object, certificate: object) -> None:
        return None

    planted.setattr(HeldLog, "take_certificate", never)
    outcome = simulate(quiet_plan())
    assert broken(outcome) == "an acknowledged entry is not certified"
    assert isinstance(outcome.violation, ViolationError)


def test_a_node_that_does_not_start_breaks_the_run(planted: pytest.MonkeyPatch) -> None:
    def damaged(self: object) -> None:
        raise StoreDamagedError("its state can't be read")

    planted.setattr(SimNode, "_assemble", damaged)
    assert broken(simulate(quiet_plan(mode=SAFETY))) == "a node does not start"


def test_faults_do_break_what_is_not_healed() -> None:
    # All links of one member are cut to the end: it can't have what the others have.
    plan = quiet_plan()
    name = plan.names[4]
    cuts = [
        replace(strike, verb="cut", args=args, at=0.5)
        for strike in draw_plan(0).strikes[:1]
        for other in plan.names[:4]
        for args in ((name, other), (other, name))
    ]
    outcome = simulate(replace(plan, strikes=tuple(cuts)))
    assert outcome.violation is None  # healing restores them
    assert outcome.met["request cut off"] > 0
    lonely = simulate(replace(plan, strikes=tuple(cuts), mode=SAFETY))
    assert lonely.violation is None
    assert lonely.met["published a signal"] == 1


def test_a_larger_mesh_costs_what_it_costs_each_time() -> None:
    first, again = (measure(10, 50) for _ in range(2))
    assert replace(first, cpu_seconds=0.0) == replace(again, cpu_seconds=0.0)
    assert first.to_certify <= first.to_settle < 5.0
    assert first.messages_per_node < 200
    assert first.bytes_per_signal_and_node > 1_000


def test_what_is_fixed_is_not_left_to_the_seed() -> None:
    for members in (4, 13):
        plan = draw_plan(SEED, Fixed(SAFETY, members))
        assert (plan.mode, plan.members, len(plan.names)) == (SAFETY, members, members)
    result = run_seed(SEED, fixed=Fixed(SAFETY, 4))
    assert (result.rule, result.mode, result.members) == ("", SAFETY, 4)
    assert replay_command(SEED, "", Fixed(SAFETY, 4)).endswith("--mode safety --members 4")


@pytest.mark.parametrize("wrong", [["--mode", "lively"], ["--members", "3"], ["--members", "14"]])
def test_what_can_not_be_fixed_is_said(wrong: list[str]) -> None:
    result = CliRunner().invoke(app, ["--seeds", "1", *wrong])
    assert result.exit_code == 2
    assert "safety or liveness, and there are 4 to 13 members" in result.output


@pytest.mark.parametrize("over", [False, True])
def test_last_words_are_no_crash(over: bool) -> None:
    crashed: list[str] = []
    loop = VirtualLoop()
    loop.over = over
    with nodes_logging(loop, None, lambda event, error: crashed.append(event)):
        try:
            raise KeyError("lost")
        except KeyError:
            structlog.get_logger().exception("pull.crashed")
    assert crashed == ([] if over else ["pull.crashed"])
