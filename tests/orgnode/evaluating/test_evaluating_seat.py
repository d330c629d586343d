"""A seat over real TLS: who may ask, what is taken, and a budget that no restart gives back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eval_support import PATIENT, Offices, counted, windows
from fed_support import World

from mesh.days import Day
from mesh.evaluation import (
    BATCH,
    EvaluationRequestFormatError,
    compose_request,
    open_answer,
)
from mesh.metering import BudgetExceededError, open_counts
from mesh.testing import TODAY
from orgnode.evaluating import EvaluationBudgetError, NoSeatError, SeatService
from orgnode.evaluating.ledger import MAX_BLOCK, Ledger
from orgnode.federation.errors import NotYourRequestError, PeerAnswerError
from orgnode.metrics import Metrics
from orgnode.store import SqliteStore, StoreFullError
from proofs.note import parse_note, sign_note
from proofs.ristretto import Element, multiply_base, random_scalars


def request_of(world: World, place: int, label: bytes = b"x", day: Day = TODAY) -> bytes:
    """A member's well-formed request."""
    elements = tuple(map(multiply_base, random_scalars(b"\1" * 32, label, BATCH)))
    identity = world.test_mesh.member(place).identity
    return compose_request(world.mesh, identity, elements, bytes(32), day)


async def refused(client: Any, note: bytes) -> PeerAnswerError:
    with pytest.raises(PeerAnswerError) as caught:
        await client.evaluate(note, PATIENT)
    return caught.value


# --- who may ask, and for what


async def test_an_answer_verifies(offices: Offices) -> None:
    world, note = offices.world, request_of(offices.world, 5)
    answer = await offices.client(5, 0).evaluate(note, PATIENT)
    seat = world.test_mesh.committee.seat_of(world.name(0))
    assert seat is not None
    assert open_answer(world.mesh, note, seat, answer).seat == seat.index
    assert counted(
        offices.at[0].metrics, "orgnode_seat_batches_total", asker=world.name(5)
    ) == 1  # fmt: skip


async def test_only_who_signed_may_send_it(offices: Offices) -> None:
    note = request_of(offices.world, 5)
    error = await refused(offices.client(1, 0), note)
    assert (error.status, error.told) == (403, NotYourRequestError.__name__)
    seat = offices.at[0].seat
    assert seat is not None
    assert seat.counts() == {}  # nobody is charged for what another sent


async def test_a_repeated_request_is_charged_again(offices: Offices) -> None:
    client, note = offices.client(5, 0), request_of(offices.world, 5)
    first, second = await client.evaluate(note, PATIENT), await client.evaluate(note, PATIENT)
    assert first != second  # a fresh nonce for each proof
    seat = offices.at[0].seat
    assert seat is not None
    assert seat.counts() == {offices.world.name(5): 2 * BATCH}


@pytest.mark.parametrize(
    ("note", "status"), [(b"", 400), (b"\xff\xfe", 400), (b"hello\n", 400), (b"x" * 8_193, 413)]
)
async def test_garbage_is_refused_and_not_charged(
    offices: Offices, note: bytes, status: int
) -> None:
    error = await refused(offices.client(5, 0), note)
    assert error.status == status
    assert error.told
    seat = offices.at[0].seat
    assert seat is not None
    assert seat.counts() == {}


async def test_a_changed_or_old_request_is_refused(offices: Offices) -> None:
    client, world = offices.client(5, 0), offices.world
    changed = request_of(world, 5).replace(b'"open":false', b'"open":true')
    assert (await refused(client, changed)).told == "BadSignatureError"
    old = request_of(world, 5, day=Day(TODAY - 2))
    assert (await refused(client, old)).told == "RequestDayError"


async def test_only_an_open_request_may_be_shorter_and_it_costs_a_batch(offices: Offices) -> None:
    client, world = offices.client(5, 0), offices.world
    identity = world.test_mesh.member(5).identity
    few = tuple(map(multiply_base, random_scalars(b"\1" * 32, b"few", 3)))
    with pytest.raises(EvaluationRequestFormatError):
        compose_request(world.mesh, identity, few, bytes(32), TODAY)
    note = compose_request(world.mesh, identity, few, bytes(32), TODAY, public=True)
    text = parse_note(note).text.replace('"open":true', '"open":false')
    short = sign_note(text, (identity,))
    assert (await refused(client, short)).told == "EvaluationRequestFormatError"
    await client.evaluate(note, PATIENT)
    seat = offices.at[0].seat
    assert seat is not None
    assert seat.counts() == {world.name(5): BATCH}


