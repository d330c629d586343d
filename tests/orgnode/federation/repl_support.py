"""Replicators in one event loop, joined by lines in memory, each with a real store."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from mesh.assessment import Assessed
from mesh.claims import verify_claims
from mesh.days import Day
from mesh.entry import Kind
from mesh.evidence import Evidence
from mesh.retraction import compose_retraction, parse_retraction
from mesh.sighting import compose_sighting, parse_sighting
from mesh.signal import parse_signal
from mesh.testing.members import TestMesh, make_mesh
from mesh.testing.orglog import TODAY, OrgLog
from mesh.testing.signals import SignalPool
from mesh.wire import Present
from orgnode.federation.errors import PeerTimeoutError, PeerUnreachableError
from orgnode.federation.hooks import Hooks
from orgnode.federation.limits import ClientLimits, Rhythm, ServerLimits
from orgnode.federation.replicator import Replicator
from orgnode.federation.reply import Reply, body_reader, unwrap
from orgnode.ownlog import Draft
from orgnode.store.sqlite import SqliteStore
from proofs.errors import ProofsError

QUICK = Rhythm(
    gossip=(0.03, 0.06),
    backoff=0.02,
    backoff_cap=0.1,
    patience=0.5,
    body_pause=0.02,
    round_timeout=0.15,
    round_timeout_cap=1.0,
    push_pause=0.02,
    behind_alert=0.3,
)
"""Everything soon, so that no test waits long for anything."""

SLOW_GOSSIP = (1000.0, 1000.0)


class InlineWorkers:
    """Real verification, on the event loop."""

    async def verify(self, claims: Sequence[Any]) -> list[ProofsError | None]:
        return verify_claims(claims, bytes(32)) if claims else []

    async def run(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    heavy = run


@dataclass(frozen=True)
class Asked:
    """One request that went over a line."""

    asker: str
    peer: str
    method: str
    path: str
    body: bytes = field(repr=False)


Answer = Reply | None
Meddler = Callable[[Asked], "Answer | Awaitable[Answer]"]


class Network:
    """Carries requests between the nodes that run; `meddle` may answer, delay or raise instead."""

    def __init__(self) -> None:
        self.services: dict[str, Any] = {}
        self.cut: set[tuple[str, str]] = set()
        self.asked: list[Asked] = []
        self.meddlers: list[Meddler] = []

    def split(self, one: Sequence[str], other: Sequence[str]) -> None:
        """Nothing passes between the two sides any more."""
        for a, b in itertools.product(one, other):
            self.cut |= {(a, b), (b, a)}

    def heal(self) -> None:
        """Everything passes again."""
        self.cut.clear()

    def paths(self, start: int = 0) -> list[str]:
        """`asker>peer what` of all requests since, without the common prefix."""
        return [
            f"{one.asker.partition('.')[0]}>{one.peer.partition('.')[0]} "
            f"{one.path.removeprefix('/federation/v1/')}"
            for one in self.asked[start:]
        ]


@dataclass
class MemoryLine:
    """A line from one member to another: asks its service, without sockets."""

    net: Network
    asker: str
    peer: str

    async def ask(
        self,
        method: str,
        path: str,
        *,
        cap: int,
        deadline: float,
        body: bytes | None = None,
        evaluation: bool = False,
    ) -> bytes:
        net, asked = self.net, Asked(self.asker, self.peer, method, path, body or b"")
        net.asked.append(asked)
        try:
            async with asyncio.timeout(deadline):
                for meddler in list(net.meddlers):
                    reply = meddler(asked)
                    if inspect.isawaitable(reply):
                        reply = await reply
                    if reply is not None:
                        return unwrap(self.peer, reply, cap)
                service = net.services.get(self.peer)
                if service is None or (self.asker, self.peer) in net.cut:
                    raise PeerUnreachableError(f"{self.peer} is not there")
                reply = await service.answer(self.asker, method, path, body_reader(body))
        except TimeoutError as error:
            raise PeerTimeoutError(f"{self.peer} is slow") from error
        return unwrap(self.peer, reply, cap)

    async def close(self) -> None:
        return None


@dataclass
class Told:
    """What a node's hooks were told."""

    grown: list[int] = field(default_factory=list)
    assessed: list[tuple[str, int]] = field(default_factory=list)
    certified: list[tuple[str, int]] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    alerts: dict[tuple[str, str], str] = field(default_factory=dict)

    def hooks(self) -> Hooks:
        def assessed(member: str, entries: Sequence[Assessed]) -> None:
            self.assessed += [(member, entry.index) for entry in entries]

        return Hooks(
            grown=self.grown.append,
            assessed=assessed,
            certified=lambda log, size: self.certified.append((log, size)),
            evidence=self.evidence.append,
            alert=lambda kind, subject, detail: self.alerts.update({(kind, subject): detail}),
            calm=lambda kind, subject: self.alerts.pop((kind, subject), None) and None,
        )

    def kinds(self) -> set[str]:
        return {kind for kind, _ in self.alerts}


