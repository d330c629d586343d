"""From an incident to a published signal, and back out again: report and retract.

The incident's text becomes windows, which the committee evaluates blinded to what tokens are made
of; its component scores become commitments and a proof in a worker process; and both are sealed in
the vault in the same commit that appends the signal: there is never a published signal whose
openings are lost, nor a vault row without its signal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import replace

from mesh.days import Day, format_day
from mesh.entry import Kind
from mesh.fingerprint import Fingerprint, SelectionKey, published_fingerprint
from mesh.genesis import Mesh
from mesh.retraction import compose_retraction, parse_retraction
from mesh.sighting import SightingBody, compose_sighting, parse_sighting
from mesh.signal import SignalDraft, check_draft, parse_signal
from mesh.token import token_hex
from mesh.wire import Present
from orgnode.derived import derived_confidence
from orgnode.errors import OrgnodeError
from orgnode.evaluating import Evaluator
from orgnode.incidents import IncidentInput, Published
from orgnode.metrics import Metrics
from orgnode.ownlog import Draft, OwnLog
from orgnode.store import (
    DuplicateReferenceError,
    KnownReference,
    SealedIncident,
    SignalRecord,
    SignalStatus,
    Store,
)
from orgnode.vault import Incident, Vault
from orgnode.workers import Workers

# A text of so many characters is fingerprinted in less time than a thread's turn takes.
_SHORT_TEXT = 2_000

_PAGE = 256

PUBLISH_DEADLINE = 10.0
"""How long the committee may take over one incident, in seconds."""


class UnknownSignalError(OrgnodeError):
    """No signal with this id is known at this node."""


class NotYourSignalError(OrgnodeError):
    """Only a signal's issuer can retract it."""


class NotLiveError(OrgnodeError):
    """The signal was retracted or has expired: there is nothing left to act on."""


class CooldownError(OrgnodeError):
    """An own signal with the same windows was retracted a short while ago: it would not count."""


class OwnSightingError(OrgnodeError):
    """An organization confirms or denies a signal of its own, or of its own control group."""


