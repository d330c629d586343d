"""Warning because of another's signal: what may be published, and what others' claims are worth."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from desk_support import ATTACK, Desk, WorkerPool, a_world, desks, incident, prose

from mesh.dampening import DampenedAwayError
from mesh.evidence import Evidence, EvidenceKind
from mesh.matching import Finding, Matched, Source, judge
from mesh.testing import TestMesh
from orgnode.derived import (
    DampenedEvents,
    DeadParentError,
    ProvisionalParentError,
    UnknownParentError,
    derived_confidence,
    shown_signal,
)
from orgnode.feed import FeedHub
from orgnode.incidents import IncidentInput
from orgnode.metrics import Metrics
from orgnode.store import FeedFilter, SignalRecord
from orgnode.testing.knowledge import certificate_of

OTHER, THIRD = 1, 2


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool()
    yield made
    made.close()


@pytest.fixture(scope="module")
def world() -> TestMesh:
    return a_world()


@pytest.fixture
async def desk(world: TestMesh, pool: WorkerPool, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desks(world, tmp_path, pool.of(world)) as (made,):
        yield made


def token(place: int) -> str:
    """Any token."""
    return f"{place:064x}"


def derived(parent: str, **changes: Any) -> IncidentInput:
    return incident(ATTACK, derived_from=parent, **changes)


def record(desk: Desk, entry_id: str) -> SignalRecord:
    found = desk.store.signal(entry_id)
    assert found is not None
    return found


async def certify(desk: Desk) -> None:
    """A quorum has cosigned all of the own log."""
    state = desk.store.state(desk.name)
    root = state.frontier.root()
    note = certificate_of(desk.world, desk.name, state.size, root)
    await desk.store.certify(desk.name, note, state.size, root)


# --- publishing


@pytest.mark.parametrize(
    ("parent", "wanted", "published"),
    [(80, 80, 64), (100, 95, 80), (100, 70, 70), (63, 80, 50), (80, 50, 50)],
)
async def test_a_warning_has_at_most_what_its_parent_allows(
    desk: Desk, parent: int, wanted: int, published: int
) -> None:
    known = await desk.knowledge.signal(OTHER, [token(1)], confidence=parent)
    made = await desk.publisher.report(derived(known, confidence=wanted))
    assert made.confidence == published
    signal = record(desk, made.entry_id)
    assert (signal.confidence, signal.derived_from, signal.direct) == (published, known, False)
    kept = desk.vault.of_signal(made.entry_id)
    assert kept is not None
    assert kept.confidence == published


async def test_a_warning_about_a_warning_ends(desk: Desk) -> None:
    parent = await desk.knowledge.signal(OTHER, [token(1)], confidence=80)
    for text, published in ((prose(1, 300), 64), (prose(2, 300), 51)):
        made = await desk.publisher.report(incident(text, derived_from=parent))
        assert made.confidence == published
        await certify(desk)
        parent = made.entry_id
    asked, size = desk.seats.asked, desk.size
    with pytest.raises(DampenedAwayError, match="not passed on"):
        await desk.publisher.report(derived(parent, reference="case"))
    assert (desk.seats.asked, desk.size) == (asked, size), "nothing was asked or published"
    assert desk.vault.find("case") is None


async def test_less_than_the_floor_is_not_passed_on_by_wish_either(desk: Desk) -> None:
    parent = await desk.knowledge.signal(OTHER, [token(1)])
    with pytest.raises(DampenedAwayError):
        await desk.publisher.report(derived(parent, confidence=49))
    assert (desk.seats.asked, desk.size) == (0, 0)


async def test_a_direct_incident_claims_what_it_likes(desk: Desk) -> None:
    made = await desk.publisher.report(incident(ATTACK, confidence=7))
    assert made.confidence == 7
    signal = record(desk, made.entry_id)
    assert (signal.confidence, signal.direct, signal.derived_from) == (7, True, None)


async def test_the_parent_must_be_known_live_and_certified(desk: Desk) -> None:
    own = (await desk.publisher.report(incident(prose(1, 300)))).entry_id
    gone = await desk.knowledge.signal(OTHER, [token(1)])
    await desk.knowledge.retract(OTHER, gone)
    accused = await desk.knowledge.signal(THIRD, [token(2)])
    log = desk.world.member(THIRD).name
    evidence = Evidence(EvidenceKind.SPLIT, log, b"one note", b"another")
    await desk.store.save_state(log, replace(desk.store.state(log), evidence=evidence))
    asked, size = desk.seats.asked, desk.size
    for parent, error, hint in (
        ("ab" * 32, UnknownParentError, "orgnode signals"),
        (gone, DeadParentError, "met the attack yourself"),
        (accused, DeadParentError, "met the attack yourself"),
        (own, ProvisionalParentError, "orgnode show"),
    ):
        with pytest.raises(error) as raised:
            await desk.publisher.report(derived(parent))
        assert hint in raised.value.hint
        assert parent in str(raised.value)
    assert (desk.seats.asked, desk.size) == (asked, size)
    await certify(desk)
    assert (await desk.publisher.report(derived(own))).confidence == 64


async def test_the_same_warning_reported_twice_is_one(desk: Desk) -> None:
    parent = await desk.knowledge.signal(OTHER, [token(1)])
    first = await desk.publisher.report(derived(parent, reference="case"))
    again = await desk.publisher.report(derived(parent, reference="case"))
    assert (again.entry_id, again.duplicate, again.confidence) == (first.entry_id, True, 64)


async def test_a_warning_is_no_source(desk: Desk) -> None:
    """Else warnings would confirm each other until a text that one organization met is blocked."""
    first = (await desk.publisher.report(incident(ATTACK))).entry_id
    await certify(desk)
    tokens = desk.tokens(first)
    for place in (OTHER, THIRD, 3, 4):
        await desk.knowledge.signal(place, tokens, parent=first, confidence=64)
    sources = desk.store.sources(tokens)
    assert {len(sources[one]) for one in tokens} == {5}
    matched = [
        Matched(
            one,
            tuple(
                Source(
                    signal=row.signal,
                    issuer=row.issuer,
                    control_group=row.issuer,
                    band_level=row.band_level,
                    category=row.category,
                    age_seconds=1e9,
                    direct=row.direct,
                    confirmed=True,
                )
                for row in sources[one]
            ),
        )
        for one in tokens
    ]
    judged = judge(desk.world.mesh.constraints, [matched], exact=False)
    assert judged.finding is Finding.ESCALATE
    assert {one.control_groups for one in judged.tokens} == {(desk.name,)}


# --- what others claim


@pytest.mark.parametrize(
    ("parent", "claimed", "shown"), [(80, 64, 64), (80, 65, 64), (100, 80, 80), (50, 80, 40)]
)
async def test_a_claim_beyond_its_parent_is_shown_as_the_parent_allows(
    desk: Desk, parent: int, claimed: int, shown: int
) -> None:
    rules, store = desk.world.mesh.constraints, desk.store
    known = await desk.knowledge.signal(OTHER, [token(1)], confidence=parent)
    made = await desk.knowledge.signal(THIRD, [token(2)], parent=known, confidence=claimed)
    signal = shown_signal(rules, store, record(desk, made))
    assert signal["confidence"] == shown
    assert signal.get("claimed_confidence") == (None if shown == claimed else claimed)
    # In the feed too, from its first event on.
    events = DampenedEvents(rules, store).events(0, FeedFilter(), 10)
    told = [event.data["signal"] for event in events if event.type == "signal"]
    assert [one["confidence"] for one in told] == [parent, shown]
    assert told[1] == signal
    assert len(store.events(0, FeedFilter(), 10)) == len(events)


async def test_nothing_is_held_against_a_parent_that_is_not_known(desk: Desk) -> None:
    rules, store = desk.world.mesh.constraints, desk.store
    orphan = await desk.knowledge.signal(THIRD, [token(2)], direct=False)
    direct = await desk.knowledge.signal(OTHER, [token(1)], confidence=99)
    for made, confidence in ((orphan, 80), (direct, 99)):
        assert shown_signal(rules, store, record(desk, made)) == record(desk, made).to_json()
        assert shown_signal(rules, store, record(desk, made))["confidence"] == confidence
    # Nor against one that was erased since: nobody knows any more what it allowed.
    known = await desk.knowledge.signal(OTHER, [token(3)], confidence=50)
    claim = await desk.knowledge.signal(THIRD, [token(4)], parent=known, confidence=80)
    assert shown_signal(rules, store, record(desk, claim))["confidence"] == 40
    await desk.knowledge.retract(OTHER, known)
    assert shown_signal(rules, store, record(desk, claim))["confidence"] == 80
    await desk.knowledge.retract(THIRD, claim)
    assert shown_signal(rules, store, record(desk, claim))["confidence"] is None


async def test_the_feed_is_read_through_it(desk: Desk) -> None:
    rules, store = desk.world.mesh.constraints, desk.store
    known = await desk.knowledge.signal(OTHER, [token(1)], confidence=80)
    await desk.knowledge.signal(THIRD, [token(2)], parent=known, confidence=80)
    events = DampenedEvents(rules, store)
    assert (events.first_seq(), events.last_seq()) == (store.first_seq(), store.last_seq())
    hub = FeedHub(events, Metrics(), max_subscribers=1)
    with hub.subscribe(FeedFilter(), 0) as subscription:
        batch = subscription.read()
    assert batch is not None
    assert b'"claimed_confidence":80' in batch.data
    assert b'"confidence":64' in batch.data
    hub.close()


def test_confidence_is_looked_up_where_parents_are(desk: Desk) -> None:
    with pytest.raises(UnknownParentError):
        derived_confidence(desk.world.mesh.constraints, desk.store, "cd" * 32, 80)
