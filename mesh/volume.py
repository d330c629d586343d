"""How often the mesh makes a node block: a count that rises an alarm and does nothing else."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW_SECONDS: Final = 600
"""The time that is looked back on."""
MANY_BLOCKS: Final = 50
"""Blocks within that time from which on a person should look; under half of it, it is over."""

_BUCKET_SECONDS: Final = 60


@dataclass
class BlockVolume:
    """Blocks of the last ten minutes, counted by the minute; times are Unix seconds."""

    many: int = MANY_BLOCKS
    raised: bool = field(default=False, init=False)
    """Whether there were many, and it is not over yet."""
    _minutes: deque[list[int]] = field(default_factory=deque, init=False, repr=False)

    def blocked(self, at: int) -> int:
        """A text was blocked; returns how many were within the window."""
        self._look_back(at)
        minute = at // _BUCKET_SECONDS
        if self._minutes and self._minutes[-1][0] == minute:
            self._minutes[-1][1] += 1
        else:
            self._minutes.append([minute, 1])
        return self.look(at)

    def look(self, at: int) -> int:
        """How many were blocked within the window; `raised` says what that means."""
        self._look_back(at)
        count = sum(number for _, number in self._minutes)
        if count >= self.many:
            self.raised = True
        elif 2 * count < self.many:
            self.raised = False
        return count

    def _look_back(self, at: int) -> None:
        """Forget what is out of sight, and count what is later than now as of this minute.

        A clock that is put right by a little loses no count. What is further ahead than the window
        was counted by a clock that was wrong, nobody knows when: it is dropped. Else one minute of
        the far future would go on collecting.
        """
        minute, width = at // _BUCKET_SECONDS, WINDOW_SECONDS // _BUCKET_SECONDS
        oldest, newest = (at - WINDOW_SECONDS) // _BUCKET_SECONDS, minute + width
        while self._minutes and self._minutes[0][0] <= oldest:
            self._minutes.popleft()
        ahead = 0
        while self._minutes and self._minutes[-1][0] > minute:
            later, count = self._minutes.pop()
            ahead += count if later <= newest else 0
        if ahead and self._minutes and self._minutes[-1][0] == minute:
            self._minutes[-1][1] += ahead
        elif ahead:
            self._minutes.append([minute, ahead])
