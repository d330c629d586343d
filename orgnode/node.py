"""One running org node: its parts, how they are wired, and how they start and stop.

    local API ── publisher ── vault, promoter ─┐
        │ └── checker ── evaluator ────────────┤
      feed hub ────────────────────────────────┼── store (SQLite)
    federation server ── replicator ───────────┘
           └── committee seat   (own log, following, pushing, witness, gossip, recovery)

Parts start from the disk outwards and stop in the opposite order, so that nothing is acknowledged
that has nowhere to go. Draining refuses new incidents, writes those that were accepted, says
goodbye to subscribers, and only then closes the store.
"""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import structlog

from mesh.assessment import Assessed
from mesh.days import Day
from mesh.evidence import Evidence
from mesh.genesis import Mesh
from orgnode.alerts import Alerts
from orgnode.api import ApiOptions, LocalServer, PeerStatus, Readiness, build_app
from orgnode.api.services import recovery_reason
from orgnode.checking import CheckBreaker, Checker
from orgnode.config import NodeConfig, load_config
from orgnode.copies import check_alone
from orgnode.datadir import DataDir, RunInfo
from orgnode.derived import DampenedEvents
from orgnode.diskwatch import DiskWatch
from orgnode.errors import OrgnodeError
from orgnode.evaluating import Evaluator, SeatService
from orgnode.federation.errors import RecoveringError
from orgnode.federation.hooks import RECOVERING, Hooks
from orgnode.federation.httpline import HttpLine
from orgnode.federation.limits import Rhythm
from orgnode.federation.replicator import Replicator
from orgnode.federation.server import FederationServer
from orgnode.feed import FeedHub
from orgnode.keystore import KeyStore
from orgnode.material import Material, load_material, load_mesh
from orgnode.metrics import Metrics
from orgnode.ownlog import LogClosedError
from orgnode.promoting import Promoter
from orgnode.publisher import Publisher
from orgnode.store.sqlite import SqliteStore
from orgnode.store.writer import Writer
from orgnode.tls import client_context, server_context
from orgnode.vault import Vault
from orgnode.workers import Workers

log = structlog.get_logger(__name__)

