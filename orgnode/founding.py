"""Setting up a node and founding a mesh: what `orgnode init` and `orgnode genesis` do.

    each organization      create_node          keys, settings, a signed card
    one of them            draft                a genesis text from all cards, and a fingerprint key
    each                   check_own_card, sign
    each                   install              all signatures are there: join

Nothing here asks or prints; the command line shows, the test network does the same without people.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mesh.constraints import Constraints
from mesh.genesis import (
    MAX_GENESIS,
    GenesisFormatError,
    Mesh,
    draft_genesis,
    merge_genesis,
    open_genesis,
    read_genesis,
    sign_genesis,
)
from mesh.member import MemberCard, open_card, sign_card
from mesh.names import check_host
from orgnode.config import NodeConfig, write_config
from orgnode.datadir import FINGERPRINT_KEY_BYTES, DataDir, read_file, write_file
from orgnode.errors import MissingFileError, OrgnodeError, SecretFormatError
from orgnode.keystore import KeyStore
from orgnode.tls import check_certificates


class FoundingError(OrgnodeError):
    """A step of founding a mesh can't be taken."""


class NotInGenesisError(FoundingError):
    """The genesis does not list this node, or lists it with another card."""


class AlreadyJoinedError(FoundingError):
    """This node has joined another mesh; a log belongs to one mesh for ever."""


class FingerprintKeyMismatchError(FoundingError):
    """The fingerprint key is not the one that the genesis commits to: no token would ever match."""


class EndpointError(FoundingError):
    """The host or port that peers shall reach this node at can't be an endpoint."""


@dataclass(frozen=True)
class Draft:
    """A genesis that nobody has signed yet, and the secret that goes with it."""

    text: str
    fingerprint_key: bytes = field(repr=False)
    """32 bytes, to be handed to the founders privately."""
    constraints: Constraints


def create_node(
    datadir: DataDir,
    config: NodeConfig,
    *,
    host: str,
    port: int,
    passphrase: str | None = None,
) -> MemberCard:
    """Set up a node: keys, `config.toml`, the local API's token, and the card for the others.

    :param host: host name or address at which peers reach the node, with `port`.
    :raises DataDirExistsError: there is a node already; nothing is overwritten.
    :raises EndpointError: the host or the port can't be an endpoint; nothing was made.
    :raises DataDirNotWritableError: as it says.
    """
    try:
        check_host(host)
    except ValueError as error:
        raise EndpointError(
            f"{host!r}: {error}", hint="give --host the name or address that peers connect to"
        ) from error
    if not 1 <= port <= 65_535:
        raise EndpointError(f"{port} is no TCP port", hint="give --port a number of 1 to 65535")
    datadir.create()
    keystore = KeyStore.create(datadir.keys, config.name, passphrase)
    card = MemberCard(
        name=config.name,
        control_group=config.control_group,
        host=host,
        port=port,
        identity=keystore.identity.verifier_key.public.hex(),
        log=keystore.card_log.verifier_key.public.hex(),
        witness=keystore.witness.verifier_key.public.hex(),
        certificate=keystore.certificate,
        transport_pin=keystore.transport_pin,
    )
    write_config(datadir, config)
    datadir.create_token()
    note = sign_card(
        card, identity=keystore.identity, log=keystore.card_log, witness=keystore.witness
    )
    write_file(datadir.card, note, private=False)
    return card


def draft(mesh_name: str, cards: Iterable[bytes]) -> Draft:
    """Write the genesis text for the members whose signed cards are handed in, with a fresh key.

    :raises MeshError, NoteError: a card does not hold, or the members don't make a mesh.
    """
    notes = list(cards)
    key = os.urandom(FINGERPRINT_KEY_BYTES)
    constraints = Constraints(
        name=mesh_name,
        members=tuple(open_card(note) for note in notes),
        fingerprint_key_digest=fingerprint_digest(key),
    )
    return Draft(draft_genesis(constraints, notes), key, constraints)


def fingerprint_digest(key: bytes) -> str:
    """What the genesis commits to: the SHA-256 of the fingerprint key, hex."""
    return hashlib.sha256(key).hexdigest()


