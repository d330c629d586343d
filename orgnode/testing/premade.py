"""A node that publishes signals which were made before: for measuring everything but making them.

    python -m orgnode.testing.premade --data-dir DIR run

An incident whose `reference` is `premade <n>` is not fingerprinted, evaluated or proven: the n-th
signal of the file `premade.bin` in the data directory is appended to the own log in its place.
Everything after that, at this node and at its peers, is as ever: signing, certifying, verifying.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import typer

from mesh.days import Day
from mesh.entry import Kind
from mesh.genesis import open_genesis
from mesh.signal import SignalDraft, compose_signal, parse_signal
from mesh.wire import SALT_BYTES
from orgnode import logs
from orgnode.cli.errors import ErrorMappingGroup
from orgnode.cli.session import Data, PassphraseFile, SubData, given_passphrase, session_of
from orgnode.config import load_config
from orgnode.incidents import IncidentInput, Published
from orgnode.material import Material
from orgnode.node import Node, run_node
from orgnode.ownlog import Draft
from orgnode.publisher import Publisher
from proofs.ristretto import random_scalars
from proofs.severity import HINT_BYTES

FILE: Final = "premade.bin"
MARK: Final = "premade "

_LENGTH = struct.Struct(">I")


def write_premade(
    directory: Path, genesis: bytes, issuer: str, count: int, *, tokens: int, processes: int
) -> None:
    """Make signals of one issuer, with tokens that nobody else has, into its data directory."""
    make = partial(_make, genesis, issuer, tokens)
    with ProcessPoolExecutor(processes) as pool, (directory / FILE).open("wb") as file:
        for salt, body, hint in pool.map(make, range(count), chunksize=16):
            file.write(salt + hint + _LENGTH.pack(len(body)) + body)


def _make(genesis: bytes, issuer: str, tokens: int, number: int) -> tuple[bytes, bytes, bytes]:
    scalars = tuple(random_scalars(os.urandom(32), b"premade", tokens))
    draft = SignalDraft("cse", "AML.T0051", scalars, (5 + number % 4, 6, 5, 4))
    salt = os.urandom(SALT_BYTES)
    made = compose_signal(open_genesis(genesis), issuer, draft, salt, os.urandom(64))
    return salt, made.body, made.hint


def read_premade(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Salts, bodies and hints of a file that `write_premade` wrote."""
    at = 0
    while at < len(data):
        salt = data[at : at + SALT_BYTES]
        at += SALT_BYTES
        hint = data[at : at + HINT_BYTES]
        at += HINT_BYTES
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        yield salt, data[at : at + length], hint
        at += length


class PremadePublisher(Publisher):
    """Publishes ready-made signals for the incidents that ask for one."""

    _ready: Sequence[tuple[bytes, bytes, bytes]] = ()

    async def report(self, incident: IncidentInput) -> Published:
        """Publish an incident, or the ready-made signal that its reference names."""
        reference = incident.reference or ""
        if not reference.startswith(MARK):
            return await super().report(incident)
        salt, body, hint = self._ready[int(reference.removeprefix(MARK))]
        signal = parse_signal(body)
        appended = await self._own_log.append(
            Draft(
                Kind.SIGNAL,
                Day(self._today() + self._expiry_days),
                body=body,
                salt=salt,
                signal=signal,
                hint=hint,
            )
        )
        return Published(
            incident_id="",
            entry_id=appended.entry_id,
            index=appended.index,
            band=self._mesh.constraints.band(signal.severity.band).name,
            checkpoint_size=appended.size,
        )

    def load(self, path: Path) -> None:
        """Take the signals of a file."""
        self._ready = list(read_premade(path.read_bytes()))


class PremadeNode(Node):
    """A node with a `PremadePublisher`."""

    file: Path

    def _make_publisher(self, material: Material) -> Publisher:
        publisher = PremadePublisher(**self._publisher_parts(material))
        publisher.load(self.file)
        return publisher


app = typer.Typer(
    cls=ErrorMappingGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A node that publishes ready-made signals: for measurements only.",
)


@app.callback()
def _root(ctx: typer.Context, data_dir: Data = None) -> None:
    session_of(ctx)


@app.command()
def run(
    ctx: typer.Context, passphrase_file: PassphraseFile = None, data_dir: SubData = None
) -> None:
    """Run the node until it gets SIGTERM or Ctrl-C."""
    session = session_of(ctx)
    session.datadir.check_exists()
    config = load_config(session.datadir)
    logs.configure(config.log_level, config.log_format, secrets=[session.datadir.read_token()])
    node = type("PremadeNode", (PremadeNode,), {"file": session.datadir.path / FILE})
    asyncio.run(run_node(session.datadir, passphrase=given_passphrase(passphrase_file), make=node))


if __name__ == "__main__":
    app()
