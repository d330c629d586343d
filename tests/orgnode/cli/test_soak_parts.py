"""What `make soak` tells while it runs."""

from __future__ import annotations

import asyncio

import pytest
import typer
from typer.testing import CliRunner

from orgnode.testing import soak


class NeverUp:
    """A network whose nodes don't start."""

    orgs = ()

    def __init__(self, ended: asyncio.Event) -> None:
        self.ended = ended

    async def up(self) -> None:
        await self.ended.wait()
        raise KeyError("the end")

    def down(self) -> None:
        return None


async def test_it_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, twice = list[str](), asyncio.Event()

    def told(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            twice.set()

    monkeypatch.setattr(soak, "PROGRESS_SECONDS", 0.01)
    running = soak.soak(
        NeverUp(twice),  # type: ignore[arg-type]
        seconds=300.0,
        kill_every=3.0,
        seed=1,
        told=told,
    )
    with pytest.raises(KeyError):
        await asyncio.wait_for(running, 10)
    assert all("of 300 s and a rest: 0 acknowledged, 0 kills" in line for line in lines)
    result = soak.Soaked(signals={"acme.example": {"a", "b", "c"}}, kills=2)
    assert soak.progress_line(result, 12.3, 300.0) == (
        "  12 of 300 s and a rest: 3 acknowledged, 2 kills"
    )


def test_its_help_says_how_long_it_takes_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    app = typer.Typer()
    app.command()(soak.main)
    assert "In all it takes longer" in CliRunner().invoke(app, ["--help"]).output
