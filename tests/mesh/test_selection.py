import random

from hypothesis import given
from hypothesis import strategies as st

from mesh.fingerprint.keys import SelectionKey, order_hash
from mesh.fingerprint.selection import Taking, candidates, order_hashes

KEY = SelectionKey(bytes(32))
# Few different hashes, so that there are many ties.
HASHES = st.builds(
    lambda seed, size: [bytes([n]) for n in random.Random(seed).choices(range(6), k=size)],
    st.integers(0, 10**6),
    st.integers(0, 200),
)


@given(HASHES)
def test_every_run_has_its_leftmost_minimum(hashes: list[bytes]) -> None:
    runs = range(max(1, len(hashes) - 31))
    expected = {
        min(range(i, min(i + 32, len(hashes))), key=lambda at: (hashes[at], at))
        for i in runs
        if hashes
    }
    assert candidates(hashes) == sorted(expected)


def test_order_hashes_are_those_of_the_windows() -> None:
    for text in ("abcdefghijklmnopqrstuvwxyz" * 3, "абвгдежзиклмнопрстуфхцчшщэюя" * 3):
        assert order_hashes(KEY, text) == [
            order_hash(KEY, text[i : i + 24]) for i in range(len(text) - 23)
        ]
    assert order_hashes(KEY, "too short") == []


@given(HASHES, st.integers(0, 30), st.data())
def test_taking_apart(hashes: list[bytes], start: int, data: st.DataObject) -> None:
    span = range(start, len(hashes))
    left_out = data.draw(st.sets(st.sampled_from(list(span) or [0])))
    taking = Taking(hashes, span, lambda at: None if at in left_out else at.to_bytes(2))
    taking.apart(span)
    taken = [int.from_bytes(value) for value in taking.inputs]
    assert len(taken) <= 32
    assert not left_out & set(taken)
    assert all(abs(a - b) >= 24 for a in taken for b in taken if a != b)
    assert taken == sorted(taken, key=lambda at: (hashes[at], at))
    if len(taken) < 32:
        for at in set(span) - left_out:
            assert any(abs(at - other) < 24 for other in taken)
    taking.any(span)
    assert len(taking.inputs) == min(32, len(set(span) - left_out))


def test_no_more_are_taken_than_may_be() -> None:
    hashes = [bytes([i % 251, i // 251]) for i in range(2_000)]
    taking = Taking(hashes, range(2_000), lambda at: at.to_bytes(2))
    taking.apart(range(2_000))
    assert taking.full
    assert len(taking.inputs) == 32
