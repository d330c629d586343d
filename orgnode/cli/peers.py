"""`orgnode peers`: how this node stands with every other member."""

from __future__ import annotations

import typer
from rich.text import Text

from orgnode.api.models import PeerAnswer
from orgnode.cli.render import Cell, moment
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.client import NodeClient


def peers(ctx: typer.Context, data_dir: SubData = None, as_json: Json = False) -> None:
    """Show every other member: reachable or not, how far its log is followed, what came of it."""
    session = session_of(ctx)
    session.run(_peers(session))


async def _peers(session: Session) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        found = await node.peers()
    session.output.rows(
        ("peer", "control group", "state", "held", "signed", "lag", "accepted", "refused",
         "deferred", "last contact"),
        [peer.model_dump() for peer in found],
        [_row(peer) for peer in found],
        spare="control group,last contact,signed,held,accepted",
        right="held,signed,lag,accepted,refused,deferred",
    )  # fmt: skip


def _row(peer: PeerAnswer) -> list[Cell]:
    return [
        peer.name,
        peer.control_group,
        state(peer),
        peer.size,
        peer.signed_size,
        peer.lag,
        peer.entries.get("accepted", 0),
        peer.entries.get("refused", 0),
        peer.entries.get("deferred", 0),
        moment(peer.last_contact),
    ]


def state(peer: PeerAnswer) -> Text:
    """The peer's state in a word."""
    if peer.suspended:
        return Text("SUSPENDED: showed two histories", style="bold red")
    if peer.up:
        return Text("up", style="green")
    return Text(f"down ({peer.error})" if peer.error else "not heard of yet", style="yellow")
