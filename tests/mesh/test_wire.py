from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.constraints import MAX_MEMBERS
from mesh.errors import SaltLengthError
from mesh.wire import (
    ERASED,
    MAX_ANNOUNCED,
    MAX_HINT,
    MISSING,
    Announcement,
    BodyAnswer,
    Erased,
    MessageLimitError,
    Missing,
    Present,
    TrailingBytesError,
    TruncatedMessageError,
    WireError,
    WireLimits,
    decode_announcement,
    decode_bodies,
    encode_announcement,
    encode_bodies,
)

SALT = bytes(range(32))
LIMITS = WireLimits(max_body=64, max_entries=8, max_checkpoint=100, max_certificate=150)

answers = st.one_of(
    st.just(ERASED),
    st.just(MISSING),
    st.builds(Present, st.binary(min_size=32, max_size=32), st.binary(max_size=64)),
)


@st.composite
def announcements(draw: st.DrawFn) -> Announcement:
    bodies = draw(st.lists(answers, max_size=8))
    entries = [draw(st.binary(max_size=50)) for _ in bodies]
    return Announcement(
        draw(st.binary(max_size=100)),
        draw(st.integers(0, 2**64 - 1)),
        tuple(entries),
        tuple(bodies),
        draw(st.binary(max_size=150)),
        draw(hints(len(bodies))),
    )


@st.composite
def hints(draw: st.DrawFn, count: int) -> tuple[bytes, ...]:
    drawn = draw(st.lists(st.binary(max_size=20), min_size=count, max_size=count))
    return tuple(drawn) if any(drawn) else ()


@given(st.lists(answers, max_size=10))
def test_bodies_are_read_as_written(bodies: list[BodyAnswer]) -> None:
    data = encode_bodies(bodies)
    assert decode_bodies(data, len(bodies), 64) == tuple(bodies)
    assert len(data) <= LIMITS.bodies_bytes(len(bodies))


@given(announcements())
def test_announcements_are_read_as_written(announcement: Announcement) -> None:
    data = encode_announcement(announcement)
    assert decode_announcement(data, LIMITS) == announcement
    assert len(data) <= LIMITS.announcement_bytes


@given(announcements(), st.data())
def test_every_cut_and_every_addition_is_refused(
    announcement: Announcement, data: st.DataObject
) -> None:
    message = encode_announcement(announcement)
    cut = data.draw(st.integers(0, len(message) - 1))
    with pytest.raises(TruncatedMessageError):
        decode_announcement(message[:cut], LIMITS)
    with pytest.raises(TrailingBytesError):
        decode_announcement(message + b"\x00", LIMITS)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_one_way_or_refused_by_name(data: bytes) -> None:
    try:
        announcement = decode_announcement(data, LIMITS)
    except WireError:
        return
    assert encode_announcement(announcement) == data


@given(st.binary(max_size=120), st.integers(0, 4))
def test_any_bodies_are_read_one_way_or_refused_by_name(data: bytes, count: int) -> None:
    try:
        bodies = decode_bodies(data, count, 64)
    except WireError:
        return
    assert encode_bodies(bodies) == data


def test_the_count_must_be_exact() -> None:
    data = encode_bodies([ERASED, MISSING, Present(SALT, b"x")])
    with pytest.raises(TruncatedMessageError):
        decode_bodies(data, 4, 64)
    with pytest.raises(TrailingBytesError):
        decode_bodies(data, 2, 64)


