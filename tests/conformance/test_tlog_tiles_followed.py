"""A real C2SP tile log, followed as a member's log is: to its end, with every root proven.

Its entries are not ours. Each is refused by itself, and the log is followed all the same.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from mesh.assessment import Outcome
from mesh.following import CheckpointSignatureError, FollowerState, SegmentMismatchError
from mesh.genesis import Mesh
from mesh.testing import TODAY, Replica, make_mesh
from mesh.wire import MISSING, BodyAnswer
from proofs.checkpoint import open_checkpoint
from proofs.merkle import NodeAddress
from proofs.note import VerifierKey
from proofs.tiles import (
    decode_bundle,
    entries_path,
    node_from_tile,
    tile_path,
    tile_width,
    tiles_for_nodes,
)

KEY = VerifierKey.parse(
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
)
SIZE = 15
WORLD = make_mesh(4)
CARD = WORLD.member(0).card


class Adopting(Mesh):
    """A mesh in which the first member's log key is that of the real log."""

    def log_key(self, name: str) -> VerifierKey:
        return KEY if name == CARD.name else super().log_key(name)


MESH = Adopting(WORLD.mesh.mesh_id, WORLD.mesh.constraints, WORLD.mesh.note)


class TileLog:
    """Answers a follower from the files of the log at one of its sizes.

    `spoil` changes the byte at `at` of whichever file has that path.
    """

    def __init__(self, below: Path, size: int, spoil: str = "", at: int = 0) -> None:
        self.size = size
        self.read: set[str] = set()
        self._below = below
        self._spoil = spoil
        self._at = at

    def checkpoint(self) -> bytes:
        return self._file(f"checkpoint.{self.size}")

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        width = tile_width(0, 0, self.size)
        return decode_bundle(self._file(entries_path(0, width)), width)[start:end]

    def bodies(self, start: int, end: int) -> Sequence[BodyAnswer]:
        return [MISSING] * (end - start)

    def nodes(self, addresses: Iterable[NodeAddress]) -> list[bytes]:
        nodes = list(addresses)
        found = []
        for node, tile in zip(nodes, tiles_for_nodes(nodes, self.size), strict=True):
            assert tile.level != "entries"
            data = self._file(tile_path(tile.level, tile.index, tile.width))
            found.append(node_from_tile(node, tile, data))
        return found

    def _file(self, path: str) -> bytes:
        self.read.add(path)
        data = bytearray((self._below / path).read_bytes())
        if path == self._spoil:
            data[self._at] ^= 1
        return bytes(data)


@pytest.fixture(scope="module")
def below(vectors: Path) -> Path:
    return vectors / "tlog-tiles" / "log"


def follow(replica: Replica, log: TileLog) -> None:
    replica.offer(log.checkpoint())
    while replica.step(log, TODAY):
        pass


def check_at(replica: Replica, below: Path, size: int) -> None:
    note = (below / f"checkpoint.{size}").read_bytes()
    state = replica.state
    assert (state.size, state.checkpoint, state.target) == (size, note, None)
    assert state.frontier.root() == open_checkpoint(note, KEY).root
    assert state.evidence is None
    rows = [replica.rows[index] for index in range(size)]
    assert [row.note for row in rows] == list(TileLog(below, SIZE).entries(0, size))
    assert all(row.outcome is Outcome.REFUSED and row.error for row in rows)


@pytest.mark.parametrize("segment", [1, 2, 3, 4, 7, 256])
@pytest.mark.parametrize("size", range(SIZE + 1))
def test_followed_from_the_start_to_any_checkpoint(below: Path, size: int, segment: int) -> None:
    replica = Replica(MESH, CARD, segment=segment)
    log = TileLog(below, size)
    follow(replica, log)
    check_at(replica, below, size)
    assert log.read > {f"checkpoint.{size}"} or size == 0


@pytest.mark.parametrize("segment", [1, 4, 256])
def test_followed_from_checkpoint_to_checkpoint(below: Path, segment: int) -> None:
    replica = Replica(MESH, CARD, segment=segment)
    for size in range(SIZE + 1):
        follow(replica, TileLog(below, size))
        check_at(replica, below, size)
        replica.restart()
    # An older checkpoint, from a mirror that is behind, changes nothing.
    for size in range(SIZE):
        follow(replica, TileLog(below, size))
        check_at(replica, below, SIZE)


@pytest.mark.parametrize("index", range(SIZE))
def test_a_changed_byte_of_an_entry(below: Path, index: int) -> None:
    path = entries_path(0, SIZE)
    entries = decode_bundle((below / path).read_bytes(), SIZE)
    at = sum(2 + len(entry) for entry in entries[: index + 1]) - 1
    spoilt = TileLog(below, SIZE, path, at)
    for segment in (1, 4, 256):
        replica = Replica(MESH, CARD, segment=segment)
        with pytest.raises(SegmentMismatchError):
            follow(replica, spoilt)
        # What stands before the entry's segment is proven, and nothing of the segment is taken.
        reached = index // segment * segment
        assert replica.state.size == len(replica.rows) == reached
        # The true bytes lead on from there: wrong ones convicted nobody.
        follow(replica, TileLog(below, SIZE))
        check_at(replica, below, SIZE)


@pytest.mark.parametrize("at", [0, 31, 32 * 7, 32 * SIZE - 1])
def test_a_changed_byte_of_a_tile(below: Path, at: int) -> None:
    """The nodes to the right of a segment are hashed into the signed root like its entries."""
    path = tile_path(0, 0, SIZE)
    spoilt = TileLog(below, SIZE, path, at)
    replica = Replica(MESH, CARD, segment=1)
    replica.offer(spoilt.checkpoint())
    if at < 32:  # of the first entry: no segment needs its hash, which comes from the entry
        follow(replica, spoilt)
    else:
        with pytest.raises(SegmentMismatchError):
            replica.step(spoilt, TODAY)
        assert replica.state.size == 0
        follow(replica, TileLog(below, SIZE))
    check_at(replica, below, SIZE)


def test_a_changed_byte_of_the_checkpoint(below: Path) -> None:
    length = len((below / "checkpoint.15").read_bytes())
    for at in range(length):
        replica = Replica(MESH, CARD)
        with pytest.raises(CheckpointSignatureError):
            replica.offer(TileLog(below, SIZE, "checkpoint.15", at).checkpoint())
        assert replica.state == FollowerState.empty()


def test_the_log_of_other_people_is_no_members_log(below: Path) -> None:
    replica = Replica(WORLD.mesh, CARD)
    with pytest.raises(CheckpointSignatureError):
        replica.offer(TileLog(below, SIZE).checkpoint())