class Publisher:
    """Reports incidents and retracts signals for one organization. Any task may call it."""

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        selection_key: SelectionKey,
        evaluator: Evaluator,
        drop: Callable[[], Container[bytes]],
        store: Store,
        vault: Vault,
        own_log: OwnLog,
        workers: Workers,
        expiry_days: int,
        today: Callable[[], Day],
        metrics: Metrics,
    ) -> None:
        self._mesh = mesh
        self._name = name
        self._selection_key = selection_key
        self._evaluator = evaluator
        self._drop = drop
        self._store = store
        self._vault = vault
        self._own_log = own_log
        self._workers = workers
        self._expiry_days = min(expiry_days, mesh.constraints.max_expiry_days)
        self._today = today
        self._metrics = metrics
        self._in_flight: dict[str, asyncio.Task[Published]] = {}
        self._retracting: set[str] = set()
        self._sighting = asyncio.Lock()  # looking and appending are one step

    async def report(self, incident: IncidentInput) -> Published:
        """Publish one incident as a signal; returns when it is durable in the own log.

        With a `reference`, reporting the same incident again returns the first answer, marked
        `duplicate`.

        :raises MeshError, ProofsError: the incident can't be published as it is (a component out of
            range, a claimed band above the total, no band reached, an unknown category, no text, or
            a parent whose confidence is too low to be passed on).
        :raises ParentError: nothing can be derived from the signal that it names.
        :raises CommitteeUnreachableError, EvaluationBudgetError: nothing was published; see there.
        :raises CooldownError: it would count nowhere.
        :raises RecoveringError, ForkedSelfError, OwnQuotaError: nothing is signed now; see there.
        :raises WorkerDiedError, LogClosedError, StoreError: nothing was published; report it again.
        """
        started = time.perf_counter()
        if incident.reference is None:
            published = await self._publish(incident)
        else:
            published = await self._once(incident.reference, incident)
        if not published.duplicate:
            self._metrics.published.labels(published.band).inc()
            self._metrics.publish_seconds.observe(time.perf_counter() - started)
        return published

    async def retract(self, entry_id: str, reason: str) -> Published:
        """Withdraw an own signal; returns the retraction's place in the log when it is durable.

        While a member has not given its receipt, it can be done again, and the signal is withdrawn
        where the first retraction was not accepted.

        :raises UnknownSignalError, NotYourSignalError, NotLiveError: see there.
        :raises MeshError: the reason is none of the known ones.
        :raises LogClosedError, StoreError: nothing was retracted; try again.
        """
        signal = self._own_retractable_signal(entry_id)
        body = compose_retraction(entry_id, reason)
        self._retracting.add(entry_id)
        try:
            appended = await self._own_log.append(
                Draft(
                    kind=Kind.RETRACTION,
                    # Peers refuse one that expires before what it withdraws.
                    expires=Day(max(signal.expires, self._today() + 1)),
                    body=body,
                    retraction=parse_retraction(body),
                )
            )
        finally:
            self._retracting.discard(entry_id)
        self._metrics.retracted.inc()
        return Published(
            incident_id="",
            entry_id=appended.entry_id,
            index=appended.index,
            band=signal.band,
            checkpoint_size=appended.size,
        )

    async def sight(self, entry_id: str, verdict: str) -> Published:
        """Publish that a person here confirms or denies another organization's signal.

        What this organization has said of it already, as its newest word, is not said again: the
        answer is that word's place then, marked `duplicate`.

        :raises UnknownSignalError, OwnSightingError, NotLiveError: see there.
        :raises MeshError: the verdict is neither `confirm` nor `deny`.
        :raises LogClosedError, StoreError: nothing was published; try again.
        """
        signal = self._known_signal(entry_id)
        groups = {self._mesh.member(name).control_group for name in (self._name, signal.issuer)}
        if len(groups) == 1:
            whose = (
                f"this signal is {self._name}'s own"
                if signal.issuer == self._name
                else f"{signal.issuer} and {self._name} have one owner"
            )
            raise OwnSightingError(
                f"{whose}: its word would confirm itself",
                hint="a person of another organization has to look at it",
            )
        if signal.status is not SignalStatus.LIVE:
            raise NotLiveError(
                f"the signal is {signal.status} already", hint="there is nothing to confirm"
            )
        body = compose_sighting(entry_id, verdict)
        wanted = parse_sighting(body)
        async with self._sighting:
            known = await self._said(signal, wanted)
            if known is not None:
                return known
            appended = await self._own_log.append(
                Draft(
                    kind=Kind.SIGHTING,
                    expires=Day(max(signal.expires, self._today() + 1)),
                    body=body,
                    sighting=wanted,
                )
            )
        return Published(
            incident_id="",
            entry_id=appended.entry_id,
            index=appended.index,
            band=signal.band,
            checkpoint_size=appended.size,
        )

    async def _said(self, signal: SignalRecord, wanted: SightingBody) -> Published | None:
        """Where the own log says this of the signal already, as the newest word about it."""
        size = self._store.state(self._name).size
        for end in range(size, 0, -_PAGE):
            start = max(0, end - _PAGE)
            for record in reversed(self._store.records(self._name, start, end)):
                if record.received < signal.received:
                    return None  # nobody speaks of what is not here yet
                if record.kind != Kind.SIGHTING:
                    continue
                (answer,) = self._store.bodies(self._name, record.index, record.index + 1)
                said = parse_sighting(answer.body) if isinstance(answer, Present) else None
                if said is not None and said.target == wanted.target:
                    return (
                        Published("", record.entry_id, record.index, signal.band, size, True)
                        if said.verdict is wanted.verdict
                        else None
                    )
            await asyncio.sleep(0)  # a long log must not hold up everything else
        return None

    def _known_signal(self, entry_id: str) -> SignalRecord:
        signal = self._store.signal(entry_id)
        if signal is None:
            raise UnknownSignalError(
                f"no signal {entry_id} is known here", hint="list them with `orgnode signals`"
            )
        return signal

    def _own_retractable_signal(self, entry_id: str) -> SignalRecord:
        signal = self._known_signal(entry_id)
        if not signal.own:
            raise NotYourSignalError(
                f"{signal.issuer} published this signal; only {signal.issuer} can retract it",
                hint="ask them to",
            )
        done = signal.status is not SignalStatus.LIVE and not self._awaits_receipts(signal)
        if done or entry_id in self._retracting:
            state = "being retracted" if entry_id in self._retracting else signal.status
            raise NotLiveError(f"the signal is {state} already", hint="nothing is left to do")
        return signal

    def _awaits_receipts(self, signal: SignalRecord) -> bool:
        """Whether a signal was retracted, and a member has not said that it knows."""
        if signal.status is not SignalStatus.RETRACTED or signal.expires < self._today():
            return False
        given = {receipt.member for receipt in self._store.receipts(signal.id)}
        return any(card.name not in given for card in self._mesh.peers_of(self._name))

    async def _once(self, reference: str, incident: IncidentInput) -> Published:
        """Publish, unless this reference was published before or is just being published."""
        running = self._in_flight.get(reference)
        if running is not None:
            return (await asyncio.shield(running)).as_duplicate()
        known = self._vault.find(reference)
        if known is not None:
            return self._published_before(known)
        # A task of its own: if the caller goes away, the publication still ends one way or the
        # other, and until then it stays visible here.
        task = asyncio.create_task(self._publish(incident))
        self._in_flight[reference] = task
        task.add_done_callback(lambda _: self._in_flight.pop(reference, None))
        try:
            return await asyncio.shield(task)
        except DuplicateReferenceError:
            known = self._vault.find(reference)
            if known is None:
                raise
            return self._published_before(known)

    def _published_before(self, known: KnownReference) -> Published:
        signal = self._store.signal(known.entry_id) if known.entry_id else None
        if signal is None:
            raise UnknownSignalError(
                "this reference was used for an incident whose signal is not in the store",
                hint="run `orgnode log verify`; to publish anyway, use another reference",
            )
        return Published(
            incident_id=known.incident_id,
            entry_id=signal.id,
            index=signal.index,
            band=signal.band,
            checkpoint_size=self._store.state(self._name).size,
            duplicate=True,
            confidence=signal.confidence,
        )

    def _check_cooldown(self, tokens: Sequence[str]) -> None:
        cooling = self._store.cooling(tokens)
        if len(cooling) == len(tokens):
            last = format_day(max(cooling.values()))
            raise CooldownError(
                f"a signal about this text was retracted here; until {last} no other would count",
                hint=f"if the retraction was a mistake, report the incident again after {last}",
            )

    async def _fingerprint(self, text: str) -> Fingerprint:
        # Whoever attacks the model writes the text: one ligature can stand for eighteen letters,
        # and a long text of them takes seconds, in which everything else must go on.
        drop = self._drop()
        if len(text) <= _SHORT_TEXT:
            return published_fingerprint(self._selection_key, text, drop=drop)
        return await self._workers.run(published_fingerprint, self._selection_key, text, drop=drop)

    def _confidence(self, incident: IncidentInput) -> int:
        if incident.derived_from is None:
            return incident.confidence
        return derived_confidence(
            self._mesh.constraints, self._store, incident.derived_from, incident.confidence
        )

    async def _publish(self, incident: IncidentInput) -> Published:
        today = self._today()
        constraints = self._mesh.constraints
        draft = SignalDraft(
            category=incident.category,
            technique=incident.technique,
            token_scalars=(),
            components=incident.components,
            confidence=self._confidence(incident),
            band=None if incident.band is None else constraints.band(incident.band).level,
            barrier=incident.barrier,
            derived_from=incident.derived_from,
        )
        # Whatever can't be published is refused before the committee is asked: its budget is small.
        self._own_log.check_open()
        check_draft(self._mesh, self._name, draft)
        fingerprint = await self._fingerprint(incident.text)
        scalars = await self._evaluator.scalars(fingerprint.inputs, PUBLISH_DEADLINE)
        draft = replace(draft, token_scalars=tuple(scalars))
        self._check_cooldown([token_hex(scalar) for scalar in scalars])
        windows = tuple(
            (token_hex(scalar), given.hex())
            for scalar, given in zip(scalars, fingerprint.inputs, strict=True)
        )
        salt, composed = await self._workers.compose(self._name, draft)
        incident_id = self._vault.new_id()

        def seal(entry_id: str) -> SealedIncident:
            return self._vault.seal(
                Incident(
                    id=incident_id,
                    text=incident.text,
                    components=incident.components,
                    blindings=composed.blindings,
                    salt=salt,
                    windows=() if fingerprint.exact else windows,
                    category=incident.category,
                    technique=incident.technique,
                    confidence=draft.confidence,
                    barrier=incident.barrier,
                    entry_id=entry_id,
                    day=today,
                ),
                incident.reference,
            )

        appended = await self._own_log.append(
            Draft(
                kind=Kind.SIGNAL,
                expires=Day(today + self._expiry_days),
                body=composed.body,
                salt=salt,
                signal=parse_signal(composed.body),
                hint=composed.hint,
                seal=seal,
            )
        )
        return Published(
            incident_id=incident_id,
            entry_id=appended.entry_id,
            index=appended.index,
            band=composed.band.name,
            checkpoint_size=appended.size,
            confidence=draft.confidence,
        )