def test_limits_hold_before_anything_is_read() -> None:
    body = encode_bodies([Present(SALT, b"x" * 65)])
    with pytest.raises(MessageLimitError):
        decode_bodies(body, 1, 64)
    # Only the announced length is looked at: the bytes need not even be there.
    with pytest.raises(MessageLimitError):
        decode_bodies(body[:37], 1, 64)
    with pytest.raises(MessageLimitError):
        decode_announcement(b"\xff\xff\xff\xff", LIMITS)
    for size in (150, 151):
        certified = encode_announcement(Announcement(b"", 0, (), (), b"c" * size))
        if size == 150:
            assert decode_announcement(certified, LIMITS).certificate == b"c" * 150
        else:
            with pytest.raises(MessageLimitError):
                decode_announcement(certified, LIMITS)
    many = encode_announcement(Announcement(b"", 0, (b"",) * 9, (ERASED,) * 9))
    with pytest.raises(MessageLimitError):
        decode_announcement(many, LIMITS)
    assert decode_announcement(many, WireLimits()).entries == (b"",) * 9
    long = bytearray(encode_announcement(Announcement(b"", 0, (b"",), (ERASED,))))
    long[-2:] = (MAX_HINT + 1).to_bytes(2, "big")
    with pytest.raises(MessageLimitError):
        decode_announcement(bytes(long), LIMITS)


def test_a_certificate_of_every_member_fits() -> None:
    """The largest mesh's certificate: 100 cosignatures under names of 100 characters."""
    line = len(f"— {'n' * 100} ".encode()) + len(b64encode(bytes(4 + 8 + 64))) + 1
    assert 1_000 + MAX_MEMBERS * line <= WireLimits().max_certificate


def test_a_certificate_is_no_checkpoint() -> None:
    certified = encode_announcement(Announcement(b"", 0, (), (), b"note"))
    signed = encode_announcement(Announcement(b"note", 0, (), ()))
    assert certified != signed
    assert decode_announcement(signed, LIMITS).certificate == b""
    # Where it stands in the bytes: after the checkpoint, before the start.
    assert certified == bytes(4) + b"\0\0\0\4note" + bytes(8) + bytes(2)


def test_hints_stand_behind_the_bodies() -> None:
    entries, bodies = (b"one", b"two"), (Present(SALT, b"body"), ERASED)
    bare = Announcement(b"", 0, entries, bodies)
    hinted = Announcement(b"", 0, entries, bodies, hints=(b"hint", b""))
    data = encode_announcement(bare)
    assert encode_announcement(hinted) == data[:-4] + b"\0\4hint" + b"\0\0"
    assert data[-4:] == bytes(4)
    assert decode_announcement(data, LIMITS).hints == ()
    assert decode_announcement(encode_announcement(hinted), LIMITS).hints == (b"hint", b"")
    assert encode_announcement(Announcement(b"", 0, entries, bodies, hints=(b"", b""))) == data


def test_the_longest_hint_fits() -> None:
    longest = Announcement(b"", 0, (b"",), (ERASED,), hints=(b"h" * MAX_HINT,))
    assert decode_announcement(encode_announcement(longest), LIMITS) == longest


def test_an_unknown_answer_is_refused() -> None:
    with pytest.raises(WireError, match="unknown body answer 3"):
        decode_bodies(b"\x03", 1, 64)


def test_what_cannot_be_sent() -> None:
    with pytest.raises(MessageLimitError):
        encode_announcement(Announcement(b"", 0, (b"x" * 65_536,), (ERASED,)))
    count = MAX_ANNOUNCED + 1
    with pytest.raises(MessageLimitError):
        encode_announcement(Announcement(b"", 0, (b"",) * count, (ERASED,) * count))
    with pytest.raises(MessageLimitError):
        Announcement(b"", 0, (b"",), ())
    with pytest.raises(MessageLimitError):
        Announcement(b"", 0, (b"",), (ERASED,), hints=(b"one", b"two"))
    with pytest.raises(MessageLimitError):
        encode_announcement(Announcement(b"", 0, (b"",), (ERASED,), hints=(b"h" * (MAX_HINT + 1),)))
    with pytest.raises(SaltLengthError):
        Present(b"short", b"")


def test_erased_is_not_missing() -> None:
    assert Erased() == ERASED != MISSING == Missing()
    assert encode_bodies([ERASED]) != encode_bodies([MISSING])
