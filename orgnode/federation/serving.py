"""Reading the own log for peers: checkpoint, tiles of hashes, bundles of entries, bodies.

Runs in threads, so that building a bundle of a quarter of a megabyte never holds up the event loop.
Tiles of any width up to the current size are served: a peer that follows an older checkpoint asks
for the partial tiles of that size (C2SP tlog-tiles, "Partial Tiles").
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh.wire import encode_bodies
from orgnode.federation.paths import BodiesPath, CheckpointPath, LogResource, TilePath
from orgnode.store import Store, StoreRangeError
from proofs.merkle import NodeAddress
from proofs.tiles import TILE_HEIGHT, TILE_WIDTH, TileAddress, encode_bundle

# The log only grows, so a tile of a given width never changes; a body can be erased at any time.
_FOR_EVER = "private, max-age=31536000, immutable"
_NEVER = "no-store"
_BYTES = "application/octet-stream"


class NotServedError(LookupError):
    """The log does not reach as far as what was asked for."""


@dataclass(frozen=True)
class Served:
    """One answer: its bytes, their media type, and how long they may be kept."""

    data: bytes
    content_type: str
    cache_control: str


class OwnLogReader:
    """Builds answers about one log from the store. Its methods may run in any thread."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name

    def read(self, resource: LogResource) -> Served:
        """The answer for a resource; raises NotServedError when the log does not reach that far."""
        try:
            match resource:
                case CheckpointPath():
                    return self._checkpoint()
                case BodiesPath(start, end):
                    answers = self._store.bodies(self._name, start, end)
                    return Served(encode_bodies(answers), _BYTES, _NEVER)
                case TilePath(tile):
                    return self._tile(tile)
        except StoreRangeError as error:
            raise NotServedError("the log is shorter than that") from error

    def _checkpoint(self) -> Served:
        note = self._store.checkpoint(self._name)
        if note is None:
            raise NotServedError("no checkpoint has been signed yet")
        return Served(note, "text/plain", _NEVER)

    def _tile(self, tile: TileAddress) -> Served:
        start = tile.index * TILE_WIDTH
        end = start + tile.width
        if tile.level == "entries":
            parts = self._store.entries(self._name, start, end)
        elif tile.level == 0:
            parts = self._store.leaves(self._name, start, end)
        else:
            level = tile.level * TILE_HEIGHT
            parts = self._store.nodes(
                self._name, [NodeAddress(level, index) for index in range(start, end)]
            )
        data = encode_bundle(parts) if tile.level == "entries" else b"".join(parts)
        return Served(data, _BYTES, _FOR_EVER)
