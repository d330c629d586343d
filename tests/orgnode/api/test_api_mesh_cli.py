"""`peers`, `alerts`, `signals`, `show`, `feed`, `report --wait`, `verify` and `log prove` against a
served node: what is certified and what is not."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from api_support import ApiNode, incident, open_store
from console_support import Console, console_of, make_directory

from mesh.evidence import split_evidence
from mesh.receipt import compose_receipt
from mesh.testing import TODAY, OrgLog, TestMesh
from orgnode.api import PeerStatus, incidents
from orgnode.api.services import recovery_reason
from orgnode.cli.network_checks import check_alerts
from orgnode.datadir import DataDir, RunInfo

REPORT = (
    "report", "--text", "an attack", "--category", "ncr", "--technique", "AML.T0054",
    "--capability-gain", "8", "--breadth", "7", "--ease-of-weaponization", "6",
    "--discoverability", "5",
)  # fmt: skip


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide terminal, and no settings from outside."""
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.delenv("ORGNODE_DATA_DIR", raising=False)


@pytest_asyncio.fixture
async def console(world: TestMesh, tmp_path: Path) -> AsyncIterator[Console]:
    """A served node whose database and genesis are in its directory, and its command line."""
    directory = make_directory(tmp_path / "node")
    (directory / "genesis.note").write_bytes(world.mesh.note)
    with open_store(world, directory) as store:
        async with console_of(ApiNode(world, store, directory), directory) as console:
            yield console


def log_of(console: Console) -> OrgLog:
    return OrgLog(console.api.node.world, 1)


async def test_peers_stand_both_ways(console: Console) -> None:
    node = console.api.node
    others = [card.name for card in node.mesh.peers_of(node.name)]
    assert (await console(*REPORT)).code == 0
    node.statuses = [
        PeerStatus(
            others[0], up=True, size=12, signed_size=14, last_contact=1.5,
            certified=10, their_size=0, behind=9, behind_since=86_400.0,
        ),
        PeerStatus(others[1], up=False, size=0, signed_size=0, error="PeerTimeoutError"),
    ]  # fmt: skip
    ran = await console("peers")
    rows = [line.split() for line in ran.out.splitlines()]
    (first,) = [row for row in rows if row and row[0] == others[0]]
    assert first[2:11] == ["up", "12", "14", "10", "0", "of", "1", "9", "1970-01-02"]
    (second,) = [row for row in rows if row and row[0] == others[1]]
    assert second[2:9] == ["down", "(PeerTimeoutError)", "0", "0", "0", "unknown", "0"]
    one, other = (await console("peers", "--json")).objects
    assert (one["certified"], one["their_size"], one["behind"], one["behind_since"]) == (
        10, 0, 9, 86_400.0,
    )  # fmt: skip
    assert (one["lag"], one["own_size"], other["their_size"]) == (2, 1, None)


async def test_alerts_with_what_to_do(console: Console) -> None:
    assert "no alert stands" in (await console("alerts")).out
    alerts = console.api.node.alerts
    for name in ("birch.example", "dune.example"):
        alerts.raise_("peer_behind", name, "it lacks 5 entries\x1b[2J")
    ran = await console("alerts")
    assert ran.code == 0
    assert "peer_behind birch.example it lacks 5 entries\\x1b[2J" in ran.words
    assert ran.out.count("→ peer_behind") == 1
    found = (await console("alerts", "--json")).objects
    assert [one["subject"] for one in found] == ["birch.example", "dune.example"]
    assert all(one["hint"] for one in found)


