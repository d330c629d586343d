"""Putting partial results together: Σ λᵢ·(sᵢ·P) = s·P, without s ever being in one place.

Each holder i multiplies the elements by its share sᵢ and proves it; whoever asked combines what any
t of them answered. Lagrange's coefficient and the inverse of the asker's blind are one scalar, so
that unblinding costs no multiplication of its own.
"""

from collections.abc import Mapping, Sequence

from proofs.ristretto import Element, IdentityElementError, Scalar, invert_scalar, multiply_scalars
from proofs.threshold.errors import ThresholdError, TooFewSharesError
from proofs.threshold.feldman import multiply_sum_or_identity
from proofs.threshold.shamir import lagrange


class PartialCountError(ThresholdError):
    """Holders answered for different numbers of elements, or there is not one blind for each."""


def combine(
    partials: Mapping[int, Sequence[Element]], blinds: Sequence[Scalar] | None = None
) -> tuple[Element, ...]:
    """Combine holders' partial results into s·P for each P, unblinded if blinds are given.

    The partials must have been verified against the holders' public shares before, and there must
    be at least as many as the threshold: otherwise the result is some other element, without any
    sign of it.

    :param partials: by index of the share, the same elements in the same order for each holder.
    :param blinds: the blind of each element, or None if they are not blinded.
    :raises PartialCountError: the numbers differ.
    :raises ShareIndexError: an index is not in 1..255.
    :raises TooFewSharesError: there is no partial result at all.
    :raises ZeroScalarError: a blind is zero.
    :raises IdentityElementError: a result is the identity, which honest partial results never give.
    """
    if not partials:
        raise TooFewSharesError("no partial result, no result")
    counts = {len(elements) for elements in partials.values()}
    if blinds is not None:
        counts.add(len(blinds))
    if len(counts) != 1:
        raise PartialCountError("each holder answers for the same elements, each with one blind")
    weights = tuple(lagrange(tuple(partials)).values())
    columns = tuple(zip(*partials.values(), strict=True))
    if blinds is None:
        return tuple(_sum(weights, column) for column in columns)
    inverses = [invert_scalar(blind) for blind in blinds]
    return tuple(
        _sum([multiply_scalars(weight, inverse) for weight in weights], column)
        for inverse, column in zip(inverses, columns, strict=True)
    )


def _sum(weights: Sequence[Scalar], elements: Sequence[Element]) -> Element:
    # Two colluding holders can make their weighted shares cancel out; the others still count.
    total = multiply_sum_or_identity(weights, elements)
    if total is None:
        raise IdentityElementError("the partial results cancel each other out")
    return total
