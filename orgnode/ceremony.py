"""The key generation before a genesis, over a directory that the founders exchange.

    DIR/proposal.txt          who takes part: everybody's card, the seats, the threshold
    DIR/deal-NAME.note        the deal of each founder that is to have a seat
    DIR/verdict-NAME.note     each founder's verdict on the deals
    DIR/transcript            all of them in one file, whose digest stands in the genesis
    DIR/genesis.note          the genesis, to be signed
    DIR/benign.jsonl          the benign corpus, if the genesis names one

The directory may be shared, or be copied to and fro: nothing in it is secret, everything in it is
signed, and a node writes its own two notes only. Its deal it also keeps in its data directory: a
second, different one would convict it of equivocation.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mesh.errors import MeshError
from mesh.keygen import (
    ForeignCeremonyError,
    KeyGeneration,
    KeygenFailedError,
    KeygenProposal,
    ProposalError,
    propose,
    read_proposal,
)
from mesh.keygen.outcome import SILENT, UNCHECKED
from mesh.member import open_card
from orgnode.datadir import DataDir
from orgnode.errors import MissingFileError, OrgnodeError
from orgnode.files import PRIVATE_DIRECTORY, read_file, write_file
from orgnode.keystore import KeyStore
from proofs.errors import ProofsError

PROPOSAL: Final = "proposal.txt"
TRANSCRIPT: Final = "transcript"
GENESIS: Final = "genesis.note"
BENIGN: Final = "benign.jsonl"
DEAL: Final = "deal"
VERDICT: Final = "verdict"
SEED_BYTES: Final = 64


class CeremonyError(OrgnodeError):
    """A step of the key generation can't be taken."""


class NoProposalError(CeremonyError):
    """The directory holds no proposal of a key generation."""


class ProposalExistsError(CeremonyError):
    """There is another proposal in the directory: founders may have answered it already."""


class NotInProposalError(CeremonyError):
    """The proposal does not list this node, or lists it with another card."""


class ChangedProposalError(CeremonyError):
    """This node's deal in the directory answers another proposal than the one that is there now."""


class NotAFounderError(CeremonyError):
    """A name that was given is no founder's."""


class CeremonyNoteError(CeremonyError):
    """A founder's deal or verdict in the directory can't be used; it names whose and why."""


class OwnNoteError(CeremonyError):
    """The directory holds a note under this node's name that this node did not write."""


class NotesMissingError(CeremonyError):
    """Founders have not dealt, or not given their verdict, and nobody said to go on without."""


@dataclass(frozen=True)
class Notes:
    """What lies in a ceremony's directory: a machine that has received it, and what it has not."""

    machine: KeyGeneration = field(repr=False)
    unusable: dict[str, str]
    """Files that can't be used, by name, and why."""
    strays: tuple[str, ...]
    """Files that look like notes of the ceremony, but are no founder's."""


@dataclass(frozen=True)
class Standing:
    """How far a key generation has come, and what this node did for it just now."""

    proposal: KeygenProposal
    name: str
    wrote: tuple[Path, ...]
    """Notes that were written by this call."""
    missing_deals: tuple[str, ...]
    missing_verdicts: tuple[str, ...]
    faults: dict[str, str]
    """Founders that broke the rules, and how."""
    disputed: dict[str, tuple[str, ...]]
    """Founders that judged a deal which is not in the directory, with its dealers."""
    unusable: dict[str, str]
    strays: tuple[str, ...]


def propose_ceremony(
    directory: Path,
    mesh_name: str,
    cards: Sequence[bytes],
    *,
    seats: Sequence[str] | None = None,
    attempt: int = 1,
) -> KeygenProposal:
    """Write the proposal of a key generation among the founders whose signed cards are given.

    :raises ProposalExistsError: the directory holds another one.
    :raises MeshError, ProofsError: a card does not hold, or no committee can be made.
    :raises DataDirNotWritableError, CeremonyError: the directory can't be written to.
    """
    text = propose(mesh_name, cards, seats=seats, attempt=attempt)
    proposal = read_proposal(text)
    path = directory / PROPOSAL
    if path.exists():
        if read_file(path) != text.encode():
            raise ProposalExistsError(
                f"{path} holds another proposal", hint="name another --out directory"
            )
        return proposal
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CeremonyError(
            f"cannot make {directory}: {error.strerror or type(error).__name__}",
            hint="check its owner and permissions, or name another directory",
        ) from error
    write_file(path, text.encode(), private=False)
    return proposal


