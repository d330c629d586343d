"""Following a log over real mutual TLS into a real store, whoever serves it and whatever comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from fed_maverick import MaverickServer, Reply
from fed_support import FAST, QUICK, DirectWorkers, World, honest, lying

from mesh import entry
from mesh.accusation import compose_accusation
from mesh.assessment import Assessed, Outcome
from mesh.certificate import QuorumError
from mesh.entry import Kind, entry_id
from mesh.evidence import Evidence, split_evidence, verify_evidence
from mesh.following import (
    CheckpointSignatureError,
    FollowerState,
    SegmentMismatchError,
    TileMismatchError,
)
from mesh.testing.orglog import TODAY, OrgLog
from mesh.testing.signals import Lie, forge_signal
from mesh.wire import MISSING, Announcement, BodyAnswer, encode_bodies
from orgnode.federation import ClientLimits, PeerClient, held
from orgnode.federation.errors import (
    AnnouncementError,
    MirrorQuotaError,
    PeerAnswerError,
    PeerTimeoutError,
    SuspendedPeerError,
)
from orgnode.federation.limits import Rhythm
from orgnode.federation.sync import LogEvents, LogSync
from orgnode.store import FeedFilter, SecondRootError, StoreConflictError, StoreFullError
from orgnode.store.sqlite import SqliteStore
from proofs.errors import ProofsError
from proofs.tiles import encode_bundle

OpenStore = Callable[[int], SqliteStore]


@dataclass
class Following:
    """Member 0 follows a log that a maverick serves."""

    sync: LogSync
    client: PeerClient
    maverick: MaverickServer
    assessed: list[tuple[str, Sequence[Assessed]]] = field(default_factory=list)
    certified: list[tuple[str, int]] = field(default_factory=list)
    convicted: list[Evidence] = field(default_factory=list)
    accused: list[Evidence] = field(default_factory=list)

    async def pull(self, certified: int = 0) -> int:
        return await self.sync.pull(self.client, certified=certified)

    async def retry(self) -> int:
        return await self.sync.retry_bodies([self.client])


@asynccontextmanager
async def following(
    world: World,
    store: Any,
    answer: Any,
    *,
    owner: int = 1,
    mirror: int | None = None,
    rhythm: Rhythm = FAST,
    limits: ClientLimits = QUICK,
    on_assessed: Callable[[str, Sequence[Assessed]], None] = lambda name, entries: None,
    **settings: Any,
) -> AsyncIterator[Following]:
    """Member 0 follows the log of `owner`, which the owner or a `mirror` serves."""
    place = owner if mirror is None else mirror
    told: Any = None
    maverick = MaverickServer(world.server_context(place), answer)
    async with maverick, world.client(0, place, maverick.port, limits) as client:
        sync = LogSync(
            member=world.card(owner),
            mesh=world.mesh,
            store=store,
            workers=settings.pop("workers", None) or DirectWorkers(),
            today=settings.pop("today", None) or (lambda: TODAY),
            rhythm=rhythm,
            events=LogEvents(
                assessed=lambda name, entries: (
                    on_assessed(name, entries),
                    told.assessed.append((name, entries)),
                ),
                certified=lambda name, size: told.certified.append((name, size)),
                convicted=lambda evidence: told.convicted.append(evidence),
                accused=lambda evidence: told.accused.append(evidence),
            ),
            **settings,
        )
        told = Following(sync, client, maverick)
        yield told


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
        world, store, honest(log700), workers=workers, on_assessed=assessed, limits=ClientLimits()
    ) as one:
        assert await one.pull() == 700
        assert await one.pull() == 0
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
    asked = [path.rpartition("/logs/")[2] for path in one.maverick.asked]
    assert len(asked) == len(set(asked)) + 1  # nothing twice but the checkpoint
    assert (one.sync.size, one.sync.known_size, one.sync.suspended) == (700, 700, "")


async def test_following_goes_on_where_it_stopped(
    world: World, open_store: OpenStore, log700: OrgLog
) -> None:
    start = world.log(1)
    for note, answer in zip(log700.notes[:300], log700.answers[:300], strict=True):
        start.append_note(note, answer)
    limits = ClientLimits()
    async with following(world, open_store(0), honest(start), limits=limits) as one:
        assert await one.pull() == 300
    store = open_store(0)
    async with following(world, store, honest(log700), limits=limits) as one:
        assert one.sync.size == 300
        assert await one.pull() == 400
        assert not any("/tile/entries/000" in path for path in one.maverick.asked)
    assert store.state(log700.name).frontier == log700.frontier()


async def test_bad_entries_are_isolated(world: World, store: SqliteStore) -> None:
    log = world.log(1, 2)
    lie = forge_signal(world.mesh, log.name, Lie.ALTERED_PROOF, Random(1))
    log.append_signal(lie)
    log.append_note(b"not a note at all")
    log.append_unknown()
    log.append_signals(1)
    log.append_retraction(entry_id(log.notes[1]))
    log.erase_body(1)
    async with following(world, store, honest(log)) as one:
        assert await one.pull() == 7
    assert outcomes(store, log) == [
        Outcome.ACCEPTED,
        Outcome.LAPSED,
        Outcome.REFUSED,
        Outcome.REFUSED,
        Outcome.DEFERRED,
        Outcome.ACCEPTED,
        Outcome.ACCEPTED,
    ]


# --- announcements


async def test_an_announcement_needs_no_further_question(world: World, store: SqliteStore) -> None:
    log = world.log(1, 3)
    async with following(world, store, honest(log)) as one:
        assert await one.sync.on_announce(log.announcement(0)) == (3, 3)
        log.append_signals(300)
        announced = Announcement(
            log.checkpoint(259),
            3,
            tuple(log.entries(3, 259)),
            tuple(log.bodies(3, 259)),
        )
        assert await one.sync.on_announce(announced) == (259, 3)
        assert one.maverick.asked == []
    assert store.state(log.name).frontier == log.frontier(259)
    assert outcomes(store, log) == [Outcome.ACCEPTED] * 259


async def test_each_proof_is_verified_with_its_own_hint(world: World, store: SqliteStore) -> None:
    log = world.log(1, 5)
    seen: list[bytes] = []

    class Looking(DirectWorkers):
        async def verify(self, claims: Sequence[Any]) -> list[ProofsError | None]:
            seen.extend(claim.hint for claim in claims)
            return await super().verify(claims)

    async with following(world, store, honest(log), workers=Looking()) as one:
        early = log.announcement(0)
        assert await one.sync.on_announce(early) == (5, 5)
        assert seen == [b""] * 5
        seen.clear()
        log.append_signals(2)
        log.answers[5] = MISSING  # so there is no proof to verify
        log.append_signals(1)
        # The first entries are held already: hints are taken from where the others begin.
        hints = tuple(b"%d" % index for index in range(3, 8))
        late = replace(log.announcement(3), hints=hints)
        assert await one.sync.on_announce(late) == (8, 8)
        assert seen == [b"6", b"7"]
    assert outcomes(store, log) == [
        *[Outcome.ACCEPTED] * 5,
        Outcome.DEFERRED,
        *[Outcome.ACCEPTED] * 2,
    ]


async def test_overlapping_and_repeated_announcements_are_taken_once(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 4)
    async with following(world, store, honest(log)) as one:
        early = log.announcement(0)
        assert await one.sync.on_announce(early) == (4, 4)
        assert await one.sync.on_announce(early) == (4, 4)
        log.append_signals(2)
        assert await one.sync.on_announce(log.announcement(1)) == (6, 6)
        assert await one.sync.on_announce(early) == (6, 6)  # overtaken on its way: no crime
        assert one.maverick.asked == []
        assert not one.sync.suspended
        assert await one.pull() == 0


async def test_an_announcement_with_a_gap_is_left_to_a_pull(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 6)
    async with following(world, store, honest(log)) as one:
        assert await one.sync.on_announce(log.announcement(3)) == (0, 0)
        assert one.sync.known_size == 6
        assert await one.pull() == 6
        assert one.sync.certified == 6, "the certificate came before what it covers"


async def test_an_announcement_that_ends_before_a_signed_size_is_left_to_a_pull(
    world: World, store: SqliteStore, log300: OrgLog
) -> None:
    """The hashes to the right of its entries are not in it, so nothing can be proven from it."""
    entries, bodies = tuple(log300.entries(0, 256)), tuple(log300.bodies(0, 256))
    async with following(world, store, honest(log300)) as one:
        announced = Announcement(log300.checkpoint(), 0, entries, bodies)
        assert await one.sync.on_announce(announced) == (0, 0)
        assert one.sync.known_size == 300
        assert one.maverick.asked == []


async def test_an_announcement_without_entries_is_left_to_a_pull(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 2)
    async with following(world, store, honest(log)) as one:
        assert await one.sync.on_announce(Announcement(log.checkpoint(), 2, (), ())) == (0, 0)
        assert one.sync.known_size == 2


async def test_an_announced_checkpoint_must_be_signed(world: World, store: SqliteStore) -> None:
    log, other = world.log(1, 2), world.log(2, 2)
    announced = log.announcement(0)
    async with following(world, store, honest(log)) as one:
        for checkpoint in (
            other.checkpoint(),
            b"",
            log.checkpoint()[:-9] + b"AAAAAAA=\n",
            log.checkpoint().replace(b"\n2\n", b"\n3\n"),
            log.sign_root(0, bytes(32)),
            log.sign_root(2**40, bytes(32)),  # signed, of a size that no log reaches
        ):
            lie = Announcement(checkpoint, 0, announced.entries, announced.bodies)
            with pytest.raises(AnnouncementError):
                await one.sync.on_announce(lie)
        assert (one.sync.size, one.sync.suspended) == (0, "")
        assert await one.sync.on_announce(announced) == (2, 2)


async def test_announced_entries_must_be_those_that_are_signed(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 3)
    true = log.announcement(0)
    swapped = Announcement(true.checkpoint, 0, true.entries[::-1], true.bodies[::-1])
    async with following(world, store, honest(log)) as one:
        with pytest.raises(AnnouncementError):
            await one.sync.on_announce(swapped)
        assert (one.sync.size, store.state(log.name).size) == (0, 0)
        assert await one.pull() == 3
        assert not one.sync.suspended


async def test_a_mirror_that_hangs_does_not_hold_up_announcements(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 3)
    answer = lying(log, bodies=lambda path: Reply(hang=True))
    limits = ClientLimits()
    async with following(world, store, answer, mirror=2, limits=limits) as one:
        pulling = asyncio.create_task(one.pull())
        async with asyncio.timeout(5):
            while not any("bodies" in path for path in one.maverick.asked):
                await asyncio.sleep(0.005)
        async with asyncio.timeout(2):
            assert await one.sync.on_announce(log.announcement(0)) == (3, 3)
        pulling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pulling


async def test_an_announcement_waits_a_while_for_this_nodes_own_work(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 3)
    slow = Failing(store)
    slow.hold = asyncio.Event()
    async with following(world, slow, honest(log), rhythm=Rhythm(patience=0.1)) as one:
        pulling = asyncio.create_task(one.pull())
        await slow.reached.wait()
        async with asyncio.timeout(2):
            assert await one.sync.on_announce(log.announcement(0)) == (0, 0)
        slow.hold.set()
        assert await pulling == 3
        assert await one.sync.on_announce(log.announcement(0)) == (3, 3)


async def test_what_an_announcement_overtook_is_no_crime(world: World, store: SqliteStore) -> None:
    """The pull asks, the peer answers with 3; before the answer is read, 5 are announced."""
    log = world.log(1, 3)
    old = log.checkpoint()
    asked, go_on = asyncio.Event(), asyncio.Event()

    async with following(world, store, honest(log)) as one:
        assert await one.pull() == 3

        class Slow:
            async def checkpoint(self, log: str) -> bytes:
                asked.set()
                await go_on.wait()
                return old

        pulling = asyncio.create_task(one.sync.pull(Slow()))  # type: ignore[arg-type]
        await asked.wait()
        log.append_signals(2)
        assert await one.sync.on_announce(log.announcement(3)) == (5, 5)
        go_on.set()
        assert await pulling == 2, "what came meanwhile counts"
        assert not one.sync.suspended


async def test_entries_that_an_announcement_brought_first_are_not_stored_twice(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 3)
    fetched, go_on = asyncio.Event(), asyncio.Event()
    async with following(world, store, honest(log)) as one:

        class Held:
            def __getattr__(self, name: str) -> Any:
                return getattr(one.client, name)

            async def bodies(self, name: str, start: int, end: int) -> Any:
                fetched.set()
                await go_on.wait()
                return await one.client.bodies(name, start, end)

        pulling = asyncio.create_task(one.sync.pull(Held()))  # type: ignore[arg-type]
        await fetched.wait()
        assert await one.sync.on_announce(log.announcement(0)) == (3, 3)
        go_on.set()
        await pulling
        assert [index for _, entries in one.assessed for index in (e.index for e in entries)] == [
            0,
            1,
            2,
        ]


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
        ("checkpoint", lambda log, path: b"x" * 70_000, PeerAnswerError),
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
    async with following(world, store, answer) as one:
        with pytest.raises(error):
            await one.pull()
        assert (one.sync.size, one.sync.suspended) == (0, "")
    assert store.records(log300.name, 0, 10) == []
    assert store.state(log300.name).evidence is None


async def test_false_hashes_in_tiles_are_noticed(
    world: World, store: SqliteStore, log300: OrgLog
) -> None:
    def tile(path: str) -> bytes:
        width = int(path.rpartition("p/")[2]) if ".p/" in path else 256
        return bytes(32 * width)

    async with following(world, store, lying(log300, tile=tile)) as one:
        with pytest.raises(SegmentMismatchError):
            await one.pull()
        assert not one.sync.suspended


async def test_what_was_followed_before_the_lie_is_kept(
    world: World, store: SqliteStore, log300: OrgLog
) -> None:
    def entries(path: str) -> bytes:
        if path.endswith("/000"):
            return log300.bundle(0, 256)
        return log300.bundle(0, 44)  # true entries, but not the ones asked for

    answer = lying(log300, entries=entries)
    async with following(world, store, answer, limits=ClientLimits()) as one:
        with pytest.raises((SegmentMismatchError, TileMismatchError)):
            await one.pull()
        assert one.sync.size == 256
    assert store.state(log300.name).size == 256
    assert outcomes(store, log300) == [Outcome.ACCEPTED] * 256
    async with following(world, store, honest(log300)) as one:
        assert await one.pull() == 44


# --- histories that do not fit together


async def test_two_roots_of_one_size_suspend_the_log_for_good(
    world: World, open_store: OpenStore
) -> None:
    log = world.log(1, 4)
    twin = log.fork(2)
    twin.append_signals(2)
    store = open_store(0)
    async with following(world, store, honest(log)) as one:
        assert await one.pull() == 4
        with pytest.raises(SuspendedPeerError):
            await one.sync.on_announce(twin.announcement(4))
        assert one.sync.suspended
    store = open_store(0)
    state = store.state(log.name)
    assert state.evidence is not None
    verify_evidence(world.mesh, state.evidence)
    events = store.events(0, FeedFilter())
    assert [event.type for event in events].count("evidence") == 1
    async with following(world, store, honest(log)) as one:
        assert one.sync.suspended == "split"
        assert one.convicted == [], "it was known before"
        log.append_signals(1)
        with pytest.raises(SuspendedPeerError):
            await one.pull()
        with pytest.raises(SuspendedPeerError):
            await one.sync.on_announce(log.announcement(4))
        assert await one.retry() == 0
        assert one.maverick.asked == []
    assert store.state(log.name).size == 4


@pytest.mark.parametrize(("at", "first", "second"), [(3, 5, 9), (100, 260, 300), (0, 1, 2)])
async def test_a_fork_across_sizes_is_proven_from_tiles(
    world: World, open_store: OpenStore, at: int, first: int, second: int
) -> None:
    log = world.log(1, first)
    twin = log.fork(at)
    twin.append_signals(second - at)
    limits = ClientLimits()
    async with following(world, open_store(0), honest(log), limits=limits) as one:
        assert await one.pull() == first
    async with following(world, open_store(0), honest(twin), limits=limits) as one:
        with pytest.raises(SuspendedPeerError, match="histories"):
            await one.pull()
    store = open_store(0)
    state = store.state(log.name)
    assert (state.size, state.frontier) == (first, log.frontier())
    assert state.evidence is not None
    assert state.evidence.kind == "fork"
    verify_evidence(world.mesh, state.evidence)
    async with following(world, store, honest(log)) as one:
        assert one.sync.suspended


async def test_a_fork_that_is_announced_is_proven_by_the_pull(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 5)
    twin = log.fork(3)
    twin.append_signals(4)
    async with following(world, store, honest(twin)) as one:
        assert await one.sync.on_announce(log.announcement(0)) == (5, 5)
        with pytest.raises(AnnouncementError):
            await one.sync.on_announce(twin.announcement(5))
        assert not one.sync.suspended
        with pytest.raises(SuspendedPeerError):
            await one.pull()
        assert one.sync.suspended


async def test_evidence_that_could_not_be_stored_is_found_again(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 4)
    twin = log.fork(2)
    twin.append_signals(2)
    full = Failing(store)
    async with following(world, full, honest(log)) as one:
        assert await one.pull() == 4
        full.state_failures = 1
        with pytest.raises(StoreFullError):
            await one.sync.on_announce(twin.announcement(4))
        assert one.sync.suspended == ""
        assert one.convicted == []
        with pytest.raises(SuspendedPeerError):
            await one.sync.on_announce(twin.announcement(4))
        assert len(one.convicted) == 1
    assert store.state(log.name).evidence is not None


async def test_what_another_part_has_stored_is_not_told_again(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 4)
    twin = log.fork(2)
    twin.append_signals(2)
    async with following(world, store, honest(log)) as one:
        assert await one.pull() == 4
        known = split_evidence(world.mesh, log.name, log.checkpoint(), twin.checkpoint())
        await store.save_state(log.name, replace(store.state(log.name), evidence=known))
        with pytest.raises(SuspendedPeerError):
            await one.sync.on_announce(twin.announcement(4))
        assert one.convicted == []
        assert one.sync.suspended == "split"


async def test_a_checkpoint_that_is_followed_is_written_once(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 4)
    counting = Failing(store)
    async with following(world, counting, honest(log)) as one:
        for _ in range(3):
            await one.sync.on_announce(Announcement(log.checkpoint(), 4, (), ()))
        assert counting.states == 1


async def test_a_withheld_history_is_not_forgotten_by_a_restart(
    world: World, open_store: OpenStore
) -> None:
    log = world.log(1, 5)
    other = log.fork(2)
    other.append_signals(5 - other.size)
    assert (other.size, other.checkpoint()) == (5, other.checkpoint(5)) != (5, log.checkpoint())
    for told in ("announcement", "pull"):
        store = open_store(0 if told == "announcement" else 1)
        async with following(world, store, lying(log, entries=lambda _: None)) as one:
            if told == "announcement":
                assert await one.sync.on_announce(Announcement(log.checkpoint(), 5, (), ())) == (
                    0,
                    0,
                )
            else:
                with pytest.raises(PeerAnswerError):
                    await one.pull()
            assert store.state(log.name).target == log.checkpoint()
        async with following(world, store, honest(other)) as one:
            with pytest.raises(SuspendedPeerError):
                await one.pull()
            evidence = store.state(log.name).evidence
            assert evidence is not None
            verify_evidence(world.mesh, evidence)


async def test_an_older_log_is_old_news(world: World, open_store: OpenStore) -> None:
    """A mirror that is behind, or an owner restored from a backup: nothing is held against it."""
    log = world.log(1, 6)
    store = open_store(0)
    async with following(world, store, honest(log)) as one:
        assert await one.pull() == 6
        log.truncate(4)
        assert await one.pull() == 0
        assert not one.sync.suspended
    assert store.state(log.name).size == 6


@pytest.mark.parametrize("at", [3, 4])
async def test_an_older_checkpoint_with_another_root_convicts(
    world: World, store: SqliteStore, at: int
) -> None:
    log = world.log(1, 6)
    twin = log.fork(2)
    twin.append_signals(at - 2)
    async with following(world, store, honest(log)) as one:
        assert await one.pull() == 6
        with pytest.raises(SuspendedPeerError):
            await one.sync.consider(twin.checkpoint())
        assert one.sync.suspended == "fork"
        (evidence,) = one.convicted
        verify_evidence(world.mesh, evidence)


# --- missing bodies


async def test_missing_bodies_are_asked_for_again(world: World, store: SqliteStore) -> None:
    log = world.log(1, 6)
    kept: dict[int, BodyAnswer] = {i: log.withhold_body(i) for i in (1, 2, 4)}
    async with following(world, store, honest(log)) as one:
        assert await one.pull() == 6
        assert outcomes(store, log).count(Outcome.DEFERRED) == 3
        assert await one.retry() == 0
        log.answers[1] = kept[1]
        log.erase_body(4)
        assert await one.retry() == 1, "that a body was erased is not believed without a retraction"
        assert outcomes(store, log) == [
            Outcome.ACCEPTED,
            Outcome.ACCEPTED,
            Outcome.DEFERRED,
            Outcome.ACCEPTED,
            Outcome.DEFERRED,
            Outcome.ACCEPTED,
        ]
        log.answers[4] = kept[4]
        log.answers[2] = kept[2]
        assert await one.retry() == 2
        asked = len(one.maverick.asked)
        assert await one.retry() == 0
        assert len(one.maverick.asked) == asked
    assert store.bodies(log.name, 0, 3) == log.answers[:3]
    assert store.state(log.name).size == 6


async def test_the_body_of_an_unknown_kind_is_asked_for_when_it_is_known(
    world: World, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, nobody could tell when it is to be erased; so it is not kept, and not awaited."""
    log = world.log(1, 1)
    log.append_sighting("ab" * 32)
    log.append_sighting("cd" * 32)
    known = dict(entry._KINDS)
    for old in range(2):
        with monkeypatch.context() as before:
            before.setattr(entry, "_KINDS", {k: v for k, v in known.items() if v != "sighting"})
            async with following(world, store, honest(log)) as one:
                assert await one.pull() == (0 if old else 3)
                assert store.bodies(log.name, 1, 3) == [MISSING, MISSING]
                assert store.first_missing(log.name) is None
                asked = len(one.maverick.asked)
                for _ in range(2):
                    assert await one.retry() == 0
                assert len(one.maverick.asked) == asked
    async with following(world, store, honest(log)) as one:
        assert await one.retry() == 2
        assert store.bodies(log.name, 0, 3) == log.answers
    assert outcomes(store, log) == [Outcome.ACCEPTED] * 3


