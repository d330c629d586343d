"""`orgnode alerts`: what a person should know now."""

from __future__ import annotations

import typer
from rich.text import Text

from orgnode.cli.render import moment
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.client import NodeClient


def alerts(ctx: typer.Context, data_dir: SubData = None, as_json: Json = False) -> None:
    """List what is wrong at this moment and needs a person: what is over is not listed any more.

    Exit code 0 whether there are any or not; `orgnode doctor` shows them too.
    """
    session = session_of(ctx)
    session.run(_alerts(session))


async def _alerts(session: Session) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        found = await node.alerts()
    session.output.rows(
        ("since", "alert", "about", "detail"),
        [alert.model_dump() for alert in found],
        [
            (moment(one.since), Text(one.kind, style="bold yellow"), one.subject, one.detail)
            for one in found
        ],
        spare="since",
        prose="detail",
        empty="no alert stands",
    )
    for kind, hint in {one.kind: one.hint for one in found if one.hint}.items():
        session.output.say(f"→ {kind}: {hint}", "yellow")
