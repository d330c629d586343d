"""What the command line shows: tables for people, one JSON object a line for programs.

Everything printed may have come from a peer, so text is cleaned of control characters (a reason
that moves the cursor could paint a ✓) and never read as rich markup. Data goes to standard output,
everything about the work itself (progress, notices, errors) to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import IO, Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
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

_FOLDED: Final = 24
"""Columns that a column of prose is given at least."""

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
    try:
        then = datetime.fromtimestamp(unix_seconds, UTC)
    except (ValueError, OverflowError, OSError):
        # A peer may have said it; a calendar ends with the year 9999.
        return f"{unix_seconds:.0f} seconds after 1970"
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


def fitted(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    width: int,
    right: str = "",
    spare: str = "",
    prose: str = "",
) -> RenderableType:
    """A table in which nothing but the column `prose`, the last, is folded: ids can be copied.

    In a narrow terminal the columns of `spare` are left out, the first of them first, as far as it
    takes; if that is not enough, each row becomes a list of names and values.
    """
    cells = [[cell(value) for value in row] for row in rows]
    needed = [
        max([cell_len(name), *(row[place].cell_len for row in cells)])
        for place, name in enumerate(columns)
    ]
    if prose:  # it may be folded, but not into a pile of syllables
        needed[-1] = min(needed[-1], _FOLDED)
    kept = list(range(len(columns)))
    for name in filter(None, spare.split(",")):
        if table_width([needed[place] for place in kept]) > width:
            kept.remove(columns.index(name))
    if table_width([needed[place] for place in kept]) > width:
        lists = [fields(zip(columns, row, strict=True)) for row in cells]
        return Group(*(Padding(one, (0, 0, 1, 0)) for one in lists))
    made = table(
        [columns[place] for place in kept],
        [[row[place] for place in kept] for row in cells],
        right=right,
    )
    for column in made.columns:
        column.no_wrap = column.header != prose
    return made


def table_width(columns: Collection[int]) -> int:
    """Width of a table of such columns: three between two of them, one on either side."""
    return sum(columns) + 3 * (len(columns) - 1) + 2


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


def waiting(errors: Console, what: str, *, quiet: bool) -> AbstractContextManager[object]:
    """A line on standard error that moves while something is waited for; none in a pipe."""
    if quiet or not errors.is_terminal:
        return nullcontext()
    return errors.status(Text(what))


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
        spare: str = "",
        prose: str = "",
        empty: str = "nothing to show",
    ) -> None:
        """Print `items` as JSON, or `rows` as a table; `spare` and `prose` as in `fitted`."""
        if self.as_json:
            for value in items:
                self.item(value)
        elif items:
            width = self.out.width
            self.show(fitted(columns, rows, width=width, right=right, spare=spare, prose=prose))
        else:
            self.say(empty, "dim")
