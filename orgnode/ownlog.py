"""The organization's own log: sign entries, grow the tree, sign the checkpoint, in one commit.

One task appends, so the log has one writer. What arrives while a commit is on its way to the disk
goes into the next one together (group commit): many entries, one checkpoint, one fsync. An entry
is acknowledged only after the commit that holds it *and* the checkpoint that covers it; both are in
the same transaction, so that no crash can leave two checkpoints of one size behind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from mesh.assessment import Assessed, Outcome
from mesh.days import Day
from mesh.entry import Envelope, Kind, body_digest, sign_entry
from mesh.following import FollowerState
from mesh.genesis import Mesh
from mesh.member import log_origin
from mesh.promotion import PromotionBody
from mesh.retraction import RetractionBody
from mesh.sighting import SightingBody
from mesh.signal import SignalBody
from mesh.wire import MAX_ANNOUNCED, SALT_BYTES, Present
from orgnode.errors import OrgnodeError
from orgnode.store import LogRow, SealedIncident, Store
from proofs.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from proofs.merkle import leaf_hash
from proofs.note import Signer

log = structlog.get_logger(__name__)


class OwnLogError(OrgnodeError):
    """This organization's stored log does not agree with itself; nothing is signed on top of it."""


class LogClosedError(OrgnodeError):
    """The node is shutting down and takes no new entries; report again when it is back."""


@dataclass(frozen=True)
class Draft:
    """An entry that is ready but for its place in the log.

    `seal` is called with the entry's id, once it is known, to make the vault's row for it.
    """

    kind: Kind
    expires: Day
    body: bytes
    salt: bytes = field(default_factory=lambda: os.urandom(SALT_BYTES))
    signal: SignalBody | None = None
    retraction: RetractionBody | None = None
    sighting: SightingBody | None = None
    promotion: PromotionBody | None = None
    seal: Callable[[str], SealedIncident] | None = None


@dataclass(frozen=True)
class Appended:
    """Where an entry stands in the log, durable: its id, its index, the size that was signed."""

    entry_id: str
    index: int
    size: int


@dataclass
class _Waiting:
    draft: Draft
    done: asyncio.Future[Appended] = field(repr=False)


class OwnLog:
    """The single writer of this organization's log. `append` may be called from any task."""

    def __init__(
        self,
        mesh: Mesh,
        name: str,
        store: Store,
        identity: Signer,
        log_signer: Signer,
        today: Callable[[], Day],
        grown: Callable[[int], None],
    ) -> None:
        self._mesh = mesh
        self._name = name
        self._store = store
        self._identity = identity
        self._log_signer = log_signer
        self._today = today
        self._grown = grown
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(maxsize=4 * MAX_ANNOUNCED)
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Check that the stored checkpoint is ours and covers the stored tree; sign one if new.

        Raises OwnLogError when they disagree: a damaged or foreign database is not signed over.
        """
        state = self._store.state(self._name)
        if state.checkpoint is None:
            if state.size:
                raise OwnLogError(
                    "the log has entries but no checkpoint",
                    hint="restore the data directory from a backup that is whole",
                )
            await self._store.save_state(
                self._name,
                FollowerState(
                    size=0,
                    frontier=state.frontier,
                    checkpoint=self._checkpoint(0, state.frontier.root()),
                    target=None,
                    evidence=None,
                ),
            )
        else:
            key = self._mesh.member(self._name).log_key(self._mesh.mesh_id)
            signed = open_checkpoint(state.checkpoint, key)
            if (signed.size, signed.root) != (state.size, state.frontier.root()):
                raise OwnLogError(
                    f"the stored tree of size {state.size} is not the one that the checkpoint of "
                    f"size {signed.size} signs",
                    hint="run `orgnode log verify`, and restore the data directory from a backup",
                )
        self._task = asyncio.create_task(self._run(), name="own-log")

    async def append(self, draft: Draft) -> Appended:
        """Append one entry; returns when it and the checkpoint that covers it are durable.

        Raises LogClosedError during shutdown and StoreError when the disk refuses.
        """
        if self._closed:
            raise LogClosedError(
                "the node is shutting down", hint="report again when the node is back"
            )
        waiting = _Waiting(draft, asyncio.get_running_loop().create_future())
        await self._queue.put(waiting)
        return await waiting.done

    async def drain(self) -> None:
        """Take no new entries, write those that wait, and stop."""
        self._closed = True
        await self._queue.join()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MAX_ANNOUNCED and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                appended = await self._commit([waiting.draft for waiting in batch])
            except Exception as error:  # noqa: BLE001 - handed to every waiting caller, who decides
                log.error("own_log.append_failed", error=type(error).__name__, entries=len(batch))
                for waiting in batch:
                    if not waiting.done.done():
                        waiting.done.set_exception(error)
            else:
                for waiting, place in zip(batch, appended, strict=True):
                    if not waiting.done.done():
                        waiting.done.set_result(place)
                self._grown(appended[-1].size)
            finally:
                for _ in batch:
                    self._queue.task_done()

    async def _commit(self, drafts: list[Draft]) -> list[Appended]:
        state = self._store.state(self._name)
        today = self._today()
        rows, vaulted, leaves, appended = [], [], [], []
        size = state.size + len(drafts)
        for index, draft in enumerate(drafts, start=state.size):
            envelope = Envelope(
                kind=draft.kind,
                mesh=self._mesh.mesh_id,
                version=self._mesh.constraints.version,
                day=today,
                expires=draft.expires,
                body=body_digest(draft.salt, draft.body),
            )
            note = sign_entry(envelope, self._identity)
            leaf = leaf_hash(note)
            entry_id = leaf.hex()
            rows.append(
                LogRow.of(
                    Assessed(
                        index=index,
                        entry_id=entry_id,
                        leaf=leaf,
                        note=note,
                        answer=Present(draft.salt, draft.body),
                        outcome=Outcome.ACCEPTED,
                        reason="",
                        error="",
                        envelope=envelope,
                        signal=draft.signal,
                        retraction=draft.retraction,
                        sighting=draft.sighting,
                        promotion=draft.promotion,
                        claim=None,
                    )
                )
            )
            leaves.append(leaf)
            appended.append(Appended(entry_id, index, size))
            if draft.seal is not None:
                vaulted.append(draft.seal(entry_id))
        frontier = state.frontier.extend(leaves)
        signed = self._checkpoint(size, frontier.root())
        await self._store.commit_segment(
            self._name,
            state.size,
            rows,
            FollowerState(
                size=size, frontier=frontier, checkpoint=signed, target=None, evidence=None
            ),
            vaulted,
        )
        return appended

    def _checkpoint(self, size: int, root: bytes) -> bytes:
        origin = log_origin(self._name, self._mesh.mesh_id)
        return sign_checkpoint(Checkpoint(origin, size, root), self._log_signer)
