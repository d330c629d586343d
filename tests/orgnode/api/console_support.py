"""The command line in this process, on the data directory of a node whose API is served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api_support import TOKEN, ApiNode, Served, serving
from typer.testing import CliRunner

from orgnode.cli import app
from orgnode.datadir import DataDir, RunInfo
from orgnode.files import write_file


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Its lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def words(self) -> str:
        """What a person reads, with one space between two words."""
        return " ".join(self.out.split())


@dataclass(frozen=True)
class Console:
    """A served node with its data directory, and the command line on it."""

    api: Served
    directory: Path

    async def __call__(self, *arguments: str | Path, stdin: str | bytes | None = None) -> Ran:
        return await asyncio.to_thread(run, self.directory, *arguments, stdin=stdin)


def run(directory: Path, *arguments: str | Path, stdin: str | bytes | None = None) -> Ran:
    """Run `orgnode` on a data directory."""
    result = CliRunner().invoke(
        app, ["--data-dir", str(directory), *map(str, arguments)], input=stdin
    )
    return Ran(result.exit_code, result.stdout, result.stderr)


def make_directory(path: Path) -> Path:
    """A data directory that looks set up."""
    path.mkdir()
    (path / "config.toml").write_text(
        'name = "acme.example"\ncontrol_group = "acme"\nlocal_port = 1\n'
    )
    write_file(path / "token", TOKEN.encode() + b"\n", private=True)
    return path


@asynccontextmanager
async def console_of(node: ApiNode, directory: Path) -> AsyncIterator[Console]:
    """Serve a node, and say in its directory where."""
    async with serving(node) as api:
        config = directory / "config.toml"
        config.write_text(config.read_text().replace("port = 1", f"port = {api.server.port}"))
        run_info = RunInfo(1, "127.0.0.1", api.server.port, 1, node.instance)
        DataDir(directory).write_run(run_info)
        yield Console(api, directory)
