"""Inclusion, consistency and subtree proofs, made and verified."""

from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    ConsistencyError,
    Frontier,
    InclusionError,
    NodeAddress,
    RangeHashesError,
    SubtreeError,
    SubtreeRangeError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    subtree_proof,
    verify_consistency,
    verify_inclusion,
    verify_subtree,
    verify_subtree_inclusion,
)

LEAVES = [leaf_hash(number.to_bytes(2, "big")) for number in range(300)]


@cache
def node(level: int, index: int) -> bytes:
    if level == 0:
        return LEAVES[index]
    return node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))


@cache
def root(start: int, end: int) -> bytes:
    return Frontier().extend(LEAVES[start:end]).root()


def read(nodes: Sequence[NodeAddress]) -> list[bytes]:
    return [node(level, index) for level, index in nodes]


def rfc_path(index: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962 §2.1.1, written down from the RFC."""
    if end - start == 1:
        return []
    split = start + (1 << ((end - start - 1).bit_length() - 1))
    if index < split:
        return [*rfc_path(index, start, split), root(split, end)]
    return [*rfc_path(index, split, end), root(start, split)]


def rfc_subproof(old: int, start: int, end: int, known: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962 §2.1.2, written down from the RFC."""
    if old == end:
        return [] if known else [root(start, end)]
    split = start + (1 << ((end - start - 1).bit_length() - 1))
    if old <= split:
        return [*rfc_subproof(old, start, split, known), root(split, end)]
    return [*rfc_subproof(old, split, end, False), root(start, split)]


def subtrees(size: int) -> list[tuple[int, int]]:
    return [
        (start, end)
        for end in range(size + 1)
        for start in range(end)
        if start % (1 << (end - start - 1).bit_length()) == 0
    ]


SIZES = [*range(1, 34), 63, 64, 65, 100]


@pytest.mark.parametrize("size", SIZES)
def test_inclusion_of_every_leaf(size: int) -> None:
    for index in range(size):
        proof = inclusion_proof(index, size, read)
        assert proof == rfc_path(index, 0, size)
        verify_inclusion(LEAVES[index], index, size, proof, root(0, size))


@pytest.mark.parametrize("size", SIZES)
def test_consistency_of_every_pair(size: int) -> None:
    for old in range(1, size + 1):
        proof = consistency_proof(old, size, read)
        assert proof == rfc_subproof(old, 0, size, True)
        verify_consistency(old, size, root(0, old), root(0, size), proof)


@pytest.mark.parametrize("size", [*range(1, 18), 31, 32, 33])
def test_every_subtree_of_every_tree(size: int) -> None:
    for start, end in subtrees(size):
        proof = subtree_proof(start, end, size, read)
        verify_subtree(start, end, size, root(start, end), root(0, size), proof)


@pytest.mark.parametrize(("start", "end"), [(8, 13), (16, 24), (32, 33), (0, 7)])
def test_inclusion_in_a_subtree(start: int, end: int) -> None:
    for index in range(start, end):
        proof = rfc_path(index, start, end)
        verify_subtree_inclusion(LEAVES[index], index, start, end, proof, root(start, end))
        with pytest.raises(SubtreeError):
            verify_subtree_inclusion(LEAVES[index + 1], index, start, end, proof, root(start, end))


@given(st.integers(1, 300), st.data())
def test_an_inclusion_proof_holds_for_its_own_claim_alone(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, read)
    other = data.draw(st.integers(0, size - 1))
    if other != index:
        with pytest.raises(InclusionError):
            verify_inclusion(LEAVES[index], other, size, proof, root(0, size))
        with pytest.raises(InclusionError):
            verify_inclusion(LEAVES[other], index, size, proof, root(0, size))
    refused = [[*proof, bytes(32)], [bytes(32), *proof]]
    for at in range(len(proof)):
        changed = bytes([proof[at][0] ^ 0x80]) + proof[at][1:]
        refused += [
            [*proof[:at], changed, *proof[at + 1 :]],
            [*proof[:at], *proof[at + 1 :]],
            [*proof[:at], proof[at] + b"\x00", *proof[at + 1 :]],
        ]
    for wrong in refused:
        with pytest.raises(InclusionError):
            verify_inclusion(LEAVES[index], index, size, wrong, root(0, size))


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_a_consistency_proof_holds_for_its_own_claim_alone(
    one: int, other: int, data: st.DataObject
) -> None:
    old, new = sorted((one, other))
    old_root, new_root = root(0, old), root(0, new)
    proof = consistency_proof(old, new, read)
    fake = node_hash(old_root, new_root)
    with pytest.raises(ConsistencyError):
        verify_consistency(old, new, fake, new_root, proof)
    with pytest.raises(ConsistencyError):
        verify_consistency(old, new, old_root, fake, proof)
    refused = [[*proof, bytes(32)], [bytes(32), *proof], proof[1:], proof[:-1]]
    for at in range(len(proof)):
        changed = bytes([proof[at][0] ^ 0x80]) + proof[at][1:]
        refused.append([*proof[:at], changed, *proof[at + 1 :]])
    for wrong in refused:
        if wrong != proof:
            with pytest.raises(ConsistencyError):
                verify_consistency(old, new, old_root, new_root, wrong)


def test_a_rewritten_history_is_not_consistent() -> None:
    forged = [*LEAVES[:10], leaf_hash(b"another"), *LEAVES[11:20]]
    new_root = Frontier().extend(forged).root()
    proof = consistency_proof(15, 20, lambda nodes: read(nodes))
    with pytest.raises(ConsistencyError):
        verify_consistency(15, 20, root(0, 15), new_root, proof)


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 5), (6, 5), (-1, 5), (1, MAX_SIZE + 1)])
def test_sizes_without_a_consistency_proof(old: int, new: int) -> None:
    with pytest.raises(ConsistencyError):
        consistency_proof(old, new, read)
    with pytest.raises(ConsistencyError):
        verify_consistency(old, new, EMPTY_ROOT, EMPTY_ROOT, [])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (6, 5), (-1, 5), (0, MAX_SIZE + 1)])
