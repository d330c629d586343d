"""The data directory: where everything of one node lives, and who may use it.

    DIR/config.toml       settings
    DIR/keys/             private keys (0700, files 0600)
    DIR/card.note         this member's signed card
    DIR/genesis.note      the mesh's signed genesis
    DIR/proposal.txt      the proposal of the key generation that the genesis came from
    DIR/transcript        the key generation that the genesis names by digest
    DIR/benign.jsonl      the mesh's benign corpus, if the genesis names one
    DIR/selection.key     the mesh's shared selection key (0600)
    DIR/founding/         this node's own part in key generations, before it joins
    DIR/token             bearer token of the local API (0600)
    DIR/node.db           the store
    DIR/lock              held by the running node
    DIR/run.json          where the running node listens; removed when it stops

Files are replaced atomically and synced, so a crash leaves the old one or the new one. A secret
that others could read is refused, not quietly used: it may be theirs already.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from orgnode.errors import (
    DataDirExistsError,
    DataDirInUseError,
    DataDirMissingError,
    DataDirNotWritableError,
    ForeignCorpusError,
    MissingFileError,
    SecretFormatError,
)
from orgnode.files import PRIVATE_DIRECTORY, PRIVATE_FILE, read_file, write_file

__all__ = ["SELECTION_KEY_BYTES", "DataDir", "RunInfo", "read_file", "write_file"]

SELECTION_KEY_BYTES = 32

_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}")


@dataclass(frozen=True)
class RunInfo:
    """Where the running node can be found: its process and the ports that it really listens on.

    `instance` is a random name of this run, which the node's own API tells too.
    """

    pid: int
    local_host: str
    local_port: int
    federation_port: int
    instance: str = ""


@dataclass(frozen=True)
class DataDir:
    """The paths of one node's files, and the few operations on the directory as a whole."""

    path: Path

    @property
    def config(self) -> Path:
        """Settings, TOML."""
        return self.path / "config.toml"

    @property
    def keys(self) -> Path:
        """Directory of the private keys."""
        return self.path / "keys"

    @property
    def share(self) -> Path:
        """This member's share of the mesh's evaluation key, secret; only with a committee seat."""
        return self.keys / "share.json"

    @property
    def card(self) -> Path:
        """This member's card, a signed note."""
        return self.path / "card.note"

    @property
    def genesis(self) -> Path:
        """The genesis of the mesh, a note signed by all founders."""
        return self.path / "genesis.note"

    @property
    def proposal(self) -> Path:
        """The proposal of the key generation, public."""
        return self.path / "proposal.txt"

    @property
    def transcript(self) -> Path:
        """The key generation whose digest stands in the genesis, public."""
        return self.path / "transcript"

    @property
    def benign(self) -> Path:
        """The mesh's benign corpus, JSONL, public."""
        return self.path / "benign.jsonl"

    @property
    def selection_key(self) -> Path:
        """The mesh's shared selection key, hex, secret."""
        return self.path / "selection.key"

    @property
    def founding(self) -> Path:
        """What this node said in key generations: it never says anything else a second time."""
        return self.path / "founding"

    @property
    def token(self) -> Path:
        """The local API's bearer token, secret."""
        return self.path / "token"

    @property
    def database(self) -> Path:
        """The store's SQLite database."""
        return self.path / "node.db"

    @property
    def lock_file(self) -> Path:
        """The file whose lock the running node holds."""
        return self.path / "lock"

    @property
    def run_file(self) -> Path:
        """Where the running node listens, JSON."""
        return self.path / "run.json"

    def create(self) -> None:
        """Make the directory (0700) and `keys/`, for a new node.

        :raises DataDirExistsError: there are keys in it already.
        :raises DataDirNotWritableError: it can't be made or written to.
        """
        if self.keys.is_dir() and any(self.keys.iterdir()):
            raise DataDirExistsError(
                f"{self.path} already holds a node",
                hint="choose another --data-dir, or remove this one if you are sure",
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIRECTORY)
            self.keys.mkdir(exist_ok=True, mode=PRIVATE_DIRECTORY)
            self.keys.chmod(
                PRIVATE_DIRECTORY
            )  # mkdir's mode is cut by the umask and skipped if it exists
        except OSError as error:
            raise self._not_writable(error) from error
        self.check_writable()

    def check_exists(self) -> None:
        """Check that a node was set up here.

        :raises DataDirMissingError: there is no such directory, or no node in it.
        """
        if not self.config.is_file() and not self.keys.is_dir():
            raise DataDirMissingError(
                f"there is no node in {self.path}",
                hint="set one up with `orgnode init`, or name its directory with --data-dir",
            )

    def check_writable(self) -> None:
        """Check that files can be made here, by making one.

        :raises DataDirMissingError: the directory does not exist.
        :raises DataDirNotWritableError: it can't be written to.
        """
        try:
            with tempfile.TemporaryFile(dir=self.path) as probe:
                probe.write(b"\0")
        except FileNotFoundError as error:
            raise DataDirMissingError(
                f"there is no directory {self.path}",
                hint="set a node up with `orgnode init`, or name its directory with --data-dir",
            ) from error
        except OSError as error:
            raise self._not_writable(error) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for this process; the system lets go of it however the process ends.

        :raises DataDirInUseError: another process holds it.
        :raises DataDirNotWritableError: the lock file can't be written.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            fd = os.open(self.lock_file, flags, PRIVATE_FILE)
        except FileNotFoundError as error:
            raise DataDirMissingError(
                f"there is no directory {self.path}", hint="set a node up with `orgnode init`"
            ) from error
        except OSError as error:
            raise self._not_writable(error) from error
        try:
            try:
                _lock_exclusively(fd)
            except BlockingIOError as error:
                holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
                who = f" (process {holder})" if holder.isdigit() else ""
                raise DataDirInUseError(
                    f"another process{who} runs on {self.path}",
                    hint="stop that one first, or give this node a data directory of its own",
                ) from error
            # The number is for the message above only; the lock itself is the kernel's.
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(fd)

    # --- secrets

    def create_token(self) -> str:
        """Make and store a new bearer token (256 random bits); returns it."""
        token = secrets.token_urlsafe(32)
        write_file(self.token, token.encode() + b"\n", private=True)
        return token

    def read_token(self) -> str:
        """Return the local API's bearer token.

        :raises MissingFileError, PermissionsTooOpenError, SecretFormatError: see there.
        """
        text = read_file(self.token, private=True).decode("ascii", "replace").strip()
        if _TOKEN.fullmatch(text) is None:
            raise SecretFormatError(
                f"{self.token} does not hold a token (32 to 128 characters of A-Z a-z 0-9 _ -)",
                hint="delete the file and start the node: it makes a new token",
            )
        return text

    def write_selection_key(self, key: bytes) -> None:
        """Store the mesh's shared selection key (32 bytes)."""
        if len(key) != SELECTION_KEY_BYTES:
            raise SecretFormatError(
                f"a selection key is {SELECTION_KEY_BYTES} bytes, this one is {len(key)}",
                hint="join again: it follows from the transcript of the key generation",
            )
        write_file(self.selection_key, key.hex().encode() + b"\n", private=True)

    def read_selection_key(self) -> bytes:
        """Return the mesh's shared selection key (32 bytes).

        :raises MissingFileError, PermissionsTooOpenError, SecretFormatError: see there.
        """
        hint = "join again (`orgnode genesis join`): it follows from the transcript and keys/"
        try:
            text = read_file(self.selection_key, private=True).decode("ascii", "replace").strip()
        except MissingFileError as error:
            raise MissingFileError(str(error), hint=hint) from error
        if re.fullmatch(rf"[0-9a-f]{{{2 * SELECTION_KEY_BYTES}}}", text) is None:
            raise SecretFormatError(
                f"{self.selection_key} does not hold {2 * SELECTION_KEY_BYTES} hex digits",
                hint=hint,
            )
        return bytes.fromhex(text)

    # --- the benign corpus

    def read_benign(self, digest: str) -> bytes:
        """Return the benign corpus that the constraints pin by its SHA-256, hex.

        :raises MissingFileError: there is none here.
        :raises ForeignCorpusError: it is another one.
        """
        try:
            data = read_file(self.benign)
        except MissingFileError as error:
            raise MissingFileError(
                str(error), hint=f"copy it from a founder; its SHA-256 is {digest}"
            ) from error
        if sha256(data).hexdigest() != digest:
            raise ForeignCorpusError(
                f"{self.benign} is not the benign corpus that the genesis names",
                hint=f"copy it from a founder, unchanged; its SHA-256 is {digest}",
            )
        return data

    # --- the running node

    def write_run(self, info: RunInfo) -> None:
        """Say where this node listens."""
        write_file(self.run_file, json.dumps(asdict(info)).encode() + b"\n", private=True)

    def read_run(self) -> RunInfo | None:
        """Where the node listens; None when none runs (a file left by a crash is no node)."""
        info = self.told_run()
        return info if info is not None and self.in_use() else None

    def told_run(self) -> RunInfo | None:
        """What the file says, whether that node still runs or was cut off by a crash."""
        try:
            fields = json.loads(self.run_file.read_bytes())
            return RunInfo(
                pid=int(fields["pid"]),
                local_host=str(fields["local_host"]),
                local_port=int(fields["local_port"]),
                federation_port=int(fields["federation_port"]),
                instance=str(fields.get("instance", "")),
            )
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError):
            return None  # half-known is as good as unknown: the caller falls back to the settings

    def remove_run(self) -> None:
        """Forget where this node listened, at its end."""
        self.run_file.unlink(missing_ok=True)

    def in_use(self) -> bool:
        """Whether a process holds the lock at this moment."""
        try:
            fd = os.open(self.lock_file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def _not_writable(self, error: OSError) -> DataDirNotWritableError:
        return DataDirNotWritableError(
            f"cannot write to {self.path}: {error.strerror or type(error).__name__}",
            hint="check its owner and permissions, that its disk is not full or mounted read-only, "
            "or choose another --data-dir",
        )


def _lock_exclusively(fd: int) -> None:
    """Take the lock, or BlockingIOError. `in_use` holds it only for a moment: so try again."""
    for pause in (0.02, 0.05, 0.1, None):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if pause is None:
                raise
            time.sleep(pause)
        else:
            return
