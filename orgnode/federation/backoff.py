"""Pauses that grow with failures, and a signal that cuts a pause short."""

from __future__ import annotations

import asyncio
import random

_SYSTEM = random.SystemRandom()
# A pause that is cut short ends after 4 seconds at last, if the first one is a quarter of a second.
_MOST_CUTS = 4


class Backoff:
    """How long to leave something alone after it failed again and again. Times in seconds.

    The pause doubles from `first` to `cap`; each is drawn from its upper half, so that many nodes
    that lost the same peer together do not come back together. `jitter` is where chance comes from.

    *Attack:* signs of life cost nothing. If each cut a pause short, a peer could have itself asked,
    and handed everything, as often as it likes. So one cuts a pause only after a failure that
    passes when the peer comes back, each pause once, and less every time until something works.
    """

    def __init__(self, first: float, cap: float, jitter: random.Random = _SYSTEM) -> None:
        self._first = first
        self._cap = cap
        self._jitter = jitter
        self.failures = 0
        self._passing = False
        self._cuts = 0

    def failed(self, *, passing: bool = False) -> float:
        """Count one more failure; returns the pause that should follow it.

        `passing`: a sign of life of the peer may mean that the cause is gone.
        """
        self._passing = passing
        # Past 2^30 the cap has long been reached, and a float would overflow some day.
        longest = min(self._cap, self._first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return self._jitter.uniform(longest / 2, longest)

    def worked(self) -> None:
        """Forget the failures."""
        self.failures = self._cuts = 0
        self._passing = False

    @property
    def passing(self) -> bool:
        """Whether a sign of life of the peer would cut the pause."""
        return self._passing

    def sign_of_life(self) -> float | None:
        """The peer was heard of: after how long it may be tried again, None for no sooner."""
        if not self._passing:
            return None
        self._passing = False
        wait = min(self._cap, self._first * 2.0 ** min(self._cuts, _MOST_CUTS))
        self._cuts += 1
        return wait


async def pause(seconds: float | None, wake: asyncio.Event) -> None:
    """Wait for `seconds` (None: for ever), or until `wake` is set; clears it."""
    if not wake.is_set():
        # Setting it is all that time does here: cheaper than a timeout, which cancels the task.
        loop = asyncio.get_running_loop()
        timer = None if seconds is None else loop.call_later(seconds, wake.set)
        try:
            await wake.wait()
        finally:
            if timer is not None:
                timer.cancel()
    wake.clear()
