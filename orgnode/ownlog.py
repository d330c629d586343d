"""The organization's own log: sign entries, grow the tree, sign the checkpoint, in one commit.

One task appends, so the log has one writer. What arrives while a commit is on its way to the disk
goes into the next one together (group commit): many entries, one checkpoint, one fsync. An entry
is acknowledged only after the commit that holds it *and* the checkpoint that covers it; both are in
the same transaction, so that no crash can leave two checkpoints of one size behind.

Nothing is signed before `start`, which waits for the node to have asked others about its own past,
and nothing after `halt`, which is for a log that was found to have two histories.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from mesh.days import Day, format_day
from mesh.following import FollowerState
from mesh.genesis import Mesh
from mesh.history import LogHistory
from mesh.member import log_origin
from mesh.quota import bound_by_days, counts_for_quota
from mesh.wire import MAX_ANNOUNCED, SALT_BYTES
from orgnode.alerts import CONVICTED
from orgnode.dating import entry_day
from orgnode.drafts import Draft, sign_draft
from orgnode.errors import OrgnodeError
from orgnode.federation.errors import ForkedSelfError, OwnQuotaError, RecoveringError
from orgnode.hints import RecentHints
from orgnode.restored import GONE_FOR_EVER, RESTORED, left_out
from orgnode.store import Store
from proofs.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from proofs.errors import ProofsError
from proofs.note import Signer

log = structlog.get_logger(__name__)

__all__ = ["Appended", "Draft", "LogClosedError", "OwnLog", "OwnLogError", "forked_self"]


class OwnLogError(OrgnodeError):
    """This organization's stored log does not agree with itself; nothing is signed on top of it."""


