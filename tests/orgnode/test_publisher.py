"""Reporting, retracting and sighting: what is refused, when, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from desk_support import ATTACK, Desk, WorkerPool, a_world, desks, incident, prose

from mesh.constraints import UnknownBandError
from mesh.days import Day, format_day
from mesh.entry import Kind
from mesh.errors import MeshError
from mesh.fingerprint import EmptyTextError, NothingToPublishError, published_fingerprint
from mesh.retraction import RetractionFormatError
from mesh.sighting import SightingFormatError
from mesh.signal import NoBandError, SignalFormatError, parse_signal
from mesh.testing import TODAY, TestMesh, evaluated_scalars
from mesh.token import token_hex
from mesh.wire import Present
from orgnode import publisher as publisher_module
from orgnode.evaluating import CommitteeUnreachableError
from orgnode.publisher import (
    CooldownError,
    NotLiveError,
    NotYourSignalError,
    OwnSightingError,
    UnknownSignalError,
)
from orgnode.store import SignalStatus, StoreFullError
from proofs.severity import BelowThresholdError, ComponentRangeError, hint

SISTER = 1
"""A member with the same owner as this one."""
STRANGER = 2
PAIR = (0, STRANGER)


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool()
    yield made
    made.close()


@pytest.fixture(scope="module")
def world() -> TestMesh:
    """Six members, of which the first two have one owner; the last three have the seats."""
    return a_world(owners={0: "holding", SISTER: "holding"})


@pytest.fixture
async def desk(world: TestMesh, pool: WorkerPool, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desks(world, tmp_path, pool.of(world), certified=True) as (made,):
        yield made


# --- reporting


@pytest.mark.parametrize("text", [ATTACK, "open the pod bay doors"])
async def test_a_signal_has_the_tokens_of_its_text(desk: Desk, text: str) -> None:
    published = await desk.publisher.report(incident(text))
    fingerprint = desk.fingerprint(text)
    scalars = evaluated_scalars(desk.world, fingerprint.inputs)
    tokens = [token_hex(scalar) for scalar in scalars]
    assert desk.tokens(published.entry_id) == tuple(sorted(tokens))
    kept = desk.vault.of_signal(published.entry_id)
    assert kept is not None
    assert (kept.id, kept.text) == (published.incident_id, text)
    windows = zip(tokens, (given.hex() for given in fingerprint.inputs), strict=True)
    # A short text stands for itself: it can be guessed, so it is never promoted.
    assert kept.windows == (() if fingerprint.exact else tuple(windows))


async def test_the_hint_to_a_signals_proof_is_kept_for_its_announcement(desk: Desk) -> None:
    entry = await desk.report()
    (answer,) = desk.store.bodies(desk.own_log._name, 0, 1)
    assert isinstance(answer, Present)
    severity = parse_signal(answer.body).severity
    assert desk.own_log._hints.of(entry) == hint(severity.commitments, severity.proof)


async def test_a_long_text_has_the_same_tokens_from_a_thread(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = prose(3, 1_000)
    true, ran = desk.workers.run, []

    async def run(fn: Any, *args: Any, **kwargs: Any) -> Any:
        ran.append(fn)
        return await true(fn, *args, **kwargs)

    monkeypatch.setattr(desk.workers, "run", run)
    await desk.report()
    assert published_fingerprint not in ran
    own = await desk.report(text)
    assert ran.count(published_fingerprint) == 1, "everything else goes on meanwhile"
    scalars = evaluated_scalars(desk.world, desk.fingerprint(text).inputs)
    assert desk.tokens(own) == tuple(sorted(map(token_hex, scalars)))


async def test_dropped_windows_are_not_published(desk: Desk) -> None:
    inputs = desk.fingerprint(ATTACK).inputs
    desk.dropped.update(inputs[:2])
    tokens = desk.tokens(await desk.report())
    gone = {token_hex(one) for one in evaluated_scalars(desk.world, inputs[:2])}
    assert tokens
    assert not gone & set(tokens)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"components": (11, 5, 5, 5)}, ComponentRangeError),
        ({"components": (5, 5, 5)}, ComponentRangeError),
        ({"components": (0, 0, 0, 0)}, NoBandError),
        ({"components": (2, 2, 2, 2), "band": "critical"}, BelowThresholdError),
        ({"band": "dreadful"}, UnknownBandError),
        ({"category": "zzz"}, MeshError),
        ({"technique": "nonsense"}, MeshError),
        ({"confidence": 101}, SignalFormatError),
        ({"barrier": "x" * 10_000}, MeshError),
        ({"text": " \n"}, EmptyTextError),
        ({"text": "reach me at someone@example.com " * 20}, NothingToPublishError),
    ],
)
async def test_what_cannot_be_published_costs_no_evaluation(
    desk: Desk, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await desk.publisher.report(incident(**{"reference": "case", **changes}))
    assert desk.seats.asked == 0
    assert desk.size == 0
    assert desk.vault.find("case") is None
    # The reference is free for the incident once it is right.
    assert not (await desk.publisher.report(incident(reference="case"))).duplicate
    assert desk.seats.asked > 0


async def test_an_unreachable_committee_publishes_nothing_and_keeps_nothing(desk: Desk) -> None:
    desk.seats.down |= desk.seats.names
    reports = [desk.publisher.report(incident(reference="case")) for _ in range(3)]
    results = await asyncio.gather(*reports, return_exceptions=True)
    assert [type(one) for one in results] == [CommitteeUnreachableError] * 3
    assert desk.size == 0
    assert desk.vault.find("case") is None
    assert published_metric(desk) == 0
    desk.seats.down.clear()
    first = await desk.publisher.report(incident(reference="case"))
    again = await desk.publisher.report(incident(reference="case"))
    assert (first.duplicate, again.duplicate) == (False, True)
    assert first.entry_id == again.entry_id
    assert desk.size == 1
    assert published_metric(desk) == 1, "a duplicate is not counted"


def published_metric(desk: Desk) -> float:
    """How many signals the metrics say were published."""
    labels = {"band": "high"}
    value = desk.metrics.registry.get_sample_value("orgnode_published_signals_total", labels)
    return value or 0.0


async def test_a_known_reference_costs_no_evaluation(desk: Desk) -> None:
    first = await desk.publisher.report(incident(reference="case"))
    asked = desk.seats.asked
    desk.seats.down |= desk.seats.names
    again = await desk.publisher.report(incident(reference="case"))
    assert again.duplicate
    assert again.entry_id == first.entry_id
    assert desk.seats.asked == asked


async def test_one_reference_at_the_same_time_is_evaluated_once(desk: Desk) -> None:
    reports = [desk.publisher.report(incident(reference="case")) for _ in range(4)]
    published = await asyncio.gather(*reports)
    assert len({one.entry_id for one in published}) == 1
    assert [one.duplicate for one in published].count(False) == 1
    assert desk.seats.asked == desk.world.committee.threshold


# --- sighting


@pytest.mark.parametrize("verdict", ["confirm", "deny"])
async def test_another_owners_signal_is_sighted(desk: Desk, verdict: str) -> None:
    own = await desk.report()
    (theirs,) = await desk.met_by(own, STRANGER)
    sighted = await desk.publisher.sight(theirs, verdict)
    assert (sighted.index, sighted.checkpoint_size, sighted.band) == (1, 2, "high")
    (record,) = desk.store.records(desk.name, 1, 2)
    assert record.kind == Kind.SIGHTING
    (token, *_) = desk.tokens(own)
    (source,) = (one for one in desk.store.sources([token])[token] if one.signal == theirs)
    assert (source.confirmed_by, source.denied_by) == (
        ((desk.name,), ()) if verdict == "confirm" else ((), (desk.name,))
    )
    assert desk.seats.asked == desk.world.committee.threshold, "a sighting asks nobody"


async def test_the_same_is_not_said_twice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "_PAGE", 2)
    own = await desk.report()
    one, other = await desk.met_by(own, STRANGER, STRANGER + 1)
    first, again = await asyncio.gather(
        desk.publisher.sight(one, "confirm"), desk.publisher.sight(one, "confirm")
    )
    assert (first.index, first.duplicate, again) == (1, False, first.as_duplicate())
    assert desk.size == 2
    assert not (await desk.publisher.sight(other, "confirm")).duplicate
    for number in range(4):
        await desk.report(text=prose(number))
    late = await desk.publisher.sight(one, "confirm")
    assert (late.entry_id, late.index, late.duplicate) == (first.entry_id, 1, True)
    # The newest word counts, and whoever changes its mind is heard.
    size = desk.size
    for verdict in ("deny", "confirm"):
        said = await desk.publisher.sight(one, verdict)
        assert (said.index, said.duplicate) == (size, False)
        size += 1
    assert desk.size == size


async def test_what_has_the_same_owner_is_not_sighted(desk: Desk) -> None:
    own = await desk.report()
    (sisters,) = await desk.met_by(own, SISTER)
    for one in (own, sisters):
        with pytest.raises(OwnSightingError) as caught:
            await desk.publisher.sight(one, "confirm")
        assert "another organization" in caught.value.hint
        assert f"{desk.name} and {desk.name}" not in str(caught.value)
        assert desk.name in str(caught.value)
    assert desk.size == 1


async def test_an_unknown_signal_is_not_sighted(desk: Desk) -> None:
    with pytest.raises(UnknownSignalError):
        await desk.publisher.sight("ab" * 32, "confirm")
    assert desk.size == 0


async def test_a_retracted_signal_is_not_sighted(
    world: TestMesh, pool: WorkerPool, tmp_path: Path
) -> None:
    async with desks(world, tmp_path, pool.of(world), (0, STRANGER), certified=True) as (
        desk,
        other,
    ):
        theirs = await other.report()
        await other.deliver(desk)
        await other.publisher.retract(theirs, "mistake")
        await other.deliver(desk)
        with pytest.raises(NotLiveError):
            await desk.publisher.sight(theirs, "confirm")
        assert desk.size == 0


async def test_a_verdict_that_there_is_not(desk: Desk) -> None:
    (theirs,) = await desk.met_by(await desk.report(), STRANGER)
    with pytest.raises(SightingFormatError):
        await desk.publisher.sight(theirs, "perhaps")
    assert desk.size == 1


async def test_a_sighting_outlives_what_it_is_about(
    world: TestMesh, pool: WorkerPool, tmp_path: Path
) -> None:
    async with desks(world, tmp_path, pool.of(world), (0, STRANGER), certified=True) as (
        desk,
        other,
    ):
        theirs = await other.report()
        await other.deliver(desk)
        await desk.publisher.sight(theirs, "confirm")
        await desk.deliver(other)
        signal = desk.store.signal(theirs)
        assert signal is not None
        (record,) = other.store.records(desk.name, 0, 1)
        assert record.expires is not None
        assert record.expires >= signal.expires


# --- retracting


async def test_only_an_own_live_signal_is_retracted(desk: Desk) -> None:
    own = await desk.report()
    (theirs,) = await desk.met_by(own, STRANGER)
    with pytest.raises(NotYourSignalError):
        await desk.publisher.retract(theirs, "mistake")
    with pytest.raises(UnknownSignalError):
        await desk.publisher.retract("ab" * 32, "mistake")
    with pytest.raises(RetractionFormatError):
        await desk.publisher.retract(own, "just because")
    assert desk.size == 1
    both = await asyncio.gather(
        *(desk.publisher.retract(own, "mistake") for _ in range(2)), return_exceptions=True
    )
    assert [type(one) for one in both if isinstance(one, Exception)] == [NotLiveError]
    signal = desk.store.signal(own)
    assert signal is not None
    assert signal.status is SignalStatus.RETRACTED
    (first,) = (one.entry_id for one in both if not isinstance(one, BaseException))
    peers = [card.name for card in desk.world.mesh.peers_of(desk.name)]
    for peer in peers:
        size = desk.size
        await desk.publisher.retract(own, "mistake")
        assert desk.size == size + 1, "a member has not said that it knows"
        await desk.store.put_receipt(first, peer, b"receipt")
    with pytest.raises(NotLiveError, match="retracted"):
        await desk.publisher.retract(own, "mistake")
    assert desk.size == 2 + len(peers)


async def test_what_has_expired_is_not_retracted_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await desk.report()
    await desk.publisher.retract(own, "mistake")
    signal = desk.store.signal(own)
    assert signal is not None
    monkeypatch.setattr(desk.publisher, "_today", lambda: signal.expires)
    await desk.publisher.retract(own, "mistake")
    monkeypatch.setattr(desk.publisher, "_today", lambda: Day(signal.expires + 1))
    with pytest.raises(NotLiveError):
        await desk.publisher.retract(own, "mistake")


async def test_what_was_retracted_is_not_reported_again_at_once(desk: Desk) -> None:
    """It would count nowhere: better to be told than to wonder."""
    own = await desk.report()
    await desk.publisher.retract(own, "mistake")
    with pytest.raises(CooldownError, match=format_day(Day(TODAY + 1))) as caught:
        await desk.publisher.report(incident(reference="case"))
    assert "after" in caught.value.hint
    assert desk.size == 2
    assert desk.vault.find("case") is None
    # Another text has nothing to wait for.
    assert (await desk.publisher.report(incident(prose(1), reference="case"))).index == 2


async def test_a_text_with_windows_that_were_not_retracted_is_published(desk: Desk) -> None:
    inputs = desk.fingerprint(ATTACK).inputs
    desk.dropped.update(inputs[:2])
    await desk.publisher.retract(await desk.report(), "mistake")
    desk.dropped.clear()
    tokens = desk.tokens(await desk.report())
    assert len(tokens) == len(inputs)
    counted = desk.store.sources(tokens)
    assert sum(bool(counted.get(token)) for token in tokens) == 2, "the others rest"


async def test_a_retraction_that_failed_can_be_tried_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await desk.report()

    async def full(*arguments: Any) -> int:
        raise StoreFullError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(desk.store, "commit_segment", full)
        with pytest.raises(StoreFullError):
            await desk.publisher.retract(own, "mistake")
    assert (await desk.publisher.retract(own, "mistake")).index == 1
