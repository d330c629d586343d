"""A real C2SP tile log: every checkpoint, tile and bundle of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from proofs.checkpoint import open_checkpoint
from proofs.merkle import (
    EMPTY_ROOT,
    Frontier,
    NodeAddress,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from proofs.note import UnsignedNoteError, VerifierKey
from proofs.tiles import (
    TileAddress,
    decode_bundle,
    encode_bundle,
    entries_path,
    node_from_tile,
    parse_tile_path,
    tile_path,
    tile_width,
    tiles_for_nodes,
)

KEY = VerifierKey.parse(
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
)
SIZES = range(16)


@pytest.fixture(scope="module")
def log(vectors: Path) -> Path:
    return vectors / "tlog-tiles" / "log"


def entries_of(log: Path, size: int) -> list[bytes]:
    if size == 0:
        return []
    return decode_bundle((log / entries_path(0, tile_width(0, 0, size))).read_bytes(), size)


def test_every_checkpoint_is_signed_and_has_the_root_of_its_entries(log: Path) -> None:
    for size in SIZES:
        checkpoint = open_checkpoint((log / f"checkpoint.{size}").read_bytes(), KEY)
        frontier = Frontier().extend(map(leaf_hash, entries_of(log, size)))
        assert (checkpoint.origin, checkpoint.size) == (KEY.name, size)
        assert checkpoint.root == frontier.root()
    assert open_checkpoint((log / "checkpoint.0").read_bytes(), KEY).root == EMPTY_ROOT


def test_the_latest_checkpoint_is_the_largest(log: Path) -> None:
    latest = (log / "checkpoint").read_bytes()
    assert latest == (log / f"checkpoint.{SIZES[-1]}").read_bytes()


def test_another_key_of_the_same_name_sees_no_signature(log: Path) -> None:
    other = VerifierKey(KEY.name, KEY.type, bytes([KEY.public[0] ^ 1]) + KEY.public[1:])
    with pytest.raises(UnsignedNoteError):
        open_checkpoint((log / "checkpoint").read_bytes(), other)


def test_every_file_under_tile_has_a_path_that_reads_back(log: Path) -> None:
    paths = [p.relative_to(log).as_posix() for p in (log / "tile").rglob("*") if p.is_file()]
    assert len(paths) == 30
    for path in paths:
        level, index, width = parse_tile_path(path)
        if level == "entries":
            assert entries_path(index, width) == path
        else:
            assert tile_path(level, index, width) == path


def test_bundles_read_and_write_the_same_bytes_and_hash_to_the_tiles(log: Path) -> None:
    for width in SIZES[1:]:
        data = (log / entries_path(0, width)).read_bytes()
        entries = decode_bundle(data, width)
        assert encode_bundle(entries) == data
        tile = (log / tile_path(0, 0, width)).read_bytes()
        assert b"".join(map(leaf_hash, entries)) == tile


def test_proofs_made_from_the_tiles_verify_against_the_signed_roots(log: Path) -> None:
    def reader(size: int) -> "TileReader":
        return TileReader(log, size)

    roots = [open_checkpoint((log / f"checkpoint.{n}").read_bytes(), KEY).root for n in SIZES]
    leaves = [leaf_hash(entry) for entry in entries_of(log, SIZES[-1])]
    for size in SIZES[1:]:
        for index in range(size):
            proof = inclusion_proof(index, size, reader(size))
            verify_inclusion(leaves[index], index, size, proof, roots[size])
        for old in range(1, size + 1):
            proof = consistency_proof(old, size, reader(size))
            verify_consistency(old, size, roots[old], roots[size], proof)


class TileReader:
    """A hash reader over the files of the log."""

    def __init__(self, log: Path, size: int) -> None:
        self._log, self._size = log, size

    def __call__(self, nodes: Sequence[NodeAddress]) -> list[bytes]:
        return [
            node_from_tile(node, tile, self._fetch(tile))
            for node, tile in zip(nodes, tiles_for_nodes(nodes, self._size), strict=True)
        ]

    def _fetch(self, tile: TileAddress) -> bytes:
        assert tile.level != "entries"
        return (self._log / tile_path(tile.level, tile.index, tile.width)).read_bytes()