class LogClosedError(OrgnodeError):
    """The node is shutting down and takes no new entries; report again when it is back."""


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
    """The single writer of this organization's log. `append` may be called from any task.

    `grown` is told the new size after each commit; `entropy(n)` gives n random bytes for salts.
    `hints` is where those of the newest entries are put.
    """

    def __init__(
        self,
        mesh: Mesh,
        name: str,
        store: Store,
        identity: Signer,
        log_signer: Signer,
        today: Callable[[], Day],
        grown: Callable[[int], None],
        entropy: Callable[[int], bytes] = os.urandom,
        hints: RecentHints | None = None,
    ) -> None:
        self._mesh = mesh
        self._name = name
        self._store = store
        self._identity = identity
        self._log_signer = log_signer
        self._today = today
        self._grown = grown
        self._entropy = entropy
        self._hints = RecentHints() if hints is None else hints
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(maxsize=4 * MAX_ANNOUNCED)
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._halted: OrgnodeError | None = None

    def check(self) -> None:
        """Check that the stored checkpoint is ours and covers the stored tree.

        Raises OwnLogError when they disagree: a damaged or foreign database is not signed over.
        """
        state = self._store.state(self._name)
        if state.target is not None:
            return  # being restored from mirrors; whole once the target is reached
        if state.checkpoint is None:
            if state.size:
                raise OwnLogError(
                    "the log has entries but no checkpoint",
                    hint="put a backup that is whole back with `orgnode restore`",
                )
            return
        key = self._mesh.log_key(self._name)
        try:
            signed = open_checkpoint(state.checkpoint, key)
        except ProofsError as error:
            raise OwnLogError(
                f"the stored checkpoint is not one that this organization signed: {error}",
                hint="keys and database belong together: put a backup back with `orgnode restore`",
            ) from error
        if (signed.size, signed.root) != (state.size, state.frontier.root()):
            raise OwnLogError(
                f"the stored tree of size {state.size} is not the one that the checkpoint of "
                f"size {signed.size} signs",
                hint="run `orgnode log verify`, and put a backup back with `orgnode restore`",
            )

    async def start(self) -> None:
        """Begin to take entries; sign the checkpoint of an empty log if there is none yet.

        Raises OwnLogError as `check` does, RecoveringError when the log is not whole yet, and
        ForkedSelfError when there is evidence against it.
        """
        self.check()
        state = self._store.state(self._name)
        if state.target is not None:
            raise _recovering(self._store.meta(RESTORED))
        if state.evidence is not None:
            raise forked_self(state.evidence.reason)
        if state.checkpoint is None:
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
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._run(), name="own-log")

    def halt(self, error: OrgnodeError) -> None:
        """Sign nothing any more; who appends, or waits for it, gets this error."""
        self._halted = error

    def check_open(self) -> None:
        """Check that entries are taken now, before anything is made for one.

        Raises RecoveringError before `start`, what it was halted with after `halt`, and
        LogClosedError during shutdown.
        """
        if self._halted is not None:
            raise self._halted
        if self._closed:
            raise _shutting_down()
        if self._task is None:
            raise _recovering(self._store.meta(RESTORED))

    async def append(self, draft: Draft) -> Appended:
        """Append one entry; returns when it and the checkpoint that covers it are durable.

        Raises what `check_open` does, OwnQuotaError when the day's entries are used up, and
        StoreError when the disk refuses. Nothing was appended then.
        """
        self.check_open()
        waiting = _Waiting(draft, asyncio.get_running_loop().create_future())
        await self._queue.put(waiting)
        return await waiting.done

    async def drain(self) -> None:
        """Take no new entries, write those that wait, and stop."""
        self._closed = True
        if self._task is not None:
            await self._queue.join()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MAX_ANNOUNCED and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                await self._append(batch)
            except Exception as error:  # noqa: BLE001 - handed to every waiting caller, who decides
                log.error("own_log.append_failed", error=type(error).__name__, entries=len(batch))
                for waiting in batch:
                    _fail(waiting, error)
            finally:
                for _ in batch:
                    self._queue.task_done()

    async def _append(self, batch: list[_Waiting]) -> None:
        if self._halted is not None:
            raise self._halted
        state = self._store.state(self._name)
        if state.evidence is not None:
            raise forked_self(state.evidence.reason)
        history = self._store.history(self._name)
        today, last = self._today(), history.last_day()
        day = entry_day(self._mesh, self._store, today, last)
        batch = self._within_quota(batch, day, history)
        if not batch:
            return
        # What is bound by no day has that of what it may be about, which bounds its life.
        latest = Day(max(today, last or today))
        dated = [(w.draft, day if bound_by_days(w.draft.kind) else latest) for w in batch]
        appended = await self._commit(dated, state)
        for waiting, place in zip(batch, appended, strict=True):
            if not waiting.done.done():
                waiting.done.set_result(place)
        self._grown(appended[-1].size)

    def _within_quota(self, batch: list[_Waiting], day: Day, history: LogHistory) -> list[_Waiting]:
        """Those that peers will not refuse for the day's quota; the others are told so."""
        counted = [waiting for waiting in batch if counts_for_quota(waiting.draft.kind)]
        if not counted:
            return batch
        quota = self._mesh.constraints.daily_quota
        left = max(0, quota - history.counted_on(day))
        if len(counted) <= left:
            return batch
        error = OwnQuotaError(
            f"{quota} entries are dated {format_day(day)} already; peers would refuse any more",
            hint="report the rest tomorrow; retractions are not counted",
        )
        over = {id(waiting) for waiting in counted[left:]}
        for waiting in counted[left:]:
            _fail(waiting, error)
        return [waiting for waiting in batch if id(waiting) not in over]

    async def _commit(
        self, drafts: list[tuple[Draft, Day]], state: FollowerState
    ) -> list[Appended]:
        rows, vaulted, appended = [], [], []
        size = state.size + len(drafts)
        for index, (draft, day) in enumerate(drafts, start=state.size):
            salt = self._entropy(SALT_BYTES) if draft.salt is None else draft.salt
            row = sign_draft(self._mesh, self._identity, draft, index, day, salt)
            rows.append(row)
            appended.append(Appended(row.entry_id, index, size))
            if draft.seal is not None:
                vaulted.append(draft.seal(row.entry_id))
        frontier = state.frontier.extend([row.leaf for row in rows])
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
        for (draft, _), place in zip(drafts, appended, strict=True):
            self._hints.put(place.entry_id, draft.hint)
            if draft.retraction is not None:
                self._hints.forget(draft.retraction.target)
        return appended

    def _checkpoint(self, size: int, root: bytes) -> bytes:
        origin = log_origin(self._name, self._mesh.mesh_id)
        return sign_checkpoint(Checkpoint(origin, size, root), self._log_signer)


def forked_self(reason: str) -> ForkedSelfError:
    """The error of a node whose own log has two histories."""
    return ForkedSelfError(
        f"members hold another history of this organization's log than this disk: {reason}",
        hint=CONVICTED,
    )


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)


def _recovering(mark: bytes | None) -> RecoveringError:
    if left_out(mark) is None:
        hint = "wait until enough of them have answered; `orgnode doctor` names those that have not"
    else:
        hint = (
            "it was restored from a backup, so all of them must answer; `orgnode doctor` names "
            f"those that have not; {GONE_FOR_EVER}"
        )
    return RecoveringError("this node is still asking other members about its own past", hint=hint)


def _shutting_down() -> LogClosedError:
    return LogClosedError("the node is shutting down", hint="report again when the node is back")
