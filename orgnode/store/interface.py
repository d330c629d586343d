"""What every store does, whatever database stands behind it. `tests/orgnode/store_contract.py` is
the suite that each implementation passes.

Writes are coroutines that return once the change is durable (fsync), never before; each is atomic,
and one that fails leaves nothing behind and harms no other. Reads return at once, from any thread,
and see every write that was acknowledged before. All methods raise subclasses of `StoreError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mesh.days import Day
from mesh.following import FollowerState
from mesh.wire import BodyAnswer
from orgnode.store.interface_certifying import CertifyingStore, ReceiptStore
from orgnode.store.interface_matching import CommitteeStore, MatchStore
from orgnode.store.records import (
    CheckpointRecord,
    Counts,
    DeferredRow,
    EntryRecord,
    FeedEvent,
    FeedFilter,
    KnownReference,
    LogRow,
    SealedIncident,
    SignalFilter,
    SignalRecord,
)
from proofs.merkle import NodeAddress


class LogStore(Protocol):
    """The members' logs: entries, bodies, tree nodes, checkpoints, and how far each is followed."""

    async def commit_segment(
        self,
        log: str,
        expected_size: int,
        rows: Sequence[LogRow],
        state: FollowerState,
        vaulted: Sequence[SealedIncident] = (),
    ) -> int:
        """Append entries to a log and what follows from them at once, as one change.

        That is: provisional signals, feed events, the effects of retractions (the signal is marked,
        its body and tokens erased; nobody waits for its body any more) and of evidence (the accused
        log is suspended), counts, tree nodes, the follower's state with its checkpoints, and vault
        rows. That signals, sightings and promotions count comes with `certify`, in this node's own
        log as in any other. `expected_size` is the log's size before; `rows` follow on from it
        without a gap, and `state.size` is the size after. Returns the sequence number of the last
        feed event.

        :raises StoreConflictError: the log has another size, or rows and state do not fit.
        :raises SecondRootError: a checkpoint of this size with another root is stored.
        :raises DuplicateReferenceError: a vaulted incident's reference was used before.
        """
        ...

    async def save_state(self, log: str, state: FollowerState) -> int:
        """Store a follower's state when no entries were added: a new target, checkpoint, evidence.

        The first evidence against a log stays; it suspends the log and becomes a feed event.
        Returns the last event's number.

        :raises StoreConflictError: the state's size is not the stored size.
        :raises SecondRootError: as for `commit_segment`.
        """
        ...

    async def resolve_deferred(self, log: str, rows: Sequence[LogRow]) -> int:
        """Store what became of entries that were looked at again (those that `deferred` returns).

        Rows whose fate is decided already are left alone. What is certified already takes effect at
        once. Returns how many are decided now.

        :raises StoreConflictError: an index holds another entry.
        """
        ...

    async def erase_body(self, log: str, index: int) -> bool:
        """Erase an entry's body, and what was read from it; True if there was anything to erase.

        A body that has not come is not waited for any more.

        :raises StoreRangeError: the log has no such entry.
        """
        ...

    async def expire(self, today: Day) -> int:
        """Erase the content of all entries whose last day has passed; returns how many it were.

        Pauses after retractions (see `ReceiptStore.cooling`) are forgotten with it, once no signal
        can fall into them any more.
        """
        ...

    def logs(self) -> list[str]:
        """The logs that anything is stored about, by name."""
        ...

    def state(self, log: str) -> FollowerState:
        """Where following a log stands; an empty state for a log never heard of."""
        ...

    def entries(self, log: str, start: int, end: int) -> list[bytes]:
        """The entries [start, end) of a log, exact bytes.

        :raises StoreRangeError: the log is shorter than `end`.
        """
        ...

    def bodies(self, log: str, start: int, end: int) -> list[BodyAnswer]:
        """For each of the entries [start, end): its salt and body, or that it was erased or lacks.

        :raises StoreRangeError: the log is shorter than `end`.
        """
        ...

    def leaves(self, log: str, start: int, end: int) -> list[bytes]:
        """The leaf hashes of the entries [start, end).

        :raises StoreRangeError: the log is shorter than `end`.
        """
        ...

    def nodes(self, log: str, addresses: Sequence[NodeAddress]) -> list[bytes]:
        """Hashes of perfect subtrees, in the order asked for.

        :raises StoreRangeError: a subtree reaches beyond the log's size.
        """
        ...

    def checkpoint(self, log: str) -> bytes | None:
        """The newest signed checkpoint that was followed to its end, without cosignatures."""
        ...

    def checkpoints(self, log: str, limit: int = 100) -> list[CheckpointRecord]:
        """Signed checkpoints seen of a log, largest first."""
        ...

    def records(self, log: str, start: int, end: int) -> list[EntryRecord]:
        """What is known of the entries [start, end), as far as the log goes."""
        ...

    def deferred(self, log: str, error: str | None = None, limit: int = 256) -> list[DeferredRow]:
        """Entries of a log to look at again, oldest first; `error` selects those waiting for it.

        They are the deferred ones, and those refused only for the bytes that came as their body
        (`mesh.outcome.RETRYABLE`).
        """
        ...

    def refusals(self, log: str | None = None, limit: int = 100) -> list[EntryRecord]:
        """Refused entries of one log or of all, newest first."""
        ...

    def counts(self) -> Counts:
        """For each log, how many entries had which outcome."""
        ...