async def test_who_has_no_seat_says_so(offices: Offices) -> None:
    await offices.open(5)
    client = offices.client(1, 5)
    error = await refused(client, request_of(offices.world, 1))
    assert (error.status, error.told) == (404, "NoSeatError")
    with pytest.raises(PeerAnswerError) as caught:
        await client.evaluation_counts()
    assert caught.value.told == "NoSeatError"
    office = offices.at[5]
    with pytest.raises(NoSeatError):
        SeatService(
            mesh=offices.world.mesh,
            name=office.name,
            signer=offices.world.test_mesh.member(5).identity,
            share=offices.world.test_mesh.shares[offices.world.name(0)],
            store=office.store,
            workers=offices.workers,
            today=offices.today,
            metrics=Metrics(),
        )


async def test_counts_are_published_signed(offices: Offices) -> None:
    world = offices.world
    await offices.client(5, 0).evaluate(request_of(world, 5), PATIENT)
    note = await offices.client(1, 0).evaluation_counts()
    counts = open_counts(world.mesh, world.name(0), note)
    assert (counts.day, counts.counts) == (TODAY, {world.name(5): BATCH})


# --- the budget


async def test_over_budget_says_when_it_resets(thrifty: World, tmp_path: Path) -> None:
    async with Offices(thrifty, tmp_path) as offices:
        await offices.open(0)
        client = offices.client(2, 0)
        for label in (b"a", b"b", b"c"):
            await client.evaluate(request_of(thrifty, 2, label), PATIENT)
        error = await refused(client, request_of(thrifty, 2, b"d"))
        assert (error.status, error.told) == (429, BudgetExceededError.__name__)
        assert error.resets == TODAY + 1
        # Another asker has a budget of its own.
        await offices.client(1, 0).evaluate(request_of(thrifty, 1), PATIENT)


@pytest.mark.parametrize("killed", [False, True])
async def test_no_restart_gives_budget_back(thrifty: World, tmp_path: Path, killed: bool) -> None:
    async with Offices(thrifty, tmp_path) as offices:
        for restart in range(3):
            await offices.open(0)
            await offices.client(2, 0).evaluate(request_of(thrifty, 2, b"%d" % restart), PATIENT)
            if killed:
                # What a kill leaves behind is what is on disk while the answer is on its way.
                _copy_disk(tmp_path, thrifty.name(0))
            await offices.close(0)
            if killed:
                _put_back(tmp_path, thrifty.name(0))
        await offices.open(0)
        error = await refused(offices.client(2, 0), request_of(thrifty, 2, b"more"))
        assert (error.status, error.resets) == (429, TODAY + 1)


def _copy_disk(directory: Path, name: str) -> None:
    for file in directory.glob(f"{name}.db*"):
        (directory / f"kept-{file.name}").write_bytes(file.read_bytes())


def _put_back(directory: Path, name: str) -> None:
    for file in directory.glob(f"{name}.db*"):
        file.unlink()
    for file in list(directory.glob(f"kept-{name}.db*")):
        file.rename(directory / file.name.removeprefix("kept-"))


async def test_a_new_day_has_a_new_budget_and_an_old_one_has_not(
    thrifty: World, tmp_path: Path
) -> None:
    async with Offices(thrifty, tmp_path) as offices:
        office = await offices.open(0)
        client = offices.client(2, 0)
        for label in (b"a", b"b", b"c"):
            await client.evaluate(request_of(thrifty, 2, label), PATIENT)
        offices.day = Day(TODAY + 1)
        await client.evaluate(request_of(thrifty, 2, b"d", offices.day), PATIENT)
        assert office.seat is not None
        assert office.seat.counts() == {thrifty.name(2): BATCH}
        offices.day = TODAY  # the clock was set back
        assert (await refused(client, request_of(thrifty, 2, b"e"))).status == 429


