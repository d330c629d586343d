"""What a node got from the key generation: the selection key, and its share if it has a seat.

Both are checked against the genesis when they are read: with another selection key no token would
match a peer's, and with another share a node would give answers that convict it.

The share, `keys/share.json` (0600), comes later than the other keys, when the node joins, so it
lies in a file of its own. It is sealed (secretbox) under a key that follows from the sealing key in
the key store: it is as well protected as the keys are, whatever their passphrase is changed to.
"""

from __future__ import annotations

import base64
import binascii
import json
from hashlib import blake2b
from typing import Final

import nacl.exceptions
import nacl.secret

from mesh import strictjson
from mesh.committee import Seat
from mesh.fingerprint import SelectionKey
from mesh.genesis import Mesh
from orgnode.datadir import DataDir
from orgnode.errors import (
    ForeignSelectionKeyError,
    ForeignShareError,
    KeyFileError,
    MissingFileError,
)
from orgnode.files import read_file, write_file
from orgnode.keystore import KEY_BYTES, KeyStore
from proofs.errors import ProofsError
from proofs.ristretto import Scalar, decode_scalar, multiply_base

FORMAT: Final = "signal-mesh/v1/share"

_LABEL = b"signal-mesh/v1/share\n"
_AGAIN = "join again (`orgnode genesis join`): the share follows from the transcript and keys/"


def read_selection_key(datadir: DataDir, mesh: Mesh) -> SelectionKey:
    """The mesh's selection key.

    :raises MissingFileError, PermissionsTooOpenError, SecretFormatError: the file can't be used.
    :raises ForeignSelectionKeyError: it is not the one that the genesis commits to.
    """
    key = SelectionKey(datadir.read_selection_key())
    if key.digest != mesh.constraints.selection_key_digest:
        raise ForeignSelectionKeyError(
            f"{datadir.selection_key} is not the selection key that the genesis commits to",
            hint="join again (`orgnode genesis join`): it follows from the transcript and keys/",
        )
    return key


def write_share(datadir: DataDir, mesh: Mesh, keystore: KeyStore, share: Scalar) -> None:
    """Store this member's share beside its keys, sealed.

    :raises ForeignShareError: this member has no seat, or another share; nothing was written.
    :raises DataDirNotWritableError: the directory can't be written to.
    """
    seat = mesh.constraints.committee.seat_of(keystore.name)
    if seat is None:
        raise ForeignShareError(
            f"{keystore.name} has no seat on the committee", hint="join without a share"
        )
    _check(share, seat)
    box = nacl.secret.SecretBox(_sealing_key(keystore, mesh.mesh_id, seat))
    document = {
        "format": FORMAT,
        "mesh": mesh.mesh_id,
        "seat": seat.index,
        "share": base64.b64encode(bytes(box.encrypt(share))).decode(),
    }
    data = json.dumps(document, indent=1).encode() + b"\n"
    write_file(datadir.share, data, private=True)


def read_share(datadir: DataDir, mesh: Mesh, keystore: KeyStore) -> Scalar | None:
    """This member's share; None if it has no seat on the committee.

    :raises MissingFileError, PermissionsTooOpenError: the file can't be used.
    :raises KeyFileError: it is damaged, or sealed under another node's keys.
    :raises ForeignShareError: it is not the share whose public half stands in the genesis.
    """
    seat = mesh.constraints.committee.seat_of(keystore.name)
    if seat is None:
        return None
    path = datadir.share
    try:
        data = read_file(path, private=True)
    except MissingFileError as error:
        raise MissingFileError(str(error), hint=_AGAIN) from error
    try:
        document = strictjson.loads(data)
        if not isinstance(document, dict) or set(document) != {"format", "mesh", "seat", "share"}:
            raise ValueError("other fields")
        if document["format"] != FORMAT:
            raise ValueError("another format")
        sealed = base64.b64decode(document["share"], validate=True)
    except (ValueError, TypeError, binascii.Error) as error:
        raise KeyFileError(f"{path} is damaged", hint=_AGAIN) from error
    if (document["mesh"], document["seat"]) != (mesh.mesh_id, seat.index):
        raise ForeignShareError(
            f"{path} holds a share for another mesh or another seat", hint=_AGAIN
        )
    try:
        box = nacl.secret.SecretBox(_sealing_key(keystore, mesh.mesh_id, seat))
        share = decode_scalar(box.decrypt(sealed))
    except (nacl.exceptions.CryptoError, ValueError, ProofsError) as error:
        raise KeyFileError(f"{path} does not open under the keys beside it", hint=_AGAIN) from error
    _check(share, seat)
    return share


def _check(share: Scalar, seat: Seat) -> None:
    # Zero fits no seat, and can't be multiplied with: a public share is never the identity.
    if share == bytes(KEY_BYTES) or multiply_base(share) != seat.element:
        raise ForeignShareError(
            f"the share does not fit the public share of seat {seat.index} ({seat.member}) in "
            "the genesis",
            hint="join with the transcript that goes with the genesis, in the data directory that "
            "took part in its key generation",
        )


def _sealing_key(keystore: KeyStore, mesh_id: str, seat: Seat) -> bytes:
    where = f"{mesh_id} {seat.index}".encode()
    return blake2b(_LABEL + where, key=keystore.sealing, digest_size=KEY_BYTES).digest()
