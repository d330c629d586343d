"""Promotion: enough owners, own windows only, one member at a time, and nothing lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from desk_support import ATTACK, TURN, Desk, WorkerPool, a_world, desks, incident, prose

from mesh.days import Day
from mesh.entry import Kind
from mesh.promotion import MAX_PROMOTED, verify_promotion
from mesh.signal import SignalDraft, parse_signal
from mesh.testing import TODAY, TestMesh
from mesh.token import token_hex
from orgnode import promoting
from orgnode.evaluating import CommitteeUnreachableError
from orgnode.federation.errors import RecoveringError
from orgnode.ownlog import Draft
from orgnode.vault import Incident, Vault

LATER = 100.0


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool()
    yield made
    made.close()


@pytest.fixture(scope="module")
def world() -> TestMesh:
    """Six members, each with another owner; the last three have the seats."""
    return a_world()


@pytest.fixture
async def desk(world: TestMesh, pool: WorkerPool, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desks(world, tmp_path, pool.of(world), certified=True) as (made,):
        yield made


async def promote(desk: Desk) -> float | None:
    """Let everything that waits for its turn come to it."""
    await desk.promoter.promote_due()
    desk.clock[0] += LATER
    return await desk.promoter.promote_due()


def evidence(desk: Desk) -> set[tuple[str, ...]]:
    """The different evidence in the promotions of the own log."""
    return {window.sources for body in desk.promotions() for window in body.windows}


# --- what is promoted


async def test_tokens_of_enough_owners_are_promoted(desk: Desk) -> None:
    own = await desk.report()
    others = await desk.met_by(own, 1, 2)
    assert await promote(desk) is None
    (body,) = desk.promotions()
    verify_promotion(desk.world.mesh, body)
    inputs = sorted(given.hex() for given in desk.fingerprint(ATTACK).inputs)
    assert [window.input for window in body.windows] == inputs
    assert {window.token for window in body.windows} == set(desk.tokens(own))
    assert evidence(desk) == {tuple(sorted([own, *others]))}
    assert desk.store.promoted_tokens(desk.tokens(own)) == set(desk.tokens(own))
    held = desk.store.promotions(inputs)
    assert set(held) == set(inputs)
    metric = desk.metrics.registry.get_sample_value("orgnode_promoted_windows_total")
    assert metric == len(inputs)


async def test_once_is_enough(desk: Desk) -> None:
    await desk.met_by(await desk.report(), 1, 2)
    await promote(desk)
    size, asked = desk.size, desk.seats.asked
    assert await promote(desk) is None
    desk.promoter = desk.make_promoter()
    assert await promote(desk) is None
    assert (desk.size, desk.seats.asked) == (size, asked)


async def test_what_no_quorum_holds_is_not_promoted(
    world: TestMesh, pool: WorkerPool, tmp_path: Path
) -> None:
    """An own signal that may yet be lost reserves no place among the evidence."""
    async with desks(world, tmp_path, pool.of(world)) as (desk,):
        await desk.met_by(await desk.report(), 1, 2)
        asked = desk.seats.asked
        assert await promote(desk) is None
        assert (desk.promotions(), desk.seats.asked) == ([], asked)
        await desk.certify()
        await promote(desk)
        assert len(desk.promotions()) == 1


async def test_what_waits_for_a_quorum_is_not_promoted_again(
    world: TestMesh, pool: WorkerPool, tmp_path: Path
) -> None:
    """Members may be away for hours, and each promotion costs the committee's budget."""
    async with desks(world, tmp_path, pool.of(world)) as (desk,):
        own = await desk.report()
        await desk.certify()
        await desk.met_by(own, 1, 2)
        await promote(desk)
        assert len(desk.promotions()) == 1
        asked = desk.seats.asked
        assert desk.store.promoted_tokens(desk.tokens(own)) == set()
        await promote(desk)
        desk.promoter = desk.make_promoter()
        await promote(desk)
        assert (len(desk.promotions()), desk.seats.asked) == (1, asked)
        await desk.certify()
        assert desk.store.promoted_tokens(desk.tokens(own)) == set(desk.tokens(own))
        await promote(desk)
        assert (len(desk.promotions()), desk.seats.asked) == (1, asked)


async def test_too_few_owners(desk: Desk) -> None:
    own = await desk.report()
    await desk.met_by(own, 1)
    asked = desk.seats.asked
    assert await promote(desk) is None
    assert desk.promotions() == []
    assert desk.seats.asked == asked, "the committee is not asked in vain"
    await desk.met_by(own, 2)
    await promote(desk)
    assert len(desk.promotions()) == 1


