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


def test_a_clock_that_is_set_back_loses_no_count() -> None:
    volume = BlockVolume(many=3)
    volume.blocked(1_000)
    volume.blocked(10)
    assert volume.blocked(1_001) == 3
    assert volume.raised
    for at in (10, 1_001) * 20:
        volume.blocked(at)
    assert len(volume._minutes) == 1


@given(st.lists(st.integers(0, 5_000), max_size=200))
def test_it_is_bounded_and_counts_what_a_plain_reading_counts(times: list[int]) -> None:
    volume = BlockVolume()
    for place, at in enumerate(sorted(times)):
        counted = volume.blocked(at)
        oldest = (at - WINDOW_SECONDS) // 60
        assert counted == sum(1 for one in sorted(times)[: place + 1] if one // 60 > oldest)
        assert len(volume._minutes) <= WINDOW_SECONDS // 60 + 1
    assert MANY_BLOCKS == 50
