"""`orgnode backup` and `orgnode restore`: a node in one file, and back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from mesh.genesis import open_genesis
from orgnode.backup import Progress, write_backup
from orgnode.cli.render import moment, progress
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.datadir import read_file
from orgnode.errors import PassphraseNeededError
from orgnode.keystore import KeyStore
from orgnode.manifest import Manifest
from orgnode.restored import GONE_FOR_EVER
from orgnode.restoring import restore_backup

_KILOBYTE = 1_000


@contextmanager
def _told(session: Session) -> Iterator[Progress]:
    """Progress bars in kilobytes, one for each thing that is done."""
    with progress(session.output.err, quiet=session.output.as_json) as bar:
        tasks = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(f"{what} (kB)", total=None)
            kilobytes, all_kilobytes = done // _KILOBYTE, total // _KILOBYTE
            bar.update(tasks[what], completed=kilobytes, total=all_kilobytes)

        yield told


def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file that is not there yet.", metavar="FILE")],
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Write all that this node is into one file: keys, settings, genesis, policy, database.

    Works while the node runs and while it does not; the database is as of one moment. The file can
    be read by its owner only (mode 0600) and holds the private keys. It is for `orgnode restore`.
    """
    session = session_of(ctx)
    with _told(session) as told:
        made = write_backup(
            session.datadir,
            file.absolute(),
            now=time.time(),
            software=version("signal-mesh"),
            progress=told,
        )
    protected = _protected(session.datadir.keys)
    if session.output.as_json:
        session.output.item({"file": str(file), "passphrase": protected, **made.to_json()})
        return
    say = session.output.say
    size = file.stat().st_size / 1e6
    say(f"Wrote {file}: {made.name}, {len(made.files)} files, {size:.1f} MB", "bold green")
    keys = "under your passphrase" if protected else "under NO passphrase"
    say(
        f"It holds this organization's private keys ({keys}) and its vault. Keep it as safe as the "
        "node itself; what the node erases later stays in it, so throw old ones away."
    )
    say(f"When this node is lost:  orgnode restore {file} --data-dir DIR")
    say(
        "A node restored from it signs nothing before every other member has told it what it "
        "signed since. Never run it beside this one: two nodes with one identity sign two "
        "histories, and the mesh stops counting both for good."
    )


def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `orgnode backup` wrote.", metavar="FILE")],
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEMBER",
            help="A member that is gone for ever and will not be asked; repeatable.",
            show_default=False,
        ),
    ] = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Make a node from a backup, in a --data-dir that is empty or not there yet.

    The backup is checked whole before anything is there; nothing is ever overwritten.
    """
    session = session_of(ctx)
    left_out = without or []
    with _told(session) as told:
        made = restore_backup(file, session.datadir, without=left_out, progress=told)
    asked = _asked(session, made, left_out)
    directory = session.datadir.path
    if session.output.as_json:
        session.output.item(
            {
                "data_dir": str(directory),
                "name": made.name,
                "mesh": made.mesh,
                "made": made.made,
                "files": len(made.files),
                "asks": asked,
                "without": left_out,
            }
        )
        return
    say = session.output.say
    say(f"Restored {made.name} into {directory}, as of {moment(made.made)} UTC", "bold green")
    say(
        "Next:\n"
        "  1. Make sure that the node it was made of never runs again, here or elsewhere: two with "
        "one identity sign two histories, and the mesh stops counting both for good.\n"
        f"  2. orgnode run --data-dir {directory}"
    )
    if asked:
        say(
            f"It first asks {', '.join(asked)} what it signed since the backup, takes it back from "
            "them, and signs nothing until all of them have answered (`orgnode doctor` shows how "
            f"far it is); {GONE_FOR_EVER}. The vault stays as of the backup: nobody else had the "
            "incidents that were reported since."
        )


def _protected(keys: Path) -> bool:
    try:
        return KeyStore.open(keys).protected
    except PassphraseNeededError:
        return True


def _asked(session: Session, made: Manifest, left_out: list[str]) -> list[str]:
    if not made.mesh:
        return []
    mesh = open_genesis(read_file(session.datadir.genesis))
    return [card.name for card in mesh.peers_of(made.name) if card.name not in left_out]