async def test_a_wrong_body_is_asked_for_again(world: World, store: SqliteStore) -> None:
    log = world.log(1, 3)
    true = log.corrupt_body(1)
    async with following(world, store, honest(log)) as one:
        assert await one.pull() == 3
        assert outcomes(store, log)[1] is not Outcome.ACCEPTED
        log.answers[1] = true
        assert await one.retry() == 1
        assert outcomes(store, log) == [Outcome.ACCEPTED] * 3


async def test_a_false_proof_that_comes_late_is_refused_too(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 1)
    log.append_signal(forge_signal(world.mesh, log.name, Lie.ALTERED_PROOF, Random(2)))
    true = log.withhold_body(1)
    async with following(world, store, honest(log)) as one:
        await one.pull()
        log.answers[1] = true
        assert await one.retry() == 1
    assert outcomes(store, log) == [Outcome.ACCEPTED, Outcome.REFUSED]


async def test_missing_bodies_are_asked_for_less_and_less(world: World, store: SqliteStore) -> None:
    log = world.log(1, 2)
    log.answers[0] = MISSING
    now = [1_000_000.0]
    rhythm = Rhythm(body_attempts=2, body_pause=10.0)
    async with following(world, store, honest(log), rhythm=rhythm, clock=lambda: now[0]) as one:
        await one.pull()
        when = []
        for second in range(200):
            now[0] = 1_000_000.0 + second
            before = len(one.maverick.asked)
            await one.retry()
            if len(one.maverick.asked) > before:
                when.append(second)
        assert when == [0, 10, 30, 70, 110, 150, 190], "the pause doubles twice and stays"


