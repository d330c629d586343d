"""Signed notes, after C2SP `signed-note`: a text, an empty line, and one line for each signature.

    <text, ending in a newline>

    — <key name> base64(key id ‖ signature)

What a reader must get right, each with a test of its own: the text ends at the *last* empty line; a
malformed signature line refuses the note; a key is known by its name *and* id together; base64 has
one spelling; signatures of unknown keys are ignored; one false signature of a known key refuses the
note. Until `open_note` has returned, a text is nobody's.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Final

from proofs import ed25519
from proofs.errors import ProofsError

TYPE_ED25519: Final = 0x01
TYPE_COSIGNATURE: Final = 0x04
TYPE_MLDSA44: Final = 0x06
MAX_NOTE: Final = 1_000_000
"""Bytes of a note that is read unless the caller says otherwise."""
MAX_SIGNATURES: Final = 128

_KEY_BYTES: Final = {TYPE_ED25519: 32, TYPE_COSIGNATURE: 32, TYPE_MLDSA44: 1312}
_KEY_ID_BYTES: Final = 4
_DASH: Final = "— "
# U+0000–U+001F (C2SP) but the newline, and what Unicode counts as control characters besides.
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class NoteError(ProofsError):
    """A signed note, or a key for one, doesn't hold."""


class NoteFormatError(NoteError):
    """Not a signed note: not UTF-8, control characters, no empty line, a malformed line."""


class NoteSizeError(NoteFormatError):
    """A note is larger than the reader takes, or has more signatures: a burden, not a note."""


class BadSignatureError(NoteError):
    """A known key's signature is false: the text was changed, or somebody else signed."""


class UnsignedNoteError(NoteError):
    """No known key has signed the note: its text must be ignored."""


class MissingSignatureError(UnsignedNoteError):
    """Not all of the keys that must sign the note have done so."""


class VerifierKeyError(NoteError):
    """Not a key: its name, id, length or spelling is wrong. Get it anew from its owner."""


class UnsupportedKeyTypeError(VerifierKeyError):
    """A key of a type that can't sign or verify notes here; nothing is said about the signature."""


class AmbiguousKeyError(VerifierKeyError):
    """Two different keys have one name and one id, so no line says which of them signed."""


def is_valid_name(name: str) -> bool:
    """Tell whether a key may be named so: not empty, printable, without Unicode spaces or `+`."""
    return name.isprintable() and "+" not in name and name.split() == [name]


def decode_base64(text: str) -> bytes | None:
    """Decode standard base64 (RFC 4648 §4) in its one canonical spelling, or return None.

    Refused: foreign characters, missing or surplus padding, padding bits that are not zero.
    """
    try:
        data = a2b_base64(text)
    except (Base64Error, ValueError):
        return None
    # Decoding is lax; encoding again is not.
    return data if encode_base64(data) == text else None


def encode_base64(data: bytes) -> str:
    """Encode in standard base64 (RFC 4648 §4)."""
    return b2a_base64(data, newline=False).decode()


@dataclass(frozen=True)
class VerifierKey:
    """A public key under a name, of one signature type.

    :raises VerifierKeyError: the name is not valid, or the key's length is not its type's.
    :raises UnsupportedKeyTypeError: the type is none of 0x01, 0x04, 0x06.
    """

    name: str
    type: int
    public: bytes

    def __post_init__(self) -> None:
        if not is_valid_name(self.name):
            raise VerifierKeyError("a key's name is not empty and has no spaces and no +")
        length = _KEY_BYTES.get(self.type)
        if length is None:
            raise UnsupportedKeyTypeError(f"keys of type {self.type:#04x} are not known here")
        if len(self.public) != length:
            raise VerifierKeyError(f"a public key of type {self.type:#04x} has {length} bytes")

    @cached_property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key)."""
        hashed = self.name.encode() + b"\n" + bytes((self.type,)) + self.public
        return sha256(hashed).digest()[:_KEY_ID_BYTES]

    def encode(self) -> str:
        """Return the key as it is handed round: `name+hex(id)+base64(type ‖ public key)`."""
        encoded = encode_base64(bytes((self.type,)) + self.public)
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read what `encode` writes, in that spelling alone.

        :raises VerifierKeyError: it is malformed, the id is not this key's, or an Ed25519 key is
            not a point of prime order.
        :raises UnsupportedKeyTypeError: the type is none of 0x01, 0x04, 0x06.
        """
        name, plus, rest = text.partition("+")
        key_id, second_plus, encoded = rest.partition("+")
        data = decode_base64(encoded)
        if not plus or not second_plus or not data:
            raise VerifierKeyError("a verifier key is written name+id+base64")
        key = cls(name, data[0], data[1:])
        if key_id != key.key_id.hex():
            raise VerifierKeyError("the id in the verifier key is not this key's")
        if key.type != TYPE_MLDSA44 and not ed25519.is_acceptable_key(key.public):
            raise VerifierKeyError("the verifier key is not a valid Ed25519 public key")
        return key


