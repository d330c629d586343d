"""What a test network remembers between commands: `testnet.json` in its directory."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from orgnode.datadir import DataDir, read_file, write_file
from orgnode.errors import MissingFileError
from orgnode.testnet.errors import NoNetworkError, OtherNetworkError
from orgnode.testnet.processes import ProcessId, tail

FILE: Final = "testnet.json"
FORMAT: Final = "signal-mesh/v1/testnet"


HONEST: Final = "orgnode"
MAVERICK: Final = "orgnode.testing.maverick"
"""The node program that forges signals on demand."""

PREMADE: Final = "orgnode.testing.premade"
"""The node program that publishes signals made before."""

_MODULES = (HONEST, MAVERICK, PREMADE)

_DRAINED = "node.draining"  # as the node logs it when SIGTERM has come
_LINES = 1_000  # more than a node writes while it drains

_LABEL = re.compile(r"[a-z0-9]{1,63}")


@dataclass(frozen=True)
class Org:
    """One organization of a test network."""

    name: str
    directory: Path
    """Its data directory."""
    module: str
    """The Python module that is its node's program: `orgnode`, or a fault-injecting one."""
    process: ProcessId | None = None
    """Its node's process, as it was last started."""
    log_start: int = 0
    """How many bytes of `log` earlier processes wrote."""

    @property
    def datadir(self) -> DataDir:
        """Its data directory's files."""
        return DataDir(self.directory)

    @property
    def log(self) -> Path:
        """The file that its node's log lines go to."""
        return self.directory / "node.log"

    @property
    def alive(self) -> bool:
        """Whether its node's process runs."""
        return self.process is not None and self.process.alive

    def tail(self, lines: int) -> str:
        """The last lines that its node's process wrote, as it was last started."""
        return tail(self.log, lines, self.log_start)

    @property
    def drained(self) -> bool:
        """Whether that process ended as it should, on SIGTERM: it said so, and tidied up."""
        return not self.datadir.run_file.exists() and _DRAINED in self.tail(_LINES)

    def with_process(self, process: ProcessId | None) -> Org:
        """The same organization with another process."""
        return replace(self, process=process)


def write_state(directory: Path, orgs: tuple[Org, ...]) -> None:
    """Remember the organizations; durable when this returns."""
    document = {
        "format": FORMAT,
        "orgs": [
            {
                "name": org.name,
                "directory": org.directory.name,
                "module": org.module,
                "log_start": org.log_start,
                "process": None
                if org.process is None
                else {"pid": org.process.pid, "started": org.process.started},
            }
            for org in orgs
        ],
    }
    write_file(directory / FILE, json.dumps(document, indent=1).encode() + b"\n", private=False)


def read_state(directory: Path) -> tuple[Org, ...]:
    """The organizations of the test network in a directory.

    :raises NoNetworkError: there is none.
    :raises OtherNetworkError: its file can't be understood.
    """
    try:
        document = json.loads(read_file(directory / FILE))
        if document["format"] != FORMAT:
            raise OtherNetworkError(
                f"{directory / FILE} was written by another version",
                hint="use that one to take the network down, or choose another --dir",
            )
        return tuple(
            Org(
                name=str(org["name"]),
                directory=directory / _label(org["directory"]),
                module=_module(org["module"]),
                process=None
                if org["process"] is None
                else ProcessId(int(org["process"]["pid"]), str(org["process"]["started"])),
                log_start=int(org.get("log_start", 0)),
            )
            for org in document["orgs"]
        )
    except MissingFileError as error:
        raise NoNetworkError(
            f"there is no test network in {directory}",
            hint=f"make one: orgnode testnet up --dir {directory}",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise OtherNetworkError(
            f"{directory / FILE} is damaged", hint="remove the directory, or choose another --dir"
        ) from error


# The file is as little to be trusted as the directory that it came with: what it names is deleted
# by `down --remove` and run by `up`.
def _label(value: object) -> str:
    """The name of a data directory right below the network's own; ".." is none."""
    label = Path(str(value)).name
    if _LABEL.fullmatch(label) is None:
        raise ValueError("not the name of an organization's directory")
    return label


def _module(value: object) -> str:
    """One of this project's node programs."""
    if value not in _MODULES:
        raise ValueError("not a node program")
    return str(value)
