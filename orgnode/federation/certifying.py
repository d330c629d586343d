"""The own log's way to certificates: the open round, this node's own cosignature, what is stored.

The rules of rounds are those of `orgnode.federation.rounds`; here they get a clock, the own witness
takes part, and each certificate is stored so that what it covers takes effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import structlog

from mesh.certificate import Certificate, open_certificate
from mesh.errors import MeshError
from mesh.genesis import Mesh
from orgnode.errors import OrgnodeError
from orgnode.federation.backoff import Backoff, pause
from orgnode.federation.fetch import end
from orgnode.federation.followed import claimed_size
from orgnode.federation.hooks import UNCERTIFIED, Hooks
from orgnode.federation.limits import Rhythm
from orgnode.federation.rounds import Round, Rounds
from orgnode.store import Store, StoreError
from proofs.errors import ProofsError

log = structlog.get_logger(__name__)

# So many members that have not cosigned are named in an alert.
_NAMED = 5


class Certifying:
    """Keeps a round open while anything of the own log is uncertified.

    `cosign_own` asks this node's own witness; `changed` is called when a round was opened, or a
    certificate completed; `held()` is how much of the log a quorum is known to hold.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        store: Store,
        cosign_own: Callable[[bytes], Awaitable[bytes]],
        changed: Callable[[], None],
        held: Callable[[], int],
        hooks: Hooks,
        rhythm: Rhythm,
        jitter: Random,
    ) -> None:
        self._mesh = mesh
        self._name = name
        self._store = store
        self._cosign_own = cosign_own
        self._changed = changed
        self._held = held
        self._hooks = hooks
        self._rhythm = rhythm
        self._tip: tuple[bytes, int] | None = None
        self._certificate: Certificate | None = None
        self._stored = 0
        self._rounds = self._new_rounds(0)
        self._waiting_since: float | None = None
        self._backoff = Backoff(rhythm.backoff, rhythm.backoff_cap, jitter)
        self._to_keep = asyncio.Event()
        self._to_cosign = asyncio.Event()
        self._to_store = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def tip(self) -> tuple[bytes, int] | None:
        """The log's newest checkpoint, signed by the log alone, and its size."""
        return self._tip

    @property
    def round(self) -> Round | None:
        """The open round."""
        return self._rounds.current

    @property
    def certificate(self) -> Certificate | None:
        """The newest certificate."""
        return self._certificate

    def start(self) -> None:
        """Begin with what is stored; a round opens if not all of it is certified."""
        self._stored = self._store.certified_size(self._name)
        note = self._store.certificate(self._name)
        if note is not None:
            try:
                self._certificate = open_certificate(self._mesh, self._name, note)
            except MeshError as error:  # the next one replaces it
                log.error("certify.stored_one_is_false", error=type(error).__name__)
        self._rounds = self._new_rounds(self._stored)
        self._tasks = [
            asyncio.create_task(self._keep_rounds(), name="rounds"),
            asyncio.create_task(self._cosign(), name="cosign"),
            asyncio.create_task(self._keep_certificate(), name="certify"),
        ]
        self.grown()

    async def stop(self) -> None:
        """End; what was not certified is asked for again after the next start."""
        tasks, self._tasks = self._tasks, []
        await end(*tasks)

    def grown(self) -> None:
        """The own log has a newer checkpoint in the store."""
        note = self._store.checkpoint(self._name)
        if note is None or not self._tasks:
            return
        size = claimed_size(note)
        if size and (self._tip is None or size > self._tip[1]):
            self._tip = note, size
            if self._rounds.grown(note, size, self._now()):
                self._opened()
            self._to_keep.set()

    def collected(self, member: str, round_: Round, line: bytes) -> None:
        """Take a member's cosignature; raises CertificateError if it is none over this round.

        A round that was given up meanwhile may be certified by it all the same.
        """
        certificate = self._rounds.collect(round_.number, member, line, self._now())
        if certificate is None:
            return
        self._certificate = certificate
        self._waiting_since = None
        self._to_store.set()
        self._to_keep.set()
        if self._rounds.current is not None:
            self._opened()
        else:
            self._changed()

    def _new_rounds(self, certified: int) -> Rounds:
        return Rounds(
            self._mesh,
            self._name,
            timeout=self._rhythm.round_timeout,
            cap=self._rhythm.round_timeout_cap,
            held=self._held,
            certified=certified,
        )

    def _opened(self) -> None:
        if self._waiting_since is None:
            self._waiting_since = self._now()
        self._to_cosign.set()
        self._to_keep.set()
        self._changed()

    async def _keep_rounds(self) -> None:
        """Give up rounds that others have outgrown; alert when nothing gets certified."""
        alerted = False
        while True:
            now = self._now()
            if self._rounds.expire(now):
                self._opened()
            due = [self._rounds.deadline()]
            if self._waiting_since is None:
                if alerted:
                    self._hooks.calm(UNCERTIFIED, self._name)
                    alerted = False
            elif now < self._waiting_since + self._rhythm.behind_alert:
                due.append(self._waiting_since + self._rhythm.behind_alert)
            else:
                alerted = True
                self._hooks.alert(UNCERTIFIED, self._name, self._lacking())
                due.append(now + self._rhythm.behind_alert)
            times = [at for at in due if at is not None]
            await pause(max(0.0, min(times) - now) if times else None, self._to_keep)

    def _lacking(self) -> str:
        waiting = 0 if self._tip is None else self._tip[1] - self._rounds.certified
        cosigned, members = self._rounds.cosigned_lately, self._mesh.members
        missing = [card.name for card in members if card.name not in cosigned]
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        return (
            f"{waiting} own entries wait to be certified: {len(cosigned)} of the "
            f"{self._mesh.constraints.quorum} cosignatures that it takes are here, none of "
            f"{', '.join(missing[:_NAMED])}{more}"
        )

    async def _cosign(self) -> None:
        """This node's own witness does its part in every round."""
        done = 0
        while True:
            round_ = self._rounds.current
            if round_ is None or round_.number == done:
                await pause(None, self._to_cosign)
                continue
            try:
                self.collected(self._name, round_, await self._cosign_own(round_.note))
            except (OrgnodeError, MeshError, ProofsError) as error:
                log.warning("certify.own_cosignature_failed", error=type(error).__name__)
                await pause(self._backoff.failed(), self._to_cosign)
            else:
                done = round_.number
                self._backoff.worked()

    async def _keep_certificate(self) -> None:
        while True:
            await pause(None, self._to_store)
            certificate = self._certificate
            if certificate is None or certificate.size <= self._stored:
                continue
            try:
                await self._store.certify(
                    self._name, certificate.note, certificate.size, certificate.root
                )
            except StoreError as error:
                log.error("certify.store_failed", error=type(error).__name__)
                await pause(self._backoff.failed(), self._to_store)
                self._to_store.set()
                continue
            self._stored = certificate.size
            self._hooks.certified(self._name, certificate.size)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
