"""The seat's meter, kept on disk so that no restart gives anybody its budget back.

A charge must be durable before the evaluation, or killing a node would reset its count. To pay no
fsync for each request, the ledger saves ahead: what is on disk is up to a block more than what was
used, and is only written again when that is exceeded. After a restart the saved number counts, so
counts are exact or too high by a block for each restart, and never too low.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Final

from mesh.days import Day
from mesh.evaluation import BATCH
from mesh.metering import KEPT_DAYS, Meter
from orgnode.store import Store

MAX_BLOCK: Final = 32 * BATCH
"""Elements saved ahead at most; a restart costs an asker up to so many."""


class Ledger:
    """Charges askers for evaluations, durably. For one event loop."""

    def __init__(self, budget: int, store: Store) -> None:
        self.budget = budget
        # A small budget must survive some restarts: a block is at most a 64th of it.
        self._block = max(BATCH, min(MAX_BLOCK, budget // 64 // BATCH * BATCH))
        self._store = store
        self._meter = Meter(budget)
        self._saved: dict[Day, dict[str, int]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def charge(self, asker: str, day: Day) -> None:
        """Charge one batch, whatever it is filled with; returns when that is durable.

        A charge that can't be saved stays charged: failing must not be a way to ask for free.

        :param asker: a member of the mesh; nobody else may get so far.
        :param day: this node's own day.
        :raises BudgetExceededError: nothing was charged.
        :raises StoreError: it was charged and must not be evaluated.
        """
        saved = self._day(day)
        self._meter.charge(asker, day, BATCH)
        used = self._meter.counts(day)[asker]
        async with self._locks[asker]:
            if used > saved.get(asker, 0):
                ahead = min(used + self._block - BATCH, max(used, self.budget))
                await self._store.charge_saved(day, asker, ahead)
                saved[asker] = ahead

    def counts(self, day: Day) -> dict[str, int]:
        """Elements by asker on a day."""
        self._day(day)
        return self._meter.counts(day)

    def _day(self, day: Day) -> dict[str, int]:
        if day not in self._saved:
            counts = self._store.charges(day)
            self._meter.restore(day, counts)
            self._saved[day] = dict(counts)
            for old in [known for known in self._saved if known < max(self._saved) - KEPT_DAYS]:
                del self._saved[old]
        return self._saved.get(day, {})
