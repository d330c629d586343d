"""Runs the command line in this process, for commands that need no running node."""

from __future__ import annotations

import json
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


def draft_mesh(directory: Path, nodes: list[Path], name: str = "test mesh") -> tuple[Path, Path]:
    """Draft a genesis of these nodes; returns it and the fingerprint key's file."""
    out = directory / "draft"
    cards = [node / "card.note" for node in nodes]
    ran = orgnode("genesis", "create", "--mesh-name", name, "--out", out, *cards)
    assert ran.code == 0, ran
    return out / "genesis.note", out / "fingerprint.key"
