"""Checkpoints, after C2SP `tlog-checkpoint`: a log's origin, size and root, as a signed note.

The origin is the name of the key that signs, so that no log can speak for another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proofs.merkle import HASH_BYTES, MAX_SIZE
from proofs.note import (
    NoteError,
    Signer,
    VerifierKey,
    decode_base64,
    encode_base64,
    is_valid_name,
    open_note,
    sign_note,
)

MAX_CHECKPOINT: Final = 65_535
"""Bytes of a signed checkpoint; 64 cosignatures take less than a tenth."""

# One spelling for each size. Not `isdigit`, `int`: they take signs, spaces, other scripts' digits.
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class CheckpointError(NoteError):
    """Not a checkpoint: its origin, size or root is malformed."""


class OriginMismatchError(CheckpointError):
    """A checkpoint of one log is signed with the key of another."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's origin, its number of entries, and its root (32 bytes).

    :raises CheckpointError: one of them is malformed.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not is_valid_name(self.origin):
            raise CheckpointError("a checkpoint's origin is a key's name: no spaces, no +")
        if not 0 <= self.size <= MAX_SIZE:
            raise CheckpointError(f"a checkpoint's size is 0 to 2^63 - 1, not {self.size}")
        if len(self.root) != HASH_BYTES:
            raise CheckpointError("a checkpoint's root is 32 bytes")

    def to_text(self) -> str:
        """Return the text that is signed: the three on a line each."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"


def parse_checkpoint_text(text: str) -> Checkpoint:
    """Read a checkpoint's text. Extension lines are tolerated, and ignored: nothing audits them.

    :raises CheckpointError: it is malformed.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise CheckpointError("a checkpoint is three lines or more, none of them empty")
    if _SIZE.fullmatch(lines[1]) is None:
        raise CheckpointError("a checkpoint's size is decimal, without leading zeros or sign")
    root = decode_base64(lines[2])
    if root is None:
        raise CheckpointError("a checkpoint's root is canonical base64")
    return Checkpoint(lines[0], int(lines[1]), root)


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """Sign a checkpoint with the log's own key.

    Sign only what is durably stored, and never two roots of one size: the two signatures convict.

    :raises OriginMismatchError: the key's name is not the origin.
    """
    if signer.name != checkpoint.origin:
        raise OriginMismatchError(f"the key of {signer.name} can't sign for {checkpoint.origin}")
    return sign_note(checkpoint.to_text(), (signer,))


def open_checkpoint(data: bytes, key: VerifierKey) -> Checkpoint:
    """Verify a signed checkpoint against its log's key, and read it.

    Signatures of other keys (cosignatures) are ignored.

    :raises NoteError: it is no signed note, or the log's signature is false or not there.
    :raises CheckpointError: the signed text is not a checkpoint.
    :raises OriginMismatchError: the signed checkpoint is another log's.
    """
    checkpoint = parse_checkpoint_text(open_note(data, (key,), max_size=MAX_CHECKPOINT).text)
    if checkpoint.origin != key.name:
        raise OriginMismatchError(f"the key of {key.name} signed for {checkpoint.origin}")
    return checkpoint
