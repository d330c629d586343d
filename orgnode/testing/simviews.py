"""What a simulated node makes of the mesh, read from its store as any caller would read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mesh.assessment import NOTE_ERRORS, Outcome
from mesh.entry import Kind
from mesh.genesis import Mesh
from mesh.testing.history import LogView, View
from orgnode.store import EntryRecord, SignalFilter, SignalRecord, SignalStatus, Store
from proofs.cosignature import verify_cosignature
from proofs.errors import ProofsError
from proofs.note import parse_note

MAX_NOTE = 1 << 20

GONE = "gone"
"""A signal that does not count: retracted, expired or erased, here or before it came; or refused
for what its body says, which who never had the body can't know."""


def view_of(node: str, store: Store, logs: Iterable[str], tokens: Sequence[str]) -> View:
    """Everything that nodes must agree on, as this one has it."""
    return View(node, {log: _log_view(store, log) for log in logs}, _sources(store, tokens))


def _log_view(store: Store, log: str) -> LogView:
    state = store.state(log)
    wanted = SignalFilter(issuer=log, provisional=True, suspended=True)
    signals = {one.id: one for one in store.signals(wanted, None, state.size)}
    return LogView(
        leaves=tuple(store.leaves(log, 0, state.size)),
        certified=store.certified_size(log),
        evidence=state.evidence is not None,
        statuses={
            record.entry_id: _status(record, signals.get(record.entry_id))
            for record in store.records(log, 0, state.size)
        },
    )


def _status(record: EntryRecord, signal: SignalRecord | None) -> str:
    noted = record.outcome is Outcome.REFUSED and record.error in NOTE_ERRORS
    if record.kind != Kind.SIGNAL or record.outcome is Outcome.DEFERRED or noted:
        return f"{record.outcome} {record.error}".strip()
    if record.outcome in (Outcome.LAPSED, Outcome.REFUSED):
        return GONE
    if signal is None:
        return "accepted, and not there"
    if signal.status is not SignalStatus.LIVE:
        return GONE
    return "certified" if signal.certified else "provisional"


def _sources(store: Store, tokens: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {
        token: tuple(
            sorted(
                f"{source.signal} +{','.join(source.confirmed_by)} -{','.join(source.denied_by)}"
                for source in sources
            )
        )
        for token, sources in store.sources(tokens).items()
    }


class TrueCosigners:
    """Counts the cosignatures of a note that do verify: the simulation's own word, not a node's."""

    def __init__(self, mesh: Mesh) -> None:
        self._keys = {card.name: card.witness_key for card in mesh.members}
        self._known: dict[bytes, tuple[str, ...]] = {}

    def __call__(self, note: bytes) -> tuple[str, ...]:
        """Names of the members that cosigned."""
        if note not in self._known:
            self._known[note] = tuple(sorted(self._verified(note)))
        return self._known[note]

    def _verified(self, note: bytes) -> set[str]:
        parsed = parse_note(note, MAX_NOTE)
        found = set()
        for line in parsed.signatures:
            key = self._keys.get(line.name)
            if key is None or key.key_id != line.key_id:
                continue
            try:
                verify_cosignature(parsed.text, line, key)
            except ProofsError:
                continue
            found.add(line.name)
        return found
