"""Warnings because of another's signal: over the API, from the command line, from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from api_support import ApiNode, Served, incident
from console_support import Console, console_of, make_directory

from mesh.testing import TestMesh
from orgnode.cli.incident_files import read_incidents
from orgnode.store.sqlite import SqliteStore

OTHER, THIRD = 1, 2
SCORES = (
    "--capability-gain", "8", "--breadth", "7",
    "--ease-of-weaponization", "6", "--discoverability", "5",
)  # fmt: skip
CLI = ("report", "--text", "a prompt that was not met here", "--category", "ncr",
       "--technique", "AML.T0054", *SCORES)  # fmt: skip


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide terminal, and no settings from outside."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("ORGNODE_DATA_DIR", raising=False)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory that looks set up."""
    return make_directory(tmp_path / "node")


@pytest_asyncio.fixture
async def console(world: TestMesh, store: SqliteStore, directory: Path) -> Any:
    """A served node, and its command line."""
    async with console_of(ApiNode(world, store, directory=directory), directory) as console:
        yield console


@pytest.fixture
def api(console: Console) -> Served:
    """The node's API."""
    return console.api


async def parent(api: Served, confidence: int = 80, place: int = OTHER) -> str:
    """Another member's certified signal."""
    return await api.node.knowledge.signal(place, [f"{confidence:064x}"], confidence=confidence)


async def test_a_derived_incident_is_published_with_what_its_parent_allows(api: Served) -> None:
    known = await parent(api)
    status, made = await api.post("/v1/incidents", incident(derived_from=known, confidence=99))
    assert (status, made["confidence"]) == (201, 64)
    status, shown = await api.get(f"/v1/signals/{made['signal']}")
    assert (shown["confidence"], shown["claimed_confidence"]) == (64, None)
    assert (shown["derived_from"], shown["direct"]) == (known, False)
    status, made = await api.post("/v1/incidents", incident(text="another prompt"))
    assert (status, made["confidence"]) == (201, 80)


@pytest.mark.parametrize(
    ("given", "status", "code", "hint"),
    [
        ("ab" * 32, 404, "UnknownParentError", "orgnode signals"),
        (50, 422, "DampenedAwayError", "without `derived_from`"),
        ("AB" * 32, 422, "InvalidRequestError", ""),
        ("abcdef", 422, "InvalidRequestError", ""),
        (7, 422, "InvalidRequestError", ""),
    ],
)
async def test_what_nothing_is_derived_from(
    api: Served, given: Any, status: int, code: str, hint: str
) -> None:
    known = await parent(api, given) if given == 50 else given
    answered = await api.post("/v1/incidents", incident(derived_from=known))
    assert (answered[0], answered[1]["error"]["code"]) == (status, code)
    assert hint in answered[1]["error"]["hint"]
    assert api.node.store.state(api.node.name).size == 0


async def test_a_dead_parent_is_a_conflict(api: Served) -> None:
    known = await parent(api)
    await api.node.knowledge.retract(OTHER, known)
    status, answered = await api.post("/v1/incidents", incident(derived_from=known))
    assert (status, answered["error"]["code"]) == (409, "DeadParentError")


async def test_in_a_batch_each_has_its_own_parent(api: Served) -> None:
    known, weak = await parent(api), await parent(api, 50, THIRD)
    batch = [
        incident(text=f"prompt number {number}", derived_from=one)
        for number, one in enumerate((known, weak, None))
    ]
    status, answered = await api.post("/v1/incidents/batch", {"incidents": batch})
    assert status == 200
    first, second, third = answered["results"]
    assert first["published"]["confidence"] == 64
    assert second["error"]["code"] == "DampenedAwayError"
    assert third["published"]["confidence"] == 80


async def test_claims_beyond_their_parents_are_shown_as_the_parents_allow(api: Served) -> None:
    known = await parent(api)
    claim = await api.node.knowledge.signal(THIRD, ["cd" * 32], parent=known, confidence=80)
    honest = await api.node.knowledge.signal(THIRD, ["ef" * 32], parent=known, confidence=60)
    status, listed = await api.get("/v1/signals")
    assert status == 200
    shown = {one["id"]: (one["confidence"], one["claimed_confidence"]) for one in listed["signals"]}
    assert shown == {known: (80, None), claim: (64, 80), honest: (60, None)}
    for entry_id, said in shown.items():
        _, one = await api.get(f"/v1/signals/{entry_id}")
        assert (one["confidence"], one["claimed_confidence"]) == said


# --- the command line


async def test_the_command_line_takes_a_parent_by_its_first_digits(console: Console) -> None:
    known = await parent(console.api)
    ran = await console(*CLI, "--derived-from", known[:10], "--json")
    assert ran.code == 0
    assert ran.json["confidence"] == 64
    signal = console.api.node.store.signal(ran.json["signal"])
    assert signal is not None
    assert signal.derived_from == known
    ran = await console(*CLI, "--derived-from", known)
    assert "64 %" in ran.out
    shown = await console("show", ran.words.split("signal ")[1].split()[0])
    assert f"derived from {known}" in shown.out

    for given, code, said in (("abcdef0", 1, "no signal's id begins"), ("xyz", 2, "hex")):
        ran = await console(*CLI, "--derived-from", given)
        assert (ran.code, said in ran.err) == (code, True)
    ran = await console(*CLI, "--derived-from", "ab" * 32)
    assert (ran.code, "UnknownParentError" in ran.err) == (1, True)


async def test_show_says_what_a_claim_is_worth(console: Console) -> None:
    known = await parent(console.api)
    claim = await console.api.node.knowledge.signal(THIRD, ["cd" * 32], parent=known, confidence=80)
    ran = await console("show", claim)
    assert "64 %, as its parent allows; its issuer claims 80 %" in ran.words
    assert "as its parent allows" not in (await console("show", known)).out


@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_files_name_parents(console: Console, tmp_path: Path, form: str) -> None:
    known = await parent(console.api)
    rows = [incident(text=f"prompt {number}", derived_from=known) for number in range(2)]
    rows.append(incident(text="met by ourselves"))
    file = tmp_path / f"incidents.{form}"
    if form == "jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    else:
        names = list(rows[2]["components"])
        lines = [",".join(("text", "category", "technique", *names, "derived_from"))]
        for row in rows:
            scores = [str(row["components"][name]) for name in names]
            parts = (row["text"], row["category"], row["technique"], *scores)
            lines.append(",".join((*parts, row.get("derived_from", ""))))
        file.write_text("\n".join(lines))
    ran = await console("report", "--file", file, "--json")
    assert ran.code == 0
    assert [one["confidence"] for one in ran.objects] == [64, 64, 80]
    signals = [console.api.node.store.signal(one["signal"]) for one in ran.objects]
    assert [one and one.derived_from for one in signals] == [known, known, None]
    refused = await console("report", "--file", file, "--derived-from", known)
    assert refused.code == 2


def test_references_of_rows_are_those_of_before_there_were_parents(tmp_path: Path) -> None:
    """Else reporting an old file again would publish all of it a second time."""
    file = tmp_path / "old.jsonl"
    file.write_text(json.dumps(incident(text="an old prompt")))
    (row,) = read_incidents(file)
    assert row.incident is not None
    assert row.incident.reference == (
        "row:740d24026d64ad467c1c81e1c1a33f1a63c6384806399cae1afaafcb58144d80:1"
    )
    file.write_text(json.dumps(incident(text="an old prompt", derived_from="ab" * 32)))
    (other,) = read_incidents(file)
    assert other.incident is not None
    assert other.incident.reference != row.incident.reference
