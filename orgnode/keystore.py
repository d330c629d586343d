"""A node's private keys: one file, readable by its owner only, optionally under a passphrase.

One key per role (identity, log, witness: Ed25519; sealing: a ristretto255 scalar; transport: P-256
with a self-signed certificate; vault: 256 random bits). With a passphrase, all of them are in one
secretbox (XSalsa20-Poly1305, PyNaCl) under a key derived with Argon2id (RFC 9106); the public half
stays readable, so that a member card can be shown without the passphrase. The public half is
checked against the private one when the file is opened: swapping certificates or keys in it is
noticed.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import nacl.exceptions
import nacl.pwhash.argon2id as argon2
import nacl.secret
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mesh import strictjson
from mesh.member import log_origin
from orgnode.certificate import public_pin, self_signed, spki_pin
from orgnode.errors import (
    KeyFileError,
    KeyStoreExistsError,
    MissingFileError,
    PassphraseNeededError,
    WrongPassphraseError,
)
from orgnode.files import read_file, write_file
from proofs.cosignature import COSIGNATURE_V1
from proofs.errors import ProofsError
from proofs.note import Signer
from proofs.ristretto import (
    Scalar,
    decode_scalar,
    multiply_base,
    nonzero,
    random_scalars,
)

FORMAT: Final = "signal-mesh/v2/keystore"
FILE: Final = "keystore.json"
KEY_BYTES: Final = 32

_FORMAT_WITHOUT_SEALING = "signal-mesh/v1/keystore"

# RFC 9106, section 4, second recommended option: 64 MiB; one more pass than its three, since
# libsodium uses one lane where the RFC counts on four.
_OPS: Final = 4
_MEMORY: Final = 64 * 2**20
_MAX_OPS: Final = 64
_MAX_MEMORY: Final = 2**30  # a changed file must not make the node ask for all memory


@dataclass(frozen=True)
class KeyStore:
    """The keys of one node, opened. Its repr shows the name and nothing else."""

    name: str
    certificate: bytes = field(repr=False)
    """The transport certificate, DER."""
    vault_key: bytes = field(repr=False)
    """The vault's master key, 32 bytes."""
    sealing: Scalar = field(repr=False)
    """Opens what founders seal to this member: key shares."""
    protected: bool = field(repr=False)
    """Whether the keys lie under a passphrase on disk."""
    _identity: bytes = field(repr=False)
    _log: bytes = field(repr=False)
    _witness: bytes = field(repr=False)
    _transport: ec.EllipticCurvePrivateKey = field(repr=False)

    # --- signing

    @property
    def identity(self) -> Signer:
        """Signs entries, cards and geneses."""
        return Signer(self.name, self._identity)

    @property
    def witness(self) -> Signer:
        """Cosigns checkpoints, after C2SP tlog-cosignature."""
        return Signer(self.name, self._witness, COSIGNATURE_V1)

    @property
    def card_log(self) -> Signer:
        """The log key under the member's plain name: proves possession in the member card."""
        return Signer(self.name, self._log)

    def log(self, mesh_id: str) -> Signer:
        """The log key under the log's origin: signs checkpoints of this member's log in a mesh."""
        return Signer(log_origin(self.name, mesh_id), self._log)

    # --- sealing

    @property
    def sealing_public(self) -> bytes:
        """The sealing key's public half, a ristretto255 element."""
        return multiply_base(self.sealing)

    # --- transport

    @property
    def transport_pin(self) -> str:
        """SHA-256 of the transport key's SubjectPublicKeyInfo (RFC 7469, section 2.4), hex."""
        return spki_pin(self.certificate)

    @property
    def certificate_base64(self) -> str:
        """The transport certificate as member cards hold it."""
        return base64.b64encode(self.certificate).decode()

    def transport_key_pem(self, password: bytes) -> bytes:
        """The transport private key as PKCS #8 PEM, encrypted under `password`."""
        return self._transport.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )

    # --- on disk

    @classmethod
    def create(cls, directory: Path, name: str, passphrase: str | None = None) -> KeyStore:
        """Make fresh keys for a member called `name`, store them, and return them.

        :raises KeyStoreExistsError: there are keys in the directory already.
        :raises DataDirNotWritableError: the directory can't be written to.
        """
        if (directory / FILE).exists():
            raise KeyStoreExistsError(
                f"{directory / FILE} exists already",
                hint="keep it: it is this organization's identity; or use another --data-dir",
            )
        transport = ec.generate_private_key(ec.SECP256R1())
        store = cls(
            name=name,
            certificate=self_signed(name, transport),
            vault_key=os.urandom(KEY_BYTES),
            sealing=random_scalars(os.urandom(64), b"sealing key", 1)[0],
            protected=passphrase is not None,
            _identity=os.urandom(KEY_BYTES),
            _log=os.urandom(KEY_BYTES),
            _witness=os.urandom(KEY_BYTES),
            _transport=transport,
        )
        store._write(directory, passphrase)
        return store

    @classmethod
    def open(cls, directory: Path, passphrase: str | None = None) -> KeyStore:
        """Open the keys of a directory. A passphrase given for keys without one is not needed.

        :raises MissingFileError, PermissionsTooOpenError: the file can't be used.
        :raises PassphraseNeededError, WrongPassphraseError: as they say.
        :raises KeyFileError: the file is damaged or was changed.
        """
        path = directory / FILE
        document = _read_document(path)
        kdf = document["kdf"]
        if kdf is None:
            opened = _unbase64(document["keys"], path)
        elif passphrase is None:
            raise PassphraseNeededError(
                f"the keys in {path} are under a passphrase",
                hint="give --passphrase-file FILE, or set ORGNODE_PASSPHRASE or "
                "ORGNODE_PASSPHRASE_FILE",
            )
        else:
            box = nacl.secret.SecretBox(_derive(passphrase, kdf, path))
            try:
                opened = box.decrypt(_unbase64(document["keys"], path))
            except (nacl.exceptions.CryptoError, ValueError) as error:
                raise WrongPassphraseError(
                    f"the passphrase does not open {path}",
                    hint="check --passphrase-file or ORGNODE_PASSPHRASE; without the right one the "
                    "keys are lost, and keys can't be replaced yet: found the mesh anew",
                ) from error
        return cls._from_secrets(document, opened, path)

    @classmethod
    def change_passphrase(cls, directory: Path, old: str | None, new: str | None) -> None:
        """Store the same keys under another passphrase, or under none; the file changes atomically.

        :raises OrgnodeError: as `open` does.
        """
        cls.open(directory, old)._write(directory, new)

    def _write(self, directory: Path, passphrase: str | None) -> None:
        secrets = {
            "identity": self._identity.hex(),
            "log": self._log.hex(),
            "witness": self._witness.hex(),
            "vault": self.vault_key.hex(),
            "sealing": self.sealing.hex(),
            "transport": self._transport.private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).hex(),
        }
        data = json.dumps(secrets).encode()
        kdf = None
        if passphrase is not None:
            kdf = {
                "name": "argon2id",
                "salt": os.urandom(argon2.SALTBYTES).hex(),
                "ops": _OPS,
                "memory": _MEMORY,
            }
            box = nacl.secret.SecretBox(_derive(passphrase, kdf, directory / FILE))
            data = bytes(box.encrypt(data))
        document = {
            "format": FORMAT,
            "name": self.name,
            "certificate": self.certificate_base64,
            "sealing": self.sealing_public.hex(),
            "kdf": kdf,
            "keys": base64.b64encode(data).decode(),
        }
        write_file(directory / FILE, json.dumps(document, indent=1).encode() + b"\n", private=True)

    @classmethod
    def _from_secrets(cls, document: dict[str, Any], opened: bytes, path: Path) -> KeyStore:
        certificate = _unbase64(document["certificate"], path)
        try:
            secrets = json.loads(opened)
            seeds = {role: bytes.fromhex(secrets[role]) for role in _ROLES}
            transport = serialization.load_der_private_key(
                bytes.fromhex(secrets["transport"]), password=None
            )
            sealing = nonzero(decode_scalar(bytes.fromhex(secrets["sealing"])))
            pin = spki_pin(certificate)
        except (ValueError, TypeError, KeyError, UnsupportedAlgorithm, ProofsError) as error:
            raise _damaged(path) from error
        if not isinstance(transport, ec.EllipticCurvePrivateKey) or any(
            len(seed) != KEY_BYTES for seed in seeds.values()
        ):
            raise _damaged(path)
        if public_pin(transport.public_key()) != pin:
            raise KeyFileError(
                f"the certificate in {path} is not that of the private key beside it",
                hint="restore the file from a backup",
            )
        if multiply_base(sealing).hex() != document["sealing"]:
            raise KeyFileError(
                f"the sealing key in {path} is not that of the private key beside it",
                hint="restore the file from a backup",
            )
        return cls(
            name=document["name"],
            certificate=certificate,
            vault_key=seeds["vault"],
            sealing=sealing,
            protected=document["kdf"] is not None,
            _identity=seeds["identity"],
            _log=seeds["log"],
            _witness=seeds["witness"],
            _transport=transport,
        )


