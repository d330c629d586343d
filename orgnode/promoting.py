"""Promotion: what many organizations met becomes an attack pattern that everyone matches offline.

When tokens of an own signal have enough sources, this node publishes the window hashes behind them
with the committee's open evaluations, so that every member can recompute the tokens, and the
signals that are the evidence. From then on the scalars can be computed by all members: the count of
sources stays what the evidence says.

All organizations that hold a token could promote it. So that one does, those that have a source
take turns in an order that follows from the evidence; who comes later waits longer, and finds it
done.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import structlog

from mesh.days import Day
from mesh.entry import Kind
from mesh.errors import BodyTooLargeError, MeshError
from mesh.genesis import Mesh
from mesh.promotion import (
    MAX_PROMOTED_SOURCES,
    PromotedWindow,
    compose_promotion,
    parse_promotion,
)
from mesh.wire import MAX_ANNOUNCED, Present
from orgnode.errors import OrgnodeError, SealedIncidentError
from orgnode.evaluating import Evaluator
from orgnode.federation.errors import RecoveringError
from orgnode.metrics import Metrics
from orgnode.ownlog import Draft, OwnLog
from orgnode.store import Store, TokenSource
from orgnode.vault import Vault
from proofs.errors import ProofsError
from proofs.oprf import PROOF_BYTES
from proofs.ristretto import ELEMENT_BYTES, Element

log = structlog.get_logger(__name__)

MAX_SOURCES = 16
"""Most signals that are listed as the evidence for one window, unless it takes more."""

SETTLE_SECONDS = 0.2
"""How long after news the tokens are looked at: a burst of signals is looked at once."""

_LOOKED_AT = 1_000
_RETRY_SECONDS = 60.0


@dataclass(frozen=True)
class _Candidate:
    token: str
    input: str
    sources: tuple[TokenSource, ...]
    due: float


class Promoter:
    """Promotes the tokens of own signals. `notify` tells it that there is news in the store.

    `turn` is how many seconds each organization waits for the one before it; `benign` holds the
    inputs of windows that are never promoted.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        store: Store,
        vault: Vault,
        own_log: OwnLog,
        evaluator: Evaluator,
        benign: Container[bytes],
        today: Callable[[], Day],
        metrics: Metrics,
        turn: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mesh = mesh
        self._name = name
        self._store = store
        self._vault = vault
        self._own_log = own_log
        self._evaluator = evaluator
        self._benign = benign
        self._today = today
        self._metrics = metrics
        self._turn = turn
        self._clock = clock
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._seen: dict[str, float] = {}
        # Tokens of own promotions that no quorum has cosigned yet, with the entry's index: the
        # store does not count these as promoted, and nothing is promoted twice.
        self._awaited: dict[str, int] | None = None
        self._groups = {card.name: card.control_group for card in mesh.members}

    def start(self) -> None:
        """Begin to look after promotions; the store may hold some that are due already."""
        self._news.set()
        self._task = asyncio.create_task(self._run(), name="promoter")

    async def stop(self) -> None:
        """Stop; what is being published is published or not at all."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def notify(self) -> None:
        """Say that signals came or went, or that the own log takes entries now."""
        self._news.set()

    async def _run(self) -> None:
        wait: float | None = None
        while True:
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(SETTLE_SECONDS)
            self._news.clear()
            try:
                wait = await self.promote_due()
            except RecoveringError:
                wait = None  # `notify` says when the own log takes entries
            except (OrgnodeError, MeshError, ProofsError) as error:
                log.warning("promoter.failed", error=type(error).__name__)
                wait = _RETRY_SECONDS

    async def promote_due(self) -> float | None:
        """Promote what is due; returns in how many seconds something else will be, None if never.

        :raises CommitteeUnreachableError, EvaluationBudgetError, StoreError: nothing was promoted.
        :raises RecoveringError, ForkedSelfError, LogClosedError: nothing is signed now.
        """
        self._own_log.check_open()  # before the committee is asked in vain
        candidates = self._candidates()
        now = self._clock()
        due: dict[tuple[str, ...], list[_Candidate]] = defaultdict(list)
        for one in candidates:
            if one.due <= now:
                due[tuple(source.signal for source in one.sources)].append(one)
        for group in due.values():
            # Never more than a promotion holds: all are tokens of each signal in the evidence.
            await self._promote(group)
        later = [one.due for one in candidates if one.due > now]
        return max(0.0, min(later) - now) if later else None

    def _candidates(self) -> list[_Candidate]:
        wanted = self._mesh.constraints.block_sources
        if wanted > MAX_PROMOTED_SOURCES:
            return []  # no promotion can name as many as it takes: the live signals count
        # The store counts logs; control groups, which are fewer or as many, are counted here.
        others = wanted - 1
        held = self._store.promotable(others, limit=_LOOKED_AT)
        sources = self._store.sources([token for token, _ in held])
        awaited = self._awaiting()
        windows: dict[str, dict[str, str]] = {}
        found = []
        for token, signal in held:
            if token in awaited:
                continue
            evidence = self._evidence(sources.get(token, ()))
            if len(evidence) < wanted:
                continue
            if signal not in windows:
                windows[signal] = self._windows(signal)
            known = windows[signal].get(token)
            if known is None or bytes.fromhex(known) in self._benign:
                continue
            first = self._seen.setdefault(token, self._clock())
            due = first + self._turn * self._place(evidence)
            found.append(_Candidate(token, known, evidence[: max(MAX_SOURCES, wanted)], due))
        still = {one.token for one in found}
        self._seen = {token: at for token, at in self._seen.items() if token in still}
        return found

    def _awaiting(self) -> dict[str, int]:
        """Tokens that this organization has promoted, which is not certified yet."""
        certified = self._store.certified_size(self._name)
        known = self._awaited
        if known is None:
            known = dict(self._provisional(certified))
        self._awaited = {token: index for token, index in known.items() if index >= certified}
        return self._awaited

    def _provisional(self, certified: int) -> Iterator[tuple[str, int]]:
        size = self._store.state(self._name).size
        for start in range(certified, size, MAX_ANNOUNCED):
            end = min(start + MAX_ANNOUNCED, size)
            bodies = self._store.bodies(self._name, start, end)
            for record, answer in zip(
                self._store.records(self._name, start, end), bodies, strict=True
            ):
                if record.kind == Kind.PROMOTION and isinstance(answer, Present):
                    for window in parse_promotion(answer.body).windows:
                        yield window.token, record.index

    def _evidence(self, sources: Sequence[TokenSource]) -> tuple[TokenSource, ...]:
        """One direct signal of each control group, in an order that all members see alike."""
        groups: dict[str, TokenSource] = {}
        for one in sorted(sources, key=lambda source: source.signal):
            if one.direct:
                groups.setdefault(self._groups[one.issuer], one)
        return tuple(groups.values())

    def _windows(self, signal: str) -> dict[str, str]:
        """The window hashes behind an own signal's tokens; none once the vault has erased them."""
        try:
            incident = self._vault.of_signal(signal)
        except SealedIncidentError as error:
            # One damaged row must not keep everything else from being promoted.
            log.warning("promoter.sealed", error=error.code)
            return {}
        return {} if incident is None else dict(incident.windows)

    def _place(self, evidence: Sequence[TokenSource]) -> int:
        """This organization's turn among the groups of the evidence: 0 comes first."""
        seed = evidence[0].signal
        own = self._groups[self._name]
        order = sorted(
            {self._groups[one.issuer] for one in evidence},
            key=lambda group: sha256(f"{seed}/{group}".encode()).digest(),
        )
        # An own signal that is no evidence (a derived one) leaves the turn to all others.
        return order.index(own) if own in order else len(order)

    async def _promote(self, candidates: Sequence[_Candidate]) -> None:
        """Promote these windows in one entry, or in several where one would be too long."""
        windows = sorted(
            (
                PromotedWindow(
                    input=one.input,
                    token=one.token,
                    sources=tuple(source.signal for source in one.sources),
                )
                for one in candidates
            ),
            key=lambda window: window.input,
        )
        if len(windows) > 1 and not self._fits(windows):
            middle = len(candidates) // 2
            await self._promote(candidates[:middle])
            await self._promote(candidates[middle:])
            return
        evaluations = await self._evaluator.open_evaluations(
            [bytes.fromhex(window.input) for window in windows], deadline=10.0
        )
        body = compose_promotion(
            windows, evaluations, max_bytes=self._mesh.constraints.max_body_bytes
        )
        today = self._today()
        appended = await self._own_log.append(
            Draft(
                kind=Kind.PROMOTION,
                expires=Day(today + self._mesh.constraints.max_expiry_days),
                body=body,
                promotion=parse_promotion(body),
            )
        )
        self._awaiting().update((window.token, appended.index) for window in windows)
        self._metrics.promoted.inc(len(windows))
        log.info("promoter.promoted", count=len(windows), index=appended.index)

    def _fits(self, windows: Sequence[PromotedWindow]) -> bool:
        """Whether the promotion of these windows is one that peers take, before it is evaluated."""
        committee = self._mesh.constraints.committee
        elements = [Element(bytes(ELEMENT_BYTES))] * len(windows)
        blank = [
            (seat.index, elements, bytes(PROOF_BYTES))
            for seat in committee.seats[-committee.threshold :]  # the longest indices
        ]
        try:
            compose_promotion(windows, blank, self._mesh.constraints.max_body_bytes)
        except BodyTooLargeError:
            return False
        return True