@dataclass(frozen=True, eq=False)
class Signer:
    """A private Ed25519 key (a 32-byte seed) under a name.

    :raises VerifierKeyError: the name is not valid.
    :raises UnsupportedKeyTypeError: the type is none that has an Ed25519 key.
    :raises KeyLengthError: the seed is not 32 bytes.
    """

    name: str
    seed: bytes = field(repr=False)
    type: int = TYPE_ED25519

    def __post_init__(self) -> None:
        if self.type not in (TYPE_ED25519, TYPE_COSIGNATURE):
            raise UnsupportedKeyTypeError(f"type {self.type:#04x} has no Ed25519 key")
        if len(self.seed) != ed25519.SEED_BYTES:
            raise ed25519.KeyLengthError("an Ed25519 seed is 32 bytes")
        if not is_valid_name(self.name):
            raise VerifierKeyError("a key's name is not empty and has no spaces and no +")

    @cached_property
    def verifier_key(self) -> VerifierKey:
        """The public side of the key."""
        return VerifierKey(self.name, self.type, ed25519.public_key(self.seed))


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line, as it was read."""

    name: str
    key_id: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Return the line as it stands in a note, its newline included."""
        encoded = encode_base64(self.key_id + self.signature)
        return f"{_DASH}{self.name} {encoded}\n".encode()


