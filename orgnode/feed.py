"""Fan-out of the store's events to many subscribers, each of them no more than a cursor.

    Store.events ──read once──> Batch (encoded SSE) ──shared──> every subscriber at that cursor

A subscriber is a position in the store's event sequence and a place to be woken. It holds no queue,
so that neither its slowness nor its replaying from long ago costs memory: what it has not read yet
is in the store. Subscribers with one filter form a group; a group encodes a stretch of events once
and hands the same bytes to everyone who comes to that position. At the tail of the sequence all
cursors are equal, so that an event is read and encoded once per filter and not per subscriber.

Nothing here knows HTTP: `orgnode.api.sse` moves the batches onto sockets and watches the clock.
All of it belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from orgnode.errors import OrgnodeError
from orgnode.metrics import Metrics
from orgnode.store import FeedEvent, FeedFilter

PAGE: Final = 256
"""Events read from the store at a time: some milliseconds of the event loop's time."""

LINGER_SECONDS: Final = 0.01
"""Shortest time between two wake-ups of all subscribers; a burst of commits shares one."""

CACHE_BYTES: Final = 4 << 20
"""Encoded batches that a group keeps for who comes to the same position a little later."""

CACHE_SECONDS: Final = 2.0
"""How long a batch may be handed out: what is erased from the store must not live on in a cache."""


class EventSource(Protocol):
    """What the feed needs of the store: an ordered, numbered, filterable sequence of events."""

    def events(self, after: int, wanted: FeedFilter, limit: int) -> Sequence[FeedEvent]:
        """Return up to `limit` matching events with a number above `after`, in order."""
        ...

    def last_seq(self) -> int:
        """Return the newest event's number, 0 when there is none yet."""
        ...

    def first_seq(self) -> int:
        """Return the number of the oldest event that is still kept."""
        ...


class TooManySubscribersError(OrgnodeError):
    """Every feed connection that the node allows is in use."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A stretch of the event sequence, filtered and encoded.

    It covers every event with a number above the position it was read at, up to and including
    `through`; `count` of them match the filter and are in `data`, the last of them numbered `last`.
    """

    through: int
    count: int
    last: int
    data: bytes


@dataclass(frozen=True)
class Gap:
    """Why a subscriber can't have everything after its cursor, and where it goes on instead."""

    after: int
    resume: int
    reason: str


def encode(event: FeedEvent) -> str:
    """Return an event as one server-sent event: id, type, and one line of JSON."""
    data = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
    return f"id: {event.seq}\nevent: {event.type}\ndata: {data}\n\n"


class _Group:
    """The encoded batches of one filter, found by the position at which they start."""

    def __init__(self, source: EventSource, feed_filter: FeedFilter) -> None:
        self._source = source
        self._filter = feed_filter
        self._batches: OrderedDict[int, tuple[float, Batch]] = OrderedDict()
        self._bytes = 0
        self.members = 0

    def batch(self, after: int, now: float) -> Batch | None:
        """Return what follows `after`, or None at the end of the sequence."""
        self.forget(now - CACHE_SECONDS)
        known = self._batches.get(after)
        if known is not None:
            return known[1]
        # The end is read before the events: what is committed in between is then seen twice at
        # most by this reader (once as an event, once as "not covered yet") and never skipped.
        end = self._source.last_seq()
        if end <= after:
            return None
        events = self._source.events(after, self._filter, PAGE)
        last = events[-1].seq if events else after
        through = last if len(events) == PAGE else max(end, last)
        data = "".join(map(encode, events)).encode()
        batch = Batch(through, len(events), last, data)
        self._batches[after] = now, batch
        self._bytes += len(data)
        while self._bytes > CACHE_BYTES and len(self._batches) > 1:
            self._drop_oldest()
        return batch

    def forget(self, before: float) -> None:
        """Drop the batches that were read before a moment of the loop's clock."""
        while self._batches and next(iter(self._batches.values()))[0] < before:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._bytes -= len(self._batches.popitem(last=False)[1][1].data)


