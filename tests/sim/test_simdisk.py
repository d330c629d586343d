"""The simulated disk: durable later, acknowledged after that, and a crash in between."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mesh.testing.virtualtime import Machine, VirtualLoop
from orgnode.store.errors import StoreClosedError, StoreFullError
from orgnode.testing.simdisk import SimDisk, SimWriter


class Bench:
    """A disk with one table."""

    def __init__(self, seed: int = 0, image: bytes = b"") -> None:
        self.loop = VirtualLoop(seed)
        self.disk = SimDisk(self.loop, Random(seed), image)
        connection = self.disk.connect(Path("nowhere"))
        connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, data BLOB)")
        self.writer: SimWriter = self.disk.writer(connection)

    async def put(self, n: int, data: bytes = b"") -> int:
        def run(connection: sqlite3.Connection) -> int:
            connection.execute("INSERT INTO t VALUES (?, ?)", (n, data))
            return n

        return await self.writer.write(run)

    def stored(self) -> list[int]:
        return [n for (n,) in self.disk.database.execute("SELECT n FROM t ORDER BY n")]

    def play(self, scenario: Callable[["Bench"], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            return await scenario(self)

        try:
            return self.loop.run(main())
        finally:
            self.writer.abandon()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_write_takes_time_and_is_there(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        task = asyncio.create_task(bench.put(1))
        await asyncio.sleep(1e-5)
        assert (bench.stored(), bench.writer.pending()) == ([], 1)
        assert await task == 1
        assert bench.stored() == [1]
        assert 0 < bench.loop.now < 0.1
        bench.disk.slowness = 3.0
        await bench.put(2)
        assert bench.loop.now > 3.0

    bench.play(scenario)


def test_what_waits_shares_the_next_commit(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        bench.disk.slowness = 1.0
        assert await asyncio.gather(*(bench.put(n) for n in range(50))) == list(range(50))
        assert bench.loop.now < 3.0
        assert bench.disk.most_waiting == 50

    bench.play(scenario)


def test_one_that_fails_fails_alone(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        done = await asyncio.gather(
            bench.put(1), bench.put(1), bench.put(2), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in done) == ["StoreError", "int", "int"]
        assert bench.stored() == [1, 2]

    bench.play(scenario)


def test_a_crash_loses_the_end_and_keeps_the_beginning() -> None:
    kept = set()
    lost: dict[str, int] = {}
    for seed in range(30):
        bench = Bench(seed)

        async def scenario(bench: Bench) -> list[int]:
            told: list[int] = []

            places = count()

            async def put() -> None:
                told.append(await bench.put(next(places)))

            machine = Machine("a", bench.loop)
            bench.disk.slowness = 1.0
            for _ in range(6):
                machine.start(put())
            await asyncio.sleep(0.5)
            machine.kill()
            bench.disk.crash()
            await asyncio.sleep(10)
            return told

        assert bench.play(scenario) == []
        stored = bench.stored()
        assert stored == list(range(len(stored)))
        kept.add(len(stored))
        for what, times in bench.disk.met.items():
            lost[what] = lost.get(what, 0) + times
    assert min(kept) == 0
    assert max(kept) == 6
    assert lost["acknowledgement lost in a crash"] > 5
    assert lost["write lost in a crash"] > 5


def test_what_was_acknowledged_is_there_after_a_crash() -> None:
    for seed in range(20):
        bench = Bench(seed)

        async def scenario(bench: Bench) -> list[int]:
            told: list[int] = []

            async def put() -> None:
                for n in range(100):
                    told.append(await bench.put(n))

            machine = Machine("a", bench.loop)
            machine.start(put())
            await asyncio.sleep(0.1)
            machine.kill()
            bench.disk.crash()
            return told

        told = bench.play(scenario)
        stored = bench.stored()
        assert told
        assert stored[: len(told)] == told
        assert len(stored) <= len(told) + 1


def test_a_full_disk_says_so_and_recovers(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.put(1)
        bench.disk.fill(True)
        with pytest.raises(StoreFullError):
            await bench.put(2, bytes(100_000))
        assert bench.stored() == [1]
        bench.disk.fill(False)
        await bench.put(3, bytes(100_000))
        assert bench.stored() == [1, 3]
        assert bench.disk.met["StoreFullError"] == 1

    bench.play(scenario)


def test_close_writes_what_waits(bench: Bench) -> None:
    async def scenario(bench: Bench) -> None:
        task = asyncio.create_task(bench.put(1))
        await asyncio.sleep(1e-5)
        bench.writer.close()
        assert await task == 1
        with pytest.raises(StoreClosedError):
            await bench.put(2)

    bench.play(scenario)
    assert bench.stored() == [1]


def test_an_image_holds_what_is_durable(bench: Bench) -> None:
    async def scenario(bench: Bench) -> bytes:
        await bench.put(1)
        waiting = asyncio.create_task(bench.put(2))
        await asyncio.sleep(1e-5)
        image = bench.disk.image()
        await waiting
        return image

    image = bench.play(scenario)
    assert (Bench(image=image).stored(), bench.stored()) == ([1], [1, 2])
    bench.disk.replace(image)
    assert bench.stored() == [1]