async def test_doctor_shows_alerts_and_what_is_waited_for(console: Console) -> None:
    node, datadir = console.api.node, DataDir(console.directory)
    (check,) = await asyncio.to_thread(lambda: list(check_alerts(datadir)))
    assert (check.verdict, check.detail) == ("good", "none stands")
    node.alerts.raise_("peer_behind", "birch.example", "it lacks 5 entries")
    (check,) = await asyncio.to_thread(lambda: list(check_alerts(datadir)))
    assert (check.name, check.verdict) == ("alert peer_behind", "warning")
    assert "birch.example" in check.detail
    assert "orgnode peers" in check.hint
    node.recovering = recovery_reason(2, 3, ["dune.example"])
    with datadir.lock():
        datadir.write_run(RunInfo(1, "127.0.0.1", console.api.server.port, 1))
        ran = await console("doctor", "--json")
    found = {one["check"]: one for one in ran.objects}
    assert found["node"]["verdict"] == "warning"
    assert "2 of 3 answered; waiting for dune.example" in found["node"]["detail"]
    assert "alert peer_behind" in found
    datadir.write_run(RunInfo(1, "127.0.0.1", 1, 1))
    with datadir.lock():
        (check,) = await asyncio.to_thread(lambda: list(check_alerts(datadir)))
    assert (check.verdict, "NodeUnreachableError" in check.detail) == ("skipped", True)


async def test_signals_that_no_quorum_holds_are_shown_if_asked_for(console: Console) -> None:
    node, log = console.api.node, log_of(console)
    (first,) = log.append_signals(1)
    await node.follow(log)
    (second,) = log.append_signals(1)
    await node.follow(log, certified=False)
    plain, whole = await console("signals"), await console("signals", "--provisional")
    assert first[:12] in plain.out
    assert second[:12] not in plain.out
    row = next(line for line in whole.out.splitlines() if second[:12] in line)
    assert " provisional " in row
    listed = (await console("signals", "--provisional", "--json")).objects
    assert [(one["id"], one["certified"]) for one in listed] == [(second, False), (first, True)]
    assert (await console("signals", "--refused", "--provisional")).code == 2


async def test_show_says_who_cosigned(console: Console) -> None:
    node, log = console.api.node, log_of(console)
    (signal,) = log.append_signals(1)
    await node.follow(log, certified=False)
    shown = await console("show", signal[:10])  # found by its first digits, provisional or not
    assert "status provisional" in shown.words
    assert "certified no: it counts when a quorum of members holds it" in shown.words
    assert "promoted" not in shown.words
    await node.certify(log.name)
    shown = await console("show", signal)
    assert "status live" in shown.words
    names = sorted([log.name, *[card.name for card in node.mesh.peers_of(log.name)][:2]])
    assert f"by {', '.join(names)} (3 had to)" in shown.words
    assert "not heard from" not in shown.words


async def test_show_lists_receipts_of_a_retraction(console: Console) -> None:
    node = console.api.node
    published = json.loads((await console(*REPORT, "--json")).out)["signal"]
    ran = await console("retract", published, "--reason", "mistake", "--yes")
    assert f"orgnode show {published[:12]}" in ran.out
    others = [card.name for card in node.mesh.peers_of(node.name)]
    shown = await console("show", published)
    assert f"erased at nobody yet not heard from {', '.join(others)}" in shown.words
    (retraction,) = node.store.unreceipted(others[0])
    for name, erased in ((others[0], True), (others[1], False)):
        note = compose_receipt(
            node.mesh, node.world.member(name).identity, log=node.name, retraction=retraction,
            target=published, erased=erased, day=TODAY,
        )  # fmt: skip
        await node.store.put_receipt(retraction, name, note)
    shown = await console("show", published)
    assert (
        f"erased at {others[0]} (2026-11-21) kept, unread, at {others[1]} (2026-11-21) "
        f"not heard from {others[2]}"
    ) in shown.words


@pytest.mark.parametrize("certified", [True, False])
async def test_the_feed_ends_though_its_newest_event_is_not_shown(
    console: Console, certified: bool
) -> None:
    node, log = console.api.node, log_of(console)
    log.append_signals(2)
    await node.follow(log, certified)
    await node.fill(1, certified=False)
    plain = await asyncio.wait_for(console("feed", "--json"), 10)
    assert [one["type"] for one in plain.objects] == ["signal"] * (2 if certified else 0)
    whole = (await console("feed", "--provisional", "--json")).objects
    assert [one["type"] for one in whole if one["type"] == "provisional"] == ["provisional"] * 3
    named = (await console("feed", "--type", "provisional", "--json")).objects
    assert {one["type"] for one in named} == {"provisional"}
    assert "provisional" in (await console("feed", "--provisional")).out
    none = await console("feed", "--type", "evidence")
    assert "no event matches" in none.out
    last = (await console("feed", "--last", "1", "--provisional", "--json")).objects
    assert [one["seq"] for one in last] == [node.store.last_seq()]


