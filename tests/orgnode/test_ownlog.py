"""The own log: one writer, nothing acknowledged before it is durable, nothing signed twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mesh.days import Day
from mesh.entry import Kind
from mesh.following import FollowerState
from mesh.retraction import compose_retraction, parse_retraction
from mesh.testing import TODAY, make_mesh
from orgnode.ownlog import Draft, LogClosedError, OwnLog, OwnLogError
from orgnode.store import StoreFullError
from orgnode.store.sqlite import SqliteStore
from proofs.checkpoint import open_checkpoint
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


def own_log(store: Any, grown: list[int] | None = None) -> OwnLog:
    return OwnLog(
        WORLD.mesh,
        OWNER.name,
        store,
        OWNER.identity,
        OWNER.log_signer(WORLD.mesh.mesh_id),
        lambda: TODAY,
        (grown if grown is not None else []).append,
    )


def draft(number: int) -> Draft:
    body = compose_retraction(f"{number:064x}", "mistake")
    return Draft(Kind.RETRACTION, Day(TODAY + 1), body, retraction=parse_retraction(body))


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
    for state in (
        replace(true, checkpoint=None),
        replace(true, frontier=other),
        replace(true, size=1, frontier=Frontier(0, ()).extend([bytes(32)])),
    ):
        with pytest.raises(OwnLogError) as caught:
            await own_log(Stored(state)).start()
        assert "backup" in caught.value.hint
    again = own_log(store)
    await again.start()
    await again.drain()
