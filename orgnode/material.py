"""What a node is made of before it runs: its mesh, its keys and secrets, its operator's rules."""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.fingerprint import SelectionKey, WindowSet
from mesh.genesis import Mesh, open_genesis
from orgnode.benign import load_benign
from orgnode.checking import PolicyFile
from orgnode.config import NodeConfig
from orgnode.datadir import DataDir, read_file
from orgnode.errors import OrgnodeError
from orgnode.keystore import KeyStore
from orgnode.share import read_selection_key, read_share
from orgnode.tls import check_certificates
from proofs.ristretto import Scalar


class NotJoinedError(OrgnodeError):
    """The node has keys but no mesh yet: it has joined no genesis."""


class ForeignKeysError(OrgnodeError):
    """The keys in the key store are not those of this member's card in the genesis."""


def not_joined(name: str) -> NotJoinedError:
    """The error of a node that has no genesis."""
    return NotJoinedError(
        f"{name} has not joined a mesh yet",
        hint="exchange cards, then `orgnode genesis propose`, `keygen`, `create`, `sign`, `join`",
    )


def load_mesh(datadir: DataDir, config: NodeConfig, keystore: KeyStore) -> Mesh:
    """Read and verify the genesis, and check that this node's keys are those of its card.

    :raises NotJoinedError, ForeignKeysError, CertificateError, MeshError: see there.
    """
    if not datadir.genesis.exists():
        raise not_joined(config.name)
    mesh = open_genesis(read_file(datadir.genesis))
    card = mesh.member(config.name)
    if (
        card.identity_key.public != keystore.identity.verifier_key.public
        or card.log_key(mesh.mesh_id).public != keystore.log(mesh.mesh_id).verifier_key.public
        or card.transport_pin != keystore.transport_pin
    ):
        raise ForeignKeysError(
            f"the keys in {datadir.keys} are not those of {config.name} in the genesis",
            hint="use the data directory that the card was made in",
        )
    check_certificates(mesh)
    return mesh


@dataclass(frozen=True)
class Material:
    """What a node works with besides its settings and its store: keys, shared secrets, rules."""

    keystore: KeyStore = field(repr=False)
    selection_key: SelectionKey = field(repr=False)
    share: Scalar | None = field(repr=False)
    """Share of the mesh's evaluation key; None without a seat on the committee."""
    benign: WindowSet = field(repr=False)
    policy: PolicyFile


def load_material(datadir: DataDir, keystore: KeyStore, mesh: Mesh) -> Material:
    """Read everything that a node needs from its data directory.

    :raises OrgnodeError, MeshError: a file is missing, damaged, or another mesh's.
    """
    selection_key = read_selection_key(datadir, mesh)
    return Material(
        keystore=keystore,
        selection_key=selection_key,
        share=read_share(datadir, mesh, keystore),
        benign=load_benign(datadir, mesh, selection_key),
        policy=PolicyFile(datadir.path, selection_key),
    )
