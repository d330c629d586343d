"""Where the node's heavy arithmetic runs: worker processes for proofs, a thread for small checks.

The pool is made of spawned processes that start when first needed, so that a node that only listens
stays small. A worker that dies (killed by the system, say) costs its own call one retry in a fresh
pool and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

import structlog

from mesh.claims import Claim
from mesh.signal import ComposedSignal, SignalDraft
from orgnode import proving
from orgnode.errors import OrgnodeError
from proofs.errors import ProofsError

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)

# A batch below this size is done sooner in a thread of this process than a pipe away.
SMALL_BATCH = 4
MAX_BATCH = 256
"""Claims in one batch at most, unless one caller alone has more."""
# Each batch costs as much as three or four proofs before its first: don't split what is smaller.
_LEAST_SHARE = 16
GATHERING = 0.15
"""For how many seconds the next batch gathers claims under load."""
MANY = 8
"""Claims in a batch that are a load: the next one gathers more."""
ENOUGH = 64
"""Claims that are not waited with: more of them would save little."""


@dataclass(frozen=True)
class _Waiting:
    claims: Sequence[Claim]
    verdicts: asyncio.Future[list[ProofsError | None]]


class WorkerDiedError(OrgnodeError):
    """A worker process died twice over one call; the call had no effect and may be made again."""


class Workers:
    """Runs proofs off the event loop.

    `processes` is the number of worker processes (at least 1); `genesis` the signed genesis note
    that each of them loads; `verified` is told how many seconds each batch of proofs took;
    `gathering` is for how many seconds at most a batch gathers claims under load.
    """

    def __init__(
        self,
        processes: int,
        genesis: bytes,
        *,
        verified: Callable[[float], object] = lambda _: None,
        gathering: float = GATHERING,
    ) -> None:
        self._processes = max(1, processes)
        self._genesis = genesis
        self._verified = verified
        self._gathering = gathering
        self._pool: ProcessPoolExecutor | None = None
        self._waiting: deque[_Waiting] = deque()
        self._verifying: asyncio.Task[None] | None = None
        self._enough = asyncio.Event()
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="check")
        self._heavy = ThreadPoolExecutor(max_workers=1, thread_name_prefix="heavy")
        self._quick = ThreadPoolExecutor(max_workers=2, thread_name_prefix="evaluate")

    async def compose(self, issuer: str, draft: SignalDraft) -> tuple[bytes, ComposedSignal]:
        """Make a signal's salt and body with fresh randomness; raises as `compose_signal`."""
        salt, entropy = os.urandom(32), os.urandom(64)
        composed = await self._in_pool(proving.compose, issuer, draft, salt, entropy)
        return salt, composed

    async def verify(self, claims: Sequence[Claim]) -> list[ProofsError | None]:
        """Verify the proofs of signals; verdicts in the claims' order.

        What several callers ask for while a batch is at work becomes the next batch together: the
        more there is to do, the less each proof costs. For the same reason a batch after one of
        many claims gathers more of them, for a moment.
        """
        if not claims:
            return []
        waiting = _Waiting(claims, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if _claims(self._waiting) >= ENOUGH:
            self._enough.set()
        if self._verifying is None:
            self._verifying = asyncio.create_task(self._verify_all(), name="verify")
        return await waiting.verdicts

    async def _verify_all(self) -> None:
        try:
            while batch := self._next_batch():
                await self._verify_for(batch)
                if _claims(batch) >= MANY:
                    await self._gather()
        finally:
            self._verifying = None

    async def _gather(self) -> None:
        """Wait a moment for more to be verified together."""
        if _claims(self._waiting) < ENOUGH:
            self._enough.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._gathering):
                    await self._enough.wait()

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0].claims) <= MAX_BATCH):
            one = self._waiting.popleft()
            if not one.verdicts.done():  # its caller was cancelled
                batch.append(one)
                size += len(one.claims)
        return batch

    async def _verify_for(self, batch: Sequence[_Waiting]) -> None:
        """Verify one batch, and tell each caller its part of the verdicts."""
        start = time.perf_counter()
        claims = [claim for one in batch for claim in one.claims]
        work = asyncio.create_task(self._verify(claims))
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            work.cancel()
            for one in batch:
                one.verdicts.cancel()
            raise
        error = work.exception()
        if error is None:
            self._verified(time.perf_counter() - start)
            verdicts = iter(work.result())
            for one in batch:
                part = list(islice(verdicts, len(one.claims)))
                if not one.verdicts.done():
                    one.verdicts.set_result(part)
        elif len(batch) > 1:  # whoever brought the trouble keeps it
            for one in batch:
                await self._verify_for([one])
        elif not batch[0].verdicts.done():
            batch[0].verdicts.set_exception(error)

    async def _verify(self, claims: Sequence[Claim]) -> list[ProofsError | None]:
        if len(claims) < SMALL_BATCH:
            return await self.run(proving.verify, claims, os.urandom(32))
        share = max(_LEAST_SHARE, -(-len(claims) // self._processes))
        parts = [claims[i : i + share] for i in range(0, len(claims), share)]
        done = await asyncio.gather(
            *(self._in_pool(proving.verify, part, os.urandom(32)) for part in parts)
        )
        return [verdict for part in done for verdict in part]

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short blocking function in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: fn(*args, **kwargs))

    async def heavy(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of up to a second in a thread where nothing short ever waits for it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._heavy, lambda: fn(*args, **kwargs))

    async def quick(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of a few milliseconds in a thread where nothing longer is ever run."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._quick, lambda: fn(*args, **kwargs))

    async def _in_pool(self, fn: Callable[..., T], *args: object) -> T:
        loop = asyncio.get_running_loop()
        for attempt in (1, 2):
            pool = self._pool
            if pool is None:
                pool = self._pool = ProcessPoolExecutor(
                    self._processes,
                    mp_context=get_context("spawn"),
                    initializer=proving.start,
                    initargs=(self._genesis,),
                )
            try:
                return await loop.run_in_executor(pool, fn, *args)
            except BrokenProcessPool:
                log.warning("workers.died", attempt=attempt)
                if self._pool is pool:  # the first to notice replaces it
                    self._pool = None
                    pool.shutdown(wait=False, cancel_futures=True)
        raise WorkerDiedError(
            "a worker process died twice while it handled one call",
            hint="look for the out-of-memory killer in the system log; lower prove_workers",
        )

    async def warm(self) -> None:
        """Start one worker now, so that the first incident does not wait for an interpreter."""
        await self._in_pool(proving.verify, (), b"\0" * 32)

    async def close(self) -> None:
        """Let running calls finish and end the workers; what waits to be verified is cancelled."""
        verifying = self._verifying
        if verifying is not None:
            verifying.cancel()
            await asyncio.wait([verifying])
        for one in self._waiting:
            one.verdicts.cancel()
        self._waiting.clear()
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, True, cancel_futures=True)
        self._threads.shutdown(wait=True)
        self._heavy.shutdown(wait=True)
        self._quick.shutdown(wait=True)


def _claims(waiting: Iterable[_Waiting]) -> int:
    return sum(len(one.claims) for one in waiting)
