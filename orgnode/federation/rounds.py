"""Rounds of cosignatures over the own log's checkpoints, without I/O.

One round is open at a time, over one checkpoint, so that all members cosign the same one: were
each asked for the newest at its own pace, no checkpoint of a busy log would ever gather a quorum.

    rounds.grown(note, size, now)              # the log has a newer checkpoint
    rounds.current                             # what to ask members to cosign, None if nothing
    rounds.collect(number, member, line, now)  # a member's line; the certificate at the q-th
    rounds.deadline() / rounds.expire(now)     # a round that others have outgrown is given up

The next round opens when the open one is certified. It is over the newest checkpoint, unless
members are far behind that: then over the newest one that a quorum has the content of already, so
that what is certified keeps up with what they hold, however much comes in.

A round is given up for a newer one when it is older than the timeout and the log has grown since: a
checkpoint that nothing follows is asked for until it is certified. Nor is one given up whose
content members still lack, before the longest timeout: what follows it needs that too. The timeout
doubles with every round that is given up, so that members who are slow, but enough, get there in
the end; a certificate sets it to three times what its round took. Nobody is asked for a round that
was given up, but answers that were on their way count still: the members did the work.

Sizes only rise from round to round: a witness cosigns nothing smaller than it did before. Times are
seconds of any clock that never goes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mesh.certificate import Certificate, certify, check_cosignature
from mesh.genesis import Mesh
from proofs.checkpoint import parse_checkpoint_text
from proofs.note import parse_note

MAX_GIVEN_UP: Final = 4
"""So many rounds that were given up are remembered, for the answers that are on their way."""

MAX_AHEAD: Final = 32
"""A round over the newest checkpoint asks a quorum to take in at most so many entries first."""

_RECENT = 1_024
_PATIENCE = 3.0
"""A round is given up when it takes so many times as long as the last one that was certified."""


@dataclass(frozen=True)
class Round:
    """One checkpoint that members are asked to cosign."""

    number: int
    """Rises from 1; never used twice in one run."""
    note: bytes = field(repr=False)
    """The checkpoint with the log's own signature alone."""
    size: int
    root: bytes = field(repr=False)
    opened: float


class Rounds:
    """The rounds of one log.

    `certified` is the size that is certified already; nothing up to it is asked for again.
    `timeout` and `cap`: how old a round gets at first, and at most, before a newer one replaces it.
    `held()` is how many entries a quorum, the log's owner included, is known to hold.
    """

    def __init__(
        self,
        mesh: Mesh,
        log: str,
        *,
        timeout: float,
        cap: float,
        held: Callable[[], int],
        certified: int = 0,
    ) -> None:
        self._mesh = mesh
        self._log = log
        self._first = timeout
        self._cap = cap
        self._timeout = timeout
        self._held = held
        self._certified = certified
        self._asked = 0
        self._number = 0
        self._recent: deque[tuple[bytes, int]] = deque(maxlen=_RECENT)
        self._current: Round | None = None
        self._lines: dict[str, bytes] = {}
        self._given_up: dict[int, tuple[Round, dict[str, bytes]]] = {}

    @property
    def current(self) -> Round | None:
        """The open round."""
        return self._current

    @property
    def certified(self) -> int:
        """Size of the largest certified checkpoint."""
        return self._certified

    @property
    def cosigned(self) -> tuple[str, ...]:
        """Who has cosigned in the open round, by name."""
        return tuple(sorted(self._lines))

    @property
    def cosigned_lately(self) -> frozenset[str]:
        """Who has cosigned in the open round, or in one of the last that were given up, by name."""
        given_up = (lines for _, lines in self._given_up.values())
        return frozenset(self._lines).union(*given_up)

    def grown(self, note: bytes, size: int, now: float) -> bool:
        """Take the log's newest checkpoint (`size` entries); returns whether a round was opened.

        An older one than known is ignored.
        """
        if self._recent and size <= self._recent[-1][1]:
            return False
        self._recent.append((note, size))
        return self._current is None and self._open(now)

    def collect(self, number: int, member: str, line: bytes, now: float) -> Certificate | None:
        """Take a member's cosignature line; returns the certificate if it completes a quorum.

        The round is closed then, and the next one opened if the log has grown. A line for a round
        that was given up lately counts for that one; a line for any other is ignored.

        :raises CertificateSignatureError: it is not a cosignature of that member over the round's
            checkpoint; the round is as it was before.
        """
        round_, lines = self._round(number)
        if round_ is None:
            return None
        check_cosignature(self._mesh, member, round_.note, line)
        lines[member] = line
        certificate = certify(self._mesh, self._log, round_.note, lines)
        if certificate is None:
            return None
        self._certified = round_.size
        self._timeout = min(self._cap, max(self._first, _PATIENCE * (now - round_.opened)))
        self._given_up = {
            earlier: held for earlier, held in self._given_up.items() if held[0].size > round_.size
        }
        if round_ is self._current:
            self._current = None
            self._lines = {}
            self._open(now)
        return certificate

    def deadline(self) -> float | None:
        """When the open round is to be given up for a newer one; None while there is no newer."""
        current = self._current
        if current is None or not self._outgrown(current.size):
            return None
        return current.opened + (self._timeout if self._held() >= current.size else self._cap)

    def expire(self, now: float) -> bool:
        """Give the open round up if it is due; returns whether a newer one was opened."""
        due = self.deadline()
        if due is None or now < due:
            return False
        assert self._current is not None
        self._timeout = min(self._cap, 2 * self._timeout)
        self._given_up[self._current.number] = self._current, self._lines
        if len(self._given_up) > MAX_GIVEN_UP:
            del self._given_up[min(self._given_up)]
        self._current = None
        self._lines = {}
        return self._open(now)

    def _round(self, number: int) -> tuple[Round | None, dict[str, bytes]]:
        if self._current is not None and self._current.number == number:
            return self._current, self._lines
        return self._given_up.get(number, (None, {}))

    def _outgrown(self, size: int) -> bool:
        return bool(self._recent) and self._recent[-1][1] > size

    def _open(self, now: float) -> bool:
        while self._recent and self._recent[0][1] <= self._certified:
            self._recent.popleft()
        if not self._recent:
            return False
        note, size = self._choose()
        checkpoint = parse_checkpoint_text(parse_note(note).text)
        self._number += 1
        self._asked = size
        self._current = Round(self._number, note, size, checkpoint.root, now)
        return True

    def _choose(self) -> tuple[bytes, int]:
        newest, held = self._recent[-1], self._held()
        if newest[1] - held > MAX_AHEAD:
            within = [one for one in self._recent if self._asked < one[1] <= held]
            if within:
                return within[-1]
        return newest
