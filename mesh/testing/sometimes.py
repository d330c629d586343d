"""What must have happened at least once in a suite of runs, so that passing it means something.

A schedule that never loses a message passes every check and shows nothing. Each run counts what it
met; the suite merges the counts and names what no run met.
"""

from collections import Counter
from collections.abc import Iterable, Mapping


class Sometimes:
    """Counts of named things that happened, and the names of those that are expected to.

    :param expected: what a whole suite must have met at least once.
    """

    def __init__(self, expected: Iterable[str] = ()) -> None:
        self.expected = tuple(dict.fromkeys(expected))
        self.met: Counter[str] = Counter()

    def hit(self, what: str, times: int = 1) -> None:
        """It happened."""
        self.met[what] += times

    def merge(self, other: "Sometimes | Mapping[str, int]") -> None:
        """Add what another run met."""
        self.met.update(other.met if isinstance(other, Sometimes) else other)

    def missing(self) -> list[str]:
        """What is expected and was never met, in the order in which it was expected."""
        return [what for what in self.expected if self.met[what] <= 0]
