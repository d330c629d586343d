"""Commitments: binding to value and blinding, homomorphic, the same on every back end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from points import ALL

from proofs.group import ORDER, ScalarRangeError, load
from proofs.pedersen import (
    BlindingError,
    blinding_from_bytes,
    commit,
    commit_point,
    generators,
    open_commitment,
    vector_generators,
)

values = st.integers(0, ORDER - 1)
blindings = st.integers(1, ORDER - 1)
FEW = settings(max_examples=20, deadline=None)


@FEW
@given(values, blindings)
def test_opens_to_what_was_committed(value: int, blinding: int) -> None:
    commitment = commit(value, blinding)
    assert len(commitment) == 48
    assert open_commitment(commitment, value, blinding)


@FEW
@given(values, blindings, values, blindings)
def test_opens_to_nothing_else(value: int, blinding: int, other: int, fake: int) -> None:
    if (value, blinding) != (other, fake):
        assert not open_commitment(commit(value, blinding), other, fake)


@FEW
@given(values, blindings, values, blindings)
def test_is_homomorphic(a: int, r: int, b: int, s: int) -> None:
    if (r + s) % ORDER:
        group = load(ALL[0])
        total = group.add(group.decode(commit(a, r)), group.decode(commit(b, s)))
        assert group.encode(total) == commit((a + b) % ORDER, (r + s) % ORDER)


def test_all_back_ends_commit_alike() -> None:
    answers = {load(name).encode(commit_point(load(name), 7, ORDER - 3)) for name in ALL}
    assert answers == {commit(7, ORDER - 3)}


@pytest.mark.parametrize("blinding", [0, -1, ORDER, ORDER + 5])
def test_a_blinding_factor_that_does_not_hide_is_refused(blinding: int) -> None:
    with pytest.raises(BlindingError) as caught:
        commit(3, blinding)
    assert str(ORDER + 5) not in str(caught.value)


@pytest.mark.parametrize("value", [-1, ORDER, ORDER + 7])
def test_values_are_never_reduced(value: int) -> None:
    with pytest.raises(ScalarRangeError):
        commit(value, 5)


def test_openings_out_of_range_open_nothing() -> None:
    commitment = commit(7, 5)
    assert not open_commitment(commitment, 7 + ORDER, 5)
    assert not open_commitment(commitment, 7, 5 + ORDER)
    assert not open_commitment(commitment, 7 - ORDER, 5)
    assert not open_commitment(commitment[:-1], 7, 5)
    assert not open_commitment(b"", 7, 5)


def test_blinding_from_bytes() -> None:
    assert blinding_from_bytes((5).to_bytes(64, "big")) == 5
    assert blinding_from_bytes(b"\xff" * 64) == ((1 << 512) - 1) % ORDER
    for length in (0, 32, 63, 65):
        with pytest.raises(ScalarRangeError):
            blinding_from_bytes(bytes(length))
    for zero in (bytes(64), ORDER.to_bytes(64, "big")):
        with pytest.raises(BlindingError):
            blinding_from_bytes(zero)


def test_generators_are_all_different_and_computed_once() -> None:
    group = load("py_ecc")
    pair, vectors = generators(group), vector_generators(group, 24)
    points = [pair.G, pair.H, vectors.U, *vectors.G, *vectors.H]
    encodings = {group.encode(p) for p in points}
    assert len(encodings) == 51
    assert generators(group) is pair
    assert vector_generators(group, 24) is vectors


def test_generators_are_those_of_the_text() -> None:
    group = load(ALL[0])
    tag = b"SIGNAL-MESH-V1-GENERATORS-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"
    vectors = vector_generators(group, 24)
    assert group.equal(generators(group).G, group.generator())
    assert group.equal(generators(group).H, group.hash_to_curve(b"pedersen H", tag))
    assert group.equal(vectors.G[23], group.hash_to_curve(b"bulletproof G 23", tag))
    assert group.equal(vectors.H[0], group.hash_to_curve(b"bulletproof H 0", tag))
    assert group.equal(vectors.U, group.hash_to_curve(b"bulletproof U", tag))
