"""Members' offices: a store, a seat, a TLS server and an evaluator each, as in a node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from fed_support import HOST, World, handlers, make_world

from mesh.days import Day
from mesh.evaluation import EvaluationRequest, open_request
from mesh.testing import TODAY
from orgnode.evaluating import Evaluator, SeatService
from orgnode.federation import (
    ClientLimits,
    FederationServer,
    FederationService,
    PeerClient,
    ServerLimits,
)
from orgnode.metrics import Metrics
from orgnode.store import SqliteStore
from orgnode.workers import Workers

# Long enough for a busy machine; a test that waits for it fails.
PATIENT = 20.0
Answering = Callable[[str, bytes], Awaitable[bytes]]


def world_of(directory: Path, members: int, *, seats: int, budget: int | None = None) -> World:
    """A mesh in which the first members by name have a seat."""
    from mesh.testing import founders

    names = sorted(one.name for one in founders(members))[:seats]

    def adjust(constraints: Any) -> Any:
        changes = {} if budget is None else {"evaluation_budget": budget}
        return constraints.model_copy(update=changes)

    return make_world(directory, members, seats=names, adjust=adjust)


def windows(count: int, label: str = "window") -> list[bytes]:
    """Inputs as `mesh.fingerprint` makes them: 32 bytes each."""
    return [sha256(f"{label} {place}".encode()).digest() for place in range(count)]


@dataclass
class Office:
    """One member's part in evaluating."""

    name: str
    store: SqliteStore
    seat: SeatService | None
    server: FederationServer | None = None
    metrics: Metrics = field(default_factory=Metrics)
    notes: list[bytes] = field(default_factory=list)
    """Every request that reached it."""
    answering: Answering | None = None
    """What answers in place of the seat."""
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """The test is over."""

    async def answer(self, peer: str, note: bytes) -> bytes:
        self.notes.append(note)
        if self.answering is not None:
            return await self.answering(peer, note)
        assert self.seat is not None
        return await self.seat.answer(peer, note)


class Offices:
    """The offices of a world's members. `day` is what all of their calendars say."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self.day = TODAY
        self.workers = Workers(1, world.mesh.note)
        self.at: dict[int, Office] = {}
        self._directory = directory
        self._clients: list[PeerClient] = []

    async def __aenter__(self) -> Offices:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for office in self.at.values():
            office.closing.set()
        for client in self._clients:
            await client.close()
        for place in list(self.at):
            await self.close(place)
        await self.workers.close()

    def today(self) -> Day:
        return self.day

    @property
    def threshold(self) -> int:
        return self.world.test_mesh.committee.threshold

    async def open(self, place: int, limits: ServerLimits | None = None) -> Office:
        """Open a member's office, on the store that it left when it was open before."""
        office = self._furnish(place)
        seat = office.seat
        office.server = FederationServer(
            mesh=self.world.mesh,
            name=office.name,
            service=FederationService(
                mesh=self.world.mesh,
                name=office.name,
                store=office.store,
                handlers=handlers(
                    evaluate=None if seat is None else office.answer,
                    counts=None if seat is None else lambda: seat.counts_note(),
                ),
                limits=limits,
            ),
            context=self.world.server_context(place),
        )
        await office.server.start(HOST, 0)
        return office

    def _furnish(self, place: int) -> Office:
        name = self.world.name(place)
        store = SqliteStore.open(
            self._directory / f"{name}.db", name=name, mesh_id=self.world.mesh.mesh_id
        )
        share = self.world.test_mesh.shares.get(name)
        office = self.at[place] = Office(name, store, None)
        if share is not None:
            office.seat = SeatService(
                mesh=self.world.mesh,
                name=name,
                signer=self.world.test_mesh.member(place).identity,
                share=share,
                store=store,
                workers=self.workers,
                today=self.today,
                metrics=office.metrics,
            )
        return office

    async def close(self, place: int) -> None:
        office = self.at.pop(place)
        if office.server is not None:
            await office.server.stop(drain=0.2)
        office.store.close()

    async def shut(self, place: int) -> None:
        """Stop serving, but stay there: connections are refused from now on."""
        server = self.at[place].server
        assert server is not None
        await server.stop(drain=0.2)
        self.at[place].server = None

    def client(self, place: int, to: int, **limits: Any) -> PeerClient:
        """A line to another member; to nowhere if it does not serve."""
        server = self.at[to].server if to in self.at else None
        card = self.world.card(to)
        port = card.port if server is None else server.port
        line = self.world.client(place, to, port, ClientLimits(**limits))
        self._clients.append(line)
        return line

    def evaluator(
        self, place: int, *, metrics: Metrics | None = None, **settings: Any
    ) -> Evaluator:
        """A member's evaluator; unless told so, it hedges only what takes too long for a test."""
        office = self.at[place] if place in self.at else self._furnish(place)
        others = [other for other in range(len(self.world.mesh.members)) if other != place]
        return Evaluator(
            mesh=self.world.mesh,
            name=office.name,
            identity=self.world.test_mesh.member(place).identity,
            clients={self.world.name(other): self.client(place, other) for other in others},
            seat=office.seat,
            store=office.store,
            workers=self.workers,
            today=self.today,
            metrics=metrics or Metrics(),
            **{"patience": PATIENT, **settings},
        )

    def asked(self) -> dict[str, int]:
        """How many requests reached each office."""
        return {office.name: len(office.notes) for office in self.at.values() if office.seat}

    def requests(self) -> list[EvaluationRequest]:
        """All requests that reached anybody."""
        notes = [note for office in self.at.values() for note in office.notes]
        return [open_request(self.world.mesh, note, self.day, 1) for note in notes]


def counted(metrics: Metrics, name: str, **labels: str) -> float:
    """A sample of a metric; 0 if there is none."""
    return metrics.registry.get_sample_value(name, labels) or 0.0