def test_leaves_that_a_tree_does_not_have(index: int, size: int) -> None:
    with pytest.raises(InclusionError):
        inclusion_proof(index, size, read)
    with pytest.raises(InclusionError):
        verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])


def test_an_inner_node_is_no_leaf_of_another_length() -> None:
    # Two hashes in place of one would pass an inner node's children off as a leaf and its sibling.
    left, right = LEAVES[:2]
    for leaf, sibling in ((left[:16], left[16:] + right), (left + right[:8], right[8:])):
        with pytest.raises(InclusionError):
            verify_inclusion(leaf, 0, 2, [sibling], root(0, 2))
    with pytest.raises(InclusionError):
        verify_inclusion(b"", 0, 1, [], b"")
    with pytest.raises(SubtreeError, match="a proof's hashes are 32 bytes"):
        verify_subtree(0, 1, 2, left, root(0, 2), [right + b"\x00"])
    with pytest.raises(SubtreeError):
        verify_subtree(0, 1, 2, left + right, node_hash(left + right, right), [right])
    with pytest.raises(SubtreeError):
        verify_subtree_inclusion(left + right, 0, 0, 1, [], left + right)


@pytest.mark.parametrize(
    ("start", "end", "size"), [(1, 3, 8), (2, 5, 8), (4, 3, 8), (0, 9, 8), (-2, 0, 8), (3, 5, 5)]
)
def test_ranges_that_are_no_subtrees(start: int, end: int, size: int) -> None:
    with pytest.raises(SubtreeRangeError):
        subtree_proof(start, end, size, read)
    with pytest.raises(SubtreeRangeError):
        verify_subtree(start, end, size, bytes(32), bytes(32), [])


def test_the_empty_subtree_needs_no_proof_and_looks_at_no_root() -> None:
    assert subtree_proof(3, 3, 7, read) == []
    verify_subtree(3, 3, 7, EMPTY_ROOT, b"whatever", [])
    with pytest.raises(SubtreeError):
        verify_subtree(3, 3, 7, bytes(32), root(0, 7), [])
    with pytest.raises(SubtreeError):
        verify_subtree(3, 3, 7, EMPTY_ROOT, root(0, 7), [EMPTY_ROOT])


def test_a_leaf_outside_the_subtree_is_refused() -> None:
    for index in (7, 12):
        with pytest.raises(SubtreeRangeError, match=f"leaf {index} is not in"):
            verify_subtree_inclusion(LEAVES[index], index, 8, 12, [], root(8, 12))


def test_nodes_are_asked_for_in_one_call_and_counted() -> None:
    calls: list[int] = []

    def counting(nodes: Sequence[NodeAddress]) -> list[bytes]:
        calls.append(len(nodes))
        return read(nodes)

    inclusion_proof(5, 100, counting)
    consistency_proof(37, 100, counting)
    assert len(calls) == 2
    for short in (lambda nodes: read(nodes)[:-1], lambda nodes: [*read(nodes), bytes(32)]):
        with pytest.raises(RangeHashesError):
            inclusion_proof(5, 100, short)


def test_a_proof_in_the_largest_tree_is_walked_in_63_steps() -> None:
    size = MAX_SIZE
    proof = inclusion_proof(size - 1, size, lambda nodes: [LEAVES[0]] * len(nodes))
    assert len(proof) == 62
    with pytest.raises(InclusionError):
        verify_inclusion(LEAVES[0], size - 1, size, proof, LEAVES[0])
