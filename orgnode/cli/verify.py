"""`orgnode verify`: check a published signal from its bytes, in this process, step by step."""

from __future__ import annotations

import binascii
from base64 import b64decode

import typer
from rich.text import Text

from mesh.entry import entry_id
from mesh.errors import MeshError
from mesh.genesis import Mesh
from mesh.verification import Step, verify_published
from orgnode.api.models import ProofAnswer
from orgnode.cli.errors import NotValidError
from orgnode.cli.render import clean
from orgnode.cli.session import Json, Session, SubData, session_of, stored_mesh
from orgnode.cli.signals import SignalId, found_signal
from orgnode.client import NodeClient
from proofs.errors import ProofsError

HONEST_SENTENCE = (
    "What this shows: the issuer published exactly these bytes, and the scores that it committed "
    "to follow the rubric and reach the band. What it does not show: that the incident happened, "
    "or that whoever scored it was honest."
)


class WrongProofError(NotValidError):
    """The node answered with the proof of something else than what was asked for."""


class SignalNotValidError(NotValidError):
    """A step of verifying a published signal failed."""


def verify(
    ctx: typer.Context, signal: SignalId, data_dir: SubData = None, as_json: Json = False
) -> None:
    """Fetch the exact bytes of a signal and verify everything about it here.

    The node is asked for bytes only; signatures, inclusion in the issuer's signed log and the
    zero-knowledge proof are checked in this process, against the genesis in the data directory.
    Exit code 4 if anything does not hold.
    """
    session = session_of(ctx)
    mesh = stored_mesh(session)
    session.run(_verify(session, mesh, signal))


async def _verify(session: Session, mesh: Mesh, given: str) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        wanted = (await found_signal(node, given)).id
        answer = await node.proof(wanted)
    output = session.output
    try:
        steps = check(mesh, answer, wanted)
    except (MeshError, ProofsError, binascii.Error) as error:
        raise SignalNotValidError(
            f"{answer.signal[:16]} of {clean(answer.issuer)} is NOT valid: "
            f"{type(error).__name__}: {error}",
            hint="do not act on this signal; compare what other members hold of it",
        ) from error
    if output.as_json:
        output.item(
            {
                "signal": answer.signal,
                "issuer": answer.issuer,
                "valid": True,
                "steps": [{"name": step.name, "detail": step.detail} for step in steps],
                "note": HONEST_SENTENCE,
            }
        )
        return
    for step in steps:
        output.show(
            Text.assemble(("✓ ", "bold green"), (f"{step.name:<11}", "bold"), clean(step.detail))
        )
    output.say(f"\n{answer.signal} is valid.", "bold green")
    output.say(HONEST_SENTENCE)


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
