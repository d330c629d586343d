"""A disk that takes nothing: an alert, no readiness, and both are over by themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from orgnode import diskwatch
from orgnode.alerts import HINTS, Alerts
from orgnode.cli.checks import Verdict
from orgnode.cli.network_checks import check_node, run_checks
from orgnode.diskwatch import DiskWatch
from orgnode.node import Node
from orgnode.store import StoreConflictError, StoreFullError
from orgnode.store.sqlite import SqliteStore
from orgnode.store.writer import Condition, Writer
from orgnode.testnet import TestNetwork

BIG = bytes(1 << 20)


async def limit(store: SqliteStore, more: int | None) -> None:
    """Let the database grow by so many pages only: then it is full, as a disk is."""

    def run(connection: object) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()  # type: ignore[attr-defined]
        most = 1 << 30 if more is None else pages + more
        connection.execute(f"PRAGMA max_page_count = {most}")  # type: ignore[attr-defined]

    await store._writer.write(run)


@pytest.fixture
def told() -> list[Condition]:
    return []


@pytest_asyncio.fixture
async def store(tmp_path: Path, told: list[Condition]) -> AsyncIterator[SqliteStore]:
    writer = partial(Writer, told=told.append)
    with SqliteStore.open(tmp_path / "node.db", name="acme.example", writer=writer) as opened:
        yield opened


async def test_the_writer_tells_of_each_failure(store: SqliteStore, told: list[Condition]) -> None:
    await store.set_meta("a", b"1")
    assert told == [], "that all is well is no news"
    await limit(store, 0)
    for _ in range(2):
        with pytest.raises(StoreFullError):
            await store.set_meta("big", BIG)
    assert [type(one) for one in told] == [StoreFullError] * 2

    def conflict(_connection: object) -> None:
        raise StoreConflictError("the rows do not fit together")

    with pytest.raises(StoreConflictError):
        await store._writer.write(conflict)
    assert len(told) == 2, "that nothing was kept of it says nothing of the disk"
    await limit(store, None)
    await store.set_meta("big", BIG)
    assert len(told) == 2, "a write that works says nothing of the next, unless it is big enough"


async def test_an_alert_stands_while_the_disk_is_full() -> None:
    alerts, watch = Alerts(), DiskWatch("acme.example")
    thread = threading.Thread(target=watch.told, args=(StoreFullError("the disk is full"),))
    thread.start()
    thread.join()
    await asyncio.sleep(0)
    assert "the disk is full" in watch.reason
    watch.attach(alerts)
    (one,) = alerts.current()
    assert (one.kind, one.subject, one.hint) == ("disk", "acme.example", HINTS["disk"])
    assert "StoreFullError" in one.detail


async def test_a_node_with_a_full_disk_is_not_ready_and_comes_back_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diskwatch, "PROBE_SECONDS", 0.02)
    network = TestNetwork.create(tmp_path / "net", 2)
    datadir = network.orgs[0].datadir
    async with Node.open(datadir) as (node, info), network.client(network.orgs[0]) as client:
        await limit(node.store, 0)
        with pytest.raises(StoreFullError):
            await node.store.set_meta("big", BIG)
        ready = await client.ready()
        assert not ready.ready
        assert "StoreFullError" in ready.reasons[0]
        assert [one.kind for one in await client.alerts()] == ["disk"]
        check = await asyncio.to_thread(check_node, datadir, info)
        assert (check.verdict, check.hint) == (Verdict.BAD, HINTS["disk"])
        assert (await client.check("good morning")).answer == "allow", "it still answers"
        await asyncio.sleep(0.1)
        assert not (await client.ready()).ready
        # Nobody sends it anything: it finds out by itself.
        async with asyncio.timeout(20):
            while True:
                with suppress(StoreFullError):  # in one commit with what still fails
                    await limit(node.store, None)
                    break
            while not (await client.ready()).ready:
                await asyncio.sleep(0.01)
        assert await client.alerts() == []


async def test_a_failing_disk_is_tried_with_small_writes_until_one_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diskwatch, "PROBE_SECONDS", 0.01)
    watch = DiskWatch("acme.example")
    tried: list[int] = []

    class Disk:
        async def set_meta(self, _key: str, value: bytes) -> None:
            tried.append(len(value))
            if len(tried) < 3:
                raise StoreFullError("the disk is full")

    task = asyncio.create_task(watch.run(Disk()))
    await asyncio.sleep(0.05)
    assert tried == [], "while it works nothing is tried"
    watch.told(StoreFullError("the disk is full"))
    async with asyncio.timeout(20):
        while watch.reason or len(tried) < 4:
            await asyncio.sleep(0.005)
    assert min(tried[:3]) > 16_384, "what fits into a page in use would prove nothing"
    assert tried[3] == 0, "and nothing of it is kept"
    await asyncio.sleep(0.05)
    assert len(tried) == 4
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_doctor_goes_on_when_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TestNetwork.create(tmp_path / "net", 2)
    datadir = network.orgs[0].datadir

    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("orgnode.datadir.tempfile.TemporaryFile", full)
    found = {one.name: one.verdict for one in run_checks(datadir, None)}
    assert found["data directory"] is Verdict.BAD
    assert {"config", "keys", "genesis", "disk", "database", "node", "clock"} <= set(found)
    assert found["genesis"] is not Verdict.SKIPPED
