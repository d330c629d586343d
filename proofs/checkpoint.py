"""Checkpoints, after C2SP `tlog-checkpoint`: origin, size, root, as a signed note."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass

from proofs.merkle import HASH_BYTES
from proofs.note import NoteError, Signer, VerifierKey, _unbase64, is_valid_name, open_note, sign_note

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class CheckpointError(NoteError):
    """Not a checkpoint, or of another log."""


@dataclass(frozen=True)
class Checkpoint:
    """A log's origin, size and root."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not is_valid_name(self.origin) or self.size < 0 or len(self.root) != HASH_BYTES:
            raise CheckpointError("a checkpoint has an origin, a size and a 32-byte root")

    def to_text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


def parse_checkpoint_text(text: str) -> Checkpoint:
    """Read a checkpoint's text; extension lines are tolerated, empty ones not."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise CheckpointError("a checkpoint has three lines or more, none empty")
    root = _unbase64(lines[2])
    if not _SIZE.fullmatch(lines[1]) or root is None or len(root) != HASH_BYTES:
        raise CheckpointError("a checkpoint's size is decimal, its root 32 bytes of base64")
    return Checkpoint(lines[0], int(lines[1]), root)


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """Sign; the key's name must be the origin."""
    if signer.name != checkpoint.origin:
        raise CheckpointError("a log's key is named as its origin")
    return sign_note(checkpoint.to_text(), (signer,))


def open_checkpoint(data: bytes, key: VerifierKey) -> Checkpoint:
    """Verify a checkpoint."""
    checkpoint = parse_checkpoint_text(open_note(data, (key,), max_size=65_535).text)
    if checkpoint.origin != key.name:
        raise CheckpointError("the checkpoint is another log's")
    return checkpoint
