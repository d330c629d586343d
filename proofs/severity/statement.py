"""What a severity proof is about: a rubric, a threshold, four commitments and a context."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from proofs.group import G1_COMPRESSED
from proofs.severity.errors import RubricError, StatementError

COMPONENTS: Final = 4
"""How many components a rubric weighs in version 1 of the proof."""

BITS: Final = 24
"""N, the slots of the aggregated proof: 3·2³."""

COMMITMENT_BYTES: Final = G1_COMPRESSED
"""Length of the commitment to one component."""


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Rubric:
    """How components in 0..component_max make a total: Σ weights[i]·component[i].

    Raises:
        RubricError: not four weights of at least 1, or its bits don't fit into the proof's 24.
    """

    weights: tuple[int, ...] = (4, 2, 2, 2)
    component_max: int = 10

    def __post_init__(self) -> None:
        if not isinstance(self.weights, tuple) or len(self.weights) != COMPONENTS:
            raise RubricError(f"a rubric has a tuple of {COMPONENTS} weights")
        if not all(_is_int(weight) and weight >= 1 for weight in self.weights):
            raise RubricError("each weight must be an integer of at least 1")
        if not _is_int(self.component_max) or self.component_max < 1:
            raise RubricError("component_max must be an integer of at least 1")
        needed = COMPONENTS * self.component_max.bit_length() + self.total_max.bit_length()
        if needed > BITS:
            raise RubricError(
                f"this rubric needs {needed} bits and the proof has {BITS}: "
                "lower the weights or component_max"
            )

    @cached_property
    def total_max(self) -> int:
        """The largest total, M."""
        return self.component_max * sum(self.weights)

    def total(self, components: tuple[int, ...]) -> int:
        """Return Σ weights[i]·components[i]."""
        return sum(w * s for w, s in zip(self.weights, components, strict=True))


@dataclass(frozen=True)
class Statement:
    """The claim: committed components are in range and their total is at least `threshold`.

    `context` is whatever else the proof is bound to (mesh, constraints version, issuer, tokens,
    salt); a proof verifies under exactly the context that it was made for. The commitments' bytes
    are decoded at verification.

    Raises:
        StatementError: the threshold is not in 0..total_max, or there are not four commitments of
            48 bytes.
    """

    rubric: Rubric
    threshold: int
    commitments: tuple[bytes, ...]
    context: bytes

    def __post_init__(self) -> None:
        if not _is_int(self.threshold) or not 0 <= self.threshold <= self.rubric.total_max:
            raise StatementError(f"the threshold must be in 0..{self.rubric.total_max}")
        if len(self.commitments) != COMPONENTS:
            raise StatementError(f"a statement has {COMPONENTS} commitments")
        if any(len(commitment) != COMMITMENT_BYTES for commitment in self.commitments):
            raise StatementError(f"a commitment has {COMMITMENT_BYTES} bytes")
