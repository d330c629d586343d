"""What members know of this node's own log, compared with its disk while it runs.

At the start `orgnode.federation.recovery` asks. This is for what shows only later: a member that
was away then, and comes back with a checkpoint that this node signed and does not have. Signing on
would convict it, so it stops; and the next start asks all members before it signs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from mesh.errors import MeshError
from mesh.genesis import Mesh
from orgnode.alerts import HINTS
from orgnode.errors import OrgnodeError
from orgnode.federation.client import PeerClient
from orgnode.federation.errors import DiskBehindError, ForkedSelfError
from orgnode.federation.fetch import end
from orgnode.federation.hooks import DISK_BEHIND
from orgnode.ownlog import forked_self
from orgnode.restored import RESTORED
from orgnode.store import Store, StoreRangeError
from proofs.checkpoint import open_checkpoint
from proofs.errors import ProofsError

log = structlog.get_logger(__name__)


class OwnPast:
    """Judges checkpoints of the own log; `contradicted` is told when one proves another history."""

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        store: Store,
        clients: Mapping[str, PeerClient],
        contradicted: Callable[[ForkedSelfError], None],
    ) -> None:
        self._name = name
        self._key = mesh.log_key(name)
        self._store = store
        self._clients = clients
        self._contradicted = contradicted
        self._asking: dict[str, asyncio.Task[None]] = {}

    def doubt(self, peer: str) -> None:
        """A peer says that it knows the log otherwise: have it show its newest checkpoint."""
        if peer not in self._asking:
            task = asyncio.create_task(self._ask(peer), name=f"doubt:{peer}")
            self._asking[peer] = task
            task.add_done_callback(partial(self._asked, peer))

    async def stop(self) -> None:
        """Ask nobody any more."""
        await end(*list(self._asking.values()))

    async def examine(self, note: bytes) -> None:
        """Compare a checkpoint of the own log with the disk.

        Raises ProofsError if it is not signed by this organization, StoreError.
        """
        signed = open_checkpoint(note, self._key)
        try:
            if self._store.root_at(self._name, signed.size) == signed.root:
                return
            error = forked_self(f"{signed.size} entries were signed with another root")
        except StoreRangeError:
            # Signed once, and not on this disk. Whether something else was signed instead shows
            # when all members are asked.
            error = _behind(signed.size)
        self._contradicted(error)
        await self._store.set_meta(RESTORED, b"")

    async def _ask(self, peer: str) -> None:
        try:
            note = await self._clients[peer].seen(self._name)
            if note is not None:
                await self.examine(note)
        except (OrgnodeError, MeshError, ProofsError) as error:
            log.info("own_log.doubt_failed", peer=peer, error=type(error).__name__)

    def _asked(self, peer: str, _: object) -> None:
        self._asking.pop(peer, None)


def _behind(size: int) -> DiskBehindError:
    return DiskBehindError(
        f"members hold {size} entries of this organization's log, more than this disk: it is older "
        "than what was signed last",
        hint=HINTS[DISK_BEHIND],
    )
