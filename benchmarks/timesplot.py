"""`docs/times.svg`, drawn from the kept JSON: every time of a check that a figure is asked for."""

from __future__ import annotations

import json
from html import escape
from math import log10
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS

PICTURE = Path(__file__).parent.parent / "docs" / "times.svg"
SOURCES = ("check_local", "regional", "tokenindex", "evaluation")

WIDTH = 900
LEFT, RIGHT = 470, 90
LINE = 24
LEAST, MOST = 0.01, 1_000.0
SEEN, MISSED, INK, PALE, ASKED = "#2563a8", "#b91c1c", "#222222", "#dddddd", "#c2410c"


def write() -> None:
    """Draw what is kept; nothing is drawn while there is nothing."""
    rows = [row for name in SOURCES for row in _rows(name)]
    if rows:
        PICTURE.write_text(draw(rows))


def draw(rows: list[dict[str, Any]]) -> str:
    """The picture as SVG."""
    top, bottom = 60, 60 + LINE * len(rows)
    parts = [
        _text(20, 26, "How long it takes (milliseconds, logarithmic)", 16, weight="bold"),
        _text(20, 46, "bar: measured; mark: asked for at most", 12),
    ]
    for power in range(round(log10(LEAST)), round(log10(MOST)) + 1):
        x = _x(10.0**power)
        parts.append(f'<path d="M{x:.1f} {top}V{bottom}" stroke="{PALE}"/>')
        parts.append(_text(x, bottom + 15, f"{10.0**power:g}", 11, anchor="middle"))
    for place, row in enumerate(rows):
        y = top + LINE * place
        colour = SEEN if row["reached"] else MISSED
        end, asked = _x(row["seen"]), _x(row["asked"])
        parts.append(_text(LEFT - 8, y + 16, row["what"], 12, anchor="end"))
        parts.append(
            f'<rect x="{LEFT}" y="{y + 5}" width="{end - LEFT:.1f}" height="14" fill="{colour}"/>'
        )
        parts.append(f'<path d="M{asked:.1f} {y + 2}v20" stroke="{ASKED}" stroke-width="3"/>')
        parts.append(_text(WIDTH - RIGHT + 8, y + 16, f"{row['seen']:.3g}", 12))
    height = bottom + 28
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="Helvetica, Arial, sans-serif" role="img">'
        "<title>How long checks and their parts take</title>"
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>' + "\n".join(parts) + "</svg>\n"
    )


def _rows(name: str) -> list[dict[str, Any]]:
    kept = RESULTS / f"{name}.json"
    if not kept.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(kept.read_text())["rows"]
    return [row for row in rows if row["unit"] == "ms" and row["asked"] is not None]


def _x(value: float) -> float:
    share = log10(min(max(value, LEAST), MOST) / LEAST) / log10(MOST / LEAST)
    return LEFT + (WIDTH - LEFT - RIGHT) * share


def _text(
    x: float, y: float, text: str, size: int, *, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="{size}" text-anchor="{anchor}" '
        f'font-weight="{weight}" fill="{INK}">{escape(text)}</text>'
    )
