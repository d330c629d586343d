"""What nodes hand each other beside C2SP tiles: bodies and announcements.

All integers are big-endian and unsigned.

    body answers:   count × ( 0x00                                  the sender lacks the body
                            | 0x01                                  the body was lawfully erased
                            | 0x02 salt[32] u32 length, body )
    announcement:   u32 length, checkpoint · u32 length, certificate · u64 start · u16 count
                    count × ( u16 length, entry ) · body answers for the same count
                    count × ( u16 length, hint )

Bytes are bound to nothing here: a receiver checks the entries against the checkpoint, each body
against its entry's digest, and the certificate's cosignatures against the members' keys. A hint
(`proofs.severity.hints`) saves a receiver time if it is right, and changes nothing if it is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh.errors import MeshError, SaltLengthError
from proofs.severity import HINT_BYTES

MAX_ANNOUNCED: Final = 256
"""Most entries that one announcement or one answer with bodies holds: one C2SP bundle."""

MAX_ENTRY: Final = 65_535
"""Longest entry in bytes: what a C2SP entry bundle can hold."""

SALT_BYTES: Final = 32
"""Length of a body's salt in bytes."""

MAX_HINT: Final = HINT_BYTES
"""Longest hint to an entry's proof in bytes."""

_MISSING, _ERASED, _PRESENT = 0, 1, 2


class WireError(MeshError):
    """A message from a peer is not encoded as the protocol says."""


class TruncatedMessageError(WireError):
    """A message ends before what it announces."""


class TrailingBytesError(WireError):
    """A message goes on after its end: another reader could see another message."""


class MessageLimitError(WireError):
    """A message announces more, or longer, parts than allowed; refused before it is read."""


@dataclass(frozen=True, slots=True)
class Present:
    """The body and the salt that its entry's digest covers."""

    salt: bytes
    body: bytes

    def __post_init__(self) -> None:
        if len(self.salt) != SALT_BYTES:
            raise SaltLengthError(f"a salt is {SALT_BYTES} bytes, not {len(self.salt)}")


@dataclass(frozen=True, slots=True)
class Erased:
    """The body was erased lawfully: its signal was retracted, has expired, or law required it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The sender does not hold the body; somebody else may, or it may later."""


BodyAnswer = Present | Erased | Missing
"""What a peer answers when it is asked for an entry's body."""

ERASED: Final = Erased()
MISSING: Final = Missing()


