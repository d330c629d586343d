"""Backups: one tar file that holds everything a node needs to go on elsewhere.

    manifest.json    first: whose it is, and each file that follows with its size and SHA-256
    config.toml, card.note, genesis.note, …, keys/…, templates/…, allowed/…, founding/…
    node.db          the database as it was at one moment, last

The database is copied with SQLite's backup API inside one read transaction, so the node may run and
write meanwhile. A backup is written under another name and gets its own when it is whole; nothing
is overwritten. It holds private keys, the committee share and the vault: mode 0600, and what is
erased from the node later is still in it. `orgnode.restoring` is the way back.
"""

from __future__ import annotations

import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import file_digest, sha256
from io import BytesIO
from pathlib import Path
from typing import IO

from mesh.genesis import open_genesis
from orgnode.config import load_config
from orgnode.datadir import DataDir, read_file
from orgnode.files import PRIVATE_FILE, sync_directory
from orgnode.keystore import FILE as KEYSTORE
from orgnode.manifest import (
    DATABASE,
    DIRECTORIES,
    FILES,
    MANIFEST,
    BackupError,
    BackupFile,
    Manifest,
    is_kept,
)
from orgnode.store.errors import ForeignDatabaseError, StoreDamagedError, from_sqlite
from orgnode.store.schema import APPLICATION_ID, BUSY_SECONDS

_PAGES = 2_048  # copied between two looks at the progress bar

Progress = Callable[[str, int, int], None]
"""Is told what is being done, how many bytes of it are done, and of how many."""


def no_progress(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""


class BackupExistsError(BackupError):
    """There is a file of this name; an older backup is never overwritten."""


class BackupWriteError(BackupError):
    """The backup can't be written where it should be. Nothing of it is left there."""


class UnusableNameError(BackupError):
    """A file of the node has a name that no backup could bring back."""


def write_backup(
    datadir: DataDir,
    path: Path,
    *,
    now: float,
    software: str,
    progress: Progress = no_progress,
) -> Manifest:
    """Write a backup of a node, running or not, to a file that must not be there yet.

    `now` is the time in Unix seconds and `software` the version, for the manifest. Blocks; a
    database of a gigabyte takes some seconds.

    :raises BackupExistsError, BackupWriteError, UnusableNameError: see there.
    :raises DataDirError, ConfigError, MeshError: what is to be kept is missing or can't be read.
    :raises StoreError: the database can't be read, or is damaged.
    """
    datadir.check_exists()
    config = load_config(datadir)
    contents = _contents(datadir)
    if f"keys/{KEYSTORE}" not in contents:
        read_file(datadir.keys / KEYSTORE)  # raises: without keys it is no node
    genesis = contents.get("genesis.note")
    mesh = "" if genesis is None else open_genesis(genesis).mesh_id
    with _new_file(path) as staging:
        files = [
            BackupFile(name, len(data), sha256(data).hexdigest()) for name, data in contents.items()
        ]
        copy = staging / DATABASE
        if datadir.database.exists():
            _copy_database(datadir.database, copy, progress)
            with copy.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            files.append(BackupFile(DATABASE, copy.stat().st_size, digest))
        manifest = Manifest(config.name, mesh, int(now), software, tuple(files))
        archive = staging / "archive"
        with _private(archive) as out:
            _write_archive(out, manifest, contents, copy, progress)
            out.flush()
            os.fsync(out.fileno())
        os.replace(archive, path)
    return manifest


def _contents(datadir: DataDir) -> dict[str, bytes]:
    """Every file to keep but the database, by its name in the archive."""
    found = {name: datadir.path / name for name in FILES}
    for directory in DIRECTORIES:
        place = datadir.path / directory
        if place.is_dir():
            for path in sorted(place.iterdir()):
                # What begins with a dot is a file that is just being replaced.
                if path.is_file() and not path.name.startswith("."):
                    found[f"{directory}/{path.name}"] = path
    for name, path in found.items():
        if path.is_file() and not is_kept(name):
            raise UnusableNameError(
                f"{path!s} has a name that can't be in a backup", hint="rename the file"
            )
    return {name: read_file(path) for name, path in found.items() if path.is_file()}


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """Reserve a file's name; yields a private directory beside it to prepare the content in."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE))
    except FileExistsError as error:
        raise BackupExistsError(
            f"{path} exists already", hint="choose another name, or move that file away"
        ) from error
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as staging:
            yield Path(staging)
        sync_directory(path.parent)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from error
        raise


def _cannot_write(path: Path, error: OSError) -> BackupWriteError:
    return BackupWriteError(
        f"cannot write {path}: {error.strerror or type(error).__name__}",
        hint="check the directory and its permissions, and that its disk has room for the database "
        "twice",
    )


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb")


def _copy_database(source: Path, target: Path, progress: Progress) -> None:
    """Copy a database as it is at this moment, whoever writes to it meanwhile; check the copy."""

    def told(_status: int, remaining: int, total: int) -> None:
        progress("copying the database", (total - remaining) * page, total * page)

    _private(target).close()
    try:
        with (
            # Not the node's own way of opening it, which may write (migrations).
            closing(_connect(f"{source.absolute().as_uri()}?mode=ro")) as reader,
            closing(_connect(target.absolute().as_uri())) as copy,
        ):
            # Inside one transaction, so that no write makes the copying start over.
            reader.execute("BEGIN")
            (page,) = reader.execute("PRAGMA page_size").fetchone()
            identity = reader.execute("PRAGMA application_id").fetchone()
            if identity != (APPLICATION_ID,):
                raise ForeignDatabaseError(
                    f"{source} is not a node's database", hint="move that file away"
                )
            reader.backup(copy, pages=_PAGES, progress=told)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, and nothing beside it
            found = copy.execute("PRAGMA quick_check(3)").fetchall()
    except sqlite3.Error as error:
        raise from_sqlite(error) from error
    if found != [("ok",)]:
        raise StoreDamagedError(
            f"{source} is damaged: {'; '.join(str(line[0]) for line in found)}",
            hint="stop the node and keep the directory; a backup of damage helps nobody: restore "
            "an older one",
        )


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def _write_archive(
    out: IO[bytes],
    manifest: Manifest,
    contents: dict[str, bytes],
    database: Path,
    progress: Progress,
) -> None:
    done = 0
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        head = manifest.encode()
        tar.addfile(_info(MANIFEST, len(head), manifest.made), BytesIO(head))
        for file in manifest.files:
            with (
                BytesIO(contents[file.path])
                if file.path != DATABASE
                else database.open("rb") as source
            ):
                tar.addfile(_info(file.path, file.size, manifest.made), source)
            done += file.size
            progress("writing the archive", done, manifest.size)


def _info(name: str, size: int, made: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, PRIVATE_FILE, made
    return info