# --- this node's own troubles


class Failing:
    """A store whose next commits fail, or take their time."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.failures = 0
        self.reached = asyncio.Event()
        self.hold: asyncio.Event | None = None
        self.states = 0
        self.state_failures = 0

    async def save_state(self, *args: Any) -> int:
        self.states += 1
        if self.state_failures:
            self.state_failures -= 1
            raise StoreFullError("the disk is full")
        return await self._store.save_state(*args)

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
    async with following(world, failing, honest(log300), limits=limits) as one:  # type: ignore[arg-type]
        failing.failures = 1
        with pytest.raises(StoreFullError):
            await one.pull()
        assert (one.sync.size, one.sync.suspended) == (0, "")
        assert await one.pull() == 300


async def test_nothing_is_acknowledged_before_it_is_durable(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 2)
    slow = Failing(store)
    rhythm = Rhythm(patience=0.05)
    async with following(world, slow, honest(log), rhythm=rhythm) as one:  # type: ignore[arg-type]
        slow.hold = asyncio.Event()
        pulling = asyncio.create_task(one.pull())
        await slow.reached.wait()
        assert await one.sync.on_announce(log.announcement(0)) == (0, 0)
        assert one.sync.size == 0
        slow.hold.set()
        assert await pulling == 2
        assert await one.sync.on_announce(log.announcement(0)) == (2, 2)


async def test_a_pull_cancelled_anywhere_can_be_repeated(
    world: World, store: SqliteStore, log300: OrgLog
) -> None:
    limits = ClientLimits()
    async with following(world, store, honest(log300), limits=limits) as one:
        for turns in (0, 5, 20, 40):
            pulling = asyncio.create_task(one.pull())
            for _ in range(turns):
                await asyncio.sleep(0.001)
            pulling.cancel()
            await asyncio.gather(pulling, return_exceptions=True)
            if one.sync.size == 300:
                break
        while one.sync.size < 300:
            with suppress(StoreConflictError):  # a cancelled pull's commit was on its way still
                await one.pull()
    assert store.state(log300.name).frontier == log300.frontier()
    assert outcomes(store, log300) == [Outcome.ACCEPTED] * 300


async def test_two_pulls_and_announcements_at_once_do_not_quarrel(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 400)
    limits = ClientLimits()
    rhythm = Rhythm(patience=30.0)
    async with following(world, store, honest(log), rhythm=rhythm, limits=limits) as one:
        pulls = [asyncio.create_task(one.pull()) for _ in range(3)]
        log.append_signals(5)
        sizes = await asyncio.gather(
            *(one.sync.on_announce(log.announcement(400)) for _ in range(3))
        )
        await asyncio.gather(*pulls)
        await one.pull()
        assert one.sync.size == 405
        assert all(size <= 405 for size, _ in sizes)
        assert not one.sync.suspended
    assert store.state(log.name).frontier == log.frontier()


@pytest.mark.parametrize("write", ["save_state", "commit_segment"])
async def test_a_second_root_in_the_store_is_evidence(
    world: World, store: SqliteStore, write: str
) -> None:
    """The store holds a checkpoint that the follower has forgotten; it proves the split."""
    log = world.log(1, 2)
    twin = log.fork(1)
    twin.append_signals(1)
    async with following(world, store, honest(log)) as one:
        assert await one.pull() == 2
    other = _StateHiding(store, log.name, write)
    async with following(world, other, honest(twin)) as one:  # type: ignore[arg-type]
        with pytest.raises(SuspendedPeerError):
            await one.pull()
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


# --- certificates: in any order, by any way


def serving_notes(log: OrgLog, certified: int, cosigned: bool = False) -> Any:
    """Honest, with a certificate of the first `certified` entries."""
    truth = honest(log)

    def answer(method: str, path: str, body: bytes) -> Reply | bytes | None:
        if path.endswith("/certificate"):
            return log.certificate(certified)
        if path.endswith("/checkpoint") and cosigned:
            return log.certificate()
        return truth(method, path, body)

    return answer


async def test_a_certificate_counts_once_what_it_covers_is_held(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 2)
    async with following(world, store, honest(log)) as one:
        bare = Announcement(log.checkpoint(), 0, tuple(log.notes), tuple(log.answers))
        assert await one.sync.on_announce(bare) == (2, 0)
        assert one.certified == []
        only = Announcement(log.checkpoint(), 2, (), (), log.certificate())
        assert await one.sync.on_announce(only) == (2, 2)
        assert one.certified == [(log.name, 2)]
        assert store.certified_size(log.name) == 2
        assert await one.sync.on_announce(only) == (2, 2)
        log.append_signals(2)
        early = Announcement(log.checkpoint(), 4, (), (), log.certificate())
        assert await one.sync.on_announce(early) == (2, 2), "it certifies what is not here yet"
        late = Announcement(log.checkpoint(), 2, tuple(log.notes[2:]), tuple(log.answers[2:]))
        assert await one.sync.on_announce(late) == (4, 4)
        assert one.certified == [(log.name, 2), (log.name, 4)]
        assert one.maverick.asked == []


async def test_a_certificate_of_older_entries_rides_on_newer_ones(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 4)
    old = log.certificate(2)
    notes, answers = tuple(log.notes), tuple(log.answers)
    async with following(world, store, honest(log)) as one:
        whole = Announcement(log.checkpoint(), 0, notes, answers, old)
        assert await one.sync.on_announce(whole) == (4, 2)
        log.append_signals(1)
        more = Announcement(log.checkpoint(), 4, (log.notes[4],), (log.answers[4],))
        with_old = Announcement(more.checkpoint, 4, more.entries, more.bodies, old)
        assert await one.sync.on_announce(with_old) == (5, 2)


@pytest.mark.parametrize("cosigned", [False, True])
async def test_a_pull_brings_the_certificate(
    world: World, store: SqliteStore, cosigned: bool
) -> None:
    log = world.log(1, 3)
    certified = 3 if cosigned else 2
    async with following(world, store, serving_notes(log, certified, cosigned), mirror=2) as one:
        assert await one.pull(certified) == 3
        assert one.sync.certified == certified
        asked = [path for path in one.maverick.asked if path.endswith("certificate")]
        assert len(asked) == (0 if cosigned else 1)
        await one.pull(certified)
        asked = [path for path in one.maverick.asked if path.endswith("certificate")]
        assert len(asked) == (0 if cosigned else 1), "what is known is not fetched again"


async def test_a_certificate_needs_a_quorum(world: World, store: SqliteStore) -> None:
    log = world.log(1, 2)
    few = [world.name(place) for place in (1, 2)]
    async with following(world, store, honest(log)) as one:
        poor = Announcement(log.checkpoint(), 0, (), (), log.certificate(by=few))
        with pytest.raises(AnnouncementError):
            await one.sync.on_announce(poor)
        for garbage in (b"x", log.checkpoint(), world.log(2, 2).certificate()):
            with pytest.raises(AnnouncementError):
                await one.sync.on_announce(Announcement(log.checkpoint(), 2, (), (), garbage))
    answer = lying(log, checkpoint=lambda path: log.certificate(by=few))
    async with following(world, store, answer) as one:
        with pytest.raises(QuorumError):
            await one.pull()
        assert store.certified_size(log.name) == 0


async def test_certified_entries_with_another_root_are_evidence(
    world: World, store: SqliteStore
) -> None:
    """Only with more traitors than a mesh bears; then at least it does not go unnoticed."""
    log = world.log(1, 4)
    twin = log.fork(2)
    twin.append_signals(1)
    async with following(world, store, honest(log)) as one:
        assert await one.pull() == 4
        told = Announcement(log.checkpoint(), 4, (), (), twin.certificate(3))
        with pytest.raises(SuspendedPeerError):
            await one.sync.on_announce(told)
        assert store.certified_size(log.name) == 0
        verify_evidence(world.mesh, one.convicted[0])


async def test_of_two_certificates_on_their_way_to_the_disk_the_larger_one_counts(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 2)
    go_on = asyncio.Event()

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def certify(self, name: str, note: bytes, size: int, root: bytes) -> int:
            if size == 2:
                await go_on.wait()
            return await store.certify(name, note, size, root)

    async with following(world, Slow(), honest(log)) as one:
        await one.sync.on_announce(log.announcement(0, certified=False))
        older = log.certificate()
        log.append_signals(2)
        await one.sync.on_announce(Announcement(log.checkpoint(), 4, (), (), log.certificate()))
        entries, bodies = tuple(log.notes[2:]), tuple(log.answers[2:])
        told = Announcement(log.checkpoint(), 2, entries, bodies, older)
        announcing = asyncio.create_task(one.sync.on_announce(told))
        async with asyncio.timeout(5):
            while store.certified_size(log.name) != 4:
                await asyncio.sleep(0.005)
        go_on.set()
        assert await announcing == (4, 4)
        assert one.certified == [(log.name, 4)]


async def test_a_certificate_is_verified_once(
    world: World, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a hundred members that is a hundred signatures, and it comes by push and by gossip."""
    log = world.log(1, 2)
    verified: list[bytes] = []
    true = held.open_certificate
    monkeypatch.setattr(
        held, "open_certificate", lambda m, n, note: verified.append(note) or true(m, n, note)
    )
    async with following(world, store, honest(log)) as one:
        early = Announcement(log.checkpoint(), 2, (), (), log.certificate())
        for _ in range(3):
            assert await one.sync.on_announce(early) == (0, 0)
        assert len(verified) == 1
        assert await one.sync.on_announce(log.announcement(0)) == (2, 2)
        for note in (log.certificate(), log.certificate(1), log.certificate(1, by=[log.name])):
            await one.sync.on_announce(Announcement(log.checkpoint(), 2, (), (), note))
        assert len(verified) == 1