@dataclass(frozen=True, slots=True)
class WireLimits:
    """What a receiver accepts; sizes in bytes."""

    max_body: int = 32_768
    max_entries: int = MAX_ANNOUNCED
    max_checkpoint: int = 16_384
    max_certificate: int = 65_536
    """A checkpoint with a cosignature of each of 100 members, whose names are the longest."""

    def bodies_bytes(self, count: int) -> int:
        """Largest encoding of `count` body answers."""
        return count * (1 + SALT_BYTES + 4 + self.max_body)

    @property
    def announcement_bytes(self) -> int:
        """Largest encoding of an announcement."""
        entries = self.max_entries * (2 + MAX_ENTRY + 2 + MAX_HINT)
        notes = 4 + self.max_checkpoint + 4 + self.max_certificate
        return notes + 8 + 2 + entries + self.bodies_bytes(self.max_entries)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A log's owner hands a peer its new entries: those from `start` on, up to the checkpoint.

    `checkpoint` is the signed note. `certificate` is a checkpoint of the same log with the
    cosignatures of a quorum, empty when there is none to tell of. `bodies[i]` answers for
    `entries[i]`, whose index in the log is `start + i`; `hints[i]` is about its proof, empty where
    there is none, and `hints` is empty if there are none at all. Without entries it only tells that
    the log has grown, or what of it is certified.
    """

    checkpoint: bytes
    start: int
    entries: tuple[bytes, ...]
    bodies: tuple[BodyAnswer, ...]
    certificate: bytes = b""
    hints: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if len(self.entries) != len(self.bodies):
            raise MessageLimitError("an announcement answers for each of its entries")
        if self.hints and len(self.hints) != len(self.entries):
            raise MessageLimitError("an announcement has a hint for each of its entries, or none")


def encode_bodies(answers: Sequence[BodyAnswer]) -> bytes:
    """Encode body answers, in the order of their entries."""
    parts: list[bytes] = []
    for answer in answers:
        match answer:
            case Present(salt, body):
                parts += (b"\x02", salt, len(body).to_bytes(4, "big"), body)
            case Erased():
                parts.append(b"\x01")
            case Missing():
                parts.append(b"\x00")
    return b"".join(parts)


def decode_bodies(data: bytes, count: int, max_body: int) -> tuple[BodyAnswer, ...]:
    """Decode exactly `count` body answers; no body may be longer than `max_body` bytes.

    :raises WireError: truncated, trailing bytes, an unknown tag, or a body over the limit.
    """
    reader = MessageReader(data)
    answers = _read_bodies(reader, count, max_body)
    reader.finish()
    return answers


def encode_announcement(announcement: Announcement) -> bytes:
    """Encode an announcement.

    :raises MessageLimitError: more than 256 entries, an entry over 65,535 bytes, or a hint over
        672 bytes.
    """
    if len(announcement.entries) > MAX_ANNOUNCED:
        raise MessageLimitError(f"announce at most {MAX_ANNOUNCED} entries at a time")
    parts = [
        len(announcement.checkpoint).to_bytes(4, "big"),
        announcement.checkpoint,
        len(announcement.certificate).to_bytes(4, "big"),
        announcement.certificate,
        announcement.start.to_bytes(8, "big"),
        len(announcement.entries).to_bytes(2, "big"),
    ]
    for entry in announcement.entries:
        if len(entry) > MAX_ENTRY:
            raise MessageLimitError(f"an entry is at most {MAX_ENTRY} bytes")
        parts += (len(entry).to_bytes(2, "big"), entry)
    parts.append(encode_bodies(announcement.bodies))
    for hint in announcement.hints or (b"",) * len(announcement.entries):
        if len(hint) > MAX_HINT:
            raise MessageLimitError(f"a hint is at most {MAX_HINT} bytes")
        parts += (len(hint).to_bytes(2, "big"), hint)
    return b"".join(parts)


def decode_announcement(data: bytes, limits: WireLimits) -> Announcement:
    """Decode an announcement.

    :raises WireError: truncated, trailing bytes, an unknown tag, or a part over its limit.
    """
    reader = MessageReader(data)
    checkpoint = reader.take_sized(4, limits.max_checkpoint, "checkpoint")
    certificate = reader.take_sized(4, limits.max_certificate, "certificate")
    start = reader.integer(8)
    count = reader.integer(2)
    if count > limits.max_entries:
        raise MessageLimitError(f"{count} entries announced; at most {limits.max_entries}")
    entries = tuple(reader.take_sized(2, MAX_ENTRY, "entry") for _ in range(count))
    bodies = _read_bodies(reader, count, limits.max_body)
    hints = tuple(reader.take_sized(2, MAX_HINT, "hint") for _ in range(count))
    reader.finish()
    return Announcement(
        checkpoint, start, entries, bodies, certificate, hints if any(hints) else ()
    )


class MessageReader:
    """Takes a message's parts from the front; never reads past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        """The next `length` bytes.

        :raises TruncatedMessageError: there are fewer.
        """
        end = self._at + length
        if end > len(self._data):
            raise TruncatedMessageError("the message ends before what it announces")
        part = self._data[self._at : end]
        self._at = end
        return part

    def integer(self, width: int) -> int:
        """The next `width` bytes as a big-endian unsigned integer.

        :raises TruncatedMessageError: there are fewer.
        """
        return int.from_bytes(self.take(width), "big")

    def take_sized(self, width: int, limit: int, what: str) -> bytes:
        """A part that follows its length, which is an integer of `width` bytes.

        :param what: what the part is called in the error.
        :raises TruncatedMessageError: the message ends before.
        :raises MessageLimitError: the length is over `limit`; nothing is read then.
        """
        length = self.integer(width)
        if length > limit:
            raise MessageLimitError(f"{what} of {length} bytes; at most {limit}")
        return self.take(length)

    def finish(self) -> None:
        """Check that the message ends here.

        :raises TrailingBytesError: it goes on.
        """
        if self._at != len(self._data):
            raise TrailingBytesError(f"{len(self._data) - self._at} bytes after the message's end")


def _read_bodies(reader: MessageReader, count: int, max_body: int) -> tuple[BodyAnswer, ...]:
    answers: list[BodyAnswer] = []
    for _ in range(count):
        tag = reader.integer(1)
        if tag == _PRESENT:
            salt = reader.take(SALT_BYTES)
            answers.append(Present(salt, reader.take_sized(4, max_body, "body")))
        elif tag == _ERASED:
            answers.append(ERASED)
        elif tag == _MISSING:
            answers.append(MISSING)
        else:
            raise WireError(f"unknown body answer {tag}")
    return tuple(answers)
