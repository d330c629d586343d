"""The evaluator: from the hashes of windows to their secret scalars and tokens, by the committee.

    inputs ─ blind, fill to 32, sign ─→ the t nearest seats ─ verify each ─→ combine, unblind, hash

The own seat, if there is one, comes first and costs no network. Nothing that is not blinded leaves
this node, except for a promotion, which publishes its inputs anyway.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from mesh.days import Day
from mesh.evaluation import BATCH, NONCE_BYTES
from mesh.genesis import Mesh
from mesh.metering import EvaluationCounts
from orgnode.evaluating.asking import CommitteeAsker, SeatClient
from orgnode.evaluating.batch import Batch, blinded_batch, open_batch, scalars_of, tokens_of
from orgnode.evaluating.cache import CAPACITY, WindowCache
from orgnode.evaluating.lines import MIN_PATIENCE, SeatLine
from orgnode.evaluating.meters import AskerMetrics
from orgnode.evaluating.seat import SeatService
from orgnode.federation.ports import QuickWorkers
from orgnode.metrics import Metrics
from orgnode.store import Store
from proofs.note import Signer
from proofs.ristretto import Element, Scalar

PARALLEL: Final = 4
"""Batches of one call that are under way at a time; a long text must not drown short ones."""

_SEED_BYTES = 64

V = TypeVar("V")
Finish = Callable[[Batch, Mapping[int, Sequence[Element]]], dict[bytes, V]]


class Evaluator:
    """Evaluates windows with the committee. Any task of one event loop may call it.

    `identity` signs the requests; `clients` has a line to every other member; `seat` is this
    node's own seat, if it has one; `cache` is how many windows' tokens are remembered;
    `patience` is the least time that a seat is given before another one is asked too; `clock`
    counts seconds.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        identity: Signer,
        clients: Mapping[str, SeatClient],
        seat: SeatService | None,
        store: Store,
        workers: QuickWorkers,
        today: Callable[[], Day],
        metrics: Metrics,
        cache: int = CAPACITY,
        patience: float = MIN_PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mesh = mesh
        self._identity = identity
        self._workers = workers
        self._today = today
        self._metrics = AskerMetrics(metrics)
        self._cache = WindowCache(cache)
        self._flights: dict[bytes, asyncio.Future[None]] = {}
        self._asker = CommitteeAsker(
            mesh=mesh,
            name=name,
            clients=clients,
            seat=seat,
            store=store,
            workers=workers,
            today=today,
            metrics=self._metrics,
            patience=patience,
            clock=clock,
        )

    @property
    def lines(self) -> Mapping[str, SeatLine]:
        """What is known of each seat, by member."""
        return self._asker.lines

    async def counts(self, deadline: float) -> dict[str, EvaluationCounts | str]:
        """What each seat says that it evaluated today, by member; or why that is not known."""
        return await self._asker.counts(deadline)

    async def scalars(self, inputs: Sequence[bytes], deadline: float) -> list[Scalar]:
        """The secret scalar of each input, in the inputs' order; always asks the committee.

        :param inputs: 32-byte hashes of windows (`mesh.fingerprint`).
        :param deadline: seconds that it may take.
        :raises CommitteeUnreachableError: fewer seats than the threshold answered in time.
        :raises EvaluationBudgetError: this organization's evaluations of the day are used up.
        """
        found: dict[bytes, Scalar] = {}
        unique = list(dict.fromkeys(inputs))
        await self._batches(unique, _until(deadline), scalars_of, found.update)
        return [found[given] for given in inputs]

    async def tokens(self, inputs: Sequence[bytes], deadline: float) -> dict[bytes, str]:
        """The token (hex) of each input, asking the committee only for those not known yet.

        Parameters and errors as for `scalars`; what was evaluated before an error is remembered.
        """
        until = _until(deadline)
        found = self.cached(inputs)
        missing = [given for given in dict.fromkeys(inputs) if given not in found]
        flights = {given: self._flights[given] for given in missing if given in self._flights}
        asked = [given for given in missing if given not in flights]
        for source, those in (("cache", found), ("flight", flights), ("committee", asked)):
            self._metrics.windows.labels(source).inc(len(those))
        await self._fly(asked, until, found)
        if flights:
            # Another task is asking for the same. If that fails, its time may have been shorter
            # than what is left here, so it is asked again.
            left = until - asyncio.get_running_loop().time()
            await asyncio.wait(set(flights.values()), timeout=max(0.0, left))
            found.update(self.cached(list(flights)))
            await self._fly([given for given in flights if given not in found], until, found)
        return found

    def cached(self, inputs: Sequence[bytes]) -> dict[bytes, str]:
        """The tokens that are known without asking, by input."""
        known = {given: self._cache.get(given) for given in inputs}
        return {given: token for given, token in known.items() if token is not None}

    async def open_evaluations(
        self, inputs: Sequence[bytes], deadline: float
    ) -> list[tuple[int, tuple[Element, ...], bytes]]:
        """What a promotion publishes: each seat's index, evaluated hashes and proof, by index, for
        exactly as many seats as the threshold.

        Nothing is blinded: the seats that are asked learn the 1 to 32 inputs, which are about to
        be published. Errors as for `scalars`.
        """
        until = _until(deadline)
        nonce, today = os.urandom(NONCE_BYTES), self._today()
        batch = await self._workers.quick(
            open_batch, self._mesh, self._identity, tuple(inputs), nonce, today
        )
        answers = await self._asker.prove(batch, until)
        return [(index, answers[index].elements, answers[index].proof) for index in sorted(answers)]

    async def _fly(self, inputs: Sequence[bytes], until: float, found: dict[bytes, str]) -> None:
        """Evaluate inputs into the cache and `found`, while others may wait for it."""
        if not inputs:
            return
        flight: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        led = [given for given in inputs if self._flights.setdefault(given, flight) is flight]

        def keep(tokens: Mapping[bytes, str]) -> None:
            found.update(tokens)
            for given, token in tokens.items():
                self._cache.put(given, token)

        try:
            await self._batches(inputs, until, tokens_of, keep)
        finally:
            flight.set_result(None)
            for given in led:
                del self._flights[given]

    async def _batches(
        self,
        inputs: Sequence[bytes],
        until: float,
        finish: Finish[V],
        keep: Callable[[Mapping[bytes, V]], object],
    ) -> None:
        """Evaluate in batches of 32; each is kept as soon as it is done."""
        limit = asyncio.Semaphore(PARALLEL)

        async def one(part: tuple[bytes, ...]) -> None:
            async with limit:
                keep(await self._batch(part, until, finish))

        parts = [tuple(inputs[at : at + BATCH]) for at in range(0, len(inputs), BATCH)]
        tasks = [asyncio.ensure_future(one(part)) for part in parts]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _batch(
        self, inputs: tuple[bytes, ...], until: float, finish: Finish[V]
    ) -> dict[bytes, V]:
        started = time.perf_counter()
        seed, nonce = os.urandom(_SEED_BYTES), os.urandom(NONCE_BYTES)
        batch = await self._workers.quick(
            blinded_batch, self._mesh, self._identity, inputs, seed, nonce, self._today()
        )
        partials = await self._asker.evaluate(batch, until)
        found = await self._workers.quick(finish, batch, partials)
        self._metrics.seconds.observe(time.perf_counter() - started)
        return found


def _until(deadline: float) -> float:
    return asyncio.get_running_loop().time() + deadline
