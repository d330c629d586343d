"""`orgnode peers` of a node that has published nothing, or that has just grown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from api_support import ApiNode, open_store
from console_support import Console, console_of, make_directory

from mesh.testing import TestMesh
from orgnode.api import PeerStatus


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide terminal, and no settings from outside."""
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.delenv("ORGNODE_DATA_DIR", raising=False)


@pytest_asyncio.fixture
async def console(world: TestMesh, tmp_path: Path) -> AsyncIterator[Console]:
    directory = make_directory(tmp_path / "node")
    with open_store(world, directory) as store:
        async with console_of(ApiNode(world, store, directory), directory) as console:
            yield console


async def test_of_nothing_the_peer_holds_nothing(console: Console) -> None:
    node = console.api.node
    (name, *_) = [card.name for card in node.mesh.peers_of(node.name)]
    node.statuses = [PeerStatus(name, up=True, size=3, signed_size=3, behind=1)]
    ran = await console("peers")
    (row,) = [line for line in ran.words.split("\n") if name in line]
    after = row.partition(name)[2]
    assert " 0 of 0 1 just now " in after
    assert "unknown" not in after
    node.statuses = [PeerStatus(name, up=True, size=3, signed_size=3)]
    ran = await console("peers")
    assert "just now" not in ran.out
    assert "0 of 0" in ran.out
