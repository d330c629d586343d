"""Asking one peer: what each question is, and what may be an answer to it.

Sizes, numbers and forms are checked here, nothing else: whether what came is true is for whoever
asked to find out, from hashes and signatures. What carries the questions is a `Line`.
"""

from __future__ import annotations

from typing import Any

from mesh.evaluation import MAX_EVALUATION_NOTE
from mesh.member import MemberCard
from mesh.metering import MAX_COUNTS_NOTE
from mesh.receipt import MAX_RECEIPT
from mesh.strictjson import StrictJSONError, loads
from mesh.vector import vector_bytes
from mesh.wire import (
    Announcement,
    BodyAnswer,
    WireError,
    WireLimits,
    decode_bodies,
    encode_announcement,
)
from orgnode.federation.accounts import Room
from orgnode.federation.errors import PeerAnswerError, StaleOldSizeAnswer
from orgnode.federation.limits import KIB, ClientLimits
from orgnode.federation.paths import (
    ADD_CHECKPOINT,
    ANNOUNCE,
    EVALUATE,
    EVALUATIONS,
    GOSSIP,
    PING,
    log_path,
    receipt_path,
)
from orgnode.federation.ports import Line
from orgnode.federation.reply import NOT_SERVED
from proofs.tiles import (
    MAX_ENTRY,
    BundleError,
    decode_bundle,
    entries_path,
    tile_path,
)

HASH = 32
# A handful of signature lines; C2SP tlog-witness has one or more of them in an answer.
MAX_COSIGNATURES = 4 * KIB


