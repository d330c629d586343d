"""The hub: sharing batches, cursors, wake-ups. No sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgnode.feed import (
    CACHE_BYTES,
    CACHE_SECONDS,
    PAGE,
    FeedHub,
    Subscription,
    TooManySubscribersError,
    encode,
)
from orgnode.metrics import Metrics
from orgnode.store import FeedEvent, FeedFilter

ALL = FeedFilter()
HIGH = FeedFilter(min_band=3)


class Source:
    """A sequence of events whose band is their number modulo 5; counts how often it is read."""

    def __init__(self, count: int = 0, first: int = 1, size: int = 10) -> None:
        self.count, self.first, self.size, self.reads = count, first, size, 0

    def events(self, after: int, wanted: FeedFilter, limit: int) -> Sequence[FeedEvent]:
        self.reads += 1
        numbers = range(max(after + 1, self.first), self.count + 1)
        found = [seq for seq in numbers if seq % 5 >= (wanted.min_band or 0)]
        return [
            FeedEvent(seq, "signal", 0.0, {"seq": seq, "x": "é" * self.size})
            for seq in found[:limit]
        ]

    def last_seq(self) -> int:
        return self.count

    def first_seq(self) -> int:
        return self.first


def hub_of(source: Source, most: int = 200) -> FeedHub:
    return FeedHub(source, Metrics(), max_subscribers=most)


def drained(subscription: Subscription) -> list[int]:
    """Everything that can be read now, as numbers."""
    found: list[int] = []
    while (batch := subscription.read()) is not None:
        numbers = [int(line[4:]) for line in batch.data.split(b"\n") if line.startswith(b"id: ")]
        assert len(numbers) == batch.count
        if numbers:
            assert numbers[-1] == batch.last <= batch.through == subscription.cursor
        found += numbers
    return found


def test_an_event_is_encoded_on_one_line_each_field() -> None:
    event = FeedEvent(7, "signal", 1.0, {"seq": 7, "text": "a\nb\r\u2028é"})
    assert encode(event) == 'id: 7\nevent: signal\ndata: {"seq":7,"text":"a\\nb\\r\u2028é"}\n\n'


async def test_each_subscriber_reads_everything_once_in_order() -> None:
    source = Source(3 * PAGE + 10)
    hub = hub_of(source)
    with hub.subscribe(ALL, 0) as one, hub.subscribe(ALL, 5) as two:
        assert drained(one) == list(range(1, source.count + 1))
        assert drained(two) == list(range(6, source.count + 1))
        assert one.live
        source.count += 4
        assert drained(one) == drained(two) == list(range(source.count - 3, source.count + 1))


async def test_subscribers_at_one_position_share_one_reading() -> None:
    source = Source()
    hub = hub_of(source)
    subscriptions = [hub.subscribe(ALL, None) for _ in range(100)]
    for _ in range(3):
        source.count += 10
        batches = [one.read() for one in subscriptions]
        assert all(batch is batches[0] for batch in batches)
    assert source.reads == 3
    for one in subscriptions:
        one.__exit__()
    assert hub.subscribers == 0


async def test_filters_have_their_own_batches_and_skip_what_they_do_not_want() -> None:
    source = Source(20)
    hub = hub_of(source)
    with hub.subscribe(HIGH, 0) as high, hub.subscribe(ALL, 0) as everything:
        assert drained(high) == [3, 4, 8, 9, 13, 14, 18, 19]
        assert high.cursor == 20  # past what it did not want, so that it is not scanned again
        assert drained(everything) == list(range(1, 21))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300)), min_size=1, max_size=25),
    st.sampled_from([ALL, HIGH]),
)
def test_interleavings_of_commits_and_reads_lose_and_repeat_nothing(
    steps: list[tuple[int, int]], wanted: FeedFilter
) -> None:
    async def scenario() -> None:
        source = Source()
        hub = hub_of(source)
        subscriptions = [hub.subscribe(wanted, 0) for _ in range(3)]
        found: list[list[int]] = [[], [], []]
        for who, amount in steps:
            if who == 3:
                source.count += amount
                continue
            batch = subscriptions[who].read()
            if batch is not None:
                lines = batch.data.split(b"\n")
                found[who] += [int(line[4:]) for line in lines if line.startswith(b"id: ")]
        for who in range(3):
            found[who] += drained(subscriptions[who])
            least = wanted.min_band or 0
            assert found[who] == [n for n in range(1, source.count + 1) if n % 5 >= least]

    asyncio.run(scenario())


async def test_a_batch_is_forgotten_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    # What was erased from the store meanwhile must not be handed out from the cache.
    source = Source(3)
    hub = hub_of(source)
    with hub.subscribe(ALL, 0) as one, hub.subscribe(ALL, 0) as two:
        one.read()
        loop = asyncio.get_running_loop()
        now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: now + CACHE_SECONDS + 1)
        source.first = 3
        assert drained(two) == [3]
        assert source.reads == 2


async def test_the_cache_is_bounded_in_bytes() -> None:
    source = Source(40 * PAGE, size=500)
    hub = hub_of(source)
    with hub.subscribe(ALL, 0) as one:
        drained(one)
        (group,) = hub._groups.values()
        assert 0 < group._bytes <= CACHE_BYTES
        assert group._bytes == sum(len(batch.data) for _, batch in group._batches.values())


async def test_waiting_ends_with_news_or_with_time() -> None:
    source = Source()
    hub = hub_of(source)
    with hub.subscribe(ALL, None) as one:
        assert one.read() is None
        assert await one.wait(0.001) is False
        waiting = [asyncio.create_task(one.wait(60)) for _ in range(3)]
        await asyncio.sleep(0)
        source.count = 2
        hub.notify()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert hub.last_seq == 2
        assert drained(one) == [1, 2]


async def test_a_burst_of_commits_wakes_once() -> None:
    source = Source()
    hub = hub_of(source)
    with hub.subscribe(ALL, None) as one:
        wakes = 0
        for _ in range(5):
            waiting = asyncio.create_task(one.wait(60))
            await asyncio.sleep(0)
            for _ in range(20):
                source.count += 1
                hub.notify(source.count)
            assert await waiting
            wakes += 1
            assert len(drained(one)) == 20
        assert wakes == 5
        assert source.reads == 5


async def test_what_is_committed_between_reading_and_waiting_still_wakes() -> None:
    source = Source()
    hub = hub_of(source)
    with hub.subscribe(ALL, None) as one:
        assert one.read() is None
        source.count = 1  # on the writer's thread, not announced yet
        waiting = asyncio.create_task(one.wait(60))
        await asyncio.sleep(0)
        hub.notify()
        assert await waiting
        assert drained(one) == [1]


async def test_closing_wakes_everybody_and_keeps_nobody_waiting() -> None:
    hub = hub_of(Source())
    with hub.subscribe(ALL, None) as one:
        waiting = asyncio.create_task(one.wait(60))
        await asyncio.sleep(0)
        hub.close()
        assert await waiting
        assert hub.closed
        assert await one.wait(60)


async def test_places_are_bounded_and_given_back() -> None:
    hub = hub_of(Source(), most=1)
    with hub.subscribe(ALL, None):
        with pytest.raises(TooManySubscribersError) as caught:
            hub.subscribe(ALL, None)
        assert "max_subscribers" in caught.value.hint
    with hub.subscribe(HIGH, None):
        assert hub.subscribers == 1
    assert hub._groups == {}


async def test_behind_is_the_distance_to_the_newest_event() -> None:
    source = Source(5)
    hub = hub_of(source)
    with hub.subscribe(ALL, 2) as one:
        assert one.behind == 3
        drained(one)
        source.count = 9
        hub.notify()
        assert one.behind == 4


@pytest.mark.parametrize(
    ("after", "cursor", "gap"),
    [(None, 20, False), (0, 0, False), (9, 9, False), (20, 20, False), (8, 9, True), (1, 9, True),
     (21, 20, True)],
)  # fmt: skip
async def test_positions_that_are_not_kept_are_gaps(
    after: int | None, cursor: int, gap: bool
) -> None:
    hub = hub_of(Source(20, first=10))
    with hub.subscribe(ALL, after) as one:
        assert one.cursor == cursor
        assert (one.gap is not None) is gap
        if one.gap is not None:
            assert (one.gap.after, one.gap.resume) == (after, cursor)
