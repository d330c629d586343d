"""Everything that replicates, as one object. It runs the same in a node (aiohttp, TLS, threads) and
in the simulator: both hand it lines to the peers, a store, a clock, randomness and workers.

    own log ── pusher ──► peers        what this organization publishes, until it is certified
    service ◄── peers                  what peers ask: their announcements, cosignatures, any log
    syncs, chasers ──► any mirror      following the others' logs
    gossip ◄──► a random peer          who holds what
    recovery                           this node's own past, before it signs anything
    accuser                            evidence, published in the own log
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import structlog

from mesh.assessment import Assessed
from mesh.evidence import Evidence
from mesh.genesis import Mesh
from mesh.wire import Announcement
from orgnode.errors import OrgnodeError
from orgnode.federation.accusing import Accuser
from orgnode.federation.backoff import Backoff
from orgnode.federation.certifying import Certifying
from orgnode.federation.chasing import Chaser
from orgnode.federation.client import PeerClient
from orgnode.federation.contacts import Contacts
from orgnode.federation.errors import (
    AnnouncementError,
    DiskBehindError,
    ForkedSelfError,
    MirrorQuotaError,
)
from orgnode.federation.fetch import end, together
from orgnode.federation.gossip import Gossip
from orgnode.federation.handlers import Handlers
from orgnode.federation.hooks import DISK_BEHIND, EQUIVOCATION, FORKED_SELF, RECOVERING, Hooks
from orgnode.federation.limits import ClientLimits, Rhythm, ServerLimits
from orgnode.federation.ownpast import OwnPast
from orgnode.federation.ports import Clock, Line, Today, Workers
from orgnode.federation.pusher import Pusher
from orgnode.federation.receipts import Receipts
from orgnode.federation.recovery import Recovery
from orgnode.federation.reply import Reply
from orgnode.federation.service import FederationService
from orgnode.federation.status import PeerStatus
from orgnode.federation.sync import LogEvents, LogSync
from orgnode.federation.witnessing import WitnessService
from orgnode.hints import RecentHints
from orgnode.ownlog import OwnLog, OwnLogError, forked_self
from orgnode.store import Store, StoreError
from proofs.note import Signer

log = structlog.get_logger(__name__)

Evaluate = Callable[[str, bytes], Awaitable[bytes]]


class Replicator:
    """One organization's side of the replication.

    `lines` holds a way to every other member, by name; they are closed by `stop`. `jitter` is where
    all randomness of pauses and choices comes from, `entropy` that of salts. `evaluate` and
    `counts` are the committee seat's, None without one.

    Making it raises OwnLogError when the stored log does not agree with itself.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        identity: Signer,
        log_signer: Signer,
        witness_signer: Signer,
        store: Store,
        lines: Mapping[str, Line],
        workers: Workers,
        today: Today,
        clock: Clock = time.time,
        jitter: random.Random | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        rhythm: Rhythm | None = None,
        hooks: Hooks | None = None,
        evaluate: Evaluate | None = None,
        counts: Callable[[], bytes] | None = None,
        limits: ClientLimits | None = None,
        server_limits: ServerLimits | None = None,
    ) -> None:
        rhythm, jitter = rhythm or Rhythm(), jitter or random.SystemRandom()
        self.name = name
        self.hooks = hooks = hooks or Hooks()
        self._mesh = mesh
        self._store = store
        self._rhythm = rhythm
        self._jitter = jitter
        self._halted = False
        self._live: asyncio.Task[None] | None = None
        peers = mesh.peers_of(name)
        self._contacts = Contacts([card.name for card in peers], clock, self._heard)
        self.clients = {
            card.name: PeerClient(
                card,
                lines[card.name],
                max_body_bytes=mesh.constraints.max_body_bytes,
                limits=limits,
            )
            for card in peers
        }
        self._past = OwnPast(
            mesh=mesh, name=name, store=store, clients=self.clients, contradicted=self._halt
        )
        hints = RecentHints()
        self.own_log = OwnLog(
            mesh, name, store, identity, log_signer, today, self._grown, entropy, hints
        )
        self.own_log.check()  # before anything else reads a log that may be damaged
        sync = partial(
            LogSync,
            mesh=mesh,
            store=store,
            workers=workers,
            today=today,
            rhythm=rhythm,
        )
        chaser = partial(
            Chaser,
            store=store,
            clients=self.clients,
            rhythm=rhythm,
            jitter=jitter,
            contacts=self._contacts,
            hooks=hooks,
        )
        events = self._log_events()
        self.syncs = {card.name: sync(member=card, events=events) for card in peers}
        self._own_sync = sync(member=mesh.member(name), events=events, limited=False)
        self._chasers = {peer: chaser(one) for peer, one in self.syncs.items()}
        self._own_chaser = chaser(self._own_sync)
        self.witness = WitnessService(
            mesh=mesh,
            name=name,
            store=store,
            signer=witness_signer,
            syncs=self.syncs,
            own_split=self._past.examine,
            clock=clock,
        )
        receipts = Receipts(mesh=mesh, name=name, store=store, identity=identity, today=today)
        self.pusher = Pusher(
            name=name,
            store=store,
            clients=self.clients,
            workers=workers,
            hints=hints,
            quorum=mesh.constraints.quorum,
            make_certifying=lambda changed, held: Certifying(
                mesh=mesh,
                name=name,
                store=store,
                cosign_own=self.witness.cosign_own,
                changed=changed,
                held=held,
                hooks=hooks,
                rhythm=rhythm,
                jitter=jitter,
            ),
            receipts=receipts,
            contacts=self._contacts,
            doubted=self._doubt,
            rhythm=rhythm,
            jitter=jitter,
        )
        self.gossip = Gossip(
            name=name,
            members=len(mesh.members),
            store=store,
            clients=self.clients,
            chasers=self._chasers,
            learned=self._learned,
            pushed=lambda peer: self.pusher.lines[peer].last_held,
            doubted=self._doubt,
            tells_own=self._knows_itself,
            contacts=self._contacts,
            hooks=hooks,
            rhythm=rhythm,
            jitter=jitter,
            clock=clock,
        )
        self.recovery = Recovery(
            mesh=mesh,
            name=name,
            store=store,
            own=self._own_sync,
            chaser=self._own_chaser,
            syncs=self.syncs,
            clients=self.clients,
            exchange=self.gossip.exchange,
            hooks=hooks,
            rhythm=rhythm,
            jitter=jitter,
        )
        self._accuser = Accuser(
            mesh=mesh,
            name=name,
            store=store,
            own_log=self.own_log,
            today=today,
            rhythm=rhythm,
            jitter=jitter,
        )
        self._receipts = receipts
        self.service = FederationService(
            mesh=mesh,
            name=name,
            store=store,
            handlers=Handlers(
                announce=self._announced,
                add_checkpoint=self._add_checkpoint,
                gossip=self.gossip.asked,
                receipt=self._receipts.give,
                evaluate=evaluate,
                counts=counts,
                may_serve=lambda member: member != name or self._knows_itself(),
                run=workers.run,
            ),
            limits=server_limits,
        )

    # --- life

    async def start(self) -> None:
        """Begin; returns at once. `recovery.done` is set once the own log takes entries.

        Raises OwnLogError when the stored log does not agree with itself, StoreError.
        """
        self.own_log.check()
        for sync in self.syncs.values():
            if sync.suspended:
                self.hooks.alert(EQUIVOCATION, sync.name, f"its log is suspended: {sync.suspended}")
        for chaser in self._chasers.values():
            chaser.start()
        self.gossip.start()
        own = self._store.state(self.name).evidence
        if own is not None:
            self._halt(forked_self(own.reason))  # whether anybody answers or not
        self._live = asyncio.create_task(self._come_alive(), name="recovery")

    async def drain(self) -> None:
        """Take no new entries and write those that wait; the rest goes on."""
        await self.own_log.drain()

    async def stop(self) -> None:
        """End everything, in the middle of an exchange too; what was acknowledged stays."""
        live, self._live = self._live, None
        await end(live)
        await self._past.stop()
        await self.own_log.drain()
        await self._accuser.stop()
        await self.gossip.stop()
        await self.pusher.stop()
        for chaser in (*self._chasers.values(), self._own_chaser):
            await chaser.stop()
        await together(*(client.close() for client in self.clients.values()))

    async def _come_alive(self) -> None:
        """Find out about this node's past, then sign."""
        backoff = Backoff(self._rhythm.backoff, self._rhythm.backoff_cap, self._jitter)
        while True:
            try:
                await self.recovery.run()
                await self.own_log.start()
            except (ForkedSelfError, OwnLogError) as error:
                self._halt(error)
                return
            except StoreError as error:
                log.error("recovery.failed", error=type(error).__name__)
                await asyncio.sleep(backoff.failed())
            except Exception:
                log.exception("recovery.crashed")
                raise
            else:
                break
        self.witness.open()
        self._own_chaser.start(pull=False)
        self.pusher.start()
        self._accuser.start()
        self.recovery.finish()

    # --- how it goes

    def peers(self) -> list[PeerStatus]:
        """How it goes with every other member, by name."""
        return [self._status(sync) for _, sync in sorted(self.syncs.items())]

    def _status(self, sync: LogSync) -> PeerStatus:
        peer = sync.name
        position, line = self.gossip.position(peer, self.name), self.pusher.lines[peer]
        known = [line.last_held] if line.best[0] >= 0 else []
        known += [] if position is None else [position.size]
        return PeerStatus(
            name=peer,
            size=sync.size,
            signed=sync.known_size,
            last_contact=self._contacts.last(peer),
            error=self._contacts.error(peer),
            suspended=sync.suspended,
            certified=sync.certified,
            their_size=max(known, default=None),
            behind=self.gossip.behind(peer),
            behind_since=self.gossip.behind_since(peer),
        )

    def _knows_itself(self) -> bool:
        return self.recovery.done.is_set()

    # --- what peers ask

    async def _announced(self, peer: str, announcement: Announcement) -> tuple[int, int]:
        sync, chaser = self.syncs[peer], self._chasers[peer]
        self._contacts.heard(peer)
        try:
            size, certified = await sync.on_announce(announcement)
        except AnnouncementError:
            # Broken bytes, or a fork: only what the owner serves can tell.
            chaser.hint(peer, sync.known_size, doubtful=True, urgent=True)
            raise
        except MirrorQuotaError as error:
            chaser.overfull(error)
            raise
        if sync.known_size > size:
            chaser.hint(peer, sync.known_size, urgent=True)
        return size, certified

    async def _add_checkpoint(self, peer: str, request: bytes) -> Reply:
        self._contacts.heard(peer)
        return await self.witness.add_checkpoint(peer, request)

    # --- what the parts tell

    def _log_events(self) -> LogEvents:
        return LogEvents(
            assessed=self._assessed,
            certified=self._certified,
            convicted=self._convicted,
            accused=self._accused,
        )

    def _heard(self, peer: str) -> None:
        self.pusher.alive(peer)
        self.recovery.alive(peer)
        for chaser in self._chasers.values():
            chaser.alive(peer)

    def _grown(self, size: int) -> None:
        self.pusher.notify(size)
        self.hooks.grown(size)

    def _assessed(self, member: str, assessed: Sequence[Assessed]) -> None:
        if member == self.name:
            self.recovery.restored()
        if any(one.retryable for one in assessed):
            chaser = self._own_chaser if member == self.name else self._chasers[member]
            chaser.missing()
        self.hooks.assessed(member, assessed)

    def _certified(self, member: str, size: int) -> None:
        self.hooks.certified(member, size)

    def _learned(self, peer: str, size: int, certified: int) -> None:
        """A peer holds so much of the own log."""
        if self.recovery.done.is_set():
            self.pusher.learned(peer, size, certified)
        else:
            self.recovery.learned(peer, size, certified)

    def _convicted(self, evidence: Evidence) -> None:
        """Evidence was stored, so that the log is suspended here."""
        if evidence.log == self.name:
            self._halt(forked_self(evidence.reason))
            return
        self.hooks.evidence(evidence)
        self.hooks.alert(EQUIVOCATION, evidence.log, evidence.reason)
        self._accuser.notify()

    def _accused(self, evidence: Evidence) -> None:
        """An accepted entry proves two histories; the store has suspended the log with it."""
        sync = self.syncs.get(evidence.log)
        if sync is None:
            self._convicted(evidence)
        elif not sync.suspended:
            sync.refresh()
            self._convicted(evidence)

    def _doubt(self, peer: str) -> None:
        """A peer knows the own log otherwise, it says."""
        if self._knows_itself() and not self._halted:
            self._past.doubt(peer)

    def _halt(self, error: OrgnodeError) -> None:
        """Sign nothing any more, and say so."""
        self._halted = True
        self.own_log.halt(error)
        self.pusher.halt()
        self.witness.close()
        if isinstance(error, ForkedSelfError):
            self.recovery.convicted(error)
            kind = DISK_BEHIND if isinstance(error, DiskBehindError) else FORKED_SELF
            self.hooks.alert(kind, self.name, str(error))
        else:
            self.hooks.alert(RECOVERING, self.name, str(error))
        log.error("own_log.halted", error=error.code)
