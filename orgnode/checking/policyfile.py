"""The policy on disk: read at the start, and again when it changes while the node runs.

A check looks at the files' times and sizes, at most every `LOOK_SECONDS`. Rules apply with the
check that finds them; windows of long texts are computed in a thread and apply when they are ready.
What can't be read changes nothing and is reported in `problem`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog

from mesh.fingerprint import SelectionKey
from orgnode.checking.errors import PolicyError
from orgnode.checking.policy import Policy, PolicySettings, parse_policy
from orgnode.checking.texts import Stamp, Texts, load_texts, stamp_of, stat_of
from orgnode.errors import MissingFileError
from orgnode.files import read_file

log = structlog.get_logger(__name__)

POLICY_FILE: Final = "policy.toml"
LOOK_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 0.05
"""How long a check waits for windows that are just being computed, before it goes on without."""

Runner = Callable[[Callable[[Path, SelectionKey], Texts], Path, SelectionKey], Awaitable[Texts]]
"""Runs the computing of windows elsewhere; `Workers.run` does."""


class PolicyFile:
    """The policy of one data directory.

    :raises PolicyError: it is broken from the start. A node does not start on rules that its
        operator did not mean.
    """

    def __init__(
        self,
        directory: Path,
        key: SelectionKey,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._key = key
        self._clock = clock
        self._next_look = clock() + LOOK_SECONDS
        self._loading: asyncio.Task[None] | None = None
        self._rules_problem = self._texts_problem = ""
        # Stamps first: what changes while it is read is read again.
        self._rules_stamp = stat_of(self.path)
        self._texts_stamp: Stamp | None = stamp_of(directory)
        self._settings = read_settings(self.path)
        self._texts = load_texts(directory, key)
        self._current = self._combined()

    @property
    def path(self) -> Path:
        """Where the rules are; the file need not exist."""
        return self._directory / POLICY_FILE

    @property
    def current(self) -> Policy:
        """The policy in force."""
        return self._current

    @property
    def problem(self) -> str:
        """Why what is on disk now is not in force; empty if it is."""
        return "; ".join(filter(None, (self._rules_problem, self._texts_problem)))

    async def refresh(self, run: Runner) -> Policy:
        """Look whether the files changed; returns the policy in force. `run` is for long work."""
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._look_at_rules()
            self._look_at_texts(run)
        if self._loading is not None:
            await asyncio.wait({self._loading}, timeout=PATIENCE_SECONDS)
        return self._current

    async def close(self) -> None:
        """Wait for what is being computed."""
        if self._loading is not None:
            await asyncio.wait({self._loading})

    def _look_at_rules(self) -> None:
        stamp = stat_of(self.path)
        if stamp == self._rules_stamp:
            return
        self._rules_stamp = stamp
        try:
            self._settings = read_settings(self.path)
        except PolicyError as error:
            self._rules_problem = f"{error}: the rules before stay in force"
            log.error("policy.broken", error=error.code)
            return
        self._rules_problem = ""
        self._current = self._combined()
        log.info("policy.reread")

    def _look_at_texts(self, run: Runner) -> None:
        if self._loading is not None:
            return
        try:
            stamp = stamp_of(self._directory)
        except PolicyError as error:
            self._texts_failed(error)
            return
        if stamp != self._texts_stamp:
            self._texts_stamp = stamp
            self._loading = asyncio.create_task(self._load_texts(run), name="policy texts")

    async def _load_texts(self, run: Runner) -> None:
        try:
            self._texts = await run(load_texts, self._directory, self._key)
            self._texts_problem = ""
            self._current = self._combined()
            log.info("policy.texts_reread", count=self._texts.templates + self._texts.allowed)
        except PolicyError as error:
            self._texts_failed(error)
        finally:
            self._loading = None

    def _texts_failed(self, error: PolicyError) -> None:
        self._texts_problem = f"{error}: the texts before stay in force"
        log.error("policy.broken", error=error.code)

    def _combined(self) -> Policy:
        texts: Texts = self._texts
        return Policy(self._settings, texts.windows, texts.templates, texts.allowed)


def read_settings(path: Path) -> PolicySettings:
    """The rules of a file; the defaults if there is none.

    :raises PolicyError: it can't be used; see `parse_policy`.
    """
    if stat_of(path) is None:
        return PolicySettings()
    try:
        data = read_file(path)
    except MissingFileError as error:
        raise PolicyError(str(error), hint=error.hint) from error
    return parse_policy(data, str(path))
