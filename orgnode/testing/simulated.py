"""One simulated run: nodes, faults, liars and a workload on a virtual clock, and what must hold.

    outcome = simulate(draw_plan(7))
    outcome.violation                     # None, or what broke
    outcome.trace                         # equal for equal seeds, in every process

The nodes are the production code (see `orgnode.testing.simnode`); the rules are those of
`mesh.testing.checkers`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from mesh.days import SECONDS_PER_DAY
from mesh.testing.checkers import ViolationError, bounded, check_converged, check_safety
from mesh.testing.history import History, Load
from mesh.testing.members import make_mesh
from mesh.testing.network import SimNetwork
from mesh.testing.orglog import TODAY
from mesh.testing.seeds import seeded
from mesh.testing.virtualtime import VirtualLoop, VirtualTimeError
from orgnode.testing.byzantine import Liar, Twins
from orgnode.testing.conducts import EQUIVOCATES
from orgnode.testing.simfaults import Faults
from orgnode.testing.simline import size_of
from orgnode.testing.simmemory import computed_once
from orgnode.testing.simnode import SimNode, SimWorld
from orgnode.testing.simplan import LIVENESS, PATIENCE, Plan, quorum_of
from orgnode.testing.simrecord import Recorder
from orgnode.testing.simsurroundings import collected_later, nodes_logging
from orgnode.testing.simviews import TrueCosigners, view_of
from orgnode.testing.simworkload import Workload, signals_of

LIMITS: Final[Mapping[str, int]] = {
    "tasks": 150,
    "writes that wait": 80,
    "writes that waited": 80,
    "requests in flight": 40,
}
"""What nothing may grow past in a run: see `mesh.testing.history.Load`."""

CRASHED: Final = "a task crashed"
"""The rule that is broken when an error ends a task, in the nodes or in what is planted there."""
STEPS: Final = 200_000
"""Callbacks that a run may take: many times what the busiest takes."""

_LOOK: Final = 3.0
_CHECK: Final = 1.0
_STAGGER: Final = 0.2


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    plan: Plan
    violation: Exception | None
    """What broke: a rule of the checkers, or the program itself; None if nothing did."""
    trace: str
    met: Counter[str]
    seconds: float
    """Virtual seconds from the start to the end."""
    settled: float | None
    """Virtual seconds from the healing until all agreed, in a run for liveness."""
    steps: int

    @property
    def rule(self) -> str:
        """The broken rule, for a table; empty if none is."""
        if self.violation is None:
            return ""
        if isinstance(self.violation, ViolationError):
            return self.violation.rule
        error: BaseException = self.violation
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return type(error).__name__


def simulate(plan: Plan, *, logger: Callable[[str], None] | None = None) -> Outcome:
    """Run a plan to its end.

    :param logger: is told what the nodes log, and the faults as they strike.
    """
    with collected_later():
        return _simulate(plan, logger)


def _simulate(plan: Plan, logger: Callable[[str], None] | None) -> Outcome:
    run = SimRun(plan, logger)
    with nodes_logging(run.loop, logger, run.crashed), computed_once():
        return run.run()


class SimRun:
    """One run, made of a plan."""

    def __init__(self, plan: Plan, logger: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.met: Counter[str] = Counter()
        self.loop = VirtualLoop(plan.seed, steps=STEPS)
        self._logger = logger
        self._nobody = copy_context()
        self._world_mesh = make_mesh(plan.members)
        mesh = self._world_mesh.mesh
        self.network = SimNetwork(
            self.loop, self.rng("network"), conditions=plan.conditions, size=size_of
        )
        self.history = History(plan.names, frozenset(plan.honest), quorum_of(plan.members))
        signals = signals_of(plan.members)
        midnight = SECONDS_PER_DAY // 2 if plan.midnight is None else plan.midnight
        world = SimWorld(
            mesh=self._world_mesh,
            loop=self.loop,
            network=self.network,
            epoch=(TODAY + 1) * SECONDS_PER_DAY - midnight,
            false_proofs=signals.false_proofs,
        )
        self.nodes: dict[str, SimNode] = {}
        self.twins: dict[str, Twins] = {}
        self._tokens = signals.tokens
        self.recorder = Recorder(
            self.loop,
            self.history,
            self.nodes,
            TrueCosigners(mesh),
            self.rng("samples"),
            mesh.mesh_id,
            self._tokens,
        )
        self.network.taps.append(self.recorder.tap)
        self.network.place_of = self._place_of
        for member in self._world_mesh.members:
            self._add(world, member.name)
        self.workload = Workload(self, signals, self.rng("workload"))
        self.recorder.publishing = self.workload.under_way
        self.faults = Faults(self)
        self._crashes: list[ViolationError] = []

    def _add(self, world: SimWorld, name: str) -> None:
        member, rng = self._world_mesh.member(name), self.rng(name)
        conduct = self.plan.liars.get(name)
        if conduct is None:
            self.nodes[name] = SimNode(world, member, rng, self.recorder)
        elif conduct == EQUIVOCATES:
            peers = [peer for peer in self.plan.names if peer != name]
            self.twins[name] = Twins(world, member, rng, self.recorder, peers)
            self.nodes[name] = self.twins[name].nodes[0]
        else:
            self.nodes[name] = Liar(world, member, rng, self.recorder, conduct)

    def _place_of(self, src: str, dst: str) -> str:
        twins = self.twins.get(dst)
        return dst if twins is None else twins.place_for(src)

    def bodies_of(self, name: str) -> Sequence[SimNode]:
        """The machines that run under a name: one, or two of an equivocator."""
        twins = self.twins.get(name)
        return (self.nodes[name],) if twins is None else twins.nodes

    # --- the run

    def run(self) -> Outcome:
        """Run, judge, clean up."""
        violation: Exception | None = None
        self.settled: float | None = None
        try:
            try:
                self.loop.run(self._main())
            finally:
                self._judge()  # what may never happen tells more than what did not come about
        except (ViolationError, VirtualTimeError, ExceptionGroup) as error:
            violation = error
        finally:
            for name in self.plan.names:
                for node in self.bodies_of(name):
                    node.close()
        self.met.update(f"a member {conduct}" for conduct in self.plan.liars.values())
        self.met.update(self.network.met)
        self.met.update(self.recorder.met)
        for name in self.plan.names:
            for node in self.bodies_of(name):
                self.met.update(node.disk.met)
        return Outcome(
            plan=self.plan,
            violation=violation,
            trace=self.recorder.trace,
            met=+self.met,
            seconds=self.loop.now,
            settled=self.settled,
            steps=self.loop.steps,
        )

    async def _main(self) -> None:
        rng = self.rng("start")
        for name in self.plan.names:
            self.at(rng.uniform(0, _STAGGER), self.faults.restart, name)
        for strike in self.plan.strikes:
            self.at(strike.at, self.faults.strike, strike)
        for name, at in self.plan.gone.items():
            self.at(at, self.faults.destroy, name)
        if self.plan.midnight is not None:
            self.at(self.plan.midnight, self._new_day)
        for deed in self.plan.deeds:
            self.at(deed.at, self.workload.do, deed)
        while self.loop.now < self.plan.chaos:
            await asyncio.sleep(_LOOK)
            self._look(rng)
        if self.plan.mode == LIVENESS:
            await self._settle()
        for name in self.plan.honest:
            self.recorder.sample(self.nodes[name])

    async def _settle(self) -> None:
        """Heal what can be healed; then everything must come to rest in bounded time."""
        self.faults.heal()
        healed = self.loop.now
        while True:
            await asyncio.sleep(_CHECK)
            if self.loop.now < self.workload.last:
                continue
            final = self.loop.now > healed + PATIENCE
            try:
                self._check_settled(final=final)
            except ViolationError:
                if final:
                    raise
            else:
                self.settled = self.loop.now - healed
                return

    def _judge(self) -> None:
        for crash in self._crashes:
            raise crash
        for name in self.plan.names:
            load = max(node.disk.most_waiting for node in self.bodies_of(name))
            self.history.add(Load(self.loop.now, name, "writes that waited", load))
        if not any(conduct for conduct in self.plan.liars.values()):
            most = self.network.most_in_flight
            self.history.add(Load(self.loop.now, "all", "requests in flight", most))
        check_safety(self.history)
        bounded(LIMITS)(self.history)

    def _check_settled(self, *, final: bool) -> None:
        live = [self.nodes[name] for name in self.plan.honest if name not in self.history.gone]
        for node in live:
            if not node.ready:
                raise ViolationError("a node does not get ready", node.name)
        if not final:
            # Vectors first: they cost little, and differ for most of the time.
            vectors = {
                tuple((at.log, at.size, at.certified) for at in node.store.vector() if at.size)
                for node in live
            }
            if len(vectors) > 1 and not self.recorder.met_conviction:
                raise ViolationError("views differ", "by what the nodes gossip")
        self.history.views = {
            node.name: view_of(node.name, node.store, self.plan.names, self._tokens)
            for node in live
        }
        check_converged(self.history)

    def _new_day(self) -> None:
        self.met["a new day began"] += 1
        self.say("midnight")

    def _look(self, rng: Random) -> None:
        self.recorder.look(self.nodes[rng.choice(self.plan.names)])

    # --- small things

    def at(self, when: float, callback: Callable[..., Any], *args: Any) -> None:
        """Have something happen later, whatever becomes of any machine."""
        self.loop.call_at(when, callback, *args, context=self._nobody)

    def rng(self, purpose: str) -> Random:
        """A generator for one purpose of this run."""
        return seeded(f"sim {purpose}", self.plan.seed)

    def broke(self, rule: str, shown: str) -> None:
        """A rule was broken, in the middle of the run."""
        self._crashes.append(ViolationError(rule, f"{shown}, {self.loop.now:.3f} s"))

    def crashed(self, event: str, error: BaseException | None) -> None:
        """A part of an honest node failed in a way that it has no name for."""
        self._crashes.append(ViolationError(CRASHED, f"{event}: {type(error).__name__}: {error}"))

    def say(self, what: str) -> None:
        """Tell whoever watches."""
        if self._logger is not None:
            self._logger(f"{self.loop.now:9.3f}  {what}")
