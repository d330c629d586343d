"""Runs the command line in this process, for commands that need no running node."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from orgnode.cli import app


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Its lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, str]:
        """Its error, as JSON."""
        return json.loads(self.err.splitlines()[-1])["error"]


def orgnode(*arguments: str | Path, stdin: str | bytes | None = None) -> Ran:
    """Run `orgnode` with these arguments."""
    result = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
    return Ran(result.exit_code, result.stdout, result.stderr)


def make_nodes(directory: Path, *names: str) -> list[Path]:
    """Set up a node for each name; returns their data directories."""
    made = []
    for place, name in enumerate(names):
        data = directory / name
        ran = orgnode(
            "--data-dir", data, "init", "--name", f"{name}.example", "--host", "127.0.0.1",
            "--port", str(21_000 + place), "--local-port", "0", "--listen", "127.0.0.1",
        )  # fmt: skip
        assert ran.code == 0, ran
        made.append(data)
    return made


def propose_mesh(
    directory: Path, nodes: list[Path], *, name: str = "test mesh", seats: Sequence[str] = ()
) -> Path:
    """Propose a key generation among these nodes; returns its directory."""
    out = directory / "founding"
    cards = [node / "card.note" for node in nodes]
    options = [part for seat in seats for part in ("--seat", seat)]
    ran = orgnode("genesis", "propose", "--mesh-name", name, "--out", out, *options, *cards)
    assert ran.code == 0, ran
    return out


def keygen(node: Path, directory: Path, *options: str) -> Ran:
    """Let a node take part in a key generation."""
    return orgnode("--data-dir", node, "--json", "genesis", "keygen", directory, *options)


def generate_keys(
    directory: Path, nodes: list[Path], *, name: str = "test mesh", seats: Sequence[str] = ()
) -> Path:
    """Let these nodes generate their mesh's keys; returns the directory of it."""
    out = propose_mesh(directory, nodes, name=name, seats=seats)
    for node in [*nodes, *nodes]:
        ran = keygen(node, out)
        assert ran.code == 0, ran
    return out


def draft_mesh(
    directory: Path,
    nodes: list[Path],
    *options: str | Path,
    name: str = "test mesh",
    seats: Sequence[str] = (),
) -> Path:
    """Draft a genesis of these nodes; returns it. What goes with it lies beside it."""
    out = generate_keys(directory, nodes, name=name, seats=seats)
    ran = orgnode("--data-dir", nodes[0], "genesis", "create", out, *options)
    assert ran.code == 0, ran
    return out / "genesis.note"


def signed_mesh(
    directory: Path,
    nodes: list[Path],
    *options: str | Path,
    name: str = "test mesh",
    seats: Sequence[str] = (),
) -> Path:
    """A genesis that all of these nodes signed."""
    genesis = draft_mesh(directory, nodes, *options, name=name, seats=seats)
    for node in nodes:
        ran = orgnode("--data-dir", node, "genesis", "sign", genesis, "--yes")
        assert ran.code == 0, ran
    return genesis
