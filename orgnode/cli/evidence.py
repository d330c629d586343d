"""`orgnode evidence`: proofs that a member showed two histories of its log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from mesh.errors import MeshError
from mesh.evidence import Evidence
from mesh.genesis import Mesh
from mesh.verification import verify_evidence_steps
from orgnode.cli.errors import CliError, NotValidError, UsageProblemError
from orgnode.cli.session import Json, SubData, session_of
from orgnode.cli.stored import DAMAGED_HINT, is_member, stored, write_new
from orgnode.cli.vocabulary import check_member


class NoEvidenceError(CliError):
    """There is no evidence against this member's log."""


class EvidenceNotValidError(NotValidError):
    """Stored evidence does not hold: the database was damaged or changed."""


def evidence(
    ctx: typer.Context,
    export: Annotated[
        str | None,
        typer.Option(
            metavar="MEMBER",
            help="Write the proof against this member's log to a file.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="That file; it is not there yet.",
            show_default=False,
        ),
    ] = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """List the logs that are proven to have two histories; none of their entries counts.

    Works while the node runs and while it does not. A proof that was exported convinces anybody
    who has the genesis: `orgnode verify FILE`. Exit code 4 if one does not hold.
    """
    session = session_of(ctx)
    if (export is None) != (output is None):
        raise UsageProblemError(
            "--export MEMBER and -o FILE belong together", hint="give both, or neither"
        )
    with stored(session) as (mesh, store):
        if export is not None:
            check_member(export, [card.name for card in mesh.members])
        states = {name: store.state(name) for name in store.logs() if is_member(mesh, name)}
    found = {name: state.evidence for name, state in states.items() if state.evidence is not None}
    if export is None or output is None:
        session.output.rows(
            ("log", "kind", "what it did"),
            [_shown(mesh, name, one) for name, one in found.items()],
            [(name, Text(str(one.kind), style="red"), one.reason) for name, one in found.items()],
            prose="what it did",
            empty="no member has been proven to show two histories",
        )
        for name, one in found.items():
            _check(mesh, name, one)
        if found:
            first = next(iter(found))
            session.output.say(
                "To show it to others: "
                f"orgnode evidence --export {first} -o {first.partition('.')[0]}.evidence"
            )
        return
    if export not in found:
        raise NoEvidenceError(
            f"there is no evidence against {export}", hint="`orgnode evidence` lists all there is"
        )
    _check(mesh, export, found[export])
    write_new(output, found[export].to_json())
    if session.output.as_json:
        session.output.item({**_shown(mesh, export, found[export]), "file": str(output)})
        return
    session.output.say(f"Wrote {output}", "bold green")
    session.output.say(
        f"It proves to anybody who has the genesis that {export} signed two histories of its log: "
        "`orgnode verify FILE --genesis genesis.note`."
    )


def _shown(mesh: Mesh, log: str, one: Evidence) -> dict[str, object]:
    return {"log": log, "kind": str(one.kind), "reason": one.reason, "mesh": mesh.mesh_id}


def _check(mesh: Mesh, log: str, one: Evidence) -> None:
    try:
        verify_evidence_steps(mesh, one)
    except MeshError as error:
        raise EvidenceNotValidError(
            f"the evidence against {log} does NOT hold: {type(error).__name__}: {error}",
            hint=DAMAGED_HINT,
        ) from error
