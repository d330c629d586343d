"""This node as a witness of the members' logs (C2SP tlog-witness), the own one included.

The rules are those of `mesh.witness`. What is added here: a checkpoint is cosigned only if all that
it covers is stored on this disk, bodies included; only once this node knows its own past; and never
of a log that was convicted. The size that is about to be cosigned is compared and stored in one
transaction, durably, *before* the signature is made: after a crash at any instant the witness knows
at least as much as it ever signed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog

from mesh.following import FollowerError
from mesh.genesis import Mesh
from mesh.witness import (
    AddCheckpoint,
    BadConsistencyError,
    Judged,
    SplitCheckpointError,
    StaleOldSizeError,
    judge,
    log_of,
)
from orgnode.federation.errors import (
    NotMirroredError,
    NotYourLogError,
    RecoveringError,
    SuspendedPeerError,
)
from orgnode.federation.followed import claimed_size
from orgnode.federation.ports import Clock
from orgnode.federation.reply import Reply, note_reply
from orgnode.federation.sync import LogSync
from orgnode.store import Store, StoreRangeError, WitnessConflictError
from proofs.cosignature import bare, cosign
from proofs.merkle import consistency_proof
from proofs.note import Signer

log = structlog.get_logger(__name__)


class WitnessService:
    """Cosigns for members. It signs nothing before `open`.

    `signer` is the witness key (type 0x04); `syncs` follow the logs of the others; `own_split` is
    told of a checkpoint of the own log that contradicts what is stored, and judges it.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        store: Store,
        signer: Signer,
        syncs: Mapping[str, LogSync],
        own_split: Callable[[bytes], Awaitable[None]],
        clock: Clock = time.time,
    ) -> None:
        self._mesh = mesh
        self._name = name
        self._store = store
        self._signer = signer
        self._syncs = syncs
        self._own_split = own_split
        self._clock = clock
        self._locks = {card.name: asyncio.Lock() for card in mesh.members}
        self._open = False

    def open(self) -> None:
        """The node knows its own past: begin to cosign."""
        self._open = True

    def close(self) -> None:
        """The disk is not what it was: cosign nothing any more."""
        self._open = False

    async def add_checkpoint(self, peer: str, body: bytes) -> Reply:
        """Answer a member's request about its own log.

        Nobody else may ask. Who could have each witness cosign every newer checkpoint first would
        keep the owner's round, over a smaller one, from ever gathering a quorum.

        :raises NotYourLogError: the checkpoint is of another member's log.
        :raises WitnessError: it is refused, with the status of the specification.
        :raises RecoveringError, NotMirroredError: not now; ask again.
        :raises SuspendedPeerError: the log was convicted.
        :raises StoreError: the disk refuses; nothing was signed.
        """
        request = AddCheckpoint.parse(body)
        owner = log_of(self._mesh, request)
        if owner != peer:
            raise NotYourLogError(f"{peer} asks to cosign a checkpoint of {owner}")
        return note_reply(await self._cosign(request))

    async def cosign_own(self, note: bytes) -> bytes:
        """Cosign the own log's checkpoint under the same rules; the one line.

        :raises WitnessError, RecoveringError, NotMirroredError, StoreError: as `add_checkpoint`.
        """
        known, size = self._store.witnessed(self._name), claimed_size(note)
        proof: list[bytes] = []
        if 0 < known.size <= size:
            proof = consistency_proof(
                known.size, size, lambda nodes: self._store.nodes(self._name, nodes)
            )
        return await self._cosign(AddCheckpoint(known.size, tuple(proof), note))

    async def _cosign(self, request: AddCheckpoint) -> bytes:
        name = log_of(self._mesh, request)
        if not self._open:
            raise RecoveringError(
                "this witness does not know its own past, and cosigns nothing until it does",
                hint="ask again later",
            )
        async with self._locks[name]:
            known = self._store.witnessed(name)
            try:
                judged = judge(self._mesh, request, known)
                await self._check_mirrored(judged, request.checkpoint)
            except (SplitCheckpointError, BadConsistencyError):
                # The owner did sign this checkpoint, so it may be one half of a proof.
                await self._compare(name, request.checkpoint)
                raise
            if judged.size > known.size:
                try:
                    await self._store.put_witnessed(
                        name,
                        known.size,
                        judged.size,
                        judged.root,
                        bare(request.checkpoint, self._mesh.log_key(name)),
                    )
                except WitnessConflictError as error:
                    raise StaleOldSizeError(name, error.size) from error
            return cosign(judged.text, self._signer, max(1, int(self._clock())))

    async def _check_mirrored(self, judged: Judged, note: bytes) -> None:
        """Whether all that a checkpoint covers is stored here, under its root, bodies included."""
        name = judged.log
        sync = self._syncs.get(name)
        if sync is not None and sync.suspended:
            raise SuspendedPeerError(f"the log of {name} is suspended: it showed two histories")
        try:
            root = self._store.root_at(name, judged.size)
        except StoreRangeError:
            raise NotMirroredError(
                f"the log of {name} is not held here up to {judged.size} yet"
            ) from None
        if root != judged.root:
            raise SplitCheckpointError(
                f"{name} signed another history than the one that is held here"
            )
        missing = self._store.first_missing(name)
        if missing is not None and missing < judged.size:
            raise NotMirroredError(f"the body of entry {missing} of {name} is not held here yet")

    async def _compare(self, name: str, note: bytes) -> None:
        """Look for evidence in a checkpoint that does not continue what was cosigned."""
        log.warning("witness.conflict", log=name)
        if name == self._name:
            await self._own_split(note)
        else:
            with suppress(SuspendedPeerError, FollowerError):
                await self._syncs[name].consider(note)
