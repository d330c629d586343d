"""What a log follower takes, hands out and stores, and why it refuses: see `mesh.follower`."""

from dataclasses import dataclass, field

from mesh.assessment import Assessed
from mesh.claims import Claim
from mesh.errors import MeshError
from mesh.evidence import Evidence
from mesh.wire import BodyAnswer
from proofs.merkle import Frontier, NodeAddress


class FollowerError(MeshError):
    """A log can't be followed as asked."""


class RefusedCheckpointError(FollowerError):
    """What was offered is no checkpoint to follow. No state changes."""


class CheckpointSignatureError(RefusedCheckpointError):
    """What was offered is not a checkpoint that this log signed."""


class EmptyRootError(RefusedCheckpointError):
    """A checkpoint of size 0 whose root is not the empty tree's: no log has this root."""


class CheckpointSizeError(RefusedCheckpointError):
    """A checkpoint signs a size that no log reaches and that not every store can hold."""


class CheckpointTextError(RefusedCheckpointError):
    """A checkpoint goes on after its root: evidence that holds it might not fit an entry."""


class SegmentMismatchError(FollowerError):
    """Entries and nodes do not hash to the signed root: nothing of them was accepted.

    Ask again; if it happens again, fetch the nodes of `diagnosis` to tell a fork from wrong bytes.
    """


class TileMismatchError(FollowerError):
    """Nodes fetched for a diagnosis do not hash to the signed root: they show nothing; retry."""


class StaleSegmentError(FollowerError):
    """A segment or a result belongs to a state that the follower has left; call `next_segment`."""


class FollowerStateError(FollowerError):
    """A stored state contradicts itself: the database is damaged, or belongs to another log."""


class SuspendedLogError(FollowerError):
    """The log was convicted by evidence; nothing more of it is accepted."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        super().__init__(f"the log of {evidence.log} is suspended: {evidence.reason}")


class ForkError(SuspendedLogError):
    """The log signed two histories. The evidence is kept and convinces anybody."""


@dataclass(frozen=True)
class FollowerState:
    """Everything that must survive a restart. Stored together with the entries that it covers.

    Checkpoints in it are bare: the log's own signature and no cosignatures. Which certificate
    covers how much of the log is stored beside it; the follower knows nothing of that.
    """

    size: int
    """How many entries were processed."""
    frontier: Frontier
    """The frontier of the tree of these entries."""
    checkpoint: bytes | None = None
    """The newest signed checkpoint that was followed to its end."""
    target: bytes | None = None
    """The signed checkpoint that is being followed."""
    evidence: Evidence | None = None
    """Why the log is suspended, if it is."""

    @classmethod
    def empty(cls) -> "FollowerState":
        """The state before anything is known of a log."""
        return cls(0, Frontier(0, ()))


@dataclass(frozen=True)
class Segment:
    """What to fetch next: entries and bodies from `start` up to `end`, and the nodes `tail`."""

    start: int
    end: int
    """One past the last entry. At most 256 entries, in at most two bundles."""
    tail: tuple[NodeAddress, ...]
    """`range_nodes(end, size)`: the subtrees to the right of the segment."""
    size: int
    """Size of the tree that the nodes belong to."""


@dataclass(frozen=True)
class ProvenSegment:
    """Entries that are proven to be the log's, and of which nothing else is known yet."""

    segment: Segment
    entries: tuple[bytes, ...] = field(repr=False)
    bodies: tuple[BodyAnswer, ...] = field(repr=False)
    leaves: tuple[bytes, ...] = field(repr=False)
    frontier: Frontier = field(repr=False)
    """The frontier once this segment is concluded."""
    tail: tuple[bytes, ...] = field(repr=False)
    """The hashes of the segment's `tail`."""


@dataclass(frozen=True)
class CheckedSegment:
    """Entries that are proven to be the log's, assessed but for their severity proofs."""

    assessed: tuple[Assessed, ...] = field(repr=False)
    claims: tuple[Claim, ...] = field(repr=False)
    """Severity proofs to verify, in the entries' order; `conclude` takes one verdict for each."""
    segment: Segment | None
    """None for entries looked at again by `reassess`."""
    frontier: Frontier | None = field(repr=False)
    """The frontier once this segment is concluded."""
    tail: tuple[bytes, ...] = field(default=(), repr=False)
    """The hashes of the segment's `tail`, proven with it."""


@dataclass(frozen=True)
class Diagnosis:
    """What to fetch to learn whether two signed checkpoints belong to one history."""

    first: bytes
    """The smaller checkpoint, of size a."""
    second: bytes
    """The larger checkpoint, of size b."""
    left: tuple[NodeAddress, ...]
    """`range_nodes(0, a)`."""
    right: tuple[NodeAddress, ...]
    """`range_nodes(a, b)`."""
    size: int
    """b: size of the tree that the nodes belong to."""
