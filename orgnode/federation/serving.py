"""Reading logs for peers: checkpoint, certificate, tiles of hashes, bundles of entries, bodies.

Any log that is held here is served, whoever owns it: what is served hashes to what its owner
signed, so that it needs no trust in whoever serves it. Tiles of any width up to the held size are
served: a peer that follows an older checkpoint asks for the partial tiles of that size (C2SP
tlog-tiles, "Partial Tiles").
"""

from __future__ import annotations

from mesh.wire import encode_bodies
from orgnode.federation.followed import claimed_size
from orgnode.federation.paths import (
    BodiesPath,
    CertificatePath,
    CheckpointPath,
    LogResource,
    NotePath,
    SeenPath,
    TilePath,
)
from orgnode.federation.reply import FOR_EVER, Reply, note_reply, octets_reply
from orgnode.store import Store, StoreRangeError
from proofs.merkle import NodeAddress
from proofs.tiles import TILE_HEIGHT, TILE_WIDTH, TileAddress, encode_bundle


class NotServedError(LookupError):
    """The log, as far as it is held here, does not reach to what was asked for."""


class LogReader:
    """Builds answers about logs from the store. Its methods may run in any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, log: str, resource: LogResource) -> Reply:
        """The answer for a resource of a member's log; a body that is not here is Missing.

        :raises NotServedError: the log is not held, or not as far as that.
        """
        try:
            match resource:
                case BodiesPath(start, end):
                    return octets_reply(encode_bodies(self._store.bodies(log, start, end)))
                case TilePath(tile):
                    return octets_reply(self._tile(log, tile), FOR_EVER)
                case _:
                    return note_reply(self._note(log, resource))
        except StoreRangeError as error:
            raise NotServedError("the log is shorter than that here") from error

    def _note(self, log: str, resource: NotePath) -> bytes:
        match resource:
            case CheckpointPath():
                note = self._checkpoint(log)
            case CertificatePath():
                note = self._store.certificate(log)
            case SeenPath():
                note = self._store.seen(log)
        if note is None:
            raise NotServedError("there is no such note of this log here")
        return note

    def _checkpoint(self, log: str) -> bytes | None:
        checkpoint = self._store.checkpoint(log)
        cosigned = self._store.witnessed_note(log)
        if cosigned is not None and (
            checkpoint is None or claimed_size(checkpoint) < claimed_size(cosigned)
        ):
            checkpoint = cosigned  # on the way to a larger one, which was not reached yet
        certificate = self._store.certificate(log)
        if checkpoint is None or certificate is None:
            return checkpoint
        # One text, one size and root: then the note with more signatures says more.
        return certificate if _text(certificate) == _text(checkpoint) else checkpoint

    def _tile(self, log: str, tile: TileAddress) -> bytes:
        start = tile.index * TILE_WIDTH
        end = start + tile.width
        if tile.level == "entries":
            return encode_bundle(self._store.entries(log, start, end))
        if tile.level == 0:
            return b"".join(self._store.leaves(log, start, end))
        level = tile.level * TILE_HEIGHT
        addresses = [NodeAddress(level, index) for index in range(start, end)]
        return b"".join(self._store.nodes(log, addresses))


def _text(note: bytes) -> bytes:
    """What the note's signatures sign: all before its last empty line (C2SP signed-note)."""
    return note.rpartition(b"\n\n")[0]
