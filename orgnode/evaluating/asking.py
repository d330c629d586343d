"""Asking seats for one batch: which first, what an answer is worth, and who is to blame.

Every answer is verified before it counts. A signed answer that is false is kept as proof, its seat
left out for a while, and another seat takes its place; so does one for a seat that is down, slow,
over budget, or answers with anything else.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeVar

import structlog

from mesh.days import Day, format_day
from mesh.errors import MeshError
from mesh.evaluation import EvaluationAnswer, WrongEvaluationError, open_answer
from mesh.genesis import Mesh
from mesh.metering import BudgetExceededError, EvaluationCounts, open_counts
from orgnode.errors import OrgnodeError
from orgnode.evaluating.batch import Batch
from orgnode.evaluating.errors import (
    CommitteeUnreachableError,
    EvaluatingError,
    EvaluationBudgetError,
    SeatFailedError,
)
from orgnode.evaluating.hedging import HedgeBudget, TooFewAnswersError, ask_enough
from orgnode.evaluating.lines import SeatLine
from orgnode.evaluating.meters import AskerMetrics
from orgnode.evaluating.seat import SeatService
from orgnode.federation.errors import PeerAnswerError
from orgnode.federation.ports import QuickWorkers
from orgnode.store import Store, StoreError
from orgnode.store.records_matching import Misconduct
from proofs.errors import ProofsError
from proofs.ristretto import Element

T = TypeVar("T")

log = structlog.get_logger(__name__)

WRONG_EVALUATION: Final = "wrong-evaluation"
"""Kind of the misconduct that is kept."""

_BUDGET = BudgetExceededError.__name__
# Among seats about equally fast the choice is left to chance, so that none carries all the load.
_SPREAD = 0.2
_RANDOM = random.SystemRandom()
_MAX_EVIDENCE = 16
_GRACE_SECONDS = 1.0
_LATE = "NoAnswerInTime"


class SeatClient(Protocol):
    """The line to one member that has a seat."""

    async def evaluate(self, note: bytes, deadline: float) -> bytes:
        """The answer to a signed request, within `deadline` seconds."""
        ...

    async def evaluation_counts(self) -> bytes:
        """The note of what the seat evaluated today."""
        ...


class CommitteeAsker:
    """Asks the committee's seats for batches. See `Evaluator` for the parameters."""

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        clients: Mapping[str, SeatClient],
        seat: SeatService | None,
        store: Store,
        workers: QuickWorkers,
        today: Callable[[], Day],
        metrics: AskerMetrics,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[], float] = _RANDOM.random,
    ) -> None:
        committee = mesh.constraints.committee
        self.threshold = committee.threshold
        self.lines: Mapping[str, SeatLine] = {
            seat.member: SeatLine(seat, own=seat.member == name, clock=clock, patience=patience)
            for seat in committee.seats
        }
        """What is known of each seat, by member."""
        self._mesh = mesh
        self._name = name
        self._clients = clients
        self._seat = seat
        self._store = store
        self._workers = workers
        self._today = today
        self._metrics = metrics
        self._clock = clock
        self._uniform = uniform
        self._hedges = HedgeBudget(clock)
        self._evidence: list[Misconduct] = []

    async def evaluate(self, batch: Batch, until: float) -> dict[int, tuple[Element, ...]]:
        """What `threshold` seats made of a batch's elements, verified, by the seats' indices.

        :param until: time of the event loop at which to give up.
        :raises CommitteeUnreachableError, EvaluationBudgetError: too few answered.
        """

        async def ask(line: SeatLine) -> tuple[Element, ...]:
            if line.own:
                return await self._ask_own(line, batch)
            return (await self._ask_peer(line, batch, until)).elements

        return await self._enough(ask, until)

    async def prove(self, batch: Batch, until: float) -> dict[int, EvaluationAnswer]:
        """The same with the seats' proofs, own seat included, for others to verify."""

        async def ask(line: SeatLine) -> EvaluationAnswer:
            if line.own:
                return await self._prove_own(line, batch)
            return await self._ask_peer(line, batch, until)

        return await self._enough(ask, until)

    async def counts(self, deadline: float) -> dict[str, EvaluationCounts | str]:
        """What each seat says that it evaluated on its day, by member; or why that is not known."""

        async def one(line: SeatLine) -> EvaluationCounts | str:
            try:
                async with asyncio.timeout(deadline):
                    if line.own:
                        if self._seat is None:
                            return _no_share().label
                        note = self._seat.counts_note()
                    else:
                        note = await self._clients[line.member].evaluation_counts()
                return open_counts(self._mesh, line.member, note)
            except TimeoutError:
                return "PeerTimeoutError"
            except (OrgnodeError, MeshError, ProofsError) as error:
                return type(error).__name__

        found = await asyncio.gather(*map(one, self.lines.values()))
        return dict(zip(self.lines, found, strict=True))

    # --- enough of them

    async def _enough(self, ask: Callable[[SeatLine], Awaitable[T]], until: float) -> dict[int, T]:
        candidates, skipped = self._candidates()
        self._hedges.earn()
        try:
            answers = await ask_enough(
                candidates,
                self.threshold,
                ask,
                patience=lambda line: line.patience,
                until=until,
                hedge=self._hedge,
            )
        except TooFewAnswersError as few:
            raise self._too_few(few, skipped) from None
        finally:
            await self._accuse()
        return {line.index: answer for line, answer in answers.items()}

    def _hedge(self, line: SeatLine) -> bool:
        if not self._hedges.spend():
            return False
        self._metrics.hedges.labels(line.member).inc()
        return True

    def _candidates(self) -> tuple[list[SeatLine], dict[SeatLine, SeatFailedError]]:
        """Whom to ask, in this order; and whom not to ask at all, with the reason."""
        today = self._today()
        skipped: dict[SeatLine, SeatFailedError] = {}
        for line in self.lines.values():
            resets = line.resets(today)
            if line.excluded:
                skipped[line] = SeatFailedError(
                    WrongEvaluationError.__name__, "it signed a wrong evaluation and is left out"
                )
            elif resets is not None:
                skipped[line] = _over_budget(resets)
        order = {
            line: (not line.own, line.failing, line.expected * (1 + _SPREAD * self._uniform()))
            for line in self.lines.values()
            if line not in skipped
        }
        return sorted(order, key=order.__getitem__), skipped

    def _too_few(
        self, few: TooFewAnswersError[SeatLine, T], skipped: Mapping[SeatLine, SeatFailedError]
    ) -> EvaluatingError:
        late = few.waiting if few.late else ()
        for line in late:
            self._metrics.failures.labels(line.member, _LATE).inc()
        failures = {**skipped, **few.failures}
        reasons = {line.member: str(failure) for line, failure in failures.items()}
        reasons |= {line.member: "no answer in time" for line in late}
        done = {*failures, *few.waiting, *few.answers}
        reasons |= {line.member: "not asked" for line in self.lines.values() if line not in done}
        had = len(few.answers) + len(few.waiting) - len(late)
        error = CommitteeUnreachableError(had, self.threshold, reasons)
        spent = {line.member: str(failures[line]) for line in failures if failures[line].budget}
        if had + len(spent) < self.threshold:
            return error
        # Seats have clocks of their own, so the days can differ: the one that brings enough back.
        resets = sorted(
            failures[line].resets or Day(self._today() + 1)
            for line in failures
            if failures[line].budget
        )
        return EvaluationBudgetError(resets[self.threshold - had - 1], spent)

    # --- one of them

    async def _ask_own(self, line: SeatLine, batch: Batch) -> tuple[Element, ...]:
        if self._seat is None:
            raise _no_share()
        try:
            return await self._seat.evaluate(batch.elements)
        except (OrgnodeError, MeshError, ProofsError) as error:
            raise self._failed(line, error) from None

    async def _prove_own(self, line: SeatLine, batch: Batch) -> EvaluationAnswer:
        if self._seat is None:
            raise _no_share()
        try:
            note = await self._seat.answer(self._name, batch.request)
            return await self._workers.quick(
                open_answer, self._mesh, batch.request, line.seat, note
            )
        except (OrgnodeError, MeshError, ProofsError) as error:
            raise self._failed(line, error) from None

    async def _ask_peer(self, line: SeatLine, batch: Batch, until: float) -> EvaluationAnswer:
        started = self._clock()
        # Who is late is given up from outside, at `until`. A deadline of its own only backs that
        # up: the seat did not fail because this asker was in a hurry.
        left = until - asyncio.get_running_loop().time() + _GRACE_SECONDS
        try:
            note = await self._clients[line.member].evaluate(batch.request, left)
            seconds = self._clock() - started
            answer = await self._workers.quick(
                open_answer, self._mesh, batch.request, line.seat, note
            )
        except asyncio.CancelledError:
            line.unanswered(self._clock() - started)
            raise
        except WrongEvaluationError as error:
            line.convicted()
            self._hold(error)
            raise self._failed(line, error) from None
        except (OrgnodeError, MeshError, ProofsError) as error:
            raise self._failed(line, error) from None
        line.answered(seconds)
        return answer

    def _failed(self, line: SeatLine, error: Exception) -> SeatFailedError:
        """What a seat's failure means; noted in its line."""
        label = type(error).__name__
        if isinstance(error, BudgetExceededError):
            resets: Day | None = error.resets
        elif isinstance(error, PeerAnswerError) and error.told == _BUDGET:
            # The seat's word for it, but not for more than a day: it could say the year 9999.
            tomorrow = Day(self._today() + 1)
            resets = min(error.resets or tomorrow, tomorrow)
        else:
            resets = None
            if isinstance(error, PeerAnswerError) and error.told is not None:
                label = error.told
        self._metrics.failures.labels(line.member, label).inc()
        if resets is not None:
            line.over_budget(resets)
            return _over_budget(resets)
        line.failed(label)
        log.info("evaluator.seat_failed", peer=line.member, error=label)
        return SeatFailedError(label, f"{label}: {error}")

    # --- misconduct

    def _hold(self, error: WrongEvaluationError) -> None:
        """Keep a proof in memory until it is stored, so that no cancellation loses it."""
        log.warning("evaluator.wrong_evaluation", peer=error.member)
        if len(self._evidence) < _MAX_EVIDENCE:
            self._evidence.append(
                Misconduct(error.member, WRONG_EVALUATION, error.request, error.answer, time.time())
            )

    async def _accuse(self) -> None:
        """Store the proofs that are held."""
        for proof in list(self._evidence):
            try:
                await self._store.keep_misconduct(proof)
            except StoreError as error:
                log.error("evaluator.misconduct_not_kept", peer=proof.member, error=error.code)
                return
            if proof in self._evidence:
                self._evidence.remove(proof)


def _no_share() -> SeatFailedError:
    return SeatFailedError("MissingShareError", "this node has no share of its own seat")


def _over_budget(resets: Day) -> SeatFailedError:
    return SeatFailedError(
        _BUDGET, f"the day's budget is used up until {format_day(resets)}", resets=resets
    )