class SignalStore(Protocol):
    """Accepted signals, and the feed of what happened."""

    def holds_entry(self, log: str, entry_id: str) -> bool:
        """Whether a log holds an entry with this id, whatever became of it."""
        ...

    def signal(self, entry_id: str) -> SignalRecord | None:
        """An accepted signal, in any status."""
        ...

    def signals(
        self, wanted: SignalFilter, before: int | None = None, limit: int = 100
    ) -> list[SignalRecord]:
        """Accepted signals, newest first; `before` is the last page's last `cursor`.

        Without more in `wanted`, only certified ones of logs without evidence against them.
        """
        ...

    def events(self, after: int, wanted: FeedFilter, limit: int = 1_000) -> list[FeedEvent]:
        """Feed events with a number above `after`, in order."""
        ...

    def first_seq(self) -> int:
        """Number of the oldest event that is kept, or of the next one when none is."""
        ...

    def last_seq(self) -> int:
        """Number of the newest event; 0 when there never was one."""
        ...

    async def trim_events(self, before: int) -> int:
        """Forget events numbered below `before`; returns how many. Signals stay."""
        ...


class VaultStore(Protocol):
    """Sealed incidents. Whoever has the rows but not the master key has nothing."""

    async def vault_put(self, incident: SealedIncident) -> None:
        """Store a sealed incident.

        :raises StoreConflictError: there is one of this id.
        :raises DuplicateReferenceError: its reference was used before.
        """
        ...

    def vault_get(self, incident_id: str) -> SealedIncident | None:
        """A sealed incident."""
        ...

    def vault_of(self, entry_id: str) -> SealedIncident | None:
        """The sealed incident behind an own signal."""
        ...

    def vault_find(self, reference_mac: bytes) -> KnownReference | None:
        """Which incident a reference was used for."""
        ...

    async def vault_erase(self, incident_id: str) -> bool:
        """Destroy an incident's wrapped key and ciphertext, also in the write-ahead log."""
        ...

    async def vault_expire(self, today: Day) -> int:
        """Destroy all incidents whose last day has passed; returns how many."""
        ...

    def vault_count(self) -> int:
        """How many incidents are kept."""
        ...


class Store(
    LogStore,
    CertifyingStore,
    SignalStore,
    ReceiptStore,
    VaultStore,
    MatchStore,
    CommitteeStore,
    Protocol,
):
    """Everything that a node keeps."""

    async def set_meta(self, key: str, value: bytes) -> None:
        """Keep a small value under a name."""
        ...

    def meta(self, key: str) -> bytes | None:
        """The value kept under a name."""
        ...

    def pending(self) -> int:
        """How many writes wait for the disk."""
        ...

    def close(self) -> None:
        """Finish what was accepted and close. Blocks; later calls raise StoreClosedError."""
        ...
