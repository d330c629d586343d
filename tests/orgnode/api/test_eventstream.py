"""The reader of server-sent events, against the format's own rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgnode.api.eventstream import MAX_PENDING, EventParser, EventTooLongError, ServerEvent

STREAM = (
    b": a comment\nid: 1\nevent: signal\ndata: {}\n\n"
    b"id:2\r\ndata:  two\r\ndata: lines\r\n\r\n"
    b"data\rdata\rretry: 5\r\r"
    b"event: nothing\nid: 7\n\nunknown: x\ndata: \xce\xb1\n\n"
)
EVENTS = [
    ServerEvent("signal", "{}", "1"),
    ServerEvent("message", " two\nlines", "2"),
    ServerEvent("message", "\n", "2"),
    ServerEvent("message", "α", "7"),
]


def test_a_stream_with_every_kind_of_line() -> None:
    assert EventParser().feed(STREAM) == EVENTS
    assert EventParser().feed(b"\xef\xbb\xbf" + STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_where_the_bytes_are_cut_makes_no_difference(cuts: list[int]) -> None:
    parser, found, start = EventParser(), [], 0
    for cut in [*sorted(cuts), len(STREAM)]:
        found += parser.feed(STREAM[start:cut])
        start = cut
    assert found == EVENTS


def test_byte_by_byte() -> None:
    parser = EventParser()
    whole = b"\xef\xbb\xbf" + STREAM
    assert [event for i in range(len(whole)) for event in parser.feed(whole[i : i + 1])] == EVENTS


def test_an_id_with_a_zero_byte_is_ignored() -> None:
    assert EventParser().feed(b"id: 4\nid: 5\x00\ndata: x\n\n") == [
        ServerEvent("message", "x", "4")
    ]


def test_an_event_without_data_is_none_but_moves_the_id() -> None:
    parser = EventParser()
    assert parser.feed(b"id: 9\nevent: x\n\n") == []
    assert parser.feed(b"data: y\n\n") == [ServerEvent("message", "y", "9")]


def test_a_line_without_end_is_given_up() -> None:
    parser = EventParser()
    parser.feed(b"data: " + b"a" * (MAX_PENDING - 6))
    with pytest.raises(EventTooLongError):
        parser.feed(b"a")


def test_an_event_without_end_is_given_up() -> None:
    parser = EventParser()
    line = b"data: " + b"a" * 1000 + b"\n"
    for _ in range(MAX_PENDING // 1001):
        parser.feed(line)
    with pytest.raises(EventTooLongError):
        parser.feed(line)
