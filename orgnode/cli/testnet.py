"""`orgnode testnet`: a mesh of several organizations on this machine, for trying out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from orgnode.cli.errors import INTERRUPTED, exit_code, report_error
from orgnode.cli.render import clean, progress
from orgnode.cli.session import Json, Session, session_of
from orgnode.testnet import NodeStartError, OrgStatus, TestNetwork

app = typer.Typer(
    help="A mesh of several organizations on this machine, for trying out.", no_args_is_help=True
)

Directory = Annotated[Path, typer.Option("--dir", help="Directory of the test network.")]

STATE_STYLES = {"running": "green", "starting": "yellow", "stopped": "dim", "crashed": "bold red"}


@app.command()
def up(
    ctx: typer.Context,
    directory: Directory,
    orgs: Annotated[
        int | None, typer.Option(help="How many organizations; 5 by default.", show_default=False)
    ] = None,
    maverick: Annotated[
        bool,
        typer.Option(
            "--maverick",
            help="Of a new network, let the last organization's node forge signals: incidents "
            "whose reference begins with forge.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make keys, genesis and ports, and start a node process for each organization.

    Run again, it starts what has stopped.
    """
    session = session_of(ctx)
    mavericks = [(5 if orgs is None else orgs) - 1] if maverick else []
    network = TestNetwork.open_or_create(directory, orgs, mavericks=mavericks)
    try:
        with progress(session.output.err, quiet=session.output.as_json) as bar:
            task = bar.add_task("starting", total=len(network.orgs))
            session.run(network.up(ready=lambda _: bar.advance(task)))
    except NodeStartError as error:
        if session.output.as_json:
            raise
        report_error(session.output, error)
        session.output.notice("the last lines of its log:")
        for line in error.lines:
            session.output.notice(f"  {clean(line)}")
        raise typer.Exit(exit_code(error)) from None
    except KeyboardInterrupt:
        network.down()
        raise typer.Exit(INTERRUPTED) from None
    _show(session, network)
    first = network.orgs[0].directory
    session.output.say(
        f"\nTry: orgnode --data-dir {first} feed --follow\n"
        f"     orgnode --data-dir {network.orgs[-1].directory} report --file FILE.csv\n"
        f"End: orgnode testnet down --dir {network.directory}"
    )


@app.command()
def status(ctx: typer.Context, directory: Directory, as_json: Json = False) -> None:
    """Show every organization's node."""
    _show(session_of(ctx), TestNetwork.open(directory))


@app.command()
def down(
    ctx: typer.Context,
    directory: Directory,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete the network's files too, keys and all.")
    ] = False,
    as_json: Json = False,
) -> None:
    """End the node processes that `up` started, and no other."""
    session = session_of(ctx)
    network = TestNetwork.open(directory)
    running = [org.name for org in network.orgs if org.alive]
    killed = network.down()
    if remove:
        network.remove()
    if session.output.as_json:
        session.output.item({"ended": running, "killed": killed, "removed": remove})
        return
    session.output.say(
        f"Ended {len(running)} node{'' if len(running) == 1 else 's'}.", "bold green"
    )
    for name in killed:
        session.output.notice(f"{name} did not drain in time and was killed", "yellow")


def _show(session: Session, network: TestNetwork) -> None:
    found = network.status()
    session.output.rows(
        ("org", "state", "process", "local API", "peers' port", "data directory"),
        [_json(one) for one in found],
        [
            [
                f"{one.name}{' (maverick)' if one.maverick else ''}",
                Text(one.state, style=STATE_STYLES.get(one.state, "")),
                one.pid,
                one.local_url,
                one.federation_port,
                str(one.directory),
            ]
            for one in found
        ],
        right="process,peers' port",
        spare="peers' port,process,local API",
    )


def _json(one: OrgStatus) -> dict[str, object]:
    return {
        "name": one.name,
        "state": one.state,
        "pid": one.pid,
        "local_url": one.local_url,
        "federation_port": one.federation_port,
        "maverick": one.maverick,
        "data_dir": str(one.directory),
    }
