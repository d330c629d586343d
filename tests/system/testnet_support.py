"""Runs the command line in processes of its own, and looks for processes that were left behind."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orgnode.api.models import FeedItem
from orgnode.cli.feed import follow_feed
from orgnode.client import NodeClient

SECONDS = 120


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


def environment() -> dict[str, str]:
    """This process's environment without settings of a node, and wide enough."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ORGNODE_")}
    return {**kept, "COLUMNS": "200"}  # a runner of tests may set a narrow one


def run(module: str, *arguments: str | Path, stdin: str = "") -> Ran:
    """Run `python -m module` with these arguments."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        input=stdin.encode(),
        capture_output=True,
        timeout=SECONDS,
        env=environment(),
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def orgnode(*arguments: str | Path, stdin: str = "") -> Ran:
    """Run `orgnode`."""
    return run("orgnode", *arguments, stdin=stdin)


def arrival(data: Path, matches: Callable[[FeedItem], bool]) -> FeedItem:
    """Wait for an event in a node's feed, past or to come."""

    async def wait() -> FeedItem:
        async with (
            asyncio.timeout(SECONDS),
            NodeClient.from_datadir(data) as node,
            aclosing(follow_feed(node, 0)) as events,
        ):
            async for item in events:
                if matches(item):
                    return item
        raise AssertionError("the feed ended")

    return asyncio.run(wait())


def processes_about(directory: Path) -> list[int]:
    """Numbers of the processes that have a path below this directory on their command line."""
    mark = str(directory).encode()
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in line.read_bytes() and int(line.parent.name) != os.getpid():
                found.append(int(line.parent.name))
        except OSError:
            continue  # it has ended meanwhile
    return found
