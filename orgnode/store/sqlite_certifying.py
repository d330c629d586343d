"""The part of `SqliteStore` for certification, the witness, gossip, and receipts."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from mesh.days import Day, day_of
from mesh.history import LogHistory
from mesh.vector import LogPosition
from mesh.witness import Witnessed
from orgnode.store import certifying, cooldown_rows, receipt_rows, witness_rows
from orgnode.store.context import Settings
from orgnode.store.history import SqliteHistory
from orgnode.store.records import ReceiptRecord
from orgnode.store.writer import WriterPort

T = TypeVar("T")


class SqliteCertifying(ABC):
    """See `CertifyingStore` and `ReceiptStore`. Connections come from the class that inherits."""

    _settings: Settings
    _clock: Callable[[], float]
    _writer: WriterPort

    @abstractmethod
    def _read(self, run: Callable[[sqlite3.Connection], T]) -> T: ...

    async def certify(self, log: str, certificate: bytes, size: int, root: bytes) -> int:
        """See `CertifyingStore.certify`."""
        return await self._writer.write(
            lambda c: certifying.certify(
                c, self._settings, self._clock(), log, certificate, size, root
            )
        )

    def certificate(self, log: str) -> bytes | None:
        """See `CertifyingStore.certificate`."""
        return self._read(lambda c: certifying.certificate(c, log))

    def certified_size(self, log: str) -> int:
        """See `CertifyingStore.certified_size`."""
        return self._read(lambda c: certifying.certified_size(c, log))

    async def put_witnessed(
        self, log: str, old_size: int, size: int, root: bytes, note: bytes
    ) -> None:
        """See `CertifyingStore.put_witnessed`."""
        await self._writer.write(lambda c: witness_rows.put(c, log, old_size, size, root, note))

    def witnessed(self, log: str) -> Witnessed:
        """See `CertifyingStore.witnessed`."""
        return self._read(lambda c: witness_rows.get(c, log))

    def witnessed_note(self, log: str) -> bytes | None:
        """See `CertifyingStore.witnessed_note`."""
        return self._read(lambda c: witness_rows.note(c, log))

    def root_at(self, log: str, size: int) -> bytes:
        """See `CertifyingStore.root_at`."""
        return self._read(lambda c: certifying.root_at(c, log, size))

    def first_missing(self, log: str) -> int | None:
        """See `CertifyingStore.first_missing`."""
        return self._read(lambda c: certifying.first_missing(c, log))

    def seen(self, log: str) -> bytes | None:
        """See `CertifyingStore.seen`."""
        return self._read(lambda c: certifying.seen(c, log))

    def vector(self) -> list[LogPosition]:
        """See `CertifyingStore.vector`."""
        return self._read(certifying.vector)

    def history(self, log: str) -> LogHistory:
        """See `CertifyingStore.history`."""
        return SqliteHistory(self._read, log)

    async def put_receipt(self, retraction: str, member: str, note: bytes) -> None:
        """See `ReceiptStore.put_receipt`."""
        await self._writer.write(
            lambda c: receipt_rows.put(c, self._clock(), retraction, member, note)
        )

    def receipts(self, entry_id: str) -> list[ReceiptRecord]:
        """See `ReceiptStore.receipts`."""
        return self._read(lambda c: receipt_rows.receipts(c, self._settings.name, entry_id))

    def unreceipted(self, member: str, limit: int = 64) -> list[str]:
        """See `ReceiptStore.unreceipted`."""
        return self._read(lambda c: receipt_rows.unreceipted(c, self._settings.name, member, limit))

    def retraction_done(self, log: str, retraction: str) -> tuple[str, bool] | None:
        """See `ReceiptStore.retraction_done`."""
        return self._read(lambda c: receipt_rows.done(c, log, retraction))

    def scrub_due(self) -> bool:
        """See `ReceiptStore.scrub_due`."""
        return self._writer.scrub_due()

    def cooling(self, tokens: Sequence[str]) -> dict[str, Day]:
        """See `ReceiptStore.cooling`."""
        today = day_of(self._clock())
        return self._read(lambda c: cooldown_rows.cooling(c, self._settings.name, today, tokens))
