"""Comparing with one random peer after another who holds what, so that nothing depends on a push.

Two nodes exchange vectors: for every log how many entries are held, how many of them certified, and
the root. Both sides learn the same from it. Where the other one holds more, its copy
is pulled (`orgnode.federation.chasing`); where its tree differs, its checkpoint is fetched, which
proves one history or two. A vector is nobody's signed word: it is a hint where to ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random

import structlog

from mesh.errors import MeshError
from mesh.vector import LogPosition, decode_vector, encode_vector
from orgnode.errors import OrgnodeError
from orgnode.federation.chasing import Chaser
from orgnode.federation.client import PeerClient
from orgnode.federation.contacts import Contacts
from orgnode.federation.fetch import end
from orgnode.federation.hooks import PEER_BEHIND, Hooks
from orgnode.federation.limits import Rhythm
from orgnode.federation.ports import Clock
from orgnode.store import Store, StoreError, StoreRangeError
from proofs.errors import ProofsError

log = structlog.get_logger(__name__)

# Vectors that a peer sends more often than this (seconds) are answered, but not compared.
_HEED = 0.1

Vector = tuple[LogPosition, ...]


class Gossip:
    """Exchanges vectors, and remembers the last one of every peer.

    `chasers` are those of the other members' logs. `learned(peer, size, certified)` is told how far
    a peer holds the own log, `pushed(peer)` knows it from the pushes; `doubted(peer)` is told that
    it holds it otherwise than this node.
    `tells_own()`: whether this node knows, and tells, how far its own log goes.
    """

    def __init__(
        self,
        *,
        name: str,
        members: int,
        store: Store,
        clients: Mapping[str, PeerClient],
        chasers: Mapping[str, Chaser],
        learned: Callable[[str, int, int], None],
        pushed: Callable[[str], int],
        doubted: Callable[[str], None],
        tells_own: Callable[[], bool],
        contacts: Contacts,
        hooks: Hooks,
        rhythm: Rhythm,
        jitter: Random,
        clock: Clock = time.time,
    ) -> None:
        self._name = name
        self._members = members
        self._store = store
        self._clients = clients
        self._chasers = chasers
        self._learned = learned
        self._pushed = pushed
        self._doubted = doubted
        self._tells_own = tells_own
        self._contacts = contacts
        self._hooks = hooks
        self._rhythm = rhythm
        self._jitter = jitter
        self._clock = clock
        self._vectors: dict[str, dict[str, LogPosition]] = {}
        self._heeded: dict[str, float] = {}
        # What a peer lacked when that was noticed: our vector then, and when.
        self._marks: dict[str, tuple[float, dict[str, int]]] = {}
        self._alerted: dict[str, bool] = dict.fromkeys(clients, False)
        self._exchanges: dict[str, asyncio.Task[None]] = {}
        # What was told last, and the same encoded: most of the time nothing has changed.
        self._told: tuple[list[LogPosition], bytes] = [], encode_vector([])
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first peer is asked at once."""
        self._task = asyncio.create_task(self._run(), name="gossip")

    async def stop(self) -> None:
        """End, in the middle of exchanges too."""
        task, self._task = self._task, None
        await end(task, *list(self._exchanges.values()))

    async def asked(self, peer: str, data: bytes) -> bytes:
        """A peer sent its vector; returns this node's. Raises WireError when it is none."""
        vector = decode_vector(data, self._members)
        self._contacts.heard(peer)
        now = asyncio.get_running_loop().time()
        if now - self._heeded.get(peer, -_HEED) >= _HEED:
            self._heeded[peer] = now
            self._compare(peer, vector)
        return self._vector()

    async def exchange(self, peer: str) -> Vector:
        """Exchange vectors with a peer now; returns what it holds.

        Raises PeerError or WireError when it does not answer as it should, StoreError.
        """
        answer = await self._clients[peer].gossip(self._vector())
        vector = decode_vector(answer, self._members)
        self._contacts.worked(peer, "gossip")
        self._compare(peer, vector)
        return vector

    def position(self, peer: str, log_name: str) -> LogPosition | None:
        """How far a peer holds a log by its last vector; None if it said nothing of it."""
        return self._vectors.get(peer, {}).get(log_name)

    def behind(self, peer: str) -> int:
        """How many entries of all logs together the peer lacks by its last word; 0 without one."""
        if peer not in self._vectors:
            return 0
        lacks = self._lacks(peer, self._store.vector())
        return sum(size - self._holds(peer, name) for name, size in lacks.items())

    def behind_since(self, peer: str) -> float | None:
        """Since when (seconds of the clock) the peer has lacked something; None if it does not."""
        mark = self._marks.get(peer)
        return None if mark is None else mark[0]

    # --- exchanging

    async def _run(self) -> None:
        while self._clients:
            resting = [peer for peer in self._clients if peer not in self._exchanges]
            if resting:
                # Each in a task of its own: a peer that does not answer must not hold up others.
                peer = self._jitter.choice(resting)
                task = asyncio.create_task(self._one(peer), name=f"gossip:{peer}")
                self._exchanges[peer] = task
                task.add_done_callback(partial(self._ended, peer))
            self._watch()
            await asyncio.sleep(self._jitter.uniform(*self._rhythm.gossip))

    async def _one(self, peer: str) -> None:
        try:
            await self.exchange(peer)
        except (OrgnodeError, MeshError, ProofsError) as error:
            if not self._contacts.error(peer):
                log.warning("gossip.failed", peer=peer, error=type(error).__name__)
            if not isinstance(error, StoreError):
                self._contacts.failed(peer, "gossip", error)
        except Exception:
            log.exception("gossip.crashed", peer=peer)

    def _ended(self, peer: str, _: object) -> None:
        self._exchanges.pop(peer, None)

    def _vector(self) -> bytes:
        positions = self._store.vector()
        if not self._tells_own():
            positions = [one for one in positions if one.log != self._name]
        if positions != self._told[0]:
            self._told = positions, encode_vector(positions)
        return self._told[1]

    # --- comparing

    def _compare(self, peer: str, vector: Vector) -> None:
        self._vectors[peer] = {
            one.log: one for one in vector if one.log in self._chasers or one.log == self._name
        }
        held = self._store.vector()
        ours = {one.log: one for one in held}
        for one in self._vectors[peer].values():
            mine = ours.get(one.log)
            if mine is not None and mine.size == one.size:
                other_tree = mine.root != one.root  # as it nearly always is
            else:
                other_tree = self._differs(one)
            if one.log != self._name:
                self._chasers[one.log].hint(peer, one.size, one.certified, doubtful=other_tree)
                continue
            self._learned(peer, one.size, one.certified)
            if other_tree:
                self._doubted(peer)
        self._note_lag(peer, held, fresh=True)

    def _differs(self, one: LogPosition) -> bool:
        """Whether a peer's tree differs from the one that is held here, as far as both go."""
        try:
            root = self._store.root_at(one.log, one.size)
        except StoreRangeError:
            return one.log == self._name  # of the own log nobody can hold more than this node
        return root != one.root

    # --- who lags

    def _holds(self, peer: str, name: str) -> int:
        position = self.position(peer, name)
        told = 0 if position is None else position.size
        return max(told, self._pushed(peer)) if name == self._name else told

    def _lacks(self, peer: str, held: Sequence[LogPosition]) -> dict[str, int]:
        """The logs that this node holds further than the peer does, and how far."""
        theirs = self._vectors.get(peer, {})
        found = {}
        for ours in held:
            told = theirs.get(ours.log)
            # What it said itself is enough, nearly always.
            if (
                ours.log != peer
                and (told is None or ours.size > told.size)
                and ours.size > self._holds(peer, ours.log)
            ):
                found[ours.log] = ours.size
        return found

    def _watch(self) -> None:
        """Look at all peers: what came since their last vectors is lacking too."""
        held = self._store.vector()
        for peer in self._clients:
            self._note_lag(peer, held, fresh=False)

    def _note_lag(self, peer: str, held: Sequence[LogPosition], *, fresh: bool) -> None:
        # A peer of a busy mesh always lacks what came in the last moment. So what counts is how
        # long it lacks the same entries: those that it lacked when the mark was made.
        mark, heard = self._marks.get(peer), peer in self._vectors
        if mark is not None and heard:
            for name, size in mark[1].items():
                if self._holds(peer, name) < size:
                    break
            else:
                mark = None
        if mark is None and ((lacks := self._lacks(peer, held)) or not heard):
            mark = self._clock(), lacks
        if mark is None:
            self._marks.pop(peer, None)
            if self._alerted[peer]:
                self._alerted[peer] = False
                self._hooks.calm(PEER_BEHIND, peer)
            return
        self._marks[peer] = mark
        if self._clock() - mark[0] <= self._rhythm.behind_alert:
            return
        # In a large mesh a vector may be old, and the peer have all by now. What is certain is a
        # new one, silence, or that it did not take what it was pushed.
        own = mark[1].get(self._name, 0)
        if self._alerted[peer] or fresh or self._contacts.error(peer) or self._pushed(peer) < own:
            self._alerted[peer] = True
            detail = f"it lacks {self.behind(peer)} entries" if heard else "it has not been heard"
            self._hooks.alert(PEER_BEHIND, peer, detail)