async def test_members_of_one_owner_are_one_source(pool: WorkerPool, tmp_path: Path) -> None:
    world = a_world(owners={1: "holding", 2: "holding", 3: "holding"})
    async with desks(world, tmp_path, pool.of(world), certified=True) as (desk,):
        own = await desk.report()
        theirs = await desk.met_by(own, 1, 2, 3)
        await promote(desk)
        assert desk.promotions() == []
        (fifth,) = await desk.met_by(own, 4)
        await promote(desk)
        assert evidence(desk) == {tuple(sorted([own, min(theirs), fifth]))}


async def test_members_of_the_own_owner_are_no_further_source(
    pool: WorkerPool, tmp_path: Path
) -> None:
    world = a_world(owners={0: "holding", 1: "holding", 2: "holding"})
    async with desks(world, tmp_path, pool.of(world), certified=True) as (desk,):
        await desk.met_by(await desk.report(), 1, 2, 3)
        await promote(desk)
        assert desk.promotions() == []


async def test_the_evidence_has_one_direct_signal_of_each_owner(desk: Desk) -> None:
    own = await desk.report()
    twice = await desk.met_by(own, 1, 1)
    await desk.met_by(own, 2, 3, direct=False)
    await promote(desk)
    assert desk.promotions() == [], "what was derived from another signal is no source"
    (direct,) = await desk.met_by(own, 2)
    await promote(desk)
    assert evidence(desk) == {tuple(sorted([own, min(twice), direct]))}


async def test_benign_windows_are_not_promoted(desk: Desk) -> None:
    inputs = desk.fingerprint(ATTACK).inputs
    desk.benign.update(inputs[:3])
    own = await desk.report()
    await desk.met_by(own, 1, 2)
    await promote(desk)
    (body,) = desk.promotions()
    assert {window.input for window in body.windows} == {given.hex() for given in inputs[3:]}


async def test_nothing_but_benign_windows(desk: Desk) -> None:
    desk.benign.update(desk.fingerprint(ATTACK).inputs)
    await desk.met_by(await desk.report(), 1, 2)
    asked = desk.seats.asked
    assert await promote(desk) is None
    assert (desk.promotions(), desk.seats.asked) == ([], asked)


async def test_what_another_member_promoted_is_not_promoted_again(desk: Desk) -> None:
    own = await desk.report()
    others = await desk.met_by(own, 1, 2)
    inputs = desk.fingerprint(ATTACK).inputs
    await desk.knowledge.promote(1, inputs[1:], [own, *others])
    await promote(desk)
    (body,) = desk.promotions()
    assert [window.input for window in body.windows] == [inputs[0].hex()]


async def test_a_short_text_is_never_promoted(desk: Desk) -> None:
    own = await desk.report("open the pod bay doors")
    await desk.met_by(own, 1, 2)
    assert await promote(desk) is None
    assert desk.promotions() == []


async def test_an_erased_incident_is_not_promoted(desk: Desk) -> None:
    published = await desk.publisher.report(incident())
    await desk.met_by(published.entry_id, 1, 2)
    await desk.vault.erase(published.incident_id)
    assert await promote(desk) is None
    assert desk.promotions() == []


async def test_an_incident_that_does_not_open_holds_up_no_other(desk: Desk) -> None:
    foreign = desk.make_publisher(vault=Vault(desk.store, b"\xff" * 32))
    damaged = await desk.report(prose(1), foreign)
    whole = await desk.report()
    for own in (damaged, whole):
        await desk.met_by(own, 1, 2)
    await promote(desk)
    assert desk.store.promoted_tokens(desk.tokens(whole)) == set(desk.tokens(whole))
    assert desk.store.promoted_tokens(desk.tokens(damaged)) == set()


async def test_different_evidence_goes_into_different_promotions(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.promoter, "_turn", 0.0)
    first, second = await desk.report(), await desk.report(prose(1))
    await desk.met_by(first, 1, 2)
    await desk.met_by(second, 2, 3)
    await promote(desk)
    for body in desk.promotions():
        verify_promotion(desk.world.mesh, body)
        assert len({window.sources for window in body.windows}) == 1
    assert len(evidence(desk)) == 2
    both = desk.tokens(first) + desk.tokens(second)
    assert desk.store.promoted_tokens(both) == set(both)


# --- how large it becomes


async def test_a_promotion_is_no_longer_than_peers_take(pool: WorkerPool, tmp_path: Path) -> None:
    world = a_world(max_body_bytes=8_192)
    async with desks(world, tmp_path, pool.of(world), (0, 1), certified=True) as (desk, peer):
        own = await desk.report(prose(2))
        tokens = desk.tokens(own)
        assert len(tokens) == MAX_PROMOTED
        await desk.met_by(own, 1, 2)
        before = desk.seats.asked
        await promote(desk)
        parts = len(desk.promotions())
        assert parts > 1
        asked = desk.seats.asked - before
        assert asked == parts * desk.world.committee.threshold, "nothing is evaluated in vain"
        assert desk.store.promoted_tokens(tokens) == set(tokens)
        await desk.deliver(peer)
        assert peer.store.promoted_tokens(tokens) == set(tokens)


