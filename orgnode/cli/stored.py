"""What commands share that read the node's database themselves, whether the node runs or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mesh.constraints import UnknownMemberError
from mesh.genesis import Mesh
from orgnode.cli.errors import CliError
from orgnode.cli.session import Session, stored_mesh
from orgnode.cli.signals import (
    ID_DIGITS,
    AmbiguousIdError,
    id_digits,
    refused_signal,
    unknown_id,
)
from orgnode.config import load_config
from orgnode.files import write_file
from orgnode.store import OlderSchemaError, SignalFilter, SignalRecord, Store
from orgnode.store.sqlite import SqliteStore

_PAGE: Final = 1_000
_REFUSALS: Final = 100_000

DAMAGED_HINT: Final = (
    "the disk or the database is damaged, or was changed: stop the node and restore a backup into "
    "a new directory with `orgnode restore BACKUP --data-dir NEW`; see Backups in the operator's "
    "guide"
)
"""What to do when something stored does not hold."""


class NoDatabaseError(CliError):
    """The node has no database yet: it never ran."""


class OutputExistsError(CliError):
    """There is a file where a new one is to be written."""


@contextmanager
def stored(session: Session) -> Iterator[tuple[Mesh, SqliteStore]]:
    """The mesh and the node's store, to be read only, until the block ends.

    Works on a disk that can't be written to.

    :raises DataDirError, ConfigError, NotJoinedError, MeshError: the directory can't be used.
    :raises NoDatabaseError, StoreError: nor can its database.
    """
    session.datadir.check_exists()
    config = load_config(session.datadir)
    mesh = stored_mesh(session)
    if not session.datadir.database.exists():
        raise NoDatabaseError(
            f"there is no {session.datadir.database}", hint="the node has not run yet: orgnode run"
        )
    with _opened(session.datadir.database, config.name, mesh.mesh_id) as store:
        yield mesh, store


def _opened(database: Path, name: str, mesh_id: str) -> SqliteStore:
    try:
        return SqliteStore.open_unchanged(database, name=name, mesh_id=mesh_id)
    except OlderSchemaError:  # migrated as a node would; where nothing can be written, it says so
        return SqliteStore.open(database, name=name, mesh_id=mesh_id)


def is_member(mesh: Mesh, name: str) -> bool:
    """Whether the mesh has a member of this name."""
    try:
        mesh.member(name)
    except UnknownMemberError:
        return False
    return True


def stored_signal(store: Store, given: str) -> SignalRecord:
    """The signal in the store that is meant by an id or its first digits.

    :raises UsageProblemError: it is not written as an id.
    :raises UnknownIdError, AmbiguousIdError: none, or more than one.
    :raises RefusedSignalError: the entry did not hold.
    """
    digits = id_digits(given)
    found: list[SignalRecord] = []
    if len(digits) == ID_DIGITS:
        one = store.signal(digits)
        found += [] if one is None else [one]
    else:
        before: int | None = None
        while page := store.signals(SignalFilter(provisional=True, suspended=True), before, _PAGE):
            found += [record for record in page if record.id.startswith(digits)]
            before = page[-1].cursor
    if len(found) > 1:
        raise AmbiguousIdError(
            f"{len(found)} signals' ids begin with {digits}", hint="give more digits"
        )
    if not found:
        for entry in store.refusals(None, _REFUSALS):
            if entry.entry_id.startswith(digits):
                raise refused_signal(entry.log, entry.error, entry.reason)
        raise unknown_id(digits)
    return found[0]


def write_new(path: Path, data: bytes) -> None:
    """Write a file that anybody may read where none is yet.

    :raises OutputExistsError: there is one.
    :raises DataDirNotWritableError: it can't be written.
    """
    if os.path.lexists(path):
        raise OutputExistsError(
            f"there is a file {path} already", hint="name another one; nothing is overwritten"
        )
    write_file(path.absolute(), data, private=False)
