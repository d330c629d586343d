"""Tile paths, bundles, and the nodes that tiles hold."""

from functools import cache
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs.merkle import MAX_SIZE, Frontier, NodeAddress, leaf_hash, node_hash, range_nodes
from proofs.tiles import (
    MAX_ENTRY,
    TILE_WIDTH,
    BundleError,
    TileAddress,
    TileError,
    TilePathError,
    decode_bundle,
    encode_bundle,
    entries_path,
    node_from_tile,
    parse_tile_path,
    tile_path,
    tile_width,
    tiles_for_nodes,
)

MAX_INDEX = MAX_SIZE // 256
LEAVES = [leaf_hash(number.to_bytes(4, "big")) for number in range(1000)]


@cache
def node(level: int, index: int) -> bytes:
    if level == 0:
        return LEAVES[index]
    return node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))


def tile_data(tile: TileAddress) -> bytes:
    assert tile.level != "entries"
    first = tile.index * TILE_WIDTH
    return b"".join(node(tile.level * 8, first + place) for place in range(tile.width))


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (TileAddress(0, 0), "tile/0/000"),
        (TileAddress(0, 0, 1), "tile/0/000.p/1"),
        (TileAddress(1, 999, 255), "tile/1/999.p/255"),
        (TileAddress(63, 1000), "tile/63/x001/000"),
        (TileAddress(0, 1234067), "tile/0/x001/x234/067"),
        (TileAddress("entries", 1234067, 8), "tile/entries/x001/x234/067.p/8"),
        (TileAddress("entries", MAX_INDEX), "tile/entries/x036/x028/x797/x018/x963/967"),
    ],
)
def test_known_paths(tile: TileAddress, path: str) -> None:
    assert parse_tile_path(path) == tile
    if tile.level == "entries":
        assert entries_path(tile.index, tile.width) == path
    else:
        assert tile_path(tile.level, tile.index, tile.width) == path


@given(
    st.one_of(st.integers(0, 63), st.just("entries")),
    st.one_of(st.integers(0, 3000), st.integers(0, MAX_INDEX)),
    st.integers(1, 256),
)
def test_paths_round_trip(level: int | Literal["entries"], index: int, width: int) -> None:
    path = entries_path(index, width) if level == "entries" else tile_path(level, index, width)
    assert parse_tile_path(path) == TileAddress(level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "/tile/0/000",
        "tile/0/000/",
        "tile//000",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000",
        "tile/0/x000/067",
        "tile/0/x000/x001/067",
        "tile/0/001/067",
        "tile/0/x001/x067",
        "tile/0/X001/067",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/100/000",
        "tile/Entries/000",
        "tile/entries",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/1000",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/-1",
        "tile/0/000.p/1/",
        "tile/0/000\n",
        "tile/0/000?",
        "tile/0/٠٠٠",
        "tile/٠/000",
        "tile/0/000.p/١",
        "tile/0/../../checkpoint",
        "tile/entries/x036/x028/x797/x018/x963/968",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
    ],
)
def test_a_tile_has_one_path(path: str) -> None:
    with pytest.raises(TilePathError):
        parse_tile_path(path)


@given(st.text("tile/entrsx0129.p+-", max_size=30))
def test_what_parses_is_what_would_be_written(text: str) -> None:
    try:
        level, index, width = parse_tile_path(text)
    except TilePathError:
        return
    assert text == (
        entries_path(index, width) if level == "entries" else tile_path(level, index, width)
    )


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [(-1, 0, 256), (64, 0, 256), (0, -1, 256), (0, MAX_INDEX + 1, 256), (0, 0, 0), (0, 0, 257)],
)
def test_tiles_that_no_tree_has_have_no_path(level: int, index: int, width: int) -> None:
    with pytest.raises(TilePathError):
        tile_path(level, index, width)
    if level == 0:
        with pytest.raises(TilePathError):
            entries_path(index, width)


entries = st.lists(st.binary(max_size=20), min_size=1, max_size=TILE_WIDTH)


@given(entries)
def test_bundles_round_trip(bundle: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(bundle), len(bundle)) == bundle


@given(st.lists(st.binary(max_size=6), min_size=1, max_size=6))
def test_a_bundle_cut_at_any_byte_is_refused(bundle: list[bytes]) -> None:
    data = encode_bundle(bundle)
    for end in range(len(data)):
        with pytest.raises(BundleError, match="cut short"):
            decode_bundle(data[:end], len(bundle))


@given(entries, st.binary(min_size=1, max_size=5))
def test_bytes_after_a_bundle_are_refused(bundle: list[bytes], more: bytes) -> None:
    with pytest.raises(BundleError):
        decode_bundle(encode_bundle(bundle) + more, len(bundle))


