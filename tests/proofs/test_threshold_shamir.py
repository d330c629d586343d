"""Sharing, Feldman's commitments, and combining partial results."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.ristretto import (
    ORDER,
    IdentityElementError,
    Scalar,
    ZeroScalarError,
    add_scalars,
    invert_scalar,
    map_to_element,
    multiply,
    multiply_base,
    multiply_scalars,
    random_scalars,
    scalar,
    subtract_scalars,
)
from proofs.threshold.combining import PartialCountError, combine
from proofs.threshold.errors import DuplicateIndexError, ShareIndexError, TooFewSharesError
from proofs.threshold.feldman import (
    ShareMismatchError,
    commit,
    evaluate_commitments,
    public_share,
    verify_share,
)
from proofs.threshold.shamir import MAX_INDEX, evaluate_polynomial, lagrange, recover

SOME = settings(max_examples=40, deadline=None)
seeds = st.binary(min_size=32, max_size=32)
indices = st.integers(1, MAX_INDEX)


def polynomial(seed: bytes, threshold: int) -> list[Scalar]:
    return random_scalars(seed, b"test", threshold)


@st.composite
def sharings(draw: st.DrawFn) -> tuple[list[Scalar], dict[int, Scalar]]:
    """A polynomial with t coefficients, and t to t + 4 of its shares."""
    threshold = draw(st.integers(1, 6))
    coefficients = polynomial(draw(seeds), threshold)
    holders = draw(st.lists(indices, min_size=threshold, max_size=threshold + 4, unique=True))
    return coefficients, {i: evaluate_polynomial(coefficients, i) for i in holders}


def as_int(value: Scalar) -> int:
    return int.from_bytes(value, "little")


@SOME
@given(st.lists(st.integers(0, ORDER - 1), min_size=1, max_size=6), indices)
def test_a_share_is_the_polynomial_at_its_index(coefficients: list[int], index: int) -> None:
    expected = sum(a * index**k for k, a in enumerate(coefficients)) % ORDER
    assert as_int(evaluate_polynomial([scalar(a) for a in coefficients], index)) == expected


@SOME
@given(sharings(), st.randoms(use_true_random=False))
def test_any_threshold_of_shares_recovers_the_secret(sharing, random) -> None:
    coefficients, shares = sharing
    some = dict(random.sample(sorted(shares.items()), len(coefficients)))
    assert recover(some) == coefficients[0]
    assert recover(shares) == coefficients[0]


@SOME
@given(seeds, st.integers(2, 5), seeds)
def test_one_share_too_few_fits_every_secret(seed: bytes, threshold: int, other: bytes) -> None:
    # By construction: through t − 1 shares and any candidate for the secret there is a polynomial
    # of degree t − 1. Newton's formula adds to one polynomial through the shares a multiple of the
    # product of all (x − i), which vanishes at each of them.
    coefficients = polynomial(seed, threshold)
    shares = {i: evaluate_polynomial(coefficients, i) for i in range(1, threshold)}
    (candidate,) = random_scalars(other, b"candidate", 1)
    vanishing = [scalar(1)]
    for i in shares:
        shifted = [scalar(0), *vanishing]
        scaled = [multiply_scalars(scalar(-i), a) for a in vanishing] + [scalar(0)]
        vanishing = [add_scalars(a, b) for a, b in zip(shifted, scaled, strict=True)]
    difference = subtract_scalars(candidate, coefficients[0])
    factor = multiply_scalars(difference, invert_scalar(vanishing[0]))
    fitting = [
        add_scalars(a, multiply_scalars(factor, b))
        for a, b in zip(coefficients, vanishing, strict=True)
    ]
    assert fitting[0] == candidate
    assert len(fitting) == threshold
    assert {i: evaluate_polynomial(fitting, i) for i in shares} == shares
    assert recover(shares) != coefficients[0]


@SOME
@given(sharings(), indices)
def test_lagrange_reaches_every_point(sharing, at: int) -> None:
    coefficients, shares = sharing
    weights = lagrange(tuple(shares), at)
    total = scalar(0)
    for index, share in shares.items():
        total = add_scalars(total, multiply_scalars(weights[index], share))
    assert total == evaluate_polynomial(coefficients, at)


@pytest.mark.parametrize("index", [0, -1, MAX_INDEX + 1, ORDER, ORDER + 1])
def test_indices_that_no_share_may_have(index: int) -> None:
    coefficients = polynomial(bytes(32), 2)
    with pytest.raises(ShareIndexError):
        evaluate_polynomial(coefficients, index)
    with pytest.raises(ShareIndexError):
        public_share(commit(coefficients), index)
    with pytest.raises(ShareIndexError):
        verify_share(commit(coefficients), index, coefficients[0])
    with pytest.raises(ShareIndexError):
        lagrange((1, index))
    with pytest.raises(ShareIndexError):
        recover({index: coefficients[0]})


def test_duplicates_and_nothing() -> None:
    with pytest.raises(DuplicateIndexError):
        lagrange((1, 2, 1))
    for nothing in (lambda: lagrange(()), lambda: recover({}), lambda: combine({})):
        with pytest.raises(TooFewSharesError):
            nothing()
    with pytest.raises(TooFewSharesError):
        evaluate_polynomial([], 1)
    with pytest.raises(TooFewSharesError):
        evaluate_commitments([], 1)


def test_what_lagrange_returns_is_the_callers() -> None:
    lagrange((1, 2))[1] = scalar(0)
    assert lagrange((1, 2))[1] == scalar(2)


@SOME
@given(sharings())
def test_shares_fit_their_commitments(sharing) -> None:
    coefficients, shares = sharing
    commitments = commit(coefficients)
    for index, share in shares.items():
        verify_share(commitments, index, share)
        assert public_share(commitments, index) == multiply_base(share)


@SOME
@given(sharings(), st.integers(1, ORDER - 1))
def test_other_shares_do_not(sharing, by: int) -> None:
    coefficients, shares = sharing
    commitments = commit(coefficients)
    for index, share in shares.items():
        with pytest.raises(ShareMismatchError):
            verify_share(commitments, index, add_scalars(share, scalar(by)))
        with pytest.raises(ShareMismatchError):
            verify_share(commitments[:-1] or commit([scalar(by)]), index, scalar(0))
    if len(coefficients) > 1:
        with pytest.raises(ShareMismatchError):
            verify_share(commitments, index % MAX_INDEX + 1, share)


@pytest.mark.parametrize("index", [1, 2, 7])
def test_sums_on_the_way_may_be_the_identity(index: int) -> None:
    # f(x) = 5 − i·3·x + 3·x²: Horner's first sum is 3·i − 3·i = 0 at i.
    sly = [scalar(5), scalar(-3 * index), scalar(3)]
    verify_share(commit(sly), index, evaluate_polynomial(sly, index))
    assert public_share(commit(sly), index) == multiply_base(scalar(5))


def test_a_share_of_zero() -> None:
    root = [scalar(-6), scalar(3)]
    assert evaluate_polynomial(root, 2) == scalar(0)
    verify_share(commit(root), 2, scalar(0))
    with pytest.raises(ShareMismatchError):
        verify_share(commit(root), 2, scalar(1))
    with pytest.raises(ShareMismatchError):
        verify_share(commit(root), 3, scalar(0))
    with pytest.raises(IdentityElementError):
        public_share(commit(root), 2)


def test_a_zero_coefficient_is_not_committed_to() -> None:
    with pytest.raises(ZeroScalarError):
        commit([scalar(1), scalar(0)])


@SOME
@given(sharings(), seeds, st.integers(0, 4))
def test_partial_results_combine(sharing, seed: bytes, count: int) -> None:
    coefficients, shares = sharing
    points = [map_to_element(bytes([k + 1]) * 64) for k in range(count)]
    blinds = random_scalars(seed, b"blinds", count)
    blinded = [multiply(b, p) for b, p in zip(blinds, points, strict=True)]
    whole = tuple(multiply(coefficients[0], p) for p in points)
    assert combine({i: [multiply(s, p) for p in points] for i, s in shares.items()}) == whole
    partials = {i: [multiply(s, p) for p in blinded] for i, s in shares.items()}
    assert combine(partials, blinds) == whole


def test_partial_results_that_do_not_fit_together() -> None:
    p = map_to_element(b"p" * 64)
    with pytest.raises(PartialCountError):
        combine({1: [p, p], 2: [p]})
    with pytest.raises(PartialCountError):
        combine({1: [p], 2: [p]}, [scalar(2), scalar(3)])
    with pytest.raises(ShareIndexError):
        combine({0: [p], 2: [p]})
    with pytest.raises(ZeroScalarError):
        combine({1: [p], 2: [p]}, [scalar(0)])


def test_one_partial_too_few_is_another_element() -> None:
    coefficients = polynomial(bytes(32), 3)
    p = map_to_element(b"p" * 64)
    partials = {i: [multiply(evaluate_polynomial(coefficients, i), p)] for i in (1, 2)}
    assert combine(partials) != (multiply(coefficients[0], p),)
