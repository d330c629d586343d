"""The whole federation side of a node, without the rest of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from mesh.genesis import Mesh
from mesh.wire import Announcement
from orgnode.federation.announcer import Announcer
from orgnode.federation.antientropy import AntiEntropy
from orgnode.federation.client import PeerClient
from orgnode.federation.fetch import together
from orgnode.federation.limits import ClientLimits, Rhythm, ServerLimits
from orgnode.federation.ports import Clock, OnAssessed, Today, Workers
from orgnode.federation.server import FederationServer
from orgnode.federation.sync import LogSync, PeerStatus
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
    """Connects one organization's node to its peers.

    Members' certificates must have been checked against their cards
    (`orgnode.tls.check_certificates`). `assessed(log, entries)` is called after each batch of a
    peer's entries is durable.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        store: Store,
        keystore: KeyStore,
        workers: Workers,
        today: Today,
        clock: Clock = time.time,
        settings: FederationSettings | None = None,
        assessed: OnAssessed | None = None,
    ) -> None:
        settings = settings or FederationSettings()
        peers = mesh.peers_of(name)
        self.clients = {
            card.name: PeerClient(
                card,
                client_context(keystore, card.certificate),
                max_body_bytes=mesh.constraints.max_body_bytes,
                limits=settings.client,
            )
            for card in peers
        }
        self.announcer = Announcer(
            mesh=mesh,
            name=name,
            store=store,
            clients=self.clients,
            workers=workers,
            rhythm=settings.rhythm,
        )
        self.syncs = {
            card.name: LogSync(
                member=card,
                mesh=mesh,
                store=store,
                client=self.clients[card.name],
                workers=workers,
                today=today,
                clock=clock,
                rhythm=settings.rhythm,
                assessed=assessed,
                contact=self.announcer.alive,
            )
            for card in peers
        }
        self.antientropy = AntiEntropy(self.syncs.values(), settings.rhythm)
        self.server = FederationServer(
            mesh=mesh,
            name=name,
            store=store,
            context=server_context(keystore, [card.certificate for card in peers]),
            on_announce=self._on_announce,
            limits=settings.server,
        )

    async def start(self, host: str, port: int) -> None:
        """Listen, then begin to follow and to announce. Raises PortInUseError or ListenError."""
        await self.server.start(host, port)
        self.antientropy.start()
        self.announcer.start()

    async def stop(self, drain: float = 5.0) -> None:
        """End following, announcing, then serving; running exchanges get `drain` seconds."""
        await self.antientropy.stop()
        await self.announcer.stop()
        await self.server.stop(drain)
        await together(*(client.close() for client in self.clients.values()))

    def notify(self, size: int) -> None:
        """The own log has grown to `size`, durable and signed: tell the peers."""
        self.announcer.notify(size)

    def statuses(self) -> tuple[PeerStatus, ...]:
        """How following each peer goes."""
        return tuple(sync.status() for sync in self.syncs.values())

    async def _on_announce(self, member: str, announcement: Announcement) -> int:
        return await self.syncs[member].on_announce(announcement)
