"""Which value each of the proof's 24 bits counts for, and how much.

A range 0..m is covered by k = ⌈log2(m+1)⌉ bits with the *exact* weights

    1, 2, 4, …, 2^(k−2), m − 2^(k−1) + 1

every sum of a subset is in 0..m and every number in 0..m is one. So one range proof on
v − T shows T ≤ v ≤ M.

The slots are filled in order: component 1's bits, lowest first, then components 2, 3, 4, then the
bits of total − T; the rest is padding, which counts for no value. Padding must still carry its
power of y in the proof: otherwise a prover balances a non-bit in a real slot by one in the padding
and a component of 11 is accepted.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from proofs.severity.statement import BITS, COMPONENTS, Rubric


def exact_weights(maximum: int) -> tuple[int, ...]:
    """Return bit weights whose subset sums are exactly 0..maximum; empty for 0."""
    if maximum == 0:
        return ()
    count = maximum.bit_length()
    powers = tuple(1 << i for i in range(count - 1))
    return (*powers, maximum - sum(powers))


def exact_bits(value: int, maximum: int) -> list[int]:
    """Return bits with Σ bit·weight = value for a value in 0..maximum, the last bit preferred."""
    weights = exact_weights(maximum)
    if not weights:
        return []
    half = 1 << (len(weights) - 1)
    last = int(value >= half)
    rest = value - last * weights[-1]
    return [rest >> i & 1 for i in range(len(weights) - 1)] + [last]


@dataclass(frozen=True)
class Layout:
    """The slots for one rubric and threshold.

    `blocks` holds the weights of each of the five values' slots, in order; the slots left over are
    padding. `maxima` holds the largest of each value.
    """

    blocks: tuple[tuple[int, ...], ...]
    maxima: tuple[int, ...]

    @cached_property
    def padding(self) -> int:
        """How many slots count for no value."""
        return BITS - sum(map(len, self.blocks))


@lru_cache(maxsize=1024)
def layout(rubric: Rubric, threshold: int) -> Layout:
    """Return the slots for `rubric` and a threshold in 0..total_max."""
    maxima = (rubric.component_max,) * COMPONENTS + (rubric.total_max - threshold,)
    slots = Layout(tuple(map(exact_weights, maxima)), maxima)
    assert slots.padding >= 0  # a rubric sees to it
    return slots


def witness_bits(rubric: Rubric, threshold: int, components: tuple[int, ...]) -> list[int]:
    """Return a_L, the 24 bits that open all five values; zeros in the padding."""
    bits = [bit for s in components for bit in exact_bits(s, rubric.component_max)]
    excess = rubric.total(components) - threshold
    bits += exact_bits(excess, rubric.total_max - threshold)
    return bits + [0] * (BITS - len(bits))
