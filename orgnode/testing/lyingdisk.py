"""A disk that says "stored" when nothing is: what a missing fsync comes to, for planting as a bug.

Every write is visible and acknowledged at once, and becomes durable a second later. A crash in
between takes the machine back to what was durable.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from orgnode.store.writer import Operation, commit_batch
from orgnode.testing.simdisk import SimWriter
from orgnode.testing.simnode import SimNode

_LAZINESS: Final = 1.0


def swaps() -> list[tuple[object, str, object]]:
    """What to swap to have every simulated disk lie (see `orgnode.testing.plantedbugs`)."""
    durable: dict[SimWriter, bytes] = {}
    crash = SimNode.crash

    async def write(
        self: SimWriter, run: Callable[[sqlite3.Connection], Any], *, erases: bool = False
    ) -> Any:
        connection = self.connection
        if self not in durable:
            durable[self] = connection.serialize()
        operation = Operation(run, erases)
        commit_batch(connection, [operation])
        image = connection.serialize()
        self.disk.loop.call_later(_LAZINESS, durable.__setitem__, self, image)
        if operation.error is not None:
            raise operation.error
        return operation.result

    def lose(self: SimNode) -> None:
        image = durable.pop(self.disk.current, None) if self.disk.current is not None else None
        crash(self)
        if image is not None:
            self.disk.replace(image)

    return [(SimWriter, "write", write), (SimNode, "crash", lose)]
