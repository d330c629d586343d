"""What a node holds of every log, in a few bytes for each: what two nodes gossip about.

    vector:    u16 count, count × position, rising by name
    position:  u8 length, name · u64 size · u64 certified · root[32]

All integers are big-endian and unsigned. Nothing in it is signed: it only tells where to ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mesh.constraints import MAX_MEMBERS
from mesh.names import MAX_NAME, NameFormatError, check_name
from mesh.wire import MessageLimitError, MessageReader, WireError

ROOT_BYTES: Final = 32
"""A position holds the whole root: two histories that share the beginning of one are soon found."""

_MAX_SIZE: Final = 2**63 - 1
_FIXED: Final = 1 + 8 + 8 + ROOT_BYTES


class VectorOrderError(WireError):
    """Positions are not strictly rising by name: a log would be told of twice."""


class VectorPositionError(WireError):
    """A position is of no log that could be: its name, a size or the root's length is wrong."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far one node holds one log."""

    log: str
    """Name of the member whose log it is."""
    size: int
    """Size of the newest checkpoint held, or cosigned if that is larger, in entries."""
    certified: int
    """Size of the newest certified checkpoint held; at most `size`."""
    root: bytes
    """The root at `size`: a hint where two nodes differ, never a proof."""

    def __post_init__(self) -> None:
        try:
            check_name(self.log)
        except NameFormatError as error:
            raise VectorPositionError(f"a position names no member: {error}") from None
        if not 0 <= self.certified <= self.size <= _MAX_SIZE:
            raise VectorPositionError(
                f"{self.log}: {self.certified} of {self.size} entries certified can't be"
            )
        if len(self.root) != ROOT_BYTES:
            raise VectorPositionError(f"a root has {ROOT_BYTES} bytes")


def vector_bytes(members: int = MAX_MEMBERS) -> int:
    """Largest encoding of a vector about so many logs, in bytes."""
    return 2 + members * (_FIXED + MAX_NAME)


def encode_vector(positions: Sequence[LogPosition]) -> bytes:
    """Encode positions, in any order.

    :raises VectorOrderError: two of them are of one log.
    :raises MessageLimitError: more than 65,535 of them.
    """
    ordered = sorted(positions, key=lambda one: one.log)
    _check_order(ordered)
    if len(ordered) > 0xFFFF:
        raise MessageLimitError(f"a vector of {len(ordered)} logs; at most 65535")
    parts = [len(ordered).to_bytes(2, "big")]
    for one in ordered:
        name = one.log.encode()
        parts += (
            len(name).to_bytes(1, "big"),
            name,
            one.size.to_bytes(8, "big"),
            one.certified.to_bytes(8, "big"),
            one.root,
        )
    return b"".join(parts)


def decode_vector(data: bytes, max_members: int = MAX_MEMBERS) -> tuple[LogPosition, ...]:
    """Decode positions, by name. Whether the names are members' is the reader's to check.

    :param max_members: most positions that are read.
    :raises WireError: truncated, trailing bytes, too many positions, not strictly rising by name,
        or a position that can't be.
    """
    reader = MessageReader(data)
    count = reader.integer(2)
    if count > max_members:
        raise MessageLimitError(f"a vector of {count} logs; at most {max_members}")
    positions = tuple(_position(reader) for _ in range(count))
    reader.finish()
    _check_order(positions)
    return positions


def _position(reader: MessageReader) -> LogPosition:
    name = reader.take_sized(1, MAX_NAME, "name")
    if not name.isascii():
        raise VectorPositionError("a position names no member: a name is ASCII")
    return LogPosition(
        name.decode("ascii"),
        reader.integer(8),
        reader.integer(8),
        reader.take(ROOT_BYTES),
    )


def _check_order(positions: Sequence[LogPosition]) -> None:
    if any(first.log >= second.log for first, second in pairwise(positions)):
        raise VectorOrderError("a vector's positions are sorted by name, each log once")
