"""`orgnode sighting`: a person here confirms or denies another organization's signal."""

from __future__ import annotations

from typing import Annotated

import typer

from orgnode.api.check_models import SightingVerdict
from orgnode.cli.render import clean, fields
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.cli.signals import SignalId, found_signal
from orgnode.client import NodeClient


def sighting(
    ctx: typer.Context,
    signal: SignalId,
    verdict: Annotated[
        SightingVerdict,
        typer.Argument(help="confirm: it is an attack; deny: it is none.", metavar="confirm|deny"),
    ],
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Publish your judgement of another organization's signal.

    Nobody blocks because of a signal before a person has confirmed it. Say what you looked at
    yourself: your organization signs it. What you have said already is not said again.
    """
    session = session_of(ctx)
    session.run(_sight(session, signal, verdict))


async def _sight(session: Session, given: str, verdict: str) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        signal = await found_signal(node, given)
        size = (await node.status()).log_size
        done = await node.sight(signal.id, verdict)
    already = done.index < size  # what is new stands behind all that there was
    if session.output.as_json:
        session.output.item({**done.model_dump(), "duplicate": already})
        return
    word = "Confirmed" if verdict == "confirm" else "Denied"
    session.output.say(
        f"{word} already; nothing was added."
        if already
        else f"{word} {clean(signal.issuer)}'s signal.",
        "bold green",
    )
    if not signal.certified:
        session.output.say(
            "The signal is provisional: nothing counts yet, neither it nor what you say of it. "
            "Both do as soon as a quorum of members holds them."
        )
    session.output.show(
        fields(
            [
                ("signal", signal.id),
                ("sighting", done.sighting),
                ("place in the log", done.index),
            ]
        )
    )
