"""Publishing the own log: handing it to every peer, asking for cosignatures, telling certificates.

One round is open at a time (`orgnode.federation.certifying`). Each peer has a *line* of its own: a
task that does for it, one exchange at a time, what is due next:

1. announce: entries with bodies, the checkpoint of the round, and the newest certificate;
2. ask for a cosignature, once the peer holds what the round covers;
3. announce what came since, when the peer has done its part, or can't, and the round is still open;
4. ask for receipts of retractions.

So under load every exchange carries as many entries as have gathered, and a certificate rides on
the next push. A line that fails waits longer and longer, and holds up no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random

import structlog

from mesh.certificate import CertificateError
from mesh.errors import MeshError
from mesh.witness import AddCheckpoint
from orgnode.errors import OrgnodeError
from orgnode.federation.announcing import Announcements
from orgnode.federation.backoff import Backoff, pause
from orgnode.federation.certifying import Certifying
from orgnode.federation.client import PeerClient
from orgnode.federation.contacts import Contacts
from orgnode.federation.errors import (
    UNREACHED,
    NotMirroredError,
    PeerAnswerError,
    PeerError,
    StaleOldSizeAnswer,
)
from orgnode.federation.fetch import end
from orgnode.federation.limits import Rhythm
from orgnode.federation.ports import Workers
from orgnode.federation.pushline import PushLine
from orgnode.federation.receipts import Receipts
from orgnode.federation.repeats import Repeats
from orgnode.federation.rounds import Round
from orgnode.hints import RecentHints
from orgnode.store import Store, StoreError
from proofs.errors import ProofsError
from proofs.merkle import consistency_proof

log = structlog.get_logger(__name__)

# The status of a witness that will cosign later: it pulls still, or asks about its own past.
_NOT_NOW = 503
# A peer that has not given a receipt yet is asked again after so many seconds, doubling to the cap.
_RECEIPT_PAUSE = 2.0

Doubted = Callable[[str], None]
MakeCertifying = Callable[[Callable[[], None], Callable[[], int]], Certifying]


class _NoFurtherError(PeerAnswerError):
    """A peer answered an announcement, but has no more than before: it pulls, or is busy."""


class Pusher:
    """Publishes the own log; `notify` tells it that the log has grown.

    `certifying` is what holds the open round; `make_certifying` gets a callback for its changes,
    and one that tells how much of the log a `quorum` of the members holds, by their own words.
    `hints` has those of the newest own entries. `doubted` is called with a peer's name when its
    witness says that it cosigned a larger checkpoint of the own log than there is.
    """

    def __init__(
        self,
        *,
        name: str,
        store: Store,
        clients: Mapping[str, PeerClient],
        workers: Workers,
        hints: RecentHints,
        make_certifying: MakeCertifying,
        quorum: int,
        receipts: Receipts,
        contacts: Contacts,
        doubted: Doubted,
        rhythm: Rhythm,
        jitter: Random,
    ) -> None:
        self._name = name
        self._store = store
        self._receipts = receipts
        self._contacts = contacts
        self._doubted = doubted
        self._rhythm = rhythm
        self._announcements = Announcements(store, name, workers, hints)
        self._repeats = Repeats()
        self._halted = False
        self._others_needed = quorum - 1
        self.certifying = make_certifying(self._wake, self._held)

        def backoff() -> Backoff:
            return Backoff(rhythm.backoff, rhythm.backoff_cap, jitter)

        self.lines = {
            peer: PushLine(client, backoff(), backoff()) for peer, client in clients.items()
        }

    def start(self) -> None:
        """Begin, with the newest stored checkpoint; peers are told at once if the log has any."""
        certified = self._store.certified_size(self._name)
        for line in self.lines.values():
            line.witnessed = certified  # a guess; its witness tells the true one
            line.task = asyncio.create_task(self._serve(line), name=f"push:{line.peer}")
        self.certifying.start()

    async def stop(self) -> None:
        """End all lines. What a peer has not been told yet it will pull."""
        await self.certifying.stop()
        await end(*(line.task for line in self.lines.values()))
        await self._announcements.stop()
        for line in self.lines.values():
            line.task = None

    def halt(self) -> None:
        """Publish nothing any more: the own log was found to have two histories."""
        self._halted = True

    def notify(self, size: int) -> None:
        """The own log has grown to `size`, durable and signed."""
        self.certifying.grown()
        self._wake()

    def learned(self, peer: str, held: int, certified: int) -> None:
        """The peer said in a vector how far it holds the own log."""
        line, tip, known = self.lines[peer], self.certifying.tip, self.certifying.certificate
        # An answer to a push may be newer than a vector, so this only ever raises.
        before = line.held, line.certified
        if tip is not None and held > (line.held or 0):
            line.held = min(held, tip[1])
            if line.held >= line.tried:  # else it would be handed the same once more
                line.retry_at = min(line.retry_at, self._now() + self._rhythm.backoff)
                line.alive.set()
        if known is not None and certified > line.certified:
            line.certified = min(certified, known.size)
        if (line.held, line.certified) != before:
            line.wake.set()

    def alive(self, peer: str) -> None:
        """`peer` was just heard of: what it could not do just now, it may be asked again soon."""
        line = self.lines[peer]
        if line.backoff.passing and (wait := line.backoff.sign_of_life()) is not None:
            line.retry_at = min(line.retry_at, self._now() + wait)
            line.alive.set()
        if line.cosigning.passing and (wait := line.cosigning.sign_of_life()) is not None:
            line.cosign_at = min(line.cosign_at, self._now() + wait)
            line.wake.set()

    def _held(self) -> int:
        """How many entries so many of the others hold that they are a quorum with this node."""
        tip = self.certifying.tip
        held = sorted((line.held or 0 for line in self.lines.values()), reverse=True)
        sizes = [0 if tip is None else tip[1], *held[: self._others_needed]]
        return min(sizes) if len(sizes) > self._others_needed else 0

    def _wake(self) -> None:
        for line in self.lines.values():
            line.wake.set()

    async def _serve(self, line: PushLine) -> None:
        while True:
            try:
                rest = await self._step(line)
            except (OrgnodeError, MeshError, ProofsError) as error:
                self._failed(line, error)
            except Exception as error:
                log.exception("push.crashed", peer=line.peer)
                self._failed(line, error)
            else:
                if rest is None or rest > 0:
                    await pause(rest, line.wake)
                continue
            while (left := line.retry_at - self._now()) > 0:
                await pause(left, line.alive)

    async def _step(self, line: PushLine) -> float | None:
        """Do what is due next for a peer; returns for how long to rest, None for until woken."""
        tip, open_, now = self.certifying.tip, self.certifying.round, self._now()
        if tip is None or self._halted:
            return None
        note, size = tip
        asked = open_ is not None and line.round < open_.number  # its part is still to be done
        round_ = open_ if asked and now >= line.cosign_at else None
        if round_ is not None:
            note, size = round_.note, round_.size
        known = self.certifying.certificate
        news = known is not None and line.certified < known.size
        if news or line.held is None or line.held < size:
            if open_ is not None and round_ is None and not news and now < line.ready:
                return line.ready - now  # in a moment the others are done: all goes together
            await self._announce(line, note, size)
            return 0.0
        if round_ is not None:
            await self._ask_cosignature(line, round_)
            return 0.0
        rests = [await self._ask_receipts(line, size)]
        if asked:
            rests.append(line.cosign_at - now)
        return min((rest for rest in rests if rest is not None), default=None)

    async def _announce(self, line: PushLine, note: bytes, size: int) -> None:
        """Announce once. Raises _NoFurtherError when the peer has no more by it than before."""
        known = self.certifying.certificate
        certified = 0 if known is None else known.size
        news = b"" if known is None or line.certified >= certified else known.note
        line.tried = size
        data = await self._announcements.make(note, line.held, size, news, certified if news else 0)
        held, told = await line.client.announce(data)
        # Whatever a peer claims to hold, nothing beyond the own log is meant.
        tip = self.certifying.tip
        further = line.answered(min(held, tip[1] if tip else 0), min(told, certified))
        if not further and not (min(held, size) == size and told >= certified):
            raise _NoFurtherError(f"{line.peer} holds {held} of {size} entries, and took no more")
        self._worked(line)

    async def _ask_cosignature(self, line: PushLine, round_: Round) -> None:
        """Ask once. A witness that refuses is left alone for a while, but not the peer."""
        try:
            await self._cosignature(line, round_)
        except (PeerAnswerError, CertificateError) as error:
            code = type(error).__name__
            if count := self._repeats.count("cosign", line.peer, code):
                log.info("push.not_cosigned", peer=line.peer, error=code, count=count)
            not_now = isinstance(error, PeerAnswerError) and error.status == _NOT_NOW
            line.cosign_at = self._now() + line.cosigning.failed(passing=not_now)
            if isinstance(error, PeerAnswerError) and error.told == NotMirroredError.__name__:
                line.held = None  # it lacks what it had, or a body of it: ask where it stands
            elif not not_now:
                self._contacts.failed(line.peer, "cosign", error)
        else:
            line.cosigning.worked()
            line.round = round_.number
            line.ready = self._now() + self._rhythm.push_pause
            self._contacts.went_on(line.peer, "cosign")

    async def _cosignature(self, line: PushLine, round_: Round) -> None:
        try:
            answer = await line.client.add_checkpoint(self._request(line, round_))
        except StaleOldSizeAnswer as error:
            line.witnessed = error.size
            if error.size > round_.size:
                # It may have cosigned a newer checkpoint before this node was started anew, but
                # none that is not there.
                tip = self.certifying.tip
                if tip is None or error.size > tip[1]:
                    self._doubted(line.peer)
                raise
            answer = await line.client.add_checkpoint(self._request(line, round_))
        self.certifying.collected(line.peer, round_, answer)
        line.witnessed = round_.size

    def _request(self, line: PushLine, round_: Round) -> bytes:
        old = min(line.witnessed, round_.size)
        proof: list[bytes] = []
        if old:
            proof = consistency_proof(
                old, round_.size, lambda nodes: self._store.nodes(self._name, nodes)
            )
        return AddCheckpoint(old, tuple(proof), round_.note).encode()

    async def _ask_receipts(self, line: PushLine, size: int) -> float | None:
        """Ask for receipts that are due; returns when to ask again, None if none are missing."""
        if line.receipted == size:
            return None
        early = line.receipts_at - self._now()
        if early > 0:
            return early
        try:
            complete = await self._receipts.collect(line.client)
        except (PeerError, MeshError, ProofsError) as error:
            log.info("push.no_receipt", peer=line.peer, error=type(error).__name__)
            complete = False
        if complete:
            line.receipted, line.receipt_tries = size, 0
            return None
        wait = min(self._rhythm.backoff_cap, _RECEIPT_PAUSE * 2.0 ** min(line.receipt_tries, 30))
        line.receipts_at = self._now() + wait
        line.receipt_tries += 1
        return wait

    def _worked(self, line: PushLine) -> None:
        if not line.backoff.failures:
            self._contacts.went_on(line.peer, "push")
            return
        if self._repeats.count("recovered", line.peer):
            log.info("push.recovered", peer=line.peer)
        line.backoff.worked()
        self._contacts.worked(line.peer, "push")

    def _failed(self, line: PushLine, error: Exception) -> None:
        code = type(error).__name__
        if count := self._repeats.count("push", line.peer, code):
            log.info("push.failed", peer=line.peer, error=code, count=count)
        wait = line.backoff.failed(passing=isinstance(error, UNREACHED))
        line.retry_at = self._now() + wait
        if not isinstance(error, StoreError | _NoFurtherError):
            self._contacts.failed(line.peer, "push", error)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
