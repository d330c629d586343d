from __future__ import annotations

import json
import shutil
import socket
import sqlite3
from pathlib import Path

import pytest
from cli_support import Ran, make_nodes, orgnode, signed_mesh

from orgnode.datadir import DataDir


def verdicts(ran: Ran) -> dict[str, str]:
    return {one["check"]: one["verdict"] for one in ran.objects}


def hint(ran: Ran, check: str) -> str:
    return next(one["hint"] for one in ran.objects if one["check"] == check)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a node that has joined a mesh; not to be changed."""
    home = tmp_path_factory.mktemp("mesh")
    nodes = make_nodes(home, "acme", "birch", "cobalt", "dune")
    genesis = signed_mesh(home, nodes)
    ran = orgnode("--data-dir", nodes[0], "genesis", "join", genesis)
    assert ran.code == 0
    return nodes[0]


@pytest.fixture
def joined(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "acme"))


def doctor(data: Path) -> Ran:
    return orgnode("--data-dir", data, "--json", "doctor")


def test_no_node_at_all(tmp_path: Path) -> None:
    ran = doctor(tmp_path / "none")
    assert ran.code == 1
    found = verdicts(ran)
    assert found["python"] == "good"
    assert found["data directory"] == "bad"
    assert "config" not in found
    assert "orgnode init" in hint(ran, "data directory")


def test_a_node_that_has_not_joined(tmp_path: Path) -> None:
    (data,) = make_nodes(tmp_path, "acme")
    ran = doctor(data)
    assert ran.code == 1
    found = verdicts(ran)
    assert found["genesis"] == "bad"
    assert found["peers"] == "skipped"
    assert [name for name, verdict in found.items() if verdict == "bad"] == ["genesis"]


def test_a_stopped_node_that_is_well(joined: Path) -> None:
    ran = doctor(joined)
    assert ran.code == 0
    found = verdicts(ran)
    assert "bad" not in found.values()
    assert found["node"] == "skipped"
    assert found["local port"] == found["federation port"] == "good"
    assert found["peer birch.example"] == "warning"
    assert found["keys"] == "warning", "they are not under a passphrase"
    text = orgnode("--data-dir", joined, "doctor").out
    assert "✓ python" in text
    warnings = list(found.values()).count("warning")
    assert warnings > 1
    assert f"Nothing to repair here; {warnings} warnings." in text


def test_what_is_folded_stays_in_its_column(joined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = orgnode("--data-dir", joined, "doctor").out.splitlines()
    (at,) = [n for n, line in enumerate(lines) if line.startswith("! keys ")]
    assert lines[at].index("open, not") == lines[at + 1].index("whoever") == 26
    assert not lines[at + 1][:26].strip()
    hints = [n for n, line in enumerate(lines) if line.startswith("    → ")]
    folded = [n for n in hints if lines[n + 1].startswith("      ") and lines[n + 1][6] != " "]
    assert folded, "a hint's second line begins below its first word"


@pytest.mark.parametrize(
    ("check", "file", "content"),
    [
        ("config", "config.toml", b"nmae = 'x'\n"),
        ("keys", "keys/keystore.json", b"{}"),
        ("card", "card.note", b"nothing"),
        ("genesis", "genesis.note", b"nothing"),
        ("selection key", "selection.key", b"00" * 32),
        ("selection key", "selection.key", b"short"),
        ("committee", "keys/share.json", b"{}"),
        ("benign corpus", "benign.jsonl", b'"another"\n'),
        ("policy", "policy.toml", b"mode = 'enfroce'\n"),
        ("token", "token", b"short"),
        ("database", "node.db", b"this is not a database, whatever its name says" * 100),
    ],
)
def test_a_damaged_file_is_named(joined: Path, check: str, file: str, content: bytes) -> None:
    path = joined / file
    path.touch(mode=0o600)
    path.write_bytes(content)
    ran = doctor(joined)
    assert ran.code == 1
    assert verdicts(ran)[check] == "bad"
    assert "✗" in orgnode("--data-dir", joined, "doctor").out


@pytest.mark.parametrize(
    ("check", "file"),
    [
        ("keys", "keys/keystore.json"),
        ("token", "token"),
        ("selection key", "selection.key"),
        ("committee", "keys/share.json"),
    ],
)
def test_a_secret_that_others_can_read(joined: Path, check: str, file: str) -> None:
    (joined / file).chmod(0o644)
    ran = doctor(joined)
    assert ran.code == 1
    assert verdicts(ran)[check] == "bad"
    assert "chmod 600" in hint(ran, check)


def test_what_the_founding_left_is_told(joined: Path) -> None:
    details = {one["check"]: one["detail"] for one in doctor(joined).objects}
    assert "seat 1 of 4" in details["committee"]
    assert "the ones that the genesis names" in details["benign corpus"]
    assert "mode monitor" in details["policy"]


@pytest.mark.parametrize(
    ("check", "file"),
    [
        ("selection key", "selection.key"),
        ("committee", "keys/share.json"),
        ("benign corpus", "benign.jsonl"),
    ],
)
def test_what_is_missing_can_be_had_again(joined: Path, check: str, file: str) -> None:
    (joined / file).unlink()
    ran = doctor(joined)
    assert (ran.code, verdicts(ran)[check]) == (1, "bad")
    assert "genesis join" in hint(ran, check) or "copy it from a founder" in hint(ran, check)


def test_another_seat_s_share(joined: Path, made: Path) -> None:
    share = json.loads((joined / "keys/share.json").read_text())
    (joined / "keys/share.json").write_text(json.dumps(share | {"seat": 2}))
    ran = doctor(joined)
    assert (ran.code, verdicts(ran)["committee"]) == (1, "bad")


def test_a_kill_switch_that_is_on(joined: Path) -> None:
    (joined / "policy.toml").write_text("kill_switch = true\n")
    ran = doctor(joined)
    assert (ran.code, verdicts(ran)["policy"]) == (0, "warning")


def test_a_member_without_a_seat_and_without_a_corpus(tmp_path: Path) -> None:
    nodes = make_nodes(tmp_path, "acme", "birch", "cobalt")
    genesis = signed_mesh(tmp_path, nodes, "--no-benign", seats=("acme.example", "birch.example"))
    ran = orgnode("--data-dir", nodes[2], "--json", "genesis", "join", genesis)
    assert (ran.code, ran.objects[0]["seat"]) == (0, None)
    found = {one["check"]: one for one in doctor(nodes[2]).objects}
    assert found["committee"]["verdict"] == "good"
    assert "no seat" in found["committee"]["detail"]
    assert found["benign corpus"]["verdict"] == "warning"


def test_a_directory_that_others_can_list(joined: Path) -> None:
    joined.chmod(0o755)
    ran = doctor(joined)
    assert verdicts(ran)["data directory"] == "warning"
    assert "chmod 700" in hint(ran, "data directory")


def test_a_damaged_page_in_the_database(joined: Path) -> None:
    database = joined / "node.db"
    database.touch(mode=0o600)
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE t (a TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 200)
    connection.close()
    assert verdicts(doctor(joined))["database"] == "good"
    data = bytearray(database.read_bytes())
    data[4096:8192] = bytes(4096)
    database.write_bytes(data)
    ran = doctor(joined)
    assert ran.code == 1
    assert verdicts(ran)["database"] == "bad"


def test_the_keys_of_another_node(joined: Path, tmp_path: Path) -> None:
    (other,) = make_nodes(tmp_path / "other", "acme")
    keystore = joined / "keys" / "keystore.json"
    keystore.write_bytes((other / "keys" / "keystore.json").read_bytes())
    found = verdicts(doctor(joined))
    assert found["card"] == found["genesis"] == "bad"
    assert found["keys"] == "warning"


def test_a_passphrase_that_is_missing_or_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORGNODE_PASSPHRASE", "right")
    (data,) = make_nodes(tmp_path, "acme")
    assert verdicts(doctor(data))["keys"] == "good"
    monkeypatch.setenv("ORGNODE_PASSPHRASE", "wrong")
    assert verdicts(doctor(data))["keys"] == "bad"
    monkeypatch.delenv("ORGNODE_PASSPHRASE")
    ran = doctor(data)
    assert verdicts(ran)["keys"] == "bad"
    assert "ORGNODE_PASSPHRASE" in hint(ran, "keys")


def test_a_port_that_something_else_uses(joined: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = joined / "config.toml"
        config.write_text(config.read_text().replace("local_port = 0", f"local_port = {port}"))
        ran = doctor(joined)
    assert ran.code == 1
    assert verdicts(ran)["local port"] == "bad"
    assert "local_port" in hint(ran, "local port")


def test_a_card_that_leads_to_another_port(joined: Path) -> None:
    config = joined / "config.toml"
    config.write_text(
        config.read_text().replace("federation_port = 21000", "federation_port = 21005")
    )
    assert verdicts(doctor(joined))["card"] == "warning"


def test_a_misspelt_variable(joined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORGNODE_LOG_LEVLE", "debug")
    ran = doctor(joined)
    assert verdicts(ran)["environment"] == "warning"
    assert "ORGNODE_LOG_LEVEL" in hint(ran, "environment")


def test_nothing_is_changed(joined: Path) -> None:
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in joined.rglob("*") if path.is_file()}

    before = contents()
    doctor(joined)
    assert contents() == before


def test_the_slow_back_end_is_warned_of(joined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orgnode.cli import checks

    monkeypatch.setattr(checks, "backend_names", lambda: ("py_ecc", "py_ecc"))
    ran = doctor(joined)
    assert verdicts(ran)["proof back ends"] == "warning"
    assert "signal-mesh[fast]" in hint(ran, "proof back ends")


def test_a_node_that_is_starting(joined: Path) -> None:
    with DataDir(joined).lock():
        assert verdicts(doctor(joined))["node"] == "warning"
