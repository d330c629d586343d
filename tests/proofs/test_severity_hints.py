"""Hints save square roots and decide nothing: every one, true or not, leaves the verdict alone."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from points import ALL, NATIVE, ORDER_3, large_torsion, off_curve, outside_subgroup, plus_torsion

from proofs.errors import ProofsError
from proofs.group import G1_COMPRESSED, Backend, NotOnCurveError, PointError, load
from proofs.group.encoding import FIELD_MODULUS, GENERATOR, affine_from_bytes
from proofs.severity import (
    HINT_BYTES,
    Rubric,
    Statement,
    commit_components,
    hint,
    prove,
    verify,
    verify_batch,
)

FAST = load("arkworks") if "arkworks" in NATIVE else load("py_ecc")
NEEDS_FAST = pytest.mark.skipif(FAST.name != "arkworks", reason="no other back end takes hints")
MINUS = bytes((GENERATOR[0] ^ 0x20,)) + GENERATOR[1:]
ZERO = bytes(G1_COMPRESSED)
CURVE_POINTS = {
    "generator": GENERATOR,
    "minus": MINUS,
    "order 3": ORDER_3[0],
    "minus order 3": ORDER_3[1],
    "torsion": large_torsion(),
    "outside": outside_subgroup(),
    "with torsion": plus_torsion(GENERATOR, ORDER_3[0]),
}


def y_of(data: bytes, plus: int = 0) -> bytes:
    return (affine_from_bytes(data)[1] + plus).to_bytes(G1_COMPRESSED, "big")


def decoded(group: Backend, data: bytes, *, subgroup: bool) -> bytes | None:
    try:
        return group.encode(group.decode(data) if subgroup else group.decode_on_curve(data))
    except PointError:
        return None


class TestOnePoint:
    @pytest.mark.parametrize("data", CURVE_POINTS.values(), ids=CURVE_POINTS.keys())
    @pytest.mark.parametrize("name", ALL)
    def test_every_back_end_tells_the_same_y(self, name: str, data: bytes) -> None:
        assert load(name).y_coordinate(data) == y_of(data)

    @pytest.mark.parametrize("name", ALL)
    def test_what_is_no_curve_point_has_no_y(self, name: str) -> None:
        with pytest.raises(NotOnCurveError):
            load(name).y_coordinate(off_curve())

    @pytest.mark.parametrize("subgroup", [True, False])
    @pytest.mark.parametrize("data", CURVE_POINTS.values(), ids=CURVE_POINTS.keys())
    @pytest.mark.parametrize("name", ALL)
    def test_a_point_that_is_taken_is_the_one_that_is_decoded(
        self, name: str, data: bytes, subgroup: bool
    ) -> None:
        group = load(name)
        point = group.decode_by_y(data, y_of(data), subgroup=subgroup)
        if name == "arkworks":
            encoded = None if point is None else group.encode(point)
            assert encoded == decoded(group, data, subgroup=subgroup)
        else:
            assert point is None

    @pytest.mark.parametrize("subgroup", [True, False])
    @pytest.mark.parametrize("name", ALL)
    def test_every_other_y_is_passed_over(self, name: str, subgroup: bool) -> None:
        group = load(name)
        true = y_of(GENERATOR)
        others = {
            "the other sign's": y_of(MINUS),
            "not below p": y_of(GENERATOR, FIELD_MODULUS),
            "of the other sign, not below p": y_of(MINUS, FIELD_MODULUS),
            "another": y_of(GENERATOR, 1),
            "with a flag": bytes((true[0] | 0x80,)) + true[1:],
            "with another flag": bytes((true[0] | 0x40,)) + true[1:],
            "with the sign": bytes((true[0] | 0x20,)) + true[1:],
            "zero": ZERO,
            "too short": true[1:],
            "too long": true + b"\0",
            "none": b"",
        }
        for what, y in others.items():
            assert group.decode_by_y(GENERATOR, y, subgroup=subgroup) is None, what

    @pytest.mark.parametrize("subgroup", [True, False])
    @pytest.mark.parametrize("name", ALL)
    def test_zero_makes_no_point_infinity(self, name: str, subgroup: bool) -> None:
        """*Attack:* (0, 0) is how the library writes infinity; (0, 2) is a curve point."""
        for data in ORDER_3:
            assert load(name).decode_by_y(data, ZERO, subgroup=subgroup) is None

    @pytest.mark.parametrize("name", ALL)
    def test_encodings_that_are_refused_stay_refused(self, name: str) -> None:
        x, y = GENERATOR[1:], y_of(GENERATOR)
        beyond = (affine_from_bytes(GENERATOR)[0] + FIELD_MODULUS).to_bytes(G1_COMPRESSED, "big")
        for data in (
            bytes((GENERATOR[0] & 0x7F,)) + x,  # not compressed
            bytes((GENERATOR[0] | 0x40,)) + x,  # infinity
            GENERATOR[:-1],
            GENERATOR + b"\0",
            bytes((beyond[0] | 0x80,)) + beyond[1:],  # x + p
            b"",
        ):
            assert load(name).decode_by_y(data, y, subgroup=False) is None


def made(number: int) -> tuple[Statement, bytes]:
    components, blindings, context = (8, 7, 6, 10), (5, 6, 7, 8), b"context %d" % number
    proof = prove(Rubric(), 70, components, blindings, context, bytes([number]) * 64)
    return Statement(Rubric(), 70, commit_components(components, blindings), context), proof


ITEMS = [made(number) for number in range(4)]
HINTS = [hint(statement.commitments, proof) for statement, proof in ITEMS]


def verdicts(
    items: list[tuple[Statement, bytes]], hints: list[bytes]
) -> list[tuple[type, str] | None]:
    errors = verify_batch(items, os.urandom(32), hints=hints, group=FAST)
    return [None if error is None else (type(error), str(error)) for error in errors]


class TestProofs:
    def test_a_hint_is_the_points_y_in_order(self) -> None:
        (statement, proof), one = ITEMS[0], HINTS[0]
        assert len(one) == HINT_BYTES
        points = [proof[at : at + 48] for at in range(0, 480, 48)] + list(statement.commitments)
        assert one == b"".join(map(y_of, points))
        assert {hint(statement.commitments, proof, group=load(name)) for name in ALL} == {one}

    def test_what_is_no_proof_has_no_hint(self) -> None:
        statement, proof = ITEMS[0]
        with pytest.raises(ProofsError):
            hint(statement.commitments, proof[1:])

    @NEEDS_FAST
    def test_with_hints_no_root_is_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        taken: list[bytes] = []
        for name in ("decode", "decode_on_curve"):
            plain = getattr(FAST, name)
            monkeypatch.setattr(FAST, name, lambda data, p=plain: (taken.append(data), p(data))[1])
        assert verdicts(ITEMS, HINTS) == [None] * 4
        assert taken == []
        assert verdicts(ITEMS, [HINTS[0], b"", HINTS[2], HINTS[3]]) == [None] * 4
        assert len(taken) == 14

    @settings(max_examples=30, deadline=None)
    @given(st.data())
    def test_any_hint_leaves_the_verdict_alone(self, data: st.DataObject) -> None:
        one = bytearray(HINTS[0])
        for _ in range(data.draw(st.integers(1, 3))):
            one[data.draw(st.integers(0, HINT_BYTES - 1))] ^= data.draw(st.integers(1, 255))
        odd = data.draw(
            st.sampled_from([bytes(one), HINTS[1], bytes(HINT_BYTES), HINTS[0][48:], b"x"])
        )
        assert verdicts(ITEMS[:2], [odd, HINTS[1]]) == [None, None]

    @pytest.mark.parametrize("place", [0, 3, 9])
    def test_a_false_proof_is_refused_alike_with_its_hint(self, place: int) -> None:
        statement, proof = ITEMS[0]
        other = ITEMS[1][1]
        at = 48 * place
        false = proof[:at] + other[at : at + 48] + proof[at + 48 :]
        items = [(statement, false), ITEMS[1]]
        bare = verdicts(items, [b"", b""])
        assert bare[0] is not None
        for one in (hint(statement.commitments, false), HINTS[0], bytes(HINT_BYTES)):
            assert verdicts(items, [one, HINTS[1]]) == bare

    @pytest.mark.parametrize("torsion", [ORDER_3[0], large_torsion()])
    def test_a_commitment_outside_the_subgroup_is_refused_with_its_true_hint(
        self, torsion: bytes
    ) -> None:
        statement, proof = ITEMS[0]
        dirty = (plus_torsion(statement.commitments[0], torsion), *statement.commitments[1:])
        items = [(Statement(Rubric(), 70, dirty, statement.context), proof), ITEMS[1]]
        bare = verdicts(items, [])
        assert bare[0] is not None
        assert bare[0][0].__name__ == "NotInSubgroupError"
        assert verdicts(items, [hint(dirty, proof), HINTS[1]]) == bare

    def test_there_is_one_hint_for_each_item_or_none(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            verify_batch(ITEMS, os.urandom(32), hints=HINTS[:3])
        assert verify_batch(ITEMS, os.urandom(32)) == [None] * 4

    def test_one_proof_is_read_without(self) -> None:
        verify(*ITEMS[0])
