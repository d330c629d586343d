"""What the simulator found in the nodes, each as a test of the one thing that was wrong."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.accusation import compose_accusation
from mesh.entry import Kind
from mesh.evidence import split_evidence
from mesh.testing import TODAY, OrgLog, make_mesh
from mesh.wire import BodyAnswer
from orgnode.federation.chasing import Chaser
from orgnode.federation.followed import LogEvents
from orgnode.federation.hooks import Hooks
from orgnode.federation.limits import Rhythm
from orgnode.federation.recovery import Recovery
from orgnode.federation.sync import LogSync
from orgnode.store import SqliteStore
from orgnode.testing.simnode import SimWorkers
from orgnode.testing.simsuite import run_seed

WORLD = make_mesh(4)
OWN, PEER, *_ = (member.name for member in WORLD.members)


def nothing(*_: object) -> None:
    return None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore.open(tmp_path / "node.db", name=OWN, mesh_id=WORLD.mesh.mesh_id) as opened:
        yield opened


def sync_of(name: str, store: SqliteStore) -> LogSync:
    return LogSync(
        member=WORLD.member(name).card,
        mesh=WORLD.mesh,
        store=store,
        workers=SimWorkers(),
        today=lambda: TODAY,
        events=LogEvents(nothing, nothing, nothing, nothing),
        limited=False,
    )


async def test_a_nearer_checkpoint_does_not_make_one_forget_a_larger(store: SqliteStore) -> None:
    # A node that was put back to an old disk heard of 12 own entries, then was shown checkpoints of
    # 7 and of 6 while it fetched. It took itself for whole at 7, and signed another eighth entry.
    log, sync = OrgLog(WORLD, PEER), sync_of(PEER, store)
    log.append_signals(12)
    for size in (12, 7, 6):
        await sync.consider(log.checkpoint(size))
    assert sync.known_size == 12


async def test_an_accusation_that_waited_is_read_once_the_one_before_it_is(
    store: SqliteStore,
) -> None:
    # A member accused two logs; of the first accusation a node lacked the body. When that came, it
    # read the first and never looked at the second again, whose body it had all the time.
    log, sync = OrgLog(WORLD, PEER), sync_of(PEER, store)
    for accused in (2, 3):
        roots = [OrgLog(WORLD, accused).sign_root(7, bytes([fill]) * 32) for fill in (0, 1)]
        evidence = split_evidence(WORLD.mesh, WORLD.member(accused).name, *roots)
        log.append(Kind.EVIDENCE, bytes([accused]) * 32, compose_accusation(evidence))
    withheld = log.withhold_body(0)
    await sync.on_announce(log.announcement(0, certified=False))

    def outcomes() -> list[str]:
        return [str(record.outcome) for record in store.records(PEER, 0, 2)]

    assert outcomes() == ["deferred", "deferred"]
    assert store.first_missing(PEER) == 0

    async def bodies(name: str, start: int, end: int) -> list[BodyAnswer]:
        assert (start, end) == (0, 1)
        return [withheld]

    source = SimpleNamespace(card=WORLD.member(OWN).card, bodies=bodies)
    assert await sync.retry_bodies([source]) == 2  # type: ignore[list-item]
    assert outcomes() == ["accepted", "accepted"]


async def test_an_accusation_that_waited_is_read_after_a_restart(store: SqliteStore) -> None:
    # The same, had the node stopped in between.
    looks = []

    async def retry(sources: list[object]) -> int:
        looks.append(len(sources))
        return 1

    chaser = Chaser(
        sync=SimpleNamespace(name=PEER, size=2, retry_bodies=retry),  # type: ignore[arg-type]
        store=store,
        clients={},
        rhythm=Rhythm(),
        jitter=Random(0),
        contacts=SimpleNamespace(),  # type: ignore[arg-type]
        hooks=Hooks(),
    )
    assert await chaser._bodies() is None
    assert looks == [0]
    assert not chaser._missing


async def test_recovery_is_not_over_while_what_it_was_told_of_lacks(store: SqliteStore) -> None:
    # The same, should the follower forget for any other reason: it starts anew after every error.
    log = OrgLog(WORLD, OWN)
    log.append_signals(12)

    async def seen(name: str) -> bytes:
        return log.checkpoint()

    async def exchange(peer: str) -> tuple[Any, ...]:
        return ()

    async def forgetful(note: bytes) -> None:
        return None

    own = SimpleNamespace(size=6, known_size=6, remember=forgetful)
    recovery = Recovery(
        mesh=WORLD.mesh,
        name=OWN,
        store=store,
        own=own,  # type: ignore[arg-type]
        chaser=SimpleNamespace(),  # type: ignore[arg-type]
        syncs={},
        clients={PEER: SimpleNamespace(seen=seen)},  # type: ignore[dict-item]
        exchange=exchange,
        hooks=Hooks(),
        rhythm=Rhythm(),
        jitter=SimpleNamespace(),  # type: ignore[arg-type]
    )
    await recovery._hear(PEER)
    assert recovery.lacking == 6


def test_a_clock_that_was_ahead_for_a_while_puts_no_body_off() -> None:
    # A body was missing while the clock was ten hours ahead; asked for again in seconds, by that
    # clock, it was due the next morning. As found: the rule is about the whole node.
    assert run_seed(20_151).rule == ""
