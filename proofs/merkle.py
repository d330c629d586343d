"""Inclusion and consistency proofs of RFC 6962 §2.1.1, §2.1.2 (verification as in RFC 9162 §2.1.3, §2.1.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proofs.frontier import (
    EMPTY_ROOT,
    HASH_BYTES,
    Frontier,
    FrontierFormatError,
    MerkleError,
    NodeAddress,
    leaf_hash,
    node_hash,
    range_nodes,
    root_from_ranges,
)

HashReader = Callable[[Sequence[NodeAddress]], list[bytes]]

__all__ = [
    "EMPTY_ROOT",
    "HASH_BYTES",
    "Frontier",
    "FrontierFormatError",
    "InclusionError",
    "MerkleError",
    "NodeAddress",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "range_nodes",
    "root_from_ranges",
    "verify_inclusion",
]


class InclusionError(MerkleError):
    """A leaf is not where the proof claims."""


def inclusion_proof(index: int, size: int, read: HashReader) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root of the tree of this size."""
    if not 0 <= index < size:
        raise InclusionError("no such leaf")
    ranges = []
    start, end = 0, size
    while end - start > 1:
        split = 1 << ((end - start - 1).bit_length() - 1)
        if index < start + split:
            ranges.append((start + split, end))
            end = start + split
        else:
            ranges.append((start, start + split))
            start += split
    return [_range_root(a, b, read) for a, b in reversed(ranges)]


def _range_root(start: int, end: int, read: HashReader) -> bytes:
    hashes = read(range_nodes(start, end))
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf hash is at `index` in the tree of this size and root."""
    if not 0 <= index < size or len(root) != HASH_BYTES or any(len(h) != HASH_BYTES for h in proof):
        raise InclusionError("malformed")
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            raise InclusionError("the proof is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            r = node_hash(r, p)
        fn >>= 1
        sn >>= 1
    if sn or r != root:
        raise InclusionError("the proof does not lead to the root")
