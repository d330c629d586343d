"""What a person should know now: conditions that were noticed and have not gone away yet.

An alert stands for a condition (`kind`) of something (`subject`), from the moment it was noticed
until it is over. The part that notices it raises it, again and again if that is easier, and clears
it when it is gone. Each change is one line in the log, not each look. Nothing of an alert is
secret: kinds are words of this program, subjects names of members or ids, details numbers and
names.

All of it belongs to one event loop, and none of it outlives the process: what still holds after a
restart is noticed again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog

log = structlog.get_logger(__name__)

MAX_SUBJECTS: Final = 128
"""Most alerts of one kind that are kept; the oldest goes when another one comes."""

MAX_SUBJECT: Final = 200
MAX_DETAIL: Final = 500
"""Longest subject and detail, in characters; the rest is cut off."""

_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

CONVICTED: Final = (
    "this organization is convicted for good in this version: nothing lifts it. Stop every copy of "
    "the node, keep both data directories, and tell the other members; it takes part again only "
    "when the mesh is founded anew"
)
"""What to do once there is proof of two histories of the own log: the one text for it."""

HINTS: Final[dict[str, str]] = {
    "peer_behind": "see `orgnode peers`; if its node runs, ask its operator what the node logs",
    "equivocation": "its entries count nowhere any more; `orgnode evidence` shows the proof and "
    "exports it",
    "forked_self": CONVICTED,
    "disk_behind": "start the node again: it then asks all members what it had signed and takes "
    "that back. If an old disk or snapshot was put back, or its disk is lost, restore the newest "
    "backup into a new, empty --data-dir: `orgnode restore`",
    "recovering": "the members that are named must run. After a restore, if one of them is gone "
    "for ever: stop the node, and `orgnode restore FILE --without NAME` into a new, empty "
    "--data-dir",
    "disk": "free some space, or mend the disk that holds the data directory; the node goes on by "
    "itself",
    "mirror_quota": "its log is followed again tomorrow; ask its operator why it grows so fast",
    "uncertified": "own signals count nowhere until a quorum of members answers: see "
    "`orgnode peers`",
}
"""What a person can do about the kinds that are known; others carry it in their detail."""


@dataclass(frozen=True)
class Alert:
    """A condition that holds. `since` is when it was noticed first, in Unix seconds."""

    kind: str
    subject: str
    detail: str
    since: float

    @property
    def hint(self) -> str:
        """What a person can do about it; may be empty."""
        return HINTS.get(self.kind, "")


class Alerts:
    """The alerts of one node. `clock` gives Unix seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        # Kinds stay when their last alert goes, so that a gauge of them falls to 0.
        self._by_kind: dict[str, dict[str, Alert]] = {}

    def raise_(self, kind: str, subject: str, detail: str = "") -> None:
        """Say that a condition holds. If it was known, only its detail is renewed.

        :raises ValueError: the kind is not a lower-case word of at most 40 characters.
        """
        if _KIND.fullmatch(kind) is None:
            raise ValueError(f"{kind[:60]!r} is not a kind of alert")
        subject, detail = subject[:MAX_SUBJECT], detail[:MAX_DETAIL]
        known = self._by_kind.setdefault(kind, {})
        before = known.get(subject)
        if before is not None:
            known[subject] = replace(before, detail=detail)
            return
        while len(known) >= MAX_SUBJECTS:
            known.pop(next(iter(known)))
        known[subject] = Alert(kind, subject, detail, self._clock())
        log.warning("alert.raised", kind=kind, name=subject, reason=detail)

    def clear(self, kind: str, subject: str) -> None:
        """Say that a condition is over; nothing happens if it was not known."""
        gone = self._by_kind.get(kind, {}).pop(subject[:MAX_SUBJECT], None)
        if gone is not None:
            seconds = max(0, round(self._clock() - gone.since))
            log.info("alert.cleared", kind=kind, name=gone.subject, seconds=seconds)

    def current(self) -> list[Alert]:
        """The conditions that hold, the longest standing first."""
        found = [alert for known in self._by_kind.values() for alert in known.values()]
        return sorted(found, key=lambda alert: (alert.since, alert.kind, alert.subject))

    def counts(self) -> dict[str, int]:
        """How many alerts of each kind hold; kinds that held once stay, with 0."""
        return {kind: len(known) for kind, known in self._by_kind.items()}
