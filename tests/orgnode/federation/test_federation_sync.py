"""Following a peer's log over real mutual TLS into a real store, whatever the peer serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from fed_maverick import Reply
from fed_support import DirectWorkers, World, following, honest, lying

from mesh.assessment import Assessed, Outcome
from mesh.evidence import verify_evidence
from mesh.following import (
    CheckpointSignatureError,
    FollowerState,
    SegmentMismatchError,
    TileMismatchError,
)
from mesh.testing.orglog import OrgLog
from mesh.testing.signals import Lie, forge_signal
from mesh.wire import MISSING, Announcement, BodyAnswer, encode_bodies
from orgnode.federation import ClientLimits
from orgnode.federation.errors import (
    AnnouncementError,
    PeerAnswerError,
    PeerTimeoutError,
    SuspendedPeerError,
)
from orgnode.federation.limits import Rhythm
from orgnode.store import FeedFilter, SecondRootError, StoreConflictError, StoreFullError
from orgnode.store.sqlite import SqliteStore
from proofs.tiles import encode_bundle

OpenStore = Callable[[int], SqliteStore]


@pytest.fixture(scope="module")
def log300(world: World) -> OrgLog:
    """A full bundle and a partial one. Tests read it; they don't append."""
    return world.log(1, 300)


@pytest.fixture(scope="module")
def log700(world: World) -> OrgLog:
    """Three bundles, the last one partial. Tests read it, or fork it; they don't append."""
    return world.log(1, 700)


def outcomes(store: SqliteStore, log: OrgLog) -> list[Outcome]:
    return [record.outcome for record in store.records(log.name, 0, store.state(log.name).size)]


async def test_a_log_is_followed_from_nothing(
    world: World, store: SqliteStore, log700: OrgLog
) -> None:
    seen: list[Assessed] = []

    def assessed(name: str, entries: Sequence[Assessed]) -> None:
        assert name == log700.name
        assert store.state(name).size == entries[-1].index + 1  # told only once durable
        seen.extend(entries)

    workers = DirectWorkers()
    async with following(
        world, store, honest(log700), workers=workers, assessed=assessed, limits=ClientLimits()
    ) as (sync, maverick):
        assert await sync.pull() == 700
        assert await sync.pull() == 0
    state = store.state(log700.name)
    assert (state.size, state.frontier, state.checkpoint) == (
        700,
        log700.frontier(),
        log700.checkpoint(),
    )
    assert store.entries(log700.name, 0, 700) == log700.notes
    assert store.bodies(log700.name, 0, 700) == log700.answers
    assert outcomes(store, log700) == [Outcome.ACCEPTED] * 700
    assert [entry.index for entry in seen] == list(range(700))
    assert workers.batches == [256, 256, 188]
    asked = [path.rpartition("/logs/")[2] for path in maverick.asked]
    assert len(asked) == len(set(asked)) + 1  # nothing twice but the checkpoint
    status = sync.status()
    assert (status.size, status.signed, status.lag) == (700, 700, 0)
    assert (status.error, status.suspended) == ("", "")
    assert status.last_contact is not None


async def test_following_goes_on_where_it_stopped(
    world: World, open_store: OpenStore, log700: OrgLog
) -> None:
    start = world.log(1)
    for note, answer in zip(log700.notes[:300], log700.answers[:300], strict=True):
        start.append_note(note, answer)
    limits = ClientLimits()
    async with following(world, open_store(0), honest(start), limits=limits) as (sync, _):
        assert await sync.pull() == 300
    store = open_store(0)
    async with following(world, store, honest(log700), limits=limits) as (sync, maverick):
        assert sync.size == 300
        assert await sync.pull() == 400
        assert not any("/tile/entries/000" in path for path in maverick.asked)
    assert store.state(log700.name).frontier == log700.frontier()


async def test_bad_entries_are_isolated(world: World, store: SqliteStore) -> None:
    log = world.log(1, 2)
    lie = forge_signal(world.mesh, log.name, Lie.ALTERED_PROOF, Random(1))
    log.append_signal(lie)
    log.append_note(b"not a note at all")
    log.append_unknown()
    log.append_signals(1)
    log.erase_body(1)
    async with following(world, store, honest(log)) as (sync, _):
        assert await sync.pull() == 6
    assert outcomes(store, log) == [
        Outcome.ACCEPTED,
        Outcome.LAPSED,
        Outcome.REFUSED,
        Outcome.REFUSED,
        Outcome.DEFERRED,
        Outcome.ACCEPTED,
    ]


