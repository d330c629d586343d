"""Doing to a run what its plan says: to its network, its machines, their disks and clocks."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from mesh.errors import MeshError
from mesh.testing.history import Forgone
from mesh.testing.nemesis import Strike
from mesh.testing.network import Conditions
from mesh.testing.virtualtime import Machine
from orgnode.errors import OrgnodeError
from orgnode.restored import RESTORED
from orgnode.testing.simnode import SimNode

if TYPE_CHECKING:
    from orgnode.testing.simulated import SimRun

_SKEW: Final = 0.49
"""Of what a plan says: two clocks are never further apart than the constraints allow, a day."""
_RESTORING: Final = 1.0
_STOPPING: Final = 30.0


class Faults:
    """The `Target` of a run's strikes (see `mesh.testing.nemesis`)."""

    def __init__(self, run: SimRun) -> None:
        self._run = run
        self._backups: dict[str, bytes] = {}
        self._restored: str | None = None
        self._stopping: set[Machine] = set()

    def heal(self) -> None:
        """End every fault, but for the machines that broke for good."""
        self._run.network.heal()
        for name in self._run.plan.names:
            self.full_disk(name, False)
            self.slow_disk(name, 0.0)
            self.skew(name, 0.0)
            self.restart(name)
        self._run.say("everything heals")

    def strike(self, strike: Strike) -> None:
        """Let one thing of the plan happen."""
        self._run.say(str(strike))
        strike.apply(self)

    def destroy(self, name: str) -> None:
        """Break a machine for good."""
        self._run.say(f"{name} breaks for good")
        self._run.history.gone.add(name)
        self.crash(name)

    def cut(self, src: str, dst: str) -> None:
        """See `Target.cut`."""
        self._run.network.cut(src, dst)

    def restore(self, src: str, dst: str) -> None:
        """See `Target.restore`."""
        self._run.network.restore(src, dst)

    def weather(self, conditions: Conditions) -> None:
        """See `Target.weather`; a storm that is over leaves the plan's conditions."""
        self._run.network.conditions = (
            self._run.plan.conditions if conditions == Conditions() else conditions
        )

    def slow(self, name: str, seconds: float) -> None:
        """See `Target.slow`."""
        self._run.network.slow(name, seconds)

    def crash(self, name: str) -> None:
        """See `Target.crash`."""
        for node in self._run.bodies_of(name):
            if node.up:
                self._run.met["crash"] += 1
                node.crash()

    def crash_writing(self, name: str) -> None:
        """See `Target.crash_writing`; a machine that does not write meanwhile stays up."""
        for node in self._run.bodies_of(name):
            node.disk.trap = partial(self._crash_within, node, node.starts)

    def _crash_within(self, node: SimNode, starts: int, seconds: float) -> None:
        rng = self._run.rng(f"trap {node.place} {self._run.loop.now}")
        self._run.at(
            self._run.loop.now + rng.uniform(0.0, 1.2) * seconds, self._trapped, node, starts
        )

    def _trapped(self, node: SimNode, starts: int) -> None:
        if node.up and node.starts == starts:
            self.crash(node.name)

    def reboot(self, name: str) -> None:
        """See `Target.reboot`."""
        for node in self._run.bodies_of(name):
            if node.up and node.machine not in self._stopping:
                self._stopping.add(node.machine)
                node.machine.start(self._stop(node), "stop")

    async def _stop(self, node: SimNode) -> None:
        try:
            async with asyncio.timeout(_STOPPING):
                left = await node.stop()
        except TimeoutError:
            self._run.broke("a node does not stop", node.name)
            return
        self._run.met["shut down in order"] += 1
        if left and node.name in self._run.history.honest:
            self._run.broke("a stopped node goes on", f"{left} tasks of {node.name}")
        self._run.at(self._run.loop.now + _RESTORING, self.restart, node.name)

    def restart(self, name: str) -> None:
        """See `Target.restart`."""
        if name in self._run.history.gone:
            return
        for node in self._run.bodies_of(name):
            node.disk.trap = None
            if not node.up:
                self._start(node)

    def _start(self, node: SimNode) -> None:
        try:
            node.start()
        except (MeshError, OrgnodeError) as error:
            node.crash()
            if node.name in self._run.history.honest:
                self._run.broke("a node does not start", f"{node.name}: {type(error).__name__}")

    def skew(self, name: str, seconds: float) -> None:
        """See `Target.skew`; two clocks are never further apart than the constraints allow."""
        for node in self._run.bodies_of(name):
            node.clock.skew = seconds * _SKEW

    def slow_disk(self, name: str, seconds: float) -> None:
        """See `Target.slow_disk`."""
        for node in self._run.bodies_of(name):
            node.disk.slowness = seconds

    def full_disk(self, name: str, full: bool) -> None:
        """See `Target.full_disk`."""
        for node in self._run.bodies_of(name):
            node.disk.fill(full)

    def backup(self, name: str) -> None:
        """See `Target.backup`."""
        if name in self._run.history.honest and name not in self._run.history.gone:
            self._backups[name] = self._run.nodes[name].disk.image()

    def restore_backup(self, name: str) -> None:
        """See `Target.restore_backup`, if the node's past can be known from others at all.

        A restored node asks all others. What none of them holds, nobody can tell it: were a liar
        the only one who does, the node would sign a second history. So this happens only if another
        honest node holds everything that the node ever let out; once in a run, for that one must
        not lose its own disk before it is asked.
        """
        image = self._backups.get(name)
        if image is None or self._restored or name in self._run.history.gone:
            return
        node = self._run.nodes[name]
        let_out = self._run.recorder.largest_signed(name)
        others = [
            other
            for other in self._run.nodes.values()
            if other is not node
            and other.up
            and other.name in self._run.history.honest
            and other.name not in self._run.plan.gone  # nobody will be able to ask it
        ]
        held = max((self._whole(other, name) for other in others), default=0)
        if held < let_out:
            self._run.met["a backup could not be restored safely"] += 1
            return
        self._restored = name
        self.crash(name)
        for entry_id in self._run.workload.acknowledged_from(name, held):
            self._run.history.add(Forgone(self._run.loop.now, name, entry_id))
        self._run.recorder.lost_disk(node, others)
        node.disk.replace(image)
        self._mark_restored(node)
        self._run.network.forget(name)
        self._run.met["an old backup was restored"] += 1
        self._run.recorder.watch_recovery(node, held)
        self._run.at(self._run.loop.now + _RESTORING, self.restart, name)

    def _mark_restored(self, node: SimNode) -> None:
        """As `orgnode restore --without` does: who is broken or lies need not be asked."""
        excused = ",".join((*self._run.plan.gone, *self._run.plan.liars)).encode()
        node.disk.database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (RESTORED, excused))

    def _whole(self, node: SimNode, log: str) -> int:
        """Up to where a node holds a log with all bodies."""
        missing = node.store.first_missing(log)
        size = node.store.state(log).size
        return size if missing is None else min(size, missing)
