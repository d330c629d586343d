"""The own log: one writer, nothing acknowledged before it is durable, nothing signed twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mesh.assessment import assess
from mesh.days import Day
from mesh.entry import Kind
from mesh.evidence import split_evidence
from mesh.following import FollowerState
from mesh.retraction import compose_retraction, parse_retraction
from mesh.sighting import compose_sighting, parse_sighting
from mesh.testing import TODAY, OrgLog, found, founders, make_mesh
from mesh.testing.members import TestMesh
from mesh.wire import MISSING
from orgnode.alerts import CONVICTED, HINTS
from orgnode.federation.errors import ForkedSelfError, OwnQuotaError, RecoveringError
from orgnode.hints import MAX_HINTS, RecentHints
from orgnode.ownlog import Draft, LogClosedError, OwnLog, OwnLogError
from orgnode.restored import RESTORED
from orgnode.store import LogRow, StoreFullError
from orgnode.store.sqlite import SqliteStore
from proofs.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from proofs.frontier import Frontier

WORLD = make_mesh(2)
OWNER = WORLD.members[0]
KEY = OWNER.card.log_key(WORLD.mesh.mesh_id)


class Failing:
    """A store whose commits fail on demand, or wait."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.full = False
        self.begun = asyncio.Event()
        self.go_on: asyncio.Event | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit_segment(self, *arguments: Any) -> int:
        if self.full:
            raise StoreFullError("the disk is full")
        self.begun.set()
        if self.go_on is not None:
            await self.go_on.wait()
        return await self._store.commit_segment(*arguments)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "node.db", name=OWNER.name, mesh_id=WORLD.mesh.mesh_id)
    yield opened
    opened.close()


def own_log(
    store: Any, grown: list[int] | None = None, *, world: TestMesh = WORLD, **changes: Any
) -> OwnLog:
    owner = world.members[0]
    settings: dict[str, Any] = {
        "today": lambda: TODAY,
        "grown": (grown if grown is not None else []).append,
    }
    return OwnLog(
        world.mesh,
        owner.name,
        store,
        owner.identity,
        owner.log_signer(world.mesh.mesh_id),
        **{**settings, **changes},
    )


def draft(number: int) -> Draft:
    body = compose_retraction(f"{number:064x}", "mistake")
    return Draft(Kind.RETRACTION, Day(TODAY + 1), body, retraction=parse_retraction(body))


def sighting(number: int) -> Draft:
    body = compose_sighting(f"{number:064x}", "confirm")
    return Draft(Kind.SIGHTING, Day(TODAY + 1), body, sighting=parse_sighting(body))


async def test_appended_is_durable_signed_and_told(store: SqliteStore) -> None:
    grown: list[int] = []
    log = own_log(store, grown)
    await log.start()
    placed = await asyncio.gather(*(log.append(draft(i)) for i in range(20)))
    assert [one.index for one in placed] == list(range(20))
    assert len({one.entry_id for one in placed}) == 20
    state = store.state(OWNER.name)
    assert state.checkpoint is not None
    signed = open_checkpoint(state.checkpoint, KEY)
    assert (signed.size, signed.root) == (20, state.frontier.root())
    assert grown[-1] == 20
    await log.drain()


async def test_hints_are_kept_of_what_was_appended_until_it_is_retracted(
    store: SqliteStore,
) -> None:
    hints = RecentHints()
    log = own_log(store, hints=hints)
    await log.start()
    first = await log.append(replace(sighting(1), hint=b"first"))
    second = await log.append(replace(sighting(2), hint=b"second"))
    await log.append(sighting(3))
    assert (hints.of(first.entry_id), hints.of(second.entry_id)) == (b"first", b"second")
    body = compose_retraction(first.entry_id, "mistake")
    await log.append(
        Draft(Kind.RETRACTION, Day(TODAY + 1), body, retraction=parse_retraction(body))
    )
    assert (hints.of(first.entry_id), hints.of(second.entry_id)) == (b"", b"second")
    await log.drain()


async def test_what_is_not_stored_leaves_no_hint(store: SqliteStore) -> None:
    failing, hints = Failing(store), RecentHints()
    log = own_log(failing, hints=hints)
    await log.start()
    failing.full = True
    with pytest.raises(StoreFullError):
        await log.append(replace(sighting(1), hint=b"first"))
    assert hints._hints == {}
    await log.drain()


