"""How events of the feed look: a table, a line for each, or a table that moves."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from types import TracebackType
from typing import Final, Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orgnode.api.models import FeedItem
from orgnode.cli.render import band_text, clean, moment, short_id, table_width

COLUMNS: Final = ("time", "what", "issuer", "band", "category", "technique", "conf", "id / reason")
"""Headings of the columns of an event."""

# Widths that each column is given at least. The issuer and the last one can be cut short, the
# others not: half a time or half a band says nothing.
_WIDTHS: Final = (8, 10, 14, 8, 8, 13, 4, 12)
_LINE_WIDTHS: Final = (8, 11, 20, 8, 8, 13, 4)
"""Widths of the columns but the last where each event is a line, whatever comes next."""
_ISSUER: Final = 2
_SPARED: Final = (6, 5, 4, 0)
"""Columns that narrow terminals do without, the first of them first."""

WHAT_STYLES: Final = {
    "signal": "green",
    "provisional": "dim",
    "retraction": "yellow",
    "sighting": "cyan",
    "promotion": "cyan",
    "refused": "bold red",
    "evidence": "bold red",
    "misconduct": "bold red",
}
"""How each type of event is coloured."""


_SAID: Final = {"confirm": "confirmed", "deny": "denied"}


def feed_table(items: Collection[FeedItem], *, width: int, title: str = "") -> Table:
    """Events as a table, oldest first, one line each however narrow the terminal is."""
    rows = [event_cells(item) for item in items]
    whole = [
        max([least, *(row[place].cell_len for row in rows)]) for place, least in enumerate(_WIDTHS)
    ]
    last = len(COLUMNS) - 1
    given = {place: whole[place] for place in range(last)} | {
        _ISSUER: _WIDTHS[_ISSUER],
        last: _WIDTHS[last],
    }
    for place in _SPARED:
        if table_width(given.values()) > width:
            del given[place]
    for place in (_ISSUER, last):  # what is left is theirs
        given[place] += max(
            0, min(whole[place] - given[place], width - table_width(given.values()))
        )
    made = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for place, columns in given.items():
        made.add_column(COLUMNS[place], no_wrap=True, overflow="ellipsis", width=columns)
    for row in rows:
        made.add_row(*(row[place] for place in given))
    return made


def event_cells(item: FeedItem) -> list[Text]:
    """One event, a cell for each of `COLUMNS`."""
    # What a person said comes before the id, which is the first to be cut short.
    kind = item.type if item.verdict is None else _SAID.get(item.verdict, item.verdict)
    what = Text(clean(kind), style=WHAT_STYLES.get(item.type, "bold"))
    time = Text(moment(item.at) if item.at is not None else "")
    signal = item.signal
    if signal is None:
        empty = [Text() for _ in range(4)]
        if item.windows is not None:
            why = Text(f"{item.windows} window{'' if item.windows == 1 else 's'}")
        else:
            why = Text(clean(item.error or item.kind or item.reason or ""), style="red")
        return [time, what, Text(clean(item.issuer or "")), *empty, why]
    tail = short_id(signal.id)
    if item.type == "retraction" and item.reason:
        tail += f" {clean(item.reason)}"
    if item.verdict is not None:
        tail += f" by {clean(item.by or '')}"
    return [
        time,
        what,
        Text(clean(signal.issuer) + (" (own)" if signal.own else "")),
        band_text(signal.band),
        Text(clean(signal.category)),
        Text(clean(signal.technique or "")),
        Text("" if signal.confidence is None else str(signal.confidence)),
        Text(tail),
    ]


def event_line(item: FeedItem) -> Text:
    """One event on a line of its own, in columns, with the whole reason of a refusal.

    Nothing is cut short: what is wider than its column moves the rest of its line.
    """
    *cells, last = event_cells(item)
    for cell, width in zip(cells, _LINE_WIDTHS, strict=True):
        cell.pad_right(max(0, width - cell.cell_len))
    cells.append(last)
    if item.signal is None and item.reason and last.plain != clean(item.reason):
        cells.append(Text(clean(item.reason)))
    return Text("  ").join(cells)


class LiveTable:
    """A table at the bottom of the terminal, of as many events as there is room for.

    Under it stand how many there were and whether the node still answers: a table that stands still
    must not look like a quiet mesh.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: deque[FeedItem] = deque(maxlen=200)
        self._count = 0
        self._connected = True
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        self._draw()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def take(self, item: FeedItem) -> None:
        """Show one more event."""
        self._shown.append(item)
        self._count += 1
        self._draw()

    def connection(self, up: bool) -> None:
        """Show whether the node answers."""
        self._connected = up
        self._draw()

    def _draw(self) -> None:
        width, height = self._console.size
        status = f"{self._count} event{'' if self._count == 1 else 's'}; Ctrl-C ends"
        line = Text(status if self._count else "waiting for events; Ctrl-C ends", style="dim")
        if not self._connected:
            line = Text(LOST, style="bold yellow")
        parts: list[Table | Text] = [line]
        if self._shown:
            parts.insert(0, feed_table(list(self._shown)[-max(3, height - 6) :], width=width))
        self._live.update(Group(*parts), refresh=True)


LOST: Final = "the node does not answer; trying again, and going on where the feed stopped"
"""What a follower is told while the node is gone."""
BACK: Final = "the node answers again"
"""What it is told afterwards."""
