"""`orgnode verify`: check a published signal from its bytes, in this process, step by step.

The bytes come from the node, or from a file that somebody sent: a portable proof of an entry
(`orgnode log prove`) or evidence against a log (`orgnode evidence --export`). A file is verified
without a network, against the genesis alone.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from mesh.entry import Kind, entry_id, open_entry
from mesh.errors import MeshError
from mesh.evidence import Evidence
from mesh.genesis import Mesh, open_genesis
from mesh.verification import (
    Step,
    read_portable,
    verify_evidence_steps,
    verify_portable,
    verify_published,
)
from orgnode.api.models import ProofAnswer
from orgnode.cli.errors import NotValidError
from orgnode.cli.render import Output, clean
from orgnode.cli.session import Json, Session, SubData, session_of, stored_mesh
from orgnode.cli.signal_view import uncounted
from orgnode.cli.signals import ID_DIGITS, found_signal
from orgnode.cli.stored import stored
from orgnode.client import NodeClient
from orgnode.errors import MissingFileError, OrgnodeError
from orgnode.founding import read_given_file
from orgnode.store import SignalRecord
from proofs.errors import ProofsError
from proofs.tlogproof import HEADER, MAX_PROOF

HONEST_SENTENCE: Final = (
    "What this shows: the issuer published exactly these bytes, and the scores that it committed "
    "to follow the rubric and reach the band. What it does not show: that the incident happened, "
    "or that whoever scored it was honest."
)
NOT_ITS_STANDING: Final = "Whether it counts (dates, quota, retraction) is not shown."
WITHOUT_CONTENT: Final = (
    "What this shows: the issuer published exactly this entry, and those who cosigned had stored "
    "what the log's rules required when they cosigned; what was retracted or has expired is erased "
    "since. The content is not in this file, so nothing is shown of it. "
    f"{NOT_ITS_STANDING}"
)
WITH_CONTENT: Final = {
    Kind.SIGNAL: HONEST_SENTENCE,
    Kind.RETRACTION: (
        "What this shows: the issuer published exactly this retraction. What it does not show: "
        "that the signal was in its log, or that anybody erased its content."
    ),
    Kind.SIGHTING: (
        "What this shows: the issuer published exactly this opinion of a signal. What it does not "
        "show: that there is such a signal, or that whoever gave the opinion had looked at it."
    ),
    Kind.PROMOTION: (
        "What this shows: the issuer published exactly this promotion, and the committee's "
        "evaluations in it hold. What it does not show: that the signals that it names exist or "
        "suffice."
    ),
    Kind.EVIDENCE: (
        "What this shows: the issuer published exactly this evidence, and whoever holds the "
        "accused member's log key signed two histories of its log, which no honest node does. What "
        "it does not show: who that was, or why."
    ),
}
"""What an entry shows with its content, and what it does not, by its kind."""
ACCUSING_SENTENCE: Final = (
    "What this shows: whoever holds this member's log key signed two histories of its log, which "
    "no honest node does. What it does not show: who that was, or why."
)


DOUBTS: Final = frozenset({"provisional", "suspended", "retracted", "expired"})
"""Steps that are true and yet reasons not to act on it: they get no tick."""


class GenesisFileError(NotValidError):
    """The file that was given as the mesh's genesis is none, or was changed."""


class WrongProofError(NotValidError):
    """The node answered with the proof of something else than what was asked for."""


class SignalNotValidError(NotValidError):
    """A step of verifying a published signal failed."""


class FileNotValidError(NotValidError):
    """A step of verifying a file failed, or it is no proof of any kind that is known."""