# --- announcements


async def test_an_announcement_needs_no_further_question(world: World, store: SqliteStore) -> None:
    log = world.log(1, 3)
    async with following(world, store, honest(log)) as (sync, maverick):
        assert await sync.on_announce(log.announcement(0)) == 3
        log.append_signals(300)
        announced = Announcement(
            log.checkpoint(259),
            3,
            tuple(log.entries(3, 259)),
            tuple(log.bodies(3, 259)),
        )
        assert await sync.on_announce(announced) == 259
        assert maverick.asked == []
        assert not sync.wake.is_set()
        assert sync.status().last_contact is not None
    assert store.state(log.name).frontier == log.frontier(259)
    assert outcomes(store, log) == [Outcome.ACCEPTED] * 259


async def test_overlapping_and_repeated_announcements_are_taken_once(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 4)
    async with following(world, store, honest(log)) as (sync, maverick):
        early = log.announcement(0)
        assert await sync.on_announce(early) == 4
        assert await sync.on_announce(early) == 4
        log.append_signals(2)
        assert await sync.on_announce(log.announcement(1)) == 6
        assert await sync.on_announce(early) == 6  # overtaken on its way: no crime
        assert maverick.asked == []
        assert not sync.suspended
        assert await sync.pull() == 0


async def test_an_announcement_with_a_gap_wakes_the_pull(world: World, store: SqliteStore) -> None:
    log = world.log(1, 6)
    async with following(world, store, honest(log)) as (sync, _):
        assert await sync.on_announce(log.announcement(3)) == 0
        assert sync.wake.is_set()
        assert sync.status().lag == 6
        assert await sync.pull() == 6


async def test_an_announcement_that_ends_before_a_signed_size_wakes_the_pull(
    world: World, store: SqliteStore, log300: OrgLog
) -> None:
    """The hashes to the right of its entries are not in it, so nothing can be proven from it."""
    entries, bodies = tuple(log300.entries(0, 256)), tuple(log300.bodies(0, 256))
    async with following(world, store, honest(log300)) as (sync, maverick):
        announced = Announcement(log300.checkpoint(), 0, entries, bodies)
        assert await sync.on_announce(announced) == 0
        assert sync.wake.is_set()
        assert maverick.asked == []


async def test_an_announcement_without_entries_wakes_the_pull(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 2)
    async with following(world, store, honest(log)) as (sync, _):
        assert await sync.on_announce(Announcement(log.checkpoint(), 2, (), ())) == 0
        assert sync.wake.is_set()


async def test_an_announced_checkpoint_must_be_signed(world: World, store: SqliteStore) -> None:
    log, other = world.log(1, 2), world.log(2, 2)
    announced = log.announcement(0)
    async with following(world, store, honest(log)) as (sync, _):
        for checkpoint in (
            other.checkpoint(),
            b"",
            log.checkpoint()[:-9] + b"AAAAAAA=\n",
            log.checkpoint().replace(b"\n2\n", b"\n3\n"),
            log.sign_root(0, bytes(32)),
            log.sign_root(2**53, bytes(32)),  # signed, of a size that no log reaches
        ):
            lie = Announcement(checkpoint, 0, announced.entries, announced.bodies)
            with pytest.raises(AnnouncementError):
                await sync.on_announce(lie)
        assert (sync.size, sync.suspended) == (0, False)
        assert await sync.on_announce(announced) == 2


async def test_announced_entries_must_be_those_that_are_signed(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 3)
    true = log.announcement(0)
    swapped = Announcement(true.checkpoint, 0, true.entries[::-1], true.bodies[::-1])
    async with following(world, store, honest(log)) as (sync, _):
        with pytest.raises(AnnouncementError):
            await sync.on_announce(swapped)
        assert sync.wake.is_set()
        assert (sync.size, store.state(log.name).size) == (0, 0)
        assert await sync.pull() == 3
        assert not sync.suspended


