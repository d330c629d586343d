"""`orgnode breaker`: what was blocked here, and what of it should not have been."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from orgnode.api.breaker_models import BreakerAnswer, JudgementAnswer, JudgeName, OpinionName
from orgnode.cli.errors import CliError, UsageProblemError
from orgnode.cli.render import fields, moment, short_id, table
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.client import NodeClient

app = typer.Typer(help="What was blocked here, and what of it should not have been.")

MIN_PREFIX: Final = 6
SHOWN: Final = 20
"""How many blocked checks are listed for a person."""


class UnknownBlockedCheckError(CliError):
    """No blocked check begins with these digits."""


class NotInShadowError(CliError):
    """No token in shadow begins with these digits."""


class AmbiguousDigitsError(CliError):
    """More than one begins with these digits."""


@app.callback(invoke_without_command=True)
def show(ctx: typer.Context, data_dir: SubData = None, as_json: Json = False) -> None:
    """Show the tokens that don't block here, how much is blocked, and what can be judged."""
    session = session_of(ctx)
    if ctx.invoked_subcommand is None:
        session.run(_show(session))


@app.command()
def judge(
    ctx: typer.Context,
    check: Annotated[
        str, typer.Argument(help="The check's id, or its first digits.", metavar="CHECK")
    ],
    verdict: Annotated[OpinionName, typer.Argument(metavar="benign|malicious")],
    by: Annotated[
        JudgeName, typer.Option(help="Who says so: person or evaluator.", metavar="WHO")
    ] = "person",
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Say what a blocked text turned out to be.

    Three diverse texts that are judged benign keep the tokens that they share from blocking here.
    """
    session = session_of(ctx)
    session.run(_judge(session, check, verdict, by))


@app.command()
def lift(
    ctx: typer.Context,
    token: Annotated[str, typer.Argument(help="The token, or its first digits.", metavar="TOKEN")],
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Have a token block again."""
    session = session_of(ctx)
    session.run(_lift(session, token))


async def _show(session: Session) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        breaker = await node.breaker()
    if session.output.as_json:
        session.output.item(breaker.model_dump())
        return
    output = session.output
    volume = f"{breaker.blocked} within {breaker.seconds // 60} minutes"
    output.show(
        fields(
            [
                ("found to be a block", f"{volume}: many" if breaker.alarm else volume),
                ("tokens that can't block", len(breaker.shadow)),
            ]
        )
    )
    if breaker.alarm:
        output.say(
            "Many blocks alone change nothing. If they are no attacks, judge some of them.",
            "bold yellow",
        )
    if breaker.shadow:
        rows = [
            (one.token[:16], moment(one.since), ", ".join(short_id(id_) for id_ in one.checks))
            for one in breaker.shadow
        ]
        output.show(table(("token in shadow", "since", "because these were benign"), rows))
    blocked = [*breaker.waiting[:SHOWN], *breaker.judged[:SHOWN]]
    if blocked:
        checks = [
            (
                short_id(one.check),
                moment(one.at),
                one.tokens,
                "not yet" if one.verdict is None else f"{one.verdict}, by {one.by}",
            )
            for one in blocked
        ]
        output.show(table(("blocked check", "first", "tokens", "judged"), checks, right="tokens"))


async def _judge(session: Session, given: str, verdict: OpinionName, by: JudgeName) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        check = given
        if len(given) != 32:
            check = _one(given, _checks(await node.breaker()), UnknownBlockedCheckError, "check")
        judged = await node.judge(check, verdict, by=by)
    if session.output.as_json:
        session.output.item(judged.model_dump())
        return
    session.output.say(f"Judged {judged.verdict}.", "bold green")
    if judged.shadowed:
        session.output.say(
            f"{len(judged.shadowed)} of its tokens can't block here any more; `orgnode breaker` "
            "lists them.",
            "bold yellow",
        )
    elif judged.verdict == "benign" and judged.upheld:
        session.output.say(_upheld(judged), "dim")
    elif judged.verdict == "benign" and not judged.in_shadow:
        session.output.say(
            "Its tokens still block: it takes three texts that share little else. To let this one "
            "through at once: `orgnode policy allow add`.",
            "dim",
        )
    elif judged.in_shadow:
        session.output.say(
            f"{len(judged.in_shadow)} of its tokens can't block here; `orgnode breaker lift TOKEN` "
            "has one block again.",
            "dim",
        )


def _upheld(judged: JudgementAnswer) -> str:
    """Why a benign judgement has not put the tokens in shadow that a person stood by."""
    why = "had them block again, or judged a text with them malicious"
    if judged.malicious:
        why = f"judged {', '.join(map(short_id, judged.malicious))} malicious"
    return (
        f"{len(judged.upheld)} of its tokens still block, because a person {why}: what was judged "
        "benign before that does not count for them. It takes three texts that share little else, "
        "judged benign by persons since. To let this one through at once: `orgnode policy allow "
        "add`."
    )


async def _lift(session: Session, given: str) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        token = given
        if len(given) != 64:
            held = [one.token for one in (await node.breaker()).shadow]
            token = _one(given, held, NotInShadowError, "token in shadow")
        lifted = await node.lift(token)
    if session.output.as_json:
        session.output.item(lifted.model_dump())
        return
    session.output.say(f"{lifted.token[:16]} blocks again.", "bold green")


def _checks(breaker: BreakerAnswer) -> list[str]:
    return [one.check for one in (*breaker.waiting, *breaker.judged)]


def _one(given: str, known: Sequence[str], missing: type[CliError], what: str) -> str:
    digits = given.strip().lower()
    if len(digits) < MIN_PREFIX or set(digits) - set("0123456789abcdef"):
        raise UsageProblemError(
            f"give at least {MIN_PREFIX} hex digits of the {what}", hint="see `orgnode breaker`"
        )
    found = sorted({one for one in known if one.startswith(digits)})
    if not found:
        raise missing(
            f"no {what} begins with {digits[:64]}", hint="list them with `orgnode breaker`"
        )
    if len(found) > 1:
        raise AmbiguousDigitsError(
            f"{len(found)} of them begin with {digits}", hint="give more digits"
        )
    return found[0]
