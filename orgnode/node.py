"""One running org node: its parts, how they are wired, and how they start and stop.

    local API ── publisher ── own log ─┐
        │ │          └── vault, promoter├── store (SQLite)
        │ checker ── evaluator ────────┤
      feed hub ────────────────────────┤
    federation server ── log syncs ────┘   announcer, anti-entropy, evaluator: to the peers
           └── committee seat

Parts start from the disk outwards and stop in the opposite order, so that nothing is acknowledged
that has nowhere to go. Draining refuses new incidents, writes those that were accepted, says
goodbye to subscribers, and only then closes the store.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog

from mesh.assessment import Assessed
from mesh.days import Day
from mesh.genesis import Mesh
from mesh.wire import Announcement
from orgnode.api import ApiOptions, LocalServer, PeerStatus, Readiness, build_app
from orgnode.checking import Checker
from orgnode.config import NodeConfig, load_config
from orgnode.datadir import DataDir, RunInfo
from orgnode.errors import OrgnodeError
from orgnode.evaluating import Evaluator, SeatService
from orgnode.federation.announcer import Announcer
from orgnode.federation.antientropy import AntiEntropy
from orgnode.federation.client import PeerClient
from orgnode.federation.limits import Rhythm
from orgnode.federation.server import FederationServer
from orgnode.federation.sync import LogSync
from orgnode.feed import FeedHub
from orgnode.keystore import KeyStore
from orgnode.material import Material, load_material, load_mesh
from orgnode.metrics import Metrics
from orgnode.ownlog import OwnLog
from orgnode.promoting import Promoter
from orgnode.publisher import Publisher
from orgnode.store.sqlite import SqliteStore
from orgnode.tls import client_context, server_context
from orgnode.vault import Vault
from orgnode.workers import Workers

log = structlog.get_logger(__name__)

SECONDS_A_DAY = 86_400
# How often expired content is looked for; the day is what matters, not the minute.
HOUSEKEEPING_SECONDS = 600.0
# Days for which the committee's counts of evaluations are kept.
CHARGE_DAYS = 30
# Connections to the local API at a time, besides the feed's subscribers.
OTHER_CONNECTIONS = 512


def today() -> Day:
    """The current day, UTC."""
    return Day(int(time.time()) // SECONDS_A_DAY)


class Node:
    """A node's parts. `async with Node.open(datadir) as (node, info):`; leaving drains it."""

    def __init__(
        self,
        config: NodeConfig,
        material: Material,
        mesh: Mesh,
        store: SqliteStore,
    ) -> None:
        name = config.name
        keystore = material.keystore
        self.config = config
        self.mesh = mesh
        self.name = name
        self.store = store
        self.metrics = Metrics()
        self.started = time.time()
        self.feed = FeedHub(store, self.metrics, max_subscribers=config.max_subscribers)
        self.vault = Vault(store, keystore.vault_key, retention_days=config.retention_days)
        self.workers = Workers(
            config.prove_workers, mesh.note, verified=self.metrics.verify_batch_seconds.observe
        )
        self._stopping = False

        rhythm = Rhythm(poll=config.poll_interval)
        self._clients = {
            card.name: PeerClient(
                card,
                client_context(keystore, card.certificate),
                max_body_bytes=mesh.constraints.max_body_bytes,
            )
            for card in mesh.peers_of(name)
        }
        self.announcer = Announcer(
            mesh=mesh,
            name=name,
            store=store,
            clients=self._clients,
            workers=self.workers,
            rhythm=rhythm,
        )
        self.syncs = {
            card.name: LogSync(
                member=card,
                mesh=mesh,
                store=store,
                client=self._clients[card.name],
                workers=self.workers,
                today=today,
                rhythm=rhythm,
                assessed=self._assessed,
                contact=self.announcer.alive,
            )
            for card in mesh.peers_of(name)
        }
        self.antientropy = AntiEntropy(self.syncs.values(), rhythm)
        self.own_log = OwnLog(
            mesh, name, store, keystore.identity, keystore.log(mesh.mesh_id), today, self._grown
        )
        self.policy = material.policy
        self.seat = (
            None
            if material.share is None
            else SeatService(
                mesh=mesh,
                name=name,
                signer=keystore.identity,
                share=material.share,
                store=store,
                workers=self.workers,
                today=today,
                metrics=self.metrics,
            )
        )
        self.evaluator = Evaluator(
            mesh=mesh,
            name=name,
            identity=keystore.identity,
            clients=self._clients,
            seat=self.seat,
            store=store,
            workers=self.workers,
            today=today,
            metrics=self.metrics,
        )
        self.checker = Checker(
            mesh=mesh,
            name=name,
            selection_key=material.selection_key,
            store=store,
            evaluator=self.evaluator,
            policy=material.policy,
            benign=material.benign,
            workers=self.workers,
            metrics=self.metrics,
        )
        self.promoter = Promoter(
            mesh=mesh,
            name=name,
            store=store,
            vault=self.vault,
            own_log=self.own_log,
            evaluator=self.evaluator,
            benign=material.benign,
            today=today,
            metrics=self.metrics,
        )
        self.publisher = self._make_publisher(material)

        self.federation = FederationServer(
            mesh=mesh,
            name=name,
            store=store,
            context=server_context(keystore, [card.certificate for card in mesh.members]),
            on_announce=self._announced,
            on_evaluate=None if self.seat is None else self.seat.answer,
            counts=None if self.seat is None else self.seat.counts_note,
        )
        self.metrics.on_scrape(self._scrape)

    def _make_publisher(self, material: Material) -> Publisher:
        return Publisher(**self._publisher_parts(material))

    def _publisher_parts(self, material: Material) -> dict[str, Any]:
        return {
            "mesh": self.mesh,
            "name": self.name,
            "selection_key": material.selection_key,
            "evaluator": self.evaluator,
            "drop": self.checker.dropped_windows,
            "store": self.store,
            "vault": self.vault,
            "own_log": self.own_log,
            "workers": self.workers,
            "expiry_days": self.config.expiry_days,
            "today": today,
            "metrics": self.metrics,
        }

    # --- what the local API asks

    def readiness(self) -> Readiness:
        """Whether the node can serve, and if not, why."""
        return Readiness(("draining",) if self._stopping else ())

    def peers(self) -> Sequence[PeerStatus]:
        """How this node stands with every other member."""
        found = []
        for sync in self.syncs.values():
            status = sync.status()
            found.append(
                PeerStatus(
                    name=status.name,
                    up=not status.error and status.last_contact is not None,
                    size=status.size,
                    signed_size=status.signed,
                    last_contact=status.last_contact,
                    suspended=bool(status.suspended),
                    error=status.error,
                )
            )
        return found

    # --- what the parts tell

    def _grown(self, size: int) -> None:
        self.announcer.notify(size)
        self.promoter.notify()
        self.feed.notify()

    async def _announced(self, member: str, announcement: Announcement) -> int:
        return await self.syncs[member].on_announce(announcement)

    def _assessed(self, member: str, assessed: Sequence[Assessed]) -> None:
        for one in assessed:
            self.metrics.assessed.labels(member, str(one.outcome)).inc()
        self.promoter.notify()
        self.feed.notify()

    def _scrape(self) -> None:
        for member, counts in self.store.counts().items():
            for outcome, count in counts.items():
                self.metrics.log_entries.labels(member, str(outcome)).set(count)
        self.metrics.log_size.labels(self.name).set(self.store.state(self.name).size)
        for peer in self.peers():
            self.metrics.log_size.labels(peer.name).set(peer.size)
            self.metrics.peer_lag.labels(peer.name).set(peer.lag)
            self.metrics.peer_up.labels(peer.name).set(int(peer.up))

    # --- life

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        datadir: DataDir,
        *,
        passphrase: str | None = None,
        config: NodeConfig | None = None,
        make: Callable[..., Node] | None = None,
    ) -> AsyncIterator[tuple[Node, RunInfo]]:
        """Start a node on a data directory; yields it and where it listens; drains it at the end.

        `make` builds the node in place of the class itself (a fault-injecting one, in tests).

        :raises DataDirMissingError, DataDirNotWritableError, DataDirInUseError: the directory.
        :raises ConfigError, KeyStoreError, NotJoinedError, ForeignKeysError, MeshError: its files.
        :raises StoreError, OwnLogError: the database.
        :raises PortInUseError, ListenError: a port is taken.
        """
        datadir.check_exists()
        datadir.check_writable()
        config = config or load_config(datadir)
        async with AsyncExitStack() as stack:
            stack.enter_context(datadir.lock())
            keystore = KeyStore.open(datadir.keys, passphrase)
            mesh = load_mesh(datadir, config, keystore)
            token = datadir.read_token()
            store = SqliteStore.open(datadir.database, name=config.name, mesh_id=mesh.mesh_id)
            stack.push_async_callback(asyncio.to_thread, store.close)
            material = load_material(datadir, keystore, mesh)
            node = (make or cls)(config, material, mesh, store)
            await node._start(stack, token)
            info = RunInfo(
                pid=os.getpid(),
                local_host=config.local_host,
                local_port=node._local.port,
                federation_port=node.federation.port,
            )
            datadir.write_run(info)
            stack.callback(datadir.remove_run)
            log.info(
                "node.ready", name=node.name, mesh=mesh.mesh_id[:16], local_port=info.local_port
            )
            try:
                yield node, info
            finally:
                node._stopping = True
                log.info("node.draining", name=node.name)

    async def _start(self, stack: AsyncExitStack, token: str) -> None:
        stack.push_async_callback(self.workers.close)
        await self.own_log.start()
        for client in self._clients.values():
            stack.push_async_callback(client.close)
        await self.federation.start(self.config.federation_host, self.config.federation_port)
        stack.push_async_callback(self.federation.stop)
        self._local = LocalServer(
            build_app(self, ApiOptions.of(self.config, token)),
            self.config.local_host,
            self.config.local_port,
            connections=self.config.max_subscribers + OTHER_CONNECTIONS,
        )
        self.announcer.start()
        stack.push_async_callback(self.announcer.stop)
        self.antientropy.start()
        stack.push_async_callback(self.antientropy.stop)
        stack.push_async_callback(self.own_log.drain)
        for chore in (self._housekeeping(), self._warm_up()):
            stack.push_async_callback(_cancel, asyncio.create_task(chore))
        stack.push_async_callback(self.checker.close)
        self.promoter.start()
        stack.push_async_callback(self.promoter.stop)
        await self._local.start()
        stack.push_async_callback(self._local.stop)
        stack.callback(self.feed.close)

    async def _warm_up(self) -> None:
        """Start a worker, so that the first incident does not wait for an interpreter."""
        try:
            await self.workers.warm()
        except OrgnodeError as error:
            log.error("node.workers_failed", error=error.code)

    async def _housekeeping(self) -> None:
        """Erase what has expired (incidents, content), forget the oldest of too many events."""
        while True:
            try:
                incidents = await self.vault.erase_expired(today())
                entries = await self.store.expire(today())
                # Only the feed's memory of what happened: the signals themselves stay.
                await self.store.trim_events(self.store.last_seq() - self.config.feed_events + 1)
                await self.store.trim_charges(Day(today() - CHARGE_DAYS))
                if incidents or entries:
                    log.info("node.expired", incidents=incidents, entries=entries)
                    self.feed.notify()
            except OrgnodeError as error:
                log.error("node.housekeeping_failed", error=error.code)
            await asyncio.sleep(HOUSEKEEPING_SECONDS)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def run_node(
    datadir: DataDir,
    *,
    passphrase: str | None = None,
    ready: Callable[[RunInfo], None] | None = None,
    make: Callable[..., Node] | None = None,
) -> None:
    """Run a node until SIGTERM or SIGINT, then drain it. `ready` is called when it serves.

    Raises what `Node.open` raises.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with Node.open(datadir, passphrase=passphrase, make=make) as (_, info):
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            if ready is not None:
                ready(info)
            await stop.wait()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
