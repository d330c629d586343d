"""A checker over a real store, with the mesh's real evaluation key, and an attack to look for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from check_support import BENIGN, DAY, ENFORCE, SECRET, Checks, Told

from mesh.fingerprint import WindowSet
from mesh.testing import TestMesh, make_mesh
from orgnode.checking import CheckBreaker, Checker, PolicyFile
from orgnode.metrics import Metrics
from orgnode.store.sqlite import SqliteStore
from orgnode.testing.knowledge import Knowledge
from orgnode.workers import Workers


@pytest.fixture(scope="session")
def world() -> TestMesh:
    """A mesh of five members; this node is the first."""
    return make_mesh(5)


@pytest.fixture
def store(world: TestMesh, tmp_path: Path) -> Iterator[SqliteStore]:
    """This node's store, empty."""
    with SqliteStore.open(
        tmp_path / "node.db", name=world.member(0).name, mesh_id=world.mesh.mesh_id
    ) as store:
        yield store


@pytest_asyncio.fixture
async def checks(world: TestMesh, store: SqliteStore, tmp_path: Path) -> AsyncIterator[Checks]:
    """A checker that enforces, in a mesh whose signals have all come in a day ago."""
    knowledge = Knowledge(world, store)
    (tmp_path / "policy.toml").write_text(ENFORCE)
    clock, draw = [0.0], [0.5]
    policy = PolicyFile(tmp_path, knowledge.key, clock=lambda: clock[0])
    metrics, alerts = Metrics(), Told()
    workers = Workers(1, world.mesh.note)
    checker = Checker(
        mesh=world.mesh,
        name=world.member(0).name,
        selection_key=knowledge.key,
        store=store,
        evaluator=knowledge.holder,
        policy=policy,
        benign=WindowSet.of(knowledge.key, [BENIGN]),
        workers=workers,
        metrics=metrics,
        breaker=CheckBreaker(
            store, SECRET, now=lambda: 1_000_000 + clock[0], alert=alerts.alert, calm=alerts.calm
        ),
        now=lambda: time.time() + DAY,
        uniform=lambda: draw[0],
    )
    yield Checks(checker, knowledge, tmp_path, metrics, clock, draw, alerts)
    await checker.close()
    await workers.close()
