"""One member's log as this node holds it: its entries, and how far they are certified.

Entries are proven to be the log's, assessed, and stored with all that follows from them. A
certificate takes effect once what it covers is held, whichever comes first. Like its base, nothing
here waits for a peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mesh.assessment import Assessed
from mesh.certificate import Certificate, check_claimed_quorum, open_certificate
from mesh.claims import Claim
from mesh.entry import Kind, claims_kind
from mesh.errors import MissingBodyError
from mesh.follower import MAX_SEGMENT, LogFollower
from mesh.following import CheckedSegment, Segment
from mesh.genesis import Mesh
from mesh.member import MemberCard
from mesh.wire import BodyAnswer, Present
from orgnode.federation.fetch import to_its_end
from orgnode.federation.followed import FollowedLog, LogEvents, claimed_size
from orgnode.federation.mirrorquota import MirrorQuota
from orgnode.federation.ports import Today, Workers
from orgnode.store import LogRow, SecondRootError, Store, StoreConflictError
from proofs.errors import ProofsError

# So few entries are checked faster on the event loop (about 0.2 ms each) than a thread away.
_INLINE = 8
# A promotion takes up to 35 ms, so entries among which there are any are checked so many at a time,
# apart from all others, and other logs have their turn in between.
_PIECE = 16


class HeldLog(FollowedLog):
    """What is held of one member's log. `quota` is None for a log that is taken without limit."""

    def __init__(
        self,
        *,
        member: MemberCard,
        mesh: Mesh,
        store: Store,
        workers: Workers,
        today: Today,
        events: LogEvents,
        quota: MirrorQuota | None = None,
    ) -> None:
        # No segment is larger than a day's worth: it would never be taken.
        segment = MAX_SEGMENT if quota is None else min(MAX_SEGMENT, quota.most)
        super().__init__(
            member=member,
            mesh=mesh,
            store=store,
            events=events,
            segment=segment,
            limited=quota is not None,
        )
        self._workers = workers
        self._today = today
        self._quota = quota
        self._pending: Certificate | None = None
        self._certified = store.certified_size(self.name)

    @property
    def certified(self) -> int:
        """How many of them are certified, durable."""
        return self._certified

    # --- certificates

    async def certify(self, note: bytes) -> None:
        """Take a certificate from anybody, now if what it covers is held, else once it is.

        :raises CertificateError: it is none, or of no quorum.
        :raises SuspendedPeerError: it contradicts what is held: the log signed two histories.
        :raises StoreError: see there.
        """
        certificate = self.opened(note)
        if certificate is not None:
            await self.take_certificate(certificate)

    def opened(self, note: bytes) -> Certificate | None:
        """Verify a certificate from anybody; None if it is old news, whether true or not.

        :raises CertificateError, ProofsError: it is none, or of no quorum.
        """
        known = self._pending
        if known is not None and note == known.note:
            return known
        if claimed_size(note) <= self._certified:
            return None
        check_claimed_quorum(self._mesh, self.name, note)
        return open_certificate(self._mesh, self.name, note)

    async def take_certificate(self, certificate: Certificate) -> None:
        """`certify` with what `opened` returned."""
        if certificate.size > self._held:
            await self.offer(certificate.note, backed=True)
            self._pending = certificate
        else:
            await self._apply(certificate)

    async def _apply(self, certificate: Certificate) -> None:
        if certificate.size > self._certified:
            try:
                await self._store.certify(
                    self.name, certificate.note, certificate.size, certificate.root
                )
            except StoreConflictError:
                # The held tree has another root there: this finds the evidence, if it is one.
                await self.offer(certificate.note)
                raise
            if certificate.size > self._certified:  # two may be on their way to the disk
                self._certified = certificate.size
                self._events.certified(self.name, certificate.size)
        if self._pending is not None and self._pending.size <= self._certified:
            self._pending = None

    # --- entries

    def next_segment(self) -> Segment | None:
        """What to fetch next; None when the newest known checkpoint is reached.

        :raises MirrorQuotaError: the log has grown by more than is mirrored in a day.
        :raises SuspendedPeerError: the log was convicted.
        """
        self.refuse_suspended()
        segment = self._current().next_segment()
        if segment is not None and self._quota is not None:
            self._quota.check(segment.start, segment.end, self._vouched(), self._today())
        return segment

    async def check(
        self,
        segment: Segment,
        entries: Sequence[bytes],
        bodies: Sequence[BodyAnswer],
        tail: Sequence[bytes],
    ) -> CheckedSegment:
        """Prove that entries are the log's, and assess each. Raises SegmentMismatchError."""
        follower, today, workers = self._follower, self._today(), self._workers
        if any(claims_kind(entry, Kind.PROMOTION) for entry in entries):
            proven = await to_its_end(workers.run(follower.prove, segment, entries, bodies, tail))
            assessed: list[Assessed] = []
            for start in range(0, len(entries), _PIECE):
                end = min(start + _PIECE, len(entries))
                assessed += await to_its_end(
                    workers.heavy(follower.assess_part, proven, start, end, today)
                )
            return follower.checked(proven, assessed)
        if len(entries) <= _INLINE:
            return follower.check(segment, entries, bodies, tail, today)
        return await to_its_end(workers.run(follower.check, segment, entries, bodies, tail, today))

    async def settle(self, checked: CheckedSegment, hints: Sequence[bytes] = ()) -> None:
        """Verify a checked segment's proofs, decide it, and make it durable.

        `hints`: one for each entry's proof, from anybody, or none at all.

        :raises SuspendedPeerError: the store knows another root; the evidence is stored.
        :raises StoreError: see there; nothing was taken.
        """
        verdicts = await self._verdicts(_hinted(checked, hints))
        await to_its_end(self._take(checked, verdicts))

    async def _verdicts(self, claims: Sequence[Claim]) -> Sequence[ProofsError | None]:
        """For each of the claims the error that it is refused with, or None if it holds."""
        return await to_its_end(self._workers.verify(claims)) if claims else ()

    async def _take(self, checked: CheckedSegment, verdicts: Sequence[ProofsError | None]) -> None:
        segment, follower = checked.segment, self._follower
        assert segment is not None
        try:
            assessed, rows = await self._conclude(follower, checked, verdicts)
            await self._store.commit_segment(self.name, segment.start, rows, follower.state)
        except SecondRootError as error:
            await self._second_root(error)
        except BaseException:
            self._follower = self._restart()
            raise
        self._held = segment.end
        if self._quota is not None:
            self._quota.took(segment.start, segment.end, self._vouched())
        self._tell(assessed)
        if self._pending is not None and self._pending.size <= self._held:
            await self._apply(self._pending)

    def ahead(self, checked: CheckedSegment) -> Segment | None:
        """The segment that follows a checked one, if it belongs to the same target."""
        done = checked.segment
        assert done is not None
        assert checked.frontier is not None
        if done.end == done.size:
            return None
        state = replace(self._follower.state, size=done.end, frontier=checked.frontier)
        return self._from_state(state).next_segment()

    async def reassess(self, items: Sequence[tuple[int, bytes, BodyAnswer]]) -> int:
        """Look again at stored entries whose bodies came; returns how many are decided now."""
        follower = self._current()
        checked = await self._reassessed(follower, sorted(items, key=lambda item: item[0]))
        verdicts = await self._verdicts(checked.claims)
        assessed, rows = await self._conclude(follower, checked, verdicts)
        changed = await self._store.resolve_deferred(self.name, rows)
        if changed:
            self._tell(assessed)
        return changed

    async def reassess_waiting(self) -> int:
        """Look again at what has its body here and waited for another entry's; as `reassess`.

        An accusation waits for those before it, whose bodies say against whom they are.
        """
        changed = 0
        while waiting := [
            (row.index, row.note, row.answer)
            for row in self._store.deferred(self.name, MissingBodyError.__name__)
            if isinstance(row.answer, Present)
        ]:
            decided = await self.reassess(waiting)
            if not decided:
                break
            changed += decided
        return changed

    # --- small things

    async def _reassessed(
        self, follower: LogFollower, items: Sequence[tuple[int, bytes, BodyAnswer]]
    ) -> CheckedSegment:
        today, workers = self._today(), self._workers
        if not any(claims_kind(note, Kind.PROMOTION) for _, note, _ in items):
            return await to_its_end(workers.run(follower.reassess, items, today))
        parts = [
            await to_its_end(workers.heavy(follower.reassess, items[start : start + _PIECE], today))
            for start in range(0, len(items), _PIECE)
        ]
        assessed = tuple(one for part in parts for one in part.assessed)
        claims = tuple(claim for part in parts for claim in part.claims)
        return CheckedSegment(assessed, claims, None, None)

    async def _conclude(
        self,
        follower: LogFollower,
        checked: CheckedSegment,
        verdicts: Sequence[ProofsError | None],
    ) -> tuple[Sequence[Assessed], list[LogRow]]:
        if len(checked.assessed) <= _INLINE:
            return _conclude(follower, checked, verdicts)
        return await to_its_end(self._workers.run(_conclude, follower, checked, verdicts))

    def _vouched(self) -> int:
        """Up to where a quorum of the members is known to hold the log."""
        return max(self._certified, 0 if self._pending is None else self._pending.size)

    def _tell(self, assessed: Sequence[Assessed]) -> None:
        for one in assessed:
            if one.evidence is not None:  # accepted: what is not has no content
                self._events.accused(one.evidence)
        self._events.assessed(self.name, assessed)


def _hinted(checked: CheckedSegment, hints: Sequence[bytes]) -> Sequence[Claim]:
    """A checked segment's claims, each with its entry's hint."""
    if not hints:
        return checked.claims
    return [
        replace(entry.claim, hint=hint)
        for entry, hint in zip(checked.assessed, hints, strict=True)
        if entry.claim is not None
    ]


def _conclude(
    follower: LogFollower, checked: CheckedSegment, verdicts: Sequence[ProofsError | None]
) -> tuple[Sequence[Assessed], list[LogRow]]:
    # Asks the store about every entry, so with many of them it is called in a thread. It is handed
    # the follower: should the call be cancelled, the one that takes over must not be moved by it.
    assessed = follower.conclude(checked, verdicts)
    return assessed, [LogRow.of(entry) for entry in assessed]
