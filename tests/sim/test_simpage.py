"""What is written onto the page: a table in the place of the one before, and a picture."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from orgnode.testing import scale, simpage
from orgnode.testing.scaleplot import draw
from orgnode.testing.simpage import BUGS, PAGE, SCALE, SCALE_JSON, SCALE_PICTURE, with_table

COST = {
    "members": 10,
    "signals": 1_000,
    "messages_per_node": 108.8,
    "bytes_per_node": 2_938_789.5,
    "bytes_per_signal_and_node": 2_938.8,
    "to_settle": 0.204,
    "idle_messages_per_minute": 38.4,
    "idle_bytes_per_minute": 9_608.2,
}


def test_a_table_takes_the_place_of_the_one_before() -> None:
    page = "before\n| A | B |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n\nafter\n"
    changed = "before\n| A | B |\n| --- | --- |\n| 5 | 6 |\n\nafter\n"
    assert with_table(page, ("A", "B"), [("5", "6")]) == changed
    with pytest.raises(ValueError, match="C"):
        with_table(page, ("A", "C"), [])


def test_the_page_has_both_tables_and_the_figures_that_are_kept() -> None:
    page = PAGE.read_text("utf-8")
    costs = json.loads(SCALE_JSON.read_text("utf-8"))
    assert [cost["members"] for cost in costs] == [10, 30, 100]
    assert with_table(page, SCALE, [scale.row_of(cost) for cost in costs]) == page
    assert SCALE_PICTURE.read_text("utf-8") == draw(costs)
    assert with_table(page, BUGS, []) != page


def test_a_picture_shows_every_size() -> None:
    costs = [COST, {**COST, "members": 100, "messages_per_node": 1_190.0, "bytes_per_node": 4.3e6}]
    root = ElementTree.fromstring(draw(costs))
    shown = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"10", "100", "109", "1,190", "2.94", "4.30"} <= set(shown)


def test_what_was_measured_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(simpage.table(SCALE, []))
    monkeypatch.setattr(scale, "SCALE_JSON", tmp_path / "scale.json")
    monkeypatch.setattr(scale, "SCALE_PICTURE", tmp_path / "scale.svg")
    monkeypatch.setattr(
        scale, "write_table", lambda head, rows: simpage.write_table(head, rows, page)
    )
    args = ["--members", "4", "--members", "5", "--signals", "10", "--write"]
    ran = CliRunner().invoke(scale.app, args, catch_exceptions=False)
    kept = json.loads((tmp_path / "scale.json").read_text())
    assert [json.loads(line) for line in ran.output.splitlines()] == kept
    assert [cost["members"] for cost in kept] == [4, 5]
    assert page.read_text() == simpage.table(SCALE, [scale.row_of(cost) for cost in kept])
    ElementTree.parse(tmp_path / "scale.svg")