def test_hints_are_kept_of_the_newest_only() -> None:
    hints = RecentHints()
    for number in range(MAX_HINTS + 2):
        hints.put(f"{number}", b"%d" % number)
        hints.put(f"none {number}", b"")
    assert len(hints._hints) == MAX_HINTS
    assert (hints.of("1"), hints.of("2"), hints.of("none 2")) == (b"", b"2", b"")


async def test_nothing_is_acknowledged_before_its_commit(store: SqliteStore) -> None:
    slow = Failing(store)
    grown: list[int] = []
    log = own_log(slow, grown)
    await log.start()
    slow.go_on = asyncio.Event()
    appending = asyncio.create_task(log.append(draft(1)))
    await slow.begun.wait()
    assert not appending.done()
    assert grown == []
    slow.go_on.set()
    assert (await appending).index == 0
    await log.drain()


async def test_a_full_disk_fails_who_waits_and_nobody_after(store: SqliteStore) -> None:
    full = Failing(store)
    log = own_log(full)
    await log.start()
    full.full = True
    results = await asyncio.gather(
        *(log.append(draft(i)) for i in range(3)), return_exceptions=True
    )
    assert [type(one) for one in results] == [StoreFullError] * 3
    assert store.state(OWNER.name).size == 0
    full.full = False
    assert (await log.append(draft(4))).index == 0
    await log.drain()


async def test_a_caller_that_goes_away_holds_up_nobody(store: SqliteStore) -> None:
    slow = Failing(store)
    log = own_log(slow)
    await log.start()
    slow.go_on = asyncio.Event()
    first = asyncio.create_task(log.append(draft(1)))
    await slow.begun.wait()
    second = asyncio.create_task(log.append(draft(2)))
    first.cancel()
    slow.go_on.set()
    assert (await second).index == 1, "what was under way is in the log all the same"
    assert first.cancelled()
    await log.drain()


async def test_draining_writes_what_was_accepted_and_takes_no_more(store: SqliteStore) -> None:
    slow = Failing(store)
    log = own_log(slow)
    await log.start()
    slow.go_on = asyncio.Event()
    accepted = [asyncio.create_task(log.append(draft(i))) for i in range(5)]
    await slow.begun.wait()
    draining = asyncio.create_task(log.drain())
    await asyncio.sleep(0)
    with pytest.raises(LogClosedError) as caught:
        await log.append(draft(9))
    assert "again" in caught.value.hint
    slow.go_on.set()
    await draining
    assert [one.index for one in await asyncio.gather(*accepted)] == list(range(5))
    assert store.state(OWNER.name).size == 5


async def test_it_goes_on_where_it_was(store: SqliteStore) -> None:
    for expected in range(3):
        log = own_log(store)
        await log.start()
        assert (await log.append(draft(expected))).index == expected
        await log.drain()
    assert store.state(OWNER.name).size == 3


class Stored:
    """A store that says something else about the own log than what is true."""

    def __init__(self, state: FollowerState) -> None:
        self._state = state

    def state(self, log: str) -> FollowerState:
        return self._state


async def test_a_log_that_contradicts_itself_is_not_signed(store: SqliteStore) -> None:
    log = own_log(store)
    await log.start()
    await log.append(draft(1))
    await log.append(draft(2))
    await log.drain()
    true = store.state(OWNER.name)
    other = Frontier(0, ()).extend([bytes(32), bytes(32)])
    foreign = WORLD.members[1].log_signer(WORLD.mesh.mesh_id)
    for state in (
        replace(true, checkpoint=None),
        replace(true, checkpoint=sign_checkpoint(Checkpoint(foreign.name, 2, bytes(32)), foreign)),
        replace(true, frontier=other),
        replace(true, size=1, frontier=Frontier(0, ()).extend([bytes(32)])),
    ):
        with pytest.raises(OwnLogError) as caught:
            await own_log(Stored(state)).start()
        assert "backup" in caught.value.hint
    again = own_log(store)
    await again.start()
    await again.drain()


# --- what it refuses to sign