def verify(
    ctx: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|ID",
            help="A file that `orgnode log prove` or `orgnode evidence` wrote; or a signal's id, "
            "or its first digits (at least 6).",
        ),
    ],
    genesis: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The mesh's genesis; that in the data directory by default. With it a file needs "
            "no node at all.",
            show_default=False,
        ),
    ] = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Verify everything about a published signal, or about a proof in a file, in this process.

    Of a signal the node is asked for bytes only: signatures, cosignatures, inclusion in the
    issuer's log and the zero-knowledge proof are checked here, against the genesis. A file is
    checked without a network. Exit code 4 if anything does not hold. What holds and counts nowhere
    all the same (provisional, suspended, retracted, expired) gets an exclamation mark.
    """
    session = session_of(ctx)
    file = is_file(what)
    mesh = _mesh(session, file=file) if genesis is None else _given_mesh(genesis)
    if file:
        _show_file(session, mesh, Path(what), own=genesis is None)
    else:
        session.run(_verify(session, mesh, what))


def is_file(what: str) -> bool:
    """Whether a file is meant and not a signal: all but what is written like an id.

    A file that is called like an id is meant by `./` before its name.
    """
    digits = what.strip().lower()
    return not digits or len(digits) > ID_DIGITS or bool(set(digits) - set("0123456789abcdef"))


def _mesh(session: Session, *, file: bool) -> Mesh:
    try:
        return stored_mesh(session)
    except OrgnodeError as error:
        if file:
            error.hint += "; or give --genesis FILE"
        raise


def _given_mesh(path: Path) -> Mesh:
    data = read_given_file(path)
    try:
        return open_genesis(data)
    except (MeshError, ProofsError) as error:
        raise GenesisFileError(
            f"the genesis {clean(str(path))} is not valid: {type(error).__name__}: {error}",
            hint="nothing was verified: get it from a member you trust and compare the mesh id",
        ) from error


# --- from the node


async def _verify(session: Session, mesh: Mesh, given: str) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        signal = await found_signal(node, given)
        answer = await node.proof(signal.id)
    output = session.output
    try:
        steps = check(mesh, answer, signal.id)
    except (MeshError, ProofsError, binascii.Error) as error:
        raise SignalNotValidError(
            f"{answer.signal[:16]} of {clean(answer.issuer)} is NOT valid: "
            f"{type(error).__name__}: {error}",
            hint="do not act on this signal; compare what other members hold of it",
        ) from error
    # The node's word, and no more: it is a reason not to act, never one to act.
    steps += uncounted(signal.status, suspended=signal.suspended)
    if output.as_json:
        output.item(
            {
                "signal": answer.signal,
                "issuer": answer.issuer,
                "valid": True,
                "certified": is_certified(steps),
                "status": signal.status,
                "suspended": signal.suspended,
                "steps": _json(steps),
                "note": HONEST_SENTENCE,
            }
        )
        return
    _show(output, steps, f"{answer.signal} is valid.", HONEST_SENTENCE)


def check(mesh: Mesh, answer: ProofAnswer, wanted: str) -> list[Step]:
    """Verify the proof of the signal `wanted` as the local API hands it over; returns the steps.

    :raises WrongProofError: the bytes are another entry's.
    :raises MeshError, ProofsError, binascii.Error: the step that failed.
    """
    note = b64decode(answer.note, validate=True)
    if entry_id(note) != wanted:
        raise WrongProofError(
            f"the node answered with the proof of {entry_id(note)[:16]}, not of {wanted[:16]}",
            hint="the node's database is damaged, or something else answers in its place",
        )
    return verify_published(
        mesh,
        answer.issuer,
        note,
        b64decode(answer.salt, validate=True),
        b64decode(answer.body, validate=True),
        b64decode(answer.checkpoint, validate=True),
        answer.index,
        [bytes.fromhex(node) for node in answer.inclusion],
    )


def is_certified(steps: Sequence[Step]) -> bool:
    """Whether the steps show the cosignatures of a quorum."""
    return any(step.name == "certified" for step in steps)


# --- from a file


@dataclass(frozen=True)
class FileVerdict:
    """What verifying a file showed; a file that does not hold is an error."""

    kind: str
    """`tlog-proof` or `evidence`."""
    log: str
    """The member whose log it is about."""
    steps: list[Step]
    note: str
    """What is shown by it, and what is not."""
    entry: str | None = None
    """Id of the entry that is proven."""


def check_file(mesh: Mesh, data: bytes) -> FileVerdict:
    """Verify a file by what its first line says that it is.

    :raises FileNotValidError: it is neither kind of proof.
    :raises MeshError, ProofsError: the step that failed.
    """
    if data.startswith(HEADER.encode()):
        read, steps = read_portable(mesh, data), verify_portable(mesh, data)
        note = WITHOUT_CONTENT
        if read.content is not None:
            kind = open_entry(read.note, mesh.member(read.log), mesh).kind
            note = f"{WITH_CONTENT[kind]} {NOT_ITS_STANDING}"
        return FileVerdict("tlog-proof", read.log, steps, note, entry_id(read.note))
    if data.startswith(b"{"):
        evidence = Evidence.from_json(data.rstrip(b"\n"))
        steps = verify_evidence_steps(mesh, evidence)
        return FileVerdict("evidence", evidence.log, steps, ACCUSING_SENTENCE)
    raise FileNotValidError(
        f"it begins neither with {HEADER!r} nor with {{: it is no proof",
        hint="give a file that `orgnode log prove` or `orgnode evidence --export` wrote",
    )


def _show_file(session: Session, mesh: Mesh, path: Path, *, own: bool) -> None:
    output, data = session.output, _read(path)
    name = clean(str(path))
    try:
        found = check_file(mesh, data)
    except FileNotValidError as error:
        raise FileNotValidError(f"{name} is NOT valid: {error}", hint=error.hint) from error
    except (MeshError, ProofsError) as error:
        raise FileNotValidError(
            f"{name} is NOT valid in the mesh {mesh.constraints.name}: "
            f"{type(error).__name__}: {error}",
            hint="it was changed or cut off, or is of another mesh: compare the genesis",
        ) from error
    known = _known(session, found.entry) if own else None
    steps = [*found.steps]
    if known is not None:
        steps += uncounted(known.status, suspended=known.suspended)
    if output.as_json:
        output.item(
            {
                "file": str(path),
                "kind": found.kind,
                "mesh": mesh.mesh_id,
                "log": found.log,
                **({} if found.entry is None else {"entry": found.entry}),
                "valid": True,
                **_standing(known),
                "steps": _json(steps),
                "note": found.note,
            }
        )
        return
    mesh_step = Step("mesh", f"{mesh.constraints.name}, {mesh.mesh_id}")
    said = "holds" if found.entry is None else f"holds: entry {found.entry}"
    _show(output, [mesh_step, *steps], f"{name} {said}.", found.note)


def _known(session: Session, entry: str | None) -> SignalRecord | None:
    """What this organization's own node has stored of the signal, if there is a node."""
    if entry is None or not session.datadir.database.exists():
        return None
    try:
        with stored(session) as (_, store):
            return store.signal(entry)
    except OrgnodeError as error:
        # The file holds or not without it.
        session.output.notice(clean(f"this node's own store was not asked: {error}"), "yellow")
        return None


def _standing(known: SignalRecord | None) -> dict[str, object]:
    if known is None:
        return {}
    return {"status": str(known.status), "suspended": known.suspended}


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_PROOF + 1)  # more is no proof, whatever it begins with
    except OSError as error:
        raise MissingFileError(
            f"cannot read {path}: {error.strerror or type(error).__name__}",
            hint="check the file's name; a signal's id is hex, at least 6 digits of it",
        ) from error


# --- showing


def _json(steps: Sequence[Step]) -> list[dict[str, str]]:
    return [{"name": step.name, "detail": step.detail} for step in steps]


def _show(output: Output, steps: Sequence[Step], verdict: str, note: str) -> None:
    width = max(len(step.name) for step in steps) + 2
    for step in steps:
        mark = ("! ", "bold yellow") if step.name in DOUBTS else ("✓ ", "bold green")
        output.show(Text.assemble(mark, (f"{step.name:<{width}}", "bold"), clean(step.detail)))
    output.say(f"\n{verdict}", "bold green")
    output.say(note)
