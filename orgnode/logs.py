"""Structured logs that can't hold a prompt, whatever a caller passes.

A log line is an event name and fields. Only fields on the list below come through, with plain
values of bounded length; any other field's name is listed under `withheld` and its value is gone. A
traceback is written as places in the source without the exception's message, for a message may
quote what it could not parse. Other libraries' log lines pass the same filter. A list of what is
allowed fails safe where a list of what is secret would not: a new field is silent until someone
has thought about it.

`configure` sets up the process; afterwards `structlog.get_logger()` anywhere writes lines of JSON,
or coloured lines on a console.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Collection, MutableMapping
from types import TracebackType
from typing import Any, Final, Literal, TextIO

import structlog

FIELDS: Final = frozenset(
    {
        # the line itself
        "event", "level", "timestamp", "logger",
        # what failed: the class's name, and where
        "error", "error_at", "cause",
        # who and what in the mesh
        "member", "members", "peer", "issuer", "log", "mesh", "version", "kind", "outcome", "name",
        "entry", "entries", "index", "start", "end", "size", "signed_size", "have", "lag", "band",
        "category", "retracts", "trial", "quorum",
        # counts and measures
        "attempt", "attempts", "count", "rows", "bytes", "limit", "seconds", "delay", "accepted",
        "refused", "deferred", "lapsed", "expired", "erased", "resolved", "subscribers",
        "processes", "pending", "retry_in", "phase", "remote", "incidents",
        "operations",
        # days
        "today", "last", "certified",
        # the local API and its feed
        "method", "route", "status", "reason", "seq", "after", "resume", "signal",
        # checks
        "finding",
        # where things are and how they are set up
        "host", "port", "local_port", "federation_port", "url", "path", "pid", "data_dir",
        "backend", "prover", "verifier", "software",
        # lines of other libraries
        "message",
    }
)  # fmt: skip
"""The fields that may be logged. None of them ever holds what came in with an incident."""

MAX_VALUE: Final = 300
"""Longest text that a field may hold, in characters."""

_MAX_FRAMES = 12
_STRUCTLOG = frozenset({"_record", "_from_structlog"})  # its formatter takes them out again
# An event is a name, `pull.failed`: a sentence could have been put together from anything.
_EVENT = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)*")

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
Event = MutableMapping[str, Any]


def places(error: BaseException) -> str:
    """Return where an exception came from, innermost last: `file.py:12 function > …`."""
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    return " > ".join(
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames
    )


def name_errors(_logger: object, _method: str, event: Event) -> Event:
    """Replace `exc_info` by the exception's class name and the places that it passed."""
    given = event.pop("exc_info", None)
    event.pop("stack_info", None)
    error: BaseException | None = None
    if isinstance(given, BaseException):
        error = given
    elif isinstance(given, tuple) and len(given) == 3:
        error = given[1]
    elif given:
        error = sys.exception()
    if error is not None:
        event["error"] = type(error).__name__
        event["error_at"] = places(error)
        cause = error.__cause__ or error.__context__
        if cause is not None:
            event["cause"] = type(cause).__name__
    return event


class AllowList:
    """The processor that lets only known fields with plain, short values through.

    `secrets` are texts (the bearer token) that are masked even inside an allowed field.
    """

    def __init__(self, fields: Collection[str] = FIELDS, secrets: Collection[str] = ()) -> None:
        self._fields = frozenset(fields)
        self._secrets = tuple(secret for secret in secrets if secret)

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        """Return the event with what may be logged."""
        kept: dict[str, Any] = {}
        withheld: list[str] = []
        foreign = "_record" in event
        for key, value in event.items():
            if key in _STRUCTLOG:
                kept[key] = value
            elif key == "event" and not foreign and not _EVENT.fullmatch(str(value)):
                kept[key] = "unnamed"
                withheld.append(key)
            elif key not in self._fields or not self._plain(value):
                withheld.append(key[:40])
            else:
                kept[key] = self._bounded(value)
        if withheld:
            kept["withheld"] = sorted(withheld)
        return kept

    def _plain(self, value: object) -> bool:
        if isinstance(value, list | tuple):
            return len(value) <= 32 and all(
                isinstance(item, str | int) and not isinstance(item, bytes) for item in value
            )
        return value is None or isinstance(value, str | bool | int | float)

    def _bounded(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._bounded(item) for item in value]
        if not isinstance(value, str):
            return value
        for secret in self._secrets:
            value = value.replace(secret, "[withheld]")
        # One line per event, whatever a peer put into a name.
        value = value.replace("\r", " ").replace("\n", " ")
        return value if len(value) <= MAX_VALUE else value[: MAX_VALUE - 1] + "…"


def first_line(_logger: object, _method: str, event: Event) -> Event:
    """Cut another library's message to its first line: asyncio's later ones quote exceptions."""
    message = event.get("event")
    if isinstance(message, str):
        event["event"] = message.partition("\n")[0]
    return event


def configure(
    level: str = "info",
    style: Literal["json", "console"] = "json",
    *,
    stream: TextIO | None = None,
    secrets: Collection[str] = (),
) -> None:
    """Set up logging of the whole process, once, at its start.

    `level` is debug, info, warning or error; `style` is `json` (one object a line) or `console`;
    `stream` defaults to standard error; `secrets` are masked wherever they appear.
    """
    allow = AllowList(secrets=secrets)
    common: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_errors,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *common,
            allow,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=_is_terminal(stream or sys.stderr))
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[first_line, *common, allow],
            use_get_message=False,  # as written: its arguments may be anything
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Requests are counted by /metrics; a line for each would only name paths.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty()
