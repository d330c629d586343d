"""Merkle hashing of RFC 6962 §2.1, node addresses, and the frontier of a growing tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from proofs.errors import ProofsError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()


class MerkleError(ProofsError):
    """A claim about a Merkle tree is malformed or false."""


class FrontierFormatError(MerkleError):
    """Stored bytes are not the frontier of a tree of this size."""


class NodeAddress(NamedTuple):
    """A perfect subtree: leaves [index << level, (index + 1) << level)."""

    level: int
    index: int


def leaf_hash(entry: bytes) -> bytes:
    """Hash of a leaf: SHA-256(00 ‖ entry)."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(01 ‖ left ‖ right)."""
    return sha256(b"\1" + left + right).digest()


def range_nodes(start: int, end: int) -> tuple[NodeAddress, ...]:
    """Fewest perfect subtrees that cover the leaves [start, end), left to right."""
    if not 0 <= start <= end:
        raise MerkleError(f"no range of leaves: {start} to {end}")
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        nodes.append(NodeAddress(level, start >> level))
        start += 1 << level
    return tuple(nodes)


@dataclass(frozen=True)
class Frontier:
    """The perfect subtrees that cover the first `size` leaves, largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or self.size.bit_count() != len(self.hashes):
            raise FrontierFormatError(
                f"a frontier of size {self.size} does not have {len(self.hashes)} hashes"
            )
        if any(len(h) != HASH_BYTES for h in self.hashes):
            raise FrontierFormatError("a frontier's hashes are 32 bytes each")

    def append(self, leaf: bytes) -> Frontier:
        """The frontier with one more leaf hash."""
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """The frontier with more leaf hashes, in order."""
        stack = list(self.hashes)
        size = self.size
        for leaf in leaves:
            if len(leaf) != HASH_BYTES:
                raise MerkleError("a leaf hash is 32 bytes")
            carry = size
            while carry & 1:
                leaf = sha256(b"\1" + stack.pop() + leaf).digest()
                carry >>= 1
            stack.append(leaf)
            size += 1
        return Frontier(size, tuple(stack))

    def root(self) -> bytes:
        """Root of the tree."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root

    def to_bytes(self) -> bytes:
        """The hashes, one after the other."""
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Read what `to_bytes` wrote."""
        if len(data) % HASH_BYTES:
            raise FrontierFormatError("a frontier is a whole number of hashes")
        return cls(size, tuple(data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)))


def root_from_ranges(left: Frontier, right_nodes: Sequence[bytes], end: int) -> bytes:
    """Root of the tree of size `end`, from the frontier of [0, m) and the hashes of range_nodes(m, end)."""
    addresses = range_nodes(left.size, end)
    if len(addresses) != len(right_nodes):
        raise MerkleError("the number of hashes is not that of the range")
    stack = [
        (address.level, digest)
        for address, digest in zip(range_nodes(0, left.size), left.hashes, strict=True)
    ]
    for address, digest in zip(addresses, right_nodes, strict=True):
        if len(digest) != HASH_BYTES:
            raise MerkleError("a hash is 32 bytes")
        level = address.level
        while stack and stack[-1][0] == level:
            digest = node_hash(stack.pop()[1], digest)
            level += 1
        stack.append((level, digest))
    if not stack:
        return EMPTY_ROOT
    root = stack[-1][1]
    for _, hashed in reversed(stack[:-1]):
        root = node_hash(hashed, root)
    return root