# --- mirrors


async def test_a_mirror_that_has_less_than_the_owner_signed_is_followed_as_far_as_it_goes(
    world: World, open_store: OpenStore
) -> None:
    """The owner tells of a checkpoint and withholds what it covers; others hold what was before."""
    log = world.log(1, 4)
    behind = world.log(1, 4)
    assert behind.checkpoint() == log.checkpoint()
    log.append_signals(400)
    store = open_store(0)
    async with following(world, store, serving_notes(behind, 4), mirror=2) as one:
        await one.sync.on_announce(Announcement(log.checkpoint(), 404, (), ()))
        assert await one.pull(certified=4) == 4
        assert (one.sync.certified, one.sync.known_size) == (4, 404)
    state = store.state(log.name)
    assert (state.size, state.target) == (4, log.checkpoint())
    async with following(world, store, honest(log)) as one:
        assert await one.pull() == 400
    assert store.state(log.name).frontier == log.frontier()


async def test_a_lying_mirror_convicts_nobody_and_the_next_one_helps(
    world: World, store: SqliteStore, log300: OrgLog
) -> None:
    def tile(path: str) -> bytes:
        return bytes(32 * (int(path.rpartition("p/")[2]) if ".p/" in path else 256))

    twin = log300.fork(100)
    twin.append_signals(200)
    liars = [
        lying(log300, tile=tile),
        lying(log300, entries=lambda path: twin.bundle(0, 256)),
        lying(log300, bodies=lambda path: encode_bodies(twin.bodies(0, 256))),
    ]
    for liar in liars[:2]:
        async with following(world, store, liar, mirror=2) as one:
            with pytest.raises((SegmentMismatchError, TileMismatchError)):
                await one.pull()
            assert one.sync.suspended == ""
    async with following(world, store, honest(log300), mirror=3) as one:
        assert await one.pull() == 300
        assert outcomes(store, log300) == [Outcome.ACCEPTED] * 300


