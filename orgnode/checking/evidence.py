"""From rows of the store to the sources that the mesh's rules count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from mesh.genesis import Mesh
from mesh.matching import Matched, Promoted, Source, counted_sources
from orgnode.store import Promotion, TokenSource


class EvidenceStore(Protocol):
    """What a check reads from the store."""

    def sources(self, tokens: Sequence[str]) -> Mapping[str, Sequence[TokenSource]]:
        """Live signals by token, for those that are known."""
        ...

    def promotions(self, inputs: Sequence[str]) -> Mapping[str, Sequence[Promotion]]:
        """Promotions by input, all of them, for those inputs that are promoted."""
        ...


class Evidence:
    """Reads what is known of windows and tokens. `now` tells the time in Unix seconds."""

    def __init__(self, mesh: Mesh, store: EvidenceStore, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._wanted = mesh.constraints.block_sources
        self._groups = {card.name: card.control_group for card in mesh.members}

    def promoted(self, inputs: Sequence[bytes], ignored: frozenset[str]) -> dict[bytes, Matched]:
        """What is known of inputs from promotions alone. A look into the own database."""
        found = self._store.promotions([given.hex() for given in inputs])
        return {
            bytes.fromhex(given): self._matched(rows[0].token, (), rows, ignored)
            for given, rows in found.items()
            if rows
        }

    def known(
        self,
        tokens: Mapping[bytes, str],
        inputs: Sequence[bytes],
        ignored: frozenset[str],
    ) -> dict[bytes, Matched]:
        """What is known of inputs whose tokens were evaluated, and of promoted ones.

        :param tokens: the token of each input that was evaluated.
        :param inputs: all inputs; those without a token count if they are promoted.
        """
        promotions = self._store.promotions([given.hex() for given in inputs])
        token_of = {given: rows[0].token for given, rows in promotions.items() if rows}
        token_of.update({given.hex(): token for given, token in tokens.items()})
        live = self._store.sources(list(dict.fromkeys(token_of.values())))
        return {
            bytes.fromhex(given): self._matched(
                token, live.get(token, ()), promotions.get(given, ()), ignored
            )
            for given, token in token_of.items()
            if token in live or given in promotions
        }

    def _matched(
        self,
        token: str,
        live: Iterable[TokenSource],
        promotions: Iterable[Promotion],
        ignored: frozenset[str],
    ) -> Matched:
        now = self._now()
        # A promotion of another token under the same input would be a lie that was refused before.
        named = [
            Promoted(
                sources=self._sources(one.sources, ignored, now),
                # What this operator ignores was here all the same: the promotion stays sound.
                groups_then=frozenset(self._groups.get(name, name) for name in one.held_by),
                age_seconds=now - one.received,
            )
            for one in promotions
            if one.token == token
        ]
        sources = counted_sources(self._sources(live, ignored, now), named, self._wanted)
        return Matched(token, sources, promoted=bool(named))

    def _sources(
        self, rows: Iterable[TokenSource], ignored: frozenset[str], now: float
    ) -> tuple[Source, ...]:
        return tuple(self._source(row, now) for row in rows if row.signal not in ignored)

    def _source(self, row: TokenSource, now: float) -> Source:
        group = self._groups.get(row.issuer, row.issuer)
        return Source(
            signal=row.signal,
            issuer=row.issuer,
            control_group=group,
            band_level=row.band_level,
            category=row.category,
            technique=row.technique,
            age_seconds=now - row.received,
            direct=row.direct,
            confirmed=any(self._groups.get(member, member) != group for member in row.confirmed_by),
        )