async def test_the_asker_is_told_when_it_can_ask_again(thrifty: World, tmp_path: Path) -> None:
    async with Offices(thrifty, tmp_path) as offices:
        for place in range(3):
            await offices.open(place)
        evaluator = offices.evaluator(2)
        while True:
            try:
                await evaluator.scalars(windows(1), PATIENT)
            except EvaluationBudgetError as error:
                caught = error
                break
        assert caught.resets == TODAY + 1
        assert "2026" in str(caught) or "UTC" in str(caught)
        # With three seats of which two are needed, a budget of three batches is four batches.
        asked = sum(offices.asked().values())
        with pytest.raises(EvaluationBudgetError):
            await evaluator.scalars(windows(1), PATIENT)
        assert sum(offices.asked().values()) == asked  # who refused is not asked again today
        offices.day = Day(TODAY + 1)
        assert len(await evaluator.scalars(windows(1), PATIENT)) == 1


async def test_a_seat_cannot_say_that_it_resets_in_a_century(offices: Offices) -> None:
    async def never(peer: str, note: bytes) -> bytes:
        raise BudgetExceededError(peer, 0, Day(TODAY + 36_500))

    for place in range(5):
        offices.at[place].answering = never
    evaluator = offices.evaluator(5)
    with pytest.raises(EvaluationBudgetError) as caught:
        await evaluator.scalars(windows(1), PATIENT)
    assert caught.value.resets == TODAY + 1


class SlowDisk:
    """A store's committee part, with a record of what was made durable."""

    def __init__(self) -> None:
        self.saved: list[tuple[int, str, int]] = []
        self.full = False

    async def charge_saved(self, day: int, asker: str, elements: int) -> None:
        if self.full:
            raise StoreFullError("the disk is full")
        self.saved.append((day, asker, elements))

    def charges(self, day: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for saved, asker, elements in self.saved:
            if saved == day:
                found[asker] = max(elements, found.get(asker, 0))
        return found


async def test_the_disk_is_written_once_a_block() -> None:
    disk: Any = SlowDisk()
    ledger = Ledger(65_536, disk)
    for _ in range(64):
        await ledger.charge("acme.example", TODAY)
        # What is on disk is never less than what was used.
        assert disk.charges(TODAY)["acme.example"] >= ledger.counts(TODAY)["acme.example"]
    assert [elements for _, _, elements in disk.saved] == [MAX_BLOCK, 2 * MAX_BLOCK]
    again = Ledger(65_536, disk)
    assert again.counts(TODAY) == {"acme.example": 2 * MAX_BLOCK}


async def test_what_is_saved_ahead_never_exceeds_the_budget() -> None:
    disk: Any = SlowDisk()
    ledger = Ledger(4_096 + BATCH, disk)
    for _ in range(129):
        await ledger.charge("acme.example", TODAY)
    with pytest.raises(BudgetExceededError):
        await ledger.charge("acme.example", TODAY)
    assert disk.charges(TODAY) == {"acme.example": 4_096 + BATCH}


async def test_a_charge_that_cannot_be_saved_stays_and_nothing_is_evaluated(
    offices: Offices, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = offices.at[0]

    async def full(day: int, asker: str, elements: int) -> None:
        raise StoreFullError("the disk is full")

    monkeypatch.setattr(office.store, "charge_saved", full)
    error = await refused(offices.client(5, 0), request_of(offices.world, 5))
    assert (error.status, error.told) == (503, "NotNowError")
    assert office.seat is not None
    assert office.seat.counts() == {offices.world.name(5): BATCH}
    assert counted(
        office.metrics, "orgnode_seat_refusals_total",
        asker=offices.world.name(5), error="StoreFullError",
    ) == 1  # fmt: skip


async def test_the_own_seat_is_metered_too(thrifty: World, tmp_path: Path) -> None:
    async with Offices(thrifty, tmp_path) as offices:
        office = await offices.open(0)
        assert office.seat is not None
        elements: tuple[Element, ...] = tuple(
            map(multiply_base, random_scalars(b"\1" * 32, b"own", BATCH))
        )
        for _ in range(3):
            await office.seat.evaluate(elements)
        with pytest.raises(BudgetExceededError):
            await office.seat.evaluate(elements)


def test_a_seat_does_not_show_its_share(thrifty: World, tmp_path: Path) -> None:
    name = thrifty.name(0)
    with SqliteStore.open(tmp_path / "x.db", name=name) as store:
        workers: Any = None
        share = thrifty.test_mesh.shares[name]
        seat = SeatService(
            mesh=thrifty.mesh,
            name=name,
            signer=thrifty.test_mesh.member(0).identity,
            share=share,
            store=store,
            workers=workers,
            today=lambda: TODAY,
            metrics=Metrics(),
        )
        assert share.hex() not in repr(seat)
        assert repr(share) not in repr(seat)