async def test_an_empty_feed_says_so(console: Console) -> None:
    assert "nothing happened yet" in (await console("feed")).out
    await console.api.node.fill(1, certified=False)
    newest = console.api.node.store.last_seq()
    for options, said in (
        ((), "nothing counts yet"),
        (("--last", "0"), "--last 0 shows nothing of the past"),
        (("--after", str(newest)), f"nothing happened behind event {newest} yet"),
        (("--type", "evidence"), "no event matches"),
    ):
        out = (await console("feed", *options)).out
        assert said in out
        assert "nothing happened yet" not in out


async def test_so_many_events_are_shown_as_were_asked_for(console: Console) -> None:
    node, log = console.api.node, log_of(console)
    for certified in (True, False, True, False, False, True, False):
        log.append_signals(3)
        await node.follow(log, certified)
    every = (await console("feed", "--json", "--after", "0")).objects
    assert len(every) > 8
    for last in (1, 5, 8, len(every), 1_000):
        found = (await console("feed", "--json", "--last", str(last))).objects
        assert found == every[-last:]
    first = every[0]["signal"]["category"]
    wanted = [one for one in every if one["signal"]["category"] == first]
    found = await console("feed", "--json", "--last", "1", "--category", first)
    assert found.objects == wanted[-1:]


async def test_following_begins_with_so_many_past_events(console: Console) -> None:
    node, log = console.api.node, log_of(console)
    for certified in (True, False):
        log.append_signals(4)
        await node.follow(log, certified)
    every = (await console("feed", "--json", "--after", "0")).objects
    following = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgnode", "--data-dir", str(console.directory),
        "feed", "--follow", "--json", "--last", "2",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert following.stdout is not None
    try:
        lines = [await asyncio.wait_for(following.stdout.readline(), 30) for _ in range(2)]
        assert [json.loads(line) for line in lines] == every[-2:]
    finally:
        following.terminate()
        assert await following.wait() == 0


async def test_report_can_wait_for_the_quorum(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incidents, "CERTIFIED_SECONDS", 0.05)
    ran = await console(*REPORT, "--wait")
    assert "certified yes: a quorum of members holds it" in ran.words
    console.api.node.own_log.members_answer = False
    ran = await console(*REPORT, "--wait")
    assert ran.code == 0
    assert "certified not yet within ten seconds" in ran.words
    assert "Who does not: `orgnode peers`, `orgnode alerts`." in ran.words
    assert "as soon as enough members answer" not in (await console(*REPORT)).words
    ran = await console(*REPORT, "--json")
    assert ran.json["certified"] is False
    rows = [json.dumps(incident(text=f"attack {place}")) for place in range(40)]
    (tmp_path / "incidents.jsonl").write_text("\n".join(rows))
    ran = await console("report", "--file", tmp_path / "incidents.jsonl", "--wait", "--json")
    assert [one["certified"] for one in ran.objects] == [False] * 40
    console.api.node.own_log.members_answer = True
    rows = [json.dumps(incident(text=f"another attack {place}")) for place in range(40)]
    (tmp_path / "incidents.jsonl").write_text("\n".join(rows))
    ran = await console("report", "--file", tmp_path / "incidents.jsonl", "--wait")
    assert "40 published, 40 certified" in ran.words


