"""The one source of randomness of the fakes: generators that follow from a seed and a purpose."""

from random import Random


def seeded(purpose: str, *seed: object) -> Random:
    """A generator of its own for one purpose and seed; equal arguments give equal generators."""
    return Random("/".join(("signal-mesh", purpose, *map(str, seed))))  # noqa: S311 - fakes only
