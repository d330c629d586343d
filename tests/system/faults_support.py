"""Single nodes as real processes, started under conditions that a test sets."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testnet_support import SECONDS, Ran, environment

from orgnode.client import NodeClient

COMPONENTS = {
    "capability_gain": 6,
    "breadth": 5,
    "ease_of_weaponization": 5,
    "discoverability": 5,
}

_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
# To write and read past permissions, to look into any directory, to act as the owner of any file.
_OVERRIDES = (1, 2, 3)


def incident(text: str, **changes: Any) -> dict[str, Any]:
    """An incident for `NodeClient.report`."""
    return {
        "text": text,
        "components": COMPONENTS,
        "category": "ncr",
        "technique": "AML.T0054",
        **changes,
    }


def without_override() -> None:
    """Between fork and exec: take from root the power to write where permissions forbid it."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in _OVERRIDES:
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_CAPBSET_DROP")


@dataclass
class Running:
    """A node that serves."""

    process: subprocess.Popen[bytes]
    directory: Path
    ready: dict[str, Any]
    output: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.output.read_text().splitlines() if line]


def command(directory: Path, *options: str | Path) -> list[str]:
    """The command line that runs a node."""
    data = ("--data-dir", str(directory))
    return [sys.executable, "-m", "orgnode", *data, "--json", "run", *map(str, options)]


def refused(directory: Path, *options: str | Path, unprivileged: bool = False) -> Ran:
    """Run a node that must end by itself; returns how, when it and all it started have ended."""
    with subprocess.Popen(
        command(directory, *options),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        preexec_fn=without_override if unprivileged else None,
    ) as process:
        try:
            # The pipes end with the last process that holds them: a worker left behind would too.
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Ran(process.returncode, out.decode(), err.decode())


@contextmanager
def running(directory: Path, *options: str | Path) -> Iterator[Running]:
    """A node that serves when this yields; it is killed at the end if it still runs."""
    output = directory.parent / f"{directory.name}.err"
    with (
        output.open("ab") as errors,
        subprocess.Popen(
            command(directory, *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, output.read_text()
            yield Running(process, directory, json.loads(line), output)
        finally:
            process.kill()


def end(node: Running) -> None:
    """Let a node drain and end, as a service manager does."""
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(SECONDS) == 0


async def held_by(directory: Path) -> dict[str, str]:
    """The signals that a running node holds, each with its status."""
    held: dict[str, str] = {}
    async with NodeClient.from_datadir(directory) as node:
        cursor = None
        while True:
            page = await node.signals(limit=500, cursor=cursor)
            held |= {one.id: one.status for one in page.signals}
            cursor = page.next
            if cursor is None:
                return held


def statuses(directory: Path) -> dict[str, str]:
    """The same where nothing else is going on."""
    return asyncio.run(held_by(directory))


def published(directory: Path, text: str) -> str:
    """Publish one incident through a running node; returns the signal's id."""

    async def publish() -> str:
        async with NodeClient.from_datadir(directory) as node:
            return (await node.report(**incident(text))).signal

    return asyncio.run(publish())
