"""Asking the committee over real TLS: what comes out, what goes out, and who may fail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pytest
import pytest_asyncio
from eval_support import PATIENT, Office, Offices, counted, windows
from fed_support import World, until

from mesh.evaluation import BATCH, compose_request, verify_misconduct
from mesh.genesis import Mesh
from mesh.metering import CountError
from mesh.promotion import PromotedWindow, compose_promotion, parse_promotion, verify_promotion
from mesh.testing import evaluated_scalars
from mesh.token import token_hex
from orgnode.api.committee import CommitteeRoutes
from orgnode.api.committee_models import CommitteeAnswer
from orgnode.cli.committee import state
from orgnode.evaluating import CommitteeUnreachableError, Evaluator, committee_status
from orgnode.federation import ServerLimits
from orgnode.federation.errors import PeerAnswerError, PeerTimeoutError
from orgnode.metrics import Metrics
from proofs.note import parse_note, sign_note
from proofs.oprf import hash_input
from proofs.ristretto import multiply_base, random_scalars

ASKER = 5  # has no seat
OWNER = 0  # has one

# --- what comes out


@pytest.mark.parametrize("place", [ASKER, OWNER])
async def test_the_values_are_those_of_the_whole_key(offices: Offices, place: int) -> None:
    inputs = windows(70)
    scalars = await offices.evaluator(place).scalars(inputs, PATIENT)
    assert scalars == evaluated_scalars(offices.world.test_mesh, inputs)


async def test_scalars_come_in_the_order_of_the_inputs(offices: Offices) -> None:
    first, second = windows(2)
    scalars = await offices.evaluator(ASKER).scalars([second, first, second], PATIENT)
    assert scalars == evaluated_scalars(offices.world.test_mesh, [second, first, second])
    assert all(count <= 1 for count in offices.asked().values())


async def test_tokens_are_those_of_the_scalars(offices: Offices) -> None:
    inputs = windows(3)
    tokens = await offices.evaluator(ASKER).tokens(inputs, PATIENT)
    expected = evaluated_scalars(offices.world.test_mesh, inputs)
    assert tokens == dict(zip(inputs, map(token_hex, expected), strict=True))


async def test_nothing_is_asked_for_nothing(offices: Offices) -> None:
    evaluator = offices.evaluator(ASKER)
    assert await evaluator.scalars([], PATIENT) == []
    assert await evaluator.tokens([], PATIENT) == {}
    assert sum(offices.asked().values()) == 0


@pytest.mark.parametrize("down", list(combinations(range(5), 2)))
async def test_any_three_of_five_do(offices: Offices, down: tuple[int, int]) -> None:
    evaluator = offices.evaluator(ASKER)
    for place in down:
        await offices.shut(place)
    inputs = windows(2)
    scalars = await evaluator.scalars(inputs, PATIENT)
    assert scalars == evaluated_scalars(offices.world.test_mesh, inputs)


# --- what goes out


async def test_no_more_seats_are_asked_than_are_needed(offices: Offices) -> None:
    await offices.evaluator(ASKER).scalars(windows(4), PATIENT)
    assert sorted(offices.asked().values()) == [0, 0, 1, 1, 1]


async def test_the_own_seat_is_asked_first_and_not_over_the_network(offices: Offices) -> None:
    evaluator = offices.evaluator(OWNER)
    for label in "abc":
        await evaluator.scalars(windows(1, label), PATIENT)
    asked = offices.asked()
    assert asked.pop(offices.at[OWNER].name) == 0
    assert sum(asked.values()) == 3 * (offices.threshold - 1)
    seat = offices.at[OWNER].seat
    assert seat is not None
    assert seat.counts() == {offices.at[OWNER].name: 3 * BATCH}


@pytest.mark.parametrize("count", [1, 31, 32])
async def test_every_request_has_32_elements(offices: Offices, count: int) -> None:
    await offices.evaluator(ASKER).scalars(windows(count), PATIENT)
    requests = offices.requests()
    assert [len(request.elements) for request in requests] == [BATCH] * offices.threshold
    assert not any(request.open for request in requests)


async def test_what_is_not_blinded_never_leaves(offices: Offices) -> None:
    inputs = windows(40)
    evaluator = offices.evaluator(ASKER)
    await evaluator.scalars(inputs, PATIENT)
    await evaluator.tokens(inputs, PATIENT)
    plain = {hash_input(given) for given in inputs}
    elements = [element for one in {r.digest: r for r in offices.requests()}.values()
                for element in one.elements]  # fmt: skip
    assert len(elements) == 4 * BATCH
    assert not plain & set(elements)
    # Fresh blinds each time: nobody sees that the same text was asked for twice.
    assert len(set(elements)) == len(elements)
    assert not any(given in note for office in offices.at.values()
                   for note in office.notes for given in inputs)  # fmt: skip


async def test_a_promotion_asks_openly_and_verifies(offices: Offices) -> None:
    mesh, inputs = offices.world.mesh, sorted(windows(3))
    for place in (ASKER, OWNER):
        evaluations = await offices.evaluator(place).open_evaluations(inputs, PATIENT)
        assert [index for index, _, _ in evaluations] == sorted({i for i, _, _ in evaluations})
        assert len(evaluations) == offices.threshold
        scalars = evaluated_scalars(offices.world.test_mesh, inputs)
        promoted = [
            PromotedWindow(input=given.hex(), token=token_hex(scalar), sources=("ab" * 32,))
            for given, scalar in zip(inputs, scalars, strict=True)
        ]
        verify_promotion(mesh, parse_promotion(compose_promotion(promoted, evaluations)))
    for request in offices.requests():
        assert request.open
        assert request.elements == tuple(map(hash_input, inputs))


# --- seats that fail


async def test_too_few_seats_are_named_with_the_reasons(offices: Offices) -> None:
    evaluator = offices.evaluator(ASKER)
    for place in (0, 1, 2):
        await offices.shut(place)
    with pytest.raises(CommitteeUnreachableError) as caught:
        await evaluator.scalars(windows(1), PATIENT)
    assert (caught.value.had, caught.value.threshold) == (2, 3)
    # Those that could have answered are not blamed.
    assert set(caught.value.seats) == {offices.world.name(place) for place in (0, 1, 2)}
    for place in (0, 1, 2):
        name = offices.world.name(place)
        assert "PeerUnreachableError" in caught.value.seats[name]
        assert name in str(caught.value)


def stalled(office: Office) -> asyncio.Event:
    """Have a seat take requests and answer none; tells when it has one."""
    has_one = asyncio.Event()

    async def silence(peer: str, note: bytes) -> bytes:
        has_one.set()
        await office.closing.wait()
        return b""

    office.answering = silence
    return has_one


async def test_a_silent_seat_is_hedged(offices: Offices) -> None:
    silent = [stalled(offices.at[place]) for place in (1, 3)]
    metrics = Metrics()
    evaluator = offices.evaluator(ASKER, metrics=metrics, patience=0.05)
    for place in (1, 3):
        evaluator.lines[offices.world.name(place)].answered(0.0)  # so they are asked first
    for label in ("first", "second", "third"):
        inputs = windows(2, label)
        scalars = await evaluator.scalars(inputs, PATIENT)
        assert scalars == evaluated_scalars(offices.world.test_mesh, inputs)
    assert all(event.is_set() for event in silent)
    hedges = [
        counted(metrics, "orgnode_evaluation_hedges_total", seat=offices.world.name(place))
        for place in range(5)
    ]
    assert min(hedges[1], hedges[3]) >= 1
    # It is known now that they are slow.
    assert evaluator.lines[offices.world.name(1)].expected >= 0.05


async def test_hedges_have_a_budget_when_everybody_is_slow(offices: Offices) -> None:
    metrics = Metrics()
    # Without any patience and without time going by, every request would be hedged.
    evaluator = offices.evaluator(ASKER, metrics=metrics, patience=0.0, clock=lambda: 0.0)
    for label in map(str, range(10)):
        await evaluator.scalars(windows(1, label), PATIENT)
    hedges = sum(
        counted(metrics, "orgnode_evaluation_hedges_total", seat=offices.world.name(place))
        for place in range(5)
    )
    assert 1 <= hedges <= 9  # 8 saved up, and 1 for ten requests


async def test_silence_of_too_many_ends_at_the_deadline(offices: Offices) -> None:
    for place in (0, 2, 4):
        stalled(offices.at[place])
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(CommitteeUnreachableError) as caught:
        await offices.evaluator(ASKER, patience=0.01).scalars(windows(1), 0.5)
    assert loop.time() - started < 1.5
    assert set(caught.value.seats) >= {offices.world.name(place) for place in (0, 2, 4)}
    assert caught.value.had == 2


async def test_cancelling_leaves_nothing_running(offices: Offices) -> None:
    events = [stalled(offices.at[place]) for place in range(5)]
    task = asyncio.create_task(offices.evaluator(ASKER).tokens(windows(40), PATIENT))
    await until(lambda: sum(event.is_set() for event in events) >= 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The fixture no_leaked_tasks looks for what is left; a second one could start at once.
    for office in offices.at.values():
        office.answering = None
    assert len(await offices.evaluator(ASKER).tokens(windows(1), PATIENT)) == 1


# --- seats that lie


def lying(office: Office, world: World) -> None:
    """Have a seat sign evaluations with two elements exchanged."""

    async def lie(peer: str, note: bytes) -> bytes:
        assert office.seat is not None
        honest = parse_note(await office.seat.answer(peer, note)).text
        start = honest.index('"elements":["') + len('"elements":["')
        first, second = honest[start:].split('"')[0], honest[start:].split('"')[2]
        text = honest.replace(first, "?").replace(second, first).replace("?", second)
        return sign_note(text, (world.test_mesh.member(office.name).identity,))

    office.answering = lie


async def test_a_wrong_evaluation_is_kept_as_proof_and_replaced(offices: Offices) -> None:
    world, liar = offices.world, offices.at[2]
    lying(liar, world)
    evaluator = offices.evaluator(ASKER)
    evaluator.lines[liar.name].answered(0.0)  # so it is asked first
    for label in "abc":
        inputs = windows(2, label)
        scalars = await evaluator.scalars(inputs, PATIENT)
        assert scalars == evaluated_scalars(world.test_mesh, inputs)
    (proof,) = offices.at[ASKER].store.misconduct()
    assert (proof.member, proof.kind) == (liar.name, "wrong-evaluation")
    assert verify_misconduct(world.mesh, proof.request, proof.answer) == liar.name
    # It is left out after the first one.
    assert len(liar.notes) == 1
    assert evaluator.lines[liar.name].excluded


async def test_an_excluded_seat_is_named_when_too_few_are_left(offices: Offices) -> None:
    evaluator = offices.evaluator(ASKER)
    liar = offices.at[2]
    lying(liar, offices.world)
    for place in (0, 1):
        await offices.shut(place)
    for reason in ("WrongEvaluationError", "left out"):
        with pytest.raises(CommitteeUnreachableError) as caught:
            await evaluator.scalars(windows(1), PATIENT)
        assert reason in caught.value.seats[liar.name]
    assert len(liar.notes) == 1


async def test_a_replayed_answer_is_refused_by_name_and_convicts_nobody(offices: Offices) -> None:
    office, world = offices.at[2], offices.world
    mine = world.test_mesh.member(ASKER).identity
    elements = tuple(map(multiply_base, random_scalars(b"\1" * 32, b"other", BATCH)))
    other = compose_request(world.mesh, mine, elements, bytes(32), offices.day)
    assert office.seat is not None
    old = await office.seat.answer(world.name(ASKER), other)

    async def replay(peer: str, note: bytes) -> bytes:
        return old

    office.answering = replay
    evaluator = offices.evaluator(ASKER)
    for place in (0, 1):
        await offices.shut(place)
    with pytest.raises(CommitteeUnreachableError) as caught:
        await evaluator.scalars(windows(1), PATIENT)
    assert "ReplayedAnswerError" in caught.value.seats[office.name]
    assert offices.at[ASKER].store.misconduct() == []
    assert not evaluator.lines[office.name].excluded


async def test_another_seats_answer_is_refused(offices: Offices) -> None:
    office, neighbour = offices.at[2], offices.at[3]
    assert neighbour.seat is not None
    office.answering = neighbour.seat.answer
    evaluator = offices.evaluator(ASKER)
    for place in (0, 1):
        await offices.shut(place)
    with pytest.raises(CommitteeUnreachableError) as caught:
        await evaluator.scalars(windows(1), PATIENT)
    assert "UnsignedNoteError" in caught.value.seats[office.name]
    assert offices.at[ASKER].store.misconduct() == []


@pytest.mark.parametrize("garbage", [b"", b"\xff" * 100, b"no note\n", b"x" * 5_000])
async def test_garbage_for_an_answer_is_no_answer(offices: Offices, garbage: bytes) -> None:
    async def answer(peer: str, note: bytes) -> bytes:
        return garbage

    offices.at[2].answering = answer
    evaluator = offices.evaluator(ASKER)
    for place in (0, 1):
        await offices.shut(place)
    with pytest.raises(CommitteeUnreachableError) as caught:
        await evaluator.scalars(windows(1), PATIENT)
    assert offices.world.name(2) in caught.value.seats


# --- the memory


async def test_what_is_known_is_not_asked_for_again(offices: Offices) -> None:
    evaluator = offices.evaluator(ASKER)
    inputs = windows(5)
    tokens = await evaluator.tokens(inputs, PATIENT)
    before = offices.asked()
    assert await evaluator.tokens(inputs, PATIENT) == tokens == evaluator.cached(inputs)
    assert offices.asked() == before
    more = await evaluator.tokens(windows(6), PATIENT)
    assert tokens.items() < more.items()
    assert evaluator.cached([b"\0" * 32]) == {}


async def test_the_memory_is_bounded(offices: Offices) -> None:
    evaluator = offices.evaluator(ASKER, cache=4)
    inputs = windows(6)
    assert len(await evaluator.tokens(inputs, PATIENT)) == 6
    assert len(evaluator.cached(inputs)) == 4


async def test_the_same_question_at_the_same_time_is_asked_once(offices: Offices) -> None:
    evaluator = offices.evaluator(ASKER)
    inputs = windows(8)
    found = await asyncio.gather(
        *(evaluator.tokens(inputs[:5], PATIENT) for _ in range(4)),
        evaluator.tokens(inputs, PATIENT),
    )
    assert found[0] == found[1] == found[2] == found[3]
    assert len(found[4]) == 8
    # One batch for the first five, one for the other three.
    assert len({request.digest for request in offices.requests()}) == 2


async def test_whoever_waited_asks_itself_when_the_first_gives_up(offices: Offices) -> None:
    evaluator = offices.evaluator(ASKER)
    events = [stalled(office) for office in offices.at.values() if office.seat is not None]
    first = asyncio.create_task(evaluator.tokens(windows(2), PATIENT))
    await until(lambda: any(event.is_set() for event in events))
    second = asyncio.create_task(evaluator.tokens(windows(2), PATIENT))
    await asyncio.sleep(0)
    for office in offices.at.values():
        office.answering = None
    first.cancel()
    assert len(await second) == 2
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_batches_that_are_done_are_kept_when_another_fails(offices: Offices) -> None:
    evaluator = offices.evaluator(ASKER)
    inputs = windows(70)
    first: list[bytes] = []

    def only_the_first(office: Office) -> None:
        async def answer(peer: str, note: bytes) -> bytes:
            assert office.seat is not None
            if not first:
                first.append(note)
            if note != first[0]:
                await until(lambda: bool(evaluator.cached(inputs)))
                raise CountError("only the first")
            return await office.seat.answer(peer, note)

        office.answering = answer

    for place in range(5):
        only_the_first(offices.at[place])
    with pytest.raises(CommitteeUnreachableError):
        await evaluator.tokens(inputs, PATIENT)
    assert 0 < len(evaluator.cached(inputs)) <= BATCH


# --- lanes


async def test_many_evaluations_do_not_hold_up_the_log_and_are_capped(
    wide: World, tmp_path: object
) -> None:
    async with Offices(wide, tmp_path) as offices:  # type: ignore[arg-type]
        office = await offices.open(0, ServerLimits(evaluations=2, in_flight=1))
        asked = stalled(office)
        client = offices.client(1, 0, evaluations=3, connections=1)
        waiting = [asyncio.create_task(client.evaluate(b"x", 5.0)) for _ in range(2)]
        await until(lambda: len(office.notes) == 2)
        assert asked.is_set()
        with pytest.raises(PeerAnswerError) as caught:
            await client.evaluate(b"x", 5.0)
        assert (caught.value.status, caught.value.told) == (429, "TooManyRequestsError")
        assert (await client.ping())["name"] == office.name
        # Another member's are counted apart.
        with pytest.raises(PeerTimeoutError):
            await offices.client(2, 0).evaluate(b"x", 0.2)
        assert len(office.notes) == 3
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


# --- the committee from here


@dataclass
class Node:
    """What the local API needs of a node to show the committee."""

    name: str
    mesh: Mesh
    evaluator: Evaluator


@pytest_asyncio.fixture
async def node(offices: Offices) -> Node:
    """A node that asked once, with one seat down."""
    evaluator = offices.evaluator(OWNER)
    await evaluator.scalars(windows(1), PATIENT)
    await offices.shut(4)
    return Node(offices.world.name(OWNER), offices.world.mesh, evaluator)


async def test_the_committee_is_shown(node: Node, offices: Offices) -> None:
    seats = await committee_status(node)
    assert [seat.index for seat in seats] == [1, 2, 3, 4, 5]
    own = next(seat for seat in seats if seat.own)
    budget = node.mesh.constraints.evaluation_budget
    assert (own.member, own.up, own.used, own.left) == (node.name, True, 32, budget - 32)
    down = next(seat for seat in seats if seat.member == offices.world.name(4))
    assert (down.up, down.error, down.used) == (False, "PeerUnreachableError", None)
    asked = [seat for seat in seats if seat.evaluated.get(node.name)]
    assert len(asked) == 3 - (down.latency is not None)


async def test_counts_that_another_member_signed_are_not_shown(
    node: Node, offices: Offices, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = offices.at[3].seat
    assert other is not None
    monkeypatch.setattr(offices.at[2].seat, "counts_note", other.counts_note)
    seats = {seat.member: seat for seat in await committee_status(node)}
    shown = seats[offices.world.name(2)]
    assert (shown.up, shown.error, shown.used) == (False, "UnsignedNoteError", None)


async def test_the_local_api_and_the_command_line_show_it(node: Node, offices: Offices) -> None:
    request: Any = None
    response = await CommitteeRoutes(node).committee(request)
    assert isinstance(response.body, bytes)
    shown = CommitteeAnswer.model_validate_json(response.body)
    assert (shown.threshold, len(shown.seats)) == (3, 5)
    states = {seat.member: state(seat).plain for seat in shown.seats}
    assert states[offices.world.name(4)] == "down (PeerUnreachableError)"
    assert states[node.name] == "up"
    spent = shown.seats[0].model_copy(update={"left": 0})
    assert state(spent).plain == "budget used up"
    liar = shown.seats[0].model_copy(update={"excluded": True})
    assert state(liar).plain.startswith("EXCLUDED")
