"""What the store says about tokens, promotions, and the committee: plain frozen data.

A check reads sources by the hundred, and a named tuple is made in a quarter of a data class's time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class TokenSource(NamedTuple):
    """A live signal that holds a token. Ids and tokens are hex.

    `received` is when it began to count here, certified and with its content, in seconds since
    1970-01-01 UTC. `confirmed_by` and `denied_by` name the members whose newest sighting says so,
    sorted; the issuer itself is never among them, but another member of its control group can be.
    """

    token: str
    signal: str
    issuer: str
    band_level: int
    category: str
    technique: str | None
    direct: bool
    received: float
    own: bool
    confirmed_by: tuple[str, ...] = ()
    denied_by: tuple[str, ...] = ()


class Promotion(NamedTuple):
    """A window that a member promoted, and what of its evidence is live here now.

    `id` is that of the promotion's entry; `sources` are the direct signals among the evidence that
    are live and hold the token, and can be none. `received` is when it began to count here, as in
    `TokenSource`. `held_by` names the members, sorted, whose direct signals among the evidence held
    the token when the promotion began to count, or did so after it: a signal that ends takes its
    member off `sources`, and never off here.
    """

    id: str
    member: str
    input: str
    token: str
    sources: tuple[TokenSource, ...]
    held_by: tuple[str, ...]
    received: float


@dataclass(frozen=True, slots=True)
class Misconduct:
    """Signed notes that prove a member's wrong answer to a request. Anybody can judge them.

    `kind` says what was wrong, `at` is in seconds since 1970-01-01 UTC.
    """

    member: str
    kind: str
    request: bytes = field(repr=False)
    answer: bytes = field(repr=False)
    at: float