async def test_an_announcement_does_not_wait_for_ever_for_a_pull(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 3)
    rhythm = Rhythm(patience=0.1)
    answer = lying(log, bodies=lambda path: Reply(hang=True))
    limits = ClientLimits()
    async with following(world, store, answer, rhythm=rhythm, limits=limits) as (sync, maverick):
        pulling = asyncio.create_task(sync.pull())
        async with asyncio.timeout(5):
            while not any("bodies" in path for path in maverick.asked):
                await asyncio.sleep(0.005)
        async with asyncio.timeout(2):
            assert await sync.on_announce(log.announcement(0)) == 0
        assert sync.wake.is_set()
        pulling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pulling
        assert await sync.on_announce(log.announcement(0)) == 3


async def test_an_answer_that_an_announcement_overtook_is_no_crime(
    world: World, store: SqliteStore
) -> None:
    """The pull asks, the peer answers with 3; before the answer is read, 5 are announced."""
    log = world.log(1, 3)
    old = log.checkpoint()
    asked, go_on = asyncio.Event(), asyncio.Event()

    async with following(world, store, honest(log)) as (sync, _):
        assert await sync.pull() == 3
        client = sync._client

        class Slow:
            async def checkpoint(self) -> bytes:
                asked.set()
                await go_on.wait()
                return old

        sync._client = Slow()  # type: ignore[assignment]
        pulling = asyncio.create_task(sync.pull())
        await asked.wait()
        log.append_signals(2)
        assert await sync.on_announce(log.announcement(3)) == 5
        go_on.set()
        assert await pulling == 0
        sync._client = client
        assert not sync.suspended


# --- wrong bytes: nothing is taken, nothing is held against the log


@pytest.mark.parametrize(
    ("part", "lie", "error"),
    [
        ("entries", lambda log, path: log.bundle(0, 256)[:-1], PeerAnswerError),
        ("entries", lambda log, path: encode_bundle(log.notes[255::-1]), SegmentMismatchError),
        ("entries", lambda log, path: b"", PeerAnswerError),
        ("bodies", lambda log, path: encode_bodies(log.bodies(0, 256))[:-1], PeerAnswerError),
        ("bodies", lambda log, path: encode_bodies(log.bodies(0, 255)), PeerAnswerError),
        ("tile", lambda log, path: log.tile(0, 0, 100), PeerAnswerError),
        ("tile", lambda log, path: None, PeerAnswerError),
        ("entries", lambda log, path: Reply(hang=True), PeerTimeoutError),
        ("bodies", lambda log, path: Reply(b"x" * 99, pace=0.05), PeerTimeoutError),
        ("tile", lambda log, path: Reply(b"x", length=10**9), PeerAnswerError),
        ("checkpoint", lambda log, path: b"", CheckpointSignatureError),
        ("checkpoint", lambda log, path: b"x" * 20_000, PeerAnswerError),
    ],
)
async def test_nothing_is_taken_from_broken_answers(
    world: World,
    store: SqliteStore,
    log300: OrgLog,
    part: str,
    lie: Callable[[OrgLog, str], Reply | bytes | None],
    error: type[Exception],
) -> None:
    answer = lying(log300, **{part: lambda path: lie(log300, path)})
    async with following(world, store, answer) as (sync, _):
        with pytest.raises(error):
            await sync.pull()
        assert (sync.size, sync.suspended) == (0, False)
        assert sync.status().suspended == ""
    assert store.records(log300.name, 0, 10) == []
    assert store.state(log300.name).evidence is None


async def test_false_hashes_in_tiles_are_noticed(
    world: World, store: SqliteStore, log300: OrgLog
) -> None:
    def tile(path: str) -> bytes:
        width = int(path.rpartition("p/")[2]) if ".p/" in path else 256
        return bytes(32 * width)

    async with following(world, store, lying(log300, tile=tile)) as (sync, _):
        with pytest.raises(SegmentMismatchError):
            await sync.pull()
        assert not sync.suspended


