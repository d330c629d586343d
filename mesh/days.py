"""Days: the only times that documents of the mesh hold.

A day is the number of days since 1970-01-01 UTC; on the wire it is written `YYYY-MM-DD` (RFC 3339,
`full-date`). Nothing in `mesh` reads a clock: the day is handed in.
"""

import re
from datetime import date
from typing import Final, NewType

from mesh.errors import MeshError

Day = NewType("Day", int)
"""Days since 1970-01-01 UTC."""

SECONDS_PER_DAY: Final = 86_400
"""Seconds in a day of UTC as computers count it."""

LAST_DAY: Final = Day(date(9999, 12, 31).toordinal() - date(1970, 1, 1).toordinal())
"""The last day that can be written with a four-digit year."""

_EPOCH = date(1970, 1, 1).toordinal()
_FORMAT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")


class DayFormatError(MeshError):
    """A day is not written `YYYY-MM-DD`, does not exist, or lies before 1970."""


def parse_day(text: str) -> Day:
    """Read a day written `YYYY-MM-DD`, years 1970 to 9999, ASCII digits only.

    :raises DayFormatError: it is not written so, or there is no such day.
    """
    match = _FORMAT.fullmatch(text)
    if match is None:
        raise DayFormatError("write a day as YYYY-MM-DD")
    try:
        ordinal = date(int(match[1]), int(match[2]), int(match[3])).toordinal()
    except ValueError:
        raise DayFormatError(f"there is no day {match[0]}") from None
    if ordinal < _EPOCH:
        raise DayFormatError(f"{match[0]} lies before 1970-01-01")
    return Day(ordinal - _EPOCH)


def format_day(day: Day) -> str:
    """Write a day as `YYYY-MM-DD`.

    :raises DayFormatError: the day lies before 1970 or after 9999.
    """
    if not 0 <= day <= LAST_DAY:
        raise DayFormatError("a day lies between 1970-01-01 and 9999-12-31")
    return date.fromordinal(day + _EPOCH).isoformat()


def day_of(unix_seconds: float) -> Day:
    """The day (UTC) that a moment in seconds since 1970-01-01T00:00Z falls on.

    :raises DayFormatError: the moment lies before 1970 or after 9999.
    """
    day = Day(int(unix_seconds // SECONDS_PER_DAY))
    if not 0 <= day <= LAST_DAY:
        raise DayFormatError("a day lies between 1970-01-01 and 9999-12-31")
    return day
