"""The checks of `orgnode doctor` that need no network: this machine, and the files of the node.

Each stands alone and none changes anything.

A check whose ground is missing (no keys, no genesis) is skipped, since the check of that ground has
said already what to do.
"""

from __future__ import annotations

import platform
import shutil
import sqlite3
import stat
import sys
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mesh.errors import MeshError
from mesh.fingerprint import SelectionKey, parse_corpus
from mesh.genesis import Mesh, open_genesis
from mesh.member import MemberCard, open_card
from orgnode.config import NodeConfig, load_config, unknown_environment
from orgnode.datadir import DataDir, read_file
from orgnode.errors import OrgnodeError
from orgnode.keystore import KeyStore
from orgnode.restored import GONE_FOR_EVER, RESTORED, left_out
from orgnode.share import read_selection_key, read_share
from orgnode.store.errors import from_sqlite
from orgnode.tls import check_certificates
from proofs.errors import ProofsError
from proofs.group import backend_names

MIN_PYTHON: Final = (3, 11)
MIN_FREE_BYTES: Final = 500 * 2**20

PROBLEMS: Final = (OrgnodeError, MeshError, ProofsError)


class Verdict(StrEnum):
    """What a check found."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One check: what was looked at, what was found, what to do about it."""

    name: str
    verdict: Verdict
    detail: str
    hint: str = ""


def good(name: str, detail: str) -> Check:
    """A check that found nothing wrong."""
    return Check(name, Verdict.GOOD, detail)


def warning(name: str, detail: str, hint: str) -> Check:
    """A check that found something to know about."""
    return Check(name, Verdict.WARNING, detail, hint)


def bad(name: str, detail: str, hint: str) -> Check:
    """A check that found something to repair."""
    return Check(name, Verdict.BAD, detail, hint)


def skipped(name: str, why: str) -> Check:
    """A check that had nothing to look at."""
    return Check(name, Verdict.SKIPPED, why)


def problem(name: str, error: Exception) -> Check:
    """A check that ended with a named error."""
    return bad(name, f"{type(error).__name__}: {error}", getattr(error, "hint", ""))


# --- this machine


def check_python() -> Check:
    """The interpreter is new enough."""
    if sys.version_info < MIN_PYTHON:
        return bad("python", platform.python_version(), "install Python 3.11 or newer")
    return good("python", platform.python_version())


def check_backends() -> Check:
    """Which arithmetic makes and verifies proofs."""
    try:
        prover, verifier = backend_names()
    except ProofsError as error:
        return problem("proof back ends", error)
    detail = f"{prover} makes proofs, {verifier} verifies them"
    if "py_ecc" in (prover, verifier):
        return warning(
            "proof back ends",
            f"{detail}: slow, and py_ecc's running time tells something about secrets",
            "pip install 'signal-mesh[fast]'",
        )
    return good("proof back ends", detail)


def check_environment() -> Check:
    """No variable is misspelt."""
    unknown = unknown_environment()
    if unknown:
        near = "; ".join(
            f"{key}: did you mean {' or '.join(names)}?" for key, names in unknown.items() if names
        )
        return warning(
            "environment", f"no setting: {', '.join(unknown)}", near or "remove it if it is a slip"
        )
    return good("environment", "no unknown ORGNODE_ variables")


# --- the data directory


def check_directory(datadir: DataDir) -> Check:
    """There is a node, its directory is private and can be written to.

    A directory that can't be written to can be read: the other checks go on.
    """
    try:
        datadir.check_exists()
        datadir.check_writable()
    except OrgnodeError as error:
        return problem("data directory", error)
    mode = stat.S_IMODE(datadir.path.stat().st_mode)
    if mode & 0o077:
        return warning(
            "data directory",
            f"{datadir.path} can be listed by other users (mode {mode:04o})",
            f"chmod 700 {datadir.path}",
        )
    return good("data directory", str(datadir.path))


