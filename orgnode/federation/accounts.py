"""What one peer has under way here, and how much more it may have.

Every member has an account of its own, so that whatever one member does, it uses up its own share
only. Some limits refuse: requests at a time, announcements at a time, requests a second. Others
make a request wait in line: big reads at a time, and bytes held for the peer. A true peer that is
quick meets only those, and is served a little later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from orgnode.federation.limits import ServerLimits
from orgnode.federation.ports import Clock
from orgnode.federation.reply import RefusedError


class TokenBucket:
    """At most `rate` a second for long, at most `burst` at once. `clock` counts seconds."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._at: float | None = None

    def take(self) -> bool:
        """Take one, if there is one."""
        now = self._clock()
        if self._at is not None:
            # A clock that steps back brings nothing, and takes nothing away.
            earned = max(0.0, now - self._at) * self._rate
            self._tokens = min(float(self._burst), self._tokens + earned)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Room:
    """So many units at a time. Who wants more than are free waits in line, first come first served.

    One who wants more than there are at all gets in alone, so that nothing waits for ever.
    """

    def __init__(self, units: int) -> None:
        self._units = units
        self._taken = 0
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def taken(self) -> int:
        """How many units are in use."""
        return self._taken

    async def take(self, units: int) -> None:
        """Take so many units, as soon as everybody who came before has had theirs."""
        if not self._line and self._fits(units):
            self._taken += units
            return
        place = (units, asyncio.get_running_loop().create_future())
        self._line.append(place)
        try:
            await place[1]
        except asyncio.CancelledError:
            if not place[1].cancelled():
                self.give(units)  # cancelled in the very moment when it was let in
            elif place in self._line:
                self._line.remove(place)
                self._admit()
            raise

    def give(self, units: int) -> None:
        """Give back so many units."""
        self._taken -= units
        self._admit()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Take one unit for the time of the block."""
        await self.take(1)
        try:
            yield
        finally:
            self.give(1)

    def _fits(self, units: int) -> bool:
        return self._taken == 0 or self._taken + units <= self._units

    def _admit(self) -> None:
        while self._line and self._fits(self._line[0][0]):
            units, place = self._line.popleft()
            if not place.done():
                self._taken += units
                place.set_result(None)


class Account:
    """One peer's account. `clock` counts seconds, from any beginning."""

    def __init__(self, limits: ServerLimits, clock: Clock) -> None:
        self._limits = limits
        # Evaluations are counted apart from all else, so that many checks don't hold up the logs,
        # nor the logs the checks.
        self._requests = _Count(limits.in_flight, "too many requests at a time")
        self._evaluations = _Count(limits.evaluations, "too many evaluations at a time")
        self._announcements = _Count(limits.announcements, "too many announcements at a time")
        self._rate = TokenBucket(limits.rate, limits.burst, clock)
        self._evaluation_rate = TokenBucket(limits.rate, limits.burst, clock)
        self._reads = Room(limits.reads)
        self._bytes = Room(limits.held)

    @property
    def held(self) -> int:
        """Bytes that are held for the peer now."""
        return self._bytes.taken

    @contextmanager
    def request(self, evaluation: bool) -> Iterator[None]:
        """One request; raises RefusedError (429) if it is one too many."""
        if not (self._evaluation_rate if evaluation else self._rate).take():
            raise RefusedError(429, "RequestRateError", "too many requests a second")
        with self._evaluations.one() if evaluation else self._requests.one():
            yield

    @contextmanager
    def announcement(self) -> Iterator[None]:
        """One announcement; raises RefusedError (429) if it is one too many."""
        with self._announcements.one():
            yield

    @asynccontextmanager
    async def holding(self, most: int) -> AsyncIterator[Hold]:
        """Hold up to `most` bytes for the peer; waits while too many are held already."""
        hold = Hold(self._bytes, most)
        await self._bytes.take(most)
        try:
            yield hold
        finally:
            hold.shrink(0)

    def reading(self) -> AbstractAsyncContextManager[None]:
        """One big read; waits while there are too many."""
        return self._reads.place()


class Hold:
    """Bytes that are held for a peer, as many as a message could have at first."""

    def __init__(self, room: Room, units: int) -> None:
        self._room = room
        self._units = units

    def shrink(self, units: int) -> None:
        """It is only so many; the rest is free for others. It never grows."""
        if units < self._units:
            self._room.give(self._units - units)
            self._units = units


class _Count:
    """How many of a kind are under way; more than `most` are refused."""

    def __init__(self, most: int, message: str) -> None:
        self._most = most
        self._message = message
        self._running = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        if self._running >= self._most:
            raise RefusedError(429, "TooManyRequestsError", self._message)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
