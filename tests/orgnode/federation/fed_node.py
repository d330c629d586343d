"""The whole federation side of a node, without the rest of it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from mesh.genesis import Mesh
from mesh.testing.members import TestMember
from orgnode.federation.hooks import Hooks
from orgnode.federation.httpline import HttpLine
from orgnode.federation.limits import ClientLimits, Rhythm, ServerLimits
from orgnode.federation.ports import Clock, OnAssessed, Today, Workers
from orgnode.federation.replicator import Replicator
from orgnode.federation.server import FederationServer
from orgnode.federation.status import PeerStatus
from orgnode.keystore import KeyStore
from orgnode.store import Store
from orgnode.tls import client_context, server_context


@dataclass(frozen=True)
class FederationSettings:
    """Everything about the federation side that a test may set."""

    server: ServerLimits = field(default_factory=ServerLimits)
    client: ClientLimits = field(default_factory=ClientLimits)
    rhythm: Rhythm = field(default_factory=Rhythm)


class Federation:
    """Connects one organization's node to its peers, as `orgnode.node` does.

    `member` has the keys that sign, `keystore` the one for TLS. `assessed(log, entries)` is called
    after each batch of a peer's entries is durable.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        store: Store,
        member: TestMember,
        keystore: KeyStore,
        workers: Workers,
        today: Today,
        clock: Clock = time.time,
        settings: FederationSettings | None = None,
        assessed: OnAssessed | None = None,
        hooks: Hooks | None = None,
        seed: int = 0,
    ) -> None:
        settings = settings or FederationSettings()
        hooks = hooks or Hooks()
        if assessed is not None:
            hooks.assessed = assessed
        self.replicator = Replicator(
            mesh=mesh,
            name=name,
            identity=member.identity,
            log_signer=member.log_signer(mesh.mesh_id),
            witness_signer=member.witness,
            store=store,
            lines={
                card.name: HttpLine(
                    card, client_context(keystore, card.certificate), limits=settings.client
                )
                for card in mesh.peers_of(name)
            },
            workers=workers,
            today=today,
            clock=clock,
            jitter=random.Random(seed),
            rhythm=settings.rhythm,
            hooks=hooks,
            limits=settings.client,
            server_limits=settings.server,
        )
        self.server = FederationServer(
            mesh=mesh,
            name=name,
            service=self.replicator.service,
            context=server_context(keystore, [card.certificate for card in mesh.peers_of(name)]),
            limits=settings.server,
        )

    async def start(self, host: str, port: int) -> None:
        """Listen, then begin. Raises PortInUseError or ListenError."""
        await self.server.start(host, port)
        await self.replicator.start()

    async def stop(self, drain: float = 5.0) -> None:
        """End replicating, then serving; running exchanges get `drain` seconds."""
        await self.replicator.drain()
        await self.replicator.stop()
        await self.server.stop(drain)

    def statuses(self) -> tuple[PeerStatus, ...]:
        """How it goes with each peer."""
        return tuple(self.replicator.peers())