async def test_nothing_is_signed_before_the_start(store: SqliteStore) -> None:
    log = own_log(store)
    with pytest.raises(RecoveringError) as caught:
        await log.append(draft(1))
    assert caught.value.hint
    assert store.checkpoint(OWNER.name) is None
    await log.drain()
    with pytest.raises(LogClosedError):
        await log.append(draft(1))


async def test_a_log_that_is_being_restored_is_not_signed(store: SqliteStore) -> None:
    log = own_log(store)
    await log.start()
    await log.append(draft(1))
    await log.drain()
    other = OrgLog(WORLD, 0)
    for number in range(4):
        other.append_sighting(f"{number:064x}")
    state = replace(store.state(OWNER.name), target=other.checkpoint())
    await store.save_state(OWNER.name, state)
    half = replace(state, size=3, frontier=state.frontier.extend([bytes(32)] * 2))
    own_log(Stored(half)).check()  # its checkpoint covers less; that is no damage
    log = own_log(store)
    with pytest.raises(RecoveringError):
        await log.start()
    with pytest.raises(RecoveringError):
        await log.append(draft(2))


def evidence() -> Any:
    one, other = OrgLog(WORLD, 0), OrgLog(WORLD, 0)
    one.append_sighting("11" * 32)
    other.append_sighting("22" * 32)
    return split_evidence(WORLD.mesh, OWNER.name, one.checkpoint(), other.checkpoint())


async def test_with_evidence_against_it_nothing_is_signed(store: SqliteStore) -> None:
    log = own_log(store)
    await log.start()
    await log.append(draft(1))
    await store.save_state(OWNER.name, replace(store.state(OWNER.name), evidence=evidence()))
    with pytest.raises(ForkedSelfError) as caught:
        await log.append(draft(2))
    assert caught.value.hint == CONVICTED == HINTS["forked_self"]
    assert "restore" not in caught.value.hint, "nothing helps that one could do here"
    assert store.state(OWNER.name).size == 1
    await log.drain()
    with pytest.raises(ForkedSelfError):
        await own_log(store).start()


async def test_after_a_halt_nothing_is_signed(store: SqliteStore) -> None:
    slow = Failing(store)
    log = own_log(slow)
    await log.start()
    slow.go_on = asyncio.Event()
    first = asyncio.create_task(log.append(draft(1)))
    await slow.begun.wait()
    second = asyncio.create_task(log.append(draft(2)))
    await asyncio.sleep(0)
    log.halt(ForkedSelfError("two histories"))
    slow.go_on.set()
    assert (await first).index == 0, "it was on its way to the disk"
    for later in (second, log.append(draft(3))):
        with pytest.raises(ForkedSelfError):
            await later
    assert store.state(OWNER.name).size == 1
    await log.drain()


# --- quota and days


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[tuple[TestMesh, SqliteStore]]:
    """A mesh in which 16 entries a day count."""
    world = found(founders(2), adjust=lambda rules: rules.model_copy(update={"daily_quota": 16}))
    opened = SqliteStore.open(tmp_path / "strict.db", name=OWNER.name, mesh_id=world.mesh.mesh_id)
    yield world, opened
    opened.close()


async def test_entries_over_the_days_quota_are_not_signed(
    strict: tuple[TestMesh, SqliteStore],
) -> None:
    world, store = strict
    log = own_log(store, world=world)
    await log.start()
    await asyncio.gather(*(log.append(sighting(i)) for i in range(10)))
    results = await asyncio.gather(
        *(log.append(draft(i)) for i in range(3)),
        *(log.append(sighting(i)) for i in range(10, 20)),
        log.append(draft(3)),
        return_exceptions=True,
    )
    refused = [isinstance(one, OwnQuotaError) for one in results]
    assert refused == [False] * 9 + [True] * 4 + [False], "retractions are not counted"
    placed = [one.index for one in results if not isinstance(one, BaseException)]
    assert placed == list(range(10, 20))
    assert store.state(OWNER.name).size == 20
    with pytest.raises(OwnQuotaError) as caught:
        await log.append(sighting(99))
    assert "tomorrow" in caught.value.hint
    await log.drain()
    tomorrow = own_log(store, world=world, today=lambda: Day(TODAY + 1))
    await tomorrow.start()
    await tomorrow.append(sighting(99))
    await tomorrow.drain()