async def test_what_was_followed_before_the_lie_is_kept(
    world: World, store: SqliteStore, log300: OrgLog
) -> None:
    def entries(path: str) -> bytes:
        if path.endswith("/000"):
            return log300.bundle(0, 256)
        return log300.bundle(0, 44)  # true entries, but not the ones asked for

    answer = lying(log300, entries=entries)
    async with following(world, store, answer, limits=ClientLimits()) as (sync, _):
        with pytest.raises((SegmentMismatchError, TileMismatchError)):
            await sync.pull()
        assert sync.size == 256
    assert store.state(log300.name).size == 256
    assert outcomes(store, log300) == [Outcome.ACCEPTED] * 256
    async with following(world, store, honest(log300)) as (sync, _):
        assert await sync.pull() == 44


# --- histories that do not fit together


async def test_two_roots_of_one_size_suspend_the_log_for_good(
    world: World, open_store: OpenStore
) -> None:
    log = world.log(1, 4)
    twin = log.fork(2)
    twin.append_signals(2)
    store = open_store(0)
    async with following(world, store, honest(log)) as (sync, _):
        assert await sync.pull() == 4
        with pytest.raises(SuspendedPeerError):
            await sync.on_announce(twin.announcement(4))
        assert sync.suspended
    store = open_store(0)
    state = store.state(log.name)
    assert state.evidence is not None
    verify_evidence(world.mesh, state.evidence)
    events = store.events(0, FeedFilter())
    assert [event.type for event in events].count("evidence") == 1
    async with following(world, store, honest(log)) as (sync, maverick):
        assert sync.status().suspended == "split"
        log.append_signals(1)
        with pytest.raises(SuspendedPeerError):
            await sync.pull()
        with pytest.raises(SuspendedPeerError):
            await sync.on_announce(log.announcement(4))
        assert await sync.retry_deferred() == 0
        assert maverick.asked == []
    assert store.state(log.name).size == 4


@pytest.mark.parametrize(("at", "first", "second"), [(3, 5, 9), (100, 260, 300), (0, 1, 2)])
async def test_a_fork_across_sizes_is_proven_from_tiles(
    world: World, open_store: OpenStore, at: int, first: int, second: int
) -> None:
    log = world.log(1, first)
    twin = log.fork(at)
    twin.append_signals(second - at)
    limits = ClientLimits()
    async with following(world, open_store(0), honest(log), limits=limits) as (sync, _):
        assert await sync.pull() == first
    async with following(world, open_store(0), honest(twin), limits=limits) as (sync, _):
        with pytest.raises(SuspendedPeerError, match="histories"):
            await sync.pull()
    store = open_store(0)
    state = store.state(log.name)
    assert (state.size, state.frontier) == (first, log.frontier())
    assert state.evidence is not None
    assert state.evidence.kind == "fork"
    verify_evidence(world.mesh, state.evidence)
    async with following(world, store, honest(log)) as (sync, _):
        assert sync.suspended


async def test_a_fork_that_is_announced_is_proven_by_the_pull(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 5)
    twin = log.fork(3)
    twin.append_signals(4)
    async with following(world, store, honest(twin)) as (sync, _):
        assert await sync.on_announce(log.announcement(0)) == 5
        with pytest.raises(AnnouncementError):
            await sync.on_announce(twin.announcement(5))
        assert sync.wake.is_set()
        assert not sync.suspended
        with pytest.raises(SuspendedPeerError):
            await sync.pull()
        assert sync.suspended


async def test_a_withheld_history_is_not_forgotten_by_a_restart(
    world: World, open_store: OpenStore
) -> None:
    log = world.log(1, 5)
    other = log.fork(2)
    other.append_signals(5 - other.size)
    assert (other.size, other.checkpoint()) == (5, other.checkpoint(5)) != (5, log.checkpoint())
    for told in ("announcement", "pull"):
        store = open_store(0 if told == "announcement" else 1)
        async with following(world, store, lying(log, entries=lambda _: None)) as (sync, _):
            if told == "announcement":
                assert await sync.on_announce(Announcement(log.checkpoint(), 5, (), ())) == 0
            else:
                with pytest.raises(PeerAnswerError):
                    await sync.pull()
            assert store.state(log.name).target == log.checkpoint()
        async with following(world, store, honest(other)) as (sync, _):
            with pytest.raises(SuspendedPeerError):
                await sync.pull()
            evidence = store.state(log.name).evidence
            assert evidence is not None
            verify_evidence(world.mesh, evidence)


