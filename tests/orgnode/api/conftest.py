"""Fixtures of the API's tests: one mesh for all, a fresh store and node for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from api_support import ApiNode, Served, open_store, serving

from mesh.testing import OrgLog, TestMesh, make_mesh
from orgnode.store.sqlite import SqliteStore


@pytest.fixture(scope="session")
def world() -> TestMesh:
    """A mesh of four members; this node is the first."""
    return make_mesh(4)


@pytest.fixture
def store(world: TestMesh, tmp_path: Path) -> Iterator[SqliteStore]:
    """This node's store, empty."""
    with open_store(world, tmp_path) as store:
        yield store


@pytest.fixture
def peer_log(world: TestMesh) -> OrgLog:
    """The log of another member."""
    return OrgLog(world, 1)


@pytest_asyncio.fixture
async def node(world: TestMesh, store: SqliteStore, tmp_path: Path) -> ApiNode:
    """A node that is not served yet."""
    return ApiNode(world, store, tmp_path)


@pytest_asyncio.fixture
async def api(node: ApiNode) -> AsyncIterator[Served]:
    """A node whose API is served."""
    async with serving(node) as served:
        yield served
