"""Pauses that grow with failures, and a signal that cuts a pause short."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

_SYSTEM = random.SystemRandom()


class Backoff:
    """How long to leave something alone after it failed again and again. Times in seconds.

    The pause doubles from `first` to `cap`; each is drawn from its upper half, so that many nodes
    that lost the same peer together do not come back together. `jitter` is where chance comes from.
    """

    def __init__(self, first: float, cap: float, jitter: random.Random = _SYSTEM) -> None:
        self._first = first
        self._cap = cap
        self._jitter = jitter
        self.failures = 0

    def failed(self) -> float:
        """Count one more failure; returns the pause that should follow it."""
        # Past 2^30 the cap has long been reached, and a float would overflow some day.
        longest = min(self._cap, self._first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return self._jitter.uniform(longest / 2, longest)

    def worked(self) -> None:
        """Forget the failures."""
        self.failures = 0


async def pause(seconds: float | None, wake: asyncio.Event) -> None:
    """Wait for `seconds` (None: for ever), or until `wake` is set; clears it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()
    wake.clear()
