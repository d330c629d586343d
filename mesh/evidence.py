"""Evidence against a log: signed checkpoints that no honest owner can have signed together.

Two kinds:

- *split*: two checkpoints of one size with different roots. The two signatures are the proof.
- *fork*: two checkpoints of sizes a < b that belong to different histories. They carry the hashes
  of the perfect subtrees that cover [0, a) and [a, b) in the tree of size b. Together these hash to
  the signed root of b, which ties them to the owner's signature; the left ones alone hash to
  something other than the signed root of a. An honest log can't be framed so: its own tree is the
  only one that hashes to the root of b, and in it the left part hashes to the root of a. A plain
  RFC 6962 consistency proof would not serve: for a power of two it leaves the old root's node out.

That a log was seen at an older state than before is no evidence: every log has signed smaller
checkpoints in its past, and whoever serves it may be behind.

Evidence is verified from its exact bytes and needs nothing but the mesh's genesis. Its checkpoints
are *bare*: three lines and the log's own signature, nothing else. So any evidence fits the body of
an entry. *Attack:* a log that lets its checkpoints grow (extension lines, foreign signatures) could
be convicted by evidence that nobody can publish.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from mesh import strictjson
from mesh.errors import MeshError
from mesh.genesis import Mesh
from mesh.model import Base64Bytes, Digest, Model
from proofs.checkpoint import Checkpoint, open_checkpoint
from proofs.cosignature import bare
from proofs.errors import ProofsError
from proofs.merkle import Frontier, range_nodes, root_from_ranges

MAX_CHECKPOINT: Final = 512
"""Longest bare checkpoint in bytes; with the longest name of a member it has about 400."""

MAX_SIZE: Final = 2**40 - 1
"""Largest log that is followed, and that evidence of a fork has room for."""

HASH_BYTES: Final = 32
"""Length of a tree hash in bytes."""

_BARE_LINES = 5

# Each level of a tree of at most MAX_SIZE leaves adds at most two subtrees, the top one only one.
_MAX_SUBTREES = 2 * MAX_SIZE.bit_length() - 1


class EvidenceError(MeshError):
    """Evidence against a log does not hold."""


class EvidenceFormatError(EvidenceError):
    """Evidence whose parts are missing, unknown or of the wrong length."""


class EvidenceSignatureError(EvidenceError):
    """A checkpoint in the evidence is not one that the accused log signed."""


class UnprovenEvidenceError(EvidenceError):
    """The checkpoints and hashes do not show what is claimed: an honest log would be framed."""


class EvidenceKind(StrEnum):
    """What the owner of the log did."""

    FORK = "fork"
    SPLIT = "split"


_REASONS: Final = {
    EvidenceKind.FORK: "it signed two checkpoints that belong to different histories of its log",
    EvidenceKind.SPLIT: "it signed two different logs of one size",
}


@dataclass(frozen=True)
class Evidence:
    """Two signed checkpoints of one log, and for a fork the hashes that tie them together."""

    kind: EvidenceKind
    log: str
    """Name of the member that owns the log."""
    first: bytes
    """Bare signed note; in a fork the smaller one, otherwise the one that was seen first."""
    second: bytes
    """Bare signed note; in a fork the larger one."""
    left: tuple[bytes, ...] = ()
    """Hashes of `range_nodes(0, a)` in the second tree, left to right; only in a fork."""
    right: tuple[bytes, ...] = ()
    """Hashes of `range_nodes(a, b)` in the second tree, left to right; only in a fork."""

    @property
    def reason(self) -> str:
        """What happened, in words for people."""
        return _REASONS[self.kind]

    def to_json(self) -> bytes:
        """The evidence as canonical strict JSON."""
        return _Document(
            kind=self.kind,
            log=self.log,
            first=self.first,
            second=self.second,
            left=tuple(node.hex() for node in self.left),
            right=tuple(node.hex() for node in self.right),
        ).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Evidence":
        """Read what `to_json` wrote. Nothing is verified yet: see `verify_evidence`.

        :raises EvidenceFormatError: its fields are not exactly those of evidence.
        :raises StrictJSONError: not strict JSON.
        """
        document = _Document.parse(strictjson.loads(data))
        return cls(
            kind=document.kind,
            log=document.log,
            first=document.first,
            second=document.second,
            left=tuple(bytes.fromhex(node) for node in document.left),
            right=tuple(bytes.fromhex(node) for node in document.right),
        )


class _Document(Model):
    format_error: ClassVar[type[MeshError]] = EvidenceFormatError

    kind: Annotated[EvidenceKind, Field(strict=False)]
    log: str
    first: Annotated[Base64Bytes, Field(max_length=MAX_CHECKPOINT)]
    second: Annotated[Base64Bytes, Field(max_length=MAX_CHECKPOINT)]
    left: Annotated[tuple[Digest, ...], Field(strict=False, max_length=_MAX_SUBTREES)]
    right: Annotated[tuple[Digest, ...], Field(strict=False, max_length=_MAX_SUBTREES)]


def split_evidence(mesh: Mesh, log: str, first: bytes, second: bytes) -> Evidence:
    """Evidence from two signed checkpoints of one size, which may carry cosignatures.

    :raises EvidenceError: they prove nothing (see `verify_evidence`).
    :raises UnknownMemberError: the log belongs to no member of the mesh.
    """
    key = mesh.log_key(log)
    try:
        notes = bare(first, key), bare(second, key)
    except ProofsError as error:
        raise EvidenceSignatureError(f"not checkpoints that {log} signed: {error}") from error
    evidence = Evidence(EvidenceKind.SPLIT, log, *notes)
    verify_evidence(mesh, evidence)
    return evidence


def verify_evidence(mesh: Mesh, evidence: Evidence) -> None:
    """Check evidence from anybody; return if it proves that the owner signed two histories.

    :raises UnknownMemberError: the accused is no member of the mesh.
    :raises EvidenceSignatureError: a checkpoint is not signed by the accused log's key.
    :raises EvidenceFormatError: a checkpoint is not bare, or a list of hashes has not the length
        that the sizes demand.
    :raises UnprovenEvidenceError: the two checkpoints may well belong to one history.
    """
    first = _open(mesh, evidence.log, evidence.first)
    second = _open(mesh, evidence.log, evidence.second)
    match evidence.kind:
        case EvidenceKind.SPLIT:
            if evidence.left or evidence.right:
                raise EvidenceFormatError("two roots of one size need no tree hashes")
            if first.size != second.size or first.root == second.root:
                raise UnprovenEvidenceError("a split is two roots signed for one size")
        case EvidenceKind.FORK:
            if not forked(first, second, evidence.left, evidence.right):
                raise UnprovenEvidenceError(
                    "the hashes lead from the first checkpoint to the second: one history"
                )


def forked(
    first: Checkpoint, second: Checkpoint, left: Sequence[bytes], right: Sequence[bytes]
) -> bool:
    """Whether the tree that the second checkpoint signs does not begin with the first one's tree.

    `left` and `right` are hashes of `range_nodes(0, a)` and `range_nodes(a, b)`, from anybody: they
    are checked against the second root before they count.

    :raises EvidenceFormatError: the sizes do not rise, or the hashes are not as many, or not as
        long, as the sizes demand.
    :raises UnprovenEvidenceError: the hashes do not lead to the second root.
    """
    if not first.size < second.size:
        raise EvidenceFormatError("a fork is shown between a smaller and a larger size")
    check_hashes(left, len(range_nodes(0, first.size)))
    check_hashes(right, len(range_nodes(first.size, second.size)))
    frontier = Frontier(first.size, tuple(left))
    if root_from_ranges(frontier, right, second.size) != second.root:
        raise UnprovenEvidenceError("the hashes do not lead to the larger signed root")
    return frontier.root() != first.root


def check_hashes(hashes: Sequence[bytes], count: int) -> None:
    """Check that there are `count` hashes of 32 bytes.

    The length matters: bytes moved from the end of one hash to the start of the next would leave
    their parent as it is and change every other node above them.

    :raises EvidenceFormatError: too few, too many, or of another length.
    """
    if len(hashes) != count:
        raise EvidenceFormatError(f"{len(hashes)} tree hashes where the sizes demand {count}")
    if any(len(value) != HASH_BYTES for value in hashes):
        raise EvidenceFormatError(f"a tree hash is {HASH_BYTES} bytes")


def is_bare(note: bytes) -> bool:
    """Whether a checkpoint that was opened is its three lines, an empty one, and one signature."""
    return note.count(b"\n") == _BARE_LINES


def _open(mesh: Mesh, log: str, note: bytes) -> Checkpoint:
    key = mesh.log_key(log)
    if len(note) > MAX_CHECKPOINT:
        raise EvidenceFormatError(f"a bare checkpoint is at most {MAX_CHECKPOINT} bytes")
    try:
        checkpoint = open_checkpoint(note, key)
    except ProofsError as error:
        raise EvidenceSignatureError(f"not a checkpoint that {log} signed: {error}") from error
    if not is_bare(note):
        raise EvidenceFormatError(
            "a checkpoint in evidence has three lines and its log's signature, and nothing else"
        )
    return checkpoint
