"""Reading and writing small files: atomically, durably, and privately where they are secret."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from orgnode.errors import DataDirNotWritableError, MissingFileError, PermissionsTooOpenError

PRIVATE_FILE = 0o600
"""Mode of a file that only its owner may use."""

PRIVATE_DIRECTORY = 0o700
"""Mode of a directory that only its owner may use."""

_PUBLIC_FILE = 0o644


def write_file(path: Path, data: bytes, *, private: bool) -> None:
    """Replace a file's content atomically and durably; a private one is 0600 from its first byte.

    :raises DataDirNotWritableError: the directory can't be written to.
    """
    try:
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), PRIVATE_FILE if private else _PUBLIC_FILE)
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise DataDirNotWritableError(
            f"cannot write {path}: {error.strerror or type(error).__name__}",
            hint="check the directory's owner and permissions, and that its disk is not full",
        ) from error


def read_file(path: Path, *, private: bool = False) -> bytes:
    """Return a file's bytes; a private one must not be open to others.

    :raises MissingFileError: it isn't there, or can't be read by this user.
    :raises PermissionsTooOpenError: it is private and others may read or write it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if private and mode & 0o077:
                raise PermissionsTooOpenError(
                    f"{path} can be used by other users of this machine (mode {mode:04o})",
                    hint=f"run `chmod 600 {path}`; if others may have read it, replace the secret",
                )
            return file.read()
    except FileNotFoundError as error:
        raise MissingFileError(
            f"{path} is missing",
            hint="set the node up with `orgnode init`, or restore the file from a backup",
        ) from error
    except OSError as error:
        raise MissingFileError(
            f"cannot read {path}: {error.strerror or type(error).__name__}",
            hint="check the file's owner and permissions",
        ) from error


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: syncing a new file does not sync its name."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
