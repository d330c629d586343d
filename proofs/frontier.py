"""Merkle hashing (RFC 6962 §2.1), the addresses of nodes, and the frontier of a growing tree.

A tree of `size` leaves falls apart into perfect subtrees, one for each bit of its size, largest
first. Their hashes are the tree's *frontier* (a compact range from 0): all that appending needs,
and what shows that two signed roots contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from proofs.errors import ProofsError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
"""The root of the tree without leaves: SHA-256 of nothing (RFC 6962 §2.1)."""

MAX_SIZE: Final = (1 << 63) - 1
"""Leaves of the largest tree: sizes fit a signed 64-bit integer, as databases have it."""

_NODE: Final = b"\x01"


class MerkleError(ProofsError):
    """A claim about a Merkle tree is malformed or false."""


class HashLengthError(MerkleError):
    """A hash is not 32 bytes long."""


class LeafRangeError(MerkleError):
    """No tree has such leaves: negative, past the end, past 2^63 - 1, or start after end."""


class RangeHashesError(MerkleError):
    """The number of hashes is not the number of nodes that the range of leaves has."""


class FrontierFormatError(MerkleError):
    """The hashes are not the frontier of a tree of this size: too few, too many, or cut."""


class NodeAddress(NamedTuple):
    """A perfect subtree: the leaves [index << level, (index + 1) << level)."""

    level: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry: SHA-256(0x00 ‖ entry), RFC 6962 §2.1."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into one: SHA-256(0x01 ‖ left ‖ right), RFC 6962 §2.1."""
    return sha256(_NODE + left + right).digest()


def range_nodes(start: int, end: int) -> tuple[NodeAddress, ...]:
    """Return the fewest perfect subtrees that cover the leaves [start, end), left to right.

    All of them are nodes of every tree of at least `end` leaves. `range_nodes(0, size)` are the
    nodes of the frontier of that size.

    :raises LeafRangeError: there is no such range.
    """
    if not 0 <= start <= end <= MAX_SIZE:
        raise LeafRangeError(f"no tree has the leaves from {start} to {end}")
    nodes = []
    while start < end:
        # As large as what is left allows and as the alignment of `start` allows.
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        nodes.append(NodeAddress(level, start >> level))
        start += 1 << level
    return tuple(nodes)


@dataclass(frozen=True, slots=True)
class Frontier:
    """The hashes of the perfect subtrees that cover the first `size` leaves, largest first.

    :raises LeafRangeError: the size is negative or above `MAX_SIZE`.
    :raises FrontierFormatError: the hashes are not one for each bit of the size, 32 bytes each.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE:
            raise LeafRangeError(f"a tree has 0 to 2^63 - 1 leaves, not {self.size}")
        if self.size.bit_count() != len(self.hashes):
            raise FrontierFormatError(
                f"the frontier of a tree of {self.size} leaves has {self.size.bit_count()} hashes, "
                f"not {len(self.hashes)}"
            )
        if not _are_hashes(self.hashes):
            raise FrontierFormatError("the hashes of a frontier are 32 bytes each")

    def append(self, leaf: bytes) -> Frontier:
        """Return the frontier with one more leaf, given as its leaf hash.

        :raises HashLengthError: it is not 32 bytes.
        """
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """Return the frontier with more leaves, given in order as their leaf hashes.

        Hashes a whole level at a time: about one hash per leaf, without bookkeeping per leaf.

        :raises HashLengthError: one of them is not 32 bytes.
        :raises LeafRangeError: the tree would outgrow `MAX_SIZE`.
        """
        row = list(leaves)
        if not _are_hashes(row):
            raise HashLengthError("a leaf hash is 32 bytes")
        size = self.size + len(row)
        old = list(self.hashes)  # its end is the smallest subtree, the first to be completed
        new: list[bytes] = []
        bits = self.size
        while row or bits:
            if bits & 1:
                row.insert(0, old.pop())
            if len(row) & 1:
                new.append(row.pop())
            row = [
                sha256(_NODE + left + right).digest()
                for left, right in zip(row[::2], row[1::2], strict=True)
            ]
            bits >>= 1
        return Frontier(size, tuple(reversed(new)))

    def root(self) -> bytes:
        """Return the root of the tree (RFC 6962 §2.1)."""
        return fold(self.hashes)

    def to_bytes(self) -> bytes:
        """Return the hashes one after the other; the size is kept beside them."""
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Read what `to_bytes` wrote for a tree of `size` leaves.

        :raises LeafRangeError: the size is negative or above `MAX_SIZE`.
        :raises FrontierFormatError: the data is not the hashes of such a frontier.
        """
        hashes = (data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))
        return cls(size, tuple(hashes))


def root_from_ranges(left: Frontier, right_nodes: Sequence[bytes], end: int) -> bytes:
    """Return the root of the tree of `end` leaves from its two parts.

    `left` is the frontier of the first m leaves, `right_nodes` are the hashes of
    `range_nodes(m, end)`. When the result is a signed root, both parts are the ones it commits to:
    so a frontier that folds to something else than the signed root of size m proves a fork.

    :raises LeafRangeError: `end` is less than m or above `MAX_SIZE`.
    :raises RangeHashesError: the hashes are not as many as the nodes of [m, end).
    :raises HashLengthError: one of them is not 32 bytes.
    """
    right = range_nodes(left.size, end)
    if len(right) != len(right_nodes):
        raise RangeHashesError(
            f"the leaves from {left.size} to {end} have {len(right)} nodes, not {len(right_nodes)}"
        )
    if not _are_hashes(right_nodes):
        raise HashLengthError("a node's hash is 32 bytes")
    stack = [
        (node.level, digest)
        for node, digest in zip(range_nodes(0, left.size), left.hashes, strict=True)
    ]
    for node, digest in zip(right, right_nodes, strict=True):
        level, merged = node.level, digest
        # A subtree as large as the one to its left completes their parent, as in a binary counter.
        while stack and stack[-1][0] == level:
            merged = node_hash(stack.pop()[1], merged)
            level += 1
        stack.append((level, merged))
    return fold([digest for _, digest in stack])


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the hash of perfect subtrees side by side, largest first (RFC 6962 §2.1)."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def _are_hashes(hashes: Sequence[bytes]) -> bool:
    return all(length == HASH_BYTES for length in map(len, hashes))
