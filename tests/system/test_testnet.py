"""Three organizations as real processes, used through the command line from outside."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from testnet_support import arrival, environment, orgnode, processes_about

from orgnode.testnet import TestNetwork

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks at processes in /proc"),
]

MARKER = "MARKER-5c1e"
HEADER = (
    "text,capability_gain,breadth,ease_of_weaponization,discoverability,"
    "category,technique,reference\n"
)
SCORES = [
    "--capability-gain", "6", "--breadth", "5",
    "--ease-of-weaponization", "5", "--discoverability", "5",
]  # fmt: skip
KIND = ["--category", "ncr", "--technique", "AML.T0054"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("mesh") / "net"
    up = orgnode("--json", "testnet", "up", "--dir", made, "--orgs", "3", "--maverick")
    try:
        assert up.code == 0, up
        assert [org["state"] for org in up.objects] == ["running"] * 3
        yield made
    finally:
        down = orgnode("--json", "testnet", "down", "--dir", made, "--remove")
        assert down.code == 0, down
        assert not made.exists()
        assert processes_about(made) == []


@pytest.fixture(scope="module")
def acme(directory: Path) -> Path:
    return directory / "acme"


@pytest.fixture(scope="module")
def birch(directory: Path) -> Path:
    return directory / "birch"


@pytest.fixture(scope="module")
def liar(directory: Path) -> Path:
    return directory / "cobalt"


def report(data: Path, text: str, *options: str) -> str:
    """Publish one incident; returns its signal's id."""
    ran = orgnode("--data-dir", data, "--json", "report", *KIND, *SCORES, *options, stdin=text)
    assert ran.code == 0, ran
    assert text not in ran.out + ran.err
    return str(ran.objects[0]["signal"])


def test_up_again_leaves_running_nodes_alone(directory: Path) -> None:
    before = orgnode("--json", "testnet", "status", "--dir", directory)
    again = orgnode("--json", "testnet", "up", "--dir", directory)
    assert again.code == before.code == 0
    assert again.objects == before.objects
    other = orgnode("--json", "testnet", "up", "--dir", directory, "--orgs", "4")
    assert (other.code, other.error["code"]) == (1, "OtherNetworkError")


def test_a_reported_incident_is_verified_at_a_peer(acme: Path, birch: Path) -> None:
    entry = report(acme, f"{MARKER} one")
    item = arrival(birch, lambda item: item.signal is not None and item.signal.id == entry)
    assert item.type == "signal"
    text = orgnode("--data-dir", birch, "verify", entry[:12])
    assert text.code == 0
    for step in ("issuer", "checkpoint", "inclusion", "entry", "body", "signal", "severity"):
        assert f"✓ {step}" in text.out
    assert "does not show" in text.out
    shown = orgnode("--data-dir", birch, "--json", "show", entry)
    assert shown.code == 0
    assert (shown.objects[0]["issuer"], shown.objects[0]["band"]) == ("acme.example", "high")
    assert MARKER not in text.out + shown.out
    wrong = orgnode("--data-dir", birch, "--json", "verify", "0" * 64)
    assert (wrong.code, wrong.error["code"]) == (1, "UnknownIdError")


def test_a_file_with_faults_loses_nothing_and_is_safe_to_run_again(
    acme: Path, tmp_path: Path
) -> None:
    rows = [
        f"{MARKER} good,5,5,5,5,ncr,AML.T0054,",
        f"{MARKER} not a number,x,5,5,5,ncr,AML.T0054,",
        f"{MARKER} no band,0,0,0,0,ncr,AML.T0054,",
        f'"{MARKER} two\nlines",9,9,9,9,prv,AML.T0057,ticket-1',
        f"{MARKER} no category,5,5,5,5,xyz,AML.T0054,",
    ]
    path = tmp_path / "incidents.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    first = orgnode("--data-dir", acme, "report", "--file", path)
    assert first.code == 1
    assert "2 published, 3 failed" in first.out
    assert [line.split(":")[0] for line in first.err.splitlines()] == ["line 3", "line 4", "line 7"]
    for word in ("RowError", "NoBandError", "UnknownCategoryError"):
        assert word in first.err
    assert MARKER not in first.out + first.err

    again = orgnode("--data-dir", acme, "--json", "report", "--file", path)
    assert again.code == 1
    done = {one["line"]: one for one in again.objects}
    assert [done[line]["ok"] for line in (2, 3, 4, 5, 7)] == [True, False, False, True, False]
    assert done[2]["duplicate"]
    assert done[5]["duplicate"]
    listed = orgnode(
        "--data-dir", acme, "--json", "signals", "--issuer", "acme.example", "--limit", "500"
    )
    ids = [one["id"] for one in listed.objects]
    assert ids.count(done[2]["signal"]) == ids.count(done[5]["signal"]) == 1
    critical = orgnode("--data-dir", acme, "--json", "signals", "--min-band", "critical")
    assert [one["id"] for one in critical.objects] == [done[5]["signal"]]


