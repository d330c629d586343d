"""`orgnode committee`: who shares the mesh's key, and what they evaluated today."""

from __future__ import annotations

import typer
from rich.text import Text

from orgnode.api.committee_models import SeatAnswer
from orgnode.cli.render import Cell
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.client import NodeClient


def committee(ctx: typer.Context, data_dir: SubData = None, as_json: Json = False) -> None:
    """Show the seats of the committee: who answers, how fast, for whom, and what budget is left.

    `used` and `left` count this organization's windows of today at each seat; a request costs 32.
    """
    session = session_of(ctx)
    session.run(_committee(session))


async def _committee(session: Session) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        found = await node.committee()
    session.output.rows(
        ("seat", "member", "state", "latency", "used", "left", "evaluated today"),
        [seat.model_dump() for seat in found.seats],
        [_row(seat) for seat in found.seats],
        spare="evaluated today",
        right="seat,latency,used,left",
    )
    session.output.notice(
        f"{found.threshold} of these {len(found.seats)} evaluate together; each evaluates at most "
        f"{found.budget:,} windows a day for each member"
    )


def _row(seat: SeatAnswer) -> list[Cell]:
    latency = "own" if seat.own else "" if seat.latency_ms is None else f"{seat.latency_ms:.0f} ms"
    return [
        seat.index,
        seat.member,
        state(seat),
        latency,
        seat.used,
        seat.left,
        ", ".join(f"{member} {count}" for member, count in sorted(seat.evaluated.items())),
    ]


def state(seat: SeatAnswer) -> Text:
    """The seat's state in a word."""
    if seat.excluded:
        return Text("EXCLUDED: signed a wrong evaluation", style="bold red")
    if not seat.up:
        return Text(f"down ({seat.error})", style="yellow")
    if seat.left == 0:
        return Text("budget used up", style="yellow")
    return Text(f"up (last time {seat.error})" if seat.error else "up", style="green")
