from hypothesis import given
from hypothesis import strategies as st

from mesh.volume import MANY_BLOCKS, WINDOW_SECONDS, BlockVolume


def test_many_blocks_within_ten_minutes_raise_it_and_quiet_ends_it() -> None:
    volume = BlockVolume(many=10)
    for count in range(1, 10):
        assert volume.blocked(600) == count
        assert not volume.raised
    assert volume.blocked(700) == 10
    assert volume.raised
    # The first nine are out of sight: under half of ten.
    assert volume.look(600 + WINDOW_SECONDS - 1) == 10
    assert volume.raised
    assert volume.look(600 + WINDOW_SECONDS) == 1
    assert not volume.raised


def test_it_does_not_flutter_about_the_limit() -> None:
    volume = BlockVolume(many=10)
    for _ in range(5):
        volume.blocked(0)
    for _ in range(5):
        volume.blocked(120)
    assert volume.raised
    assert volume.look(WINDOW_SECONDS + 60) == 5
    assert volume.raised
    assert volume.look(WINDOW_SECONDS + 120) == 0
    assert not volume.raised


def test_a_clock_that_is_set_back_a_little_loses_no_count() -> None:
    volume = BlockVolume(many=4)
    for at in (1_000, 1_100, 600):
        volume.blocked(at)
    assert volume.look(600) == 3
    assert volume.blocked(601) == 4
    assert volume.raised
    assert len(volume._minutes) == 1
    # They count as of now, and are over when that is.
    assert volume.look(600 + WINDOW_SECONDS) == 0
    assert not volume.raised


def test_a_clock_that_was_far_ahead_makes_no_minute_that_collects_everything() -> None:
    volume = BlockVolume(many=3)
    year, day = 365 * 86_400, 86_400
    for _ in range(3):
        volume.blocked(year)
    assert volume.look(0) == 0
    assert not volume.raised
    volume.blocked(year)
    for number in range(60):
        assert volume.blocked(number * day) == 1
    assert not volume.raised
    # A minute ahead by less than the window ends with it, too.
    volume.blocked(61 * day + WINDOW_SECONDS)
    assert volume.blocked(61 * day) == 2
    assert volume.look(61 * day + WINDOW_SECONDS) == 0


@given(st.lists(st.integers(0, 5_000), max_size=200))
def test_it_is_bounded_whatever_the_clock_does(times: list[int]) -> None:
    volume = BlockVolume()
    for place, at in enumerate(times):
        assert 1 <= volume.blocked(at) <= place + 1
        assert len(volume._minutes) <= WINDOW_SECONDS // 60 + 1
        assert all(minute <= at // 60 for minute, _ in volume._minutes)


@given(st.lists(st.integers(0, 5_000), max_size=200))
def test_it_is_bounded_and_counts_what_a_plain_reading_counts(times: list[int]) -> None:
    volume = BlockVolume()
    for place, at in enumerate(sorted(times)):
        counted = volume.blocked(at)
        oldest = (at - WINDOW_SECONDS) // 60
        assert counted == sum(1 for one in sorted(times)[: place + 1] if one // 60 > oldest)
        assert len(volume._minutes) <= WINDOW_SECONDS // 60 + 1
    assert MANY_BLOCKS == 50