class Subscription:
    """One subscriber's position. Use as a context manager, so that its place is given back.

    `cursor` is the number up to which everything that matches has been handed out; `live` is true
    from the first time that the subscriber has caught up with the sequence.
    """

    def __init__(self, hub: FeedHub, group: _Group, cursor: int, gap: Gap | None) -> None:
        self._hub = hub
        self._group = group
        self.cursor = cursor
        self.gap = gap
        self.live = False

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self._hub.leave(self, self._group)

    def read(self) -> Batch | None:
        """Return the next batch and move behind it, or None when there is nothing new."""
        batch = self._group.batch(self.cursor, asyncio.get_running_loop().time())
        if batch is None:
            self.live = True
            return None
        self.cursor = batch.through
        return batch

    @property
    def behind(self) -> int:
        """How many events the sequence has moved on since this subscriber's cursor."""
        return self._hub.last_seq - self.cursor

    async def wait(self, seconds: float) -> bool:
        """Wait for news, at most so many seconds; false if none came."""
        return await self._hub.wait(seconds)


class FeedHub:
    """Wakes subscribers when the store has new events, and shares the reading between them.

    `max_subscribers` bounds the open feed connections. Call `notify` on the event loop after every
    commit that made events, and `close` to send everybody away.
    """

    def __init__(self, source: EventSource, metrics: Metrics, *, max_subscribers: int) -> None:
        self._source = source
        self._metrics = metrics
        self._max = max_subscribers
        self._groups: dict[FeedFilter, _Group] = {}
        self._waiting: set[asyncio.Future[bool]] = set()
        self._flush_at: asyncio.TimerHandle | None = None
        self._flushed = 0.0
        self._count = 0
        self._last = source.last_seq()
        self.closed = False

    @property
    def last_seq(self) -> int:
        """The newest event's number, as of the last `notify`."""
        return self._last

    @property
    def subscribers(self) -> int:
        """Open subscriptions."""
        return self._count

    def notify(self, seq: int | None = None) -> None:
        """Say that the store has events up to `seq` (or: look it up) and wake who waits."""
        self._last = max(self._last, self._source.last_seq() if seq is None else seq)
        if self._flush_at is None and self._waiting:
            loop = asyncio.get_running_loop()
            at = max(loop.time(), self._flushed + LINGER_SECONDS)
            self._flush_at = loop.call_at(at, self._flush)

    def subscribe(self, feed_filter: FeedFilter, after: int | None) -> Subscription:
        """Open a subscription behind event number `after`, or at the end when it is None.

        The subscription's `gap` is set when the store no longer has (or never had) the position.
        Raises TooManySubscribersError.
        """
        if self._count >= self._max:
            raise TooManySubscribersError(
                f"all {self._max} feed connections are in use",
                hint="close one, or raise max_subscribers in the configuration",
            )
        cursor, gap = self._place(after)
        group = self._groups.get(feed_filter)
        if group is None:
            group = self._groups[feed_filter] = _Group(self._source, feed_filter)
        group.members += 1
        self._count += 1
        self._metrics.feed_subscribers.inc()
        return Subscription(self, group, cursor, gap)

    def _place(self, after: int | None) -> tuple[int, Gap | None]:
        end = self._last = self._source.last_seq()
        if after is None:
            return end, None
        if after > end:
            # A restored or rebuilt database counts anew: waiting for its numbers to reach the
            # subscriber's would lose everything until then without a word.
            reason = "this node's event numbers ended before yours: it was restored or rebuilt"
            return end, Gap(after, end, reason)
        oldest = self._source.first_seq() - 1
        if after < oldest and after > 0:
            return oldest, Gap(after, oldest, "events between are no longer kept")
        return after, None

    def leave(self, subscription: Subscription, group: _Group) -> None:
        """Give a subscription's place back; done by leaving its `with` block."""
        self._count -= 1
        self._metrics.feed_subscribers.dec()
        group.members -= 1
        if not group.members:
            self._groups = {key: kept for key, kept in self._groups.items() if kept is not group}

    async def wait(self, seconds: float) -> bool:
        """Wait for the next wake-up, at most so many seconds; false if none came."""
        if self.closed:
            return True
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _resolve, woken, False)
        self._waiting.add(woken)
        try:
            return await woken
        finally:
            timer.cancel()
            self._waiting.discard(woken)

    def close(self) -> None:
        """Wake everybody for the last time: the node is going away. Reads stay possible."""
        self.closed = True
        if self._flush_at is not None:
            self._flush_at.cancel()
        self._flush()

    def _flush(self) -> None:
        self._flush_at = None
        self._flushed = asyncio.get_running_loop().time()
        for woken in self._waiting:
            _resolve(woken, True)
        self._waiting.clear()


def _resolve(woken: asyncio.Future[bool], news: bool) -> None:
    if not woken.done():
        woken.set_result(news)
