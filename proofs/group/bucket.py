"""Multi-scalar multiplication by buckets (Pippenger's method), for libraries that have none.

With signed digits in −2^(c−1)..2^(c−1), n points cost about ⌈256/c⌉·(n + 2^c) additions. Variable
time: for public scalars only.
"""

from collections.abc import Callable, Sequence

from proofs.group.interface import Point
from proofs.group.scalars import check_scalar

_BITS = 256  # one more than a scalar's 255, for the last carry


def window_bits(count: int) -> int:
    """Return the digit width that costs the fewest additions for `count` points."""
    return min(range(1, 16), key=lambda c: -(-_BITS // c) * (count + (1 << c) + c))


def signed_digits(scalar: int, width: int) -> list[int]:
    """Return d_k in −2^(width−1)..2^(width−1), lowest first, with Σ d_k·2^(width·k) = scalar."""
    base, half = 1 << width, 1 << (width - 1)
    digits = []
    carry = 0
    for _ in range(-(-_BITS // width)):
        digit = (scalar & (base - 1)) + carry
        scalar >>= width
        carry = digit > half
        digits.append(digit - base if carry else digit)
    assert scalar == 0
    assert not carry
    return digits


def bucket_msm(
    points: Sequence[Point],
    scalars: Sequence[int],
    *,
    add: Callable[[Point, Point], Point],
    neg: Callable[[Point], Point],
    identity: Point,
) -> Point:
    """Return Σ scalars[k]·points[k] with the given group operations.

    Raises:
        ScalarRangeError: a scalar is not in 0..r−1.
    """
    for scalar in scalars:
        check_scalar(scalar)
    width = window_bits(len(points))
    columns = list(zip(*(signed_digits(k, width) for k in scalars), strict=True))
    negated = [neg(p) for p in points]
    total: Point | None = None
    for column in reversed(columns):
        if total is not None:
            for _ in range(width):
                total = add(total, total)
        window = _sum_column(column, points, negated, add, 1 << (width - 1))
        if window is not None:
            total = window if total is None else add(total, window)
    return identity if total is None else total


def _sum_column(
    column: Sequence[int],
    points: Sequence[Point],
    negated: Sequence[Point],
    add: Callable[[Point, Point], Point],
    largest: int,
) -> Point | None:
    buckets: list[Point | None] = [None] * (largest + 1)
    for digit, point, minus in zip(column, points, negated, strict=True):
        if digit:
            index, term = (digit, point) if digit > 0 else (-digit, minus)
            held = buckets[index]
            buckets[index] = term if held is None else add(held, term)
    # Σ d·bucket[d] as a sum of suffix sums.
    suffix: Point | None = None
    total: Point | None = None
    for held in reversed(buckets[1:]):
        if held is not None:
            suffix = held if suffix is None else add(suffix, held)
        if suffix is not None:
            total = suffix if total is None else add(total, suffix)
    return total