async def test_the_evidence_is_cut_but_not_below_what_it_takes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await desk.report()
    others = await desk.met_by(own, 1, 2, 3, 4)
    everyone = sorted([own, *others])
    monkeypatch.setattr(promoting, "MAX_SOURCES", 4)
    inputs = [given.hex() for given in desk.fingerprint(ATTACK).inputs]
    desk.benign.update(bytes.fromhex(given) for given in inputs[1:])
    await promote(desk)
    monkeypatch.setattr(promoting, "MAX_SOURCES", 1)
    desk.benign.clear()
    await promote(desk)
    assert evidence(desk) == {tuple(everyone[:4]), tuple(everyone[:3])}


async def test_what_takes_more_sources_than_a_promotion_names_is_not_promoted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could count such a promotion for anything."""
    monkeypatch.setattr(promoting, "MAX_PROMOTED_SOURCES", 2)
    await desk.met_by(await desk.report(), 1, 2)
    asked = desk.seats.asked
    assert await promote(desk) is None
    assert (desk.promotions(), desk.seats.asked) == ([], asked)


# --- whose turn it is


async def all_three(world: TestMesh, made: list[Desk], text: str = ATTACK) -> list[str]:
    """Three members met a text, and each knows of the others."""
    ids = [await one.report(text) for one in made]
    for one in made:
        await one.deliver(*(other for other in made if other is not one))
    return ids


async def test_members_take_turns(world: TestMesh, pool: WorkerPool, tmp_path: Path) -> None:
    async with desks(world, tmp_path, pool.of(world), (0, 1, 2), certified=True) as made:
        ids = await all_three(world, made)
        waits = [await one.promoter.promote_due() for one in made]
        assert sorted(waits, key=lambda wait: wait or 0.0) == [None, TURN, 2 * TURN]
        first = made[waits.index(None)]
        second, third = made[waits.index(TURN)], made[waits.index(2 * TURN)]
        assert [len(one.promotions()) for one in (first, second, third)] == [1, 0, 0]
        assert evidence(first) == {tuple(sorted(ids))}
        # Only one of those that wait has heard of it.
        await first.deliver(third)
        for one in (second, third):
            one.clock[0] = TURN - 0.5
            await one.promoter.promote_due()
            assert one.promotions() == [], "before its time"
            one.clock[0] = 2 * TURN
            assert await one.promoter.promote_due() is None
        assert [len(one.promotions()) for one in (second, third)] == [1, 0]


async def test_the_order_follows_from_the_evidence(
    world: TestMesh, pool: WorkerPool, tmp_path: Path
) -> None:
    async with desks(world, tmp_path, pool.of(world), (0, 1, 2), certified=True) as made:
        first: set[str] = set()
        for seed in range(16):
            await all_three(world, made, prose(seed, 60))
            before = [len(one.promotions()) for one in made]
            for one in made:
                await one.promoter.promote_due()
            after = [len(one.promotions()) for one in made]
            (chosen,) = (place for place in range(3) if after[place] > before[place])
            first.add(made[chosen].name)
            if len(first) > 1:
                return
            await made[chosen].deliver(*(one for one in made if one is not made[chosen]))
        pytest.fail("always the same member")


async def test_evidence_that_went_away_and_came_again_waits_again(
    pool: WorkerPool, tmp_path: Path
) -> None:
    world = a_world(cooldown_days=0)  # what was retracted may come again at once
    async with desks(world, tmp_path, pool.of(world), certified=True) as (desk,):
        await waits_again(desk)


async def waits_again(desk: Desk) -> None:
    for seed in range(24):  # ids are random, and so is the turn: until it is not the first
        text = prose(seed, 60)
        own = await desk.report(text)
        await desk.met_by(own, 1, 2)
        if await desk.promoter.promote_due() is None:
            continue
        before = len(desk.promotions())
        await desk.publisher.retract(own, "mistake")
        assert await desk.promoter.promote_due() is None
        desk.clock[0] += LATER
        await desk.report(text)
        wait = await desk.promoter.promote_due()
        if wait is not None:
            assert wait >= TURN
            assert len(desk.promotions()) == before
            return
        assert len(desk.promotions()) == before + 1
    pytest.fail("it never had to wait")


async def test_who_is_not_among_the_evidence_comes_last(desk: Desk) -> None:
    """A signal derived from another one may hold a token; its issuer leaves the turn to others."""
    inputs = desk.fingerprint(ATTACK).inputs
    scalars = await desk.evaluator.scalars(inputs, 10.0)
    draft = SignalDraft(
        category="ncr",
        technique="AML.T0054",
        token_scalars=tuple(scalars),
        components=(6, 5, 5, 5),
        derived_from="ab" * 32,
    )
    salt, composed = await desk.workers.compose(desk.name, draft)
    windows = tuple(
        (token_hex(scalar), given.hex()) for scalar, given in zip(scalars, inputs, strict=True)
    )
    kept = Incident(
        id=Vault.new_id(), text=ATTACK, components=draft.components, salt=salt,
        blindings=composed.blindings, category="ncr", technique="AML.T0054", confidence=80,
        barrier=None, entry_id=None, day=TODAY, windows=windows,
    )  # fmt: skip
    own = await desk.own_log.append(
        Draft(
            kind=Kind.SIGNAL,
            expires=Day(TODAY + 90),
            body=composed.body,
            salt=salt,
            signal=parse_signal(composed.body),
            seal=lambda entry_id: desk.vault.seal(replace(kept, entry_id=entry_id)),
        )
    )
    others = await desk.met_by(own.entry_id, 1, 2, 3)
    assert await desk.promoter.promote_due() == 3 * TURN
    desk.clock[0] = 3 * TURN
    await desk.promoter.promote_due()
    assert evidence(desk) == {tuple(sorted(others))}


# --- what goes wrong


async def test_an_unreachable_committee_costs_nothing_but_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.promoter, "_turn", 0.0)
    own = await desk.report()
    await desk.met_by(own, 1, 2)
    size = desk.size
    desk.seats.down |= desk.seats.names
    with pytest.raises(CommitteeUnreachableError):
        await desk.promoter.promote_due()
    assert desk.size == size
    desk.seats.down.clear()
    assert await desk.promoter.promote_due() is None
    assert desk.store.promoted_tokens(desk.tokens(own)) == set(desk.tokens(own))


async def test_a_started_promoter_finds_what_is_due_and_tries_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promoting, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(promoting, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(desk.promoter, "_turn", 0.0)
    tried = asyncio.Event()
    true = desk.promoter.promote_due

    async def promote_due() -> float | None:
        try:
            return await true()
        except CommitteeUnreachableError:
            tried.set()
            raise

    monkeypatch.setattr(desk.promoter, "promote_due", promote_due)
    own = await desk.report()
    await desk.met_by(own, 1, 2)
    desk.seats.down |= desk.seats.names
    desk.promoter.start()
    try:
        async with asyncio.timeout(20):
            while not tried.is_set():
                await asyncio.sleep(0.01)
            assert desk.promotions() == []
            desk.seats.down.clear()
            while not desk.store.promoted_tokens(desk.tokens(own)):
                await asyncio.sleep(0.01)
    finally:
        await desk.promoter.stop()
    assert desk.store.promoted_tokens(desk.tokens(own)) == set(desk.tokens(own))


async def test_a_running_promoter_hears_of_news_and_waits_for_its_turn(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promoting, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(desk.promoter, "_turn", 0.01)
    monkeypatch.setattr(desk.promoter, "_clock", asyncio.get_running_loop().time)
    desk.promoter.start()
    try:
        await desk.met_by(await desk.report(), 1, 2)
        desk.promoter.notify()
        async with asyncio.timeout(20):
            while not desk.promotions():
                await asyncio.sleep(0.01)
    finally:
        await desk.promoter.stop()
        await desk.promoter.stop()
    assert len(desk.promotions()) == 1


async def test_a_log_that_takes_nothing_yet_asks_nobody(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that still learns about its own past signs nothing; then it is told that it may."""
    monkeypatch.setattr(promoting, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(desk.promoter, "_turn", 0.0)
    await desk.met_by(await desk.report(), 1, 2)
    asked = desk.seats.asked
    desk.own_log.halt(RecoveringError("not yet"))
    with pytest.raises(RecoveringError):
        await desk.promoter.promote_due()
    tried = asyncio.Event()
    true = desk.promoter.promote_due

    async def promote_due() -> float | None:
        tried.set()
        return await true()

    monkeypatch.setattr(desk.promoter, "promote_due", promote_due)
    desk.promoter.start()
    try:
        async with asyncio.timeout(20):
            await tried.wait()
            assert desk.seats.asked == asked
            monkeypatch.setattr(desk.own_log, "_halted", None)
            desk.promoter.notify()
            while not desk.promotions():
                await asyncio.sleep(0.01)
    finally:
        await desk.promoter.stop()
