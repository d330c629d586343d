"""Feldman's verifiable secret sharing (Feldman 1987): a polynomial's coefficients times G.

The commitments make each share checkable, and the public share f(i)·G of every index computable by
anybody. They show f(0)·G, the public key; of the secret itself they show nothing more than that.
"""

from collections.abc import Sequence

from proofs.ristretto import (
    Element,
    IdentityElementError,
    Scalar,
    add,
    multiply,
    multiply_base,
    scalar,
)
from proofs.threshold.errors import DealerFaultError, TooFewSharesError
from proofs.threshold.shamir import check_index


class ShareMismatchError(DealerFaultError):
    """A share is not the one that its dealer committed to: with it the holder could not answer."""


def commit(coefficients: Sequence[Scalar]) -> tuple[Element, ...]:
    """Commit to a polynomial: aₖ·G for each coefficient; the first is the public key.

    :raises ZeroScalarError: a coefficient is zero.
    """
    return tuple(multiply_base(coefficient) for coefficient in coefficients)


def public_share(commitments: Sequence[Element], index: int) -> Element:
    """f(index)·G, computed from the commitments alone.

    :raises ShareIndexError: the index is not in 1..255.
    :raises TooFewSharesError: there is no commitment.
    :raises IdentityElementError: the share of this index is zero.
    """
    result = evaluate_commitments(commitments, index)
    if result is None:
        raise IdentityElementError(f"the share of index {index} is zero")
    return result


def evaluate_commitments(commitments: Sequence[Element | None], index: int) -> Element | None:
    """Σ indexᵏ·Cₖ, where None stands for the identity: as a commitment (to a coefficient that is
    zero on purpose) and as the result. A dealer can choose coefficients for which a sum on the way
    is the identity; that must not stop anybody.

    :raises ShareIndexError: the index is not in 1..255.
    :raises TooFewSharesError: there is no commitment.
    """
    x = scalar(check_index(index))
    if not commitments:
        raise TooFewSharesError("a polynomial has at least one coefficient")
    value = commitments[-1]
    for commitment in reversed(commitments[:-1]):
        if value is not None and index != 1:
            value = multiply(x, value)
        value = add_or_identity(value, commitment)
    return value


def add_or_identity(a: Element | None, b: Element | None) -> Element | None:
    """P + Q, where None is the identity."""
    if a is None or b is None:
        return b if a is None else a
    try:
        return add(a, b)
    except IdentityElementError:
        return None


def multiply_sum_or_identity(
    scalars: Sequence[Scalar], elements: Sequence[Element]
) -> Element | None:
    """Σ kᵢ·Pᵢ, where None is the identity. Unlike `proofs.ristretto.multiply_sum` it does not stop
    at a sum on the way that is the identity: colluding holders can bring that about.

    :raises ZeroScalarError: a scalar is zero.
    :raises ValueError: there is not one scalar for each element.
    """
    total: Element | None = None
    for k, element in zip(scalars, elements, strict=True):
        total = add_or_identity(total, multiply(k, element))
    return total


def verify_share(commitments: Sequence[Element | None], index: int, share: Scalar) -> None:
    """Check a share against the commitments to its polynomial.

    :param commitments: one for each coefficient; None for one that is zero on purpose.
    :raises ShareMismatchError: it is another polynomial's share, or another index's.
    :raises ShareIndexError: the index is not in 1..255.
    :raises TooFewSharesError: there is no commitment.
    """
    expected = evaluate_commitments(commitments, index)
    actual = None if share == scalar(0) else multiply_base(share)
    if actual != expected:
        raise ShareMismatchError(f"the share of index {index} does not fit its commitments")
