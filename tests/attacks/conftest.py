"""What the attacks are tried on: a node that enforces, in a mesh of five."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.append(str(Path(__file__).parents[1] / "orgnode" / "api"))

from api_support import ApiNode, Served, open_store, serving

from mesh.testing import TestMesh, make_mesh
from orgnode.store.sqlite import SqliteStore


@pytest.fixture(scope="session")
def world() -> TestMesh:
    """A mesh of five members; this node is the first."""
    return make_mesh(5)


@pytest.fixture
def store(world: TestMesh, tmp_path: Path) -> Iterator[SqliteStore]:
    """This node's store, empty."""
    with open_store(world, tmp_path) as store:
        yield store


@pytest_asyncio.fixture
async def api(world: TestMesh, store: SqliteStore, tmp_path: Path) -> AsyncIterator[Served]:
    """A node that enforces, and whose API is served."""
    (tmp_path / "policy.toml").write_text('mode = "enforce"\nsample_rate = 0.0\n')
    async with serving(ApiNode(world, store, tmp_path)) as served:
        yield served
