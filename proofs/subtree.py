"""The way from a subtree up to the root: one engine for every Merkle proof.

A *subtree* [start, end) is what draft-ietf-plants-merkle-tree-certs §4.1 calls one: `start` is a
multiple of the least power of two that is at least `end - start`. Its hash is the RFC 6962 root of
those leaves alone. A proof that [start, end) is part of the tree of `size` leaves is the draft's
subtree consistency proof (§4.4). The two proofs of RFC 6962 §2.1 are its special cases: one leaf
for inclusion, `start` = 0 for consistency.

Going down from the root, each step halves the tree that is looked at, until it is the subtree:

- the subtree lies to the left: the proof carries the right half, which only the root contains;
- it lies to the right: the proof carries the left half, which only the root contains;
- it reaches across the middle: the left half is part of the subtree *and* of the root. From here on
  the rest of the subtree is a hash that the verifier doesn't know, so the proof starts with it.

Proofs carry their hashes from the bottom up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TypeAlias

from proofs.frontier import (
    EMPTY_ROOT,
    HASH_BYTES,
    MAX_SIZE,
    LeafRangeError,
    MerkleError,
    NodeAddress,
    RangeHashesError,
    fold,
    node_hash,
    range_nodes,
)

HashReader: TypeAlias = Callable[[Sequence[NodeAddress]], list[bytes]]
"""Gives the hashes of nodes, in the order asked for, from wherever they are kept."""


class SubtreeError(MerkleError):
    """A proof doesn't show that the subtree is part of the tree."""


class SubtreeRangeError(LeafRangeError):
    """[start, end) is not a subtree of the tree: misaligned, or out of it."""


class _Step(Enum):
    LEFT = "the sibling is on the left"
    RIGHT = "the sibling is on the right"
    BOTH = "the sibling is on the left, in the subtree as well as in the tree"


def check_subtree(start: int, end: int, size: int) -> None:
    """Check that [start, end) is a subtree of the tree of `size` leaves.

    :raises SubtreeRangeError: it isn't.
    """
    if not 0 <= start <= end <= size <= MAX_SIZE:
        raise SubtreeRangeError(f"[{start}, {end}) is no range of leaves of a tree of {size}")
    if end > start and start % (1 << (end - start - 1).bit_length()):
        raise SubtreeRangeError(f"[{start}, {end}) is not aligned as a subtree is")


def subtree_proof(start: int, end: int, size: int, read: HashReader) -> list[bytes]:
    """Prove that the subtree [start, end) is part of the tree of `size` leaves.

    All nodes are asked of `read` in one call.

    :raises SubtreeRangeError: it is not a subtree of such a tree.
    :raises RangeHashesError: `read` gave another number of hashes than it was asked for.
    """
    check_subtree(start, end, size)
    if start == end:
        return []
    _, ranges = _descend(start, end, size)
    wanted = [range_nodes(*leaves) for leaves in ranges]
    hashes = read([node for nodes in wanted for node in nodes])
    if len(hashes) != sum(map(len, wanted)):
        raise RangeHashesError("the reader gave another number of hashes than it was asked for")
    proof, at = [], 0
    for nodes in wanted:
        proof.append(fold(hashes[at : at + len(nodes)]))
        at += len(nodes)
    return proof


def verify_subtree(
    start: int, end: int, size: int, subtree: bytes, root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the subtree [start, end) with this hash is part of the tree of this size and root.

    The empty subtree is part of every tree: its hash is `EMPTY_ROOT`, its proof is empty, and the
    root is not looked at.

    :raises SubtreeRangeError: it is not a subtree of such a tree.
    :raises SubtreeError: the proof has another length, or doesn't lead to both hashes.
    """
    check_subtree(start, end, size)
    if start == end:
        if subtree != EMPTY_ROOT or proof:
            raise SubtreeError("an empty subtree has the hash of nothing and an empty proof")
        return
    if any(len(digest) != HASH_BYTES for digest in proof):
        raise SubtreeError("a proof's hashes are 32 bytes each")
    steps, ranges = _descend(start, end, size)
    if steps and len(subtree) != HASH_BYTES:
        raise SubtreeError("a subtree's hash is 32 bytes")
    if len(proof) != len(ranges):
        raise SubtreeError(f"the proof has {len(proof)} hashes instead of {len(ranges)}")
    if len(ranges) == len(steps):
        below, siblings = subtree, proof
    else:
        below, siblings = proof[0], proof[1:]
    in_subtree = in_tree = below
    for step, sibling in zip(reversed(steps), siblings, strict=True):
        if step is _Step.RIGHT:
            in_tree = node_hash(in_tree, sibling)
        else:
            in_tree = node_hash(sibling, in_tree)
            if step is _Step.BOTH:
                in_subtree = node_hash(sibling, in_subtree)
    if in_subtree != subtree:
        raise SubtreeError("the proof doesn't lead to the subtree's hash")
    if in_tree != root:
        raise SubtreeError("the proof doesn't lead to the root")


def verify_subtree_inclusion(
    leaf: bytes, index: int, start: int, end: int, proof: Sequence[bytes], subtree: bytes
) -> None:
    """Check that the leaf `index` of the tree, given by its hash, is in the subtree [start, end).

    :raises SubtreeRangeError: [start, end) is not a subtree, or the leaf is not within it.
    :raises SubtreeError: the proof has another length, or doesn't lead to the subtree's hash.
    """
    check_subtree(start, end, end)
    if not start <= index < end:
        raise SubtreeRangeError(f"leaf {index} is not in [{start}, {end})")
    if len(leaf) != HASH_BYTES:
        raise SubtreeError("a leaf hash is 32 bytes")
    verify_subtree(index - start, index - start + 1, end - start, leaf, subtree, proof)


def _descend(start: int, end: int, size: int) -> tuple[list[_Step], list[tuple[int, int]]]:
    """Walk from the root to a subtree that is not empty.

    Returns the steps from the top down, and the ranges of leaves whose hashes the proof carries
    from the bottom up.
    """
    low, high = 0, size
    known = True  # whether the verifier knows the hash of what is left of the subtree
    steps: list[_Step] = []
    ranges: list[tuple[int, int]] = []
    while (low, high) != (start, end):
        middle = low + (1 << ((high - low - 1).bit_length() - 1))
        if end <= middle:
            steps.append(_Step.RIGHT)
            ranges.append((middle, high))
            high = middle
        elif start >= middle:
            steps.append(_Step.LEFT)
            ranges.append((low, middle))
            low = middle
        else:
            # Being aligned, the subtree starts where the tree that is looked at does.
            assert start == low
            steps.append(_Step.BOTH)
            ranges.append((low, middle))
            low = start = middle
            known = False
    if not known:
        ranges.append((start, end))
    ranges.reverse()
    return steps, ranges
