"""`orgnode genesis`: founders draft, sign and join a mesh, each on their own machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from mesh.constraints import MIN_MEMBERS, Constraints
from mesh.errors import MeshError
from mesh.genesis import mesh_id_of, missing_signatures, read_genesis
from mesh.member import open_card
from orgnode.cli.errors import CliError, UsageProblemError
from orgnode.cli.render import fields, table
from orgnode.cli.session import (
    Json,
    PassphraseFile,
    Session,
    SubData,
    open_keys,
    session_of,
)
from orgnode.datadir import DataDir, write_file
from orgnode.founding import (
    check_own_card,
    draft,
    install,
    read_fingerprint_key,
    read_genesis_file,
    read_given_file,
    sign,
)
from proofs.errors import ProofsError

app = typer.Typer(help="Found a mesh: draft its genesis, sign it, join it.", no_args_is_help=True)


class OutputExistsError(CliError):
    """A file of this name is there already; another mesh's genesis might be lost."""


class NotACardError(CliError):
    """A file that was given as a founder's card is none, or was changed."""


class UnsignedGenesisError(CliError):
    """Nobody has signed this copy of the genesis: there is nothing to join on."""


@app.command()
def create(
    ctx: typer.Context,
    cards: Annotated[
        list[Path], typer.Argument(help="Every founder's card.note.", metavar="CARD...")
    ],
    mesh_name: Annotated[str, typer.Option(help="What people call the mesh.")],
    out: Annotated[Path, typer.Option(help="Directory for genesis.note and fingerprint.key.")],
    as_json: Json = False,
) -> None:
    """Draft a genesis from the founders' cards, unsigned, with a fresh fingerprint key."""
    session = session_of(ctx)
    if len(cards) < MIN_MEMBERS:
        raise UsageProblemError(
            f"a mesh has at least {MIN_MEMBERS} founders",
            hint="give every founder's card.note; for production four or more",
        )
    genesis, key = out / "genesis.note", out / "fingerprint.key"
    for path in (genesis, key):
        if path.exists():
            raise OutputExistsError(
                f"{path} exists already", hint="name another --out directory, or move it away"
            )
    read = [read_given_file(card) for card in cards]
    for path, card in zip(cards, read, strict=True):
        try:
            open_card(card)
        except (MeshError, ProofsError) as error:
            raise NotACardError(
                f"{path} is no member card: {error}",
                hint="give the card.note that `orgnode init` made, unchanged",
            ) from None
    made = draft(mesh_name, read)
    out.mkdir(parents=True, exist_ok=True)
    DataDir(out).write_fingerprint_key(made.fingerprint_key)
    write_file(genesis, made.text.encode(), private=False)
    if session.output.as_json:
        session.output.item(
            {
                "mesh": mesh_id_of(made.text),
                **_summary(made.constraints),
                "genesis": str(genesis),
                "fingerprint_key": str(key),
            }
        )
        return
    _show(session, made.constraints, mesh_id_of(made.text))
    session.output.show(
        Text(
            f"\nWrote {genesis} and {key}.\n"
            "Next:\n"
            f"  1. Send {genesis} to every founder; each signs it:\n"
            "     orgnode genesis sign genesis.note\n"
            f"  2. Hand {key} to the founders privately: whoever has it can test guesses\n"
            "     against published tokens.\n"
            "  3. With all signed copies: orgnode genesis join COPY... --fingerprint-key FILE"
        )
    )


@app.command("sign")
def sign_command(
    ctx: typer.Context,
    genesis: Annotated[
        Path, typer.Argument(help="The genesis, signed by others or by nobody yet.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write it; in place by default.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Sign without asking.")] = False,
    passphrase_file: PassphraseFile = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Show the rules of a mesh, and add this node's signature to them."""
    session = session_of(ctx)
    session.datadir.check_exists()
    copy = read_genesis_file(genesis)
    constraints = read_genesis(copy)
    own = check_own_card(session.datadir, constraints)
    if not session.output.as_json:
        _show(session, constraints, mesh_id_of(copy))
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
    signed = sign(session.datadir, copy, open_keys(session, passphrase_file))
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
        session.output.say(
            f"All founders have signed. Next: orgnode genesis join {target} --fingerprint-key FILE"
        )


@app.command()
def join(
    ctx: typer.Context,
    copies: Annotated[
        list[Path], typer.Argument(help="One or more signed copies.", metavar="GENESIS...")
    ],
    fingerprint_key: Annotated[
        Path, typer.Option(help="The mesh's fingerprint.key, from whoever drafted the genesis.")
    ],
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
    mesh = install(session.datadir, notes, read_fingerprint_key(fingerprint_key))
    if session.output.as_json:
        session.output.item({"mesh": mesh.mesh_id, **_summary(mesh.constraints)})
        return
    session.output.say(f"Joined {mesh.constraints.name}", "bold green")
    session.output.show(
        fields(
            [
                ("mesh id", mesh.mesh_id),
                ("members", len(mesh.members)),
                ("signed by", "every founder"),
            ]
        )
    )
    session.output.say("Compare the mesh id with the other founders. Next: orgnode run")


def _summary(constraints: Constraints) -> dict[str, Any]:
    return {
        "name": constraints.name,
        "trial": constraints.trial,
        "quorum": constraints.quorum,
        "max_faulty": constraints.max_faulty,
        "members": [
            {
                "name": card.name,
                "control_group": card.control_group,
                "endpoint": f"{card.host}:{card.port}",
                "identity": card.identity,
            }
            for card in constraints.members
        ],
        "rubric": {
            "components": dict(constraints.rubric.components),
            "component_max": constraints.rubric.component_max,
        },
        "bands": {band.name: band.threshold for band in constraints.bands},
    }


def _show(session: Session, constraints: Constraints, mesh_id: str) -> None:
    output = session.output
    output.show(
        Text.assemble(
            (constraints.name, "bold"),
            (
                "  TRIAL: under 4 members, none may be faulty" if constraints.trial else "",
                "yellow",
            ),
        )
    )
    output.show(
        table(
            ("member", "control group", "endpoint", "identity key"),
            [
                (card.name, card.control_group, f"{card.host}:{card.port}", card.identity)
                for card in constraints.members
            ],
        )
    )
    rubric = constraints.rubric
    output.show(
        fields(
            [
                ("mesh id", mesh_id),
                (
                    "quorum",
                    f"{constraints.quorum} of {len(constraints.members)} members, "
                    f"{constraints.max_faulty} may be faulty",
                ),
                (
                    "rubric",
                    " + ".join(f"{weight}×{name}" for name, weight in rubric.components)
                    + f", each 0..{rubric.component_max}",
                ),
                (
                    "bands",
                    ", ".join(f"{band.name} ≥ {band.threshold}" for band in constraints.bands),
                ),
                (
                    "expiry",
                    f"{constraints.default_expiry_days} days, "
                    f"at most {constraints.max_expiry_days}",
                ),
            ]
        )
    )