async def test_a_body_that_one_mirror_lacks_is_had_from_another(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 3)
    answers = list(log.answers)
    log.withhold_body(1)
    async with following(world, store, honest(log), mirror=2) as one:
        assert await one.pull() == 3
        assert store.first_missing(log.name) == 1
        whole = world.log(1, 3)
        whole.answers = answers
        broken = lying(log, bodies=lambda path: Reply(status=500))
        async with (
            following(world, store, broken, mirror=1) as failing,
            following(world, store, honest(whole), mirror=3) as other,
        ):
            assert await one.sync.retry_bodies([failing.client]) == 0
            clients = iter([failing.client, one.client, other.client, failing.client, one.client])
            assert await one.sync.retry_bodies(clients) == 1
            assert list(clients) == [one.client]
            asked = [len(each.maverick.asked) for each in (failing, other)]
            assert asked == [2, 1], "and then nobody is asked any more"
    assert store.first_missing(log.name) is None


async def test_an_attempt_that_nobody_answered_does_not_count(
    world: World, store: SqliteStore
) -> None:
    log = world.log(1, 1)
    log.withhold_body(0)
    now = [1000.0]
    rhythm = Rhythm(body_pause=10.0)
    async with following(world, store, honest(log), rhythm=rhythm, clock=lambda: now[0]) as one:
        await one.pull()
        silent = lying(log, bodies=lambda path: Reply(status=500))
        async with following(world, store, silent, mirror=2) as other:
            for _ in range(3):
                await one.sync.retry_bodies([other.client])
            assert len(other.maverick.asked) == 3
        await one.retry()
        asked = len(one.maverick.asked)
        await one.retry()
        assert len(one.maverick.asked) == asked