def check_config(datadir: DataDir) -> tuple[NodeConfig | None, Check]:
    """The settings can be read."""
    try:
        config = load_config(datadir)
    except PROBLEMS as error:
        return None, problem("config", error)
    return config, good("config", f"{config.name}, control group {config.control_group}")


def check_keys(datadir: DataDir, passphrase: str | None) -> tuple[KeyStore | None, Check]:
    """The private keys open, and nobody else can read them."""
    try:
        keystore = KeyStore.open(datadir.keys, passphrase)
    except PROBLEMS as error:
        return None, problem("keys", error)
    if not keystore.protected:
        return keystore, warning(
            "keys",
            "open, not under a passphrase: whoever gets the disk gets them and the vault",
            "restrict access to the disk, or encrypt it",
        )
    return keystore, good("keys", "open, under a passphrase")


def check_card(datadir: DataDir, config: NodeConfig | None, keystore: KeyStore | None) -> Check:
    """The member card is this node's and leads to the port that it listens on."""
    try:
        card = open_card(read_file(datadir.card))
    except PROBLEMS as error:
        return problem("card", error)
    if keystore is not None and not _same_keys(card, keystore):
        return bad("card", "holds other keys than keys/", "restore both from the same backup")
    if config is not None and config.name != card.name:
        return bad(
            "card",
            f"is made out to {card.name}, but the settings say {config.name}",
            "correct name in config.toml (or ORGNODE_NAME)",
        )
    if config is not None and config.federation_port not in (card.port, 0):
        return warning(
            "card",
            f"sends peers to port {card.port}, the node listens on {config.federation_port}",
            "right only if something forwards the one to the other",
        )
    return good("card", f"{card.name} at {card.host}:{card.port}")


def _same_keys(card: MemberCard, keystore: KeyStore) -> bool:
    return (
        card.identity_key.public == keystore.identity.verifier_key.public
        and card.transport_pin == keystore.transport_pin
    )


def check_genesis(datadir: DataDir, keystore: KeyStore | None) -> tuple[Mesh | None, Check]:
    """The node has joined a mesh, as itself, and every member's certificate can be trusted."""
    if not datadir.genesis.exists():
        return None, bad(
            "genesis",
            "this node has not joined a mesh",
            "exchange cards, then `orgnode genesis propose`, `keygen`, `create`, `sign` and `join`",
        )
    try:
        mesh = open_genesis(read_file(datadir.genesis))
        check_certificates(mesh)
    except PROBLEMS as error:
        return None, problem("genesis", error)
    if keystore is not None:
        cards = [card for card in mesh.members if card.name == keystore.name]
        if not cards or not _same_keys(cards[0], keystore):
            return None, bad(
                "genesis",
                f"does not list {keystore.name} with the keys in keys/",
                "use the data directory that the card in the genesis was made in",
            )
    detail = (
        f"{mesh.constraints.name} ({mesh.mesh_id[:16]}), {len(mesh.members)} members, "
        f"quorum {mesh.constraints.quorum}"
    )
    if mesh.constraints.trial:
        return mesh, warning(
            "genesis", f"{detail}: TRIAL, no faulty member can be stood", "found one of 4 or more"
        )
    return mesh, good("genesis", detail)


def check_selection_key(datadir: DataDir, mesh: Mesh | None) -> Check:
    """The selection key is the mesh's."""
    if mesh is None:
        return skipped("selection key", "needs a genesis")
    try:
        read_selection_key(datadir, mesh)
    except PROBLEMS as error:
        return problem("selection key", error)
    return good("selection key", "the one that the genesis commits to")


def check_committee(datadir: DataDir, mesh: Mesh | None, keystore: KeyStore | None) -> Check:
    """Which seat this node has on the committee, and that its share fits."""
    if mesh is None or keystore is None:
        return skipped("committee", "needs keys and genesis")
    committee = mesh.constraints.committee
    seat = committee.seat_of(keystore.name)
    if seat is None:
        return good("committee", f"no seat of its {len(committee.seats)}: nothing to keep")
    try:
        read_share(datadir, mesh, keystore)
    except PROBLEMS as error:
        return problem("committee", error)
    return good(
        "committee",
        f"seat {seat.index} of {len(committee.seats)}, its share fits; {committee.threshold} "
        "answers are needed",
    )


