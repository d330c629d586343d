"""Asking as many as are needed, and others in place of those that fail or are slow.

Hedged requests, after Dean and Barroso, "The Tail at Scale" (2013): one more is asked only when an
answer is later than most are, so that the tail is cut for a few requests in a hundred. When all
seats, or this machine, are slow, asking more of them makes everything slower still; so hedges have
a budget.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Generic, TypeVar

from orgnode.evaluating.errors import SeatFailedError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_LATER_SECONDS = 0.1


class HedgeBudget:
    """How many may be asked in addition: one for every ten requests and one a second.

    Up to `saved` of them are saved up; `clock` counts seconds.
    """

    def __init__(self, clock: Callable[[], float], saved: float = 8.0) -> None:
        self._clock = clock
        self._most = self._left = saved
        self._at = clock()

    def earn(self) -> None:
        """Count a request."""
        self._left = min(self._most, self._left + 0.1)

    def spend(self) -> bool:
        """Whether one more may be asked; if so, it is counted."""
        now = self._clock()
        self._left = min(self._most, self._left + now - self._at)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class TooFewAnswersError(Exception, Generic[K, T]):
    """Not enough answered. `failures` says why not.

    If `late`, the time was over, and `waiting` did not answer in it. Else so many had failed that
    nothing could come of waiting for them.
    """

    def __init__(
        self,
        answers: dict[K, T],
        failures: dict[K, SeatFailedError],
        waiting: Iterable[K],
        *,
        late: bool,
    ) -> None:
        super().__init__()
        self.answers = answers
        self.failures = failures
        self.waiting = tuple(waiting)
        self.late = late


async def ask_enough(
    candidates: Iterable[K],
    needed: int,
    ask: Callable[[K], Awaitable[T]],
    *,
    patience: Callable[[K], float],
    until: float,
    hedge: Callable[[K], bool] = lambda _: True,
) -> dict[K, T]:
    """Ask until `needed` have answered; nothing runs any more when this returns or raises.

    The first `needed` candidates are asked at once. For one that fails with SeatFailedError the
    next is asked at once, for one that has not answered after its `patience` (seconds) the next is
    asked too, if `hedge` allows it.

    :param until: time of the event loop at which to give up.
    :raises TooFewAnswersError: too few are left, or the time is over.
    """
    loop = asyncio.get_running_loop()
    left = deque(candidates)
    running: dict[asyncio.Future[T], K] = {}
    hedge_at: dict[asyncio.Future[T], float] = {}
    answers: dict[K, T] = {}
    failures: dict[K, SeatFailedError] = {}

    def start() -> None:
        if left:
            key = left.popleft()
            task = asyncio.ensure_future(ask(key))
            running[task] = key
            hedge_at[task] = loop.time() + patience(key)

    try:
        for _ in range(needed):
            start()
        while len(answers) < needed:
            few = len(answers) + len(running) < needed
            if few or loop.time() >= until:
                raise TooFewAnswersError(answers, failures, running.values(), late=not few)
            # Without anybody left to ask there is nothing to do at the time of a hedge.
            wake = min([until, *(hedge_at.values() if left else ())])
            done, _ = await asyncio.wait(
                running,
                timeout=max(0.0, wake - loop.time()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                key = running.pop(task)
                hedge_at.pop(task, None)
                try:
                    answers[key] = task.result()
                except SeatFailedError as failure:
                    failures[key] = failure
                    start()
            now = loop.time()
            for task in [late for late, at in hedge_at.items() if at <= now]:
                del hedge_at[task]
                if left and hedge(running[task]):
                    start()
                elif left:
                    hedge_at[task] = now + _LATER_SECONDS
        return dict(list(answers.items())[:needed])
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
