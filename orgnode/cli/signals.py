"""`orgnode signals`, `show`, `retract`: what was published, here and at peers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mesh.taxonomy import RETRACTION_REASONS
from orgnode.api.models import MAX_PAGE, BandName, SignalAnswer, SignalDetailAnswer, StatusName
from orgnode.cli.errors import CliError, UsageProblemError
from orgnode.cli.render import Cell, band_text, fields, moment, short_id, table
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.cli.signal_view import certification, details, opinions, standing
from orgnode.cli.vocabulary import check_member, known_category
from orgnode.client import ApiError, NodeClient

SignalId = Annotated[
    str, typer.Argument(help="The signal's id, or its first digits (at least 6).", metavar="ID")
]

MIN_PREFIX = 6
ID_DIGITS = 64


class AmbiguousIdError(CliError):
    """More than one signal's id begins with these digits."""


class UnknownIdError(CliError):
    """No signal's id begins with these digits."""


class RefusedSignalError(CliError):
    """This id is of an entry that did not hold; its content is not shown."""


def signals(
    ctx: typer.Context,
    min_band: Annotated[
        BandName | None, typer.Option(help="Only this band and above.", show_default=False)
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(help="Only this hazard code.", callback=known_category, show_default=False),
    ] = None,
    issuer: Annotated[
        str | None, typer.Option(help="Only this member's.", show_default=False)
    ] = None,
    status: Annotated[
        StatusName | None, typer.Option(help="Only with this status.", show_default=False)
    ] = None,
    provisional: Annotated[
        bool,
        typer.Option("--provisional", help="Those too that no quorum of members has cosigned yet."),
    ] = False,
    suspended: Annotated[
        bool,
        typer.Option("--suspended", help="Those too of members that showed two histories."),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    refused: Annotated[
        bool, typer.Option("--refused", help="Peers' entries that did not hold, and why.")
    ] = False,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """List signals, own ones and verified ones of peers, newest first.

    Only those that count: a quorum of members holds them, and their issuer is not suspended.
    """
    session = session_of(ctx)
    if refused:
        if min_band or category or status or provisional or suspended:
            raise UsageProblemError(
                "nothing about a refused entry is proven, so it has no band, category or status",
                hint="filter by --issuer only",
            )
        session.run(_refused(session, issuer, limit))
        return
    wanted = {
        "min_band": min_band,
        "category": category,
        "issuer": issuer,
        "status": status,
        "provisional": provisional,
        "suspended": suspended,
    }
    session.run(_list(session, wanted, limit))


async def _list(session: Session, wanted: dict[str, Any], limit: int) -> None:
    found: list[SignalAnswer] = []
    cursor: int | None = None
    async with NodeClient.from_datadir(session.datadir.path) as node:
        await _check_member(node, wanted["issuer"])
        while len(found) < limit:
            page = await node.signals(
                **wanted, limit=min(MAX_PAGE, limit - len(found)), cursor=cursor
            )
            found += page.signals
            cursor = page.next
            if cursor is None:
                break
    session.output.rows(
        ("id", "day", "issuer", "band", "category", "technique", "conf", "status", "received"),
        [signal.model_dump() for signal in found],
        [_row(signal) for signal in found],
        right="conf",
        spare="day,received,conf,technique,category",
        empty="no signal matches",
    )


def _row(signal: SignalAnswer) -> list[Cell]:
    return [
        short_id(signal.id),
        signal.day,
        f"{signal.issuer} (own)" if signal.own else signal.issuer,
        band_text(signal.band),
        signal.category,
        signal.technique,
        signal.confidence,
        standing(signal),
        moment(signal.received),
    ]


async def _refused(session: Session, issuer: str | None, limit: int) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        await _check_member(node, issuer)
        found = await node.refusals(issuer=issuer, limit=min(MAX_PAGE, limit))
    session.output.rows(
        ("id", "issuer", "index", "check", "reason"),
        [one.model_dump() for one in found],
        [[short_id(one.id), one.issuer, one.index, one.error, one.reason] for one in found],
        right="index",
        spare="index",
        prose="reason",
        empty="nothing was refused",
    )


async def _check_member(node: NodeClient, name: str | None) -> None:
    """Refuse a name that no list could hold anything of: a slip of the finger is no quiet member.

    :raises UnknownMemberError: the mesh has no such member.
    """
    if name is None:
        return
    own = (await node.status()).name
    members = [own, *(peer.name for peer in await node.peers())]
    check_member(name, members)


def show(
    ctx: typer.Context, signal: SignalId, data_dir: SubData = None, as_json: Json = False
) -> None:
    """Show everything that a signal says, who met the same, and what people said of it."""
    session = session_of(ctx)
    session.run(_show(session, signal))


async def _show(session: Session, given: str) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        signal = await found_signal(node, given)
    if session.output.as_json:
        session.output.item(signal.model_dump())
        return
    session.output.show(fields([*details(signal), *certification(signal), *opinions(signal)]))
    if signal.sharing:
        rows = [(short_id(one.signal), one.issuer, one.tokens) for one in signal.sharing]
        columns = ("signal", "issuer", "shared tokens")
        session.output.show(table(columns, rows, right="shared tokens"))


def retract(
    ctx: typer.Context,
    signal: SignalId,
    reason: Annotated[
        str, typer.Option(help=f"One of {', '.join(RETRACTION_REASONS)}; published.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Retract without asking.")] = False,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Withdraw an own signal: its content is erased here and at every peer. Can't be undone."""
    session = session_of(ctx)
    if reason not in RETRACTION_REASONS:
        raise UsageProblemError(
            f"a reason is one of {', '.join(RETRACTION_REASONS)}",
            hint="; ".join(f"{name}: {title}" for name, title in RETRACTION_REASONS.items()),
        )
    if not yes and session.output.as_json:
        raise UsageProblemError("--json cannot ask whether you are sure", hint="add --yes")
    session.run(_retract(session, signal, reason, yes))


async def _retract(session: Session, given: str, reason: str, yes: bool) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        signal = await found_signal(node, given)
        if not yes and signal.own and signal.status == "live":
            session.output.show(fields(details(signal)[:6]))
            typer.confirm("Retract this signal for good?", abort=True)
        done = await node.retract(signal.id, reason)
    if session.output.as_json:
        session.output.item(done.model_dump())
        return
    session.output.say(f"Retracted {signal.id}", "bold green")
    session.output.say(
        "Peers erase its content as soon as the retraction reaches them, and give a receipt: "
        f"`orgnode show {signal.id[:12]}` lists them."
    )


async def found_signal(node: NodeClient, given: str) -> SignalDetailAnswer:
    """The signal that is meant by an id or its first digits.

    :raises UnknownIdError, AmbiguousIdError: none, or more than one.
    :raises RefusedSignalError: the entry did not hold.
    """
    wanted = await resolve(node, given)
    try:
        return await node.signal(wanted)
    except ApiError as error:
        if error.code != "UnknownSignalError":
            raise
        raise await unknown(node, wanted) from None


async def unknown(node: NodeClient, digits: str) -> CliError:
    """Why no signal is known by these digits."""
    for one in await node.refusals(limit=MAX_PAGE):
        if one.id.startswith(digits):
            return refused_signal(one.issuer, one.error, one.reason)
    return unknown_id(digits)


def refused_signal(issuer: str, error: str, reason: str) -> RefusedSignalError:
    """The error of an entry that did not hold."""
    return RefusedSignalError(
        f"this entry of {issuer} was refused: {error}: {reason}",
        hint="nothing of it is shown; `orgnode signals --refused` lists what was refused",
    )


def unknown_id(digits: str) -> UnknownIdError:
    """The error of digits that no signal's id begins with."""
    return UnknownIdError(
        f"no signal's id begins with {digits}"
        if len(digits) < ID_DIGITS
        else f"no signal has this id: {digits}",
        hint="list them with `orgnode signals`; refused ones with `orgnode signals --refused`",
    )


def id_digits(given: str) -> str:
    """An id, or its first digits, as they are written.

    :raises UsageProblemError: it is no hex, or too short to mean one signal.
    """
    digits = given.strip().lower()
    if not digits or set(digits) - set("0123456789abcdef") or len(digits) > ID_DIGITS:
        raise UsageProblemError("a signal's id is written in hex", hint="see `orgnode signals`")
    if len(digits) < MIN_PREFIX:
        raise UsageProblemError(
            f"give at least {MIN_PREFIX} digits of the id", hint="see `orgnode signals`"
        )
    return digits


async def resolve(node: NodeClient, given: str) -> str:
    """The whole id of the signal that is meant by its first digits.

    :raises UnknownIdError, AmbiguousIdError: none, or more than one.
    :raises RefusedSignalError: the entry did not hold.
    """
    digits = id_digits(given)
    if len(digits) == ID_DIGITS:
        return digits
    known = node.iter_signals(provisional=True, suspended=True)
    found = [one.id async for one in known if one.id.startswith(digits)]
    if not found:
        raise await unknown(node, digits)
    if len(found) > 1:
        raise AmbiguousIdError(
            f"{len(found)} signals' ids begin with {digits}", hint="give more digits"
        )
    return found[0]