async def test_days_never_fall_whatever_the_clock_says(store: SqliteStore) -> None:
    today = [TODAY]
    log = own_log(store, today=lambda: today[0])
    await log.start()
    for number, (day, expected) in enumerate([(0, 0), (1, 1), (0, 1), (2, 2)]):
        today[0] = Day(TODAY + day)
        placed = await log.append(replace(sighting(number), expires=Day(TODAY)))
        (record,) = store.records(OWNER.name, placed.index, placed.index + 1)
        assert record.day == TODAY + expected
        assert record.expires is not None
        assert record.expires >= record.day
    await log.drain()


async def day_of_next(log: OwnLog, store: SqliteStore, made: Draft) -> int:
    placed = await log.append(made)
    (record,) = store.records(OWNER.name, placed.index, placed.index + 1)
    assert record.day is not None
    assert record.expires is not None
    assert record.day <= record.expires
    return record.day - TODAY


async def certify(store: SqliteStore, day: int) -> None:
    """The other member's log gets a certificate of that day."""
    other = OrgLog(WORLD, 1, day=Day(TODAY + day))
    other.append_note(b"an entry")
    state = FollowerState(1, other.frontier(), other.checkpoint())
    row = LogRow.of(assess(WORLD.mesh, other.member.card, 0, other.notes[0], MISSING, TODAY))
    await store.commit_segment(other.name, 0, [row], state)
    await store.certify(other.name, other.certificate(), 1, other.frontier().root())


@pytest.mark.parametrize("ahead", [2, 3, 7, 8, 400])
@pytest.mark.parametrize("certified", [False, True])
async def test_a_clock_that_was_ahead_does_not_hold_the_log_up(
    store: SqliteStore, ahead: int, certified: bool
) -> None:
    today = [Day(TODAY + ahead)]
    log = own_log(store, today=lambda: today[0])
    await log.start()
    assert await day_of_next(log, store, sighting(1)) == ahead
    if certified:
        await certify(store, 0)
    today[0] = TODAY
    skew = WORLD.mesh.constraints.clock_skew_days
    assert await day_of_next(log, store, sighting(2)) == skew, "peers take nothing later"
    # What it withdraws may be dated so, and live as long as anything dated so may.
    long = replace(draft(1), expires=Day(TODAY + ahead + 365))
    assert await day_of_next(log, store, long) == ahead
    today[0] = Day(TODAY + 1)
    assert await day_of_next(log, store, sighting(3)) == min(1 + skew, ahead)
    await log.drain()


async def test_a_clock_that_is_behind_dates_nothing_back(store: SqliteStore) -> None:
    """Peers would refuse it for good. That the clock is wrong is known from certificates."""
    today = [TODAY]
    log = own_log(store, today=lambda: today[0])
    await log.start()
    assert await day_of_next(log, store, sighting(1)) == 0
    await certify(store, 0)
    for number, behind in enumerate((1, 2, 5, 30)):
        today[0] = Day(TODAY - behind)
        assert await day_of_next(log, store, sighting(2 + number)) == 0
    await log.drain()


async def test_salts_are_drawn_unless_they_are_given(store: SqliteStore) -> None:
    drawn = [bytes([n]) * 32 for n in range(2)]
    log = own_log(store, entropy=lambda n: drawn.pop(0)[:n])
    await log.start()
    await log.append(sighting(1))
    await log.append(replace(sighting(2), salt=b"s" * 32))
    await log.append(sighting(3))
    salts = [answer.salt for answer in store.bodies(OWNER.name, 0, 3)]  # type: ignore[union-attr]
    assert salts == [bytes(32), b"s" * 32, bytes([1]) * 32]
    await log.drain()


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (None, "until enough of them have answered"),
        (b"-", "until enough of them have answered"),
        (b"", "restored from a backup, so all of them must answer"),
        (b"dune.example", "`orgnode restore FILE --without NAME` into a new, empty --data-dir"),
    ],
)
async def test_who_must_answer_before_anything_is_signed(
    store: SqliteStore, mark: bytes | None, said: str
) -> None:
    if mark is not None:
        await store.set_meta(RESTORED, mark)
    with pytest.raises(RecoveringError) as caught:
        own_log(store).check_open()
    assert said in caught.value.hint
    assert "orgnode doctor" in caught.value.hint