async def test_a_file_that_waits_in_vain_once_waits_no_more(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = 0

    async def in_vain(_self: object, published: list[object]) -> list[object]:
        nonlocal waited
        waited += 1
        return published

    monkeypatch.setattr(incidents.IncidentRoutes, "_certified", in_vain)
    console.api.node.own_log.members_answer = False
    rows = [json.dumps(incident(text=f"attack {place}")) for place in range(80)]
    (tmp_path / "incidents.jsonl").write_text("\n".join(rows))
    ran = await console("report", "--file", tmp_path / "incidents.jsonl", "--wait")
    assert "80 published, 0 of 80 certified within ten seconds: see `orgnode alerts`" in ran.words
    assert ran.code == 0
    assert waited == 1


async def test_verify_says_whether_a_quorum_holds_it(console: Console) -> None:
    node, log = console.api.node, log_of(console)
    (signal,) = log.append_signals(1)
    await node.follow(log, certified=False)
    ran = await console("verify", signal)
    assert ran.code == 0
    assert "! provisional" in ran.out
    await node.certify(log.name)
    ran = await console("verify", signal)
    assert "✓ certified" in ran.out
    assert "3 of 4 members" in ran.out
    told = (await console("verify", signal[:8], "--json")).json
    assert (told["valid"], told["certified"]) == (True, True)


async def test_verify_says_that_a_suspended_member_s_signal_counts_nowhere(
    console: Console,
) -> None:
    node, log = console.api.node, log_of(console)
    (signal,) = log.append_signals(1)
    await node.follow(log)
    told = (await console("verify", signal, "--json")).json
    assert (told["status"], told["suspended"]) == ("live", False)
    fork = log.fork(0)
    fork.append_signals(1)
    proof = split_evidence(node.mesh, log.name, log.checkpoint(), fork.checkpoint())
    state = replace(node.store.state(log.name), evidence=proof)
    await node.store.save_state(log.name, state)
    ran = await console("verify", signal)
    assert ran.code == 0
    assert "! suspended its issuer showed two histories; counts nowhere" in ran.words
    told = (await console("verify", signal, "--json")).json
    assert (told["valid"], told["suspended"]) == (True, True)
    assert told["steps"][-1]["name"] == "suspended"


async def test_the_same_is_not_said_twice_of_a_signal(console: Console) -> None:
    node, log = console.api.node, log_of(console)
    (signal,) = log.append_signals(1)
    await node.follow(log, certified=False)
    ran = await console("sighting", signal, "confirm")
    assert f"Confirmed {log.name}'s signal." in ran.out
    assert "nothing counts yet" in ran.out
    size = node.store.state(node.name).size
    ran = await console("sighting", signal, "confirm")
    assert (ran.code, "Confirmed already; nothing was added." in ran.out) == (0, True)
    assert (await console("sighting", signal, "confirm", "--json")).json["duplicate"] is True
    assert node.store.state(node.name).size == size
    await node.certify(log.name)
    ran = await console("sighting", signal, "deny")
    assert f"Denied {log.name}'s signal." in ran.out
    assert "nothing counts yet" not in ran.out
    again = (await console("sighting", signal, "deny", "--json")).json
    assert (again["duplicate"], again["index"]) == (True, size)


async def test_a_lowered_confidence_is_explained(console: Console) -> None:
    node = console.api.node
    known = await node.knowledge.signal(1, ["ab" * 32], confidence=80)
    ran = await console(*REPORT, "--derived-from", known[:12])
    assert (
        f"confidence 64 %, lowered from 80 %: its parent {known[:12]} allows no more" in ran.words
    )
    told = (await console(*REPORT, "--derived-from", known, "--json")).json
    assert (told["lowered_from"], told["derived_from"]) == (80, known)
    for options in (("--derived-from", known, "--confidence", "64"), ()):
        ran = await console(*REPORT, *options)
        assert "lowered from" not in ran.words
        assert "lowered_from" not in (await console(*REPORT, *options, "--json")).json
    ran = await console(*REPORT, "--derived-from", "ab" * 32)
    assert ran.code == 1
    assert "`--derived-from`" in ran.err
    assert "`derived_from`" not in ran.err


async def test_check_names_its_tier(console: Console) -> None:
    assert "tier local: what was promoted" in (await console("check", "hello")).words
    ran = await console("check", "hello", "--risk", "0.8")
    assert "tier global: as regional, with more time" in ran.words


async def test_a_proof_is_written_while_the_node_runs(console: Console, tmp_path: Path) -> None:
    node, log = console.api.node, log_of(console)
    (signal,) = log.append_signals(1)
    await node.follow(log)
    out = tmp_path / "one.tlog-proof"
    assert (await console("log", "prove", signal[:8], "-o", out)).code == 0
    ran = await console("verify", out)
    assert ran.code == 0
    assert signal in ran.out
