"""The federation's URL paths: built by the client, parsed strictly by the server.

Everything lies under `/federation/v1`. Below `logs/<member>/` the layout is that of C2SP
tlog-tiles, with `bodies/<start>/<end>` beside it. A path is compared as the raw bytes of the
request line: no query, no percent-encoding, no leading zeros, so that every resource has exactly
one spelling.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mesh.wire import MAX_ANNOUNCED
from proofs.errors import ProofsError
from proofs.tiles import TileAddress, parse_tile_path

PREFIX = "/federation/v1"
PING = f"{PREFIX}/ping"
ANNOUNCE = f"{PREFIX}/announce"
EVALUATE = f"{PREFIX}/evaluate"
EVALUATIONS = f"{PREFIX}/evaluations"

# Bodies of at most this many entries are asked for at a time.
MAX_BODIES = MAX_ANNOUNCED

# Beyond every log; keeps all numbers that follow from it within 64 bits.
_MAX_TILES = 1 << 40

_LOG = re.compile(rf"{re.escape(PREFIX)}/logs/([a-z0-9.-]{{1,100}})/([!-~]{{1,200}})", re.ASCII)
_BODIES = re.compile(r"bodies/(0|[1-9][0-9]{0,15})/([1-9][0-9]{0,15})", re.ASCII)


@dataclass(frozen=True)
class CheckpointPath:
    """The log's latest signed checkpoint."""


@dataclass(frozen=True)
class BodiesPath:
    """The bodies of the entries `start`..`end` (exclusive)."""

    start: int
    end: int


@dataclass(frozen=True)
class TilePath:
    """A tile of hashes, or a bundle of entries."""

    tile: TileAddress


LogResource = CheckpointPath | BodiesPath | TilePath


class PathError(ValueError):
    """A path below a log that is no checkpoint, tile, bundle or range of bodies."""


def log_path(member: str) -> str:
    """The prefix of everything that belongs to a member's log, with a slash at its end."""
    return f"{PREFIX}/logs/{member}/"


def split_log_path(path: str) -> tuple[str, str] | None:
    """The member's name and the rest of a path below `logs/`, or None for another path."""
    match = _LOG.fullmatch(path)
    return None if match is None else (match[1], match[2])


def parse_resource(rest: str) -> LogResource:
    """What a path below `logs/<member>/` names. Raises PathError for every other spelling."""
    if rest == "checkpoint":
        return CheckpointPath()
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
