"""Whether the disk takes what the node writes: an alert while it does not, and no readiness.

The store's writer tells of each commit that failed for want of the disk. From then on a small write
of some pages is tried every now and then. Only if that one works the disk is well again: a node
that is not ready is sent nothing that would show it, and what little it writes by itself may fit
into a page in use.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import structlog

from orgnode.alerts import Alerts
from orgnode.store import StoreError
from orgnode.store.writer import Condition

log = structlog.get_logger(__name__)

DISK: Final = "disk"
"""Kind of the alert; its subject is this node."""

PROBE_SECONDS: Final = 2.0
"""How long a disk that failed is left alone before a small write is tried."""

_PROBE: Final = "disk.probe"
_PROBE_BYTES: Final = 32_768  # some pages: what is left of one in use proves nothing


class ProbeStore(Protocol):
    """What the watch writes to."""

    async def set_meta(self, key: str, value: bytes) -> None:
        """Keep a small value under a name; durable when this returns."""
        ...


class DiskWatch:
    """Watches the disk of the node called `name`. To be made in the event loop that it belongs to.

    `told` is the writer's callback (`orgnode.store.writer.Writer`), from its thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._alerts: Alerts | None = None
        self._failed = asyncio.Event()
        self._reason = ""

    @property
    def reason(self) -> str:
        """Why nothing can be written, empty while the disk takes all."""
        return self._reason

    def attach(self, alerts: Alerts) -> None:
        """Raise and clear the alert there."""
        self._alerts = alerts
        if self._reason:
            alerts.raise_(DISK, self._name, self._reason)

    def told(self, condition: Condition) -> None:
        """A commit failed for want of the disk. Any thread may call this."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._note, condition)

    async def run(self, store: ProbeStore) -> None:
        """Try, while the disk fails, whether it is well again. Until it is cancelled."""
        while True:
            await self._failed.wait()
            await asyncio.sleep(PROBE_SECONDS)
            try:
                await store.set_meta(_PROBE, bytes(_PROBE_BYTES))
                await store.set_meta(_PROBE, b"")
            except StoreError as error:
                log.debug("node.disk_probe_failed", error=error.code)
            else:
                self._reason = ""
                self._failed.clear()
                if self._alerts is not None:
                    self._alerts.clear(DISK, self._name)

    def _note(self, condition: Condition) -> None:
        self._reason = f"nothing can be written: {condition} ({condition.code})"
        self._failed.set()
        if self._alerts is not None:
            self._alerts.raise_(DISK, self._name, self._reason)
