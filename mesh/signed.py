"""Checkpoints that a log is known to have signed, and which of them is being followed."""

from dataclasses import dataclass

from mesh.evidence import MAX_SIZE, Evidence, EvidenceKind, is_bare
from mesh.following import (
    CheckpointSignatureError,
    CheckpointSizeError,
    CheckpointTextError,
    EmptyRootError,
    FollowerState,
    FollowerStateError,
    RefusedCheckpointError,
)
from proofs.checkpoint import Checkpoint, open_checkpoint
from proofs.cosignature import bare
from proofs.errors import ProofsError
from proofs.merkle import EMPTY_ROOT
from proofs.note import VerifierKey


@dataclass(frozen=True)
class Signed:
    """A checkpoint that its log signed, and its bare note."""

    note: bytes
    checkpoint: Checkpoint

    @property
    def size(self) -> int:
        """How many entries it covers."""
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        """Root of their tree."""
        return self.checkpoint.root


def open_signed(log: str, key: VerifierKey, note: bytes) -> Signed:
    """Verify a checkpoint that anybody handed over. Signatures of others are dropped.

    :param log: whose log it is, for people.
    :raises CheckpointSignatureError: it is not a checkpoint that this log signed.
    :raises CheckpointTextError: it has more than the three lines of a checkpoint.
    :raises CheckpointSizeError: it is of more than `MAX_SIZE` entries.
    :raises EmptyRootError: it is of no entries, and the root is not the empty tree's.
    """
    try:
        checkpoint = open_checkpoint(note, key)
        kept = note if is_bare(note) else bare(note, key)
    except ProofsError as error:
        raise CheckpointSignatureError(f"not a checkpoint that {log} signed: {error}") from error
    if not is_bare(kept):
        raise CheckpointTextError(f"{log} signed a checkpoint that goes on after its root")
    if checkpoint.size > MAX_SIZE:
        raise CheckpointSizeError(f"{log} signed a log of {checkpoint.size} entries")
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise EmptyRootError(f"{log} signed an empty log with another root")
    return Signed(kept, checkpoint)


@dataclass
class Known:
    """The checkpoints of one log that are kept in mind while it is followed.

    `checkpoint` is the newest that was followed to its end, `target` the one that is being
    followed, `latest` the newest of those that came meanwhile.
    """

    checkpoint: Signed | None
    target: Signed | None
    latest: Signed | None = None

    @property
    def newest(self) -> Signed | None:
        """The largest of them."""
        newest = self.checkpoint
        for signed in (self.target, self.latest):
            if signed is not None and (newest is None or signed.size > newest.size):
                newest = signed
        return newest

    def split_by(self, log: str, signed: Signed) -> Evidence | None:
        """Evidence that the log signed another root than this for the same size, if it did."""
        for known in self._all():
            if known.size == signed.size and known.root != signed.root:
                return Evidence(EvidenceKind.SPLIT, log, known.note, signed.note)
        return None

    def take(self, signed: Signed, size: int) -> bool:
        """Remember a checkpoint if it is newer than all of them; return whether it is.

        :param size: how many entries were followed.
        """
        newest = self.newest
        if newest is not None and signed.size <= newest.size:
            return False
        if signed.size == size:  # an empty log: there is nothing to follow yet
            self.checkpoint = signed
        elif self.target is None:
            self.target = signed
        else:
            self.latest = signed
        return True

    def reach_target(self) -> None:
        """The target was followed to its end: the newest of those that came meanwhile is next."""
        self.checkpoint, self.target, self.latest = self.target, self.latest, None

    def doubtful_pairs(self, size: int) -> list[tuple[Signed, Signed]]:
        """Pairs of checkpoints that no segment has proven to be of one history yet.

        :param size: how many entries were followed.
        """
        pairs = []
        if self.target is not None:
            # Past its end, the first segment under the target has proven the checkpoint's history.
            if self.checkpoint is not None and 0 < self.checkpoint.size == size:
                pairs.append((self.checkpoint, self.target))
            if self.latest is not None:
                pairs.append((self.target, self.latest))
        return pairs

    def _all(self) -> tuple[Signed, ...]:
        candidates = self.checkpoint, self.target, self.latest
        return tuple(signed for signed in candidates if signed is not None)


def restore(log: str, key: VerifierKey, state: FollowerState) -> Known:
    """The checkpoints of a stored state, if it agrees with itself.

    :raises FollowerStateError: it does not.
    """
    damaged = FollowerStateError(
        f"the stored state of the log of {log} contradicts itself: "
        "put a backup back with `orgnode restore`"
    )
    notes = state.checkpoint, state.target
    try:
        checkpoint, target = (
            None if note is None else open_signed(log, key, note) for note in notes
        )
    except RefusedCheckpointError as error:
        raise damaged from error
    reached = checkpoint.size if checkpoint else 0
    if not (
        state.frontier.size == state.size
        and reached <= state.size
        and (target is None or target.size > state.size)
        and (target is not None or reached == state.size)
        and (
            checkpoint is None or reached != state.size or checkpoint.root == state.frontier.root()
        )
    ):
        raise damaged
    return Known(checkpoint, target)