_ROLES: Final = ("identity", "log", "witness", "vault")


def _read_document(path: Path) -> dict[str, Any]:
    try:
        data = read_file(path, private=True)
    except MissingFileError as error:
        raise MissingFileError(
            str(error), hint="restore keys/ from a backup, or set up a new node: `orgnode init`"
        ) from error
    try:
        # Strict: a nest of brackets would exhaust the stack of a recursive parser.
        document = strictjson.loads(data)
        if not isinstance(document, dict) or not isinstance(document.get("format"), str):
            raise _damaged(path)
        if document["format"] == _FORMAT_WITHOUT_SEALING:
            raise KeyFileError(
                f"{path} was made by an earlier version and holds no sealing key",
                hint="meshes of that version end with it: set up a new node with `orgnode init` "
                "in another --data-dir, and found the mesh anew",
            )
        wanted = {"format", "name", "certificate", "sealing", "kdf", "keys"}
        if set(document) != wanted:
            raise _damaged(path)
        if document["format"] != FORMAT:
            raise KeyFileError(
                f"{path} has the format {document['format'][:40]!r}, which this version does not "
                "know",
                hint="use the version of orgnode that wrote it, or a newer one",
            )
        texts = [document[name] for name in ("name", "certificate", "sealing", "keys")]
        if not all(isinstance(text, str) for text in texts):
            raise _damaged(path)
    except ValueError as error:
        raise _damaged(path) from error
    return document


def _derive(passphrase: str, kdf: dict[str, Any], path: Path) -> bytes:
    try:
        ops, memory, salt = kdf["ops"], kdf["memory"], bytes.fromhex(kdf["salt"])
        if kdf["name"] != "argon2id" or not (1 <= ops <= _MAX_OPS and memory <= _MAX_MEMORY):
            raise _damaged(path)
        return argon2.kdf(KEY_BYTES, passphrase.encode(), salt, opslimit=ops, memlimit=memory)
    except (KeyError, TypeError, ValueError, nacl.exceptions.CryptoError) as error:
        raise _damaged(path) from error


def _unbase64(text: str, path: Path) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> KeyFileError:
    return KeyFileError(f"{path} is damaged", hint="restore the file from a backup")