async def test_a_shrunken_log_is_suspended(world: World, open_store: OpenStore) -> None:
    log = world.log(1, 6)
    store = open_store(0)
    async with following(world, store, honest(log)) as (sync, _):
        assert await sync.pull() == 6
        log.truncate(4)
        with pytest.raises(SuspendedPeerError):
            await sync.pull()
    store = open_store(0)
    state = store.state(log.name)
    assert state.evidence is not None
    assert (state.evidence.kind, state.size) == ("shrink", 6)


# --- missing bodies


async def test_missing_bodies_are_asked_for_again(world: World, store: SqliteStore) -> None:
    log = world.log(1, 6)
    kept: dict[int, BodyAnswer] = {i: log.withhold_body(i) for i in (1, 2, 4)}
    async with following(world, store, honest(log)) as (sync, maverick):
        assert await sync.pull() == 6
        assert outcomes(store, log).count(Outcome.DEFERRED) == 3
        assert await sync.retry_deferred() == 0
        log.answers[1] = kept[1]
        log.erase_body(4)
        assert await sync.retry_deferred() == 2
        assert outcomes(store, log) == [
            Outcome.ACCEPTED,
            Outcome.ACCEPTED,
            Outcome.DEFERRED,
            Outcome.ACCEPTED,
            Outcome.LAPSED,
            Outcome.ACCEPTED,
        ]
        log.answers[2] = kept[2]
        assert await sync.retry_deferred() == 1
        asked = len(maverick.asked)
        assert await sync.retry_deferred() == 0
        assert len(maverick.asked) == asked
    assert store.bodies(log.name, 0, 3) == log.answers[:3]
    assert store.state(log.name).size == 6


async def test_a_wrong_body_is_asked_for_again(world: World, store: SqliteStore) -> None:
    log = world.log(1, 3)
    true = log.corrupt_body(1)
    async with following(world, store, honest(log)) as (sync, _):
        assert await sync.pull() == 3
        assert outcomes(store, log)[1] is not Outcome.ACCEPTED
        log.answers[1] = true
        assert await sync.retry_deferred() == 1
        assert outcomes(store, log) == [Outcome.ACCEPTED] * 3


async def test_a_false_proof_that_comes_late_is_refused_too(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 1)
    log.append_signal(forge_signal(world.mesh, log.name, Lie.ALTERED_PROOF, Random(2)))
    true = log.withhold_body(1)
    async with following(world, store, honest(log)) as (sync, _):
        await sync.pull()
        log.answers[1] = true
        assert await sync.retry_deferred() == 1
    assert outcomes(store, log) == [Outcome.ACCEPTED, Outcome.REFUSED]


async def test_nobody_is_asked_for_a_body_for_ever(world: World, store: SqliteStore) -> None:
    log = world.log(1, 2)
    log.answers[0] = MISSING
    now = [1_000_000.0]
    rhythm = Rhythm(body_attempts=3, body_pause=10.0)
    async with following(world, store, honest(log), rhythm=rhythm, clock=lambda: now[0]) as (
        sync,
        maverick,
    ):
        await sync.pull()
        when = []
        for second in range(200):
            now[0] = 1_000_000.0 + second
            before = len(maverick.asked)
            await sync.retry_deferred()
            if len(maverick.asked) > before:
                when.append(second)
        assert when == [0, 10, 30]


# --- this node's own troubles


