"""Following another member's log: what it appends is verified before it counts, whatever is served.

A `LogFollower` does no I/O. Its caller fetches what it asks for and hands it in:

    follower.offer(checkpoint)                     # signed by the log; something to follow?
    while segment := follower.next_segment():      # at most 256 entries, and the nodes after them
        checked = follower.check(segment, entries, bodies, tail_hashes, today)
        verdicts = ...                             # verify checked.claims, as a batch, anywhere
        assessed = follower.conclude(checked, verdicts)
        ...                                        # store `assessed` and `follower.state` together

What it guarantees:

1. Nothing of a segment is looked at before the frontier of everything processed so far, the
   segment's entries and the nodes to their right have hashed to the root that the log signed. This
   proves at once that the entries are the log's and that the log still begins with all that was
   processed before. Memory is bounded by a segment, however long the backlog.
2. Wrong bytes change nothing: the segment is refused (`SegmentMismatchError`) and asked for again.
3. A log that signs two histories is convicted by evidence that anybody can check (`ForkError`,
   `diagnose`), one that forgets what it had signed by evidence for this node (`ShrunkLogError`).
   From then on nothing more of it is accepted (`SuspendedLogError`). An honest log can't be
   convicted by lost, delayed, reordered or altered answers.
4. A bad entry is refused and recorded; the entries after it are followed all the same.

A checkpoint that is being followed is followed to its end before a newer one becomes the target.
Both are signed, so they must agree; dropping the older one unread would drop half of a proof that
they do not. Certification will enter in `conclude`, as a fact about `state.checkpoint`:
cosignatures make what it covers certified.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.assessment import Assessed, assess, assess_leaf, claims_of, settle
from mesh.days import Day
from mesh.evidence import (
    MAX_CHECKPOINT,
    Evidence,
    EvidenceFormatError,
    EvidenceKind,
    UnprovenEvidenceError,
    check_hashes,
    forked,
)
from mesh.following import (
    CheckedSegment,
    CheckpointSignatureError,
    CheckpointSizeError,
    Diagnosis,
    EmptyRootError,
    FollowerState,
    FollowerStateError,
    ForkError,
    Segment,
    SegmentMismatchError,
    ShrunkLogError,
    StaleSegmentError,
    SuspendedLogError,
    TileMismatchError,
)
from mesh.genesis import Mesh
from mesh.member import MemberCard
from mesh.wire import BodyAnswer
from proofs.checkpoint import Checkpoint, open_checkpoint
from proofs.errors import ProofsError
from proofs.merkle import (
    EMPTY_ROOT,
    leaf_hash,
    range_nodes,
    root_from_ranges,
)
from proofs.tiles import TILE_WIDTH

MAX_SIZE: Final = 2**53 - 1
"""Largest log that is followed: the largest integer of strict JSON."""

MAX_SEGMENT: Final = TILE_WIDTH
"""Most entries that are checked at a time: what a C2SP bundle holds."""


@dataclass(frozen=True)
class _Signed:
    note: bytes
    checkpoint: Checkpoint

    @property
    def size(self) -> int:
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        return self.checkpoint.root


class LogFollower:
    """Follows one member's log. For one task at a time; `check` may run in a thread of its own.

    :param state: `FollowerState.empty()`, or what was stored last. When storing fails after
        `conclude`, make a new follower from what is stored.
    :param holds_signal: whether this log holds a signal with this id, stored before, that was not
        refused for good (`Assessed.holds_signal`). Asked for the targets of retractions.
    :param holds_entry: whether this log holds an entry with this id, stored before, whatever became
        of it. Asked for duplicates. Without it `holds_signal` is asked, which lets a copy of an
        entry that was refused or is no signal be recorded twice.
    :param segment: most entries to check at a time, 1 to 256.
    :raises FollowerStateError: the state contradicts itself.
    """

    def __init__(
        self,
        mesh: Mesh,
        member: MemberCard,
        state: FollowerState,
        *,
        holds_signal: Callable[[str], bool],
        holds_entry: Callable[[str], bool],
        segment: int = MAX_SEGMENT,
    ) -> None:
        if not 1 <= segment <= MAX_SEGMENT:
            raise ValueError(f"a segment holds 1 to {MAX_SEGMENT} entries")
        self._mesh = mesh
        self._member = member
        self._key = mesh.log_key(member.name)
        self._holds_signal = holds_signal
        self._holds_entry = holds_entry
        self._limit = segment
        self._size = state.size
        self._frontier = state.frontier
        self._checkpoint = self._restore(state.checkpoint)
        self._target = self._restore(state.target)
        self._latest: _Signed | None = None
        self._evidence = state.evidence
        self._turn = 0
        self._asked: Diagnosis | None = None
        self._check_state()

    @property
    def member(self) -> MemberCard:
        """Who owns the log."""
        return self._member

    @property
    def state(self) -> FollowerState:
        """What to store."""
        return FollowerState(
            size=self._size,
            frontier=self._frontier,
            checkpoint=self._checkpoint.note if self._checkpoint else None,
            target=self._target.note if self._target else None,
            evidence=self._evidence,
        )

    @property
    def known_size(self) -> int:
        """Size of the newest checkpoint that the log is known to have signed."""
        newest = self._newest()
        return newest.size if newest else 0

    def offer(self, checkpoint: bytes, *, pushed: bool = False) -> bool:
        """Take a signed checkpoint; return whether there is something to follow.

        Two roots of one size are a fork however they arrive. A checkpoint *smaller* than a known
        one is held against the log only if it answers a request that was sent after the known one
        had been offered here: then the log itself says that it is its newest. So ask for a
        checkpoint and offer the answer without offering another in between, and set `pushed` for
        one that came unasked: a newer one may have overtaken it on its way, and an older one is
        ignored.

        :raises CheckpointSignatureError: not a checkpoint that this log signed; no state changes.
        :raises EmptyRootError: size 0 with a root that no empty log has; no state changes.
        :raises CheckpointSizeError: a size past 2^53 - 1; no state changes.
        :raises ForkError: the log signed two roots for one size. Store the state.
        :raises ShrunkLogError: the log's newest is smaller than what it signed before. Store the
            state.
        :raises SuspendedLogError: the log was convicted before.
        """
        self._check_not_suspended()
        signed = self._open(checkpoint)
        if signed.size > MAX_SIZE:
            raise CheckpointSizeError(f"{self._member.name} signed a log of {signed.size} entries")
        if signed.size == 0 and signed.root != EMPTY_ROOT:
            raise EmptyRootError(f"{self._member.name} signed an empty log with another root")
        for known in self._known():
            if known.size == signed.size and known.root != signed.root:
                raise ForkError(self._convict(EvidenceKind.SPLIT, known, signed))
        newest = self._newest()
        if newest is None or signed.size > newest.size:
            if signed.size == self._size:  # an empty log: there is nothing to follow yet
                self._checkpoint = signed
            elif self._target is None:
                self._target = signed
            else:
                self._latest = signed
        elif signed.size < newest.size and not pushed:
            raise ShrunkLogError(self._convict(EvidenceKind.SHRINK, newest, signed))
        return self._target is not None

    def next_segment(self) -> Segment | None:
        """What to fetch next; None when the newest known checkpoint is reached.

        What is left goes in one segment if it is short enough; otherwise segments end where bundles
        do, so that no bundle is fetched twice.

        :raises SuspendedLogError: the log was convicted.
        """
        self._check_not_suspended()
        if self._target is None:
            return None
        start, size = self._size, self._target.size
        end = size
        if size - start > self._limit:
            end = min(start + self._limit, (start // TILE_WIDTH + 1) * TILE_WIDTH)
        return Segment(start, end, range_nodes(end, size), size)

    def check(
        self,
        segment: Segment,
        entries: Sequence[bytes],
        bodies: Sequence[BodyAnswer],
        tail_hashes: Sequence[bytes],
        today: Day,
    ) -> CheckedSegment:
        """Prove that entries are the log's, then assess each. Changes no state.

        :param entries: the entries from `segment.start` up to `segment.end`, and as many `bodies`.
        :param tail_hashes: the hashes of `segment.tail`.
        :raises SegmentMismatchError: they do not hash to the signed root, or are too few or many.
        :raises StaleSegmentError: the segment is not the next one any more.
        :raises SuspendedLogError: the log was convicted.
        """
        target = self._check_current(segment)
        count = segment.end - segment.start
        if len(entries) != count or len(bodies) != count:
            raise SegmentMismatchError(
                f"{count} entries are due; {len(entries)} came, with {len(bodies)} bodies"
            )
        try:
            check_hashes(tail_hashes, len(segment.tail))
        except EvidenceFormatError as error:
            raise SegmentMismatchError(str(error)) from error
        leaves = [leaf_hash(entry) for entry in entries]
        frontier = self._frontier.extend(leaves)
        if root_from_ranges(frontier, tail_hashes, target.size) != target.root:
            raise SegmentMismatchError(
                f"entries {segment.start} to {segment.end - 1} of {self._member.name} do not lead "
                f"to the root that it signed for size {target.size}"
            )
        assessed = tuple(
            assess_leaf(self._mesh, self._member, index, leaf, note, answer, today)
            for index, leaf, note, answer in zip(
                range(segment.start, segment.end), leaves, entries, bodies, strict=True
            )
        )
        return CheckedSegment(assessed, claims_of(assessed), segment, frontier)

    def reassess(
        self, items: Sequence[tuple[int, bytes, BodyAnswer]], today: Day
    ) -> CheckedSegment:
        """Look again at entries (index, note, new answer) that were checked and stored before.

        For those whose outcome is `Assessed.retryable`, once in a while. Hand the result to
        `conclude`, which then moves no state.

        :raises SuspendedLogError: the log was convicted.
        """
        self._check_not_suspended()
        assessed = tuple(
            assess(self._mesh, self._member, index, note, answer, today)
            for index, note, answer in sorted(items, key=lambda item: item[0])
        )
        return CheckedSegment(assessed, claims_of(assessed), None, None)

    def conclude(
        self, checked: CheckedSegment, verdicts: Sequence[ProofsError | None]
    ) -> tuple[Assessed, ...]:
        """Decide a checked segment and move on; store the result and `state` in one transaction.

        :param verdicts: for each of `checked.claims` its error, or None if the proof holds.
        :raises VerdictCountError: there is not one verdict for each claim.
        :raises StaleSegmentError: the state has moved since the segment was checked.
        :raises SuspendedLogError: the log was convicted meanwhile.
        """
        if checked.segment is None or checked.frontier is None:
            self._check_not_suspended()
            # The entries themselves stand in the store: each would be its own duplicate.
            return settle(
                checked.assessed,
                verdicts,
                holds_signal=self._holds_signal,
                holds_entry=lambda _: False,
            )
        target = self._check_current(checked.segment)
        settled = settle(
            checked.assessed,
            verdicts,
            holds_signal=self._holds_signal,
            holds_entry=self._holds_entry,
        )
        self._size, self._frontier = checked.segment.end, checked.frontier
        if self._size == target.size:
            self._checkpoint, self._target, self._latest = target, self._latest, None
        return settled

    def diagnosis(self) -> Diagnosis | None:
        """What to fetch after a mismatch; None when only asking again can help.

        When two pairs of checkpoints are in question, calls take turns between them. A pair is
        out of question once entries past the smaller one were proven under the larger one.

        :raises SuspendedLogError: the log was convicted.
        """
        self._check_not_suspended()
        pairs = self._doubtful()
        if not pairs:
            self._asked = None
            return None
        first, second = pairs[self._turn % len(pairs)]
        self._turn += 1
        self._asked = Diagnosis(
            first.note,
            second.note,
            range_nodes(0, first.size),
            range_nodes(first.size, second.size),
            second.size,
        )
        return self._asked

    def diagnose(
        self, left_hashes: Sequence[bytes], right_hashes: Sequence[bytes]
    ) -> Evidence | None:
        """Judge what was fetched for the last `diagnosis`.

        :returns: the evidence of a fork, which suspends the log: store the state. None if the two
            checkpoints belong to one history: wrong bytes were served before; ask again.
        :raises TileMismatchError: the hashes do not lead to the larger root: they show nothing.
        :raises StaleSegmentError: no diagnosis was asked for.
        :raises SuspendedLogError: the log was convicted.
        """
        self._check_not_suspended()
        asked, self._asked = self._asked, None
        if asked is None:
            raise StaleSegmentError("no diagnosis is open; call diagnosis() first")
        first, second = self._open(asked.first), self._open(asked.second)
        try:
            proven = forked(first.checkpoint, second.checkpoint, left_hashes, right_hashes)
        except (EvidenceFormatError, UnprovenEvidenceError) as error:
            raise TileMismatchError(str(error)) from error
        if not proven:
            return None
        return self._convict(EvidenceKind.FORK, first, second, left_hashes, right_hashes)

    def _check_current(self, segment: Segment) -> _Signed:
        if segment != self.next_segment() or self._target is None:
            raise StaleSegmentError("the follower has moved on; call next_segment()")
        return self._target

    def _check_not_suspended(self) -> None:
        if self._evidence is not None:
            raise SuspendedLogError(self._evidence)

    def _known(self) -> tuple[_Signed, ...]:
        candidates = self._checkpoint, self._target, self._latest
        return tuple(signed for signed in candidates if signed is not None)

    def _newest(self) -> _Signed | None:
        return max(self._known(), key=lambda signed: signed.size, default=None)

    def _doubtful(self) -> list[tuple[_Signed, _Signed]]:
        pairs = []
        if self._target is not None:
            # Past its end, the first segment under the target has proven the checkpoint's history.
            if self._checkpoint is not None and 0 < self._checkpoint.size == self._size:
                pairs.append((self._checkpoint, self._target))
            if self._latest is not None:
                pairs.append((self._target, self._latest))
        return pairs

    def _convict(
        self,
        kind: EvidenceKind,
        first: _Signed,
        second: _Signed,
        left: Sequence[bytes] = (),
        right: Sequence[bytes] = (),
    ) -> Evidence:
        self._evidence = Evidence(
            kind, self._member.name, first.note, second.note, tuple(left), tuple(right)
        )
        return self._evidence

    def _open(self, note: bytes) -> _Signed:
        if len(note) > MAX_CHECKPOINT:
            raise CheckpointSignatureError(f"a checkpoint is at most {MAX_CHECKPOINT} bytes")
        try:
            return _Signed(note, open_checkpoint(note, self._key))
        except ProofsError as error:
            raise CheckpointSignatureError(
                f"not a checkpoint that {self._member.name} signed: {error}"
            ) from error

    def _restore(self, note: bytes | None) -> _Signed | None:
        if note is None:
            return None
        try:
            return self._open(note)
        except CheckpointSignatureError as error:
            raise FollowerStateError(
                f"the stored checkpoint of {self._member.name} is not one that it signed: "
                "restore the data directory from a backup"
            ) from error

    def _check_state(self) -> None:
        reached = self._checkpoint.size if self._checkpoint else 0
        consistent = (
            self._frontier.size == self._size
            and reached <= self._size
            and (self._target is None or self._target.size > self._size)
            and (self._target is not None or reached == self._size)
            and (
                self._checkpoint is None
                or reached != self._size
                or self._checkpoint.root == self._frontier.root()
            )
        )
        if not consistent:
            raise FollowerStateError(
                f"the stored state of the log of {self._member.name} contradicts itself: "
                "restore the data directory from a backup"
            )