class PeerClient:
    """The questions to one peer. Use as `async with`, or call `close` when done.

    Every method raises PeerUnreachableError, WrongPeerError, PeerTimeoutError or PeerAnswerError,
    and nothing else. Logs are named by their owners; a peer may serve any that it holds. At most
    `limits.connections` questions are under way at a time, whatever carries them; others wait.
    """

    def __init__(
        self,
        card: MemberCard,
        line: Line,
        *,
        max_body_bytes: int,
        limits: ClientLimits | None = None,
    ) -> None:
        self.card = card
        self.line = line
        self._limits = limits or ClientLimits()
        self._wire = WireLimits(max_body=max_body_bytes)
        # Whoever waits here waits for this node, so it does not count as the peer's time.
        self._turns = Room(self._limits.connections)

    async def __aenter__(self) -> PeerClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the line; a later call opens it anew."""
        await self.line.close()

    async def ping(self) -> dict[str, Any]:
        """The peer's name, mesh id and constraints version, as it states them."""
        return self._object(await self._get(PING, KIB))

    # --- logs

    async def checkpoint(self, log: str) -> bytes:
        """The newest signed checkpoint whose entries the peer holds, unverified.

        It carries cosignatures if just this one is certified there.
        """
        return await self._get(f"{log_path(log)}checkpoint", self._wire.max_certificate)

    async def certificate(self, log: str) -> bytes:
        """The newest checkpoint of a log that the peer knows as certified, unverified."""
        return await self._get(f"{log_path(log)}certificate", self._wire.max_certificate)

    async def seen(self, log: str) -> bytes | None:
        """The newest signed checkpoint of a log that the peer ever saw, whether its entries came
        or not; None if it says that it never saw one. Unverified.
        """
        return await self._maybe(f"{log_path(log)}seen", self._wire.max_certificate)

    async def tile(self, log: str, level: int, index: int, width: int) -> bytes:
        """The hashes of one tile (32 bytes each), unverified."""
        path = log_path(log) + tile_path(level, index, width)
        data = await self._get(path, width * HASH, self._limits.long)
        if len(data) != width * HASH:
            raise PeerAnswerError(
                f"{self.card.name} served a tile of {len(data)} bytes instead of {width * HASH}"
            )
        return data

    async def bundle(self, log: str, index: int, width: int) -> list[bytes]:
        """The `width` entries of one bundle, unverified."""
        path = log_path(log) + entries_path(index, width)
        data = await self._get(path, width * (MAX_ENTRY + 2), self._limits.long)
        try:
            return decode_bundle(data, width)
        except BundleError as error:
            raise PeerAnswerError(f"{self.card.name} served a broken bundle: {error}") from error

    async def bodies(self, log: str, start: int, end: int) -> list[BodyAnswer]:
        """The bodies of the entries `start`..`end` (exclusive), unverified."""
        count = end - start
        path = f"{log_path(log)}bodies/{start}/{end}"
        data = await self._get(path, self._wire.bodies_bytes(count), self._limits.long)
        try:
            return list(decode_bodies(data, count, self._wire.max_body))
        except WireError as error:
            raise PeerAnswerError(f"{self.card.name} served broken bodies: {error}") from error

    # --- replication

    async def announce(self, announcement: Announcement | bytes) -> tuple[int, int]:
        """Hand the peer new entries of the own log.

        Returns up to which size it holds the log, and up to which size as certified.
        """
        data = (
            announcement if isinstance(announcement, bytes) else encode_announcement(announcement)
        )
        answer = self._object(await self._post(ANNOUNCE, data, KIB, self._limits.long))
        return self._size(answer, "size"), self._size(answer, "certified")

    async def add_checkpoint(self, request: bytes) -> bytes:
        """Ask the peer's witness to cosign (C2SP tlog-witness); its signature lines, unverified.

        :raises StaleOldSizeAnswer: it cosigned the log at another size last than the request says.
        """
        try:
            return await self._post(ADD_CHECKPOINT, request, MAX_COSIGNATURES, self._limits.short)
        except PeerAnswerError as error:
            if error.size is None:
                raise
            raise StaleOldSizeAnswer(error.size, self.card.name) from error

    async def gossip(self, vector: bytes) -> bytes:
        """Tell the peer what is held here; what it holds, unread (`mesh.vector`)."""
        return await self._post(GOSSIP, vector, vector_bytes(), self._limits.short)

    async def receipt(self, entry_id: str) -> bytes | None:
        """The peer's receipt for a retraction, unverified; None if it has none to give."""
        return await self._maybe(receipt_path(entry_id), MAX_RECEIPT)

    # --- the committee

    async def evaluate(self, note: bytes, deadline: float) -> bytes:
        """Hand the peer's committee seat a signed request, for at most `deadline` seconds.

        Returns the signed answer, unverified. On a line of its own: see `ClientLimits`.
        """
        return await self.line.ask(
            "POST",
            EVALUATE,
            cap=MAX_EVALUATION_NOTE,
            deadline=deadline,
            body=note,
            evaluation=True,
        )

    async def evaluation_counts(self) -> bytes:
        """The signed note of what the peer's seat evaluated today, and for whom; unverified."""
        return await self._get(EVALUATIONS, MAX_COUNTS_NOTE)

    # --- small things

    async def _get(self, path: str, cap: int, deadline: float | None = None) -> bytes:
        deadline = self._limits.short if deadline is None else deadline
        await self._turns.take(1)
        try:
            return await self.line.ask("GET", path, cap=cap, deadline=deadline)
        finally:
            self._turns.give(1)

    async def _maybe(self, path: str, cap: int) -> bytes | None:
        try:
            return await self._get(path, cap)
        except PeerAnswerError as error:
            # Only this: a 404 for any other reason says nothing about what the peer holds.
            if (error.status, error.told) == (404, NOT_SERVED):
                return None
            raise

    async def _post(self, path: str, body: bytes, cap: int, deadline: float) -> bytes:
        await self._turns.take(1)
        try:
            return await self.line.ask("POST", path, cap=cap, deadline=deadline, body=body)
        finally:
            self._turns.give(1)

    def _object(self, data: bytes) -> dict[str, Any]:
        try:
            value = loads(data, max_bytes=KIB, max_depth=2)
        except StrictJSONError as error:
            raise PeerAnswerError(f"{self.card.name} answered with broken JSON") from error
        if not isinstance(value, dict):
            raise PeerAnswerError(f"{self.card.name} answered with JSON that is no object")
        return value

    def _size(self, answer: dict[str, Any], field: str) -> int:
        size = answer.get(field)
        if type(size) is not int or size < 0:
            raise PeerAnswerError(f"{self.card.name} answered an announcement without a {field}")
        return size
