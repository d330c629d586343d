"""Keeping `docs/simulator.md` true: tables that are written by what measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "simulator.md"
SCALE_JSON: Final = PAGE.with_name("simulator-scale.json")
SCALE_PICTURE: Final = PAGE.with_name("simulator-scale.svg")

BUGS: Final = ("Planted bug", "Seed", "Found as")
SCALE: Final = (
    "Members",
    "Messages per node",
    "Bytes per node",
    "Bytes per signal and node",
    "Certified everywhere after",
    "Idle: messages per node and minute",
    "Idle: bytes per node and minute",
)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(_line(cells) for cells in (head, ["---"] * len(head), *rows))


def with_table(page: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The page with its table of this head replaced.

    :raises ValueError: it has no such table.
    """
    lines = page.split("\n")
    start = lines.index(_line(head))
    end = start
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return "\n".join((*lines[:start], table(head, rows), *lines[end:]))


def write_table(head: Sequence[str], rows: Sequence[Sequence[str]], page: Path = PAGE) -> None:
    """Replace a table of the page in place."""
    page.write_text(with_table(page.read_text("utf-8"), head, rows), "utf-8")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
