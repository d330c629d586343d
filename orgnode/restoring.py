"""Restoring a node from its backup: checked whole before anything is where a node would look.

*Attack:* yesterday's backup convicts an honest node: it signs again what it has signed differently
since. So a restored database is marked with a small value, `restored`, that names the members to be
left out, separated by commas. A node that starts on it asks *every* other member what it had signed
before it signs anything, and takes back from them what it lacks. Members that are gone for ever can
be left out, but never so many that a quorum does not answer (`orgnode.federation.recovery`).

*Attack:* an archive that writes elsewhere. Only the names of `orgnode.manifest.is_kept` are taken,
only ordinary files, in the order of the manifest, with its sizes and digests; everything goes into
a new directory that gets its name at the end.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO

from mesh.genesis import Mesh, open_genesis
from orgnode.backup import Progress, no_progress
from orgnode.config import load_config
from orgnode.datadir import DataDir
from orgnode.errors import DataDirExistsError, DataDirNotWritableError, MissingFileError
from orgnode.files import PRIVATE_DIRECTORY, PRIVATE_FILE, read_file, sync_directory
from orgnode.keystore import FILE as KEYSTORE
from orgnode.manifest import (
    DATABASE,
    DIRECTORIES,
    MANIFEST,
    MAX_MANIFEST,
    BackupError,
    BackupFile,
    BackupFormatError,
    Manifest,
    is_kept,
    parse_manifest,
)
from orgnode.restored import RESTORED
from orgnode.store.sqlite import SqliteStore

_CHUNK = 1 << 20


class BackupPathError(BackupError):
    """The archive holds something that no backup has: another name, a link, the same file twice."""


class BackupDigestError(BackupError):
    """A file in the archive is not the one that was backed up: damaged, or changed."""


class ForeignBackupError(BackupError):
    """The parts of the backup belong to different members or meshes."""


class NotAPeerError(BackupError):
    """Who is left out is not another member of this mesh."""


class TooFewLeftError(BackupError):
    """Without these members nobody could know what this node had signed: too few are left."""


class NoRoomError(BackupError):
    """The disk has less room than the backup needs."""


def read_manifest(path: Path) -> Manifest:
    """What a backup says of itself; its files are not looked at.

    :raises MissingFileError: it can't be read.
    :raises BackupFormatError, BackupPathError: it is no backup.
    """
    with _archive(path) as archive:
        return _manifest(archive)


def restore_backup(
    path: Path,
    datadir: DataDir,
    *,
    without: Sequence[str] = (),
    progress: Progress = no_progress,
) -> Manifest:
    """Restore a backup into a data directory that is empty or not there yet. Blocks.

    :param without: names of members that are gone for ever: they will not be asked.
    :raises MissingFileError: the backup can't be read.
    :raises BackupError: it is none, was changed, or `without` can't be; nothing is left behind.
    :raises DataDirExistsError: there is something in the directory.
    :raises DataDirNotWritableError, NoRoomError: it can't be written.
    :raises ConfigError, MeshError, StoreError: a file in it can't be used.
    """
    target = datadir.path
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataDirExistsError(
            f"{target} is not empty", hint="name another --data-dir; nothing is ever overwritten"
        )
    with _archive(path) as archive, _new_directory(target) as staging:
        manifest = _manifest(archive)
        free = shutil.disk_usage(staging).free
        if free < manifest.size:
            raise NoRoomError(
                f"the backup holds {manifest.size} bytes, the disk has room for {free}",
                hint="free some space, or name a --data-dir on another disk",
            )
        _extract(archive, manifest, staging, progress)
        _mark(DataDir(staging), manifest, without)
        _sync(staging)
        staging.rename(target)
    sync_directory(target.parent)
    return manifest


@contextmanager
def _archive(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a backup as a stream: in the order in which it was written, each byte once."""
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
            yield archive
    except (tarfile.TarError, EOFError) as error:
        raise _no_backup(path) from error
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        if error.filename != str(path):
            raise
        raise MissingFileError(
            f"cannot read {path}: {error.strerror}", hint="check the file's name and permissions"
        ) from error


def _no_backup(path: Path) -> BackupFormatError:
    return BackupFormatError(
        f"{path} is not a whole backup of a node",
        hint="name a file that `orgnode backup` wrote; if it is one, it was cut off: use another",
    )


def _manifest(archive: tarfile.TarFile) -> Manifest:
    first = archive.next()
    if first is None or first.name != MANIFEST or first.size > MAX_MANIFEST:
        raise BackupFormatError(
            f"the archive does not begin with {MANIFEST}",
            hint="name a file that `orgnode backup` wrote",
        )
    manifest = parse_manifest(_content(archive, first).read())
    names = [file.path for file in manifest.files]
    foreign = [name for name in names if not is_kept(name)]
    if foreign or len(set(names)) != len(names):
        raise _strange(f"{foreign[0][:100]!r}" if foreign else "one file twice")
    needed = {"config.toml", f"keys/{KEYSTORE}"}
    if not needed <= set(names):
        raise BackupFormatError(
            f"the backup lacks {', '.join(sorted(needed - set(names)))}", hint="use another one"
        )
    return manifest


