"""What can be wrong with a point, a scalar or a back end.

No message ever shows a scalar: most scalars in this project are secrets or are derived from them.
"""

from proofs.errors import ProofsError


class PointError(ProofsError):
    """Bytes that were to be a point of G1 are none that this project accepts."""


class PointEncodingError(PointError):
    """Not a canonical compressed point: wrong length or flag bits, or x ≥ p."""


class NotOnCurveError(PointError):
    """No point of the curve y² = x³ + 4 has this x."""


class NotInSubgroupError(PointError):
    """On the curve but outside the prime-order subgroup: a small-subgroup attack."""


class InfinityPointError(PointError):
    """The point at infinity in whichever encoding: never honest here; malleable in arkworks."""


class ScalarRangeError(ProofsError):
    """A scalar is not in 0..r−1. It is refused: reducing it would make encodings malleable."""


class LengthMismatchError(ProofsError):
    """A multi-scalar multiplication got more points than scalars, or the reverse.

    Truncating to the shorter list, as arkworks does, would drop terms that a verifier relies on.
    """


class DomainTagError(ProofsError):
    """A hash-to-curve domain separation tag is not of 1 to 255 bytes (RFC 9380 §5.3.3)."""


class BackendUnavailableError(ProofsError):
    """The group back end that was asked for is unknown or its package is not installed."""
