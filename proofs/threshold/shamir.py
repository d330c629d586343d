"""Shamir's secret sharing over the scalars of ristretto255 (Shamir 1979).

The secret is f(0) of a polynomial f of degree t − 1 with random coefficients; the share of index i
is f(i). Any t shares give f(0) by Lagrange's formula; t − 1 shares fit every secret equally well.

Shares and coefficients are secret and only ever go through flat-time scalar arithmetic. Indices are
public small integers.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from proofs.ristretto import (
    ORDER,
    Scalar,
    add_scalars,
    multiply_scalars,
    scalar,
)
from proofs.threshold.errors import DuplicateIndexError, ShareIndexError, TooFewSharesError

MAX_INDEX: Final = 255
"""Largest index of a share. All indices are far below the group's order, so they stay distinct."""


def check_index(index: int) -> int:
    """The index itself.

    :raises ShareIndexError: it is not in 1..255.
    """
    if not 1 <= index <= MAX_INDEX:
        raise ShareIndexError(f"a share's index is from 1 to {MAX_INDEX}, not {index}")
    return index


def evaluate_polynomial(coefficients: Sequence[Scalar], index: int) -> Scalar:
    """f(index): the share of that index. `coefficients[0]` is the secret.

    :raises ShareIndexError: the index is not in 1..255.
    :raises TooFewSharesError: there is no coefficient.
    """
    x = scalar(check_index(index))
    if not coefficients:
        raise TooFewSharesError("a polynomial has at least one coefficient")
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = add_scalars(multiply_scalars(value, x), coefficient)
    return value


def lagrange(indices: Sequence[int], at: int = 0) -> dict[int, Scalar]:
    """Lagrange's coefficients λᵢ, for which f(at) = Σ λᵢ·f(i) with every f of lower degree than
    there are indices. None of them is zero unless `at` is one of the indices.

    :param at: where f is wanted, 0..255.
    :raises ShareIndexError: an index is not in 1..255.
    :raises DuplicateIndexError: an index comes twice.
    :raises TooFewSharesError: there is no index.
    """
    return dict(_lagrange(tuple(indices), at))


@lru_cache(maxsize=1024)
def _lagrange(indices: tuple[int, ...], at: int) -> tuple[tuple[int, Scalar], ...]:
    if not indices:
        raise TooFewSharesError("no share, no secret")
    for index in indices:
        check_index(index)
    if at != 0:
        check_index(at)
    if len(set(indices)) != len(indices):
        raise DuplicateIndexError("each share has an index of its own")
    result = []
    for i in indices:
        numerator = denominator = 1
        for j in indices:
            if j != i:
                numerator = numerator * (at - j) % ORDER
                denominator = denominator * (i - j) % ORDER
        result.append((i, scalar(numerator * pow(denominator, -1, ORDER))))
    return tuple(result)


def recover(shares: Mapping[int, Scalar]) -> Scalar:
    """f(0) from shares by index. Give at least as many as the threshold: fewer, or one wrong
    share, give a scalar that has nothing to do with the secret, without any sign of it.

    :raises ShareIndexError: an index is not in 1..255.
    :raises TooFewSharesError: there is no share.
    """
    total = scalar(0)
    for index, weight in lagrange(tuple(shares)).items():
        total = add_scalars(total, multiply_scalars(weight, shares[index]))
    return total
