"""A network between named machines on a virtual clock: it delays, loses, repeats and reorders.

    network = SimNetwork(loop, rng)
    network.attach("b", machine_b, serve)        # serve(sender, message) -> answer
    answer = await network.request("a", "b", message, deadline=10.0)

A request is one message, its answer another; each goes its own way and takes its own time. Who is
cut off is not told: a message on a cut link vanishes, and its sender waits for its deadline.
Conditions are those of the link from one name to another, so a link can fail in one direction.

All randomness comes from the generator handed in. What happens is counted in `met`, so that a suite
of runs can show that each fault did occur.
"""

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from mesh.testing.virtualtime import Machine, VirtualLoop

Handler = Callable[[str, Any], Awaitable[Any]]
"""Answers a message of a named sender."""

Tap = Callable[[str, str, Any, Any], None]
"""Sees what leaves a machine: sender and receiver of the request, the request, and its answer; the
answer is None while it is the request that leaves."""

LATE: Final = 8.0
"""Longest that a straggler or a second copy lies around, in seconds."""


class NetworkError(Exception):
    """A request got no answer."""


class NobodyThereError(NetworkError):
    """Nothing listens there: the program is down, and its machine said so."""


class BrokenOffError(NetworkError):
    """The other side went away in the middle: the request may or may not have had its effect."""


class SilenceError(NetworkError):
    """No answer came before the deadline, whether or not the request arrived."""


@dataclass(frozen=True)
class Conditions:
    """How a link treats messages. Times in seconds, the rest are probabilities a message.

    `latency` is the least time that a message takes, `jitter` the mean of what comes on top of it
    (exponential). `straggle`: it takes up to `LATE` longer, so that later ones overtake it.
    `again`: a second copy of a request arrives, up to `LATE` later.
    """

    latency: float = 0.01
    jitter: float = 0.005
    loss: float = 0.0
    again: float = 0.0
    straggle: float = 0.0


CALM: Final = Conditions()


@dataclass
class Traffic:
    """What one machine sent and received, as requests and as answers."""

    sent: int = 0
    received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass
class _Place:
    machine: Machine
    handler: Handler


@dataclass(eq=False, slots=True)
class _Exchange:
    """A request, and the answer that its sender waits for."""

    number: int
    src: str
    dst: str
    message: Any
    answer: asyncio.Future[Any]
    epoch: int
    size: int
    """Bytes of the message."""
    arrived: int = 0


_NOBODY = copy_context()


