"""`orgnode genesis`: founders make the mesh's keys together, sign its rules, and join it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh.genesis import mesh_id_of, missing_signatures, read_genesis
from orgnode.cli.ceremony import create, keygen, propose
from orgnode.cli.errors import CliError, UsageProblemError
from orgnode.cli.genesis_view import show_rules, summary
from orgnode.cli.render import fields
from orgnode.cli.session import (
    Json,
    PassphraseFile,
    SubData,
    open_keys,
    session_of,
)
from orgnode.datadir import write_file
from orgnode.founding import (
    check_own_card,
    install,
    read_founding_files,
    read_genesis_file,
    review,
    sign,
)

app = typer.Typer(
    help="Found a mesh: make its keys together, sign its genesis, join it.", no_args_is_help=True
)

app.command()(propose)
app.command()(keygen)
app.command()(create)


class UnsignedGenesisError(CliError):
    """Nobody has signed this copy of the genesis: there is nothing to join on."""


Keygen = Annotated[
    Path | None,
    typer.Option(
        "--keygen",
        metavar="DIR",
        help="Directory of the key generation; by default the genesis's own.",
        show_default=False,
    ),
]


@app.command("sign")
def sign_command(
    ctx: typer.Context,
    genesis: Annotated[
        Path, typer.Argument(help="The genesis, signed by others or by nobody yet.")
    ],
    keygen_dir: Keygen = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write it; in place by default.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Sign without asking.")] = False,
    passphrase_file: PassphraseFile = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Show the rules of a mesh, and add this node's signature to them.

    The committee in them is first recomputed from what all founders said in the key generation.
    """
    session = session_of(ctx)
    session.datadir.check_exists()
    copy = read_genesis_file(genesis)
    constraints = read_genesis(copy)
    own = check_own_card(session.datadir, constraints)
    files = read_founding_files(keygen_dir or genesis.parent)
    outcome = review(session.datadir, constraints, files).outcome()
    if not session.output.as_json:
        show_rules(session.output, constraints, mesh_id_of(copy), outcome)
    if not yes:
        if session.output.as_json:
            raise UsageProblemError(
                "--json cannot ask whether you agree", hint="add --yes once you have read the rules"
            )
        typer.confirm(
            f"\nSign as {own.name}? The rules bind this node from its first entry on. Compare the "
            "mesh id with the other founders first",
            abort=True,
        )
    signed = sign(session.datadir, copy, files, open_keys(session, passphrase_file))
    target = out or genesis
    write_file(target, signed, private=False)
    missing = list(missing_signatures(signed))
    if session.output.as_json:
        session.output.item(
            {
                "mesh": mesh_id_of(signed),
                "signed": own.name,
                "file": str(target),
                "missing": missing,
            }
        )
        return
    session.output.say(f"Signed as {own.name}: {target}", "bold green")
    if missing:
        session.output.say(f"Still to sign: {', '.join(missing)}")
    else:
        session.output.say(f"All founders have signed. Next: orgnode genesis join {target}")


@app.command()
def join(
    ctx: typer.Context,
    copies: Annotated[
        list[Path], typer.Argument(help="One or more signed copies.", metavar="GENESIS...")
    ],
    keygen_dir: Keygen = None,
    passphrase_file: PassphraseFile = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Merge the founders' signatures, verify all of them, and make this node a member."""
    session = session_of(ctx)
    session.datadir.check_exists()
    notes = []
    for path in copies:
        copy = read_genesis_file(path)
        if isinstance(copy, str):
            raise UnsignedGenesisError(
                f"nobody has signed {path} yet", hint=f"sign it: orgnode genesis sign {path}"
            )
        notes.append(copy)
    files = read_founding_files(keygen_dir or copies[0].parent)
    keystore = open_keys(session, passphrase_file)
    mesh = install(session.datadir, notes, files, keystore)
    seat = mesh.constraints.committee.seat_of(keystore.name)
    if session.output.as_json:
        session.output.item(
            {
                "mesh": mesh.mesh_id,
                **summary(mesh.constraints),
                "seat": None if seat is None else seat.index,
            }
        )
        return
    session.output.say(f"Joined {mesh.constraints.name}", "bold green")
    session.output.show(
        fields(
            [
                ("mesh id", mesh.mesh_id),
                ("members", len(mesh.members)),
                ("signed by", "every founder"),
                (
                    "committee",
                    "no seat: this node asks, and answers nobody"
                    if seat is None
                    else f"seat {seat.index} of {len(mesh.constraints.committee.seats)}, its share "
                    "is in keys/",
                ),
            ]
        )
    )
    session.output.say("Compare the mesh id with the other founders. Next: orgnode run")
