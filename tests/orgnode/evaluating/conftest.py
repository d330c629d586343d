"""Fixtures of the evaluation's tests: a mesh of six with five seats, and members' offices."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.append(str(Path(__file__).parents[1] / "federation"))

from eval_support import Offices, world_of
from fed_support import World


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Six members; the first five have a seat, any three of them evaluate."""
    return world_of(tmp_path_factory.mktemp("wide"), 6, seats=5)


@pytest.fixture(scope="session")
def thrifty(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three members with three seats, any two of them evaluate, three batches a day."""
    return world_of(tmp_path_factory.mktemp("thrifty"), 3, seats=3, budget=96)


@pytest_asyncio.fixture
async def offices(wide: World, tmp_path: Path) -> AsyncIterator[Offices]:
    """All five seats of `wide`, serving."""
    async with Offices(wide, tmp_path) as offices:
        for place in range(5):
            await offices.open(place)
        yield offices


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
