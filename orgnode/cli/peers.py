"""`orgnode peers`: how this node stands with every other member."""

from __future__ import annotations

import typer
from rich.text import Text

from orgnode.api.node_models import PeerAnswer
from orgnode.cli.render import Cell, moment
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.client import NodeClient


def peers(ctx: typer.Context, data_dir: SubData = None, as_json: Json = False) -> None:
    """Show how this node and every other member stand, both ways.

    Of the peer's log: `held` entries are here, `signed` by it, `certified` by a quorum. `of ours`
    is how much of this node's log the peer holds; `behind` how many entries of all logs it lacks
    that are here, and since when it lacks any.
    """
    session = session_of(ctx)
    session.run(_peers(session))


async def _peers(session: Session) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        found = await node.peers()
        own = (await node.status()).log_size
    session.output.rows(
        ("peer", "control group", "state", "held", "signed", "certified", "of ours", "behind",
         "since", "accepted", "refused", "deferred", "last contact"),
        [{**peer.model_dump(), "own_size": own} for peer in found],
        [_row(peer, own) for peer in found],
        spare="control group,accepted,last contact,refused,deferred,since,signed",
        right="held,signed,certified,of ours,behind,accepted,refused,deferred",
    )  # fmt: skip


def _row(peer: PeerAnswer, own: int) -> list[Cell]:
    return [
        peer.name,
        peer.control_group,
        state(peer),
        peer.size,
        peer.signed_size,
        peer.certified,
        _of_ours(peer, own),
        peer.behind,
        _since(peer),
        peer.entries.get("accepted", 0),
        peer.entries.get("refused", 0),
        peer.entries.get("deferred", 0),
        moment(peer.last_contact),
    ]


def _of_ours(peer: PeerAnswer, own: int) -> str:
    if not own:
        return "0 of 0"  # there is nothing that the peer could have told of
    return "unknown" if peer.their_size is None else f"{peer.their_size} of {own}"


def _since(peer: PeerAnswer) -> str:
    if peer.behind_since is None:
        return "just now" if peer.behind else ""
    return moment(peer.behind_since)


def state(peer: PeerAnswer) -> Text:
    """The peer's state in a word."""
    if peer.suspended:
        return Text("SUSPENDED: showed two histories", style="bold red")
    if peer.up:
        return Text("up", style="green")
    return Text(f"down ({peer.error})" if peer.error else "not heard of yet", style="yellow")
