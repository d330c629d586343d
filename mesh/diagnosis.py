"""Two signed checkpoints of one log: do they belong to one history?

Nothing here convicts on anybody's word. The nodes that are handed in, from peers or from this
node's own disk, count only if they hash to a root that the log signed; and the same nodes then show
whether the smaller root is part of that history.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.evidence import (
    Evidence,
    EvidenceFormatError,
    EvidenceKind,
    UnprovenEvidenceError,
    check_hashes,
    forked,
)
from mesh.following import Diagnosis, FollowerStateError, TileMismatchError
from mesh.history import TreeReader
from mesh.signed import Known, Signed
from proofs.errors import ProofsError
from proofs.merkle import Frontier, NodeAddress, node_hash, range_nodes


def ask_about(first: Signed, second: Signed) -> Diagnosis:
    """What to fetch to learn whether a smaller and a larger checkpoint are of one history."""
    return Diagnosis(
        first.note,
        second.note,
        range_nodes(0, first.size),
        range_nodes(first.size, second.size),
        second.size,
    )


def compare(
    log: str, first: Signed, second: Signed, left: Sequence[bytes], right: Sequence[bytes]
) -> Evidence | None:
    """Judge what was fetched for a pair: evidence of a fork, or None if it is one history.

    :raises TileMismatchError: the hashes do not lead to the larger root: they show nothing.
    """
    try:
        proven = forked(first.checkpoint, second.checkpoint, left, right)
    except (EvidenceFormatError, UnprovenEvidenceError) as error:
        raise TileMismatchError(str(error)) from error
    if not proven:
        return None
    return Evidence(EvidenceKind.FORK, log, first.note, second.note, tuple(left), tuple(right))


@dataclass(frozen=True)
class OwnTree:
    """The tree that this node has of a log, and what ties it to the owner's signatures.

    `tail` are the hashes from `size` to the target's, which the last segment was proven with; None
    when they are not known (after a restart).
    """

    log: str
    tree: TreeReader
    size: int
    known: Known
    tail: Sequence[bytes] | None

    def contradicts(self, older: Signed) -> Evidence | None:
        """Evidence that a checkpoint is not of the history that is held here; None if there is
        none.

        None also while nothing signed covers the tree beyond that checkpoint: it is compared again
        when it is offered again.

        :param older: of at most `size` entries.
        :raises FollowerStateError: the stored tree is not the one that was proven: the database is
            damaged, which convicts nobody.
        """
        try:
            left = self._read(range_nodes(0, older.size))
            if Frontier(older.size, tuple(left)).root() == older.root:
                return None
            for second in (self.known.checkpoint, self.known.target):
                if second is not None and second.size > older.size:
                    right = self._between(older.size, second.size)
                    if right is not None:
                        return compare(self.log, older, second, left, right)
        except (ProofsError, EvidenceFormatError, TileMismatchError) as error:
            raise FollowerStateError(
                f"the stored tree of the log of {self.log} does not lead to the root that was "
                f"verified: put a backup back with `orgnode restore` ({error})"
            ) from error
        return None

    def _between(self, start: int, end: int) -> list[bytes] | None:
        """The hashes of `range_nodes(start, end)`, if all that they cover is known."""
        if end <= self.size:
            return self._read(range_nodes(start, end))
        if self.tail is None:
            return None
        held = range_nodes(start, self.size)
        beyond = range_nodes(self.size, end)
        return merge((*held, *beyond), (*self._read(held), *self.tail))

    def _read(self, addresses: Sequence[NodeAddress]) -> list[bytes]:
        hashes = self.tree.nodes(addresses)
        check_hashes(hashes, len(addresses))
        return hashes


def merge(nodes: Sequence[NodeAddress], hashes: Sequence[bytes]) -> list[bytes]:
    """Hashes of the fewest perfect subtrees that cover what neighbouring ones cover, in order."""
    stack: list[tuple[NodeAddress, bytes]] = []
    for address, digest in zip(nodes, hashes, strict=True):
        node, merged = address, digest
        while node.index & 1 and stack and stack[-1][0] == (node.level, node.index - 1):
            merged = node_hash(stack.pop()[1], merged)
            node = NodeAddress(node.level + 1, node.index >> 1)
        stack.append((node, merged))
    return [digest for _, digest in stack]