async def test_a_log_that_floods_is_followed_again_tomorrow(
    world: World, open_store: OpenStore, log300: OrgLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orgnode.federation.mirrorquota.MIRROR_FACTOR", 256 / 4096)
    today = [TODAY]
    limits = ClientLimits()
    async with following(
        world, open_store(0), honest(log300), limits=limits, today=lambda: today[0]
    ) as one:
        with pytest.raises(MirrorQuotaError) as caught:
            await one.pull()
        assert "tomorrow" in str(caught.value)
        assert one.sync.size == 256
        asked = len(one.maverick.asked)
        with pytest.raises(MirrorQuotaError):
            await one.sync.on_announce(
                Announcement(
                    log300.checkpoint(), 256, tuple(log300.notes[256:]), tuple(log300.answers[256:])
                )
            )
        with pytest.raises(MirrorQuotaError):
            await one.pull()
        fetched = [path for path in one.maverick.asked[asked:] if "checkpoint" not in path]
        assert fetched == [], "what can't be kept is not fetched"
        today[0] += 1
        assert await one.pull() == 44
    async with following(world, open_store(2), serving_notes(log300, 300), limits=limits) as one:
        assert await one.pull(certified=300) == 300, "a quorum holds this: it is no flood"
    async with following(world, open_store(3), honest(log300), limits=limits, limited=False) as one:
        assert await one.pull() == 300


# --- evidence in entries


async def test_an_accusation_is_told_of(world: World, store: SqliteStore) -> None:
    log, guilty = world.log(1, 1), world.log(2, 3)
    twin = guilty.fork(1)
    twin.append_signals(2)
    evidence = split_evidence(world.mesh, guilty.name, guilty.checkpoint(), twin.checkpoint())
    log.append(Kind.EVIDENCE, bytes(32), compose_accusation(evidence))
    body = log.withhold_body(1)
    async with (
        following(world, store, honest(log)) as one,
        following(world, store, honest(guilty), owner=2) as accused,
    ):
        assert await accused.pull() == 3
        await one.pull()
        assert one.accused == []
        log.answers[1] = body
        assert await one.retry() == 1
        assert one.accused == [evidence]
        accused.sync.refresh()
        assert accused.sync.suspended == "split"
        with pytest.raises(SuspendedPeerError):
            await accused.pull()
        assert accused.convicted == [], "it was stored by somebody else"
    log.append(Kind.EVIDENCE, bytes(31) + b"x", compose_accusation(evidence))
    async with following(world, store, honest(log)) as one:
        await one.pull()
        assert one.accused == [], "a second accusation is refused"


async def test_an_accusation_that_comes_with_its_body_is_told_of_at_once(
    world: World, store: SqliteStore
) -> None:
    log, guilty = world.log(1), world.log(2, 3)
    twin = guilty.fork(1)
    twin.append_signals(2)
    evidence = split_evidence(world.mesh, guilty.name, guilty.checkpoint(), twin.checkpoint())
    log.append(Kind.EVIDENCE, bytes(32), compose_accusation(evidence))
    async with following(world, store, honest(log)) as one:
        await one.sync.on_announce(log.announcement(0))
        assert one.accused == [evidence]
        assert store.state(guilty.name).evidence == evidence
