"""`orgnode doctor`: check everything that a node needs, and say what to do about what is wrong."""

from __future__ import annotations

from typing import Any

import typer
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
    bad = 0
    for check in run_checks(session.datadir, passphrase):
        bad += check.verdict is Verdict.BAD
        if output.as_json:
            output.item(_json(check))
        else:
            mark, style = MARKS[check.verdict]
            output.show(
                Text.assemble(
                    (f"{mark} ", style), (f"{check.name:<24}", "bold"), clean(check.detail)
                )
            )
            if check.hint:
                output.show(Text(f"    → {clean(check.hint)}", style="yellow"))
    if not output.as_json:
        if bad:
            output.say(f"\n{bad} to repair.", "bold red")
        else:
            output.say("\nNothing to repair.", "bold green")
    if bad:
        raise typer.Exit(FAILED)


def _json(check: Check) -> dict[str, Any]:
    return {
        "check": check.name,
        "verdict": check.verdict.value,
        "detail": check.detail,
        "hint": check.hint,
    }
