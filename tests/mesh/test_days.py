import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.days import LAST_DAY, Day, DayFormatError, day_of, format_day, parse_day


@given(st.integers(0, LAST_DAY))
def test_written_days_are_read_again(number: int) -> None:
    assert parse_day(format_day(Day(number))) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [("1970-01-01", 0), ("1970-01-02", 1), ("2000-02-29", 11016), ("9999-12-31", LAST_DAY)],
)
def test_known_days(text: str, number: int) -> None:
    assert parse_day(text) == number
    assert format_day(Day(number)) == text


@pytest.mark.parametrize(
    "text",
    [
        "1969-12-31",
        "0000-01-01",
        "2026-02-30",
        "2025-02-29",
        "2026-13-01",
        "2026-00-10",
        "2026-1-1",
        "2026-01-01 ",
        "2026-01-01\n",
        " 2026-01-01",
        "20260101",
        "2026-W01-1",
        "2026-01-01T00:00",
        "+2026-01-01",
        "10000-01-01",
        "２０２６-01-01",
        "٢٠٢٦-01-01",
        "",
    ],
)
def test_anything_else_is_no_day(text: str) -> None:
    with pytest.raises(DayFormatError):
        parse_day(text)


@pytest.mark.parametrize("number", [-1, LAST_DAY + 1])
def test_days_that_cannot_be_written(number: int) -> None:
    with pytest.raises(DayFormatError):
        format_day(Day(number))


def test_a_moment_falls_on_a_day() -> None:
    assert day_of(0.0) == 0
    assert day_of(86_399.999) == 0
    assert day_of(86_400) == 1
    with pytest.raises(DayFormatError):
        day_of(-0.5)
    with pytest.raises(DayFormatError):
        day_of((LAST_DAY + 1) * 86_400)
