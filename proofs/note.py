"""Signed notes, after C2SP `signed-note`."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

from proofs import ed25519
from proofs.errors import ProofsError

TYPE_ED25519 = 0x01
MAX_SIGNATURES = 64
_SEPARATOR = "\n\n"
_DASH = "\u2014 "


class NoteError(ProofsError):
    """A signed note does not hold."""


class NoteFormatError(NoteError):
    """Not a signed note."""


class BadSignatureError(NoteError):
    """A known key's signature is false."""


class UnsignedNoteError(NoteError):
    """No known key has signed."""


class VerifierKeyError(NoteError):
    """Not a verifier key."""


def is_valid_name(name: str) -> bool:
    """Whether a key may have this name."""
    return bool(name) and "+" not in name and not any(c.isspace() for c in name) and name.isprintable()


def _unbase64(text: str) -> bytes | None:
    try:
        data = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        return None
    return data if b64encode(data).decode() == text else None


@dataclass(frozen=True)
class VerifierKey:
    """A public key under a name."""

    name: str
    type: int
    public: bytes

    def __post_init__(self) -> None:
        if not is_valid_name(self.name):
            raise VerifierKeyError("a key's name has no spaces and no +")

    @cached_property
    def key_id(self) -> bytes:
        """First 4 bytes of SHA-256(name ‖ LF ‖ type ‖ key)."""
        return sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.public).digest()[:4]

    def encode(self) -> str:
        """`name+hex8+base64`."""
        raw = b64encode(bytes([self.type]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{raw}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read what `encode` writes."""
        parts = text.split("+", 2)
        raw = _unbase64(parts[2]) if len(parts) == 3 else None
        if raw is None or len(raw) < 2:
            raise VerifierKeyError("a verifier key is name+hash+base64")
        key = cls(parts[0], raw[0], raw[1:])
        if key.type == TYPE_ED25519 and len(key.public) != 32:
            raise VerifierKeyError("an Ed25519 key is 32 bytes")
        if parts[1] != key.key_id.hex():
            raise VerifierKeyError("the key's hash is not its own")
        return key

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Whether the signature holds."""
        return self.type == TYPE_ED25519 and ed25519.verify(self.public, text, signature)


@dataclass(frozen=True)
class Signer:
    """A private key under a name."""

    name: str
    seed: bytes = field(repr=False)
    type: int = TYPE_ED25519

    @cached_property
    def verifier_key(self) -> VerifierKey:
        """Its public side."""
        return VerifierKey(self.name, self.type, ed25519.public_key(self.seed))


@dataclass(frozen=True)
class NoteSignature:
    """One signature line."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Note:
    """A parsed note; nothing is verified."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True)
class VerifiedNote:
    """A note of which at least one known key's signature holds, and none is false."""

    text: str
    verified: tuple[VerifierKey, ...]
    unverified: tuple[NoteSignature, ...]


_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def _check_text(text: str) -> None:
    if not text.endswith("\n") or _CONTROL.search(text):
        raise NoteFormatError("a note's text ends in a newline and has no control characters")


def sign_note(text: str, signers: Sequence[Signer]) -> bytes:
    """Sign a text."""
    _check_text(text)
    return (text + "\n" + "".join(_line(text, signer) for signer in signers)).encode()


def _line(text: str, signer: Signer) -> str:
    signature = ed25519.sign(signer.seed, text.encode())
    raw = b64encode(signer.verifier_key.key_id + signature).decode()
    return f"{_DASH}{signer.name} {raw}\n"


def add_signatures(note: bytes, signers: Sequence[Signer]) -> bytes:
    """Add signatures to a note; those that it has already are not added again."""
    parsed = parse_note(note)
    have = {(s.name, s.key_id) for s in parsed.signatures}
    new = [s for s in signers if (s.name, s.verifier_key.key_id) not in have]
    return note + "".join(_line(parsed.text, signer) for signer in new).encode()


def parse_note(data: bytes, max_size: int = 1_000_000) -> Note:
    """Split a note into text and signatures."""
    if len(data) > max_size:
        raise NoteFormatError(f"a note is at most {max_size} bytes")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise NoteFormatError("a note is UTF-8") from None
    head, separator, tail = whole.rpartition(_SEPARATOR)
    if not separator or not tail.endswith("\n"):
        raise NoteFormatError("a note is a text, an empty line, and signature lines")
    text = head + "\n"
    _check_text(text)
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteFormatError(f"a note has at most {MAX_SIGNATURES} signatures")
    return Note(text, tuple(map(_signature, lines)))


def _signature(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    raw = _unbase64(encoded)
    if not line.startswith(_DASH) or not space or not is_valid_name(name) or raw is None or len(raw) < 5:
        raise NoteFormatError("a signature line is malformed")
    return NoteSignature(name, raw[:4], raw[4:])


def open_note(
    data: bytes, keys: Sequence[VerifierKey], *, require_all: bool = False, max_size: int = 1_000_000
) -> VerifiedNote:
    """Verify a note against known keys."""
    note = parse_note(data, max_size)
    known = {(key.name, key.key_id): key for key in keys}
    text = note.text.encode()
    verified: list[VerifierKey] = []
    unverified = []
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            unverified.append(signature)
        elif not key.verifies(text, signature.signature):
            raise BadSignatureError(f"the signature of {key.name} is false")
        elif key not in verified:
            verified.append(key)
    if not verified or (require_all and len(verified) < len(known)):
        raise UnsignedNoteError("the note lacks a signature of a known key")
    return VerifiedNote(note.text, tuple(verified), tuple(unverified))