def test_a_forged_signal_is_refused_by_the_others(acme: Path, birch: Path, liar: Path) -> None:
    honest = report(liar, f"{MARKER} the liar is honest here")
    forged = report(liar, f"{MARKER} and lies here", "--reference", "forge-1")
    after = report(liar, f"{MARKER} and is honest again")
    for data in (acme, birch):
        item = arrival(data, lambda item: item.id == forged)
        assert (item.type, item.error, item.issuer) == (
            "refused",
            "ProofEquationError",
            "cobalt.example",
        )
        # One bad entry never stops that peer's feed.
        for entry in (honest, after):
            arrival(
                data, lambda item, entry=entry: item.signal is not None and item.signal.id == entry
            )
    refused = orgnode("--data-dir", acme, "--json", "signals", "--refused")
    assert [(one["id"], one["error"]) for one in refused.objects] == [
        (forged, "ProofEquationError")
    ]
    listed = orgnode("--data-dir", acme, "--json", "signals", "--limit", "500")
    assert forged not in {one["id"] for one in listed.objects}
    # The liar's own node believes it; verifying it there tells the truth.
    verdict = orgnode("--data-dir", liar, "--json", "verify", forged)
    assert (verdict.code, verdict.error["code"]) == (4, "SignalNotValidError")
    assert "ProofEquationError" in verdict.error["message"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_feed_is_followed_until_interrupted(
    acme: Path, birch: Path, ending: signal.Signals
) -> None:
    command = [
        sys.executable, "-m", "orgnode", "--data-dir", str(birch),
        "feed", "--follow", "--json", "--last", "0", "--category", "spc_fin",
    ]  # fmt: skip
    # Ignored signals are inherited: so does a shell start what runs in the background.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        following = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment())
    finally:
        signal.signal(signal.SIGINT, before)
    with following:
        assert following.stdout is not None
        try:
            # Which of the two comes first is open, so report until the follower has heard of one.
            os.set_blocking(following.stdout.fileno(), False)
            published = []
            line = b""
            while not line and len(published) < 30:
                ran = orgnode(
                    "--data-dir", acme, "--json", "report", "--category", "spc_fin",
                    "--technique", "AML.T0054", *SCORES, stdin=f"{MARKER} {len(published)}",
                )  # fmt: skip
                published.append(ran.objects[0]["signal"])
                line = following.stdout.readline() or b""
            item = json.loads(line)
            assert item["type"] == "signal"
            assert item["signal"]["id"] in published
            assert item["signal"]["category"] == "spc_fin"
            following.send_signal(ending)
            assert following.wait(30) == 0, "this is the normal end of following"
        finally:
            following.kill()


def test_the_past_of_the_feed_is_filtered_and_ends(acme: Path, birch: Path) -> None:
    entry = report(acme, f"{MARKER} for the past")
    arrival(birch, lambda item: item.signal is not None and item.signal.id == entry)
    past = orgnode("--data-dir", birch, "feed", "--json", "--after", "0", "--category", "ncr")
    assert past.code == 0
    assert entry in {one["signal"]["id"] for one in past.objects}
    assert {one["signal"]["category"] for one in past.objects} == {"ncr"}
    table = orgnode("--data-dir", birch, "feed", "--last", "1")
    assert entry[:12] in table.out
    assert "\x1b" not in table.out


def test_a_retraction_travels(acme: Path, birch: Path) -> None:
    entry = report(acme, f"{MARKER} to be withdrawn")
    arrival(birch, lambda item: item.signal is not None and item.signal.id == entry)
    foreign = orgnode(
        "--data-dir", birch, "--json", "retract", entry, "--reason", "mistake", "--yes"
    )
    assert (foreign.code, foreign.error["code"]) == (1, "NotYourSignalError")
    own = orgnode(
        "--data-dir", acme, "--json", "retract", entry[:16], "--reason", "mistake", "--yes"
    )
    assert own.code == 0
    arrival(
        birch,
        lambda item: (
            item.type == "retraction" and item.signal is not None and item.signal.id == entry
        ),
    )
    shown = orgnode("--data-dir", birch, "show", entry)
    assert shown.code == 0
    assert "retracted" in shown.out
    assert "erased" in shown.out
    verdict = orgnode("--data-dir", birch, "--json", "verify", entry)
    assert (verdict.code, verdict.error["code"]) == (1, "ErasedError")


def test_peers_and_doctor_of_a_running_node(acme: Path) -> None:
    peers = orgnode("--data-dir", acme, "--json", "peers")
    assert peers.code == 0
    assert {one["name"]: one["up"] for one in peers.objects} == {
        "birch.example": True,
        "cobalt.example": True,
    }
    assert "up" in orgnode("--data-dir", acme, "peers").out
    doctor = orgnode("--data-dir", acme, "--json", "doctor")
    assert doctor.code == 0
    found = {one["check"]: one["verdict"] for one in doctor.objects}
    for check in (
        "node",
        "local port",
        "federation port",
        "peer birch.example",
        "clock",
        "database",
    ):
        assert found[check] == "good", check


def test_logs_verify_while_the_node_runs(acme: Path, liar: Path) -> None:
    report(acme, f"{MARKER} own")
    entry = report(liar, f"{MARKER} an honest one of another")
    arrival(acme, lambda item: item.signal is not None and item.signal.id == entry)
    ran = orgnode("--data-dir", acme, "--json", "log", "verify", "--proofs")
    assert ran.code == 0
    audits = {one["log"]: one for one in ran.objects}
    assert all(one["valid"] for one in audits.values())
    assert audits["acme.example"]["proofs"] > 0
    assert audits["cobalt.example"]["proofs"] > 0
    one = orgnode("--data-dir", acme, "--json", "log", "verify", "--peer", "cobalt.example")
    assert [audit["log"] for audit in one.objects] == ["cobalt.example"]
    nobody = orgnode("--data-dir", acme, "--json", "log", "verify", "--peer", "nobody.example")
    assert (nobody.code, nobody.error["code"]) == (1, "UnknownMemberError")


def test_a_node_that_was_told_to_end_is_no_crash(directory: Path, birch: Path) -> None:
    network = TestNetwork.open(directory)
    (process,) = (org.process for org in network.orgs if org.directory == birch)
    assert process is not None
    assert process.send(signal.SIGTERM)
    assert process.wait(30)
    found = orgnode("--json", "testnet", "status", "--dir", directory).objects
    assert {one["name"]: one["state"] for one in found}["birch.example"] == "stopped"
    up = orgnode("--json", "testnet", "up", "--dir", directory)
    assert up.code == 0
    assert {one["state"] for one in up.objects} == {"running"}


def test_a_killed_node_is_seen_and_started_again(directory: Path, acme: Path, birch: Path) -> None:
    network = TestNetwork.open(directory)
    victim = next(org for org in network.orgs if org.directory == birch)
    assert victim.process is not None
    assert victim.process.send(signal.SIGKILL)
    assert victim.process.wait(30)
    states = {
        one["name"]: one["state"]
        for one in orgnode("--json", "testnet", "status", "--dir", directory).objects
    }
    assert states == {
        "acme.example": "running",
        "birch.example": "crashed",
        "cobalt.example": "running",
    }
    unreachable = orgnode("--data-dir", birch, "--json", "peers")
    assert (unreachable.code, unreachable.error["code"]) == (3, "NodeUnreachableError")
    missed = report(acme, f"{MARKER} while birch was away")
    up = orgnode("--json", "testnet", "up", "--dir", directory)
    assert up.code == 0
    assert {one["state"] for one in up.objects} == {"running"}
    arrival(birch, lambda item: item.signal is not None and item.signal.id == missed)


def test_a_tampered_log_does_not_verify(directory: Path, birch: Path) -> None:
    ended = orgnode("--json", "testnet", "down", "--dir", directory)
    assert ended.code == 0
    assert ended.objects[0]["killed"] == []
    assert processes_about(directory) == []
    with closing(sqlite3.connect(birch / "node.db")) as connection:
        changed = connection.execute(
            "UPDATE entry SET note = CAST(replace(CAST(note AS TEXT), '/v1/', '/v2/') AS BLOB)"
            " WHERE idx = 0 AND log = (SELECT id FROM log WHERE name = 'acme.example')"
        )
        assert changed.rowcount == 1
        connection.commit()
    ran = orgnode("--data-dir", birch, "--json", "log", "verify")
    assert (ran.code, ran.error["code"]) == (4, "LogNotValidError")
    assert {one["log"]: one["valid"] for one in ran.objects}["acme.example"] is False
