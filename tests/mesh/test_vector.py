"""Vectors: what two nodes tell each other about all logs, read one way or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.vector import (
    LogPosition,
    VectorOrderError,
    VectorPositionError,
    decode_vector,
    encode_vector,
    vector_bytes,
)
from mesh.wire import MessageLimitError, TrailingBytesError, TruncatedMessageError, WireError

ROOT = bytes(range(32))
ACME = LogPosition("acme.example", 7, 5, ROOT)
BIRCH = LogPosition("birch.example", 0, 0, bytes(32))

names = st.builds(
    lambda number, pad: f"m{number}{pad * 'x'}.example", st.integers(0, 50), st.integers(0, 60)
)


@st.composite
def positions(draw: st.DrawFn) -> LogPosition:
    size = draw(st.integers(0, 2**63 - 1))
    return LogPosition(
        draw(names), size, draw(st.integers(0, size)), draw(st.binary(min_size=32, max_size=32))
    )


vectors = st.lists(positions(), max_size=6, unique_by=lambda one: one.log)


@given(vectors)
def test_a_vector_is_read_as_written(vector: list[LogPosition]) -> None:
    data = encode_vector(vector)
    assert decode_vector(data) == tuple(sorted(vector, key=lambda one: one.log))
    assert len(data) <= vector_bytes(len(vector))
    assert encode_vector(vector[::-1]) == data


@given(vectors, st.data())
def test_every_cut_and_every_addition_is_refused(
    vector: list[LogPosition], data: st.DataObject
) -> None:
    message = encode_vector(vector)
    cut = data.draw(st.integers(0, len(message) - 1))
    with pytest.raises(TruncatedMessageError):
        decode_vector(message[:cut])
    with pytest.raises(TrailingBytesError):
        decode_vector(message + b"\x00")


@given(st.binary(max_size=120))
def test_any_bytes_are_read_one_way_or_refused_by_name(data: bytes) -> None:
    try:
        vector = decode_vector(data)
    except WireError:
        return
    assert encode_vector(vector) == data


def test_the_bytes_themselves() -> None:
    assert encode_vector([ACME]) == (
        b"\x00\x01\x0cacme.example" + bytes(7) + b"\x07" + bytes(7) + b"\x05" + ROOT
    )
    assert encode_vector([]) == b"\x00\x00"


def test_a_log_is_told_of_once_and_in_order() -> None:
    with pytest.raises(VectorOrderError):
        encode_vector([ACME, ACME])
    both = encode_vector([ACME, BIRCH])
    one, other = encode_vector([ACME])[2:], encode_vector([BIRCH])[2:]
    assert both == b"\x00\x02" + one + other
    for wrong in (other + one, one + one):
        with pytest.raises(VectorOrderError):
            decode_vector(b"\x00\x02" + wrong)


def test_there_are_no_more_positions_than_members() -> None:
    data = encode_vector([ACME, BIRCH])
    assert len(decode_vector(data, max_members=2)) == 2
    with pytest.raises(MessageLimitError):
        decode_vector(data, max_members=1)
    many = [LogPosition(f"m{number}.example", 0, 0, ROOT) for number in range(65_536)]
    with pytest.raises(MessageLimitError):
        encode_vector(many)
    # Only the count is looked at: the positions need not even be there.
    with pytest.raises(MessageLimitError):
        decode_vector(b"\xff\xff")


@pytest.mark.parametrize(
    ("name", "size", "certified", "root"),
    [
        ("ACME.example", 1, 1, ROOT),
        ("acme", 1, 1, ROOT),
        ("", 1, 1, ROOT),
        ("acme.example", 1, 2, ROOT),
        ("acme.example", -1, -1, ROOT),
        ("acme.example", 2**63, 0, ROOT),
        ("acme.example", 1, 1, ROOT[:31]),
        ("acme.example", 1, 1, ROOT + b"\x00"),
    ],
)
def test_positions_that_cannot_be(name: str, size: int, certified: int, root: bytes) -> None:
    with pytest.raises(VectorPositionError):
        LogPosition(name, size, certified, root)


def test_positions_are_checked_when_they_are_read() -> None:
    data = bytearray(encode_vector([ACME]))
    data[-33] = 8  # more certified than held
    with pytest.raises(VectorPositionError):
        decode_vector(bytes(data))
    for name in (b"acme/example", b"acme.ex\xc3\xa4mpl"):
        with pytest.raises(VectorPositionError):
            decode_vector(encode_vector([ACME]).replace(b"acme.example", name))
    long = b"\x00\x01\x65" + b"a" * 101 + bytes(24)
    with pytest.raises(MessageLimitError):
        decode_vector(long)
