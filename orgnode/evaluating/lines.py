"""What this node knows of each seat: how fast it answers, how it failed, whether it may be asked.

Latency is smoothed as TCP smooths round trips (RFC 6298): the mean and the mean deviation, of which
the mean and four deviations are about what 95 of 100 answers stay below. A seat that was slow or
down is forgiven with time, or it would never be asked again and never show that it recovered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mesh.committee import Seat
from mesh.days import Day
from orgnode.federation.backoff import Backoff

UNKNOWN_SECONDS: Final = 0.025
"""Latency that a seat is believed to have before it was asked."""
MIN_PATIENCE: Final = 0.025
MAX_PATIENCE: Final = 1.0
"""Bounds of how long a seat is waited for before another one is asked too."""
FORGIVEN_SECONDS: Final = 30.0
"""In so many seconds without an answer half of what a seat is slower than usual is forgotten."""
EXCLUDED_SECONDS: Final = 3_600.0
"""How long a seat that signed a wrong evaluation is not asked."""

_MEAN_GAIN, _DEVIATION_GAIN = 1 / 8, 1 / 4  # RFC 6298, section 2


class SeatLine:
    """One seat, as its answers so far make it look.

    `clock` counts seconds; `patience` is the least time that the seat is given before another one
    is asked too.
    """

    def __init__(
        self,
        seat: Seat,
        *,
        own: bool,
        clock: Callable[[], float],
        patience: float = MIN_PATIENCE,
    ) -> None:
        self.seat = seat
        self._least = patience
        self.own = own
        self._clock = clock
        self._mean: float | None = None
        self._deviation = 0.0
        self._measured = clock()
        self._pause = Backoff(0.25, 30.0)
        self._retry_at = 0.0
        self._excluded_until: float | None = None
        self._resets: Day | None = None
        self.error = ""
        """Name of the last failure, empty after an answer."""

    @property
    def member(self) -> str:
        """The member that holds the seat."""
        return self.seat.member

    @property
    def index(self) -> int:
        """The seat's index."""
        return self.seat.index

    @property
    def latency(self) -> float | None:
        """Smoothed seconds from asking to having the answer; None before the first."""
        return self._mean

    def answered(self, seconds: float) -> None:
        """It answered after so many seconds."""
        if self._mean is None:
            self._mean, self._deviation = seconds, seconds / 2
        else:
            self._deviation += _DEVIATION_GAIN * (abs(seconds - self._mean) - self._deviation)
            self._mean += _MEAN_GAIN * (seconds - self._mean)
        self._measured = self._clock()
        self._pause.worked()
        self._retry_at = 0.0
        self.error = ""

    def unanswered(self, seconds: float) -> None:
        """It was given up after so many seconds, since others were faster."""
        if seconds > self.expected:
            self._mean, self._deviation = seconds, seconds / 2
            self._measured = self._clock()

    def failed(self, error: str) -> None:
        """It gave no usable answer, for a reason with this name."""
        self.error = error
        self._retry_at = self._clock() + self._pause.failed()

    def over_budget(self, resets: Day) -> None:
        """It does not evaluate for this organization any more until this day."""
        self._resets = resets

    def convicted(self) -> None:
        """It signed a wrong evaluation."""
        self._excluded_until = self._clock() + EXCLUDED_SECONDS

    @property
    def excluded(self) -> bool:
        """Whether it is not asked since it signed a wrong evaluation."""
        return self._excluded_until is not None and self._clock() < self._excluded_until

    def resets(self, today: Day) -> Day | None:
        """The day on which it evaluates for this organization again; None if it does now."""
        return None if self._resets is None or self._resets <= today else self._resets

    @property
    def expected(self) -> float:
        """Seconds that its next answer is expected to take."""
        if self._mean is None:
            return UNKNOWN_SECONDS
        excess = self._mean - UNKNOWN_SECONDS
        if excess <= 0:
            return self._mean
        age = self._clock() - self._measured
        return float(UNKNOWN_SECONDS + excess * 0.5 ** (age / FORGIVEN_SECONDS))

    @property
    def patience(self) -> float:
        """Seconds after which another seat is asked too."""
        if self._mean is None:
            return 2 * self._least
        return max(self._least, min(MAX_PATIENCE, self.expected + 4 * self._deviation))

    @property
    def failing(self) -> bool:
        """Whether it failed so recently that every other seat is asked before it."""
        return self._clock() < self._retry_at
