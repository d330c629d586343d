"""Fixtures of the federation's tests: one mesh for all, a fresh store and clean tasks for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from fed_support import World, make_world

from orgnode.store.sqlite import SqliteStore


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A mesh of four members."""
    return make_world(tmp_path_factory.mktemp("world"), 4)


@pytest.fixture
def open_store(world: World, tmp_path: Path) -> Iterator[Callable[[int], SqliteStore]]:
    """Opens member `n`'s store; opening it again closes the one before, as a restart does."""
    opened: dict[int, SqliteStore] = {}

    def open_one(place: int) -> SqliteStore:
        if place in opened:
            opened[place].close()
        name = world.name(place)
        opened[place] = SqliteStore.open(
            tmp_path / f"{name}.db", name=name, mesh_id=world.mesh.mesh_id
        )
        return opened[place]

    yield open_one
    for store in opened.values():
        store.close()


@pytest.fixture
def store(open_store: Callable[[int], SqliteStore]) -> SqliteStore:
    """Member 0's store."""
    return open_store(0)


@pytest_asyncio.fixture(autouse=True)
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Whatever a test starts must have ended when it is over."""
    before = asyncio.all_tasks()
    yield
    for _ in range(20):  # connections that were aborted end within a few turns of the loop
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"tasks left behind: {left}")
