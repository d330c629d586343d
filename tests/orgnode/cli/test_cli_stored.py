"""The store as commands open it that only look: nothing is written, and nothing is passed over."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from cli_support import orgnode
from stored_support import fill, make_directory

from mesh.testing import OrgLog, TestMesh, make_mesh
from orgnode.store import (
    ForeignDatabaseError,
    NewerSchemaError,
    OlderSchemaError,
    StoreReadOnlyError,
)
from orgnode.store.schema import latest_version
from orgnode.store.sqlite import SqliteStore


@pytest.fixture(scope="module")
def world() -> TestMesh:
    return make_mesh(4)


@pytest.fixture
def log(world: TestMesh) -> OrgLog:
    made = OrgLog(world, 1)
    made.append_signals(2)
    return made


@pytest.fixture
def node(tmp_path: Path, world: TestMesh, log: OrgLog) -> Path:
    return make_directory(tmp_path / "node", world, log)


@pytest.fixture
def look(node: Path, world: TestMesh) -> Callable[..., SqliteStore]:
    def opened(name: str = world.members[0].name) -> SqliteStore:
        return SqliteStore.open_unchanged(node / "node.db", name=name, mesh_id=world.mesh.mesh_id)

    return opened


def change(node: Path, *statements: str) -> None:
    with closing(sqlite3.connect(node / "node.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_a_running_node_s_last_commits_are_seen(
    node: Path, world: TestMesh, log: OrgLog, look: Callable[..., SqliteStore]
) -> None:
    name = world.members[0].name
    other = OrgLog(world, 2)
    other.append_signals(2)
    with SqliteStore.open(node / "node.db", name=name, mesh_id=world.mesh.mesh_id) as running:
        with look() as store:
            assert store.logs() == [log.name]
            fill(running, world, other, (2,))
            assert set(store.logs()) == {log.name, other.name}
        assert (node / "node.db-wal").stat().st_size > 0, "it was seen where a crash leaves it"


def test_nothing_is_written(node: Path, look: Callable[..., SqliteStore]) -> None:
    before = (node / "node.db").read_bytes()
    with look() as store:
        with pytest.raises(StoreReadOnlyError):
            asyncio.run(store.set_meta("key", b"value"))
        assert store.meta("key") is None
        assert store.pending() == 0
        with pytest.raises(StoreReadOnlyError):
            store._read(lambda connection: connection.execute("DELETE FROM entry"))
        store.abandon()
    assert (node / "node.db").read_bytes() == before


def test_a_database_that_is_not_there_is_not_made(
    node: Path, look: Callable[..., SqliteStore]
) -> None:
    for file in node.glob("node.db*"):
        file.unlink()
    with pytest.raises(StoreReadOnlyError):
        look()
    assert not list(node.glob("node.db*"))


def test_another_member_s_database_is_not_taken_for_this_one_s(
    look: Callable[..., SqliteStore],
) -> None:
    with pytest.raises(ForeignDatabaseError):
        look("evil.example")


def test_a_database_of_another_version(node: Path, look: Callable[..., SqliteStore]) -> None:
    newer = latest_version() + 1
    change(node, f"INSERT INTO schema_version VALUES ({newer}, 0)")
    with pytest.raises(NewerSchemaError):
        look()
    ran = orgnode("--data-dir", node, "--json", "log", "verify")
    assert (ran.code, ran.error["code"]) == (1, "NewerSchemaError")


def test_what_no_node_has_opened_yet_is_brought_to_this_version_as_a_node_does(
    node: Path, look: Callable[..., SqliteStore]
) -> None:
    for file in node.glob("node.db*"):
        file.unlink()
    (node / "node.db").touch()
    with pytest.raises(OlderSchemaError):
        look()
    assert orgnode("--data-dir", node, "log", "verify").code == 0
    look().close()