class SimNetwork:
    """See the module.

    :param conditions: of every link.
    :param size: bytes of a message or an answer, for the counts.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        rng: Random,
        *,
        conditions: Conditions = CALM,
        size: Callable[[Any], int] = lambda _: 0,
    ) -> None:
        self.conditions = conditions
        self.met: Counter[str] = Counter()
        self.traffic: defaultdict[str, Traffic] = defaultdict(Traffic)
        self.most_in_flight = 0
        """Requests of one machine to one other that were open at the same time, at most."""
        self.taps: list[Tap] = []
        self.place_of: Callable[[str, str], str] = lambda _, dst: dst
        """Which of the attached places a message from one name to another arrives at."""
        self._loop = loop
        self._rng = rng
        self._size = size
        self._cuts: Counter[tuple[str, str]] = Counter()
        self._slow: dict[str, float] = {}
        self._places: dict[str, _Place] = {}
        self._exchanges: dict[int, _Exchange] = {}
        self._in_flight: Counter[tuple[str, str]] = Counter()
        self._numbers = 0
        self._epochs: Counter[str] = Counter()
        self._newest: dict[tuple[str, str], int] = {}

    # --- who is there

    def attach(self, name: str, machine: Machine, handler: Handler) -> None:
        """From now on `handler` answers what is sent to this name, in tasks of the machine."""
        self._places[name] = _Place(machine, handler)
        self.traffic[name]  # from now on there is a count of it, be it nothing

    def detach(self, name: str) -> None:
        """The machine is gone. About half of those who wait for its answers are told so."""
        self._places.pop(name, None)
        for exchange in list(self._exchanges.values()):
            if exchange.src == name:  # what it sent goes on, and nobody waits for the answers
                del self._exchanges[exchange.number]
                self._in_flight[exchange.src, exchange.dst] = 0
            elif exchange.dst == name and exchange.arrived and self._rng.random() < 0.5:
                self.met["broke off"] += 1
                self._later(self._fail, exchange, BrokenOffError(name), delay=self._delay(exchange))

    def forget(self, name: str) -> None:
        """Drop what is under way from a machine that was gone for longer than messages live."""
        self._epochs[name] += 1

    # --- its state

    def cut(self, src: str, dst: str) -> None:
        """Messages from `src` to `dst` vanish, until this is restored as often as it was cut."""
        self._cuts[src, dst] += 1

    def restore(self, src: str, dst: str) -> None:
        """Take back one cut, if there is one."""
        if self._cuts[src, dst]:
            self._cuts[src, dst] -= 1

    def slow(self, name: str, seconds: float) -> None:
        """Every message from or to this name takes up to twice so long on top; 0 ends it."""
        self._slow[name] = seconds

    def heal(self) -> None:
        """Restore every link; no losses, copies or stragglers any more."""
        self._cuts.clear()
        self._slow.clear()
        self.conditions = Conditions(self.conditions.latency, self.conditions.jitter)

    def is_cut(self, src: str, dst: str) -> bool:
        """Whether messages from `src` to `dst` vanish now."""
        return self._cuts[src, dst] > 0

    # --- requests

    async def request(self, src: str, dst: str, message: Any, *, deadline: float) -> Any:
        """Send a message and wait for the answer, at most `deadline` seconds.

        :raises NobodyThereError: the other side is not running.
        :raises BrokenOffError: it stopped running meanwhile.
        :raises SilenceError: the deadline passed.
        """
        self._numbers += 1
        answer = self._loop.create_future()
        size = self._size(message)
        exchange = _Exchange(self._numbers, src, dst, message, answer, self._epochs[src], size)
        self._exchanges[exchange.number] = exchange
        link = src, dst
        self._in_flight[link] += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight[link])
        timer = self._loop.call_later(deadline, self._expire, exchange)
        self._count_sent(src, size)
        for tap in self.taps:
            tap(src, dst, message, None)
        copies = 1 + (self._rng.random() < self.conditions.again)
        for copy in range(copies):
            delay = self._delay(exchange) + copy * self._rng.uniform(0, LATE)
            self._later(self._arrive, exchange, delay=delay)
        try:
            return await answer
        finally:
            timer.cancel()
            if self._exchanges.pop(exchange.number, None) is not None:
                self._in_flight[link] -= 1

    def _arrive(self, exchange: _Exchange) -> None:
        if self._vanishes(exchange, exchange.src, exchange.dst, "request"):
            return
        place = self._places.get(self.place_of(exchange.src, exchange.dst))
        if place is None or not place.machine.alive:
            if self._rng.random() < 0.5:
                self.met["nobody there"] += 1
                error = NobodyThereError(exchange.dst)
                self._later(self._fail, exchange, error, delay=self._delay(exchange))
            return
        link = exchange.src, exchange.dst
        if exchange.arrived:
            self.met["arrived twice"] += 1
        elif exchange.number < self._newest.get(link, 0):
            self.met["overtaken"] += 1
        self._newest[link] = max(self._newest.get(link, 0), exchange.number)
        exchange.arrived += 1
        self._count_received(exchange.dst, exchange.size)
        place.machine.start(self._serve(place, exchange, exchange.arrived), "serve")

    async def _serve(self, place: _Place, exchange: _Exchange, copy: int) -> None:
        answer = await place.handler(exchange.src, exchange.message)
        for tap in self.taps:
            tap(exchange.src, exchange.dst, exchange.message, answer)
        self._count_sent(exchange.dst, self._size(answer))
        if copy == 1:  # nobody waits for a second answer
            self._later(self._return, exchange, answer, delay=self._delay(exchange))

    def _return(self, exchange: _Exchange, answer: Any) -> None:
        if self._vanishes(exchange, exchange.dst, exchange.src, "answer"):
            return
        if self._awaited(exchange):
            self._count_received(exchange.src, self._size(answer))
            exchange.answer.set_result(answer)

    def _expire(self, exchange: _Exchange) -> None:
        if self._awaited(exchange):
            self.met["deadline passed"] += 1
            exchange.answer.set_exception(SilenceError(exchange.dst))

    def _fail(self, exchange: _Exchange, error: NetworkError) -> None:
        if self._awaited(exchange):
            exchange.answer.set_exception(error)

    def _awaited(self, exchange: _Exchange) -> bool:
        """Whether the sender is still there, and has had neither an answer nor an error."""
        return exchange.number in self._exchanges and not exchange.answer.done()

    def _vanishes(self, exchange: _Exchange, src: str, dst: str, what: str) -> bool:
        if exchange.epoch != self._epochs[exchange.src]:
            return True
        if self._cuts[src, dst]:
            self.met[f"{what} cut off"] += 1
            return True
        if self.conditions.loss and self._rng.random() < self.conditions.loss:
            self.met[f"{what} lost"] += 1
            return True
        return False

    def _delay(self, exchange: _Exchange) -> float:
        rng, conditions = self._rng, self.conditions
        # Drawn as `Random.expovariate` does, which takes twice as long.
        delay = conditions.latency - math.log(1.0 - rng.random()) * conditions.jitter
        if conditions.straggle and rng.random() < conditions.straggle:
            delay += rng.uniform(0, LATE)
        slow = self._slow.get(exchange.src, 0.0) + self._slow.get(exchange.dst, 0.0)
        return delay + rng.uniform(0, 2 * slow) if slow else delay

    def _later(self, callback: Callable[..., None], *args: Any, delay: float) -> None:
        # In nobody's context: what is under way goes on when its sender has died.
        self._loop.call_later(delay, callback, *args, context=_NOBODY)

    def _count_sent(self, name: str, size: int) -> None:
        traffic = self.traffic[name]
        traffic.sent += 1
        traffic.bytes_sent += size

    def _count_received(self, name: str, size: int) -> None:
        traffic = self.traffic[name]
        traffic.received += 1
        traffic.bytes_received += size
