"""The `orgnode` command.

One module for each group of commands; `render` is what they print with, `errors` what their exit
codes mean, `session` what they share. Commands that talk to a node use `orgnode.client` and know no
more of it than any other program of the organization does.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from orgnode.cli import (
    alerts,
    backup,
    breaker,
    check,
    committee,
    doctor,
    evidence,
    feed,
    genesis,
    log,
    peers,
    policy,
    report,
    setup,
    sighting,
    signals,
    testnet,
    verify,
)
from orgnode.cli.errors import ErrorMappingGroup
from orgnode.cli.session import Data, Json, session_of
from orgnode.cli.vocabulary import CATEGORY_LIST

app = typer.Typer(
    name="orgnode",
    cls=ErrorMappingGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One organization's node in a mesh that warns of attacks on language models.\n\n"
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the node does not answer, "
    "4 verification failed; of check: 10 escalate, 11 block, 12 deny.",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"orgnode {version('signal-mesh')}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    data_dir: Data = None,
    as_json: Json = False,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    session_of(ctx)


_NODE = "Run a node"
_SIGNALS = "Publish and read"
_CHECKS = "Check texts"
_MESH = "The mesh"
app.command(rich_help_panel=_NODE)(setup.init)
app.command(rich_help_panel=_NODE)(setup.run)
app.command(rich_help_panel=_NODE)(doctor.doctor)
app.command(rich_help_panel=_NODE)(alerts.alerts)
app.command(rich_help_panel=_NODE)(backup.backup)
app.command(rich_help_panel=_NODE)(backup.restore)
app.command(rich_help_panel=_SIGNALS, epilog=f"Hazard codes: {CATEGORY_LIST}.")(report.report)
app.command(rich_help_panel=_SIGNALS)(feed.feed)
app.command(rich_help_panel=_SIGNALS)(signals.signals)
app.command(rich_help_panel=_SIGNALS)(signals.show)
app.command(rich_help_panel=_SIGNALS)(verify.verify)
app.command(rich_help_panel=_SIGNALS)(signals.retract)
app.command(rich_help_panel=_SIGNALS)(sighting.sighting)
app.command(rich_help_panel=_CHECKS)(check.check)
app.add_typer(policy.app, name="policy", rich_help_panel=_CHECKS)
app.add_typer(breaker.app, name="breaker", rich_help_panel=_CHECKS)
app.command(rich_help_panel=_MESH)(peers.peers)
app.command(rich_help_panel=_MESH)(committee.committee)
app.command(rich_help_panel=_MESH)(evidence.evidence)
app.add_typer(log.app, name="log", rich_help_panel=_MESH)
app.add_typer(genesis.app, name="genesis", rich_help_panel=_MESH)
app.add_typer(testnet.app, name="testnet", rich_help_panel=_MESH)


def main() -> None:
    """Run the command line; ends the process with the command's exit code."""
    app()
