"""What can be wrong with an operator's policy. A broken one never replaces the one in force."""

from __future__ import annotations

from orgnode.errors import OrgnodeError


class PolicyError(OrgnodeError):
    """The policy can't be used; while the node runs, the one before it stays in force."""


class PolicySyntaxError(PolicyError):
    """`policy.toml` is not TOML, or not text."""


class UnknownPolicyKeyError(PolicyError):
    """`policy.toml` holds a key that means nothing, perhaps misspelt: ignoring it would mislead."""


class PolicyValueError(PolicyError):
    """A value in `policy.toml` has the wrong type or lies outside its range."""


class PolicyTextError(PolicyError):
    """A template or an allowed text can't be read, or is too long."""


class UnverifiedError(OrgnodeError):
    """A text can't be checked now: the committee did not answer, or the text is too long.

    It decides nothing by itself: the fail mode of the route does. `label` is for the metrics.
    """

    def __init__(self, label: str, reason: str) -> None:
        super().__init__(reason)
        self.label = label
        self.reason = reason


class UnknownCheckError(OrgnodeError):
    """No blocked check with this id is kept: it was not blocked, or newer ones took its place."""


class TokenNotInShadowError(OrgnodeError):
    """The breaker does not hold this token: there is nothing to lift."""


class BreakerDamagedError(OrgnodeError):
    """What was kept of blocked checks and of judgements can't be read."""