def read_ceremony(directory: Path) -> KeygenProposal:
    """The proposal in a directory.

    :raises NoProposalError: there is none.
    :raises MeshError, ProofsError: it is not one, or a card in it does not hold.
    """
    path = directory / PROPOSAL
    try:
        return read_proposal(read_file(path).decode("utf-8"))
    except MissingFileError as error:
        raise NoProposalError(
            f"there is no {PROPOSAL} in {directory}",
            hint="name the directory that `orgnode genesis propose` made, or a copy of it",
        ) from error
    except UnicodeDecodeError:
        raise ProposalError(f"{path} is not UTF-8 text") from None


def note_path(directory: Path, kind: str, name: str) -> Path:
    """Where a founder's deal or verdict lies."""
    return directory / f"{kind}-{name}.note"


def take_part(
    datadir: DataDir, directory: Path, keystore: KeyStore, *, without: Collection[str] = ()
) -> Standing:
    """Do what is this node's to do now: deal, and once all deals are there, judge them.

    It can be called any number of times. A deal is made once; a verdict anew when it would say
    more, because deals came in after it.

    :param without: founders that are not waited for.
    :raises NotInProposalError: the proposal does not list this node with its own card.
    :raises ChangedProposalError: this node has answered another proposal in this directory.
    :raises OwnNoteError: a note under this node's name is not its own.
    :raises NotAFounderError: a name of `without` is none.
    :raises MeshError, ProofsError: the proposal does not hold.
    :raises DataDirNotWritableError: as it says.
    """
    proposal = read_ceremony(directory)
    _check_listed(datadir, proposal)
    name = keystore.name
    _check_names(proposal, without, own=name)
    memory = datadir.founding / f"{proposal.ceremony}.deal"
    machine = KeyGeneration(proposal, name, keystore.identity, keystore.sealing)
    wrote: list[Path] = []
    _receive_own(machine, directory, memory)
    if machine.is_dealer:
        note = machine.deal(os.urandom(SEED_BYTES))
        if not memory.exists():
            # Before anybody sees it: after a crash the same deal is shown, never another one.
            _remember(memory, note)
        _put(note_path(directory, DEAL, name), note, wrote)
    found = _receive(machine, directory, own=name)
    missing = tuple(one for one in machine.missing_deals if one not in without)
    faults: dict[str, str] = {}
    disputed: dict[str, tuple[str, ...]] = {}
    if not missing:
        note = machine.verdict(os.urandom(SEED_BYTES))
        _put(note_path(directory, VERDICT, name), note, wrote)
        faults, disputed = _faults(machine)
    return Standing(
        proposal=proposal,
        name=name,
        wrote=tuple(wrote),
        missing_deals=missing,
        missing_verdicts=tuple(one for one in machine.missing_verdicts if one not in without),
        faults=faults,
        disputed=disputed,
        unusable=found.unusable,
        strays=found.strays,
    )


def conclude(
    datadir: DataDir, directory: Path, keystore: KeyStore, *, without: Collection[str] = ()
) -> KeyGeneration:
    """The finished key generation of a directory, as this node sees it with its own keys.

    :param without: founders whose notes may be missing, or unusable.
    :raises NotesMissingError: others' are missing; it names whose.
    :raises CeremonyNoteError: another's can't be used.
    :raises NotInProposalError, NotAFounderError, NoProposalError: as they say.
    :raises MeshError, ProofsError: the proposal does not hold.
    """
    proposal = read_ceremony(directory)
    _check_listed(datadir, proposal)
    _check_names(proposal, without)
    machine = KeyGeneration(proposal, keystore.name, keystore.identity, keystore.sealing)
    found = _receive(machine, directory)
    check_usable(directory, found.unusable, without)
    for kind, missing in (("deals", machine.missing_deals), ("verdicts", machine.missing_verdicts)):
        waiting = [one for one in missing if one not in without]
        if waiting:
            raise NotesMissingError(
                f"the {kind} of {', '.join(waiting)} are not in {directory}",
                hint=f"each of them runs `orgnode genesis keygen {directory}`; whoever stays "
                "silent is left out with --without NAME, and gets no seat",
            )
    return machine


