"""Words that options refuse before a node is asked, and tables that fit the terminal."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cli_support import make_nodes, orgnode
from rich.console import Console

from orgnode.api.models import FeedItem
from orgnode.cli import feed as feed_command
from orgnode.cli.feed_view import LOST, LiveTable, feed_table
from orgnode.cli.render import fitted

INCIDENT = ("report", "--text", "x", "--category", "ncr", "--technique", "AML.T0054")


def signal_event(issuer: str = "birch.example") -> FeedItem:
    return FeedItem.model_validate(
        {
            "seq": 1,
            "type": "retraction",
            "at": 0.0,
            "signal": {
                "id": "ab" * 32,
                "issuer": issuer,
                "index": 1,
                "day": "2026-01-01",
                "expires": "2026-04-01",
                "band": "moderate",
                "band_level": 2,
                "category": "spc_ele",
                "technique": "AML.T0054",
                "confidence": 90,
                "tokens": [],
                "status": "retracted",
                "own": False,
                "received": 0.0,
            },
        }
    )


@pytest.mark.parametrize(
    ("arguments", "lists"),
    [
        (["feed", "--type", "foo"], "evidence"),
        (["feed", "--category", "foo"], "ncr (Non-violent crimes)"),
        (["feed", "--min-band", "foo"], "critical"),
        (["signals", "--category", "foo"], "ncr (Non-violent crimes)"),
        (["signals", "--min-band", "foo"], "critical"),
        (["signals", "--status", "foo"], "retracted"),
        (["report", "--text", "x", "--category", "foo"], "ncr (Non-violent crimes)"),
        ([*INCIDENT, "--band", "foo"], "critical"),
        ([*INCIDENT, "--breadth", "-1"], "0"),
        ([*INCIDENT, "--confidence", "101"], "100"),
    ],
)
def test_a_word_that_can_t_match_is_refused_with_those_that_can(
    arguments: list[str], lists: str
) -> None:
    ran = orgnode(*arguments)
    assert ran.code == 2
    assert lists in ran.err
    assert "DataDirMissingError" not in ran.err


def test_a_component_is_given_once() -> None:
    ran = orgnode(*INCIDENT, "--breadth", "3", "--component", "breadth=4")
    assert ran.code == 2
    assert "breadth is given twice" in ran.err
    assert "given twice" in orgnode(*INCIDENT, "--component", "a=1", "--component", "a=2").err


@pytest.mark.parametrize("extra", [("--category", "ncr"), ("--technique", "AML.T0054")])
def test_a_file_goes_without_what_would_be_ignored(extra: tuple[str, str]) -> None:
    ran = orgnode("report", "--file", "incidents.csv", *extra)
    assert ran.code == 2
    assert "--file goes without" in ran.err


def test_one_port_can_t_serve_two(tmp_path: Path) -> None:
    ran = orgnode(
        "--data-dir", tmp_path / "n", "init", "--name", "a.example", "--host", "h", "--port", "8460"
    )
    assert ran.code == 2
    assert "8460" in ran.err
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize("command", [("log", "verify"), ("verify", "abcdef")])
def test_what_needs_a_mesh_says_so(tmp_path: Path, command: tuple[str, str]) -> None:
    (node,) = make_nodes(tmp_path, "acme")
    ran = orgnode("--data-dir", node, *command)
    assert ran.code == 1
    assert "NotJoinedError" in ran.err
    assert "genesis propose" in ran.err


def drawn(width: int) -> list[str]:
    out = io.StringIO()
    made = fitted(
        ("id", "day", "issuer", "reason"),
        [("ab" * 6, "2026-01-01", "birch.example", "it does not hold " * 5)],
        width=width,
        spare="day",
        prose="reason",
    )
    Console(file=out, width=width).print(made)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_ids_and_names_are_whole_however_narrow_the_terminal_is() -> None:
    for width in (30, 60, 80, 120):
        lines = drawn(width)
        assert max(map(len, lines)) <= width
        assert any("abababababab" in line for line in lines)
        assert any("birch.example" in line for line in lines)
    assert "2026-01-01" in "\n".join(drawn(120))
    assert "2026-01-01" not in "\n".join(drawn(65)), "what can be spared goes first"
    assert "2026-01-01" in "\n".join(drawn(40)), "a list of names and values has room for all"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_feed_s_times_bands_and_ids_are_never_cut(width: int) -> None:
    out = io.StringIO()
    refused = FeedItem(seq=2, type="refused", at=0.0, issuer="a-very-long-name.example", error="E")
    items = [signal_event("a-very-long-name-of-an-issuer.example"), refused]
    Console(file=out, width=width).print(feed_table(items, width=width))
    row = next(line for line in out.getvalue().splitlines() if "retraction" in line)
    assert len(row) <= width
    assert "moderate" in row
    assert "abababababab" in row
    assert "…" not in row[: row.index("retraction")], "a time is whole or left out"
    assert ("1970-01-01 00:00:00" in row) is (width > 60)


def test_a_table_that_stands_still_says_why() -> None:
    out = io.StringIO()
    with LiveTable(Console(file=out, width=100, height=20, force_terminal=True)) as live:
        assert "waiting for events" in out.getvalue()
        live.take(signal_event())
        assert "1 event; Ctrl-C ends" in out.getvalue()
        assert LOST not in out.getvalue()
        live.connection(False)
        assert LOST in out.getvalue()
        live.connection(True)
        assert out.getvalue().rindex("1 event;") > out.getvalue().rindex(LOST)


async def test_following_ends_with_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_command, "READER_SECONDS", 0.01)
    ended = asyncio.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        task = asyncio.create_task(feed_command._while_read(stream, for_ever()))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 0.1)
        os.close(reading)
        await asyncio.wait_for(task, 5)
    assert ended.is_set()


async def test_the_past_ends_where_it_ended_when_it_was_asked_for() -> None:
    class Node:
        async def feed(self, **asked: object) -> AsyncIterator[FeedItem]:
            assert (asked["after"], asked["cursors"]) == (3, True)
            for seq, kind in ((3, "cursor"), (4, "signal"), (7, "signal"), (8, "signal")):
                yield FeedItem(seq=seq, type=kind)

    # The newest was number 6, which the filter keeps back; 7 came while this was asked.
    found = feed_command._until(Node(), 3, 6, feed_command.EVERYTHING)  # type: ignore[arg-type]
    assert [item.seq async for item in found] == [4]


async def test_a_failure_while_following_is_not_swallowed() -> None:
    async def fails() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await feed_command._while_read(io.StringIO(), fails())


def test_a_founding_with_something_else_than_cards_names_the_file(tmp_path: Path) -> None:
    nodes = make_nodes(tmp_path, "acme", "birch")
    other = tmp_path / "notes.txt"
    other.write_text("dear diary")
    create = ("genesis", "propose", "--mesh-name", "m", "--out", tmp_path / "out")
    ran = orgnode(*create, nodes[0] / "card.note", other)
    assert ran.code == 1
    assert "NotACardError" in ran.err
    assert "notes.txt" in ran.err
    alone = orgnode(*create, nodes[0] / "card.note")
    assert alone.code == 2
    assert "at least 2 founders" in alone.err
    assert not (tmp_path / "out").exists()
