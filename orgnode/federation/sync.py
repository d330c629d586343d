"""Following one member's log: by its announcements when they come, by pulling what they leave out.

What is pulled may come from the owner or from any mirror: nothing of it counts before it has hashed
to what the owner signed, so it does not matter who hands it over. Fetching holds no lock, so that a
peer that stalls or trickles never keeps the owner's own announcements from being taken. There is
one `LogSync` for each log, and nothing is shared between them but the store and the workers: a peer
that lies or floods holds up its own log only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from mesh.certificate import CertificateError
from mesh.following import RefusedCheckpointError, Segment, SegmentMismatchError
from mesh.genesis import Mesh
from mesh.member import MemberCard
from mesh.wire import Announcement
from orgnode.federation.client import PeerClient
from orgnode.federation.deferred import DeferredBodies
from orgnode.federation.errors import AnnouncementError
from orgnode.federation.fetch import Fetched, Fetcher, end, together
from orgnode.federation.followed import LogEvents, claimed_size
from orgnode.federation.held import HeldLog
from orgnode.federation.limits import Rhythm
from orgnode.federation.mirrorquota import MirrorQuota
from orgnode.federation.ports import Clock, Today, Workers
from orgnode.federation.status import PeerStatus
from orgnode.federation.turns import Turn
from orgnode.store import Store
from proofs.errors import ProofsError
from proofs.note import parse_note

__all__ = ["LogEvents", "LogSync", "PeerStatus"]

T = TypeVar("T")


class LogSync:
    """Follows the log of one member. Its methods may be called from any task of the event loop.

    `limited`: whether the log may grow only so much in a day here (`MirrorQuota`); the own log,
    when it is restored from mirrors, may grow at will. `clock`: seconds that never go back, the
    event loop's if it is left out: a machine's clock that was wrong for a while must not put off
    until tomorrow what is due in seconds.
    """

    def __init__(
        self,
        *,
        member: MemberCard,
        mesh: Mesh,
        store: Store,
        workers: Workers,
        today: Today,
        events: LogEvents,
        clock: Clock | None = None,
        rhythm: Rhythm | None = None,
        limited: bool = True,
    ) -> None:
        self.member = member
        self.name = member.name
        self._rhythm = rhythm or Rhythm()
        self._held = HeldLog(
            member=member,
            mesh=mesh,
            store=store,
            workers=workers,
            today=today,
            events=events,
            quota=MirrorQuota(member.name, mesh.constraints.daily_quota) if limited else None,
        )
        self._deferred = DeferredBodies(store, member.name, self._rhythm, clock or _loop_time)

    @property
    def size(self) -> int:
        """Entries of the log that are held, durable."""
        return self._held.size

    @property
    def certified(self) -> int:
        """How many of them are certified."""
        return self._held.certified

    @property
    def known_size(self) -> int:
        """Size of the newest checkpoint that the log is known to have signed."""
        return self._held.known_size

    @property
    def suspended(self) -> str:
        """The kind of evidence against the log, so that it is not followed any more; "" if none."""
        evidence = self._held.evidence
        return "" if evidence is None else evidence.kind

    def refresh(self) -> None:
        """Evidence against this log was stored by somebody else: read it before going on."""
        self._held.refresh()

    async def pull(
        self, source: PeerClient, *, certified: int = 0, turn: Turn | None = None
    ) -> int:
        """Follow the log up to the newest checkpoint that `source` has of it, from there.

        `certified` is how far the source says that the log is certified; its certificate is fetched
        if that is news. `turn`: how long the source is waited for; without, for as long as each
        request may take. Returns how many entries came meanwhile, from whomever.

        Raises TimeoutError when the turn is over.

        Raises PeerError when the source does not answer as it should, MeshError or ProofsError when
        what it serves is not what the owner signed, SuspendedPeerError when there is proof of two
        histories, MirrorQuotaError, StoreError.
        """
        held = self._held
        held.refuse_suspended()
        start = held.size
        checkpoint = await _in(turn, source.checkpoint(self.name))
        async with held.lock:
            await held.offer(checkpoint)
            cosigned = len(parse_note(checkpoint).signatures) > 1
            if cosigned:
                await held.certify(checkpoint)
            await held.remember()
        upto = claimed_size(checkpoint)
        if certified > max(held.certified, upto if cosigned else 0):
            certificate = await _in(turn, source.certificate(self.name))
            async with held.lock:
                await held.certify(certificate)
            upto = max(upto, claimed_size(certificate))
        await self._follow(Fetcher(source, self.name), upto, turn)
        return held.size - start

    async def on_announce(self, announcement: Announcement) -> tuple[int, int]:
        """Take an announcement of the log's owner; returns how much is held, and certified, then.

        Entries that begin where this node stands and reach a signed size are taken at once, without
        another round trip; anything else is left to a pull. Raises AnnouncementError when the
        checkpoint, the certificate or the entries do not verify, SuspendedPeerError,
        MirrorQuotaError, StoreError.
        """
        if await self._lock_patiently():
            try:
                await self._heed(announcement)
            except SegmentMismatchError as error:
                # Broken bytes, or a fork across sizes: only tiles can tell, so a pull does.
                raise AnnouncementError("the entries do not hash to the checkpoint") from error
            except (RefusedCheckpointError, CertificateError, ProofsError) as error:
                raise AnnouncementError("the announced checkpoint does not verify") from error
            finally:
                self._held.lock.release()
        return self._held.size, self._held.certified

    async def consider(self, checkpoint: bytes) -> None:
        """Compare a checkpoint of this log, from anybody, with what is held and known.

        Raises RefusedCheckpointError when it is not one, SuspendedPeerError when it proves two
        histories, StoreError.
        """
        async with self._held.lock:
            await self._held.offer(checkpoint)

    async def remember(self, checkpoint: bytes) -> None:
        """Take a checkpoint of this log from anybody, durably, as one to be followed.

        Raises as `consider` does.
        """
        async with self._held.lock:
            await self._held.offer(checkpoint)
            await self._held.remember()

    async def retry_bodies(self, sources: Iterable[PeerClient]) -> int:
        """Ask sources, one after the other, for bodies that are missing here and due.

        Then what waited for such a body is looked at again, though it came some other way or before
        a restart. Returns how many entries were decided by it. Raises FollowerError, StoreError.
        """
        if self.suspended:
            return 0
        changed = 0
        async for items in self._deferred.ask(sources):
            async with self._held.lock:
                changed += await self._held.reassess(items)
        async with self._held.lock:
            changed += await self._held.reassess_waiting()
        return changed

    # --- announcements

    async def _heed(self, announcement: Announcement) -> None:
        held, note = self._held, announcement.certificate
        upto = announcement.start + len(announcement.entries)
        came = announcement.start <= held.size < upto == claimed_size(announcement.checkpoint)
        await held.offer(announcement.checkpoint, backed=came)
        # Before any work: what does not verify must not cost more than it takes to see that.
        certificate = held.opened(note) if note else None
        if certificate is None:
            took = await self._take(announcement)
        elif certificate.size <= held.size:
            # It is about what is held already: what else came goes to the disk with it.
            if came:
                took, _ = await together(
                    self._take(announcement), held.take_certificate(certificate)
                )
            else:
                await held.take_certificate(certificate)
                took = await self._take(announcement)
        else:
            took = await self._take(announcement)
            await held.take_certificate(certificate)
        if not took:
            await held.remember()

    async def _take(self, announcement: Announcement) -> bool:
        """Take what was announced; returns False if more is signed than that."""
        held, start = self._held, announcement.start
        while (segment := held.next_segment()) is not None:
            upto = start + len(announcement.entries)
            # The hashes to a segment's right are not announced, so it must reach a signed size.
            if segment.tail or segment.start < start or segment.end > upto:
                return False
            part = slice(segment.start - start, segment.end - start)
            entries, bodies = announcement.entries[part], announcement.bodies[part]
            checked = await held.check(segment, entries, bodies, ())
            await held.settle(checked, announcement.hints[part])
        return True

    async def _lock_patiently(self) -> bool:
        """Take the lock, unless others keep it for longer than an announcement should wait."""
        lock = self._held.lock
        if not lock.locked():
            return await lock.acquire()  # at once: no need of a timeout
        try:
            async with asyncio.timeout(self._rhythm.patience):
                return await lock.acquire()
        except TimeoutError:
            return False

    # --- pulling

    async def _follow(self, fetcher: Fetcher, upto: int, turn: Turn | None) -> None:
        """Follow the log as far as the source goes, fetching one segment while another is stored.

        A larger checkpoint may be known, from elsewhere; it is left to who has what it covers.
        """
        held = self._held
        ahead: tuple[Segment, asyncio.Task[Fetched]] | None = None
        try:
            while True:
                async with held.lock:
                    segment = held.next_segment()
                if segment is None or segment.size > upto:
                    return
                if ahead is not None and ahead[0] == segment:
                    fetched = await _in(turn, ahead[1])
                else:
                    await end(None if ahead is None else ahead[1])
                    fetched = await _in(turn, fetcher.segment(segment))
                ahead = None
                async with held.lock:
                    if segment != held.next_segment():
                        continue  # an announcement was quicker
                    try:
                        checked = await held.check(
                            segment, fetched.entries, fetched.bodies, fetched.tail
                        )
                    except SegmentMismatchError as error:
                        mismatch = error
                    else:
                        following = held.ahead(checked)
                        if following is not None:
                            task = asyncio.create_task(fetcher.segment(following))
                            ahead = following, task
                        await held.settle(checked)
                        continue
                await self._diagnose(fetcher, turn)
                raise mismatch
        finally:
            await end(None if ahead is None else ahead[1])

    async def _diagnose(self, fetcher: Fetcher, turn: Turn | None) -> None:
        """Find out whether bytes that do not fit are broken, or proof of two histories."""
        async with self._held.lock:
            diagnosis = self._held.diagnosis()
        if diagnosis is None:
            return
        left = await _in(turn, fetcher.nodes(diagnosis.left, diagnosis.size))
        right = await _in(turn, fetcher.nodes(diagnosis.right, diagnosis.size))
        async with self._held.lock:
            await self._held.diagnose(left, right)


async def _in(turn: Turn | None, answer: Awaitable[T]) -> T:
    return await (answer if turn is None else turn.wait(answer))


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
