"""`docs/simulator-scale.svg`: what a burst costs a node of meshes of several sizes, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

_WIDTH: Final = 900
_HEIGHT: Final = 340
_PANEL: Final = 350
_TOP: Final = 70
_BOTTOM: Final = 290
_LEFTS: Final = (80, 530)
_LINE, _INK, _PALE = "#2563a8", "#222222", "#dddddd"
_STEPS: Final = 4


def draw(costs: Sequence[Mapping[str, Any]]) -> str:
    """The picture: bytes and messages per node against members."""
    costs = sorted(costs, key=lambda cost: cost["members"])
    members = [cost["members"] for cost in costs]
    megabytes = [cost["bytes_per_node"] / 1e6 for cost in costs]
    messages = [cost["messages_per_node"] for cost in costs]
    parts = [
        _text(20, 28, f"A burst of {costs[0]['signals']:,} signals", 16, weight="bold"),
        *_panel(_LEFTS[0], "megabytes sent per node", members, megabytes, "{:.2f}"),
        *_panel(_LEFTS[1], "messages sent per node", members, messages, "{:,.0f}"),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif" role="img">'
        "<title>What a burst of signals costs a node, by the size of the mesh</title>"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>'
        + "\n".join(parts)
        + "</svg>\n"
    )


def _panel(
    left: int, title: str, members: Sequence[int], values: Sequence[float], shown: str
) -> list[str]:
    most, widest = _round_up(max(values)), max(members)
    parts = [_text(left, _TOP - 18, title, 13)]
    for step in range(_STEPS + 1):
        value = most * step / _STEPS
        y = _y(value, most)
        parts.append(f'<path d="M{left} {y:.1f}h{_PANEL}" stroke="{_PALE}"/>')
        parts.append(_text(left - 8, y + 4, f"{value:g}", 11, anchor="end"))
    points = [
        (left + _PANEL * count / widest * 0.96, _y(value, most))
        for count, value in zip(members, values, strict=True)
    ]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    parts.append(f'<path d="M{path}" fill="none" stroke="{_LINE}" stroke-width="2"/>')
    for (x, y), count, value in zip(points, members, values, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_LINE}"/>')
        parts.append(_text(x, y - 10, shown.format(value), 12, anchor="middle"))
        parts.append(_text(x, _BOTTOM + 18, str(count), 11, anchor="middle"))
    parts.append(_text(left + _PANEL, _BOTTOM + 36, "members", 11, anchor="end"))
    return parts


def _y(value: float, most: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * value / most


def _round_up(value: float) -> float:
    """A round number not below the value, of which quarters are round too."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    return next(power * step for step in (1, 2, 4, 6, 8, 10) if power * step >= value)


def _text(
    x: float, y: float, text: str, size: int, *, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'font-weight="{weight}" fill="{_INK}">{escape(text)}</text>'
    )
