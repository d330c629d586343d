"""Following another member's log: what it appends is verified before it counts, whatever is served.

A `LogFollower` does no I/O. Its caller fetches what it asks for and hands it in:

    follower.offer(checkpoint)                     # signed by the log; something to follow?
    while segment := follower.next_segment():      # at most 256 entries, and the nodes after them
        checked = follower.check(segment, entries, bodies, tail_hashes, today)
        verdicts = ...                             # verify checked.claims, as a batch, anywhere
        assessed = follower.conclude(checked, verdicts)
        ...                                        # store `assessed` and `follower.state` together

It does not matter who serves a log: its owner, or anybody who mirrors it, maybe an older state of
it. What it guarantees:

1. Nothing of a segment is looked at before the frontier of everything processed so far, the
   segment's entries and the nodes to their right have hashed to the root that the log signed. This
   proves at once that the entries are the log's and that the log still begins with all that was
   processed before. Memory is bounded by a segment, however long the backlog.
2. Wrong bytes change nothing: the segment is refused (`SegmentMismatchError`) and asked for again.
3. A log that signs two histories is convicted by evidence that anybody can check (`ForkError`,
   `diagnose`). From then on nothing more of it is accepted (`SuspendedLogError`). Checkpoints that
   arrive late, twice, out of order or from an old mirror convict nobody, and neither do lost,
   altered or invented answers, nor a damaged disk here: evidence is two signatures of the owner.
4. A bad entry is refused and recorded; the entries after it are followed all the same.

A checkpoint that is being followed is followed to its end before a newer one becomes the target.
Both are signed, so they must agree; dropping the older one unread would drop half of a proof that
they do not.

Certificates are no concern of a follower: cosignatures are dropped from what is offered. Whoever
stores what it concludes verifies a certificate (`mesh.certificate`), and applies it once the log is
held up to its size, with the root that `FollowerState` or the stored tree has there.
"""

from collections.abc import Sequence
from typing import Final

from mesh.assessment import Assessed, assess, assess_leaf, claims_of, settle
from mesh.days import Day
from mesh.diagnosis import OwnTree, ask_about, compare
from mesh.evidence import Evidence, EvidenceFormatError, check_hashes
from mesh.following import (
    CheckedSegment,
    Diagnosis,
    FollowerState,
    ForkError,
    ProvenSegment,
    Segment,
    SegmentMismatchError,
    StaleSegmentError,
    SuspendedLogError,
)
from mesh.genesis import Mesh
from mesh.history import LogHistory, TreeReader
from mesh.member import MemberCard
from mesh.signed import Signed, open_signed, restore
from mesh.wire import BodyAnswer
from proofs.errors import ProofsError
from proofs.merkle import leaf_hash, range_nodes, root_from_ranges
from proofs.tiles import TILE_WIDTH

MAX_SEGMENT: Final = TILE_WIDTH
"""Most entries that are checked at a time: what a C2SP bundle holds."""