def read_given_file(path: Path, *, private: bool = False) -> bytes:
    """A file that a person named on the command line.

    :raises MissingFileError, PermissionsTooOpenError: it can't be used.
    """
    try:
        return read_file(path, private=private)
    except MissingFileError as error:
        raise MissingFileError(str(error), hint="check the file's name and permissions") from error


def read_fingerprint_key(path: Path) -> bytes:
    """The mesh's fingerprint key from the file that a founder handed over.

    :raises MissingFileError, PermissionsTooOpenError: the file can't be used.
    :raises SecretFormatError: it does not hold 32 bytes in hex.
    """
    try:
        key = bytes.fromhex(read_given_file(path, private=True).decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != FINGERPRINT_KEY_BYTES:
        raise SecretFormatError(
            f"{path} does not hold {2 * FINGERPRINT_KEY_BYTES} hex digits",
            hint="ask whoever drafted the genesis for its fingerprint.key",
        )
    return key


def read_genesis_file(path: Path) -> str | bytes:
    """A genesis from a file: its text if nobody has signed it yet, else the signed note.

    :raises MissingFileError: the file can't be read.
    :raises GenesisFormatError: it is too long or not text.
    """
    data = read_given_file(path)
    if len(data) > MAX_GENESIS:
        raise GenesisFormatError(f"{path} is over {MAX_GENESIS} bytes: not a genesis")
    # Signatures follow an empty line (C2SP signed-note); the text itself has none.
    if b"\n\n" in data:
        return data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise GenesisFormatError(f"{path} is not UTF-8 text") from None


def check_own_card(datadir: DataDir, constraints: Constraints) -> MemberCard:
    """Check that a genesis lists this node with exactly the card that it made; returns the card.

    :raises NotInGenesisError: it does not: somebody else's keys would speak under this name.
    """
    own = open_card(read_file(datadir.card))
    if own not in constraints.members:
        listed = any(card.name == own.name for card in constraints.members)
        raise NotInGenesisError(
            f"the genesis lists {own.name} with another card than {datadir.card}"
            if listed
            else f"the genesis does not list {own.name}",
            hint="send your card.note to whoever drafts the genesis, and ask for a new draft",
        )
    return own


def sign(datadir: DataDir, genesis: str | bytes, keystore: KeyStore) -> bytes:
    """Add this node's signature to a genesis that lists it with its own card.

    :raises NotInGenesisError, MeshError, NoteError: nothing was signed.
    """
    check_own_card(datadir, read_genesis(genesis))
    return sign_genesis(genesis, keystore.identity)


def install(datadir: DataDir, copies: Sequence[bytes], fingerprint_key: bytes) -> Mesh:
    """Join a mesh: merge the signed copies, verify every founder's signature, keep the result.

    :raises MissingFounderSignatureError: a founder has not signed; it names who.
    :raises NotInGenesisError: this node is not a founder under its own card.
    :raises AlreadyJoinedError: the node belongs to another mesh.
    :raises FingerprintKeyMismatchError: the key is another mesh's.
    :raises CertificateError: a member's certificate can't be trusted.
    :raises MeshError, NoteError: the genesis does not hold.
    """
    mesh = open_genesis(merge_genesis(copies))
    check_own_card(datadir, mesh.constraints)
    check_certificates(mesh)
    if fingerprint_digest(fingerprint_key) != mesh.constraints.fingerprint_key_digest:
        raise FingerprintKeyMismatchError(
            "the fingerprint key is not the one that this genesis commits to",
            hint="ask whoever drafted this genesis for the fingerprint.key that goes with it",
        )
    if datadir.genesis.exists():
        joined = open_genesis(read_file(datadir.genesis))
        if joined.mesh_id != mesh.mesh_id:
            raise AlreadyJoinedError(
                f"this node has joined another mesh: {joined.constraints.name}",
                hint="set up another node for the other mesh: `orgnode --data-dir DIR init`",
            )
    # The key first: a node that finds a genesis can count on the rest.
    datadir.write_fingerprint_key(fingerprint_key)
    write_file(datadir.genesis, mesh.note, private=False)
    return mesh
