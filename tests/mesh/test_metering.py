"""Budgets and counts: never past the budget, never backwards, and signed for everybody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import strictjson
from mesh.constraints import UnknownMemberError
from mesh.days import Day, DayFormatError
from mesh.document import document_text
from mesh.errors import MeshError
from mesh.metering import (
    KEPT_DAYS,
    MAX_COUNTS_NOTE,
    BudgetExceededError,
    CountError,
    CountsFormatError,
    CountsMemberError,
    EvaluationCounts,
    Meter,
    compose_counts,
    open_counts,
)
from mesh.testing import make_mesh
from proofs.note import BadSignatureError, Signer, UnsignedNoteError, add_signatures, sign_note

DAY = Day(20_000)
WORLD = make_mesh(3)
MESH = WORLD.mesh
A, B, C = (member.name for member in WORLD.members)
SIGNER = WORLD.member(A).identity


def test_a_budget_is_spent_to_its_last_element() -> None:
    meter = Meter(64)
    meter.charge(A, DAY, 32)
    meter.charge(A, DAY, 32)
    assert meter.counts(DAY) == {A: 64}
    with pytest.raises(BudgetExceededError) as refused:
        meter.charge(A, DAY, 1)
    assert (refused.value.asker, refused.value.budget) == (A, 64)
    assert refused.value.resets == DAY + 1
    assert "2024-10-05" in str(refused.value)
    assert meter.counts(DAY) == {A: 64}


def test_a_charge_over_the_budget_counts_nothing() -> None:
    meter = Meter(40)
    meter.charge(A, DAY, 32)
    with pytest.raises(BudgetExceededError):
        meter.charge(A, DAY, 32)
    meter.charge(A, DAY, 8)
    with pytest.raises(BudgetExceededError):
        Meter(31).charge(A, DAY, 32)


def test_askers_and_days_have_budgets_of_their_own() -> None:
    meter = Meter(32)
    meter.charge(A, DAY, 32)
    meter.charge(B, DAY, 32)
    meter.charge(A, Day(DAY + 1), 32)
    assert meter.counts(DAY) == {A: 32, B: 32}
    assert meter.counts(Day(DAY + 1)) == {A: 32}
    assert meter.counts(Day(DAY + 2)) == {}


@pytest.mark.parametrize("elements", [0, -1, -32])
def test_nothing_and_less_is_not_counted(elements: int) -> None:
    meter = Meter(32)
    with pytest.raises(CountError):
        meter.charge(A, DAY, elements)
    assert meter.counts(DAY) == {}


def test_counts_can_not_be_changed_from_outside() -> None:
    meter = Meter(32)
    meter.charge(A, DAY, 32)
    meter.counts(DAY).clear()
    assert meter.counts(DAY) == {A: 32}
    saved = {A: 32}
    meter.restore(DAY, saved)
    saved[A] = 0
    assert meter.counts(DAY) == {A: 32}


def test_restoring_goes_on_where_it_was_and_never_back() -> None:
    meter = Meter(96)
    meter.charge(A, DAY, 64)
    meter.restore(DAY, {A: 32, B: 96})
    assert meter.counts(DAY) == {A: 64, B: 96}
    with pytest.raises(BudgetExceededError):
        meter.charge(B, DAY, 1)
    meter.restore(DAY, {A: 500})  # the budget was larger then
    with pytest.raises(BudgetExceededError):
        meter.charge(A, DAY, 1)
    with pytest.raises(CountError):
        meter.restore(DAY, {C: -1})
    assert C not in meter.counts(DAY)


@given(
    st.lists(
        st.tuples(st.sampled_from([A, B]), st.integers(0, 40), st.integers(1, 40)), max_size=60
    )
)
def test_no_order_of_days_gives_more_than_the_budget_a_day(
    charges: list[tuple[str, int, int]],
) -> None:
    meter = Meter(100)
    for asker, day, elements in charges:
        before = meter.counts(Day(day)).get(asker, 0)
        try:
            meter.charge(asker, Day(day), elements)
        except BudgetExceededError:
            assert before + elements > 100
        else:
            assert meter.counts(Day(day))[asker] == before + elements <= 100


def test_old_days_are_forgotten_and_the_last_ones_kept() -> None:
    meter = Meter(32)
    for day in range(100):
        meter.charge(A, Day(day), 1)
    kept = [day for day in range(100) if meter.counts(Day(day))]
    assert kept == list(range(99 - KEPT_DAYS, 100))
    meter.charge(A, Day(5), 32)  # a clock was set back: that day counts again
    with pytest.raises(BudgetExceededError):
        meter.charge(A, Day(5), 1)


def test_counts_travel_signed() -> None:
    note = compose_counts(MESH, SIGNER, DAY, {B: 64, C: 2**53 - 1})
    assert note.startswith(b"signal-mesh/v1/evaluation-counts\n{")
    assert open_counts(MESH, A, note) == EvaluationCounts(A, DAY, {B: 64, C: 2**53 - 1})
    assert open_counts(MESH, A, compose_counts(MESH, SIGNER, DAY, {})).counts == {}


def test_the_largest_counts_fit() -> None:
    longest = {f"{place:03}.{'x' * 63}.{'y' * 30}.zz": 2**53 - 1 for place in range(100)}
    assert len(strictjson.dumps(longest)) + 1_000 < MAX_COUNTS_NOTE


def signed(value: dict[str, object], signer: Signer = SIGNER, kind: str | None = None) -> bytes:
    return sign_note(document_text(kind or "evaluation-counts", value), (signer,))


GOOD = {"counts": {B: 1}, "day": "2024-10-04", "member": A, "mesh": MESH.mesh_id}


def test_a_hand_made_note_opens() -> None:
    assert open_counts(MESH, A, signed(GOOD)) == EvaluationCounts(A, DAY, {B: 1})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"counts": {B: -1}}, CountsFormatError),
        ({"counts": {B: "1"}}, CountsFormatError),
        ({"counts": {B: True}}, CountsFormatError),
        ({"counts": [1]}, CountsFormatError),
        ({"counts": {"stranger.example": 1}}, CountsMemberError),
        ({"day": "2024-10-4"}, DayFormatError),
        ({"day": 20_000}, CountsFormatError),
        ({"member": B}, CountsMemberError),
        ({"mesh": "0" * 64}, CountsMemberError),
        ({"more": 1}, CountsFormatError),
    ],
)
def test_bad_fields_are_refused(change: dict[str, object], error: type[MeshError]) -> None:
    with pytest.raises(error):
        open_counts(MESH, A, signed(GOOD | change))


@pytest.mark.parametrize("name", ["counts", "day", "member", "mesh"])
def test_a_missing_field_is_refused(name: str) -> None:
    with pytest.raises(CountsFormatError):
        open_counts(MESH, A, signed({key: GOOD[key] for key in GOOD if key != name}))


def test_counts_of_another_kind_signer_or_spelling_are_refused() -> None:
    note = signed(GOOD)
    with pytest.raises(CountsFormatError, match="first line"):
        open_counts(MESH, A, signed(GOOD, kind="evaluation-answer"))
    with pytest.raises(UnsignedNoteError):
        open_counts(MESH, B, note)
    with pytest.raises(UnsignedNoteError):
        open_counts(MESH, A, signed(GOOD, Signer(A, bytes(32))))
    with pytest.raises(BadSignatureError):
        open_counts(MESH, A, note.replace(b'":1}', b'":2}'))
    with pytest.raises(UnknownMemberError):
        open_counts(MESH, "stranger.example", note)
    spaced = document_text("evaluation-counts", GOOD).replace('":1}', '": 1}')
    with pytest.raises(CountsFormatError, match="canonical"):
        open_counts(MESH, A, sign_note(spaced, (SIGNER,)))
    with pytest.raises(CountsFormatError, match="one signature"):
        open_counts(MESH, A, add_signatures(note, (WORLD.member(B).identity,)))
    with pytest.raises(CountsFormatError, match="one signature"):
        open_counts(MESH, A, note + note.splitlines(keepends=True)[-1])
    with pytest.raises(CountsFormatError, match="at most"):
        open_counts(MESH, A, note + b" " * MAX_COUNTS_NOTE)


def test_counts_are_composed_by_members_for_members() -> None:
    for signer in (Signer("stranger.example", bytes(32)), Signer(A, bytes(32))):
        with pytest.raises(CountsMemberError):
            compose_counts(MESH, signer, DAY, {})
    with pytest.raises(CountsMemberError):
        compose_counts(MESH, SIGNER, DAY, {"stranger.example": 1})
    for count in (-1, 2**53):
        with pytest.raises(CountsFormatError):
            compose_counts(MESH, SIGNER, DAY, {B: count})
