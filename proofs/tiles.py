"""Tiles and entry bundles, after C2SP `tlog-tiles`: the static files that a log is served as.

A tile is up to 256 consecutive hashes of one level out of eight: tile level L holds the tree's
nodes of level 8·L, and the levels between are computed from it. A bundle is the entries of one tile
of level 0. Nothing read from either is verified: what is computed has to fold to a signed root.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from proofs.errors import ProofsError
from proofs.merkle import HASH_BYTES, MAX_SIZE, NodeAddress, node_hash

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 256
MAX_ENTRY: Final = 65_535
"""Bytes of an entry: its length in a bundle has 16 bits."""
MAX_LEVEL: Final = 63

_MAX_INDEX: Final = MAX_SIZE // TILE_WIDTH
_PATH: Final = re.compile(
    r"tile/(0|[1-9][0-9]?|entries)/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


class TileError(ProofsError):
    """A tile, or its address, is malformed or is not the one that is needed."""


class TilePathError(TileError):
    """Not the path of a tile in its one spelling, or a tile that no tree has."""


class BundleError(TileError):
    """Not a bundle of so many entries: cut, with bytes to spare, or an entry over 65,535 bytes."""


class TileAddress(NamedTuple):
    """A tile: its level (or "entries"), its index, and how many of its 256 places are filled."""

    level: int | Literal["entries"]
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    width: int = TILE_WIDTH


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile of hashes below a log's prefix: `tile/<L>/<N>[.p/<W>]`.

    :raises TilePathError: no tree has such a tile.
    """
    if not 0 <= level <= MAX_LEVEL:
        raise TilePathError(f"a tile's level is 0 to {MAX_LEVEL}")
    return _path(str(level), index, width)


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of an entry bundle below a log's prefix: `tile/entries/<N>[.p/<W>]`.

    :raises TilePathError: no tree has such a bundle.
    """
    return _path("entries", index, width)


def parse_tile_path(path: str) -> TileAddress:
    """Read a path that `tile_path` or `entries_path` writes, in that spelling alone.

    :raises TilePathError: it is none.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise TilePathError("not the path of a tile")
    index = int(match[2].replace("/", "").replace("x", ""))
    width = int(match[3] or TILE_WIDTH)
    if match[1] == "entries":
        tile, canonical = TileAddress("entries", index, width), entries_path(index, width)
    else:
        level = int(match[1])
        tile, canonical = TileAddress(level, index, width), tile_path(level, index, width)
    # Writing it again refuses what the pattern lets through: x000/067 for 067, .p/256 for full.
    if canonical != path:
        raise TilePathError("not the path of a tile as it is written")
    return tile


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Write entries one after the other, each behind its length (16 bits, big-endian).

    :raises BundleError: not 1 to 256 entries, or one of them has more than 65,535 bytes.
    """
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise BundleError(f"a bundle has 1 to {TILE_WIDTH} entries, not {len(entries)}")
    if max(map(len, entries)) > MAX_ENTRY:
        raise BundleError(f"an entry has at most {MAX_ENTRY} bytes")
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Read a bundle of exactly `width` entries.

    :raises BundleError: it is cut short or has bytes to spare, or `width` is not 1 to 256.
    """
    if not 1 <= width <= TILE_WIDTH:
        raise BundleError(f"a bundle has 1 to {TILE_WIDTH} entries, not {width}")
    entries: list[bytes] = []
    at, length = 0, len(data)
    for _ in range(width):
        start = at + 2
        if start > length:
            raise BundleError(f"the bundle is cut short after {len(entries)} of {width} entries")
        at = start + (data[start - 2] << 8 | data[start - 1])
        if at > length:
            raise BundleError(f"the bundle is cut short in entry {len(entries)} of {width}")
        entries.append(data[start:at])
    if at != length:
        raise BundleError(f"the bundle has {length - at} bytes after its {width} entries")
    return entries


def tile_width(level: int, index: int, size: int) -> int:
    """Return how many places of a tile of hashes are filled in the tree of `size` leaves, 1 to 256.

    For a bundle: the width of its tile of level 0.

    :raises TileError: there is no such tile in that tree.
    """
    if 0 <= level <= MAX_LEVEL and index >= 0 and 0 <= size <= MAX_SIZE:
        width = min(TILE_WIDTH, (size >> (level * TILE_HEIGHT)) - index * TILE_WIDTH)
        if width > 0:
            return width
    raise TileError(f"a tree of {size} leaves has no tile {index} of level {level}")


def tiles_for_nodes(nodes: Iterable[NodeAddress], size: int) -> list[TileAddress]:
    """Return for each node the tile that it is computed from, in the tree of `size` leaves.

    Nodes that share a tile name it each: make the list unique before fetching.

    :raises TileError: a node is not in that tree.
    """
    tiles = []
    for level, index in nodes:
        if level < 0 or index < 0 or (index + 1) << level > size:
            raise TileError(f"a tree of {size} leaves has no node {index} of level {level}")
        tile_level, below = divmod(level, TILE_HEIGHT)
        tile = (index << below) // TILE_WIDTH
        tiles.append(TileAddress(tile_level, tile, tile_width(tile_level, tile, size)))
    return tiles


def node_from_tile(node: NodeAddress, tile: TileAddress, data: bytes) -> bytes:
    """Compute a node's hash from the tile that `tiles_for_nodes` named for it.

    :raises TileError: the data is not as long as the tile is wide, or the node is not within it.
    """
    if len(data) != tile.width * HASH_BYTES:
        raise TileError(f"the tile has {len(data)} bytes instead of {tile.width * HASH_BYTES}")
    tile_level, below = divmod(node.level, TILE_HEIGHT)
    first = (node.index << below) - tile.index * TILE_WIDTH
    end = first + (1 << below)
    if tile.level != tile_level or not 0 <= first < end <= tile.width:
        raise TileError("the node is not in this tile")
    row = [data[at : at + 32] for at in range(first * HASH_BYTES, end * HASH_BYTES, HASH_BYTES)]
    while len(row) > 1:
        row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


def _path(level: str, index: int, width: int) -> str:
    if not 0 <= index <= _MAX_INDEX:
        raise TilePathError("no tree is large enough for this tile")
    if not 1 <= width <= TILE_WIDTH:
        raise TilePathError(f"a tile is 1 to {TILE_WIDTH} wide, not {width}")
    index, last = divmod(index, 1000)
    path = f"{last:03d}"
    while index:
        index, group = divmod(index, 1000)
        path = f"x{group:03d}/{path}"
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{path}{partial}"
