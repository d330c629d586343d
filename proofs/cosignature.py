"""Cosignatures, after C2SP `tlog-cosignature`: a witness states that it saw a log only grow.

The Ed25519 kind, `cosignature/v1` (signature type 0x04). Its line in the note carries

    u64 time ‖ Ed25519("cosignature/v1\\ntime <time>\\n" ‖ the note's text)

The signed message does not hold the witness's name: a key cosigns under one name only. Other kinds
(ML-DSA-44, type 0x06) are lines of unknown keys here, and ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from proofs import ed25519
from proofs.checkpoint import MAX_CHECKPOINT, parse_checkpoint_text
from proofs.note import (
    TYPE_COSIGNATURE,
    AmbiguousKeyError,
    BadSignatureError,
    NoteError,
    NoteSignature,
    Signer,
    UnsupportedKeyTypeError,
    VerifierKey,
    check_text,
    open_note,
    parse_note,
    parse_signature_lines,
    write_note,
)

COSIGNATURE_V1: Final = TYPE_COSIGNATURE
"""Signature type of a key that cosigns."""

MAX_TIME: Final = (1 << 63) - 1
"""Latest time that a cosignature may name, in POSIX seconds."""

_TIME_BYTES: Final = 8


class CosignatureError(NoteError):
    """Not a cosignature by this key: another's line, another length, or a time that none has."""


class RepeatedCosignatureError(CosignatureError):
    """One witness cosigned a note twice: two times, and no telling which of them counts."""


@dataclass(frozen=True, slots=True)
class Cosignature:
    """One line of a witness: who says when that a checkpoint is the newest it saw."""

    name: str
    time: int
    """POSIX seconds."""
    signature: NoteSignature
    """The line as it stands in the note."""


def cosign(note_text: str, signer: Signer, time: int) -> bytes:
    """Cosign a checkpoint's text and return the one signature line, its newline included.

    Cosign only what was verified against the newest checkpoint cosigned before, and only after the
    new one is durably stored in its place: who cosigns two histories hides a fork.

    :param signer: a key of type 0x04, which cosigns and does nothing else.
    :param time: POSIX seconds, 0 to 2^63 - 1.
    :raises CosignatureError: no cosignature has this time.
    :raises CheckpointError: the text is not a checkpoint's: a witness signs nothing else.
    :raises NoteFormatError: the text can't be that of a note.
    :raises UnsupportedKeyTypeError: the signer is not of type 0x04.
    """
    if signer.type != COSIGNATURE_V1:
        raise UnsupportedKeyTypeError(f"keys of type {signer.type:#04x} don't cosign")
    parse_checkpoint_text(note_text)
    check_text(note_text)
    message = _message(note_text, time)
    signature = time.to_bytes(_TIME_BYTES, "big") + ed25519.sign(signer.seed, message)
    return NoteSignature(signer.name, signer.verifier_key.key_id, signature).encode()


def verify_cosignature(note_text: str, line: bytes | NoteSignature, key: VerifierKey) -> int:
    """Check a witness's line against the text of a checkpoint; return its time in POSIX seconds.

    :param line: one signature line with its newline, or as it was read from a note.
    :raises NoteFormatError: the bytes are not signature lines.
    :raises CosignatureError: not one line, or not one that this key can have written.
    :raises BadSignatureError: the text or the line was changed, or somebody else signed.
    :raises UnsupportedKeyTypeError: the key is not of type 0x04.
    """
    _check_key(key)
    if isinstance(line, bytes):
        lines = parse_signature_lines(line)
        if len(lines) != 1:
            raise CosignatureError(f"one line is due of {key.name}; there are {len(lines)}")
        line = lines[0]
    if (line.name, line.key_id) != (key.name, key.key_id):
        raise CosignatureError(f"the line is not one of {key.name} under the key that is known")
    return _verify(note_text, line, key).time


def cosignatures(data: bytes, keys: Sequence[VerifierKey]) -> dict[str, int]:
    """Return who of the known witnesses cosigned a note, and when: time by name, in order of names.

    The log's own signature is not looked at: see `proofs.checkpoint.open_checkpoint`. Lines of
    unknown keys are ignored.

    :raises NoteFormatError: it is not a signed note, or is larger than a checkpoint is.
    :raises BadSignatureError: a known witness's cosignature is false; the whole note is refused.
    :raises CosignatureError: a known witness's line is not a cosignature, or is there twice.
    :raises AmbiguousKeyError: two different keys have one name.
    :raises UnsupportedKeyTypeError: a key is not of type 0x04.
    """
    note = parse_note(data, MAX_CHECKPOINT)
    known: dict[str, VerifierKey] = {}
    for key in keys:
        _check_key(key)
        if known.setdefault(key.name, key) != key:
            raise AmbiguousKeyError(f"two different witnesses are named {key.name}")
    found: dict[str, int] = {}
    for line in note.signatures:
        known_key = known.get(line.name)
        if known_key is None or known_key.key_id != line.key_id:
            continue
        if line.name in found:
            raise RepeatedCosignatureError(f"{line.name} cosigned the note twice")
        found[line.name] = _verify(note.text, line, known_key).time
    return dict(sorted(found.items()))


def bare(data: bytes, key: VerifierKey) -> bytes:
    """Return a log's note with the log's own signature and no other.

    What is stored then does not depend on who cosigned what was received.

    :raises NoteError: the log's signature is false or not there, or it is not a signed note.
    """
    open_note(data, (key,), max_size=MAX_CHECKPOINT)
    note = parse_note(data, MAX_CHECKPOINT)
    own = (line for line in note.signatures if (line.name, line.key_id) == (key.name, key.key_id))
    return write_note(note.text, [next(own)])


def join(note: bytes, lines: Iterable[bytes]) -> bytes:
    """Add cosignature lines to a note, behind its first signature, sorted by name, one per name.

    Nothing is verified: check each line with `verify_cosignature` when it comes in. Of lines under
    one name the first counts, those that the note has already before all others.

    :param note: the log's signature comes first in it, as in what `bare` returns.
    :raises NoteFormatError: it is not a signed note, or a line is not a signature line.
    :raises NoteSizeError: there would be more signatures than a reader takes.
    """
    parsed = parse_note(note, MAX_CHECKPOINT)
    own, *others = parsed.signatures
    new = (signature for line in lines for signature in parse_signature_lines(line))
    by_name: dict[str, NoteSignature] = {}
    for signature in (*others, *new):
        by_name.setdefault(signature.name, signature)
    return write_note(parsed.text, [own, *(by_name[name] for name in sorted(by_name))])


def _verify(text: str, line: NoteSignature, key: VerifierKey) -> Cosignature:
    if len(line.signature) != _TIME_BYTES + ed25519.SIGNATURE_BYTES:
        raise CosignatureError(f"the line of {key.name} is not as long as a cosignature is")
    time = int.from_bytes(line.signature[:_TIME_BYTES], "big")
    message = _message(text, time)
    if not ed25519.verify(key.public, message, line.signature[_TIME_BYTES:]):
        raise BadSignatureError(f"the cosignature of {key.name} is false")
    return Cosignature(line.name, time, line)


def _message(text: str, time: int) -> bytes:
    if not 0 <= time <= MAX_TIME:
        raise CosignatureError("a cosignature's time is 0 to 2^63 - 1 seconds since 1970")
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _check_key(key: VerifierKey) -> None:
    if key.type != COSIGNATURE_V1:
        raise UnsupportedKeyTypeError(f"keys of type {key.type:#04x} don't cosign")
