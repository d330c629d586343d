"""Publishing evidence: whoever learns of two histories says so in its own log.

It says so once for each log, and again before that ends. Every member does, also one that learned
it from another's entry: the accuser's own log may be suspended or lost later, and the proof should
not go with it.
"""

from __future__ import annotations

import asyncio
from random import Random

import structlog

from mesh.accusation import accusation_due, compose_accusation
from mesh.days import SECONDS_PER_DAY, Day
from mesh.entry import Kind
from mesh.errors import MeshError
from mesh.evidence import Evidence, verify_evidence
from mesh.genesis import Mesh
from orgnode.federation.backoff import Backoff, pause
from orgnode.federation.errors import ForkedSelfError
from orgnode.federation.fetch import end
from orgnode.federation.limits import Rhythm
from orgnode.federation.ports import Today
from orgnode.ownlog import Draft, LogClosedError, OwnLog
from orgnode.store import Store, StoreError

log = structlog.get_logger(__name__)

_LOOKED_AGAIN = SECONDS_PER_DAY / 4


class Accuser:
    """Appends an entry of evidence to the own log for every suspended log that has none there yet.

    Or whose evidence has lived half of its life there: what has expired, nobody who joins reads.
    What was found, but not appended before a crash, is found again in the store at the start.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        store: Store,
        own_log: OwnLog,
        today: Today,
        rhythm: Rhythm,
        jitter: Random,
    ) -> None:
        self._mesh = mesh
        self._name = name
        self._store = store
        self._own_log = own_log
        self._today = today
        self._backoff = Backoff(rhythm.backoff, rhythm.backoff_cap, jitter)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the own log takes entries."""
        self._task = asyncio.create_task(self._run(), name="accuse")

    async def stop(self) -> None:
        """End."""
        task, self._task = self._task, None
        await end(task)

    def notify(self) -> None:
        """A log was suspended."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                for evidence in self._unpublished():
                    await self._own_log.append(self._draft(evidence))
                    log.warning("accuse.published", log=evidence.log, kind=evidence.kind)
            except (ForkedSelfError, LogClosedError):
                return
            except StoreError as error:
                log.error("accuse.failed", error=type(error).__name__)
                await pause(self._backoff.failed(), self._wake)
                continue
            self._backoff.worked()
            await pause(_LOOKED_AGAIN, self._wake)

    def _unpublished(self) -> list[Evidence]:
        history, today = self._store.history(self._name), self._today()
        found = []
        for card in self._mesh.peers_of(self._name):
            evidence = self._store.state(card.name).evidence
            said = history.accuses(card.name)
            if evidence is None or not accusation_due(self._mesh.constraints, said, today):
                continue
            try:
                verify_evidence(self._mesh, evidence)
            except MeshError as error:
                log.error("accuse.not_portable", log=card.name, error=type(error).__name__)
                continue
            found.append(evidence)
        return found

    def _draft(self, evidence: Evidence) -> Draft:
        return Draft(
            kind=Kind.EVIDENCE,
            expires=Day(self._today() + self._mesh.constraints.max_expiry_days),
            body=compose_accusation(evidence),
            evidence=evidence,
        )
