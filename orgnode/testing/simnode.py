"""One simulated node: the production `Replicator` and SQLite store, on a virtual clock.

What is simulated: time, the network, when a write becomes durable, and the verdict on the proofs of
signals (pure arithmetic with tests of its own). All else is what a real node runs: entries,
checkpoints and cosignatures are signed and verified with Ed25519, every request is encoded and
decoded, and every write is SQL.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any, ParamSpec, Protocol, TypeVar

from mesh.assessment import Assessed
from mesh.claims import Claim
from mesh.days import Day, day_of
from mesh.evidence import Evidence
from mesh.testing.members import TestMember, TestMesh
from mesh.testing.network import SimNetwork
from mesh.testing.virtualtime import Clock, Machine, VirtualLoop
from orgnode.federation.hooks import Hooks
from orgnode.federation.limits import ClientLimits, Rhythm
from orgnode.federation.ports import Line
from orgnode.federation.replicator import Replicator
from orgnode.federation.reply import Reply
from orgnode.store import SqliteStore, StoreError
from orgnode.testing.simdatabase import database, make_reusable
from orgnode.testing.simdisk import SimDisk
from orgnode.testing.simline import SimLine, SimRequest, answer
from orgnode.testing.simstore import NOWHERE, SimStore
from proofs.errors import ProofsError
from proofs.note import Signer

P = ParamSpec("P")
T = TypeVar("T")

_RESTART_AFTER = 1.0
_HOUSEKEEPING = 10.0
_MOMENT = 0.01
# Tasks of the simulation's own, and answers that are on their way: their lines are cut.
_EXPECTED_LEFT = frozenset({"house", "serve", "stop"})

RHYTHM = Rhythm(backoff_cap=8.0, body_pause=1.0)
"""As in production, but for the longest pauses: a run lasts a minute."""

LIMITS = ClientLimits(short=2.0, long=6.0)
"""Deadlines of a run: a lost message is noticed before the run is over."""


class FalseClaimError(ProofsError):
    """A signal's proofs do not hold: the simulation made it so."""


class Observer(Protocol):
    """Who is told what nodes make of the mesh."""

    def certified(self, node: SimNode, log: str, size: int) -> None:
        """The first `size` entries of a log are certified at a node."""
        ...

    def convicted(self, node: SimNode, evidence: Evidence) -> None:
        """A node found or read evidence."""
        ...

    def assessed(self, node: SimNode, log: str, entries: Sequence[Assessed]) -> None:
        """A node stored entries."""
        ...

    def alerted(self, node: SimNode, kind: str, subject: str, detail: str) -> None:
        """A node thinks that a person should know."""
        ...

    def expired(self, node: SimNode, erased: int) -> None:
        """A node erased what had expired by its own clock."""
        ...


