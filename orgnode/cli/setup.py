"""`orgnode init` and `orgnode run`: make a node, and be one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from orgnode.cli.errors import UsageProblemError
from orgnode.cli.render import fields
from orgnode.cli.session import Json, PassphraseFile, SubData, given_passphrase, session_of
from orgnode.config import NodeConfig
from orgnode.datadir import RunInfo
from orgnode.founding import create_node


def init(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Option(help="The organization's name in the mesh, like acme.example.")
    ],
    host: Annotated[str, typer.Option(help="Host name or address that peers connect to.")],
    control_group: Annotated[
        str,
        typer.Option(
            help="Who owns the organization; members of one owner count as one source. "
            "By default the name.",
            show_default=False,
        ),
    ] = "",
    port: Annotated[int, typer.Option(help="Port that peers connect to.")] = 8461,
    local_port: Annotated[
        int, typer.Option(help="Port of the local API, on loopback; 0 for any free one.")
    ] = 8460,
    listen: Annotated[str, typer.Option(help="Address to take peers' connections on.")] = "0.0.0.0",  # noqa: S104 - peers come from elsewhere; mutual TLS stands before it
    passphrase_file: PassphraseFile = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Make a node's keys, settings and member card. Never overwrites a node."""
    session = session_of(ctx)
    if port == local_port:
        raise UsageProblemError(
            f"peers and the local API can't both have port {port}",
            hint="give --port and --local-port different numbers",
        )
    try:
        config = NodeConfig(
            name=name,
            control_group=control_group or name,
            local_port=local_port,
            federation_host=listen,
            federation_port=port,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        option = {"federation_port": "port", "federation_host": "listen"}.get(
            str(first["loc"][0]), str(first["loc"][0])
        )
        raise UsageProblemError(
            f"--{option.replace('_', '-')}: {first['msg'].removeprefix('Value error, ')}",
            hint="see `orgnode init --help`",
        ) from None
    passphrase = given_passphrase(passphrase_file)
    card = create_node(session.datadir, config, host=host, port=port, passphrase=passphrase)
    directory = session.datadir.path
    if session.output.as_json:
        session.output.item(
            {
                "name": card.name,
                "data_dir": str(directory),
                "card": str(session.datadir.card),
                "endpoint": f"{card.host}:{card.port}",
                "identity": card.identity,
                "passphrase": passphrase is not None,
            }
        )
        return
    session.output.say(f"Made a node for {card.name} in {directory}", "bold green")
    session.output.show(
        fields(
            [
                ("card", str(session.datadir.card)),
                ("peers reach it at", f"{card.host}:{card.port}"),
                ("identity key", card.identity),
                ("keys", "under your passphrase" if passphrase else "not under a passphrase"),
            ]
        )
    )
    if passphrase is None:
        session.output.notice(
            "Whoever gets the disk gets the keys and the vault. For a passphrase, start over with "
            "--passphrase-file.",
            "yellow",
        )
    session.output.show(
        Text(
            "\nNext:\n"
            f"  1. Send {session.datadir.card} to the other founders (it holds no secret).\n"
            "  2. One of you:         orgnode genesis propose --mesh-name NAME --out DIR CARD...\n"
            "  3. Each of you, twice: orgnode genesis keygen DIR\n"
            "  4. One of you:         orgnode genesis create DIR\n"
            "  5. Each of you:        orgnode genesis sign DIR/genesis.note\n"
            "  6. Each of you:        orgnode genesis join DIR/genesis.note\n"
            "  7. Each of you:        orgnode run"
        )
    )


def run(
    ctx: typer.Context,
    passphrase_file: PassphraseFile = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Run the node until it gets SIGTERM or Ctrl-C; then it drains and stops."""
    # Imported here: the other commands need no server, and start in half the time without.
    from orgnode import logs
    from orgnode.config import load_config
    from orgnode.node import run_node

    session = session_of(ctx)
    session.datadir.check_exists()
    config = load_config(session.datadir)
    style = "json" if session.output.as_json else config.log_format
    logs.configure(config.log_level, style, secrets=[_token(session.datadir.token)])

    def ready(info: RunInfo) -> None:
        if session.output.as_json:
            session.output.item(
                {
                    "ready": True,
                    "pid": info.pid,
                    "local_url": f"http://{info.local_host}:{info.local_port}",
                    "federation_port": info.federation_port,
                }
            )
        else:
            session.output.say(
                f"{config.name} is running: local API http://{info.local_host}:{info.local_port}, "
                f"peers on port {info.federation_port}",
                "bold green",
            )

    asyncio.run(
        run_node(session.datadir, passphrase=given_passphrase(passphrase_file), ready=ready)
    )


def _token(path: Path) -> str:
    # Only to mask it in log lines; a token that is missing or broken is the node's to refuse.
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