def check_usable(directory: Path, unusable: dict[str, str], without: Collection[str] = ()) -> None:
    """Check that no file is unusable but those of founders who are not waited for.

    :raises CeremonyNoteError: one is.
    """
    skipped = {
        note_path(directory, kind, name).name for kind in (DEAL, VERDICT) for name in without
    }
    for file, why in unusable.items():
        if file not in skipped:
            name = file.removesuffix(".note").split("-", 1)[1]
            raise CeremonyNoteError(
                f"{directory / file} can't be used: {why}",
                hint=f"get {name}'s own copy of it again; a founder who has no good one to give is "
                f"left out with --without {name}",
            )


def _faults(machine: KeyGeneration) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Who is known to have broken the rules, though verdicts may still be missing."""
    disputed: dict[str, tuple[str, ...]] = {}
    try:
        outcome = machine.outcome()
        excluded, unseated, disputed = outcome.excluded, outcome.unseated, outcome.disputed
    except KeygenFailedError as error:
        excluded, unseated = error.excluded, error.unseated
    # Who is only late may still come.
    faults = {name: why for name, why in excluded.items() if why not in (SILENT, UNCHECKED)}
    faults |= {name: why for name, why in unseated.items() if why.startswith("false complaint")}
    return faults, disputed


def _check_listed(datadir: DataDir, proposal: KeygenProposal) -> None:
    own = open_card(read_file(datadir.card))
    if own not in proposal.members:
        raise NotInProposalError(
            f"the proposal lists {own.name} with another card than {datadir.card}"
            if own.name in proposal.names
            else f"the proposal does not list {own.name}",
            hint="send your card.note to whoever makes the proposal, and ask for a new one",
        )


def _check_names(proposal: KeygenProposal, without: Collection[str], own: str = "") -> None:
    for name in without:
        if name == own:
            raise NotAFounderError(
                f"{name} is this node itself",
                hint="--without names founders who do not answer",
            )
        if name not in proposal.names:
            raise NotAFounderError(
                f"{name} is no founder of {proposal.name}",
                hint=f"--without names one of {', '.join(proposal.names)}",
            )


def _receive_own(machine: KeyGeneration, directory: Path, memory: Path) -> None:
    """Show the machine what this node said before; what lies in the directory must agree."""
    assert machine.own is not None
    said = read_file(memory) if memory.exists() else None
    if said is not None:
        machine.receive(said)
    for kind in (DEAL, VERDICT):
        path = note_path(directory, kind, machine.own)
        if not path.exists():
            continue
        shown = read_file(path)
        try:
            machine.receive(shown)
        except ForeignCeremonyError as error:
            raise ChangedProposalError(
                f"{path} answers another proposal than the {PROPOSAL} beside it",
                hint="somebody changed or replaced the proposal: compare its ceremony with the "
                "other founders; for a new proposal use a new directory",
            ) from error
        except (MeshError, ProofsError) as error:
            raise OwnNoteError(
                f"{path} is not as this node wrote it: {error}",
                hint="delete it and run `orgnode genesis keygen` again",
            ) from error
        if kind == DEAL and said is not None and shown != said:
            raise OwnNoteError(
                f"{path} is another deal than the one that this node made: two deals would "
                "convict it of equivocation",
                hint="delete it and run `orgnode genesis keygen` again; if this node did not write "
                "it, somebody else has its keys",
            )


def _remember(memory: Path, note: bytes) -> None:
    memory.parent.mkdir(exist_ok=True, mode=PRIVATE_DIRECTORY)
    write_file(memory, note, private=True)


def _put(path: Path, note: bytes, wrote: list[Path]) -> None:
    if not path.exists() or read_file(path) != note:
        write_file(path, note, private=False)
        wrote.append(path)


def _receive(machine: KeyGeneration, directory: Path, own: str = "") -> Notes:
    """Show the machine everybody's notes but `own`'s, deals first."""
    proposal = machine.proposal
    unusable: dict[str, str] = {}
    known: set[str] = set()
    for kind, names in ((DEAL, proposal.seats), (VERDICT, proposal.names)):
        for name in names:
            path = note_path(directory, kind, name)
            known.add(path.name)
            if name == own or not path.exists():
                continue
            try:
                machine.receive(read_file(path))
            except (MeshError, ProofsError) as error:
                unusable[path.name] = str(error)
    looks = {path.name for kind in (DEAL, VERDICT) for path in directory.glob(f"{kind}-*")}
    return Notes(machine, unusable, tuple(sorted(looks - known)))