class Failing:
    """A store whose next commits fail, or take their time."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.failures = 0
        self.reached = asyncio.Event()
        self.hold: asyncio.Event | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit_segment(self, *args: Any) -> int:
        if self.failures:
            self.failures -= 1
            raise StoreFullError("the disk is full")
        self.reached.set()
        if self.hold is not None:
            await self.hold.wait()
        return await self._store.commit_segment(*args)


async def test_a_full_disk_loses_nothing_and_blames_nobody(
    world: World, store: SqliteStore, log300: OrgLog
) -> None:
    failing = Failing(store)
    limits = ClientLimits()
    async with following(world, failing, honest(log300), limits=limits) as (sync, _):  # type: ignore[arg-type]
        failing.failures = 1
        with pytest.raises(StoreFullError):
            await sync.pull()
        assert (sync.size, sync.suspended) == (0, False)
        assert await sync.pull() == 300


async def test_nothing_is_acknowledged_before_it_is_durable(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 2)
    slow = Failing(store)
    rhythm = Rhythm(patience=0.05)
    async with following(world, slow, honest(log), rhythm=rhythm) as (sync, _):  # type: ignore[arg-type]
        slow.hold = asyncio.Event()
        pulling = asyncio.create_task(sync.pull())
        await slow.reached.wait()
        assert await sync.on_announce(log.announcement(0)) == 0
        assert sync.status().size == 0
        slow.hold.set()
        assert await pulling == 2
        assert await sync.on_announce(log.announcement(0)) == 2


async def test_a_pull_cancelled_anywhere_can_be_repeated(
    world: World, store: SqliteStore, log300: OrgLog
) -> None:
    limits = ClientLimits()
    async with following(world, store, honest(log300), limits=limits) as (sync, _):
        for turns in (0, 5, 20, 40):
            pulling = asyncio.create_task(sync.pull())
            for _ in range(turns):
                await asyncio.sleep(0.001)
            pulling.cancel()
            await asyncio.gather(pulling, return_exceptions=True)
            if sync.size == 300:
                break
        while sync.size < 300:
            with suppress(StoreConflictError):  # a cancelled pull's commit was on its way still
                await sync.pull()
    assert store.state(log300.name).frontier == log300.frontier()
    assert outcomes(store, log300) == [Outcome.ACCEPTED] * 300


async def test_two_pulls_and_announcements_at_once_do_not_quarrel(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 400)
    limits = ClientLimits()
    rhythm = Rhythm(patience=30.0)
    async with following(world, store, honest(log), rhythm=rhythm, limits=limits) as (sync, _):
        pulls = [asyncio.create_task(sync.pull()) for _ in range(3)]
        log.append_signals(5)
        sizes = await asyncio.gather(*(sync.on_announce(log.announcement(400)) for _ in range(3)))
        await asyncio.gather(*pulls)
        await sync.pull()
        assert sync.size == 405
        assert all(size <= 405 for size in sizes)
        assert not sync.suspended
    assert store.state(log.name).frontier == log.frontier()


@pytest.mark.parametrize("write", ["save_state", "commit_segment"])
async def test_a_second_root_in_the_store_is_evidence(
    world: World, store: SqliteStore, write: str
) -> None:
    """The store holds a checkpoint that the follower has forgotten; it proves the split."""
    log = world.log(1, 2)
    twin = log.fork(1)
    twin.append_signals(1)
    async with following(world, store, honest(log)) as (sync, _):
        assert await sync.pull() == 2
    other = _StateHiding(store, log.name, write)
    async with following(world, other, honest(twin)) as (sync, _):  # type: ignore[arg-type]
        with pytest.raises(SuspendedPeerError):
            await sync.pull()
    state = store.state(log.name)
    assert state.evidence is not None
    verify_evidence(world.mesh, state.evidence)


class _StateHiding:
    """A store whose follower's state was lost, but not the checkpoints it has seen."""

    def __init__(self, store: SqliteStore, log: str, write: str) -> None:
        self._store = store
        self._log = log
        self._write = write
        self._first = store.checkpoint(log)
        self._state = FollowerState.empty()
        self._hidden = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def state(self, log: str) -> Any:
        return self._state if self._hidden else self._store.state(log)

    async def save_state(self, log: str, state: Any) -> int:
        if not self._hidden:
            return await self._store.save_state(log, state)
        return self._noticed("save_state", log, 2, state.target)

    async def commit_segment(self, log: str, size: int, rows: Any, state: Any) -> int:
        return self._noticed("commit_segment", log, state.size, state.checkpoint)

    def _noticed(self, write: str, log: str, size: int, checkpoint: bytes) -> int:
        if write == self._write:
            self._hidden = False
            raise SecondRootError(log, size, self._first or b"", checkpoint)
        return 0
