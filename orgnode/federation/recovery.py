"""Asking others about this node's own past, before it signs anything.

The disk may be older than the node's last signature: a backup was put back, a machine's snapshot.
A signature on top of it would contradict one that others hold, and convict an honest node. So q−1
other members (with its own disk that makes q), or after a known restore all others, are asked for

- the newest checkpoint of *our* log that they have ever seen, held or only heard of: if it goes
  further than the disk, the log is restored from whoever mirrors it;
- what they hold of every log: it is pulled, so that this node's witness mirrors at least what it
  may have cosigned, and can't cosign another history.

A member counts as asked when all that it told of has been taken over. One that lies about our log
(what it shows is not signed by us), or does not hand over what it says that it holds, does not
count. Until enough count, this node mirrors and serves the logs of others and signs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from random import Random

import structlog

from mesh.errors import MeshError
from mesh.genesis import Mesh
from mesh.vector import LogPosition
from orgnode.errors import OrgnodeError
from orgnode.federation.backoff import Backoff, pause
from orgnode.federation.chasing import Chaser
from orgnode.federation.client import PeerClient
from orgnode.federation.errors import (
    ForkedSelfError,
    MirrorQuotaError,
    PeerAnswerError,
    SuspendedPeerError,
)
from orgnode.federation.fetch import end
from orgnode.federation.followed import claimed_size
from orgnode.federation.hooks import RECOVERING, Hooks
from orgnode.federation.limits import Rhythm
from orgnode.federation.sync import LogSync
from orgnode.ownlog import forked_self
from orgnode.restored import COMPLETE, RESTORED, left_out
from orgnode.store import Store
from proofs.errors import ProofsError

log = structlog.get_logger(__name__)

Exchange = Callable[[str], Awaitable[tuple[LogPosition, ...]]]


class Recovery:
    """Finds out whether the own log and the mirrors are whole.

    `own` follows the own log at its mirrors, `chaser` pulls it; `syncs` follow the others';
    `exchange` swaps vectors with a peer. `done` is set once this node signs again. It never is when
    members hold another history of the own log than this disk; `error` says so then.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        store: Store,
        own: LogSync,
        chaser: Chaser,
        syncs: Mapping[str, LogSync],
        clients: Mapping[str, PeerClient],
        exchange: Exchange,
        hooks: Hooks,
        rhythm: Rhythm,
        jitter: Random,
    ) -> None:
        self.done = asyncio.Event()
        self.error: ForkedSelfError | None = None
        self._name = name
        self._store = store
        self._own = own
        self._chaser = chaser
        self._syncs = syncs
        self._clients = clients
        self._exchange = exchange
        self._hooks = hooks
        self._rhythm = rhythm
        self._jitter = jitter
        self._quorum = mesh.constraints.quorum
        self._signed = 0
        self._answered: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._alive = {peer: asyncio.Event() for peer in clients}

    @property
    def progress(self) -> tuple[int, int, tuple[str, ...]]:
        """How many members were asked, how many must be, and who of them has not answered yet."""
        required = self._required()
        if required is None:
            missing = tuple(peer for peer in self._clients if peer not in self._answered)
            return len(self._answered), self._quorum - 1, missing
        missing = tuple(peer for peer in required if peer not in self._answered)
        return len(required) - len(missing), len(required), missing

    @property
    def restoring(self) -> bool:
        """Whether a backup was restored, so that all must be asked but those left out."""
        return self._required() is not None

    @property
    def lacking(self) -> int:
        """How many entries of the own log were signed once and are not here yet."""
        return max(0, self.signed - self._own.size)

    @property
    def signed(self) -> int:
        """How many entries of the own log were signed once, as far as is known."""
        return max(self._signed, self._own.known_size)

    def alive(self, peer: str) -> None:
        """`peer` was just heard of: do not wait much longer before asking it."""
        self._alive[peer].set()

    def learned(self, peer: str, size: int, certified: int) -> None:
        """A peer holds so much of the own log."""
        if not self.done.is_set():
            self._chaser.hint(peer, size, certified, urgent=True)

    def convicted(self, error: ForkedSelfError) -> None:
        """There is proof of two histories of the own log."""
        self.error = error
        self._changed.set()

    def finish(self) -> None:
        """The own log takes entries again."""
        self._hooks.calm(RECOVERING, self._name)
        self.done.set()
        log.info("recovery.done", size=self._own.size, members=len(self._answered))

    def restored(self) -> None:
        """Entries of the own log were stored."""
        self._changed.set()

    async def run(self) -> None:
        """Ask until it is enough. Raises ForkedSelfError, and StoreError at the very end.

        The chaser is stopped then: from now on another writes to the own log.
        """
        self._chaser.start()
        asking = [
            asyncio.create_task(self._ask(peer), name=f"recover:{peer}") for peer in self._clients
        ]
        try:
            await self._wait()
        finally:
            await end(*asking)
            await self._chaser.stop()
        if self._store.meta(RESTORED) not in (None, COMPLETE):
            await self._store.set_meta(RESTORED, COMPLETE)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        alert_at = loop.time() + self._rhythm.behind_alert
        while True:
            if self.error is not None:
                raise self.error
            answered, needed, _ = self.progress
            if answered >= needed and not self.lacking:
                return
            # Who restored a backup wants to know at once whom it waits for: it may be for ever.
            if self.restoring or loop.time() >= alert_at:
                alert_at = loop.time() + self._rhythm.behind_alert
                self._hooks.alert(RECOVERING, self._name, self._describe())
            await pause(alert_at - loop.time(), self._changed)

    def _describe(self) -> str:
        answered, needed, waiting = self.progress
        if answered < needed:
            names = ", ".join(waiting)
            return f"{answered} of {needed} members answered about the past; not yet: {names}"
        return (
            f"the last {self.lacking} of {self.signed} own entries are signed, and no"
            " member that answers hands them over"
        )

    def _required(self) -> tuple[str, ...] | None:
        """Who must be asked after a restore; None if no restore is known."""
        excused = left_out(self._store.meta(RESTORED))
        if excused is None:
            return None
        return tuple(peer for peer in self._clients if peer not in excused)

    async def _ask(self, peer: str) -> None:
        backoff = Backoff(self._rhythm.backoff, self._rhythm.backoff_cap, self._jitter)
        while True:
            try:
                await self._hear(peer)
            except ForkedSelfError as error:
                self.convicted(error)
                return
            except (OrgnodeError, MeshError, ProofsError) as error:
                if not backoff.failures:
                    log.info("recovery.not_answered", peer=peer, error=type(error).__name__)
            except Exception:
                log.exception("recovery.crashed", peer=peer)
            else:
                self._answered[peer] = None
                self._changed.set()
                return
            # What was a sign of life in this attempt is none for the next one.
            self._alive[peer].clear()
            wait = backoff.failed()
            first = min(wait, self._rhythm.backoff)
            await asyncio.sleep(first)
            await pause(wait - first, self._alive[peer])

    async def _hear(self, peer: str) -> None:
        """Take over all that a peer tells; raises when it does not hold, or can't be had."""
        client = self._clients[peer]
        seen = await client.seen(self._name)
        if seen is not None:
            try:
                # Remembered on the disk, so that a restart does not forget it either.
                await self._own.remember(seen)
            except SuspendedPeerError as error:
                raise forked_self(f"{peer} has seen a checkpoint that contradicts it") from error
            # A follower may forget it when it starts anew; then it would look as if all were here.
            self._signed = max(self._signed, claimed_size(seen))
        for position in await self._exchange(peer):
            if position.log == self._name:
                self.learned(peer, position.size, position.certified)
            elif position.log in self._syncs:
                await self._take_over(self._syncs[position.log], client, position)

    async def _take_over(self, sync: LogSync, client: PeerClient, position: LogPosition) -> None:
        try:
            if sync.size < position.size:
                await sync.pull(client, certified=position.certified)
        except (SuspendedPeerError, MirrorQuotaError):
            return  # of such a log nothing is cosigned
        if sync.suspended:
            return
        if sync.size < position.size:
            raise PeerAnswerError(
                f"{client.card.name} says that it holds {position.size} entries of {sync.name}, "
                "and does not hand them over"
            )
        await self._compare(sync, client, position)

    async def _compare(self, sync: LogSync, client: PeerClient, position: LogPosition) -> None:
        """Make sure that a peer holds the same tree of a log as this node does.

        Of another one this node may have cosigned a checkpoint, before its disk was put back; it
        must not cosign this one as well.
        """
        if self._store.root_at(sync.name, position.size) == position.root:
            return
        with suppress(SuspendedPeerError):
            await sync.consider(await client.checkpoint(sync.name))
        if not sync.suspended:
            raise PeerAnswerError(
                f"{client.card.name} says that it holds another tree of {sync.name}, and does not "
                "show what its owner signed"
            )