class LogFollower:
    """Follows one member's log. For one task at a time; `check` may run in a thread of its own.

    :param state: `FollowerState.empty()`, or what was stored last. When storing fails after
        `conclude`, make a new follower from what is stored.
    :param history: what is stored of this log; asked when a segment is concluded, about everything
        before that segment.
    :param tree: the tree of the entries that are stored, as many as `state.size` says.
    :param segment: most entries to check at a time, 1 to 256.
    :raises FollowerStateError: the state contradicts itself.
    """

    def __init__(
        self,
        mesh: Mesh,
        member: MemberCard,
        state: FollowerState,
        *,
        history: LogHistory,
        tree: TreeReader,
        segment: int = MAX_SEGMENT,
    ) -> None:
        if not 1 <= segment <= MAX_SEGMENT:
            raise ValueError(f"a segment holds 1 to {MAX_SEGMENT} entries")
        self._mesh = mesh
        self._member = member
        self._key = mesh.log_key(member.name)
        self._history = history
        self._tree = tree
        self._limit = segment
        self._size = state.size
        self._frontier = state.frontier
        self._known = restore(member.name, self._key, state)
        self._tail: tuple[bytes, ...] | None = None
        self._evidence = state.evidence
        self._turn = 0
        self._asked: tuple[Signed, Signed] | None = None

    @property
    def member(self) -> MemberCard:
        """Who owns the log."""
        return self._member

    @property
    def state(self) -> FollowerState:
        """What to store."""
        checkpoint, target = self._known.checkpoint, self._known.target
        return FollowerState(
            size=self._size,
            frontier=self._frontier,
            checkpoint=checkpoint.note if checkpoint else None,
            target=target.note if target else None,
            evidence=self._evidence,
        )

    @property
    def evidence(self) -> Evidence | None:
        """Why the log is suspended, if it is."""
        return self._evidence

    @property
    def target(self) -> bytes | None:
        """The checkpoint that is being followed; None if its end was reached."""
        target = self._known.target
        return target.note if target else None

    @property
    def known_size(self) -> int:
        """Size of the newest checkpoint that the log is known to have signed."""
        newest = self._known.newest
        return newest.size if newest else 0

    @property
    def newest(self) -> bytes | None:
        """The newest checkpoint that the log is known to have signed; None if there is none."""
        newest = self._known.newest
        return newest.note if newest else None

    def offer(self, checkpoint: bytes) -> bool:
        """Take a signed checkpoint, from anybody; return whether there is something to follow.

        A larger one than known is something to follow. A smaller one is compared with the tree that
        is held: it convicts the log if it has another root, and is old news otherwise. One that is
        not known yet and reaches beyond what is held while a larger one is followed is ignored.

        :raises CheckpointSignatureError: not a checkpoint that this log signed; no state changes.
        :raises CheckpointTextError: it has more than three lines; no state changes.
        :raises EmptyRootError: size 0 with a root that no empty log has; no state changes.
        :raises CheckpointSizeError: a size past 2^40 - 1; no state changes.
        :raises ForkError: the log signed two histories. Store the state.
        :raises SuspendedLogError: the log was convicted before.
        :raises FollowerStateError: the tree that is stored here is damaged; no state changes.
        """
        self._check_not_suspended()
        signed = open_signed(self._member.name, self._key, checkpoint)
        proof = self._known.split_by(self._member.name, signed)
        if proof is None and not self._known.take(signed, self._size) and signed.size <= self._size:
            # Of one size with the checkpoint that the held tree was proven by, and not split from
            # it: the same. As most are, for every peer hands over the newest.
            proven = self._known.checkpoint
            if proven is None or signed.size != proven.size:
                proof = self._own_tree().contradicts(signed)
        if proof is not None:
            raise ForkError(self._convict(proof))
        return self._known.target is not None

    def next_segment(self) -> Segment | None:
        """What to fetch next; None when the newest known checkpoint is reached.

        What is left goes in one segment if it is short enough; otherwise segments end where bundles
        do, so that no bundle is fetched twice.

        :raises SuspendedLogError: the log was convicted.
        """
        self._check_not_suspended()
        if self._known.target is None:
            return None
        start, size = self._size, self._known.target.size
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
        proven = self.prove(segment, entries, bodies, tail_hashes)
        return self.checked(proven, self.assess_part(proven, 0, len(proven.entries), today))

    def prove(
        self,
        segment: Segment,
        entries: Sequence[bytes],
        bodies: Sequence[BodyAnswer],
        tail_hashes: Sequence[bytes],
    ) -> ProvenSegment:
        """The first half of `check`: prove that entries are the log's. Raises as `check` does.

        The other half is `assess_part`, for all of them in parts of any size, and `checked`: for
        who can't spare the time for all of them at once.
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
        leaves = tuple(leaf_hash(entry) for entry in entries)
        frontier = self._frontier.extend(leaves)
        if root_from_ranges(frontier, tail_hashes, target.size) != target.root:
            raise SegmentMismatchError(
                f"entries {segment.start} to {segment.end - 1} of {self._member.name} do not lead "
                f"to the root that it signed for size {target.size}"
            )
        return ProvenSegment(
            segment, tuple(entries), tuple(bodies), leaves, frontier, tuple(tail_hashes)
        )

    def assess_part(
        self, proven: ProvenSegment, start: int, end: int, today: Day
    ) -> tuple[Assessed, ...]:
        """Assess the entries of a proven segment from its `start`-th up to its `end`-th."""
        return tuple(
            assess_leaf(self._mesh, self._member, index, leaf, note, answer, today)
            for index, leaf, note, answer in zip(
                range(proven.segment.start + start, proven.segment.start + end),
                proven.leaves[start:end],
                proven.entries[start:end],
                proven.bodies[start:end],
                strict=True,
            )
        )

    def checked(self, proven: ProvenSegment, assessed: Sequence[Assessed]) -> CheckedSegment:
        """A proven segment with all its entries assessed, in order; see `prove`."""
        assessed = tuple(assessed)
        claims = claims_of(assessed)
        return CheckedSegment(assessed, claims, proven.segment, proven.frontier, proven.tail)

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
            return self._settle(checked, verdicts, stored=True)
        target = self._check_current(checked.segment)
        settled = self._settle(checked, verdicts, stored=False)
        self._size, self._frontier = checked.segment.end, checked.frontier
        self._tail = checked.tail
        if self._size == target.size:
            self._known.reach_target()
        return settled

    def diagnosis(self) -> Diagnosis | None:
        """What to fetch after a mismatch; None when only asking again can help.

        When two pairs of checkpoints are in question, calls take turns between them. A pair is
        out of question once entries past the smaller one were proven under the larger one.

        :raises SuspendedLogError: the log was convicted.
        """
        self._check_not_suspended()
        pairs = self._known.doubtful_pairs(self._size)
        if not pairs:
            self._asked = None
            return None
        self._asked = pairs[self._turn % len(pairs)]
        self._turn += 1
        return ask_about(*self._asked)

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
        evidence = compare(self._member.name, *asked, left_hashes, right_hashes)
        return None if evidence is None else self._convict(evidence)

    def _settle(
        self, checked: CheckedSegment, verdicts: Sequence[ProofsError | None], *, stored: bool
    ) -> tuple[Assessed, ...]:
        return settle(
            checked.assessed, verdicts, mesh=self._mesh, history=self._history, stored=stored
        )

    def _own_tree(self) -> OwnTree:
        return OwnTree(self._member.name, self._tree, self._size, self._known, self._tail)

    def _check_current(self, segment: Segment) -> Signed:
        if segment != self.next_segment() or self._known.target is None:
            raise StaleSegmentError("the follower has moved on; call next_segment()")
        return self._known.target

    def _check_not_suspended(self) -> None:
        if self._evidence is not None:
            raise SuspendedLogError(self._evidence)

    def _convict(self, evidence: Evidence) -> Evidence:
        self._evidence = evidence
        return evidence
