"""Merkle trees as transparency logs have them (RFC 6962 §2.1; verification: RFC 9162 §2.1).

This is the subject's public face: hashing and the frontier come from `proofs.frontier`, the walk
behind every proof from `proofs.subtree`.
"""

from __future__ import annotations

from collections.abc import Sequence

from proofs.frontier import (
    EMPTY_ROOT,
    HASH_BYTES,
    MAX_SIZE,
    Frontier,
    FrontierFormatError,
    HashLengthError,
    LeafRangeError,
    MerkleError,
    NodeAddress,
    RangeHashesError,
    leaf_hash,
    node_hash,
    range_nodes,
    root_from_ranges,
)
from proofs.subtree import (
    HashReader,
    SubtreeError,
    SubtreeRangeError,
    subtree_proof,
    verify_subtree,
    verify_subtree_inclusion,
)

__all__ = [
    "EMPTY_ROOT",
    "HASH_BYTES",
    "MAX_SIZE",
    "ConsistencyError",
    "Frontier",
    "FrontierFormatError",
    "HashLengthError",
    "HashReader",
    "InclusionError",
    "LeafRangeError",
    "MerkleError",
    "NodeAddress",
    "RangeHashesError",
    "SubtreeError",
    "SubtreeRangeError",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "range_nodes",
    "root_from_ranges",
    "subtree_proof",
    "verify_consistency",
    "verify_inclusion",
    "verify_subtree",
    "verify_subtree_inclusion",
]


class InclusionError(MerkleError):
    """An entry is not where a proof claims it is: it was left out, moved or replaced."""


class ConsistencyError(MerkleError):
    """A tree is not an extension of an older one: the log's history was rewritten."""


def inclusion_proof(index: int, size: int, read: HashReader) -> list[bytes]:
    """Prove that leaf `index` is in the tree of `size` leaves (RFC 6962 §2.1.1), leaf to root.

    All nodes are asked of `read` in one call.

    :raises InclusionError: the tree has no such leaf.
    :raises RangeHashesError: `read` gave another number of hashes than it was asked for.
    """
    try:
        return subtree_proof(index, index + 1, size, read)
    except SubtreeRangeError as error:
        raise InclusionError(f"a tree of {size} leaves has no leaf {index}") from error


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that a leaf hash is at `index` in the tree of this size and root (RFC 9162 §2.1.3.2).

    :raises InclusionError: it is not shown to be.
    """
    if len(leaf) != HASH_BYTES:
        raise InclusionError("a leaf hash is 32 bytes")
    try:
        verify_subtree(index, index + 1, size, leaf, root, proof)
    except (SubtreeError, SubtreeRangeError) as error:
        raise InclusionError(f"leaf {index} of {size} is not shown: {error}") from error


def consistency_proof(old: int, new: int, read: HashReader) -> list[bytes]:
    """Prove that the tree of `new` leaves extends its own first `old` leaves (RFC 6962 §2.1.2).

    All nodes are asked of `read` in one call.

    :raises ConsistencyError: `old` is 0 (nothing to prove), or more than `new`.
    :raises RangeHashesError: `read` gave another number of hashes than it was asked for.
    """
    _check_sizes(old, new)
    return subtree_proof(0, old, new, read)


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of `new` leaves extends the tree of `old` leaves (RFC 9162 §2.1.4.2).

    Every tree extends the empty one, which no hash can show: an `old` of 0 is refused, and a caller
    that starts there has nothing to verify.

    :raises ConsistencyError: it is not shown to.
    """
    _check_sizes(old, new)
    try:
        verify_subtree(0, old, new, old_root, new_root, proof)
    except SubtreeError as error:
        raise ConsistencyError(
            f"the tree of {new} leaves is not shown to extend the one of {old}: {error}"
        ) from error


def _check_sizes(old: int, new: int) -> None:
    if not 0 < old <= new <= MAX_SIZE:
        raise ConsistencyError(f"there is no consistency proof from size {old} to size {new}")
