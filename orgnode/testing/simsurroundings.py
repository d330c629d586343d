"""What surrounds a simulated run: where files are, where log lines go, what is done only once."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import structlog

from mesh.testing.virtualtime import VirtualLoop, current_machine
from proofs import ed25519

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - if it is there: no disk is any faster


def shared_memory() -> Path | None:
    """Where files are made in memory, if there is such a place."""
    return _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None


@contextmanager
def verified_once() -> Iterator[None]:
    """Verify each signature once in a run, not once at each node: the answer is always the same."""
    verify = ed25519.verify
    ed25519.verify = lru_cache(maxsize=None)(verify)
    try:
        yield
    finally:
        ed25519.verify = verify


@contextmanager
def quiet() -> Iterator[None]:
    """Let nothing of what nodes log be written anywhere."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


@contextmanager
def nodes_logging(
    loop: VirtualLoop,
    logger: Callable[[str], None] | None,
    crashed: Callable[[str, BaseException | None], None],
) -> Iterator[None]:
    """Let the nodes' own log lines go to the logger, or nowhere.

    :param crashed: told of errors that a node caught and had no name for, unless it is a liar.
    """
    before = structlog.get_config()

    def render(_: Any, level: str, event: Any) -> str:
        machine = current_machine()
        failed = bool(event.pop("exc_info", False))
        if failed and (machine is None or not machine.may_fail):
            crashed(event["event"], sys.exc_info()[1])
        if logger is not None:
            name = "-" if machine is None else machine.name
            fields = " ".join(f"{key}={value}" for key, value in event.items() if key != "event")
            logger(f"{loop.now:9.3f}  {name}: {event['event']} {fields} [{level}]")
            if failed:
                logger(traceback.format_exc())
        raise structlog.DropEvent

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(0 if logger else logging.ERROR),
        processors=[render],
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)