def _strange(what: str) -> BackupPathError:
    return BackupPathError(
        f"the archive holds {what}, which no backup does",
        hint="somebody made this file for you: nothing of it was restored; use another backup",
    )


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    # Links and devices lead elsewhere; a sparse file is larger than it says.
    source = archive.extractfile(member) if member.isreg() and not member.issparse() else None
    if source is None:
        raise _strange(f"{member.name[:100]!r} as something else than a file")
    return source


def _extract(
    archive: tarfile.TarFile, manifest: Manifest, staging: Path, progress: Progress
) -> None:
    for directory in DIRECTORIES:
        if directory == "keys" or any(f.path.startswith(f"{directory}/") for f in manifest.files):
            (staging / directory).mkdir(mode=PRIVATE_DIRECTORY)
    done = 0
    for file in manifest.files:
        member = archive.next()
        if member is None:
            raise BackupFormatError(f"the archive ends before {file.path}", hint="use another one")
        if member.name != file.path:
            raise _strange(f"{member.name[:100]!r} where {file.path!r} belongs")
        with _content(archive, member) as source:
            for count in _copy(source, staging / file.path, file):
                done += count
                progress("restoring", done, manifest.size)
    more = archive.next()
    if more is not None:
        raise _strange(f"{more.name[:100]!r} besides what it lists")


def _copy(source: IO[bytes], target: Path, file: BackupFile) -> Iterator[int]:
    digest, size = sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as out:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > file.size:
                break
            digest.update(chunk)
            out.write(chunk)
            yield len(chunk)
        out.flush()
        os.fsync(out.fileno())
    if size != file.size or digest.hexdigest() != file.sha256:
        raise BackupDigestError(
            f"{file.path} in the archive is not what was backed up",
            hint="the file was damaged or changed since: use another backup",
        )


def _mark(datadir: DataDir, manifest: Manifest, without: Sequence[str]) -> None:
    """Check that the parts belong together, and write into the database that it is a restored one.

    A node that had no database at the time of the backup gets one for this: it may have signed
    since.
    """
    name = load_config(datadir).name
    mesh = open_genesis(read_file(datadir.genesis)) if datadir.genesis.exists() else None
    if (name, "" if mesh is None else mesh.mesh_id) != (manifest.name, manifest.mesh):
        raise ForeignBackupError(
            f"the backup says that it is of {manifest.name}, its files are of {name}",
            hint="unset ORGNODE_NAME if it is set; else the backup was put together by hand",
        )
    check_left_out(mesh, name, without)
    store = SqliteStore.open(datadir.path / DATABASE, name=name, mesh_id=manifest.mesh)
    try:
        asyncio.run(store.set_meta(RESTORED, ",".join(sorted(set(without))).encode()))
    finally:
        store.close()


def check_left_out(mesh: Mesh | None, name: str, without: Sequence[str]) -> None:
    """Check that the members called `without` can be left out when `name` asks for its past.

    :raises NotAPeerError: one of them is not another member of the mesh.
    :raises TooFewLeftError: with this node itself, fewer than a quorum are left.
    """
    peers = [] if mesh is None else [card.name for card in mesh.peers_of(name)]
    unknown = [one for one in without if one not in peers]
    if unknown:
        raise NotAPeerError(
            f"{unknown[0][:100]!r} is not another member of this mesh",
            hint=f"there are: {', '.join(peers)}" if peers else "this node has joined none yet",
        )
    left = len(set(peers) - set(without)) + 1
    if mesh is not None and left < mesh.constraints.quorum:
        raise TooFewLeftError(
            f"with {left} of {len(mesh.members)} members nobody can tell what {name} had signed; "
            f"it takes {mesh.constraints.quorum}",
            hint="wait for some of them; a mesh that lost its quorum is founded anew",
        )


@contextmanager
def _new_directory(target: Path) -> Iterator[Path]:
    """A private directory beside the one to be made; it goes away unless it was renamed."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.restoring-"))
    except OSError as error:
        raise _not_writable(target, error) from error
    try:
        yield staging
    except OSError as error:
        raise _not_writable(target, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _not_writable(target: Path, error: OSError) -> DataDirNotWritableError:
    return DataDirNotWritableError(
        f"cannot write to {target}: {error.strerror or type(error).__name__}",
        hint="check the directory's owner and permissions, and that its disk is not full",
    )


def _sync(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            sync_directory(path)
    sync_directory(directory)
