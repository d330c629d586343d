"""What all of threshold sharing has in common when it is refused."""

from proofs.errors import ProofsError


class ThresholdError(ProofsError):
    """Something about a shared secret does not hold."""


class ShareIndexError(ThresholdError):
    """An index that no share may have. The share at index 0 would be the secret itself."""


class DuplicateIndexError(ThresholdError):
    """Two shares have one index: together they count as one share, not as two."""


class TooFewSharesError(ThresholdError):
    """Fewer shares than the threshold: they say nothing of the secret."""


class DealerFaultError(ThresholdError):
    """What a dealer sent is provably not what it had to send: its deal does not count."""
