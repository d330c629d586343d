"""What a mesh of many members costs: a burst of signals, and the messages and bytes of each node.

    python -m orgnode.testing.scale                    # 10, 30 and 100 members, a minute or two
    python -m orgnode.testing.scale --members 10 --signals 200

Nodes run the production code on a virtual clock and a network without faults; so what is counted is
the protocol's own doing, the same on every machine. No link has a limit of bytes a second. Prints
one JSON object for each size; `--write` puts them on the page too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from statistics import mean
from typing import Annotated, Any

import typer

from mesh.assessment import Assessed
from mesh.days import SECONDS_PER_DAY, Day
from mesh.entry import Kind
from mesh.evidence import Evidence
from mesh.signal import parse_signal
from mesh.testing.members import make_mesh
from mesh.testing.network import SimNetwork, Traffic
from mesh.testing.orglog import TODAY
from mesh.testing.seeds import seeded
from mesh.testing.signals import MadeSignal, SignalPool
from mesh.testing.virtualtime import VirtualLoop
from orgnode.federation.limits import ClientLimits, Rhythm
from orgnode.ownlog import Draft
from orgnode.testing.scaleplot import draw
from orgnode.testing.simline import size_of
from orgnode.testing.simmemory import computed_once
from orgnode.testing.simnode import SimNode, SimWorld
from orgnode.testing.simpage import SCALE, SCALE_JSON, SCALE_PICTURE, write_table
from orgnode.testing.simsurroundings import quiet

_SIZES = (10, 30, 100)
_STEPS = 200_000_000
_LOOK = 0.05
_IDLE = 60.0
_PATIENCE = 600.0
_LIFE = 180


@dataclass(frozen=True)
class Cost:
    """What the nodes of one mesh sent, counting requests and answers alike. Times are virtual."""

    members: int
    signals: int
    to_certify: float
    """Seconds from the burst until every signal was certified at its own node."""
    to_settle: float
    """Seconds from the burst until every signal was certified at every node."""
    messages_per_node: float
    most_messages: int
    bytes_per_node: float
    most_bytes: int
    bytes_per_signal_and_node: float
    idle_messages_per_minute: float
    """Of one node while nothing is published."""
    idle_bytes_per_minute: float
    cpu_seconds: float
    """Of this process, for all nodes together."""


class _Nobody:
    """An observer that looks at nothing."""

    def certified(self, node: SimNode, log: str, size: int) -> None:
        """Nothing."""

    def convicted(self, node: SimNode, evidence: Evidence) -> None:
        """Nothing."""

    def assessed(self, node: SimNode, log: str, entries: Sequence[Assessed]) -> None:
        """Nothing."""

    def alerted(self, node: SimNode, kind: str, subject: str, detail: str) -> None:
        """Nothing."""

    def expired(self, node: SimNode, erased: int) -> None:
        """Nothing."""


class Scale:
    """One mesh, started, left alone for a minute, and then given a burst of signals."""

    def __init__(self, members: int, signals: int, seed: int = 0) -> None:
        self.signals = signals
        self.loop = VirtualLoop(seed, steps=_STEPS)
        self.network = SimNetwork(self.loop, seeded("scale network", seed), size=size_of)
        world = make_mesh(members)
        shared = SimWorld(
            mesh=world,
            loop=self.loop,
            network=self.network,
            epoch=TODAY * SECONDS_PER_DAY,
            rhythm=Rhythm(),
            limits=ClientLimits(),
        )
        self.nodes = [
            SimNode(shared, member, seeded("scale node", seed, member.name), _Nobody())
            for member in world.members
        ]
        self._bodies = [SignalPool(world.mesh, node.name, size=1)[0] for node in self.nodes]
        self._rng: Random = seeded("scale", seed)

    async def run(self) -> Cost:
        """Run to the end; raises TimeoutError if it does not come to one in ten minutes."""
        begun = time.process_time()
        for node in self.nodes:
            node.start()
        await self._until(lambda: all(node.ready for node in self.nodes))
        await asyncio.sleep(10)
        before = self._count()
        await asyncio.sleep(_IDLE)
        idle = self._since(before)

        before, start = self._count(), self.loop.now
        tasks = [self._publish(place) for place in range(self.signals)]
        await asyncio.gather(*tasks)
        await self._until(self._all_certified_at_home)
        certified = self.loop.now - start
        await self._until(self._all_certified)
        settled = self.loop.now - start
        burst = self._since(before)

        messages = [one.sent for one in burst]
        sizes = [one.bytes_sent for one in burst]
        return Cost(
            members=len(self.nodes),
            signals=self.signals,
            to_certify=round(certified, 3),
            to_settle=round(settled, 3),
            messages_per_node=round(mean(messages), 1),
            most_messages=max(messages),
            bytes_per_node=round(mean(sizes), 1),
            most_bytes=max(sizes),
            bytes_per_signal_and_node=round(mean(sizes) / self.signals, 1),
            idle_messages_per_minute=round(mean(one.sent for one in idle), 1),
            idle_bytes_per_minute=round(mean(one.bytes_sent for one in idle), 1),
            cpu_seconds=round(time.process_time() - begun, 1),
        )

    def _publish(self, place: int) -> asyncio.Task[object]:
        node = self.nodes[place % len(self.nodes)]
        made: MadeSignal = self._bodies[place % len(self.nodes)]
        nth = place // len(self.nodes)
        draft = Draft(
            kind=Kind.SIGNAL,
            # Entries of one body differ by their last day, and past 150 of them by their salt.
            expires=Day(node.today() + _LIFE - nth % 150),
            body=made.body,
            salt=made.salt if nth < 150 else None,
            signal=parse_signal(made.body),
        )
        return node.machine.start(node.replicator.own_log.append(draft), "publish")

    def _all_certified_at_home(self) -> bool:
        return all(
            node.store.certified_size(node.name) == node.store.state(node.name).size
            for node in self.nodes
        )

    def _all_certified(self) -> bool:
        sizes = {node.name: node.store.state(node.name).size for node in self.nodes}
        return all(
            {at.log: at.certified for at in node.store.vector() if at.size}
            == {name: size for name, size in sizes.items() if size}
            for node in self.nodes
        )

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE):
            while not reached():  # noqa: ASYNC110 - the clock is a virtual one
                await asyncio.sleep(_LOOK)

    def _count(self) -> dict[str, Traffic]:
        return {name: Traffic(**asdict(one)) for name, one in self.network.traffic.items()}

    def _since(self, before: dict[str, Traffic]) -> list[Traffic]:
        return [
            Traffic(
                now.sent - before[name].sent,
                now.received - before[name].received,
                now.bytes_sent - before[name].bytes_sent,
                now.bytes_received - before[name].bytes_received,
            )
            for name, now in self.network.traffic.items()
        ]


def measure(members: int, signals: int, seed: int = 0) -> Cost:
    """Measure one mesh."""
    scale = Scale(members, signals, seed)
    try:
        with quiet(), computed_once():
            return scale.loop.run(scale.run())
    finally:
        for node in scale.nodes:
            node.close()


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    members: Annotated[
        list[int] | None, typer.Option(min=1, help="Members; give it again for more.")
    ] = None,
    signals: Annotated[int, typer.Option(min=1, help="Signals in the burst.")] = 1_000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    write: Annotated[bool, typer.Option("--write", help="Table and picture in docs/.")] = False,
) -> None:
    """Measure what meshes of these sizes cost."""
    costs = []
    for count in members or _SIZES:
        costs.append(asdict(measure(count, signals, seed)))
        typer.echo(json.dumps(costs[-1]))
    if write:
        lines = "\n".join(f"  {json.dumps(cost)}" for cost in costs)
        SCALE_JSON.write_text("[\n" + lines.replace("}\n", "},\n") + "\n]\n", "utf-8")
        SCALE_PICTURE.write_text(draw(costs), "utf-8")
        write_table(SCALE, [row_of(cost) for cost in costs])


def row_of(cost: Mapping[str, Any]) -> list[str]:
    """A row of the table in `docs/simulator.md`."""
    return [
        str(cost["members"]),
        f"{cost['messages_per_node']:,.0f}",
        f"{cost['bytes_per_node']:,.0f}",
        f"{cost['bytes_per_signal_and_node']:,.0f}",
        f"{cost['to_settle']:.2f} s",
        f"{cost['idle_messages_per_minute']:,.0f}",
        f"{cost['idle_bytes_per_minute']:,.0f}",
    ]


if __name__ == "__main__":
    app()
