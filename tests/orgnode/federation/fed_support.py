"""A mesh whose members have real TLS keys, and nodes' parts wired for tests."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fed_maverick import Answer, Reply

from mesh.assessment import assess
from mesh.claims import verify_claims
from mesh.following import FollowerState
from mesh.member import MemberCard
from mesh.testing.members import TestMesh, found, founder
from mesh.testing.orglog import TODAY, OrgLog
from mesh.wire import Announcement, encode_bodies
from orgnode.federation import (
    ClientLimits,
    FederationServer,
    FederationService,
    Handlers,
    HttpLine,
    PeerClient,
    Rhythm,
    ServerLimits,
)
from orgnode.keystore import KeyStore
from orgnode.store import LogRow, Store
from orgnode.tls import client_context, server_context
from proofs.errors import ProofsError

if TYPE_CHECKING:
    from fed_node import Federation, FederationSettings

HOST = "127.0.0.1"
QUICK = ClientLimits(short=0.6, long=0.6)
FAST = Rhythm(gossip=(0.02, 0.05), backoff=0.02, backoff_cap=0.1, patience=0.5, body_pause=0.0)


class DirectWorkers:
    """Real verification, in threads of this process."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    async def verify(self, claims: Sequence[Any]) -> list[ProofsError | None]:
        self.batches.append(len(claims))
        if not claims:
            return []
        return await asyncio.to_thread(verify_claims, claims, os.urandom(32))

    async def run(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(fn, *args, **kwargs)

    heavy = run


@dataclass(frozen=True)
class World:
    """A founded mesh, every member's keys, and the keys of somebody who is no member."""

    test_mesh: TestMesh
    keystores: dict[str, KeyStore]
    stranger: KeyStore

    @property
    def mesh(self) -> Any:
        return self.test_mesh.mesh

    def name(self, place: int) -> str:
        return self.test_mesh.member(place).name

    def card(self, place: int, port: int | None = None) -> MemberCard:
        card = self.test_mesh.member(place).card
        return card if port is None else card.model_copy(update={"port": port})

    def server_context(self, place: int) -> ssl.SSLContext:
        own = self.name(place)
        return server_context(
            self.keystores[own], [c.certificate for c in self.mesh.members if c.name != own]
        )

    def client_context(self, place: int, to: int) -> ssl.SSLContext:
        return client_context(self.keystores[self.name(place)], self.card(to).certificate)

    def client(
        self, place: int, to: int, port: int, limits: ClientLimits = QUICK, **changes: Any
    ) -> PeerClient:
        """What one member asks of another one's port."""
        card = self.card(to, port)
        context = changes.get("context") or self.client_context(place, to)
        return PeerClient(
            card,
            HttpLine(card, context, limits=limits),
            max_body_bytes=self.mesh.constraints.max_body_bytes,
            limits=limits,
        )

    def log(self, place: int, entries: int = 0) -> OrgLog:
        log = OrgLog(self.test_mesh, place)
        log.append_signals(entries)
        return log


def make_world(directory: Path, members: int, **founding: Any) -> World:
    """Found a mesh with real certificates and with ports that are free right now.

    `founding` goes to `mesh.testing.found`.
    """
    founders, keystores = [], {}
    for place, port in enumerate(free_ports(members)):
        name = founder(place).name
        keys = KeyStore.create(_directory(directory / name), name)
        keystores[name] = keys
        founders.append(
            founder(place, port=port, certificate=(keys.certificate, keys.transport_pin))
        )
    stranger = KeyStore.create(_directory(directory / "stranger"), founders[0].name)
    return World(found(founders, **founding), keystores, stranger)


async def nobody(*asked: object) -> Any:
    """A handler that should not be reached."""
    raise AssertionError(f"this request should not have come through: {asked[0]}")


def handlers(**changes: Any) -> Handlers:
    """Handlers of which only those in `changes` may be reached."""
    refusing: dict[str, Any] = {
        "announce": nobody,
        "add_checkpoint": nobody,
        "gossip": nobody,
        "receipt": nobody,
    }
    return Handlers(**{**refusing, **changes})


def make_service(
    world: World,
    store: Store,
    limits: ServerLimits | None = None,
    *,
    clock: Callable[[], float] | None = None,
    **answering: Any,
) -> FederationService:
    """What member 0 answers. `answering`: the handlers that may be reached."""
    return FederationService(
        mesh=world.mesh,
        name=world.name(0),
        store=store,
        handlers=handlers(**answering),
        limits=limits,
        clock=clock,
    )


def make_server(
    world: World,
    store: Store,
    limits: ServerLimits | None = None,
    *,
    context: ssl.SSLContext | None = None,
    **answering: Any,
) -> FederationServer:
    """Member 0's server, not started yet."""
    return FederationServer(
        mesh=world.mesh,
        name=world.name(0),
        service=make_service(world, store, limits, **answering),
        context=context or world.server_context(0),
    )


@asynccontextmanager
async def serving(
    world: World,
    store: Store,
    on_announce: Callable[[str, Announcement], Any] = nobody,
    limits: ServerLimits | None = None,
    *,
    context: ssl.SSLContext | None = None,
    **answering: Any,
) -> AsyncIterator[FederationServer]:
    """Member 0's server, listening. `answering`: further handlers that may be reached."""
    server = make_server(world, store, limits, context=context, announce=on_announce, **answering)
    await server.start(HOST, 0)
    try:
        yield server
    finally:
        await server.stop(drain=0.5)


def _directory(path: Path) -> Path:
    path.mkdir(parents=True, mode=0o700)
    return path


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


async def publish(store: Store, log: OrgLog) -> int:
    """Bring the store's copy of its own log up to the OrgLog, as one commit."""
    state = store.state(log.name)
    rows = [
        LogRow.of(assess(log.mesh, log.member.card, index, note, answer, TODAY))
        for index, (note, answer) in enumerate(zip(log.notes, log.answers, strict=True))
        if index >= state.size
    ]
    done = FollowerState(log.size, log.frontier(), checkpoint=log.checkpoint())
    if rows:
        await store.commit_segment(log.name, state.size, rows, done)
    else:
        await store.save_state(log.name, done)
    return log.size


def honest(log: OrgLog) -> Answer:
    """Answers as a true node does, from an OrgLog."""

    def answer(method: str, path: str, body: bytes) -> Reply | bytes | None:
        prefix = f"/federation/v1/logs/{log.name}/"
        if not path.startswith(prefix):
            return None
        parts = path.removeprefix(prefix).replace(".p/", "/p").split("/")
        if parts == ["checkpoint"]:
            return log.checkpoint()
        if parts[0] == "bodies":
            return encode_bodies(log.bodies(int(parts[1]), int(parts[2])))
        width = int(parts.pop()[1:]) if parts[-1].startswith("p") else 256
        index = int("".join(part.removeprefix("x") for part in parts[2:]))
        if parts[1] == "entries":
            return log.bundle(index, width)
        return log.tile(int(parts[1]), index, width)

    return answer


def lying(log: OrgLog, **lies: Callable[[str], Reply | bytes | None]) -> Answer:
    """Honest, but for paths that contain a lie's name (checkpoint, bodies, entries, tile)."""
    truth = honest(log)

    def answer(method: str, path: str, body: bytes) -> Reply | bytes | None:
        for part, lie in lies.items():
            if f"/{part}/" in f"{path}/" and not (part == "tile" and "/entries/" in path):
                return lie(path)
        return truth(method, path, body)

    return answer


def make_federation(
    world: World,
    place: int,
    store: Store,
    *,
    rhythm: Rhythm = FAST,
    settings: FederationSettings | None = None,
    **more: Any,
) -> Federation:
    """The federation side of one member's node."""
    from fed_node import Federation, FederationSettings

    return Federation(
        mesh=world.mesh,
        name=world.name(place),
        store=store,
        member=world.test_mesh.member(place),
        keystore=world.keystores[world.name(place)],
        workers=more.pop("workers", None) or DirectWorkers(),
        today=lambda: TODAY,
        settings=replace(settings or FederationSettings(), rhythm=rhythm),
        **more,
    )


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until a condition holds; fails the test if it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def raw_connection(
    port: int, context: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TLS connection to do strange things with."""
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
