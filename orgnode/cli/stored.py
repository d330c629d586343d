"""What commands share that read the node's database themselves, whether the node runs or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mesh.constraints import UnknownMemberError
from mesh.genesis import Mesh
from orgnode.cli.errors import CliError
from orgnode.cli.session import Session, stored_mesh
from orgnode.cli.signals import ID_DIGITS, AmbiguousIdError, UnknownIdError, id_digits
from orgnode.config import load_config
from orgnode.store import SignalFilter, SignalRecord, Store
from orgnode.store.sqlite import SqliteStore

_PAGE: Final = 1_000


class NoDatabaseError(CliError):
    """The node has no database yet: it never ran."""


@contextmanager
def stored(session: Session) -> Iterator[tuple[Mesh, SqliteStore]]:
    """The mesh and the node's store, until the block ends.

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
    with SqliteStore.open(
        session.datadir.database, name=config.name, mesh_id=mesh.mesh_id
    ) as store:
        yield mesh, store


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
        raise UnknownIdError(
            f"no signal's id begins with {digits}", hint="list them with `orgnode signals`"
        )
    return found[0]
