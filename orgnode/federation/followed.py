"""One member's log as it is followed: which checkpoints are known, and what proves two histories.

The rules are those of `mesh.follower`; here each step is made durable before it counts. Whatever
goes wrong (a full disk, a cancelled task, another writer), the follower is made anew from the
store: what is on disk is the truth.

Coroutines and `diagnosis` are for the holder of `lock`. None of them waits for a peer, so the lock
is never held for longer than this node's own work takes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import structlog

from mesh.evidence import Evidence, split_evidence
from mesh.follower import MAX_SEGMENT, LogFollower
from mesh.following import Diagnosis, FollowerState, SuspendedLogError
from mesh.genesis import Mesh
from mesh.member import MemberCard
from orgnode.federation.errors import SuspendedPeerError
from orgnode.federation.ports import OnAssessed
from orgnode.store import SecondRootError, Store
from proofs.checkpoint import parse_checkpoint_text
from proofs.cosignature import bare
from proofs.merkle import NodeAddress
from proofs.note import parse_note

log = structlog.get_logger(__name__)

MAX_WITHHELD = 16
"""Most checkpoints of a log that are kept while their entries are not here."""
# Seconds between two checkpoints that are come nearer to on their owner's word alone.
_NEARER_PAUSE = 1.0


@dataclass(frozen=True)
class LogEvents:
    """What is told of a log, each time after it is durable. None of them may block or raise.

    `convicted`: evidence against this log was found here and stored. `accused`: an accepted entry
    of this log holds evidence against a member's log, which the store has suspended with it.
    """

    assessed: OnAssessed
    certified: Callable[[str, int], None]
    convicted: Callable[[Evidence], None]
    accused: Callable[[Evidence], None]


class FollowedLog:
    """What is known of one member's log: the follower in memory, and the store behind it.

    `segment`: most entries that are taken at a time. `limited`: whether only so many checkpoints
    are kept whose entries are not here, and come nearer to only so often (`MAX_WITHHELD`).
    """

    def __init__(
        self,
        *,
        member: MemberCard,
        mesh: Mesh,
        store: Store,
        events: LogEvents,
        segment: int = MAX_SEGMENT,
        limited: bool = True,
    ) -> None:
        self.member = member
        self.name = member.name
        self.lock = asyncio.Lock()
        self._mesh = mesh
        self._store = store
        self._events = events
        self._segment = segment
        self._limited = limited
        self._nearer_at = -math.inf
        self._tree = _Tree(store, self.name)
        self._history = store.history(self.name)
        self._stale = False
        self._follower = self._restart()
        self._remembered = self._follower.target

    # --- what is known

    @property
    def size(self) -> int:
        """Entries of the log that are held, durable."""
        return self._held

    @property
    def known_size(self) -> int:
        """Size of the newest checkpoint that the log is known to have signed."""
        return max(self._follower.known_size, self._held)

    @property
    def evidence(self) -> Evidence | None:
        """Why the log is suspended, if it is."""
        if self._stale:
            return self._store.state(self.name).evidence
        return self._follower.evidence

    def refresh(self) -> None:
        """The store has changed behind the follower (evidence came): read it before going on."""
        self._stale = True

    def refuse_suspended(self) -> None:
        """Raise SuspendedPeerError if there is evidence against the log."""
        evidence = self.evidence
        if evidence is not None:
            raise self._suspended(evidence)

    # --- checkpoints

    async def offer(self, note: bytes, *, backed: bool = False) -> None:
        """Take a signed checkpoint from anybody; evidence is made durable before all else.

        `backed`: what it covers can be had, for it is certified, or came with it.

        :raises RefusedCheckpointError: it is not a checkpoint that this log signed.
        :raises SuspendedPeerError: there is evidence against the log, perhaps just found.
        :raises StoreError: see there.
        """
        follower = self._current()
        try:
            follower.offer(note)
        except SuspendedLogError as error:
            await self._suspend(error.evidence)
        self._come_nearer(note, backed)

    async def remember(self) -> None:
        """Make the checkpoint that is being followed durable, before anything of it came.

        Its owner can withhold what it covers for as long as it likes; another root for its size
        must be a fork after a restart of this node too. *Attack:* it signs checkpoint after
        checkpoint, and withholds what all of them cover, to fill the disk with them. Beyond
        `MAX_WITHHELD` they are followed all the same, and forgotten at the end.
        """
        follower = self._current()
        target = follower.target
        if target is None or target == self._remembered or self._too_many_withheld():
            return
        try:
            await self._store.save_state(self.name, follower.state)
        except SecondRootError as error:
            await self._second_root(error)
        except BaseException:
            self._follower = self._restart()
            raise
        self._remembered = target

    def _come_nearer(self, note: bytes, backed: bool) -> None:
        """Follow a checkpoint that was just offered before a larger one that is being followed.

        An owner may sign a checkpoint, tell of it, and withhold what it covers. Were that followed
        to its end first, whatever is certified below it would be out of reach. What nobody backs
        is come nearer to once in a while, and not at all once too much is withheld.
        """
        target, newest = self._follower.target, self._follower.newest
        if target is None or newest is None or target == note:
            return
        if self._held < claimed_size(note) < claimed_size(target) and (backed or self._may_turn()):
            nearer = bare(note, self._mesh.log_key(self.name))
            follower = self._from_state(replace(self._follower.state, target=nearer))
            follower.offer(target)
            follower.offer(newest)  # perhaps larger still, and come while the target was followed
            self._follower = follower

    def _may_turn(self) -> bool:
        """Whether a checkpoint that nobody backs may become the one that is followed, now."""
        now = asyncio.get_running_loop().time()
        if self._limited and (now < self._nearer_at or self._too_many_withheld()):
            return False
        self._nearer_at = now + _NEARER_PAUSE
        return True

    def _too_many_withheld(self) -> bool:
        """Whether as many durable checkpoints as may be reach beyond what is held."""
        if not self._limited:
            return False
        largest = self._store.checkpoints(self.name, MAX_WITHHELD)
        return sum(one.size > self._held for one in largest) == MAX_WITHHELD

    # --- telling two histories from broken bytes

    def diagnosis(self) -> Diagnosis | None:
        """What to fetch after a mismatch; None when only asking again can help."""
        return self._current().diagnosis()

    async def diagnose(self, left: Sequence[bytes], right: Sequence[bytes]) -> None:
        """Judge what was fetched for a diagnosis.

        :raises SuspendedPeerError: it proves two histories; the evidence is stored.
        :raises FollowerError: it shows nothing.
        """
        evidence = self._current().diagnose(left, right)
        if evidence is not None:
            await self._suspend(evidence)

    # --- small things

    def _current(self) -> LogFollower:
        if self._stale:
            self._follower = self._restart()
        return self._follower

    def _restart(self) -> LogFollower:
        """A follower of what is stored; whatever one before it had in memory is forgotten."""
        self._stale = False
        state = self._store.state(self.name)
        self._held = state.size
        return self._from_state(state)

    def _from_state(self, state: FollowerState) -> LogFollower:
        return LogFollower(
            self._mesh,
            self.member,
            state,
            history=self._history,
            tree=self._tree,
            segment=self._segment,
        )

    async def _second_root(self, error: SecondRootError) -> NoReturn:
        """The store knows another root for a size than the follower did: the proof of a split."""
        self._follower = self._restart()
        evidence = split_evidence(self._mesh, self.name, error.first, error.second)
        await self._suspend(evidence)

    async def _suspend(self, evidence: Evidence) -> NoReturn:
        """Store the evidence and stop following. Raises SuspendedPeerError."""
        state = self._store.state(self.name)
        self._stale = True  # the follower may be ahead of the store, or hold the second root
        if state.evidence is not None:
            raise self._suspended(state.evidence)
        log.error("federation.equivocation", peer=self.name, kind=evidence.kind, size=state.size)
        await self._store.save_state(self.name, replace(state, evidence=evidence))
        self._events.convicted(evidence)
        raise self._suspended(evidence)

    def _suspended(self, evidence: Evidence) -> SuspendedPeerError:
        return SuspendedPeerError(
            f"the log of {self.name} is suspended: {evidence.reason}",
            hint="its entries are not followed any more; see `orgnode peers`",
        )


class _Tree:
    """The stored tree of one log, for the evidence that a follower makes from it."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name

    def nodes(self, addresses: Sequence[NodeAddress]) -> list[bytes]:
        return self._store.nodes(self._name, addresses)


def claimed_size(note: bytes) -> int:
    """The size that a checkpoint names. Nothing of it is verified.

    :raises ProofsError: it is no checkpoint.
    """
    return parse_checkpoint_text(parse_note(note).text).size
