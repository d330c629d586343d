"""What surrounds a simulated run: where log lines go, when memory is tidied."""

from __future__ import annotations

import gc
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import structlog

from mesh.testing.virtualtime import VirtualLoop, current_machine


@contextmanager
def collected_later() -> Iterator[None]:
    """Look for cycles of objects after a run, not a hundred times within: a run is over soon."""
    _set_modules_aside()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # Of the young ones only: else each run looks through all that is kept for the next ones.
        gc.collect(0)
        if enabled:
            gc.enable()


@cache
def _set_modules_aside() -> None:
    """Never look again through what was imported: hundreds of times the objects of a run."""
    gc.collect()
    gc.freeze()


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
        if failed and not loop.over and (machine is None or not machine.may_fail):
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
