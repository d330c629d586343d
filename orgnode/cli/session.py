"""What every command shares: which node it is about, how it prints, how it reaches the node.

`--data-dir` and `--json` may stand before or after the command's name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from mesh.genesis import Mesh, open_genesis
from orgnode.cli.errors import UsageProblemError
from orgnode.cli.render import Output
from orgnode.config import ENV_DATA_DIR, passphrase
from orgnode.datadir import DataDir, read_file
from orgnode.keystore import KeyStore

T = TypeVar("T")

DEFAULT_DATA_DIR = Path("~/.orgnode")


@dataclass
class Session:
    """One run of the command line."""

    datadir: DataDir = field(default_factory=lambda: DataDir(DEFAULT_DATA_DIR.expanduser()))
    output: Output = field(default_factory=Output)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a command that talks to a node."""
        return asyncio.run(work)


def session_of(ctx: typer.Context) -> Session:
    """The session of a command's context."""
    found = ctx.obj
    if not isinstance(found, Session):
        found = ctx.obj = Session()
        if ctx.parent is not None:
            ctx.find_root().obj = found
    return found


def _set_data_dir(ctx: typer.Context, value: Path | None) -> None:
    # An option of the subcommand overrules the one before it, and neither its absence.
    if value is not None:
        session_of(ctx).datadir = DataDir(value.expanduser().absolute())


def _set_json(ctx: typer.Context, value: bool) -> None:
    if value:
        session_of(ctx).output.as_json = True


Data = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar=ENV_DATA_DIR,
        metavar="DIR",
        help="The node's directory; ~/.orgnode by default.",
        callback=_set_data_dir,
        expose_value=False,
        show_default=False,
    ),
]
SubData = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="The node's directory.",
        callback=_set_data_dir,
        expose_value=False,
        show_default=False,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON object a line.",
        callback=_set_json,
        expose_value=False,
        show_default=False,
    ),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="File (mode 0600) whose first line is the keys' passphrase; or set "
        "ORGNODE_PASSPHRASE or ORGNODE_PASSPHRASE_FILE.",
        show_default=False,
    ),
]


def given_passphrase(file: Path | None) -> str | None:
    """The passphrase from the file, or else from the environment.

    :raises MissingFileError, PermissionsTooOpenError: the file can't be used.
    :raises UsageProblemError: the file's first line is empty: keys would be left unprotected.
    """
    if file is None:
        return passphrase()
    data = read_file(file, private=True)
    first = data.decode("utf-8", "replace").split("\n", 1)[0].rstrip("\r")
    if not first:
        raise UsageProblemError(
            f"the first line of {file} is empty", hint="write the passphrase there"
        )
    return first


def stored_mesh(session: Session) -> Mesh:
    """The mesh that this node joined, from the genesis in its data directory.

    :raises NotJoinedError: it has joined none yet.
    :raises DataDirError, MeshError: the directory or the genesis can't be used.
    """
    session.datadir.check_exists()
    if not session.datadir.genesis.exists():
        # Imported here: only this error needs the node's modules.
        from orgnode.material import not_joined

        raise not_joined("this node")
    return open_genesis(read_file(session.datadir.genesis))


def open_keys(session: Session, file: Path | None) -> KeyStore:
    """Open the node's keys, asking for the passphrase where it is needed.

    :raises KeyStoreError, DataDirError: they can't be opened.
    """
    session.datadir.check_exists()
    return KeyStore.open(session.datadir.keys, given_passphrase(file))
