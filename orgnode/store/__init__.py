"""Where a node keeps what must outlive it: logs, signals, feed, vault rows.

`Store` is the interface, `SqliteStore` the embedded implementation:

    store = SqliteStore.open(path, name="acme.example", mesh_id=mesh.mesh_id)
"""

from orgnode.store.errors import (
    CertifiedRootError,
    DuplicateReferenceError,
    ForeignDatabaseError,
    NewerSchemaError,
    OlderSchemaError,
    SecondRootError,
    StoreBusyError,
    StoreClosedError,
    StoreConflictError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreRangeError,
    StoreReadOnlyError,
    WitnessConflictError,
    WitnessedRootError,
)
from orgnode.store.interface import LogStore, SignalStore, Store, VaultStore
from orgnode.store.interface_certifying import CertifyingStore, ReceiptStore
from orgnode.store.interface_matching import CommitteeStore, MatchStore
from orgnode.store.records import (
    EVENT_TYPES,
    CheckpointRecord,
    Counts,
    DeferredRow,
    EntryRecord,
    EventType,
    FeedEvent,
    FeedFilter,
    KnownReference,
    LogRow,
    ReceiptRecord,
    SealedIncident,
    SignalFilter,
    SignalRecord,
    SignalStatus,
)
from orgnode.store.records_matching import Misconduct, Promotion, TokenSource
from orgnode.store.sqlite import SqliteStore

__all__ = [
    "EVENT_TYPES",
    "CertifiedRootError",
    "CertifyingStore",
    "CheckpointRecord",
    "CommitteeStore",
    "Counts",
    "DeferredRow",
    "DuplicateReferenceError",
    "EntryRecord",
    "EventType",
    "FeedEvent",
    "FeedFilter",
    "ForeignDatabaseError",
    "KnownReference",
    "LogRow",
    "LogStore",
    "MatchStore",
    "Misconduct",
    "NewerSchemaError",
    "OlderSchemaError",
    "Promotion",
    "ReceiptRecord",
    "ReceiptStore",
    "SealedIncident",
    "SecondRootError",
    "SignalFilter",
    "SignalRecord",
    "SignalStatus",
    "SignalStore",
    "SqliteStore",
    "Store",
    "StoreBusyError",
    "StoreClosedError",
    "StoreConflictError",
    "StoreDamagedError",
    "StoreError",
    "StoreFullError",
    "StoreRangeError",
    "StoreReadOnlyError",
    "TokenSource",
    "VaultStore",
    "WitnessConflictError",
    "WitnessedRootError",
]
