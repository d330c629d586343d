"""Reading server-sent events from bytes that arrive in any pieces (WHATWG HTML, section 9.2.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from orgnode.errors import OrgnodeError

MAX_PENDING: Final = 4 << 20
"""Longest unfinished event in bytes; a longer one is no event of a node."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class EventTooLongError(OrgnodeError):
    """The stream goes on without an event's end."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its type, its data, and the id that the stream stands at ("" before the first)."""

    event: str
    data: str
    id: str


class EventParser:
    """Turns bytes into events. One parser reads one connection's stream."""

    def __init__(self) -> None:
        self._pending = b""
        self._first = True
        self._id = ""
        self._event = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Take in bytes; return the events that they complete.

        Comments and fields that this format does not know are skipped. Raises EventTooLongError.
        """
        data = self._pending + chunk
        if self._first and len(data) >= len(_BOM):
            self._first = False
            data = data.removeprefix(_BOM)
        # A return at the end may be the first half of a line's end: wait for what follows.
        held = data.endswith(b"\r")
        lines = _LINE_END.split(data[:-1] if held else data)
        self._pending = lines.pop() + (b"\r" if held else b"")
        events: list[ServerEvent] = []
        for line in lines:
            if not line:
                self._dispatch(events)
            elif not line.startswith(b":"):
                self._field(line)
        if len(self._pending) + self._size > MAX_PENDING:
            raise EventTooLongError(
                f"an event of the feed is over {MAX_PENDING} bytes",
                hint="this is not a node's feed; check the URL",
            )
        return events

    def _field(self, line: bytes) -> None:
        name, _, raw = line.partition(b":")
        value = raw.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(value)
            self._size += len(raw)
        elif name == b"event":
            self._event = value
        elif name == b"id" and "\0" not in value:
            self._id = value

    def _dispatch(self, events: list[ServerEvent]) -> None:
        if self._data:
            events.append(ServerEvent(self._event or "message", "\n".join(self._data), self._id))
        self._event = ""
        self._data = []
        self._size = 0
