"""What can go wrong when a node reads or writes its store, named for the condition."""

from __future__ import annotations

import sqlite3

from orgnode.errors import OrgnodeError


class StoreError(OrgnodeError):
    """The root of everything that a store raises. Nothing of the failed operation was kept."""


class StoreConflictError(StoreError):
    """The store has moved on, or the rows handed in do not fit together; read its state again."""


class SecondRootError(StoreConflictError):
    """A second root for one size of one log. Two signed checkpoints of this kind prove a fork.

    `first` is the signed checkpoint that the store holds, `second` the one that it refused.
    """

    def __init__(self, log: str, size: int, first: bytes, second: bytes) -> None:
        super().__init__(
            f"a checkpoint of {log} at size {size} with another root is stored already",
            hint="this is evidence of two histories; nothing was overwritten",
        )
        self.first = first
        self.second = second


class CertifiedRootError(StoreConflictError):
    """A certificate is over another tree than the one stored: its log has two histories."""

    def __init__(self, log: str, size: int) -> None:
        super().__init__(
            f"the certificate of {log} at size {size} is over another root than is stored here",
            hint="ask who gave the certificate for its checkpoint: two histories are evidence",
        )
        self.log = log
        self.size = size


class WitnessConflictError(StoreConflictError):
    """This node has cosigned another size of a log last than the caller thought: see `size`."""

    def __init__(self, log: str, size: int) -> None:
        super().__init__(
            f"this node has cosigned {log} at size {size} last",
            hint="prove consistency from that size",
        )
        self.log = log
        self.size = size


class WitnessedRootError(StoreConflictError):
    """To cosign this would be to cosign two histories, or to go back: nothing may be signed."""

    def __init__(self, log: str, size: int) -> None:
        super().__init__(
            f"this node has cosigned {log} at size {size}, and can't cosign another tree up to it",
            hint="cosign nothing; two signed checkpoints of one size are evidence",
        )
        self.log = log
        self.size = size


class DuplicateReferenceError(StoreConflictError):
    """An incident with the same reference is in the vault already; `incident_id` names it."""

    def __init__(self, incident_id: str) -> None:
        super().__init__(
            f"this reference was used for the incident {incident_id}",
            hint="nothing was published twice; ask for that incident instead",
        )
        self.incident_id = incident_id


class StoreRangeError(StoreError):
    """Entries or nodes were asked for that lie beyond what is stored of the log."""


class NewerSchemaError(StoreError):
    """The database was written by a newer version; an older one would damage it."""


class OlderSchemaError(StoreError):
    """An older version wrote the database, and it was opened to be read only."""


class ForeignDatabaseError(StoreError):
    """The file is not a node's database, or is that of another member or another mesh."""


class StoreFullError(StoreError):
    """The disk is full. Nothing of the operation was kept; reading still works."""


class StoreReadOnlyError(StoreError):
    """The database cannot be written to: its permissions, or a read-only file system."""


class StoreBusyError(StoreError):
    """Another program has held the database for too long."""


class StoreDamagedError(StoreError):
    """The database file is damaged, or the disk could not be read or written."""


class StoreClosedError(StoreError):
    """The store is closed; the node is shutting down."""


_FULL = "free some space on the disk that holds the data directory, then try again"
_CONDITIONS: dict[int, tuple[type[StoreError], str, str]] = {
    sqlite3.SQLITE_FULL: (StoreFullError, "the disk is full", _FULL),
    sqlite3.SQLITE_READONLY: (
        StoreReadOnlyError,
        "the database cannot be written to",
        "check the owner and permissions of node.db and its directory",
    ),
    sqlite3.SQLITE_PERM: (
        StoreReadOnlyError,
        "the database may not be used by this user",
        "check the owner and permissions of node.db and its directory",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        StoreReadOnlyError,
        "the database cannot be opened",
        "check the owner and permissions of node.db and its directory",
    ),
    sqlite3.SQLITE_BUSY: (
        StoreBusyError,
        "another program holds the database",
        "close the program that reads node.db, a backup perhaps",
    ),
    sqlite3.SQLITE_LOCKED: (
        StoreBusyError,
        "another program holds the database",
        "close the program that reads node.db, a backup perhaps",
    ),
    sqlite3.SQLITE_CORRUPT: (
        StoreDamagedError,
        "the database is damaged",
        "put a backup back with `orgnode restore`; peers hold the log and tell what is missing",
    ),
    sqlite3.SQLITE_NOTADB: (
        ForeignDatabaseError,
        "node.db is not a database",
        "put a backup back with `orgnode restore`",
    ),
    sqlite3.SQLITE_IOERR: (
        StoreDamagedError,
        "the disk could not be read or written",
        "look for disk errors in the system log, and for space left on the disk",
    ),
}


def from_sqlite(error: sqlite3.Error) -> StoreError:
    """The named condition behind an error of SQLite."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    known = _CONDITIONS.get(code & 0xFF)  # the low byte is the primary code
    if known is None:
        return StoreError(
            f"the database refused an operation ({name}: {error})",
            hint="this is a defect of orgnode: report it with the log line",
        )
    kind, message, hint = known
    return kind(f"{message} ({name})", hint=hint)
