"""Which of many kept texts gives way to another one: of those that are most alike, the oldest.

*Attack:* a thousand variants of one text push out what everybody else sent.

Texts that have most of their tokens in common mostly have the lowest of them in common too (Broder,
"On the resemblance and containment of documents", 1997). So the texts are told apart by their
lowest token, then by the next one, and each time the largest part is looked at. Texts of one family
can hold as many places as are free, and push out each other only, unless they have more than one
lowest token: at most as many as they have tokens. Where tokens are digests under a key of one's
own, nobody else knows which one is the lowest.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

DEPTH: Final = 4
"""How many of the lowest tokens are compared: a text and another one around it may share a few."""


def most_crowded(texts: Iterable[tuple[T, Sequence[str]]]) -> T:
    """Which of the texts has most that are like it; of such the first, of parts alike the first.

    :param texts: each with its tokens, sorted; the oldest first. At least one.
    """
    part = list(texts)
    for depth in range(DEPTH):
        branches: dict[str, list[tuple[T, Sequence[str]]]] = {}
        for one in part:
            branches.setdefault(one[1][depth] if depth < len(one[1]) else "", []).append(one)
        part = max(branches.values(), key=len)
    return part[0][0]
