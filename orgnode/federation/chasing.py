"""Pulling one log from whoever holds more of it than this node, until nobody does.

What peers say that they hold is a hint and no more: a number for each peer. A peer that does not
keep its word, fails or stalls is left alone for a while, and the others are asked meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import structlog

from mesh.errors import MeshError
from orgnode.errors import OrgnodeError
from orgnode.federation.backoff import Backoff, pause
from orgnode.federation.client import PeerClient
from orgnode.federation.contacts import Contacts
from orgnode.federation.errors import UNREACHED, MirrorQuotaError, SuspendedPeerError
from orgnode.federation.fetch import end
from orgnode.federation.hooks import MIRROR_QUOTA, Hooks
from orgnode.federation.limits import Rhythm
from orgnode.federation.repeats import Repeats
from orgnode.federation.sync import LogSync
from orgnode.federation.turns import Turn
from orgnode.store import Store, StoreError
from proofs.errors import ProofsError

log = structlog.get_logger(__name__)

# How often a log is looked at again that grew by more than is mirrored in a day.
_QUOTA_PAUSE = 60.0


@dataclass
class _Source:
    client: PeerClient
    backoff: Backoff
    size: int = 0
    certified: int = 0
    doubtful: bool = False
    """Its tree differs from the one held here."""
    ready: float = 0.0
    """When it may be asked (the event loop's clock)."""


class Chaser:
    """Keeps one log up with what peers hold of it; `hint` tells what that is."""

    def __init__(
        self,
        sync: LogSync,
        store: Store,
        clients: Mapping[str, PeerClient],
        *,
        rhythm: Rhythm,
        jitter: Random,
        contacts: Contacts,
        hooks: Hooks,
    ) -> None:
        self._sync = sync
        self._store = store
        self._rhythm = rhythm
        self._jitter = jitter
        self._contacts = contacts
        self._hooks = hooks
        self._sources = {
            name: _Source(client, Backoff(rhythm.backoff, rhythm.backoff_cap, jitter))
            for name, client in clients.items()
        }
        self._wake = asyncio.Event()
        self._missing = True
        self._pulls = True
        self._full = False
        self._full_until = 0.0
        self._exchange = f"pull:{sync.name}"
        self._repeats = Repeats()
        self._had_turn = ""
        self._task: asyncio.Task[None] | None = None

    def start(self, *, pull: bool = True) -> None:
        """Begin. Without `pull` only missing bodies are asked for: another writes to this log."""
        self._pulls = pull
        self._task = asyncio.create_task(self._run(), name=f"chase:{self._sync.name}")

    async def stop(self) -> None:
        """End, in the middle of a pull too; what was committed stays."""
        task, self._task = self._task, None
        await end(task)
        for source in self._sources.values():
            source.size, source.certified, source.doubtful = 0, 0, False

    def hint(
        self,
        source: str,
        size: int,
        certified: int | None = None,
        *,
        doubtful: bool = False,
        urgent: bool = False,
    ) -> None:
        """`source` says that it holds so much of the log, and that so much of it is certified.

        `certified` is None when it said nothing of that.
        `doubtful`: its tree differs from what is held here, so its checkpoint is to be compared.
        Unless it is `urgent`, the owner's own push gets a moment to arrive first.
        """
        known = self._sources.get(source)
        if known is None:
            return
        held, proven = self._sync.size, self._sync.certified
        was_idle = known.size <= held and known.certified <= proven and not known.doubtful
        known.size, known.doubtful = size, doubtful
        if certified is not None:
            known.certified = certified
        if size <= held and known.certified <= proven and not doubtful:
            self._contacts.forget(source, self._exchange)
            return
        if not known.backoff.failures:
            now = asyncio.get_running_loop().time()
            if urgent:
                known.ready = now
            elif was_idle:
                known.ready = now + self._rhythm.patience / 2
        self._wake.set()

    def alive(self, source: str) -> None:
        """`source` was just heard of: if it could not be reached, ask it again soon."""
        known = self._sources.get(source)
        # Asked at every sign of life, of every log: what is nearly always so comes first.
        if known is None or not known.backoff.passing or not self._wants(known):
            return
        wait = known.backoff.sign_of_life()
        if wait is not None:
            known.ready = min(known.ready, asyncio.get_running_loop().time() + wait)
            self._wake.set()

    def overfull(self, error: MirrorQuotaError) -> None:
        """The log has grown by more than is mirrored in a day."""
        now = asyncio.get_running_loop().time()
        self._full_until = now + self._jitter.uniform(_QUOTA_PAUSE / 2, _QUOTA_PAUSE)
        self._full = True
        self._hooks.alert(MIRROR_QUOTA, self._sync.name, str(error))
        self._wake.set()

    def missing(self) -> None:
        """An entry was stored whose body is still to come."""
        self._missing = True
        self._wake.set()

    def _wants(self, source: _Source) -> bool:
        return (
            source.size > self._sync.size
            or source.certified > self._sync.certified
            or source.doubtful
        )

    async def _run(self) -> None:
        while True:
            await pause(await self._round(), self._wake)

    async def _round(self) -> float | None:
        """Ask whoever is due; returns for how long to rest, None for until something is new."""
        if self._sync.suspended:
            return None
        loop = asyncio.get_running_loop()
        if self._full:
            if loop.time() < self._full_until:
                return self._full_until - loop.time()
            if self._sync.known_size <= self._sync.size:
                self._full = False
                self._hooks.calm(MIRROR_QUOTA, self._sync.name)
        sources = self._sources.items() if self._pulls else ()
        wanted = [(name, one) for name, one in sources if self._wants(one)]
        due = [(name, one) for name, one in wanted if one.ready <= loop.time()]
        if due:
            others = [(name, one) for name, one in due if name != self._had_turn]
            return await self._pull(*self._jitter.choice(others or due))
        rest = [one.ready - loop.time() for _, one in wanted]
        if self._missing and (again := await self._bodies()) is not None:
            rest.append(again)
        return max(0.0, min(rest)) if rest else None

    def _others(self, source: _Source) -> bool:
        """Whether another than this source could be asked now."""
        now = asyncio.get_running_loop().time()
        return any(
            one is not source and one.ready <= now and self._wants(one)
            for one in self._sources.values()
        )

    async def _pull(self, name: str, source: _Source) -> float:
        sync, before = self._sync, self._sync.size
        turn = Turn(self._rhythm.turn, lambda: self._others(source))
        self._had_turn = ""
        doubtful, source.doubtful = source.doubtful, False
        said = source.size, source.certified
        try:
            await sync.pull(source.client, certified=source.certified, turn=turn)
        except SuspendedPeerError:
            log.warning("pull.suspended", peer=name, log=sync.name)
            return 0.0
        except MirrorQuotaError as error:
            self.overfull(error)
            return 0.0
        except (OrgnodeError, MeshError, ProofsError, TimeoutError) as error:
            if isinstance(error, TimeoutError) and sync.size > before:
                self._had_turn = name  # it is slow, but it does what it can: another one is next
            else:
                self._failed(name, source, error)
            return 0.0
        except Exception as error:
            log.exception("pull.crashed", peer=name, log=sync.name)
            self._failed(name, source, error)
            return 0.0
        if source.backoff.failures and self._repeats.count(name, "recovered"):
            log.info("pull.recovered", peer=name, log=sync.name)
        self._contacts.worked(name, self._exchange)
        if said != (source.size, source.certified):
            return 0.0  # it has said something newer meanwhile
        if self._wants(source) and not doubtful and sync.size == before:
            # It holds less than it said. Its next word may be better, but is not taken at once.
            source.ready = asyncio.get_running_loop().time() + source.backoff.failed()
        else:
            source.backoff.worked()
        source.size = source.certified = 0
        return 0.0

    def _failed(self, name: str, source: _Source, error: Exception) -> None:
        code = type(error).__name__
        if count := self._repeats.count(name, code):
            log.warning("pull.failed", peer=name, log=self._sync.name, error=code, count=count)
        wait = source.backoff.failed(passing=isinstance(error, UNREACHED))
        source.ready = asyncio.get_running_loop().time() + wait
        if not isinstance(error, StoreError):  # a full disk here is nobody else's failure
            self._contacts.failed(name, self._exchange, error)

    async def _bodies(self) -> float | None:
        """Ask for missing bodies that are due; returns when to look again, None if none miss."""
        if not self._sync.size:
            self._missing = False
            return None
        self._missing = self._store.first_missing(self._sync.name) is not None
        clients = [one.client for one in self._sources.values()] if self._missing else []
        self._jitter.shuffle(clients)
        try:
            await self._sync.retry_bodies(clients)
            # After an upgrade there may be some that were not awaited before.
            self._missing = self._missing or self._store.first_missing(self._sync.name) is not None
        except (OrgnodeError, MeshError, ProofsError) as error:
            log.warning("bodies.failed", log=self._sync.name, error=type(error).__name__)
            self._missing = True  # as far as one can tell
        except Exception:
            log.exception("bodies.crashed", log=self._sync.name)
            self._missing = True
        return self._rhythm.body_pause if self._missing else None
