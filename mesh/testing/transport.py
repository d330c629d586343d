"""Between a log and its followers: a source of answers, one that fails on purpose, and a driver."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol, TypeVar

from mesh.assessment import Assessed
from mesh.claims import Claim, verify_claims
from mesh.days import Day
from mesh.follower import LogFollower
from mesh.following import SegmentMismatchError, TileMismatchError
from mesh.testing.orglog import TODAY
from mesh.wire import ERASED, MISSING, BodyAnswer, Present
from proofs.errors import ProofsError
from proofs.merkle import NodeAddress

T = TypeVar("T")


class LogSource(Protocol):
    """Where a follower's caller fetches from: `OrgLog`, or something in front of it."""

    def checkpoint(self) -> bytes:
        """The newest signed checkpoint."""
        ...

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        """The entries from `start` up to `end`."""
        ...

    def bodies(self, start: int, end: int) -> Sequence[BodyAnswer]:
        """Their body answers."""
        ...

    def nodes(self, addresses: Iterable[NodeAddress]) -> Sequence[bytes]:
        """The hashes of perfect subtrees."""
        ...


class AnswerLostError(Exception):
    """A request, or the answer to it, was lost."""


@dataclass(frozen=True)
class Faults:
    """How often an answer is lost or altered, each as a probability.

    `stale` is how often an old checkpoint is given instead of the newest, `erased` how often it is
    said of a body that it was erased.
    """

    lost: float = 0.0
    truncated: float = 0.0
    reordered: float = 0.0
    corrupted: float = 0.0
    stale: float = 0.0
    erased: float = 0.0


class FaultySource:
    """Answers from a source as a mirror might: some lost, cut short, out of order, old, or false.

    `met` counts the faults that did happen.
    """

    def __init__(self, source: LogSource, rng: Random, faults: Faults) -> None:
        self.source = source
        self.faults = faults
        self.met: Counter[str] = Counter()
        self._rng = rng
        self._past: list[bytes] = []

    def checkpoint(self) -> bytes:
        """The newest signed checkpoint, unless a fault strikes.

        :raises AnswerLostError: the answer was lost.
        """
        newest = self.source.checkpoint()
        if newest not in self._past:
            self._past.append(newest)
        self._lose()
        note = bytearray(newest)
        if len(self._past) > 1 and self._strikes("stale"):
            note = bytearray(self._rng.choice(self._past))
        if self._strikes("corrupted"):
            note[self._rng.randrange(len(note))] ^= 1 << self._rng.randrange(8)
        return bytes(note)

    def entries(self, start: int, end: int) -> list[bytes]:
        """The entries, unless a fault strikes.

        :raises AnswerLostError: the answer was lost.
        """
        return [
            self._flip(entry) if self._strikes_one(end - start) else entry
            for entry in self._shuffle(self.source.entries(start, end))
        ]

    def bodies(self, start: int, end: int) -> list[BodyAnswer]:
        """The body answers, unless a fault strikes.

        :raises AnswerLostError: the answer was lost.
        """
        return [
            ERASED if self._strikes("erased", 1 / max(1, end - start)) else answer
            for answer in (
                self._spoil(answer) if self._strikes_one(end - start) else answer
                for answer in self._shuffle(self.source.bodies(start, end))
            )
        ]

    def nodes(self, addresses: Iterable[NodeAddress]) -> list[bytes]:
        """The hashes, unless a fault strikes.

        :raises AnswerLostError: the answer was lost.
        """
        wanted = tuple(addresses)
        return [
            self._flip(node) if self._strikes_one(len(wanted)) else node
            for node in self._shuffle(self.source.nodes(wanted))
        ]

    def _strikes(self, fault: str, share: float = 1.0) -> bool:
        struck = self._rng.random() < float(getattr(self.faults, fault)) * share
        self.met[fault] += struck
        return struck

    def _strikes_one(self, of: int) -> bool:
        return self._strikes("corrupted", 1 / max(1, of))

    def _lose(self) -> None:
        if self._strikes("lost"):
            raise AnswerLostError

    def _shuffle(self, answers: Sequence[T]) -> list[T]:
        self._lose()
        items = list(answers)
        if items and self._strikes("truncated"):
            del items[self._rng.randrange(len(items)) :]
        if len(items) > 1 and self._strikes("reordered"):
            first, second = self._rng.sample(range(len(items)), 2)
            items[first], items[second] = items[second], items[first]
        return items

    def _flip(self, data: bytes) -> bytes:
        altered = bytearray(data)
        altered[self._rng.randrange(len(altered))] ^= 1 << self._rng.randrange(8)
        return bytes(altered)

    def _spoil(self, answer: BodyAnswer) -> BodyAnswer:
        if isinstance(answer, Present) and self._rng.random() < 0.5:
            return Present(answer.salt, self._flip(answer.body))
        return MISSING


class ProofChecker:
    """Verifies signals' proofs and remembers the verdicts, so that one used often costs once.

    The entropy is fixed, which is right only among one's own fakes: an adversary that knows it
    could make errors cancel in a batch.
    """

    def __init__(self) -> None:
        self._verdicts: dict[Claim, ProofsError | None] = {}

    def __call__(self, claims: Sequence[Claim]) -> list[ProofsError | None]:
        """The verdict for each claim."""
        new = list(dict.fromkeys(claim for claim in claims if claim not in self._verdicts))
        self._verdicts.update(zip(new, verify_claims(new, bytes(range(32))), strict=True))
        return [self._verdicts[claim] for claim in claims]


def follow(
    follower: LogFollower,
    source: LogSource,
    today: Day = TODAY,
    *,
    check_proofs: ProofChecker | None = None,
    attempts: int = 1,
) -> list[Assessed]:
    """Follow a source to its newest checkpoint; return what became of each entry.

    :param attempts: how often one segment is tried before its error is raised. After a mismatch the
        pair of checkpoints in doubt is diagnosed, so that a fork is found.
    :raises FollowerError: what the follower raised, with its state as it was left.
    :raises AnswerLostError: the last attempt was lost.
    """
    check_proofs = check_proofs or ProofChecker()
    follower.offer(source.checkpoint())
    results: list[Assessed] = []
    while (segment := follower.next_segment()) is not None:
        for attempt in range(1, attempts + 1):
            try:
                checked = follower.check(
                    segment,
                    source.entries(segment.start, segment.end),
                    source.bodies(segment.start, segment.end),
                    source.nodes(segment.tail),
                    today,
                )
            except (SegmentMismatchError, AnswerLostError):
                diagnose(follower, source)
                if attempt == attempts:
                    raise
            else:
                results += follower.conclude(checked, check_proofs(checked.claims))
                break
    return results


def diagnose(follower: LogFollower, source: LogSource) -> None:
    """Ask what a follower wants to know after a mismatch. Evidence is left in its state."""
    if follower.state.evidence is not None or (diagnosis := follower.diagnosis()) is None:
        return
    try:
        left, right = source.nodes(diagnosis.left), source.nodes(diagnosis.right)
        follower.diagnose(left, right)
    except (AnswerLostError, TileMismatchError):
        return  # nothing shown; the next mismatch asks again
