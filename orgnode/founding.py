"""Setting up a node and founding a mesh: what `orgnode init` and `orgnode genesis` do.

    each organization      create_node          keys, settings, a signed card
    one of them            ceremony.propose     who takes part in generating the mesh's keys
    each, twice            ceremony.take_part   a deal, then a verdict on the others' deals
    one of them            draft                a genesis text from all cards and the committee
    each                   review, sign
    each                   install              all signatures are there: join

Nothing here asks or prints; the command line shows, the test network does the same without people.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from mesh.constraints import (
    DEFAULT_COOLDOWN_DAYS,
    DEFAULT_DAILY_QUOTA,
    DEFAULT_EVALUATION_BUDGET,
    Constraints,
    MatchingRule,
)
from mesh.document import read_document
from mesh.fingerprint import SelectionKey, corpus_digest, parse_corpus
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
from mesh.keygen import (
    MAX_PROPOSAL,
    KeyGeneration,
    KeygenOutcome,
    KeygenProposal,
    from_transcript,
    read_proposal,
    transcript_digest,
)
from mesh.keygen.proposal import KEYGEN_KIND
from mesh.member import MemberCard, open_card, sealing_possession_context, sign_card
from mesh.names import check_host
from orgnode.ceremony import BENIGN, PROPOSAL, TRANSCRIPT
from orgnode.config import NodeConfig, write_config
from orgnode.datadir import DataDir, read_file, write_file
from orgnode.errors import ForeignCorpusError, MissingFileError, OrgnodeError
from orgnode.keystore import KeyStore
from orgnode.share import write_share
from orgnode.tls import check_certificates
from proofs.holder import prove_holding
from proofs.threshold.errors import DealerFaultError

_SAME_DIRECTORY = (
    "use proposal.txt, transcript and genesis.note from one and the same directory: --keygen DIR"
)


class FoundingError(OrgnodeError):
    """A step of founding a mesh can't be taken."""


class NotInGenesisError(FoundingError):
    """The genesis does not list this node, or lists it with another card."""


class AlreadyJoinedError(FoundingError):
    """This node has joined another mesh; a log belongs to one mesh for ever."""


class OtherTranscriptError(FoundingError):
    """The key generation's transcript is not the one that the genesis names, or is not whole."""


class WrongDealError(FoundingError):
    """A dealer that counts dealt wrongly to this node, which has not complained."""


class FoundingFilesError(FoundingError):
    """A file that goes with a genesis is missing."""


class EndpointError(FoundingError):
    """The host or port that peers shall reach this node at can't be an endpoint."""


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
        sealing=keystore.sealing_public.hex(),
        sealing_proof=_sealing_proof(keystore),
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


def _sealing_proof(keystore: KeyStore) -> bytes:
    identity = keystore.identity.verifier_key.public.hex()
    context = sealing_possession_context(keystore.name, identity)
    return prove_holding([keystore.sealing], context, os.urandom(64))


@dataclass(frozen=True)
class Rules:
    """What the founders choose for themselves; everything else has its default."""

    matching: MatchingRule = field(default_factory=MatchingRule)
    evaluation_budget: int = DEFAULT_EVALUATION_BUDGET
    benign: bytes | None = None
    """The benign corpus, JSONL; None pins none."""
    daily_quota: int = DEFAULT_DAILY_QUOTA
    cooldown_days: int = DEFAULT_COOLDOWN_DAYS


@dataclass(frozen=True)
class FoundingFiles:
    """What goes with a genesis: all of it public, and named by it."""

    proposal: bytes
    transcript: bytes
    benign: bytes | None = None


def packaged_benign() -> bytes:
    """The benign corpus that comes with this program."""
    return resources.files("orgnode.data").joinpath("benign.jsonl").read_bytes()


def draft(proposal: KeygenProposal, outcome: KeygenOutcome, rules: Rules) -> str:
    """Write the genesis text for a key generation's outcome.

    :raises MeshError, NoteError: the members, the rules or the corpus don't make a mesh.
    """
    if rules.benign is not None:
        parse_corpus(rules.benign)
    constraints = Constraints(
        name=proposal.name,
        members=proposal.members,
        committee=outcome.committee,
        selection_key_digest=outcome.selection_key_digest,
        matching=rules.matching,
        evaluation_budget=rules.evaluation_budget,
        daily_quota=rules.daily_quota,
        cooldown_days=rules.cooldown_days,
        benign_digest=None if rules.benign is None else corpus_digest(rules.benign),
    )
    value = read_document(proposal.text, KEYGEN_KIND, max_bytes=MAX_PROPOSAL)
    return draft_genesis(constraints, [card.encode() for card in value["cards"]])


def read_given_file(path: Path, *, private: bool = False) -> bytes:
    """A file that a person named on the command line.

    :raises MissingFileError, PermissionsTooOpenError: it can't be used.
    """
    try:
        return read_file(path, private=private)
    except MissingFileError as error:
        raise MissingFileError(str(error), hint="check the file's name and permissions") from error


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


def read_founding_files(directory: Path) -> FoundingFiles:
    """What goes with a genesis, from the directory of its key generation.

    :raises FoundingFilesError: proposal or transcript are not there.
    """
    for name in (PROPOSAL, TRANSCRIPT):
        if not (directory / name).exists():
            raise FoundingFilesError(
                f"there is no {name} in {directory}",
                hint="name the directory of the key generation that this genesis came from: "
                "--keygen DIR",
            )
    return FoundingFiles(
        proposal=read_given_file(directory / PROPOSAL),
        transcript=read_given_file(directory / TRANSCRIPT),
        benign=read_given_file(directory / BENIGN) if (directory / BENIGN).exists() else None,
    )