class SimWorkers:
    """`Workers` without threads, whose verdict on signals' proofs is known beforehand.

    :param false: salts of the signals whose proofs do not hold.
    """

    def __init__(self, false: frozenset[bytes] = frozenset()) -> None:
        self._false = false

    async def verify(self, claims: Sequence[Claim]) -> list[ProofsError | None]:
        """The verdicts, at once."""
        return [self._verdict(claim) for claim in claims]

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it, at once."""
        return fn(*args, **kwargs)

    heavy = run

    def _verdict(self, claim: Claim) -> ProofsError | None:
        return FalseClaimError("made false") if claim.proof in self._false else None


@dataclass(frozen=True)
class SimWorld:
    """What all nodes of a run share."""

    mesh: TestMesh
    loop: VirtualLoop
    network: SimNetwork
    epoch: float
    """What the clocks show at the start, in seconds since 1970-01-01 UTC."""
    false_proofs: frozenset[bytes] = frozenset()
    rhythm: Rhythm = RHYTHM
    limits: ClientLimits = LIMITS


@dataclass
class Parts:
    """What a node is put together from. A planted bug or a liar may swap one."""

    identity: Signer
    log: Signer
    witness: Signer
    lines: dict[str, Line] = field(default_factory=dict)
    replicator: type[Replicator] = Replicator


class SimNode:
    """A node with its disk. `start` and `crash` as often as you like.

    :param rng: of everything random at this node.
    """

    def __init__(
        self,
        world: SimWorld,
        member: TestMember,
        rng: Random,
        observer: Observer,
        *,
        place: str = "",
    ) -> None:
        self.world = world
        self.member = member
        self.name = member.name
        self.place = place or member.name
        """Where it is in the network: twins of one name have two places."""
        self.clock = Clock(world.loop, world.epoch)
        blank = blank_database(self.name, world.mesh.mesh.mesh_id)
        self.disk = SimDisk(world.loop, Random(rng.getrandbits(64)), blank)  # noqa: S311
        self.starts = 0
        self.up = False
        self.store: SqliteStore
        self.replicator: Replicator
        self.machine = self.new_machine()
        self._answering = 0
        self._rng = rng
        self._observer = observer

    # --- life

    def start(self) -> None:
        """Power on: open the database and begin."""
        assert not self.up
        self.up = True
        self.starts += 1
        self._answering = 0
        self.machine = self.new_machine()
        self.store = SimStore.open(
            NOWHERE,
            name=self.name,
            mesh_id=self.world.mesh.mesh.mesh_id,
            clock=self.clock,
            writer=self.disk.writer,
            connect=self.disk.connect,
            synchronous="OFF",  # the simulated disk says what is durable, and when
        )
        self.replicator = self._assemble()
        self.world.network.attach(self.place, self.machine, self.serve)
        self.machine.start(self._boot(), "boot")
        self.machine.start(self._keep_house(), "house")

    def crash(self) -> None:
        """Power off. What is on the disk stays."""
        if not self.up:
            return
        self.up = False
        self.machine.kill()
        self.disk.crash()
        self.store.abandon()
        self.world.network.detach(self.place)

    async def stop(self) -> int:
        """Shut down in order, as SIGTERM has it; returns how many tasks are left behind.

        Call it in a task of the node's machine.
        """
        machine = self.machine
        self.world.network.detach(self.place)
        await self.replicator.drain()
        await self.replicator.stop()
        while self._answering:  # noqa: ASYNC110 - the clock is a virtual one
            await asyncio.sleep(_MOMENT)
        self.store.close()
        self.up = False
        left = self.world.loop.tasks_of(machine, but=_EXPECTED_LEFT)
        machine.kill()
        return left

    def close(self) -> None:
        """End of the run: give the files back."""
        if self.up:
            self.up = False
            self.machine.kill()
            self.store.abandon()
        self.disk.close()

    @property
    def ready(self) -> bool:
        """Whether the own log takes entries."""
        return self.up and self.replicator.recovery.done.is_set()

    async def _keep_house(self) -> None:
        """Erase what has expired by the node's own clock, as a node does every so often."""
        while True:
            await asyncio.sleep(_HOUSEKEEPING)
            with suppress(StoreError):
                erased = await self.store.expire(self.today())
                self._observer.expired(self, erased)

    async def _boot(self) -> None:
        try:
            await self.replicator.start()
        except StoreError:
            # A process that can't write its database ends, and whatever watches it starts another.
            self.world.loop.call_later(_RESTART_AFTER, self._reboot, self.machine)

    def _reboot(self, failed: Machine) -> None:
        if self.up and self.machine is failed:
            self.crash()
            self.start()

    # --- what it is made of

    def new_machine(self) -> Machine:
        """What runs the node from one start to the next crash."""
        return Machine(self.place, self.world.loop)

    async def serve(self, sender: str, request: SimRequest) -> Reply:
        """Answer a request from another place in the network."""
        self._answering += 1
        try:
            return await answer(self.replicator.service, sender, request)
        finally:
            self._answering -= 1

    def line(self, peer: str) -> Line:
        """The way to a peer."""
        return SimLine(self.world.network, self.name, peer)

    def parts(self) -> Parts:
        """Keys and lines."""
        mesh = self.world.mesh.mesh
        return Parts(
            identity=self.member.identity,
            log=self.member.log_signer(mesh.mesh_id),
            witness=self.member.witness,
            lines={card.name: self.line(card.name) for card in mesh.peers_of(self.name)},
        )

    def today(self) -> Day:
        """The day by the node's own clock."""
        return day_of(self.clock())

    def _assemble(self) -> Replicator:
        parts, world = self.parts(), self.world
        observer = self._observer
        rng = Random(self._rng.getrandbits(64))  # noqa: S311 - simulation
        return parts.replicator(
            mesh=world.mesh.mesh,
            name=self.name,
            identity=parts.identity,
            log_signer=parts.log,
            witness_signer=parts.witness,
            store=self.store,
            lines=parts.lines,
            workers=SimWorkers(world.false_proofs),
            today=self.today,
            clock=self.clock,
            jitter=rng,
            entropy=rng.randbytes,
            rhythm=world.rhythm,
            limits=world.limits,
            hooks=Hooks(
                certified=lambda log, size: observer.certified(self, log, size),
                evidence=lambda evidence: observer.convicted(self, evidence),
                assessed=lambda log, entries: observer.assessed(self, log, entries),
                alert=lambda kind, subject, detail: observer.alerted(self, kind, subject, detail),
            ),
        )


@lru_cache(maxsize=1_024)
def blank_database(name: str, mesh_id: str) -> bytes:
    """The database of a node that has never run; made once, for migrations take milliseconds."""

    def unused(connection: sqlite3.Connection) -> Any:
        return connection

    with closing(database()) as blank:
        SqliteStore.open(
            NOWHERE,
            name=name,
            mesh_id=mesh_id,
            clock=lambda: 0.0,
            writer=unused,
            connect=lambda _: blank,
            synchronous="OFF",
        )
        make_reusable(blank)
        return blank.serialize()
