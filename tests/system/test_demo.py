"""The demonstration as people run it: from a pipe, with a file of their own, interrupted."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from testnet_support import SECONDS, environment, orgnode, processes_about, run

from orgnode.demo.disguise import ATTACK, BENIGN, DISGUISES, RARE_ATTACK

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks at processes in /proc"),
]

MARKER = "MARKER-91b0"
HEADER = (
    "text,capability_gain,breadth,ease_of_weaponization,discoverability,"
    "category,technique,confidence\n"
)


def incidents(tmp_path: Path, *extra: str) -> Path:
    same = f"{MARKER} the same attack,6,6,6,6,ncr,AML.T0054,80"
    path = tmp_path / "incidents.csv"
    path.write_text(
        HEADER + "\n".join([same, same, f"{MARKER} alone,9,9,9,9,prv,AML.T0057,90", *extra])
    )
    return path


def test_an_own_file_with_the_nodes_kept(tmp_path: Path) -> None:
    net = tmp_path / "net"
    try:
        ran = run(
            "orgnode.demo",
            "--orgs",
            "4",
            "--incidents",
            incidents(tmp_path),
            "--dir",
            net,
            "--keep",
        )
        assert ran.code == 0, ran
        assert "\x1b" not in ran.out
        assert MARKER not in ran.out + ran.err
        for org in ("acme", "birch", "cobalt"):
            assert re.search(rf"{org}\.example refused it: ProofEquationError: .*forged", ran.out)
        assert "1 attack was met by more than one organization, by 2 at most" in ran.out
        # org, published, verified, refused, median
        rows = [line.split() for line in ran.out.splitlines() if re.match(r" \w+\.example ", line)]
        assert rows[0][:4] == ["acme.example", "1", "2", "1"]
        assert rows[1][:4] == ["birch.example", "1", "2", "1"]
        assert rows[2][:4] == ["cobalt.example", "1", "2", "1"]
        assert rows[3][:7] == ["dune.example", "(maverick)", "0", "+", "1", "forged", "3"]
        assert all(re.fullmatch(r"\d+ ms", " ".join(row[-2:])) for row in rows)
        # Three of these are honest: nobody is left to be warned by three others.
        assert "run this with --orgs 5 or more" in ran.out
        assert "blocked an attack" not in ran.out
        assert "orgnode --data-dir" in ran.out
        status = orgnode("--json", "testnet", "status", "--dir", net)
        assert [one["state"] for one in status.objects] == ["running"] * 4
    finally:
        down = orgnode("--json", "testnet", "down", "--dir", net, "--remove")
    assert down.code == 0
    assert processes_about(net) == []


def test_an_attack_on_three_is_blocked_at_the_fourth(tmp_path: Path) -> None:
    """The second act: the fourth never saw the text, asks nobody, and no disguise helps."""
    net = tmp_path / "net"
    ran = run("orgnode.demo", "--orgs", "5", "--incidents", incidents(tmp_path), "--dir", net)
    assert ran.code == 0, ran
    columns = [re.split(r" {2,}", line.strip()) for line in ran.out.splitlines()]
    asked = [row for row in columns if len(row) == 7 and row[-1].endswith(" ms")]
    answers = [(row[0], row[1], row[2], row[3]) for row in asked]
    three = "three"
    names = ["the attack as it was", *(name for name, _ in DISGUISES)]
    assert answers == [
        *((name, three, "block", "local") for name in names),
        ("another attack, 2 % typos", "one", "escalate", "regional"),
        ("a dinner for eight", "nobody", "allow", "regional"),
        ("a dinner for eight", "nobody", "allow", "local"),
    ]
    assert {row[5] for row in asked[: len(names)]} == {"3"}, "from three organizations each"
    assert re.search(r"✓ dune\.example blocked an attack that it never saw", ran.out)
    for text in (ATTACK, RARE_ATTACK, BENIGN):
        assert text[20:44] not in ran.out + ran.err
    assert not net.exists()
    assert processes_about(net) == []


def test_what_did_not_happen_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    net = tmp_path / "net"
    path = incidents(
        tmp_path, f"{MARKER} no band,0,0,0,0,ncr,AML.T0054,1", f"{MARKER} no score,x,0,0,0,ncr,y,1"
    )
    ran = run("orgnode.demo", "--orgs", "2", "--incidents", path, "--dir", net)
    assert ran.code == 1
    assert "✗ not published: line 5, birch.example: NoBandError" in ran.out
    assert "✗ not published: line 6: components.capability_gain" in ran.out
    assert "✓" not in ran.out
    assert MARKER not in ran.out + ran.err
    assert not net.exists()
    assert processes_about(net) == []


def test_an_interrupt_ends_everything(tmp_path: Path) -> None:
    net = tmp_path / "net"
    command = [sys.executable, "-u", "-m", "orgnode.demo", "--orgs", "2", "--dir", str(net)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment()
    ) as demo:
        assert demo.stdout is not None
        watchdog = threading.Timer(SECONDS, demo.kill)
        watchdog.start()
        try:
            for line in demo.stdout:
                if b"signal" in line and b".example" in line:
                    break  # in the middle of publishing
            assert processes_about(net / "acme")
            demo.send_signal(signal.SIGINT)
            rest = demo.stdout.read()
            assert demo.wait() == 130, rest
        finally:
            watchdog.cancel()
            demo.kill()
    assert b"interrupted" in rest
    assert b"Traceback" not in rest
    assert not net.exists()
    assert processes_about(net) == []


def test_another_network_s_directory_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    ran = run("orgnode.demo", "--orgs", "2", "--dir", tmp_path)
    assert ran.code == 1
    assert "OtherNetworkError" in ran.err
    assert precious.read_text() == "mine"


def test_a_file_that_cannot_be_read_starts_nothing(tmp_path: Path) -> None:
    net = tmp_path / "net"
    ran = run("orgnode.demo", "--incidents", tmp_path / "nowhere.csv", "--dir", net)
    assert ran.code == 1
    assert "IncidentFileError" in ran.err
    assert not net.exists()
