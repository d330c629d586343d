"""The federation's URL paths: built by the client, parsed strictly by the server.

Everything lies under `/federation/v1`. Below `logs/<member>/` the layout is that of C2SP
tlog-tiles, with `bodies/<start>/<end>`, `certificate` and `seen` beside it; any log that a member
holds is there, its own and others'. `add-checkpoint` is that of C2SP tlog-witness. A path is
compared as the raw bytes of the request line: no query, no percent-encoding, no leading zeros, so
that every resource has exactly one spelling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh.wire import MAX_ANNOUNCED
from proofs.errors import ProofsError
from proofs.tiles import TileAddress, parse_tile_path

PREFIX = "/federation/v1"
PING = f"{PREFIX}/ping"
ANNOUNCE = f"{PREFIX}/announce"
ADD_CHECKPOINT = f"{PREFIX}/add-checkpoint"
GOSSIP = f"{PREFIX}/gossip"
EVALUATE = f"{PREFIX}/evaluate"
EVALUATIONS = f"{PREFIX}/evaluations"

# Bodies of at most this many entries are asked for at a time.
MAX_BODIES = MAX_ANNOUNCED

# Beyond every log; keeps all numbers that follow from it within 64 bits.
_MAX_TILES = 1 << 40

_LOG = re.compile(rf"{re.escape(PREFIX)}/logs/([a-z0-9.-]{{1,100}})/([!-~]{{1,200}})", re.ASCII)
_RECEIPT = re.compile(rf"{re.escape(PREFIX)}/receipts/([0-9a-f]{{64}})", re.ASCII)
_BODIES = re.compile(r"bodies/(0|[1-9][0-9]{0,15})/([1-9][0-9]{0,15})", re.ASCII)


@dataclass(frozen=True)
class CheckpointPath:
    """The log's latest signed checkpoint, with the cosignatures that certify it if there are."""


@dataclass(frozen=True)
class CertificatePath:
    """The log's latest checkpoint that a quorum cosigned."""


@dataclass(frozen=True)
class SeenPath:
    """The latest signed checkpoint ever seen of the log, whether its entries came or not."""


@dataclass(frozen=True)
class BodiesPath:
    """The bodies of the entries `start`..`end` (exclusive)."""

    start: int
    end: int


@dataclass(frozen=True)
class TilePath:
    """A tile of hashes, or a bundle of entries."""

    tile: TileAddress


NotePath = CheckpointPath | CertificatePath | SeenPath
LogResource = NotePath | BodiesPath | TilePath


_NOTES: Final[Mapping[str, NotePath]] = {
    "checkpoint": CheckpointPath(),
    "certificate": CertificatePath(),
    "seen": SeenPath(),
}


class PathError(ValueError):
    """A path below a log that is no note, tile, bundle or range of bodies."""


def log_path(member: str) -> str:
    """The prefix of everything that belongs to a member's log, with a slash at its end."""
    return f"{PREFIX}/logs/{member}/"


def split_log_path(path: str) -> tuple[str, str] | None:
    """The member's name and the rest of a path below `logs/`, or None for another path."""
    match = _LOG.fullmatch(path)
    return None if match is None else (match[1], match[2])


def receipt_path(entry_id: str) -> str:
    """Where a member's receipt for a retraction is; `entry_id` is the retraction's, in hex."""
    return f"{PREFIX}/receipts/{entry_id}"


def parse_receipt_path(path: str) -> str | None:
    """The id of the retraction that a receipt is asked for, or None for another path."""
    match = _RECEIPT.fullmatch(path)
    return None if match is None else match[1]


def parse_resource(rest: str) -> LogResource:
    """What a path below `logs/<member>/` names. Raises PathError for every other spelling."""
    if (note := _NOTES.get(rest)) is not None:
        return note
    if rest.startswith("bodies/"):
        match = _BODIES.fullmatch(rest)
        if match is None:
            raise PathError("bodies are asked for as bodies/<start>/<end>")
        start, end = int(match[1]), int(match[2])
        if not 0 < end - start <= MAX_BODIES:
            raise PathError(f"a range of bodies holds 1 to {MAX_BODIES} entries")
        return BodiesPath(start, end)
    try:
        tile = parse_tile_path(rest)
    except ProofsError as error:
        raise PathError("this is no tile path of C2SP tlog-tiles") from error
    if tile.index >= _MAX_TILES:
        raise PathError("no log is as long as that")
    return TilePath(tile)
