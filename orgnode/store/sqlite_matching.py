"""The part of `SqliteStore` for matching and for the committee."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from mesh.days import Day
from orgnode.store import committee_rows, match_reads
from orgnode.store.context import Settings
from orgnode.store.records_matching import Misconduct, Promotion, TokenSource
from orgnode.store.writer import WriterPort

T = TypeVar("T")


class SqliteMatching(ABC):
    """See `MatchStore` and `CommitteeStore`. Connections come from the class that inherits."""

    _settings: Settings
    _clock: Callable[[], float]
    _writer: WriterPort

    @abstractmethod
    def _read(self, run: Callable[[sqlite3.Connection], T]) -> T: ...

    def sources(self, tokens: Sequence[str]) -> dict[str, list[TokenSource]]:
        """See `MatchStore.sources`."""
        return self._read(lambda c: match_reads.sources(c, self._settings.name, tokens))

    def promotions(self, inputs: Sequence[str]) -> dict[str, list[Promotion]]:
        """See `MatchStore.promotions`."""
        return self._read(lambda c: match_reads.promotions(c, self._settings.name, inputs))

    def promoted_tokens(self, tokens: Sequence[str]) -> set[str]:
        """See `MatchStore.promoted_tokens`."""
        return self._read(lambda c: match_reads.promoted_tokens(c, tokens))

    def promotable(self, others: int, limit: int = 1_000) -> list[tuple[str, str]]:
        """See `MatchStore.promotable`."""
        return self._read(lambda c: match_reads.promotable(c, others, limit))

    def sharing(self, entry_id: str, limit: int = 100) -> list[tuple[str, str, int]]:
        """See `MatchStore.sharing`."""
        return self._read(lambda c: match_reads.sharing(c, entry_id, limit))

    async def charge_saved(self, day: Day, asker: str, elements: int) -> None:
        """See `CommitteeStore.charge_saved`."""
        await self._writer.write(lambda c: committee_rows.charge(c, day, asker, elements))

    def charges(self, day: Day) -> dict[str, int]:
        """See `CommitteeStore.charges`."""
        return self._read(lambda c: committee_rows.charges(c, day))

    async def trim_charges(self, before_day: Day) -> int:
        """See `CommitteeStore.trim_charges`."""
        return await self._writer.write(lambda c: committee_rows.trim_charges(c, before_day))

    async def keep_misconduct(self, proof: Misconduct) -> bool:
        """See `CommitteeStore.keep_misconduct`."""
        return await self._writer.write(
            lambda c: committee_rows.keep_misconduct(c, self._clock(), proof)
        )

    def misconduct(self, limit: int = 100) -> list[Misconduct]:
        """See `CommitteeStore.misconduct`."""
        return self._read(lambda c: committee_rows.misconduct(c, limit))
