"""What is in a backup: which files of a data directory, and the manifest that lists them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from mesh import strictjson
from orgnode.checking.policyfile import POLICY_FILE
from orgnode.errors import OrgnodeError

FORMAT: Final = "signal-mesh/v1/backup"
MANIFEST: Final = "manifest.json"
DATABASE: Final = "node.db"

FILES: Final = (
    "config.toml", "card.note", "genesis.note", "proposal.txt", "transcript", "benign.jsonl",
    "selection.key", "token", POLICY_FILE,
)  # fmt: skip
"""What is kept of the data directory itself, besides the database. None of it has to be there."""
DIRECTORIES: Final = ("keys", "founding", "templates", "allowed")
"""Directories of which every file is kept."""

MAX_MANIFEST: Final = 1 << 20
MAX_FILES: Final = 4_096
MAX_NAME: Final = 255
"""Longest name of a file, in bytes."""


class BackupError(OrgnodeError):
    """A backup can't be made, read or restored."""


class BackupFormatError(BackupError):
    """The file is not a backup of this format, or it ends too early."""


@dataclass(frozen=True)
class BackupFile:
    """One file of a backup: its place in the data directory, its size in bytes, its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself. `made` is in Unix seconds, `mesh` empty before a mesh."""

    name: str
    mesh: str
    made: int
    software: str
    files: tuple[BackupFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """The manifest as JSON values."""
        return {"format": FORMAT, **asdict(self), "files": [asdict(one) for one in self.files]}

    def encode(self) -> bytes:
        """The manifest as the archive holds it."""
        return json.dumps(self.to_json(), indent=1).encode() + b"\n"


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    path: Annotated[str, StringConstraints(min_length=1, max_length=2 * MAX_NAME)]
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Manifest(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    format: Literal["signal-mesh/v1/backup"]
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    mesh: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")]
    made: int
    software: Annotated[str, StringConstraints(max_length=100)]
    files: Annotated[list[_File], Field(max_length=MAX_FILES)]


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest; nothing says yet that the files agree with it.

    :raises BackupFormatError: it is no manifest of this format.
    """
    try:
        value = strictjson.loads(data, max_bytes=MAX_MANIFEST)
        read = _Manifest.model_validate(value)
    except (ValueError, strictjson.StrictJSONError) as error:
        fields = ""
        if isinstance(error, ValidationError):
            fields = f" ({'.'.join(map(str, error.errors(include_input=False)[0]['loc']))})"
        raise BackupFormatError(
            f"this is not a backup of a node{fields}",
            hint="name a file that `orgnode backup` wrote; a newer orgnode may have another format",
        ) from None
    return Manifest(
        name=read.name,
        mesh=read.mesh,
        made=read.made,
        software=read.software,
        files=tuple(BackupFile(one.path, one.size, one.sha256) for one in read.files),
    )


def is_kept(path: str) -> bool:
    """Whether a backup may hold a file of this name: those of `FILES` and `DIRECTORIES` alone."""
    parts = PurePosixPath(path).parts
    if "/".join(parts) != path:  # one spelling: no `//`, no `./`
        return False
    if len(parts) == 1:
        return path in FILES or path == DATABASE
    return len(parts) == 2 and parts[0] in DIRECTORIES and _usable(parts[1])


def _usable(name: str) -> bool:
    return (
        name.isprintable()
        and not name.startswith(".")
        and "/" not in name
        and "\\" not in name
        and len(name.encode("utf-8", "replace")) <= MAX_NAME
    )
