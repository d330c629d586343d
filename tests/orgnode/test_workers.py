"""The worker processes: what they compute, and what happens when one of them dies."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from mesh.claims import Claim, claim_of, verify_claims
from mesh.signal import NoBandError, SignalDraft, parse_signal
from mesh.testing import make_mesh
from orgnode.workers import ENOUGH, MANY, SMALL_BATCH, WorkerDiedError, Workers
from proofs.errors import ProofsError
from proofs.holder import HolderProofError, token_of
from proofs.ristretto import Scalar, scalar

MESH = make_mesh(2).mesh
ISSUER = MESH.members[0].name


def secret(number: int) -> Scalar:
    return scalar(number + 1)


def draft(number: int = 0, **changes: object) -> SignalDraft:
    fields = {
        "category": "ncr",
        "technique": "AML.T0054",
        "token_scalars": (secret(number),),
        "components": (6, 5, 5, 5),
        **changes,
    }
    return SignalDraft(**fields)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def workers() -> AsyncIterator[Workers]:
    made = Workers(1, MESH.note)
    yield made
    await made.close()


def processes(workers: Workers) -> list[int]:
    assert workers._pool is not None
    return list(workers._pool._processes)


async def claim(workers: Workers, number: int = 0) -> Claim:
    salt, composed = await workers.compose(ISSUER, draft(number))
    return claim_of(MESH, ISSUER, parse_signal(composed.body), salt)


async def test_what_a_worker_composes_verifies_here(workers: Workers) -> None:
    made = await claim(workers)
    assert made.tokens == (token_of(secret(0)),)
    assert verify_claims([made], bytes(32)) == [None]
    one, two = await workers.compose(ISSUER, draft()), await workers.compose(ISSUER, draft())
    assert one[0] != two[0], "the salt is fresh each time"
    assert one[1].body != two[1].body


async def test_errors_come_back_as_they_were_raised(workers: Workers) -> None:
    with pytest.raises(NoBandError):
        await workers.compose(ISSUER, draft(components=(0, 0, 0, 0)))
    await workers.compose(ISSUER, draft())


@pytest.mark.parametrize("count", [2, SMALL_BATCH + 1])
async def test_a_batch_names_the_false_ones_in_order(workers: Workers, count: int) -> None:
    good = await claim(workers, 1)
    other = await claim(workers, 2)
    severity, holder = count - 1, 0
    claims = [good] * count
    claims[severity] = replace(good, proof=other.proof)
    claims[holder] = replace(good, holder_proof=other.holder_proof)
    verdicts = await workers.verify(claims)
    wrong = [place for place, verdict in enumerate(verdicts) if verdict is not None]
    assert wrong == [holder, severity]
    assert isinstance(verdicts[holder], HolderProofError)
    assert isinstance(verdicts[severity], ProofsError)
    assert not isinstance(verdicts[severity], HolderProofError)


async def test_what_waits_becomes_one_batch_with_each_callers_own_verdicts() -> None:
    batches: list[float] = []
    workers = Workers(1, MESH.note, verified=batches.append)
    try:
        good, other = await claim(workers, 1), await claim(workers, 2)
        false = replace(good, holder_proof=other.holder_proof)
        asked = [[good], [false, good], [good] * 3, [good, false], [other]]
        verdicts = await asyncio.gather(*map(workers.verify, asked))
        right = [[verdict is None for verdict in part] for part in verdicts]
        assert right == [[one is not false for one in claims] for claims in asked]
        assert len(batches) == 1
    finally:
        await workers.close()


async def test_under_load_a_batch_gathers_more_until_there_is_enough() -> None:
    batches: list[float] = []
    workers = Workers(1, MESH.note, verified=batches.append, gathering=60.0)
    try:
        good = await claim(workers)
        assert await workers.verify([good] * MANY) == [None] * MANY
        early = asyncio.create_task(workers.verify([good]))
        await asyncio.sleep(0.05)  # long enough for one to be verified alone
        assert not early.done()
        async with asyncio.timeout(30):
            assert await workers.verify([good] * (ENOUGH - 1)) == [None] * (ENOUGH - 1)
        assert await early == [None]
        assert len(batches) == 2
        # What comes while a batch is at work is enough by itself.
        both = await asyncio.gather(*(workers.verify([good] * ENOUGH) for _ in range(2)))
        assert both == [[None] * ENOUGH] * 2
    finally:
        await workers.close()


async def test_gathering_comes_to_an_end() -> None:
    workers = Workers(1, MESH.note, gathering=0.01)
    try:
        good = await claim(workers)
        await workers.verify([good] * MANY)
        async with asyncio.timeout(30):
            assert await workers.verify([good]) == [None]
    finally:
        await workers.close()


async def test_nobody_waits_where_little_is_to_be_done() -> None:
    workers = Workers(1, MESH.note, gathering=3600.0)
    try:
        good = await claim(workers)
        async with asyncio.timeout(30):
            for _ in range(3):
                assert await workers.verify([good] * (MANY - 1)) == [None] * (MANY - 1)
    finally:
        await workers.close()


async def test_trouble_stays_with_who_brought_it(workers: Workers) -> None:
    good = await claim(workers)
    broken: list[Claim] = [object()] * 2  # type: ignore[list-item]
    first, *rest = await asyncio.gather(
        *map(workers.verify, ([good], broken, [good, good])), return_exceptions=True
    )
    assert first == [None]
    assert isinstance(rest[0], AttributeError)
    assert rest[1] == [None, None]


async def test_a_caller_that_goes_away_costs_the_others_nothing(workers: Workers) -> None:
    good = await claim(workers)
    calls = [asyncio.create_task(workers.verify([good] * 2)) for _ in range(4)]
    await asyncio.sleep(0)
    calls[0].cancel()
    calls[2].cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert [done[1], done[3]] == [[None, None]] * 2
    assert all(isinstance(done[i], asyncio.CancelledError) for i in (0, 2))


async def test_closing_ends_what_waits() -> None:
    workers = Workers(1, MESH.note)
    good = await claim(workers)
    calls = [asyncio.create_task(workers.verify([good] * 2)) for _ in range(3)]
    await asyncio.sleep(0)
    await workers.close()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in done)


async def test_a_killed_worker_costs_its_callers_nothing(workers: Workers) -> None:
    await workers.warm()
    (before,) = processes(workers)
    calls = [asyncio.create_task(workers.compose(ISSUER, draft(i))) for i in range(20)]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    os.kill(before, signal.SIGKILL)
    composed = await asyncio.gather(*calls)
    tokens = [parse_signal(made.body).tokens for _, made in composed]
    assert tokens == [(token_of(secret(number)).hex(),) for number in range(20)]
    assert before not in processes(workers)


async def test_a_call_that_kills_its_worker_is_given_up(workers: Workers) -> None:
    """It is tried twice and no more; others are served as before."""
    with pytest.raises(WorkerDiedError) as caught:
        await workers._in_pool(os._exit, 1)
    assert "memory" in caught.value.hint
    await workers.compose(ISSUER, draft())


async def test_what_is_heavy_holds_up_nothing_short(workers: Workers) -> None:
    go_on = threading.Event()
    heavy = [asyncio.create_task(workers.heavy(go_on.wait, 30)) for _ in range(5)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(5):
            assert await workers.run(sum, (1, 2)) == 3
            assert await workers.quick(sum, (1, 2)) == 3
        assert not any(one.done() for one in heavy)
    finally:
        go_on.set()
    assert await asyncio.gather(*heavy) == [True] * 5
