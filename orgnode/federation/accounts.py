"""What one peer has under way here, and how much more it may have.

Every member has an account of its own, so that whatever one member does, it uses up its own share
only. Some limits refuse: requests at a time, announcements at a time, requests a second. Others
make a request wait in line: big reads at a time, and bytes held for the peer. A true peer that is
quick meets only those, and is served a little later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum, auto

from orgnode.federation.limits import ServerLimits
from orgnode.federation.ports import Clock
from orgnode.federation.reply import RefusedError


class RequestKind(Enum):
    """Requests that have a rate of their own, and all others."""

    ANNOUNCEMENT = auto()
    COSIGNATURE = auto()
    GOSSIP = auto()
    EVALUATION = auto()
    OTHER = auto()


class TokenBucket:
    """At most `rate` a second for long, at most `burst` at once. `clock` counts seconds."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._at: float | None = None

    def take(self, now: float | None = None) -> bool:
        """Take one, if there is one. `now`: what the clock says, if it was asked just now."""
        if now is None:
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

    def place(self) -> Hold:
        """One unit, to be taken."""
        return Hold(self, 1)

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
        self._clock = clock
        # Evaluations are counted apart from all else, so that many checks don't hold up the logs,
        # nor the logs the checks.
        self._requests = Places(limits.in_flight, "too many requests at a time")
        self._evaluations = Places(limits.evaluations, "too many evaluations at a time")
        self._announcements = Places(limits.announcements, "too many announcements at a time")
        self._rate = TokenBucket(limits.rate, limits.burst, clock)
        self._rates = {
            RequestKind.EVALUATION: TokenBucket(limits.rate, limits.burst, clock),
            RequestKind.ANNOUNCEMENT: TokenBucket(
                limits.announce_rate, limits.announce_burst, clock
            ),
            RequestKind.COSIGNATURE: TokenBucket(limits.cosign_rate, limits.cosign_burst, clock),
            RequestKind.GOSSIP: TokenBucket(limits.gossip_rate, limits.gossip_burst, clock),
        }
        self._reads = Room(limits.reads)
        self._bytes = Room(limits.held)

    @property
    def held(self) -> int:
        """Bytes that are held for the peer now."""
        return self._bytes.taken

    def request(self, kind: RequestKind) -> Places:
        """One request; raises RefusedError (429) if it is one too many."""
        rate, evaluation, now = self._rates.get(kind), kind is RequestKind.EVALUATION, self._clock()
        if not ((rate is None or rate.take(now)) and (evaluation or self._rate.take(now))):
            raise RefusedError(429, "RequestRateError", "too many requests a second")
        return self._evaluations if evaluation else self._requests

    def announcement(self) -> Places:
        """One announcement; raises RefusedError (429) if it is one too many."""
        return self._announcements

    def holding(self, most: int) -> Hold:
        """Hold up to `most` bytes for the peer; waits while too many are held already."""
        return Hold(self._bytes, most)

    def reading(self) -> Hold:
        """One big read; waits while there are too many."""
        return self._reads.place()


class Hold:
    """Units of a room that are held from `take` to `give`.

    Of bytes for a peer it is as many as a message could have at first.
    """

    def __init__(self, room: Room, units: int) -> None:
        self._room = room
        self._units = units

    async def take(self) -> None:
        """Take them, as soon as it is their turn."""
        await self._room.take(self._units)

    def give(self) -> None:
        """Give back what is still held."""
        self.shrink(0)

    def shrink(self, units: int) -> None:
        """It is only so many; the rest is free for others. It never grows."""
        if units < self._units:
            self._room.give(self._units - units)
            self._units = units


class Places:
    """How many of a kind are under way, from `take` to `give`; more than `most` are refused."""

    def __init__(self, most: int, message: str) -> None:
        self._most = most
        self._message = message
        self._running = 0

    def take(self) -> None:
        """Take a place; raises RefusedError (429) if there is none."""
        if self._running >= self._most:
            raise RefusedError(429, "TooManyRequestsError", self._message)
        self._running += 1

    def give(self) -> None:
        """Give a place back."""
        self._running -= 1
