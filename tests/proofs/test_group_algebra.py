"""Group laws by property tests, and all back ends against one another."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from points import ALL, NATIVE

from proofs.group import ORDER, invert_all, load
from proofs.group.bucket import signed_digits, window_bits

EDGES = [0, 1, 2, 3, ORDER - 1, ORDER - 2, (1 << 255) % ORDER, 1 << 128, (1 << 254) - 1]
scalars = st.one_of(st.sampled_from(EDGES), st.integers(0, ORDER - 1))
FEW = settings(max_examples=30, deadline=None)
FEWER = settings(max_examples=3, deadline=None)


def laws(name: str, a: int, b: int, c: int) -> None:
    group = load(name)
    G = group.generator()
    P, Q, R = group.mul(G, a), group.mul_secret(G, b), group.mul(G, c)
    assert group.equal(group.add(group.add(P, Q), R), group.add(P, group.add(Q, R)))
    assert group.equal(group.add(P, Q), group.add(Q, P))
    assert group.equal(group.add(P, Q), group.mul(G, (a + b) % ORDER))
    assert group.is_identity(group.add(P, group.neg(P)))
    assert group.equal(group.mul(group.add(P, Q), c), group.add(group.mul(P, c), group.mul(Q, c)))
    assert group.equal(group.msm([P, Q], [b, c]), group.add(group.mul(P, b), group.mul(Q, c)))
    assert group.is_identity(P) == (a == 0)
    if a:
        assert group.encode(group.decode(group.encode(P))) == group.encode(P)
        assert group.encode(group.decode_on_curve(group.encode(P))) == group.encode(P)


@pytest.mark.parametrize("name", NATIVE)
def test_group_laws(name: str) -> None:
    @FEW
    @given(scalars, scalars, scalars)
    def check(a: int, b: int, c: int) -> None:
        laws(name, a, b, c)

    check()


@FEWER
@given(scalars, scalars, scalars)
def test_group_laws_of_the_reference(a: int, b: int, c: int) -> None:
    laws("py_ecc", a, b, c)


@FEWER
@given(st.lists(st.tuples(st.binary(max_size=8), scalars), min_size=1, max_size=5))
def test_back_ends_agree_on_hashing_and_msm(terms: list[tuple[bytes, int]]) -> None:
    answers = set()
    for name in ALL:
        group = load(name)
        points = [group.hash_to_curve(message, b"DST") for message, _ in terms]
        ks = [k for _, k in terms]
        answers.add(group.encode(group.msm(points, ks)))
        answers.add(group.encode(group.fixed_bases(points).msm(range(len(ks)), ks)))
    assert len(answers) == 1


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=48, max_size=48), st.booleans())
def test_native_decoders_agree_with_the_reference_on_any_bytes(data: bytes, flagged: bool) -> None:
    if flagged:
        data = bytes([data[0] & 0x1F | 0x80]) + data[1:]
    answers = set()
    for name in ALL:
        group = load(name)
        try:
            answers.add(group.encode(group.mul_cofactor(group.decode_on_curve(data))))
        except ValueError as error:
            answers.add((type(error), str(error)))
    assert len(answers) == 1


@given(scalars, st.integers(1, 15))
def test_signed_digits(k: int, width: int) -> None:
    digits = signed_digits(k, width)
    assert sum(d << (width * i) for i, d in enumerate(digits)) == k
    assert all(abs(d) <= 1 << (width - 1) for d in digits)


def test_windows_grow_with_the_number_of_points() -> None:
    widths = [window_bits(n) for n in (1, 10, 100, 1000, 10000)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


@given(st.lists(st.integers(1, ORDER - 1), max_size=8))
def test_inverting_all_at_once(ks: list[int]) -> None:
    assert invert_all(ks) == [pow(k, -1, ORDER) for k in ks]