def review(
    datadir: DataDir,
    constraints: Constraints,
    files: FoundingFiles,
    keystore: KeyStore | None = None,
) -> KeyGeneration:
    """Check a genesis against the key generation and the corpus that it names.

    Everything is computed anew from what the founders signed, so whoever drafted the genesis need
    not be trusted. With `keystore` this node's own part is opened too: its share, and the selection
    key.

    :raises NotInGenesisError: this node is not a founder under its own card.
    :raises OtherTranscriptError: the committee in the genesis is not what the transcript yields.
    :raises WrongDealError: this node has not got its part.
    :raises ForeignCorpusError: the corpus is not the one that the genesis names.
    :raises MeshError, ProofsError: the transcript does not hold, or the keys are not this node's.
    """
    own = check_own_card(datadir, constraints)
    committee = constraints.committee
    if transcript_digest(files.transcript) != committee.transcript:
        raise OtherTranscriptError(
            "the transcript is not the one that the genesis names", hint=_SAME_DIRECTORY
        )
    try:
        proposal = read_proposal(files.proposal.decode("utf-8"))
    except UnicodeDecodeError:
        raise OtherTranscriptError("the proposal is not text", hint=_SAME_DIRECTORY) from None
    if (proposal.name, proposal.members) != (constraints.name, constraints.members):
        raise OtherTranscriptError(
            "the key generation was not among the members of this genesis", hint=_SAME_DIRECTORY
        )
    if keystore is None:
        machine = from_transcript(proposal, files.transcript)
    else:
        machine = from_transcript(
            proposal, files.transcript, own.name, keystore.identity, keystore.sealing
        )
    outcome = machine.outcome()
    if outcome.committee != committee:
        raise OtherTranscriptError(
            "the committee in the genesis is not the one that the transcript yields: whoever "
            "drafted it changed a seat, a share or the key",
            hint="don't sign it; ask for the genesis that `orgnode genesis create` wrote",
        )
    if keystore is not None and _own_part(machine).digest != constraints.selection_key_digest:
        raise OtherTranscriptError(
            "the selection key in the genesis is not the one that the transcript yields",
            hint="don't sign it; ask for the genesis that `orgnode genesis create` wrote",
        )
    _check_benign(constraints, files)
    return machine


def _own_part(machine: KeyGeneration) -> SelectionKey:
    """The selection key, once it is known that this node can open all that it was dealt."""
    try:
        machine.share()
        return SelectionKey(machine.selection_key())
    except DealerFaultError as error:
        raise WrongDealError(
            f"this node was dealt what it can't use, by a dealer that counts in the transcript "
            f"({type(error).__name__}: {error})",
            hint="sign nothing; run `orgnode genesis keygen DIR`, which proves it to everybody, "
            "and have the genesis drafted again",
        ) from error


def _check_benign(constraints: Constraints, files: FoundingFiles) -> None:
    if constraints.benign_digest is None:
        return
    if files.benign is None:
        raise FoundingFilesError(
            f"the genesis names a benign corpus, and there is no {BENIGN} beside the transcript",
            hint=f"get it from a founder; its SHA-256 is {constraints.benign_digest}",
        )
    if corpus_digest(files.benign) != constraints.benign_digest:
        raise ForeignCorpusError(
            f"{BENIGN} is not the benign corpus that the genesis names",
            hint=f"get it from a founder, unchanged; its SHA-256 is {constraints.benign_digest}",
        )
    parse_corpus(files.benign)


def sign(datadir: DataDir, genesis: str | bytes, files: FoundingFiles, keystore: KeyStore) -> bytes:
    """Add this node's signature to a genesis that lists it with its own card, and whose committee
    is what this node itself makes of the key generation.

    :raises FoundingError, MeshError, ProofsError: nothing was signed.
    """
    review(datadir, read_genesis(genesis), files, keystore)
    return sign_genesis(genesis, keystore.identity)


def install(
    datadir: DataDir, copies: Sequence[bytes], files: FoundingFiles, keystore: KeyStore
) -> Mesh:
    """Join a mesh: merge the signed copies, verify every founder's signature and the key
    generation, keep the result with this node's own keys from it.

    :raises MissingFounderSignatureError: a founder has not signed; it names who.
    :raises NotInGenesisError: this node is not a founder under its own card.
    :raises AlreadyJoinedError: the node belongs to another mesh.
    :raises OtherTranscriptError, ForeignCorpusError: the files are not those of this genesis.
    :raises FounderKeyError: the keys are not those of this node's card.
    :raises CertificateError: a member's certificate can't be trusted.
    :raises MeshError, ProofsError: the genesis or the transcript does not hold.
    """
    mesh = open_genesis(merge_genesis(copies))
    machine = review(datadir, mesh.constraints, files, keystore)
    check_certificates(mesh)
    if datadir.genesis.exists():
        joined = open_genesis(read_file(datadir.genesis))
        if joined.mesh_id != mesh.mesh_id:
            raise AlreadyJoinedError(
                f"this node has joined another mesh: {joined.constraints.name}",
                hint="set up another node for the other mesh: `orgnode --data-dir DIR init`",
            )
    # The genesis last: a node that finds one can count on the rest.
    share = machine.share()
    if share is not None:
        write_share(datadir, mesh, keystore, share)
    datadir.write_selection_key(machine.selection_key())
    if files.benign is not None and mesh.constraints.benign_digest is not None:
        write_file(datadir.benign, files.benign, private=False)
    write_file(datadir.proposal, files.proposal, private=False)
    write_file(datadir.transcript, files.transcript, private=False)
    write_file(datadir.genesis, mesh.note, private=False)
    return mesh
