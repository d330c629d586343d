"""The frontier of a growing tree, against the recursive definition of RFC 6962 §2.1."""

from functools import cache
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    FrontierFormatError,
    HashLengthError,
    LeafRangeError,
    NodeAddress,
    RangeHashesError,
    leaf_hash,
    node_hash,
    range_nodes,
    root_from_ranges,
)

LEAVES = [leaf_hash(number.to_bytes(2, "big")) for number in range(320)]


@cache
def naive_root(start: int, end: int) -> bytes:
    """MTH(D[start:end]), written down from the RFC."""
    if start == end:
        return sha256(b"").digest()
    if end - start == 1:
        return LEAVES[start]
    split = 1
    while split * 2 < end - start:
        split *= 2
    left, right = naive_root(start, start + split), naive_root(start + split, end)
    return sha256(b"\x01" + left + right).digest()


def hashes_of(start: int, end: int) -> list[bytes]:
    return [
        naive_root(index << level, (index + 1) << level) for level, index in range_nodes(start, end)
    ]


def test_hashing_separates_leaves_nodes_and_the_empty_tree() -> None:
    assert leaf_hash(b"x") == sha256(b"\x00x").digest()
    assert node_hash(b"l" * 32, b"r" * 32) == sha256(b"\x01" + b"l" * 32 + b"r" * 32).digest()
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Frontier().root() == EMPTY_ROOT


def test_the_root_is_the_rfcs_at_every_size() -> None:
    grown = Frontier()
    for size in range(301):
        assert grown.root() == naive_root(0, size)
        assert grown == Frontier().extend(LEAVES[:size])
        assert grown.hashes == tuple(hashes_of(0, size))
        grown = grown.append(LEAVES[size])


@given(st.lists(st.integers(0, 40), max_size=8))
def test_extending_in_any_pieces_gives_one_frontier(pieces: list[int]) -> None:
    grown, size = Frontier(), 0
    for piece in pieces:
        grown = grown.extend(iter(LEAVES[size : size + piece]))
        size += piece
    assert grown == Frontier().extend(LEAVES[:size])
    assert grown.size == size


def test_a_split_anywhere_folds_to_the_root_of_the_whole() -> None:
    for end in range(131):
        for start in range(end + 1):
            left = Frontier(start, tuple(hashes_of(0, start)))
            assert root_from_ranges(left, hashes_of(start, end), end) == naive_root(0, end)


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_split_of_a_larger_tree_folds_to_its_root(one: int, other: int) -> None:
    start, end = sorted((one, other))
    left = Frontier().extend(LEAVES[:start])
    assert root_from_ranges(left, hashes_of(start, end), end) == naive_root(0, end)


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_any_other_hash_in_either_part_changes_the_root(
    one: int, other: int, data: st.DataObject
) -> None:
    start, end = sorted((one, other))
    left, right = hashes_of(0, start), hashes_of(start, end)
    at = data.draw(st.integers(0, len(left) + len(right) - 1))
    side, at = (left, at) if at < len(left) else (right, at - len(left))
    side[at] = bytes([side[at][0] ^ 1]) + side[at][1:]
    assert root_from_ranges(Frontier(start, tuple(left)), right, end) != naive_root(0, end)


@given(st.integers(0, MAX_SIZE), st.integers(0, MAX_SIZE))
def test_the_nodes_of_a_range_cover_it_once_in_order_and_are_as_few_as_can_be(
    one: int, other: int
) -> None:
    start, end = sorted((one, other))
    nodes = range_nodes(start, end)
    at = start
    for level, index in nodes:
        assert index << level == at
        at = (index + 1) << level
    assert at == end
    for left, right in pairwise(nodes):
        # Two siblings side by side would be one node.
        assert left.level != right.level or left.index % 2 == 1
    assert len(nodes) <= 2 * 63


def test_known_ranges() -> None:
    assert range_nodes(0, 7) == (NodeAddress(2, 0), NodeAddress(1, 2), NodeAddress(0, 6))
    assert range_nodes(3, 8) == (NodeAddress(0, 3), NodeAddress(2, 1))
    assert range_nodes(6, 13) == (NodeAddress(1, 3), NodeAddress(2, 2), NodeAddress(0, 12))
    assert range_nodes(5, 5) == ()


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (4, 3), (0, MAX_SIZE + 1)])
def test_a_range_that_no_tree_has_is_refused(start: int, end: int) -> None:
    with pytest.raises(LeafRangeError):
        range_nodes(start, end)


@given(st.integers(0, 300))
def test_bytes_round_trip(size: int) -> None:
    frontier = Frontier().extend(LEAVES[:size])
    assert Frontier.from_bytes(size, frontier.to_bytes()) == frontier


@pytest.mark.parametrize("size", [0, 1, 6, 255])
def test_bytes_of_another_length_are_refused(size: int) -> None:
    data = Frontier().extend(LEAVES[:size]).to_bytes()
    for wrong in (data + b"\x00", data + bytes(32), data[:-1], data[:-32]):
        if wrong != data:
            with pytest.raises(FrontierFormatError):
                Frontier.from_bytes(size, wrong)


def test_a_frontier_has_a_hash_for_each_bit_of_its_size() -> None:
    with pytest.raises(FrontierFormatError):
        Frontier(3, (LEAVES[0],))
    with pytest.raises(FrontierFormatError):
        Frontier(2, (LEAVES[0], LEAVES[1]))
    with pytest.raises(FrontierFormatError):
        Frontier(1, (LEAVES[0][:31],))
    with pytest.raises(LeafRangeError):
        Frontier(-1, ())
    with pytest.raises(LeafRangeError):
        Frontier(MAX_SIZE + 1, (LEAVES[0],))


@pytest.mark.parametrize("leaf", [b"", bytes(31), bytes(33)])
def test_a_leaf_that_is_no_hash_is_refused(leaf: bytes) -> None:
    with pytest.raises(HashLengthError):
        Frontier().append(leaf)
    with pytest.raises(HashLengthError):
        Frontier().extend([LEAVES[0], leaf])


def test_a_tree_cannot_outgrow_64_bits() -> None:
    full = Frontier(MAX_SIZE, tuple(LEAVES[:63]))
    with pytest.raises(LeafRangeError):
        full.append(LEAVES[0])


def test_parts_that_do_not_fit_are_refused() -> None:
    left = Frontier().extend(LEAVES[:5])
    right = hashes_of(5, 13)
    with pytest.raises(RangeHashesError):
        root_from_ranges(left, right[:-1], 13)
    with pytest.raises(RangeHashesError):
        root_from_ranges(left, [*right, right[0]], 13)
    with pytest.raises(HashLengthError):
        root_from_ranges(left, [*right[:-1], right[-1] + b"\x00"], 13)
    with pytest.raises(LeafRangeError):
        root_from_ranges(left, [], 4)
