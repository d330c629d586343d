"""Publishing to all nodes and following all their feeds, with one clock for everything.

The time from publishing to a feed is counted from the moment that an incident is handed to its
organization's node, so it holds the making of the proof, the commit to disk, the way to the peer,
the verification there, the commit there, and the way into the feed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

from orgnode.api.models import FeedItem, IncidentRequest
from orgnode.cli.feed import follow_feed
from orgnode.client import ApiError, NodeClient

Observer = Callable[[str, FeedItem], None]


@dataclass(frozen=True)
class Report:
    """An incident to be reported: its line in the file, and whether the node will forge it."""

    line: int
    incident: IncidentRequest = field(repr=False)
    forged: bool = False


@dataclass(frozen=True)
class Publication:
    """An incident that was published: by whom, as which signal, when it was handed over."""

    org: str
    signal: str
    started: float
    forged: bool


@dataclass(frozen=True)
class Failure:
    """An incident that its own node did not publish."""

    line: int
    org: str
    code: str
    message: str


@dataclass
class Measured:
    """What was published and what arrived where, filled while the demonstration runs."""

    orgs: tuple[str, ...]
    published: list[Publication] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    arrivals: dict[str, dict[str, float]] = field(default_factory=dict)
    """For each organization: signals of others in its feed, and when they came."""
    refusals: dict[str, dict[str, FeedItem]] = field(default_factory=dict)
    """For each organization: entries of others that it refused."""
    tokens: dict[str, set[str]] = field(default_factory=dict)
    """For each token, the organizations that published a signal with it."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.arrivals = {org: {} for org in self.orgs}
        self.refusals = {org: {} for org in self.orgs}

    def take(self, org: str, item: FeedItem) -> None:
        """Note an event in one organization's feed."""
        now = time.monotonic()
        if item.type == "signal" and item.signal is not None:
            if item.signal.own:
                return
            self.arrivals[org].setdefault(item.signal.id, now)
            for token in item.signal.tokens:
                self.tokens.setdefault(token, set()).add(item.signal.issuer)
        elif item.type == "refused" and item.id is not None:
            self.refusals[org].setdefault(item.id, item)
        self.changed.set()

    def missing(self) -> Iterator[str]:
        """What should have arrived somewhere and has not: in words."""
        for one in self.published:
            for org in self.orgs:
                if org == one.org:
                    continue
                if one.forged and one.signal not in self.refusals[org]:
                    yield f"{org} has not refused the forged signal {one.signal[:12]} of {one.org}"
                elif not one.forged and one.signal not in self.arrivals[org]:
                    yield f"{org} has not verified the signal {one.signal[:12]} of {one.org}"

    def surplus(self) -> Iterator[str]:
        """What arrived and should not have: in words."""
        forged = {one.signal for one in self.published if one.forged}
        known = {one.signal for one in self.published}
        for org in self.orgs:
            for signal in self.arrivals[org]:
                if signal in forged:
                    yield f"{org} ACCEPTED the forged signal {signal[:12]}"
                elif signal not in known:
                    yield f"{org} has a signal that nobody published: {signal[:12]}"
            for signal, item in self.refusals[org].items():
                if signal not in forged:
                    yield f"{org} refused {signal[:12]} of {item.issuer}: {item.error}"

    def delay(self, org: str) -> float | None:
        """Median seconds from publishing anywhere to this organization's feed."""
        delays = [
            self.arrivals[org][one.signal] - one.started
            for one in self.published
            if one.signal in self.arrivals[org]
        ]
        return median(delays) if delays else None

    async def settle(self, seconds: float) -> bool:
        """Wait until nothing is missing; false if something still is after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                # The counts first: asking for each signal at each event takes too long for many.
                while not self._plenty() or next(self.missing(), None) is not None:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return False
        return True

    def _plenty(self) -> bool:
        arrived = sum(len(self.arrivals[org]) + len(self.refusals[org]) for org in self.orgs)
        return arrived >= len(self.published) * (len(self.orgs) - 1)


@asynccontextmanager
async def following(
    measured: Measured, clients: dict[str, NodeClient], observe: Observer
) -> AsyncIterator[None]:
    """Follow every organization's feed from its first event on; `observe` is told of each event."""

    async def follow(org: str, node: NodeClient) -> None:
        async with aclosing(follow_feed(node, after=0)) as events:
            async for item in events:
                measured.take(org, item)
                observe(org, item)

    tasks = [asyncio.create_task(follow(org, node)) for org, node in clients.items()]
    try:
        yield
        for task in tasks:  # a feed never ends by itself: one that did has failed
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def publish(
    measured: Measured,
    org: str,
    node: NodeClient,
    reports: Sequence[Report],
    *,
    pace: float,
    done: Callable[[], None],
) -> None:
    """Report one organization's incidents one after the other, `pace` seconds apart at least."""
    for one in reports:
        started = time.monotonic()
        try:
            answer = await node.report(**one.incident.model_dump())
        except ApiError as error:
            text = str(error).removeprefix(f"{error.code}: ")
            measured.failures.append(Failure(one.line, org, error.code, text))
        else:
            measured.published.append(Publication(org, answer.signal, started, one.forged))
        measured.changed.set()
        done()
        await asyncio.sleep(max(0.0, started + pace - time.monotonic()))
