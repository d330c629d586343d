"""How long one peer is waited for while others could be asked instead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from orgnode.federation.fetch import end

T = TypeVar("T")


class Turn:
    """One peer's turn: some seconds, and as many again whenever nobody else is there at its end.

    *Attack:* a mirror that answers just before every deadline keeps a log back for hours. A turn
    binds the waiting for the peer only: what it has handed over is always used, so that this node's
    own work is never begun in vain, however long it takes.

    :param seconds: how long a turn is.
    :param others: whether anybody else could be asked now.
    """

    def __init__(self, seconds: float, others: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._others = others
        self._ends = asyncio.get_running_loop().time() + seconds

    async def wait(self, answer: Awaitable[T]) -> T:
        """The peer's answer. Raises TimeoutError once its turn is over, and ends the asking."""
        loop = asyncio.get_running_loop()
        asking = asyncio.ensure_future(answer)
        try:
            while True:
                left = max(0.0, self._ends - loop.time())
                done, _ = await asyncio.wait([asking], timeout=left)
                if done:
                    return asking.result()
                if self._others():
                    raise TimeoutError("others are asked now")
                self._ends = loop.time() + self._seconds
        finally:
            await end(asking)
