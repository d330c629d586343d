"""`docs/recall.svg`, drawn from the kept JSON: recall by variation, and false positives."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.mutations import MUTATIONS
from benchmarks.report import RESULTS

PICTURE = Path(__file__).parent.parent / "docs" / "recall.svg"

WIDTH = 800
LEFT, RIGHT = 230, 60
LINE = 26
PLAIN, PADDED, INK, PALE, ASKED = "#2563a8", "#8fb8de", "#222222", "#dddddd", "#c2410c"


def write() -> None:
    """Draw what is kept; nothing is drawn while a measurement is missing."""
    recall, harmless = _rows("recall"), _rows("falsepositives")
    if recall and harmless:
        PICTURE.write_text(draw(recall, harmless))


def draw(recall: list[dict[str, Any]], harmless: list[dict[str, Any]]) -> str:
    """The picture as SVG."""
    seen = {row["what"]: row for row in recall}
    names = [name for name in MUTATIONS if name in seen]
    parts: list[str] = []
    y = 62
    parts.append(_text(20, 26, "Varied jailbreaks that are recognized (%)", 16, weight="bold"))
    parts.append(_key(20, 46))
    top = y
    for name in names:
        plain, padded = seen[name], seen.get(f"{name}, padded")
        parts.append(_text(LEFT - 8, y + 14, name, 12, anchor="end"))
        parts.append(_bar(y + 2, plain["seen"], 11, PLAIN))
        if padded:
            parts.append(_bar(y + 14, padded["seen"], 7, PADDED))
        parts.append(_text(WIDTH - RIGHT + 8, y + 14, f"{plain['seen']:.1f}", 12))
        if plain["asked"] is not None:
            x = _x(plain["asked"])
            parts.append(f'<path d="M{x:.1f} {y + 1}v21" stroke="{ASKED}" stroke-width="2"/>')
        y += LINE
    grid = "".join(
        f'<path d="M{_x(v):.1f} {top}V{y}" stroke="{PALE}"/>'
        + _text(_x(v), y + 15, str(v), 11, anchor="middle")
        for v in range(0, 101, 20)
    )
    parts.insert(0, grid)
    y += 52
    parts.append(_text(20, y, "Harmless texts that match (%)", 16, weight="bold"))
    y += 14
    kept = [row for row in harmless if "default benign corpus" in row["how"]]
    for row in kept:
        if row["what"].startswith("…"):
            continue
        y += 22
        value = f"{row['seen']:.3g}" + (
            f" (at most {row['asked']:g})" if row["asked"] is not None else ""
        )
        parts.append(_text(20, y, row["what"], 12))
        parts.append(_text(400, y, value, 12, weight="bold"))
        parts.append(_text(580, y, row["how"].split(":")[0], 12))
    height = y + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="Helvetica, Arial, sans-serif" role="img">'
        "<title>Recall of varied jailbreaks, and false positives</title>"
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>' + "\n".join(parts) + "</svg>\n"
    )


def _rows(name: str) -> list[dict[str, Any]]:
    kept = RESULTS / f"{name}.json"
    rows: list[dict[str, Any]] = json.loads(kept.read_text())["rows"] if kept.exists() else []
    return rows


def _x(value: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * value / 100


def _bar(y: int, value: float, height: int, colour: str) -> str:
    return f'<rect x="{LEFT}" y="{y}" width="{_x(value) - LEFT:.1f}" height="{height}" fill="{colour}"/>'


def _key(x: int, y: int) -> str:
    return (
        f'<rect x="{x}" y="{y - 9}" width="14" height="10" fill="{PLAIN}"/>'
        + _text(x + 20, y, "as it is", 12)
        + f'<rect x="{x + 90}" y="{y - 9}" width="14" height="10" fill="{PADDED}"/>'
        + _text(x + 110, y, "padded by an attacker who guesses the key", 12)
        + f'<path d="M{x + 440} {y - 10}v13" stroke="{ASKED}" stroke-width="2"/>'
        + _text(x + 448, y, "asked for (as it is)", 12)
    )


def _text(
    x: float, y: float, text: str, size: int, *, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="{size}" text-anchor="{anchor}" '
        f'font-weight="{weight}" fill="{INK}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    write()
