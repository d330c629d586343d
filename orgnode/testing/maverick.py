"""A node that lies: it behaves like any other, but publishes chosen incidents as forged signals.

    python -m orgnode.testing.maverick --data-dir DIR run

An incident whose `reference` begins with `forge` (and, with `--every N`, each N-th one) is
published under the next higher band than its committed scores reach (a critical one: the lowest),
with the proof that was made for the true one. Everything else about it is in order: signature,
log, checkpoint. So the only thing that stops it is that every other member verifies the
zero-knowledge proof for itself.

This is a fault-injection tool for test networks. Its operator's own node believes its lies; the
others refuse them with `ProofEquationError` and go on following its log.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Annotated, Any, Final

import typer

from mesh.genesis import Mesh
from mesh.signal import ComposedSignal, SignalDraft, parse_signal
from mesh.testing import Lie, MadeSignal, falsify
from orgnode import logs
from orgnode.cli.errors import ErrorMappingGroup
from orgnode.cli.session import Data, PassphraseFile, SubData, given_passphrase, session_of
from orgnode.config import load_config
from orgnode.incidents import IncidentInput, Published
from orgnode.material import Material
from orgnode.node import Node, run_node
from orgnode.publisher import Publisher
from orgnode.workers import Workers

MARK: Final = "forge"
"""How the reference of an incident begins that is to be published as a forgery."""

# Set for one call of `report` and everything that it starts, so that honest incidents that are
# reported at the same time stay honest.
_forging: contextvars.ContextVar[bool] = contextvars.ContextVar("forging", default=False)


class ForgingWorkers(Workers):
    """Makes signals honestly, then raises the claimed band of those that are to be forged."""

    def __init__(self, processes: int, mesh: Mesh) -> None:
        super().__init__(processes, mesh.note)
        self._mesh = mesh

    async def compose(self, issuer: str, draft: SignalDraft) -> tuple[bytes, ComposedSignal]:
        """Make a signal; a lie if the report that it is for asked for one."""
        salt, composed = await super().compose(issuer, draft)
        if not _forging.get():
            return salt, composed
        honest = MadeSignal(salt, composed.body, draft, composed.blindings, issuer)
        forged = falsify(self._mesh, honest, Lie.OTHER_BAND, random.Random())  # noqa: S311 - unused
        claimed = self._mesh.constraints.band(parse_signal(forged.body).severity.band)
        return forged.salt, replace(composed, body=forged.body, band=claimed)


class ForgingPublisher(Publisher):
    """Publishes marked incidents, and every n-th if `every` is not 0, as forgeries."""

    def __init__(self, *, every: int = 0, **parts: Any) -> None:
        super().__init__(**parts)
        self._every = every
        self._count = itertools.count(1)

    async def report(self, incident: IncidentInput) -> Published:
        """Publish one incident, honestly or not."""
        marked = (incident.reference or "").startswith(MARK)
        due = self._every > 0 and next(self._count) % self._every == 0
        reset = _forging.set(marked or due)
        try:
            return await super().report(incident)
        finally:
            _forging.reset(reset)


class MaverickNode(Node):
    """A node whose publisher forges."""

    every = 0
    """Forge each so many-th incident; 0 for only those that are marked."""

    def _make_publisher(self, material: Material) -> Publisher:
        self._forging_workers = ForgingWorkers(self.config.prove_workers, self.mesh)
        parts = {**self._publisher_parts(material), "workers": self._forging_workers}
        return ForgingPublisher(every=self.every, **parts)

    async def _start(self, stack: AsyncExitStack, token: str) -> None:
        stack.push_async_callback(self._forging_workers.close)
        await super()._start(stack, token)


app = typer.Typer(
    cls=ErrorMappingGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A node that forges signals on demand: fault injection for test networks only.",
)


@app.callback()
def _root(ctx: typer.Context, data_dir: Data = None) -> None:
    session_of(ctx)


@app.command()
def run(
    ctx: typer.Context,
    every: Annotated[int, typer.Option(min=0, help="Forge each so many-th incident, too.")] = 0,
    passphrase_file: PassphraseFile = None,
    data_dir: SubData = None,
) -> None:
    """Run the lying node until it gets SIGTERM or Ctrl-C."""
    session = session_of(ctx)
    session.datadir.check_exists()
    config = load_config(session.datadir)
    logs.configure(config.log_level, config.log_format, secrets=[session.datadir.read_token()])
    session.output.notice(
        f"{config.name} runs as a MAVERICK: it forges signals on demand. Only for test networks.",
        "bold red",
    )
    node = type("MaverickNode", (MaverickNode,), {"every": every})
    asyncio.run(run_node(session.datadir, passphrase=given_passphrase(passphrase_file), make=node))


if __name__ == "__main__":
    app()
