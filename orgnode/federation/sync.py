"""Following one peer's log: by its announcements when they come, by pulling what they leave out.

The rules of following (what a checkpoint may say, what bytes hash to, what an entry must hold) are
those of `mesh.follower`; this module fetches, hands over, and makes each step durable before it
counts. There is one `LogSync` for each peer, and nothing is shared between them but the store and
the workers, so a peer that lies, stalls or floods holds up its own log only.

Whatever goes wrong between verifying a segment and the end of its commit (a full disk, a cancelled
task, another writer), the follower is made anew from the store: what is on disk is the truth.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import NoReturn

import structlog

from mesh.assessment import Assessed
from mesh.entry import Kind, claims_kind
from mesh.evidence import Evidence, EvidenceKind, verify_evidence
from mesh.follower import LogFollower
from mesh.following import (
    CheckedSegment,
    FollowerState,
    RefusedCheckpointError,
    Segment,
    SegmentMismatchError,
    SuspendedLogError,
)
from mesh.genesis import Mesh
from mesh.member import MemberCard
from mesh.wire import Announcement, BodyAnswer
from orgnode.federation.client import PeerClient
from orgnode.federation.deferred import DeferredBodies
from orgnode.federation.errors import AnnouncementError, SuspendedPeerError
from orgnode.federation.fetch import Fetcher, end
from orgnode.federation.limits import Rhythm
from orgnode.federation.ports import Clock, OnAssessed, Today, Workers
from orgnode.store import LogRow, SecondRootError, Store
from proofs.errors import ProofsError

log = structlog.get_logger(__name__)

# So few entries are checked faster on the event loop (about 0.2 ms each) than a thread away;
# a promotion takes up to 35 ms.
_INLINE = 8


@dataclass(frozen=True)
class PeerStatus:
    """How following one peer's log goes, for people and for metrics.

    `size` entries are held; the peer has signed `signed`. `last_contact` is when it last answered
    or announced (Unix seconds, None if it has not since the start); `error` names what the last
    attempt failed with ("" if it worked); `suspended` names the kind of evidence against the log
    ("" if there is none).
    """

    name: str
    size: int
    signed: int
    last_contact: float | None
    error: str
    suspended: str

    @property
    def lag(self) -> int:
        """Entries that the peer has signed and this node does not hold."""
        return max(0, self.signed - self.size)


class LogSync:
    """Follows the log of one member. Its methods may be called from any task of the event loop.

    `wake` is set when a pull is due sooner than the rhythm says; `contact` is called whenever the
    peer is seen to be alive, `assessed` with every batch of assessed entries after its commit.
    """

    def __init__(
        self,
        *,
        member: MemberCard,
        mesh: Mesh,
        store: Store,
        client: PeerClient,
        workers: Workers,
        today: Today,
        clock: Clock = time.time,
        rhythm: Rhythm | None = None,
        assessed: OnAssessed | None = None,
        contact: Callable[[str], None] | None = None,
    ) -> None:
        self.member = member
        self.wake = asyncio.Event()
        self._mesh = mesh
        self._store = store
        self._client = client
        self._workers = workers
        self._today = today
        self._clock = clock
        self._rhythm = rhythm or Rhythm()
        self._assessed = assessed
        self._contact = contact
        self._deferred = DeferredBodies(store, client, self._rhythm, clock)
        self._lock = asyncio.Lock()
        self._follower = self._restart()
        self._remembered = self._follower.state.target
        self._last_contact: float | None = None
        self._error = ""

    @property
    def size(self) -> int:
        """Entries of the log that are held, durable."""
        return self._held

    @property
    def suspended(self) -> bool:
        """Whether there is evidence against the log, so that it is not followed any more."""
        return self._follower.state.evidence is not None

    def status(self) -> PeerStatus:
        """How it goes right now."""
        evidence = self._follower.state.evidence
        return PeerStatus(
            name=self.member.name,
            size=self.size,
            signed=max(self._follower.known_size, self.size),
            last_contact=self._last_contact,
            error=self._error,
            suspended="" if evidence is None else evidence.kind,
        )

    def failed(self, error: BaseException) -> None:
        """Remember what the last attempt failed with."""
        self._error = type(error).__name__

    async def pull(self) -> int:
        """Ask for the latest checkpoint and follow the log up to it; returns how many entries came.

        Raises PeerError when the peer does not answer as it should, FollowerError when what it
        serves does not hash to what it signed, SuspendedPeerError when there is proof of two
        histories, StoreError.
        """
        self._refuse_suspended()
        known = self._follower.known_size
        checkpoint = await self._client.checkpoint()
        async with self._lock:
            # An announcement may have overtaken the answer, which is then old and no shrunken log.
            await self._offer(checkpoint, pushed=self._follower.known_size != known)
            self._seen()
            start = self.size
            await self._remember()
            await self._follow(Fetcher(self._client))
            self._error = ""
            return self.size - start

    async def on_announce(self, announcement: Announcement) -> int:
        """Take an announcement of the log's owner; returns up to which size the log is held then.

        Entries that begin where this node stands and reach a signed size are taken at once, without
        another round trip; anything else only wakes the pull. Raises AnnouncementError when the
        checkpoint or the entries do not verify, SuspendedPeerError, StoreError.
        """
        self._refuse_suspended()
        async with self._patiently() as locked:
            if not locked:
                self.wake.set()  # the pull under way may be up to an older checkpoint
                return self.size
            try:
                await self._offer(announcement.checkpoint, pushed=True)
                self._seen()
                if not await self._take(announcement):
                    self.wake.set()
                    await self._remember()
            except RefusedCheckpointError as error:
                raise AnnouncementError("the announced checkpoint does not verify") from error
            except SegmentMismatchError as error:
                # Broken bytes, or a fork across sizes: only tiles can tell, so pull and diagnose.
                self.wake.set()
                raise AnnouncementError("the entries do not hash to the checkpoint") from error
            return self.size

    async def retry_deferred(self) -> int:
        """Ask again for bodies that the peer did not hand over; returns how many entries changed.

        Each is asked for a bounded number of times, at growing intervals; a restart begins anew.
        """
        if self.suspended:
            return 0
        changed = 0
        async for items in self._deferred.ask(self.member.name):
            async with self._lock:
                changed += await self._reassess(items)
        return changed

    # --- following

    async def _follow(self, fetcher: Fetcher) -> None:
        """Follow the log to its target; the next segment is fetched and checked meanwhile."""
        segment = self._follower.next_segment()
        ahead: asyncio.Task[CheckedSegment] | None = None
        try:
            while segment is not None:
                try:
                    checked = await (ahead or self._fetch(fetcher, self._follower, segment))
                except SegmentMismatchError:
                    await self._diagnose(fetcher)
                    raise
                ahead = self._fetch_ahead(fetcher, checked)
                await self._settle(checked)
                segment = self._follower.next_segment()
        finally:
            await end(ahead)

    def _fetch_ahead(
        self, fetcher: Fetcher, checked: CheckedSegment
    ) -> asyncio.Task[CheckedSegment] | None:
        """Begin with the segment that follows a checked one, if it belongs to the same target."""
        done = checked.segment
        assert done is not None
        assert checked.frontier is not None
        if done.end == done.size:
            return None
        # A follower that is one segment ahead: its frontier is proven, its entries not yet settled.
        follower = self._from_state(
            replace(self._follower.state, size=done.end, frontier=checked.frontier)
        )
        segment = follower.next_segment()
        assert segment is not None
        return asyncio.create_task(self._fetch(fetcher, follower, segment))

    async def _fetch(
        self, fetcher: Fetcher, follower: LogFollower, segment: Segment
    ) -> CheckedSegment:
        fetched = await fetcher.segment(segment)
        return await self._check(follower, segment, fetched.entries, fetched.bodies, fetched.tail)

    async def _take(self, announcement: Announcement) -> bool:
        """Take what was announced; returns False if more is signed than that."""
        start = announcement.start
        while (segment := self._follower.next_segment()) is not None:
            upto = start + len(announcement.entries)
            # The hashes to a segment's right are not announced, so it must reach a signed size.
            if segment.tail or segment.start < start or segment.end > upto:
                return False
            part = slice(segment.start - start, segment.end - start)
            entries, bodies = announcement.entries[part], announcement.bodies[part]
            await self._settle(await self._check(self._follower, segment, entries, bodies, ()))
        return True

    async def _check(
        self,
        follower: LogFollower,
        segment: Segment,
        entries: Sequence[bytes],
        bodies: Sequence[BodyAnswer],
        tail: Sequence[bytes],
    ) -> CheckedSegment:
        today = self._today()
        if len(entries) <= _INLINE and not any(
            claims_kind(entry, Kind.PROMOTION) for entry in entries
        ):
            return follower.check(segment, entries, bodies, tail, today)
        return await self._workers.run(follower.check, segment, entries, bodies, tail, today)

    async def _settle(self, checked: CheckedSegment) -> None:
        """Verify a checked segment's proofs, decide it, and make it durable."""
        assert checked.segment is not None
        verdicts = await self._workers.verify(checked.claims)
        name, size = self.member.name, checked.segment.start
        follower = self._follower
        try:
            if len(checked.assessed) <= _INLINE:
                assessed, rows = _conclude(follower, checked, verdicts)
            else:
                assessed, rows = await self._workers.run(_conclude, follower, checked, verdicts)
            await self._store.commit_segment(name, size, rows, follower.state)
        except SecondRootError as error:
            self._follower = self._restart()
            await self._second_root(error)
        except BaseException:
            self._follower = self._restart()
            raise
        self._held = checked.segment.end
        if self._assessed is not None:
            self._assessed(name, assessed)

    async def _reassess(self, items: Sequence[tuple[int, bytes, BodyAnswer]]) -> int:
        name = self.member.name
        checked = await self._workers.run(self._follower.reassess, items, self._today())
        verdicts = await self._workers.verify(checked.claims)
        assessed, rows = _conclude(self._follower, checked, verdicts)
        changed = await self._store.resolve_deferred(name, rows)
        if changed and self._assessed is not None:
            self._assessed(name, assessed)
        return changed

    # --- evidence

    async def _offer(self, checkpoint: bytes, *, pushed: bool) -> None:
        """Offer a checkpoint; evidence against the log is made durable before all else."""
        try:
            self._follower.offer(checkpoint, pushed=pushed)
        except SuspendedLogError as error:
            await self._suspend(error.evidence)

    async def _remember(self) -> None:
        """Make the checkpoint that is being followed durable, before anything of it came.

        Its owner can withhold what it covers for as long as it likes; another root for its size
        must be a fork after a restart of this node too.
        """
        state = self._follower.state
        if state.target is None or state.target == self._remembered:
            return
        try:
            await self._store.save_state(self.member.name, state)
        except SecondRootError as error:
            self._follower = self._restart()
            await self._second_root(error)
        except BaseException:
            self._follower = self._restart()
            raise
        self._remembered = state.target

    async def _diagnose(self, fetcher: Fetcher) -> None:
        """Find out whether bytes that do not fit are broken, or proof of two histories."""
        diagnosis = self._follower.diagnosis()
        if diagnosis is None:
            return
        left = await fetcher.nodes(diagnosis.left, diagnosis.size)
        right = await fetcher.nodes(diagnosis.right, diagnosis.size)
        evidence = self._follower.diagnose(left, right)
        if evidence is not None:
            await self._suspend(evidence)

    async def _second_root(self, error: SecondRootError) -> NoReturn:
        """The store knows another root for a size than the follower did: the proof of a split."""
        evidence = Evidence(EvidenceKind.SPLIT, self.member.name, error.first, error.second)
        verify_evidence(self._mesh, evidence)
        await self._suspend(evidence)

    async def _suspend(self, evidence: Evidence) -> NoReturn:
        """Store the evidence and stop following. Raises SuspendedPeerError."""
        name = self.member.name
        log.error("federation.equivocation", peer=name, kind=evidence.kind, size=self.size)
        try:
            # The stored state, for the follower's may be ahead of it or hold the second root.
            state = replace(self._store.state(name), evidence=evidence)
            await self._store.save_state(name, state)
        finally:
            self._follower = self._restart()
        self._error = SuspendedPeerError.__name__
        raise self._suspended(evidence)

    def _refuse_suspended(self) -> None:
        evidence = self._follower.state.evidence
        if evidence is not None:
            raise self._suspended(evidence)

    def _suspended(self, evidence: Evidence) -> SuspendedPeerError:
        return SuspendedPeerError(
            f"the log of {self.member.name} is suspended: {evidence.reason}",
            hint="its entries are not followed any more; see `orgnode peers`",
        )

    # --- small things

    @asynccontextmanager
    async def _patiently(self) -> AsyncIterator[bool]:
        """Hold the lock, unless a pull keeps it for longer than an announcement should wait."""
        try:
            async with asyncio.timeout(self._rhythm.patience):
                await self._lock.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self._lock.release()

    def _seen(self) -> None:
        self._last_contact = self._clock()
        if self._contact is not None:
            self._contact(self.member.name)

    def _restart(self) -> LogFollower:
        """A follower of what is stored; whatever one before it had in memory is forgotten."""
        state = self._store.state(self.member.name)
        self._held = state.size
        return self._from_state(state)

    def _from_state(self, state: FollowerState) -> LogFollower:
        name, store = self.member.name, self._store
        return LogFollower(
            self._mesh,
            self.member,
            state,
            holds_signal=lambda entry_id: store.holds_signal(name, entry_id),
            holds_entry=lambda entry_id: store.holds_entry(name, entry_id),
        )


def _conclude(
    follower: LogFollower, checked: CheckedSegment, verdicts: Sequence[ProofsError | None]
) -> tuple[Sequence[Assessed], list[LogRow]]:
    # Asks the store about every entry, so with many of them it is called in a thread. It is handed
    # the follower: should the call be cancelled, the one that takes over must not be moved by it.
    assessed = follower.conclude(checked, verdicts)
    return assessed, [LogRow.of(entry) for entry in assessed]
