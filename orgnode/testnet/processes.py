"""Node processes: started apart from the terminal, recognized for certain, ended one by one.

A process number alone is no identity, for numbers are reused; together with the moment at which the
process started it is one. What is not recognized is never sent a signal.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.05

_PROC = Path("/proc/self")
_TAIL_BYTES = 64 * 1024
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class ProcessId:
    """One process, and no later one with the same number."""

    pid: int
    started: str
    """When it started, in the system's own terms."""

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has this number now; None if there is none, or only its remains."""
        started = _started(pid)
        return None if started is None else cls(pid, started)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        child = _children.get(self.pid)
        if child is not None and child.poll() is not None:
            del _children[self.pid]
        return _started(self.pid) == self.started

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; false if it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        except (AttributeError, OSError):
            return self._send_by_number(number)  # a system without handles on processes
        try:
            # Checked while the handle is held: from here on the number can't become another's.
            if not self.alive:
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def _send_by_number(self, number: signal.Signals) -> bool:
        if not self.alive:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, seconds: float) -> bool:
        """Wait for its end; false if it still runs after so many seconds."""
        end = time.monotonic() + seconds
        try:
            handle = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            handle = None
        try:
            while self.alive:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                if handle is None:
                    time.sleep(min(left, POLL_SECONDS))
                else:
                    select.select([handle], [], [], left)
            return True
        finally:
            if handle is not None:
                os.close(handle)


def start(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> ProcessId | None:
    """Start a process in a session of its own, its output appended to a file.

    None if it ended before it could be recognized; the file says why.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C in this terminal is not meant for it
        )
    _children[child.pid] = child
    return ProcessId.of(child.pid)


def tail(log: Path, lines: int = 15, start: int = 0) -> str:
    """The last lines of a file, of what stands behind its first `start` bytes."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            # A file that is shorter by now is another one.
            file.seek(max(start if start <= end else 0, end - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return "(no log)"
    return "\n".join(deque(text.splitlines(), lines)) or "(the log is empty)"


def size(log: Path) -> int:
    """How many bytes a file has; 0 if there is none."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def _started(pid: int) -> str | None:
    """When a process started; None if it has ended, even if nobody has asked for its result yet."""
    if _PROC.is_dir():
        try:
            # proc(5): the name stands in brackets and may itself hold any character.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else f"{_boot_id()}:{fields[19]}"
    found = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = found.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def _boot_id() -> str:
    # Start times count from the boot: after another one they could repeat.
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
