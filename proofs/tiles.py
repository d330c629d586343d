"""Tiles and entry bundles, after C2SP `tlog-tiles`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from proofs.errors import ProofsError
from proofs.merkle import HASH_BYTES, NodeAddress, node_hash

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 256
MAX_ENTRY: Final = 65_535
MAX_LEVEL: Final = 63


class TileError(ProofsError):
    """A tile or its address is malformed."""


class TilePathError(TileError):
    """Not a tile's path in its one spelling."""


class BundleError(TileError):
    """Not an entry bundle of the width asked for."""


class TileAddress(NamedTuple):
    """A tile: its level or "entries", its index, how many of its 256 places are filled."""

    level: int | Literal["entries"]
    index: int
    width: int = TILE_WIDTH


_PATH = re.compile(
    r"tile/(0|[1-9][0-9]?|entries)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


def _path(level: int | str, index: int, width: int) -> str:
    if index < 0 or not 1 <= width <= TILE_WIDTH:
        raise TilePathError("no such tile")
    groups = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        groups.append(f"x{index % 1000:03d}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Path of a tile of hashes."""
    if not 0 <= level <= MAX_LEVEL:
        raise TilePathError("a tile's level is 0 to 63")
    return _path(level, index, width)


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Path of an entry bundle."""
    return _path("entries", index, width)


def parse_tile_path(path: str) -> TileAddress:
    """Read a path; only the spelling that the functions above write is taken."""
    match = _PATH.fullmatch(path)
    if match is None or len(match[2]) > 27:
        raise TilePathError("not a tile's path")
    level = match[1] if match[1] == "entries" else int(match[1])
    index = int(match[2].replace("x", "").replace("/", ""))
    width = int(match[3]) if match[3] else TILE_WIDTH
    if width > TILE_WIDTH - bool(match[3]) or _path(level, index, width) != path:
        raise TilePathError("not a tile's path")
    if isinstance(level, int) and level > MAX_LEVEL:
        raise TilePathError("a tile's level is 0 to 63")
    return TileAddress("entries" if level == "entries" else int(level), index, width)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Each entry behind its length, 16 bits big-endian."""
    if any(len(entry) > MAX_ENTRY for entry in entries):
        raise BundleError(f"an entry is at most {MAX_ENTRY} bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Split a bundle of exactly `width` entries."""
    entries, at = [], 0
    for _ in range(width):
        if at + 2 > len(data):
            raise BundleError("the bundle is truncated")
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data):
            raise BundleError("the bundle is truncated")
        entries.append(data[at + 2 : end])
        at = end
    if at != len(data):
        raise BundleError("the bundle has bytes to spare")
    return entries


def tiles_for_nodes(nodes: Iterable[NodeAddress], size: int) -> list[TileAddress]:
    """For each node the tile that holds what it is hashed from, in a tree of `size` leaves."""
    found = []
    for level, index in nodes:
        height = level // TILE_HEIGHT
        place = index << (level % TILE_HEIGHT)
        tile = place // TILE_WIDTH
        width = min(TILE_WIDTH, (size >> (height * TILE_HEIGHT)) - tile * TILE_WIDTH)
        if (index + 1) << level > size:
            raise TileError("the node is not in a tree of this size")
        found.append(TileAddress(height, tile, width))
    return found


def node_from_tile(node: NodeAddress, tile: TileAddress, data: bytes) -> bytes:
    """A node's hash, computed from the tile that `tiles_for_nodes` named."""
    if len(data) != tile.width * HASH_BYTES:
        raise TileError("the tile is not of its width")
    count = 1 << (node.level % TILE_HEIGHT)
    first = node.index * count - tile.index * TILE_WIDTH
    if tile.level != node.level // TILE_HEIGHT or not 0 <= first <= tile.width - count:
        raise TileError("the node is not in this tile")
    row = [data[i * HASH_BYTES : (i + 1) * HASH_BYTES] for i in range(first, first + count)]
    while len(row) > 1:
        row = [node_hash(a, b) for a, b in zip(row[::2], row[1::2], strict=True)]
    return row[0]