@dataclass
class Node:
    """One organization's replicator on its store."""

    mesh: TestMesh
    name: str
    store: SqliteStore
    replicator: Replicator
    told: Told
    pool: SignalPool
    numbers: Any = field(default_factory=itertools.count)

    async def publish(self, count: int = 1) -> list[str]:
        """Append so many cheap entries (sightings of nothing); returns their ids."""
        drafts = [self.sighting() for _ in range(count)]
        placed = await asyncio.gather(*(self.replicator.own_log.append(one) for one in drafts))
        return [one.entry_id for one in placed]

    def sighting(self) -> Draft:
        number = next(self.numbers)
        target = sha256(f"{self.name} {number}".encode()).hexdigest()
        body = compose_sighting(target, "confirm")
        return Draft(Kind.SIGHTING, Day(TODAY + 30), body, sighting=parse_sighting(body))

    async def signal(self, number: int = 0) -> str:
        """Append a real signal; returns its id."""
        made = self.pool[number]
        draft = Draft(
            Kind.SIGNAL, Day(TODAY + 30), made.body, made.salt, signal=parse_signal(made.body)
        )
        return (await self.replicator.own_log.append(draft)).entry_id

    async def retract(self, target: str) -> str:
        """Append a retraction of an own signal; returns its id."""
        body = compose_retraction(target, "mistake")
        draft = Draft(Kind.RETRACTION, Day(TODAY + 60), body, retraction=parse_retraction(body))
        return (await self.replicator.own_log.append(draft)).entry_id

    def holds(self, log: str) -> int:
        return self.store.state(log).size

    def certified(self, log: str) -> int:
        return self.store.certified_size(log)

    @property
    def size(self) -> int:
        return self.holds(self.name)


class Cluster:
    """A mesh's nodes: started, stopped, restarted, put back to an older disk."""

    def __init__(
        self,
        directory: Path,
        members: int = 4,
        *,
        rhythm: Rhythm = QUICK,
        clock: Callable[[], float] = time.time,
        mesh: TestMesh | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        self.mesh = mesh or make_mesh(members)
        self.net = Network()
        self.rhythm = rhythm
        self.clock = clock
        self.limits = limits or ClientLimits(short=1.0, long=1.0)
        self.nodes: dict[str, Node] = {}
        self._directory = directory
        self._pools: dict[str, SignalPool] = {}
        self._numbers: dict[str, Any] = {}

    def name(self, place: int) -> str:
        return self.mesh.members[place].name

    @property
    def names(self) -> list[str]:
        return [member.name for member in self.mesh.members]

    def path(self, place: int) -> Path:
        return self._directory / f"{self.name(place)}.db"

    def log(self, place: int, entries: int = 0) -> OrgLog:
        """A log of this member outside of its node, to play it with."""
        log = OrgLog(self.mesh, place)
        for number in range(entries):
            log.append_sighting(sha256(f"play {number}".encode()).hexdigest())
        return log

    def open_store(self, place: int) -> SqliteStore:
        return SqliteStore.open(
            self.path(place), name=self.name(place), mesh_id=self.mesh.mesh.mesh_id
        )

    def build(self, place: int, store: SqliteStore | None = None, **changes: Any) -> Node:
        """A node that is not started yet."""
        name = self.name(place)
        member = self.mesh.members[place]
        store = store or self.open_store(place)
        told = Told()
        settings: dict[str, Any] = {
            "mesh": self.mesh.mesh,
            "name": name,
            "identity": member.identity,
            "log_signer": member.log_signer(self.mesh.mesh.mesh_id),
            "witness_signer": member.witness,
            "store": store,
            "lines": {
                peer.name: MemoryLine(self.net, name, peer.name)
                for peer in self.mesh.mesh.peers_of(name)
            },
            "workers": InlineWorkers(),
            "today": lambda: TODAY,
            "clock": self.clock,
            "jitter": random.Random(place),
            "rhythm": self.rhythm,
            "hooks": told.hooks(),
            "limits": self.limits,
            # Tests gossip all the time.
            "server_limits": ServerLimits(gossip_rate=1000.0, gossip_burst=1000),
        }
        replicator = Replicator(**{**settings, **changes})
        pool = self._pools.setdefault(name, SignalPool(self.mesh.mesh, name))
        numbers = self._numbers.setdefault(name, itertools.count())
        return Node(self.mesh, name, store, replicator, told, pool, numbers)

    async def start(self, place: int, *, ready: bool = True, **changes: Any) -> Node:
        """Start a node (again); with `ready`, wait until it signs."""
        node = self.build(place, **changes)
        self.nodes[node.name] = node
        await node.replicator.start()
        self.net.services[node.name] = node.replicator.service
        if ready:
            await self.ready(node)
        return node

    async def start_all(self, *places: int) -> list[Node]:
        chosen = places or tuple(range(len(self.mesh.members)))
        nodes = [await self.start(place, ready=False) for place in chosen]
        for node in nodes:
            await self.ready(node)
        return nodes

    async def ready(self, node: Node) -> None:
        async with asyncio.timeout(10):
            await node.replicator.recovery.done.wait()

    async def stop(self, place: int) -> None:
        """Stop a node; its disk stays."""
        name = self.name(place)
        self.net.services.pop(name, None)
        node = self.nodes.pop(name)
        await node.replicator.stop()
        node.store.close()

    async def close(self) -> None:
        for name in list(self.nodes):
            await self.stop(self.names.index(name))


@asynccontextmanager
async def running(directory: Path, members: int = 4, **settings: Any) -> AsyncIterator[Cluster]:
    """A cluster of which nothing runs yet; whatever runs at the end is stopped."""
    cluster = Cluster(directory, members, **settings)
    try:
        yield cluster
    finally:
        await cluster.close()


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until a condition holds; fails the test if it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def present(log: OrgLog, index: int) -> Present:
    answer = log.answers[index]
    assert isinstance(answer, Present)
    return answer
