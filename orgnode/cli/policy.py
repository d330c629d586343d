"""`orgnode policy`: what checks on this node may do. Works with the node running or not.

Every command but `show` edits files of the data directory; a running node sees the change with its
next check.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from orgnode.api.check_models import PolicyAnswer
from orgnode.checking import editing
from orgnode.checking.errors import PolicyError
from orgnode.checking.policy import FailName, ModeName, Policy, PolicySettings
from orgnode.checking.texts import ALLOWED, TEMPLATES
from orgnode.cli.errors import UsageProblemError
from orgnode.cli.render import Cell, fields, table
from orgnode.cli.report import NoTextError
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.client import NodeClient, NodeUnreachableError

app = typer.Typer(no_args_is_help=True, help="What checks on this node may do.")
allow = typer.Typer(no_args_is_help=True, help="Texts whose windows are never matched here.")
template = typer.Typer(no_args_is_help=True, help="Own prompt templates, left out of every check.")
app.add_typer(allow, name="allow")
app.add_typer(template, name="template")

Route = Annotated[
    str | None, typer.Option(help="Only on this route.", show_default=False, metavar="NAME")
]
Tenant = Annotated[
    str | None, typer.Option(help="Only for this tenant.", show_default=False, metavar="NAME")
]
TextFile = Annotated[Path, typer.Argument(help="UTF-8 text.", metavar="FILE")]
TextName = Annotated[
    str | None, typer.Option(help="Name to keep it under; the file's by default.", metavar="NAME")
]
GivenName = Annotated[str, typer.Argument(help="The text's name.", metavar="NAME")]


@app.command()
def show(ctx: typer.Context, data_dir: SubData = None, as_json: Json = False) -> None:
    """Show the rules in force, from the running node, or else from the files."""
    session = session_of(ctx)
    session.datadir.check_exists()
    session.run(_show(session))


@app.command()
def mode(
    ctx: typer.Context,
    to: Annotated[ModeName, typer.Argument(metavar="monitor|enforce")],
    route: Route = None,
    tenant: Tenant = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Only report findings (monitor), or let them be answers (enforce)."""
    session = session_of(ctx)
    settings = _load(session)
    _save(session, editing.with_mode(settings, to, _name(route), _name(tenant)))