@dataclass(frozen=True, slots=True)
class Note:
    """A note that was read and *not* verified: anybody may have written its text."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class VerifiedNote:
    """A note that a known key has signed, and no known key's signature is false.

    `verified` holds each key that signed once, in the order of the lines; `unverified` the lines of
    keys that are not known.
    """

    text: str
    verified: tuple[VerifierKey, ...]
    unverified: tuple[NoteSignature, ...]


def check_text(text: str) -> None:
    """Check that a text can be that of a note.

    :raises NoteFormatError: it does not end in a newline, has control characters, or is no Unicode.
    """
    if not text.endswith("\n"):
        raise NoteFormatError("a note's text ends in a newline")
    if _CONTROL.search(text):
        raise NoteFormatError("a note has no control characters but newlines")
    try:
        text.encode()
    except UnicodeEncodeError:
        # `from None`: the encoding error would carry the text.
        raise NoteFormatError("a note's text has characters that UTF-8 cannot write") from None


def parse_signature_lines(data: bytes) -> tuple[NoteSignature, ...]:
    """Read signature lines that stand alone, without the note that they belong to.

    :raises NoteFormatError: they are not one signature line or more, each ending in a newline.
    :raises NoteSizeError: more of them than a note has.
    """
    # Behind a text they are a note. Were there an empty line among them, the text would grow.
    note = parse_note(b"\n\n" + data)
    if note.text != "\n":
        raise NoteFormatError("there is no empty line among signature lines")
    return note.signatures


def write_note(text: str, signatures: Sequence[NoteSignature]) -> bytes:
    """Put a note together from its text and signatures that were made before.

    :raises NoteFormatError: the text can't be that of a note, or there is no signature.
    :raises NoteSizeError: more signatures than a reader takes.
    """
    if not signatures:
        raise NoteFormatError("a note has at least one signature")
    check_text(text)
    return _write(text, signatures)


def sign_note(text: str, signers: Sequence[Signer]) -> bytes:
    """Sign a text and return the note.

    :raises NoteFormatError: the text can't be that of a note, or nobody signs.
    :raises NoteSizeError: more signatures than a reader takes.
    :raises UnsupportedKeyTypeError: a signer is not of type 0x01.
    """
    if not signers:
        raise NoteFormatError("a note has at least one signature")
    return _write(text, tuple(_sign(text, signer) for signer in signers))


def add_signatures(note: bytes, signers: Sequence[Signer], *, max_size: int = MAX_NOTE) -> bytes:
    """Sign a note's text, add the lines to the note, and return it.

    A line that a signer's key has already is replaced where it stands. The signatures of others are
    *not* verified: open the note first if the text's origin matters.

    :raises NoteFormatError: it is not a signed note.
    :raises NoteSizeError: it is too large, or there would be more signatures than a reader takes.
    :raises UnsupportedKeyTypeError: a signer is not of type 0x01.
    """
    parsed = parse_note(note, max_size)
    lines = list(parsed.signatures)
    for signer in signers:
        new = _sign(parsed.text, signer)
        for at, line in enumerate(lines):
            if (line.name, line.key_id) == (new.name, new.key_id):
                lines[at] = new
                break
        else:
            lines.append(new)
    return _write(parsed.text, tuple(lines))


def parse_note(data: bytes, max_size: int = MAX_NOTE) -> Note:
    """Split a note of at most `max_size` bytes into text and signatures; nothing is verified.

    :raises NoteFormatError: it is not a signed note.
    :raises NoteSizeError: it is larger than `max_size`, or has more than 128 signatures.
    """
    if len(data) > max_size:
        raise NoteSizeError(f"a note of {len(data)} bytes is more than the {max_size} allowed")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteFormatError("a note is UTF-8") from error
    if _CONTROL.search(whole):
        raise NoteFormatError("a note has no control characters but newlines")
    # The text may hold empty lines of its own: signature lines start after the last one.
    split = whole.rfind("\n\n")
    if split < 0 or not whole.endswith("\n"):
        raise NoteFormatError("a note is a text, an empty line, and lines with signatures")
    lines = whole[split + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteSizeError(f"a note has at most {MAX_SIGNATURES} signatures")
    return Note(whole[: split + 1], tuple(map(_parse_line, lines)))


def open_note(
    data: bytes,
    keys: Sequence[VerifierKey],
    *,
    require_all: bool = False,
    max_size: int = MAX_NOTE,
) -> VerifiedNote:
    """Verify a note against the keys that are known, and return its text with who signed it.

    Signatures of other keys are ignored, whatever their type. `require_all` asks for the signature
    of every key.

    :raises NoteFormatError: it is not a signed note (NoteSizeError: too large).
    :raises BadSignatureError: the signature of a known key is false; the whole note is refused.
    :raises UnsignedNoteError: no known key has signed (MissingSignatureError: not all of them).
    :raises UnsupportedKeyTypeError: a key is not of type 0x01, so it can't be verified here.
    :raises AmbiguousKeyError: two different keys have one name and id.
    """
    note = parse_note(data, max_size)
    known = _by_name_and_id(keys)
    message = note.text.encode()
    verified: dict[VerifierKey, None] = {}
    unverified = []
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            unverified.append(line)
        elif ed25519.verify(key.public, message, line.signature):
            verified[key] = None
        else:
            raise BadSignatureError(f"the signature of {key.name} is false")
    if not verified:
        raise UnsignedNoteError("no known key has signed the note")
    if require_all and len(verified) < len(known):
        missing = ", ".join(sorted(key.name for key in known.values() if key not in verified))
        raise MissingSignatureError(f"the note lacks the signature of {missing}")
    return VerifiedNote(note.text, tuple(verified), tuple(unverified))


def _by_name_and_id(keys: Sequence[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if key.type != TYPE_ED25519:
            raise UnsupportedKeyTypeError(f"keys of type {key.type:#04x} don't sign plain notes")
        if known.setdefault((key.name, key.key_id), key) != key:
            raise AmbiguousKeyError(f"two keys of {key.name} have one id")
    return known


def _sign(text: str, signer: Signer) -> NoteSignature:
    if signer.type != TYPE_ED25519:
        raise UnsupportedKeyTypeError(f"keys of type {signer.type:#04x} don't sign plain notes")
    check_text(text)
    signature = ed25519.sign(signer.seed, text.encode())
    return NoteSignature(signer.name, signer.verifier_key.key_id, signature)


def _write(text: str, signatures: Sequence[NoteSignature]) -> bytes:
    if len(signatures) > MAX_SIGNATURES:
        raise NoteSizeError(f"a note has at most {MAX_SIGNATURES} signatures")
    return f"{text}\n".encode() + b"".join(line.encode() for line in signatures)


def _parse_line(line: str) -> NoteSignature:
    # Exactly "— name base64": a second space lands in the base64 and is refused there.
    name, _, encoded = line[len(_DASH) :].partition(" ")
    data = decode_base64(encoded)
    if not line.startswith(_DASH) or not is_valid_name(name):
        raise NoteFormatError("a signature line is an em dash, a key's name, and base64")
    if data is None or len(data) <= _KEY_ID_BYTES:
        raise NoteFormatError("a signature line ends in the base64 of a key id and a signature")
    return NoteSignature(name, data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])