def check_benign(datadir: DataDir, mesh: Mesh | None) -> Check:
    """The benign corpus is there, and is the one that all members use."""
    if mesh is None:
        return skipped("benign corpus", "needs a genesis")
    digest = mesh.constraints.benign_digest
    if digest is None:
        return warning(
            "benign corpus",
            "the genesis names none: everyday phrases may match",
            "name your own templates in templates/, and found the next mesh with one",
        )
    try:
        texts = parse_corpus(datadir.read_benign(digest))
    except PROBLEMS as error:
        return problem("benign corpus", error)
    return good("benign corpus", f"{len(texts)} texts, the ones that the genesis names")


def check_policy(datadir: DataDir) -> Check:
    """The operator's own rules can be read, and do not let everything pass."""
    # Imported here: it brings the whole of matching along.
    from orgnode.checking.policyfile import PolicyFile

    try:
        key = SelectionKey(datadir.read_selection_key())
    except PROBLEMS:
        return skipped("policy", "needs a selection key")
    try:
        policy = PolicyFile(datadir.path, key).current
    except PROBLEMS as error:
        return problem("policy", error)
    rules = policy.settings
    if rules.kill_switch:
        return warning(
            "policy",
            "the kill switch is on: every text is allowed, nothing is checked",
            "orgnode policy, once what it was for is over",
        )
    return good(
        "policy",
        f"mode {rules.mode}, {rules.fail} when the mesh can't verify, {policy.templates} own "
        f"templates, {policy.allowed} allowed texts",
    )


def check_token(datadir: DataDir) -> Check:
    """The local API's token can be read by its owner alone."""
    try:
        datadir.read_token()
    except PROBLEMS as error:
        return problem("token", error)
    return good("token", f"in {datadir.token}")


def check_disk(datadir: DataDir) -> Check:
    """There is room to go on writing."""
    free = shutil.disk_usage(datadir.path).free
    detail = f"{free / 2**30:.1f} GiB free"
    if free < MIN_FREE_BYTES:
        return bad("disk", detail, "free some space: a node that can't write publishes nothing")
    return good("disk", detail)


def check_database(datadir: DataDir) -> Check:
    """The database file is whole. What it says is `orgnode log verify`'s to check."""
    if not datadir.database.exists():
        return skipped("database", "made when the node first runs")
    try:
        # Not the node's own way of opening it, which may write (migrations).
        connection = sqlite3.connect(f"file:{datadir.database}?mode=ro", uri=True, timeout=5.0)
        try:
            found = connection.execute("PRAGMA quick_check(3)").fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return problem("database", from_sqlite(error))
    if found != [("ok",)]:
        return bad(
            "database",
            f"damaged: {'; '.join(str(line[0]) for line in found)}",
            "stop the node, and put a backup back with `orgnode restore`",
        )
    return good("database", f"whole, {datadir.database.stat().st_size / 1e6:.1f} MB")


def check_restored(datadir: DataDir, mesh: Mesh | None, keystore: KeyStore | None) -> Check | None:
    """Whom a node that was restored from a backup must ask before it signs; None if nobody."""
    if mesh is None or keystore is None or not datadir.database.exists():
        return None
    try:
        uri = f"{datadir.database.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=5.0)) as connection:
            query = "SELECT value FROM meta WHERE key = ?"
            row = connection.execute(query, (RESTORED,)).fetchone()
    except sqlite3.Error:
        return None  # `check_database` says what is wrong with it
    excused = left_out(None if row is None else bytes(row[0]))
    if excused is None:
        return None
    asked = [card.name for card in mesh.peers_of(keystore.name) if card.name not in excused]
    return warning(
        "restored",
        f"from a backup: it signs nothing before all of {', '.join(asked)} have told it what it "
        "signed since",
        f"all of them must run; {GONE_FOR_EVER}",
    )