@app.command()
def fail(
    ctx: typer.Context,
    to: Annotated[FailName, typer.Argument(metavar="deny|allow|escalate")],
    route: Route = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Choose the answer for when the mesh can't verify. `allow` is to fail open."""
    session = session_of(ctx)
    _save(session, editing.with_fail(_load(session), to, _name(route)))


@app.command("kill-switch")
def kill_switch(
    ctx: typer.Context,
    to: Annotated[Literal["on", "off"], typer.Argument(metavar="on|off")],
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Allow every text at once (on), or check again (off). `on` works with a broken file too."""
    session = session_of(ctx)
    try:
        settings = _load(session)
    except PolicyError as error:
        if to == "off":
            raise
        kept = editing.set_aside(session.datadir.path)
        _save(session, PolicySettings(kill_switch=True))
        session.output.notice(
            f"The broken rules are kept as {kept}: {error}. Mend them before you switch off: "
            "without them nothing is enforced.",
            "bold yellow",
        )
        return
    _save(session, settings.model_copy(update={"kill_switch": to == "on"}))


@allow.command("add")
def allow_add(
    ctx: typer.Context,
    file: TextFile,
    name: TextName = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Never match any part of this text."""
    _add(session_of(ctx), ALLOWED, file, name)


@allow.command("remove")
def allow_remove(
    ctx: typer.Context, name: GivenName, data_dir: SubData = None, as_json: Json = False
) -> None:
    """Match this text again."""
    _remove(session_of(ctx), ALLOWED, name)


@allow.command("list")
def allow_list(ctx: typer.Context, data_dir: SubData = None, as_json: Json = False) -> None:
    """List the allowed texts by name."""
    _list(session_of(ctx), ALLOWED)


@template.command("add")
def template_add(
    ctx: typer.Context,
    file: TextFile,
    name: TextName = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Leave this prompt template out of checks, and out of what is published."""
    _add(session_of(ctx), TEMPLATES, file, name)


@template.command("remove")
def template_remove(
    ctx: typer.Context, name: GivenName, data_dir: SubData = None, as_json: Json = False
) -> None:
    """No longer leave this template out."""
    _remove(session_of(ctx), TEMPLATES, name)


@template.command("list")
def template_list(ctx: typer.Context, data_dir: SubData = None, as_json: Json = False) -> None:
    """List the templates by name."""
    _list(session_of(ctx), TEMPLATES)


async def _show(session: Session) -> None:
    running = True
    try:
        async with NodeClient.from_datadir(session.datadir.path) as node:
            found = await node.policy()
    except NodeUnreachableError:
        running, found = False, _from_files(session)
    output = session.output
    if output.as_json:
        output.item({**found.model_dump(), "running": running})
        return
    pairs: list[tuple[str, Cell]] = [
        ("mode", found.mode),
        ("if the mesh can't verify", found.fail),
        ("kill switch", "ON: nothing is checked" if found.kill_switch else "off"),
        ("sampled", f"{found.sample_rate:.2%} of the checks without a risk score"),
        ("longest text", f"{found.max_characters} characters"),
        ("patience", f"{found.regional_ms} ms regional, {found.global_ms} ms global"),
        ("most asked of the committee", f"{found.max_evaluations} parts of a text"),
        ("trusted issuers", ", ".join(found.trusted) or "none"),
        ("ignored signals", ", ".join(found.ignored) or "none"),
        ("own templates", found.templates),
        ("allowed texts", found.allowed),
    ]
    output.show(fields(pairs))
    if found.rules:
        output.show(
            table(
                ("route", "tenant", "mode", "fail"),
                [(one.route, one.tenant, one.mode, one.fail) for one in found.rules],
            )
        )
    for line in filter(None, (found.problem, *found.warnings)):
        output.notice(line, "bold red")
    if not running:
        output.say("The node does not run; these rules apply when it starts.", "dim")


def _from_files(session: Session) -> PolicyAnswer:
    directory = session.datadir.path
    counts = [len(editing.texts(directory, kind)) for kind in (TEMPLATES, ALLOWED)]
    policy = Policy(editing.load(directory), templates=counts[0], allowed=counts[1])
    return PolicyAnswer.of(policy)


def _load(session: Session) -> PolicySettings:
    session.datadir.check_exists()
    return editing.load(session.datadir.path)


def _save(session: Session, settings: PolicySettings) -> None:
    editing.save(session.datadir.path, settings)
    _done(session, "The policy is changed; it applies from the next check on.")


def _add(session: Session, kind: editing.TextKind, file: Path, name: str | None) -> None:
    session.datadir.check_exists()
    try:
        data = file.read_bytes()
    except OSError as error:
        raise NoTextError(
            f"cannot read {file}: {error.strerror or type(error).__name__}",
            hint="check the file's name and permissions",
        ) from None
    added = editing.add_text(session.datadir.path, kind, name or file.stem, data)
    _done(session, "Added; it applies within moments." if added else "It was there already.")


def _remove(session: Session, kind: editing.TextKind, name: str) -> None:
    session.datadir.check_exists()
    editing.remove_text(session.datadir.path, kind, name)
    _done(session, "Removed; that applies within moments.")


def _list(session: Session, kind: editing.TextKind) -> None:
    session.datadir.check_exists()
    names = editing.texts(session.datadir.path, kind)
    session.output.rows(("name",), [{"name": one} for one in names], [(one,) for one in names])


def _done(session: Session, text: str) -> None:
    if session.output.as_json:
        session.output.item({"changed": text})
    else:
        session.output.say(text, "bold green")


def _name(given: str | None) -> str | None:
    if given == "":
        raise UsageProblemError("a name is empty", hint="leave the option out to mean all")
    return given