@given(entries, st.integers(-1, 300))
def test_a_bundle_of_another_width_is_refused(bundle: list[bytes], width: int) -> None:
    if width != len(bundle):
        with pytest.raises(BundleError):
            decode_bundle(encode_bundle(bundle), width)


def test_the_largest_entry_and_the_widest_bundle() -> None:
    largest = bytes(MAX_ENTRY)
    assert decode_bundle(encode_bundle([b"", largest]), 2) == [b"", largest]
    assert encode_bundle([b"abc"]) == b"\x00\x03abc"
    with pytest.raises(BundleError):
        encode_bundle([largest + b"x"])
    with pytest.raises(BundleError):
        encode_bundle([b""] * 257)
    with pytest.raises(BundleError):
        encode_bundle([])
    for width in (-1, 0, 257):
        with pytest.raises(BundleError):
            decode_bundle(b"\x00\x00" * width, width)


@given(st.binary(max_size=30), st.integers(1, 4))
def test_any_bytes_are_the_one_spelling_of_a_bundle_or_refused(data: bytes, width: int) -> None:
    try:
        bundle = decode_bundle(data, width)
    except BundleError:
        return
    assert encode_bundle(bundle) == data


@pytest.mark.parametrize(
    ("level", "index", "size", "width"),
    [
        # The example of the specification: a tree of 70,000.
        (0, 272, 70_000, 256),
        (0, 273, 70_000, 112),
        (1, 0, 70_000, 256),
        (1, 1, 70_000, 17),
        (2, 0, 70_000, 1),
        (0, 0, 256, 256),
        (1, 0, 256, 1),
        (0, 0, 1, 1),
        (7, 0, MAX_SIZE, 127),
    ],
)
def test_widths(level: int, index: int, size: int, width: int) -> None:
    assert tile_width(level, index, size) == width


@pytest.mark.parametrize(
    ("level", "index", "size"),
    [
        (0, 0, 0),
        (0, 274, 70_000),
        (1, 2, 70_000),
        (2, 1, 70_000),
        (3, 0, 70_000),
        (1, 0, 255),
        (-1, 0, 10),
        (0, -1, 10),
        (64, 0, 10),
        (0, 0, -1),
        (0, 0, MAX_SIZE + 1),
    ],
)
def test_tiles_that_a_tree_does_not_have(level: int, index: int, size: int) -> None:
    with pytest.raises(TileError):
        tile_width(level, index, size)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_nodes_of_every_range_come_out_of_their_tiles(one: int, other: int) -> None:
    start, end = sorted((one, other))
    nodes = range_nodes(start, end)
    tiles = tiles_for_nodes(nodes, end)
    assert len(tiles) == len(nodes)
    for address, tile in zip(nodes, tiles, strict=True):
        assert tile.level != "entries"
        assert tile.width == tile_width(tile.level, tile.index, end)
        assert node_from_tile(address, tile, tile_data(tile)) == node(*address)


def test_every_node_of_a_tree_comes_out_of_its_tile() -> None:
    size = 777
    for level in range(10):
        for index in range(size >> level):
            address = NodeAddress(level, index)
            (tile,) = tiles_for_nodes([address], size)
            assert node_from_tile(address, tile, tile_data(tile)) == node(level, index)


def test_a_frontier_comes_out_of_the_tiles() -> None:
    nodes = range_nodes(0, 1000)
    tiles = tiles_for_nodes(nodes, 1000)
    hashes = [node_from_tile(n, t, tile_data(t)) for n, t in zip(nodes, tiles, strict=True)]
    assert Frontier(1000, tuple(hashes)) == Frontier().extend(LEAVES)


@pytest.mark.parametrize("address", [(0, 777), (3, 97), (10, 0), (0, -1), (-1, 0)])
def test_nodes_that_a_tree_does_not_have(address: tuple[int, int]) -> None:
    with pytest.raises(TileError):
        tiles_for_nodes([NodeAddress(*address)], 777)


def test_a_node_is_not_read_from_another_tile_or_a_short_one() -> None:
    tile = TileAddress(0, 1, 100)
    data = tile_data(tile)
    assert node_from_tile(NodeAddress(2, 64), tile, data) == node(2, 64)
    for wrong in (data[:-1], data + b"\x00", data[:-32], data + bytes(32), b""):
        with pytest.raises(TileError):
            node_from_tile(NodeAddress(2, 64), tile, wrong)
    for address in (
        NodeAddress(0, 255),  # of the tile before
        NodeAddress(0, 356),  # past its width
        NodeAddress(2, 89),  # its last leaves are past it
        NodeAddress(8, 0),  # of the level above
    ):
        with pytest.raises(TileError):
            node_from_tile(address, tile, data)
    with pytest.raises(TileError):
        node_from_tile(NodeAddress(0, 256), TileAddress("entries", 1, 100), data)
