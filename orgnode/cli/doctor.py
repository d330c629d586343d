"""`orgnode doctor`: check everything that a node needs, and say what to do about what is wrong."""

from __future__ import annotations

from typing import Any, Final

import typer
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orgnode.cli.checks import Check, Verdict
from orgnode.cli.errors import FAILED
from orgnode.cli.network_checks import run_checks
from orgnode.cli.render import clean
from orgnode.cli.session import Json, PassphraseFile, SubData, given_passphrase, session_of

MARKS = {
    Verdict.GOOD: ("✓", "bold green"),
    Verdict.WARNING: ("!", "bold yellow"),
    Verdict.BAD: ("✗", "bold red"),
    Verdict.SKIPPED: ("–", "dim"),
}

_NAME: Final = 23
"""Columns for the name of a check."""


def doctor(
    ctx: typer.Context,
    passphrase_file: PassphraseFile = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Check this node from its files to its peers; works whether it runs or not.

    Exit code 1 if something must be repaired.
    """
    session = session_of(ctx)
    output = session.output
    passphrase = given_passphrase(passphrase_file)
    bad = warnings = 0
    for check in run_checks(session.datadir, passphrase):
        bad += check.verdict is Verdict.BAD
        warnings += check.verdict is Verdict.WARNING
        if output.as_json:
            output.item(_json(check))
        else:
            output.show(_shown(check))
    if not output.as_json:
        noted = f"; {warnings} warning{'s' * (warnings != 1)}." if warnings else "."
        if bad:
            output.say(f"\n{bad} to repair{noted}", "bold red")
        else:
            output.say(
                f"\nNothing to repair here{noted}", "bold yellow" if warnings else "bold green"
            )
    if bad:
        raise typer.Exit(FAILED)


def _shown(check: Check) -> Group:
    """The check as lines; where a detail or a hint is folded, it stays in its column."""
    mark, style = MARKS[check.verdict]
    line = Table.grid(padding=(0, 1))
    line.add_column(width=1)
    line.add_column(width=_NAME, overflow="fold")
    line.add_column(overflow="fold")
    line.add_row(Text(mark, style), Text(clean(check.name), "bold"), Text(clean(check.detail)))
    if not check.hint:
        return Group(line)
    hint = Table.grid(padding=(0, 1))
    hint.add_column(width=1)
    hint.add_column(overflow="fold")
    hint.add_row(Text("→", "yellow"), Text(clean(check.hint), "yellow"))
    return Group(line, Padding(hint, (0, 0, 0, 4)))


def _json(check: Check) -> dict[str, Any]:
    return {
        "check": check.name,
        "verdict": check.verdict.value,
        "detail": check.detail,
        "hint": check.hint,
    }
