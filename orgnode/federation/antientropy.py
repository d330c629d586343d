"""Asking every peer again and again, so that nothing depends on an announcement's arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from mesh.errors import MeshError
from orgnode.errors import OrgnodeError
from orgnode.federation.backoff import Backoff, between, pause
from orgnode.federation.errors import SuspendedPeerError
from orgnode.federation.fetch import end
from orgnode.federation.limits import Rhythm
from orgnode.federation.sync import LogSync
from proofs.errors import ProofsError

log = structlog.get_logger(__name__)


class AntiEntropy:
    """A loop for each peer: pull, ask for missing bodies, rest. No loop waits for another."""

    def __init__(self, syncs: Iterable[LogSync], rhythm: Rhythm | None = None) -> None:
        self._syncs = tuple(syncs)
        self._rhythm = rhythm or Rhythm()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; every peer is asked at once."""
        self._tasks = [
            asyncio.create_task(self._loop(sync), name=f"pull:{sync.member.name}")
            for sync in self._syncs
        ]

    async def stop(self) -> None:
        """End all loops, in the middle of a pull too; what was committed stays."""
        tasks, self._tasks = self._tasks, []
        await end(*tasks)

    async def _loop(self, sync: LogSync) -> None:
        backoff = Backoff(self._rhythm.backoff, self._rhythm.backoff_cap)
        while not sync.suspended:
            wait = await self._round(sync, backoff)
            if wait > self._rhythm.backoff:
                # An announcement may cut the rest short, but not below this: it must not become a
                # way to make this node ask without end.
                await asyncio.sleep(self._rhythm.backoff)
                wait -= self._rhythm.backoff
            await pause(wait, sync.wake)

    async def _round(self, sync: LogSync, backoff: Backoff) -> float:
        """Pull once; returns the seconds to rest."""
        peer = sync.member.name
        try:
            came = await sync.pull()
            await sync.retry_deferred()
        except SuspendedPeerError:
            log.warning("pull.suspended", peer=peer)
            return 0.0
        except (OrgnodeError, MeshError, ProofsError) as error:
            sync.failed(error)
            if not backoff.failures:
                log.warning("pull.failed", peer=peer, error=type(error).__name__)
            return backoff.failed()
        except Exception as error:
            sync.failed(error)
            log.exception("pull.crashed", peer=peer)
            return backoff.failed()
        if backoff.failures:
            log.info("pull.recovered", peer=peer)
        backoff.worked()
        if came:
            log.debug("pull.followed", peer=peer, entries=came, size=sync.size)
            return 0.0  # while pulling, the log may have grown further
        return between(*self._rhythm.poll)