# So many more objects than were freed are looked through for cycles at a time, by default 700: most
# of those are of requests under way, and a few milliseconds later none is left.
_YOUNG = 10_000

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
        self.instance = secrets.token_hex(16)
        self.feed = FeedHub(
            DampenedEvents(mesh.constraints, store),
            self.metrics,
            max_subscribers=config.max_subscribers,
        )
        self.vault = Vault(store, keystore.vault_key, retention_days=config.retention_days)
        self.workers = Workers(
            config.prove_workers, mesh.note, verified=self.metrics.verify_batch_seconds.observe
        )
        self._stopping = False

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
        self.alerts = Alerts()
        self.disk = DiskWatch(name)
        self.replicator = Replicator(
            mesh=mesh,
            name=name,
            identity=keystore.identity,
            log_signer=keystore.log(mesh.mesh_id),
            witness_signer=keystore.witness,
            store=store,
            lines={
                card.name: HttpLine(
                    card,
                    client_context(keystore, card.certificate),
                    source=config.federation_source or None,
                )
                for card in mesh.peers_of(name)
            },
            workers=self.workers,
            today=today,
            rhythm=Rhythm(gossip=config.poll_interval),
            hooks=Hooks(
                grown=self._grown,
                assessed=self._assessed,
                certified=self._certified,
                evidence=self._convicted,
                alert=self.alerts.raise_,
                calm=self._calm,
            ),
            evaluate=None if self.seat is None else self.seat.answer,
            counts=None if self.seat is None else self.seat.counts_note,
        )
        self.own_log = self.replicator.own_log
        self.evaluator = Evaluator(
            mesh=mesh,
            name=name,
            identity=keystore.identity,
            clients=self.replicator.clients,
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
            breaker=CheckBreaker(
                store, keystore.vault_key, alert=self.alerts.raise_, calm=self.alerts.clear
            ),
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
            service=self.replicator.service,
            context=server_context(keystore, [card.certificate for card in mesh.members]),
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
        """Whether the node can serve, and if not, why; and whether it signs."""
        reasons = ["draining"] if self._stopping else []
        if self.disk.reason:
            reasons.append(self.disk.reason)
        return Readiness(tuple(reasons), *self._signing())

    def _signing(self) -> tuple[str, OrgnodeError | None]:
        """What it waits for before it signs, and why it never will; nothing if it signs."""
        recovery = self.replicator.recovery
        try:
            self.own_log.check_open()
        except RecoveringError:
            answered, needed, waiting = recovery.progress
        except LogClosedError:
            return "", None
        except OrgnodeError as error:
            return "", error
        else:
            return "", None
        if answered >= needed and recovery.lacking:
            return f"fetching the last {recovery.lacking} entries of the own log from members", None
        return recovery_reason(answered, needed, waiting, restored=recovery.restoring), None

    def peers(self) -> Sequence[PeerStatus]:
        """How this node stands with every other member."""
        return [
            PeerStatus(
                name=peer.name,
                up=not peer.error and peer.last_contact is not None,
                size=peer.size,
                signed_size=peer.signed,
                last_contact=peer.last_contact,
                suspended=bool(peer.suspended),
                error=peer.error,
                certified=peer.certified,
                their_size=peer.their_size,
                behind=peer.behind,
                behind_since=peer.behind_since,
            )
            for peer in self.replicator.peers()
        ]

    # --- what the parts tell

    def _grown(self, size: int) -> None:
        self.feed.notify()

    def _assessed(self, member: str, assessed: Sequence[Assessed]) -> None:
        for one in assessed:
            self.metrics.assessed.labels(member, str(one.outcome)).inc()
        self.promoter.notify()
        self.feed.notify()

    def _certified(self, log: str, size: int) -> None:
        self.promoter.notify()
        self.feed.notify()

    def _calm(self, kind: str, subject: str) -> None:
        self.alerts.clear(kind, subject)
        if kind == RECOVERING:
            self.promoter.notify()  # what was due meanwhile can be signed now

    def _convicted(self, evidence: Evidence) -> None:
        self.promoter.notify()
        self.feed.notify()

    def _scrape(self) -> None:
        for member, counts in self.store.counts().items():
            for outcome, count in counts.items():
                self.metrics.log_entries.labels(member, str(outcome)).set(count)
        self.metrics.log_size.labels(self.name).set(self.store.state(self.name).size)
        for card in self.mesh.members:
            # Logs never certified too: an alarm on those that stay behind must not lack a series.
            size = self.store.certified_size(card.name)
            self.metrics.certified_size.labels(card.name).set(size)
        for peer in self.peers():
            self.metrics.log_size.labels(peer.name).set(peer.size)
            self.metrics.peer_lag.labels(peer.name).set(peer.lag)
            self.metrics.peer_behind.labels(peer.name).set(peer.behind)
            self.metrics.peer_up.labels(peer.name).set(int(peer.up))
        for kind, count in self.alerts.counts().items():
            self.metrics.alerts.labels(kind).set(count)

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
        :raises CopyRunningError: another process with these keys answers where this node should.
        """
        datadir.check_exists()
        datadir.check_writable()
        config = config or load_config(datadir)
        async with AsyncExitStack() as stack:
            stack.enter_context(datadir.lock())
            keystore = KeyStore.open(datadir.keys, passphrase)
            mesh = load_mesh(datadir, config, keystore)
            token = datadir.read_token()
            source = config.federation_source or None
            await check_alone(mesh.member(config.name), keystore, source=source)
            disk = DiskWatch(config.name)
            store = SqliteStore.open(
                datadir.database,
                name=config.name,
                mesh_id=mesh.mesh_id,
                cooldown_days=mesh.constraints.cooldown_days,
                writer=partial(Writer, told=disk.told),
            )
            stack.push_async_callback(asyncio.to_thread, store.close)
            material = load_material(datadir, keystore, mesh)
            node = (make or cls)(config, material, mesh, store)
            node.disk = disk
            disk.attach(node.alerts)
            await node._start(stack, token)
            info = RunInfo(
                pid=os.getpid(),
                local_host=config.local_host,
                local_port=node._local.port,
                federation_port=node.federation.port,
                instance=node.instance,
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
        await self.replicator.start()
        stack.push_async_callback(self.replicator.stop)
        await self.federation.start(self.config.federation_host, self.config.federation_port)
        stack.push_async_callback(self.federation.stop)
        self._local = LocalServer(
            build_app(self, ApiOptions.of(self.config, token)),
            self.config.local_host,
            self.config.local_port,
            connections=self.config.max_subscribers + OTHER_CONNECTIONS,
        )
        stack.push_async_callback(self.replicator.drain)
        for chore in (self._housekeeping(), self._warm_up(), self.disk.run(self.store)):
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
            _set_aside()
            if ready is not None:
                ready(info)
            await stop.wait()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def _set_aside() -> None:
    """Have no search for cycles look again at what was loaded: it stays, half a million objects.

    Such a search would hold up everything for some 50 ms, and a busy node begins one every few
    seconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
