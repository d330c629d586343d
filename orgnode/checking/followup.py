"""Samples: a share of the local checks, which the committee is asked about afterwards.

A sample holds hashes of windows, never a text. There is one at a time and a short queue; what does
not fit is dropped and counted, so that sampling never slows a check or piles up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from mesh.errors import MeshError
from mesh.fingerprint import Query
from mesh.matching import Finding
from orgnode.checking.meters import CheckMetrics
from orgnode.errors import OrgnodeError
from proofs.errors import ProofsError

log = structlog.get_logger(__name__)

QUEUE: Final = 64
"""Samples that wait at most."""


@dataclass(frozen=True)
class Sample:
    """What to ask the committee about, and what the local check had found."""

    queries: tuple[Query, ...] = field(repr=False)
    found: Finding


class FollowUp:
    """Looks at samples in the background, one after the other.

    `examine` asks the committee and judges. What it finds beyond the local finding becomes a metric
    and a log line with ids of signals, never content.
    """

    def __init__(
        self,
        examine: Callable[[Sample], Awaitable[tuple[Finding, tuple[str, ...]]]],
        metrics: CheckMetrics,
        *,
        limit: int = QUEUE,
    ) -> None:
        self._examine = examine
        self._metrics = metrics
        self._queue: asyncio.Queue[Sample] = asyncio.Queue(limit)
        self._task: asyncio.Task[None] | None = None

    def offer(self, sample: Sample) -> bool:
        """Take a sample if there is room."""
        try:
            self._queue.put_nowait(sample)
        except asyncio.QueueFull:
            self._metrics.samples.labels("dropped").inc()
            return False
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="check samples")
        return True

    async def settle(self) -> None:
        """Wait until all samples that were taken have been looked at."""
        await self._queue.join()

    async def close(self) -> None:
        """Stop; samples that wait are given up."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            sample = await self._queue.get()
            try:
                await self._look_at(sample)
            except (OrgnodeError, MeshError, ProofsError) as error:
                # Nobody waits for the answer; the next regional check will say why.
                self._metrics.samples.labels("unverified").inc()
                log.info("check.sample_unverified", error=type(error).__name__)
            except Exception as error:
                self._metrics.samples.labels("failed").inc()
                log.error("check.sample_failed", exc_info=error)
            finally:
                self._queue.task_done()

    async def _look_at(self, sample: Sample) -> None:
        finding, signals = await self._examine(sample)
        if finding.rank <= sample.found.rank:
            self._metrics.samples.labels("clean").inc()
            return
        self._metrics.samples.labels("found").inc()
        log.warning(
            "check.sample_found", finding=str(finding), count=len(signals), signal=signals[:1]
        )
