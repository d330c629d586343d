"""What the command line shows: tables for people, one JSON object a line for programs.

Everything printed may have come from a peer, so text is cleaned of control characters (a reason
that moves the cursor could paint a ✓) and never read as rich markup. Data goes to standard output,
everything about the work itself (progress, notices, errors) to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Any, Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

PIPED_WIDTH: Final = 160
"""Columns when the output is no terminal; `COLUMNS` changes it."""

BAND_STYLES: Final[Mapping[str, str]] = {
    "low": "cyan",
    "moderate": "yellow",
    "high": "dark_orange",
    "critical": "bold red",
}
"""How each severity band is coloured."""

Cell = str | Text | int | float | None


def console(stream: IO[str] | None = None) -> Console:
    """A console that wraps wide tables only for real terminals."""
    out = stream or sys.stdout
    width = None
    if not out.isatty():
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if columns.isascii() and columns.isdigit() else PIPED_WIDTH
    return Console(file=out, width=width, highlight=False, markup=False, emoji=False)


def clean(text: str) -> str:
    """Return the text on one line, every character that is not printable as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def band_text(band: str) -> Text:
    """A band's name in its colour."""
    return Text(clean(band), style=BAND_STYLES.get(band, ""))


def short_id(entry_id: str) -> str:
    """The first digits of an id: enough to tell signals apart, and to name one to a command."""
    return clean(entry_id[:12])


def moment(unix_seconds: float | None) -> str:
    """A time of day in UTC, with the date unless it is today."""
    if unix_seconds is None:
        return "never"
    then = datetime.fromtimestamp(unix_seconds, UTC)
    today = datetime.now(UTC).date()
    return then.strftime("%H:%M:%S" if then.date() == today else "%Y-%m-%d %H:%M:%S")


def cell(value: Cell) -> Text:
    """One cell of a table."""
    if isinstance(value, Text):
        return value
    return Text("" if value is None else clean(str(value)))


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, title: str = "", right: str = ""
) -> Table:
    """A table. `right` names the columns of numbers, separated by commas."""
    numbers = set(right.split(","))
    made = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in numbers else "left",
            overflow="fold",
            no_wrap=column in numbers,
        )
    for row in rows:
        made.add_row(*map(cell, row))
    return made


def fields(pairs: Iterable[tuple[str, Cell]]) -> Table:
    """Names and values, a pair a line."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(Text(name), cell(value))
    return made


def progress(errors: Console, *, quiet: bool) -> Progress:
    """A progress bar on standard error; silent when that is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        disable=quiet or not errors.is_terminal,
        transient=True,
    )


class Output:
    """Where a command's results go. `as_json` chooses lines of JSON instead of tables."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = console()
        self.err = console(sys.stderr)

    def item(self, value: Mapping[str, Any]) -> None:
        """Print one JSON object on a line of its own, at once: a reader may be following."""
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        # A lone surrogate from a file name must not end the command.
        self.out.file.write(line.encode("utf-8", "replace").decode() + "\n")
        self.out.file.flush()

    def show(self, renderable: Any) -> None:
        """Print a table, or a text that this program wrote."""
        self.out.print(renderable)

    def say(self, text: str, style: str = "") -> None:
        """Tell a person something on standard output; nothing when the output is JSON."""
        if not self.as_json:
            self.out.print(Text(text, style=style), soft_wrap=True)

    def notice(self, text: str, style: str = "") -> None:
        """Tell a person something on standard error, whatever the output is."""
        self.err.print(Text(text, style=style), soft_wrap=True)

    def rows(
        self,
        columns: Sequence[str],
        items: Sequence[Mapping[str, Any]],
        rows: Iterable[Sequence[Cell]],
        *,
        right: str = "",
        empty: str = "nothing to show",
    ) -> None:
        """Print `items` as JSON, or `rows` as a table."""
        if self.as_json:
            for value in items:
                self.item(value)
        elif items:
            self.show(table(columns, rows, right=right))
        else:
            self.say(empty, "dim")
