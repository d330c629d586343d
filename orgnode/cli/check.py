"""`orgnode check`: is this text a known attack?"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from orgnode.api.check_models import CheckAnswer
from orgnode.cli.errors import BLOCK, DENY, ESCALATE, UsageProblemError
from orgnode.cli.render import Cell, clean, fields, fitted, short_id
from orgnode.cli.report import NoTextError, TextEncodingError
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.client import NodeClient

EXIT_CODES: Final = {"allow": 0, "escalate": ESCALATE, "block": BLOCK, "deny": DENY}
"""The process's exit code for each answer."""

TIERS: Final = {
    "local": "local: what was promoted; nobody else was asked",
    "regional": "regional: the committee is asked",
    "global": "global: as regional, with more time",
}
"""What each tier is, as the operator's guide names it."""

STYLES: Final = {"allow": "green", "escalate": "yellow", "block": "bold red", "deny": "red"}


def check(
    ctx: typer.Context,
    text: Annotated[
        str | None,
        typer.Argument(
            help="The text; - for standard input. Other users of this machine may see it in the "
            "list of processes: --file or standard input are better.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="File with the text.", show_default=False)
    ] = None,
    route: Annotated[
        str | None, typer.Option(help="Route of the policy to check under.", show_default=False)
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Tenant of the policy to check for.", show_default=False)
    ] = None,
    risk: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Your own suspicion: from 0.3 on the mesh's committee is asked.",
            show_default=False,
        ),
    ] = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Ask whether a text is a known attack, and what this node's policy makes of it.

    Exit code 0: allow; 10: escalate to a person; 11: block; 12: deny, the mesh could not verify.
    """
    session = session_of(ctx)
    session.run(_check(session, _text_of(text, file), route, tenant, risk))


def _text_of(text: str | None, file: Path | None) -> str:
    if text is not None and file is not None:
        raise UsageProblemError("give either the text or --file", hint="not both")
    if text is not None and text != "-":
        return text
    if file is None and sys.stdin.isatty():
        raise NoTextError("there is no text", hint="give --file FILE, or pipe the text in")
    try:
        data = sys.stdin.buffer.read() if file is None else file.read_bytes()
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise TextEncodingError("the text is not UTF-8", hint="convert it, with iconv") from None
    except OSError as error:
        raise NoTextError(
            f"cannot read {file}: {error.strerror or type(error).__name__}",
            hint="check the file's name and permissions",
        ) from None


async def _check(
    session: Session, text: str, route: str | None, tenant: str | None, risk: float | None
) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        checked = await node.check(text, route=route, tenant=tenant, risk=risk)
    if session.output.as_json:
        session.output.item(checked.model_dump())
    else:
        _show(session, checked)
    raise typer.Exit(EXIT_CODES[checked.answer])


def _show(session: Session, checked: CheckAnswer) -> None:
    output = session.output
    pairs: list[tuple[str, Cell]] = [("answer", _verdict(checked.answer))]
    if checked.mode == "monitor":
        pairs.append(("finding", _verdict(checked.finding)))
    pairs += [
        ("why", checked.reason),
        ("mode", f"{checked.mode} (route {checked.route})"),
        ("tier", TIERS[checked.tier]),
        ("parts looked up", f"{checked.windows}, {len(checked.tokens)} of them known"),
        ("took", f"{checked.took_ms:.1f} ms"),
    ]
    pairs += [("note", note) for note in checked.notes]
    if checked.check is not None:
        pairs.append(("if that is wrong", f"orgnode breaker judge {checked.check} benign"))
    output.show(fields(pairs))
    if checked.mode == "monitor" and checked.finding != "allow":
        output.say("This route only monitors: the finding changes nothing.", "dim")
    signals = {source.signal: source for token in checked.tokens for source in token.sources}
    held = Counter(source.signal for token in checked.tokens for source in token.sources)
    if signals:
        output.say("")
        output.show(
            fitted(
                (
                    "signal",
                    "issuer",
                    "control group",
                    "band",
                    "category",
                    "technique",
                    "parts",
                    "confirmed",
                ),
                [
                    (
                        short_id(one.signal),
                        one.issuer,
                        one.control_group,
                        one.band,
                        one.category,
                        one.technique,
                        held[one.signal],
                        "yes" if one.confirmed else "no",
                    )
                    for one in signals.values()
                ],
                width=output.out.width,
                right="parts",
                spare="technique,category,band",
            )
        )


def _verdict(name: str) -> Text:
    return Text(clean(name), style=STYLES.get(name, ""))
