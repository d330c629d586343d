"""Proofs in files: `log prove`, `log policy`, `evidence`, and `verify` of what they write."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from cli_support import orgnode
from stored_support import make_directory

from mesh.certificate import open_certificate
from mesh.days import LAST_DAY, Day
from mesh.evidence import split_evidence
from mesh.steps import Step
from mesh.testing import Lie, OrgLog, TestMesh, forge_signal, make_mesh
from mesh.wire import Present
from orgnode.cli import stored
from orgnode.cli.render import Output
from orgnode.cli.verify import _show, is_file
from orgnode.store.sqlite import SqliteStore
from proofs.merkle import leaf_hash, verify_inclusion
from proofs.note import VerifierKey
from proofs.tlogproof import TlogProof

ENTRIES = 6


@pytest.fixture(scope="module")
def world() -> TestMesh:
    return make_mesh(4)


@pytest.fixture(scope="module")
def log(world: TestMesh) -> OrgLog:
    made = OrgLog(world, 1)
    made.append_signals(ENTRIES)
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, world: TestMesh, log: OrgLog) -> Path:
    """A node's directory that holds this log, the first half of it certified; not to be changed."""
    return make_directory(tmp_path_factory.mktemp("made") / "node", world, log)


@pytest.fixture
def node(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "node"))


@pytest.fixture
def genesis(world: TestMesh, tmp_path: Path) -> Path:
    """The genesis as somebody else has it."""
    (tmp_path / "the.genesis").write_bytes(world.mesh.note)
    return tmp_path / "the.genesis"


def ids(log: OrgLog) -> list[str]:
    return [leaf_hash(note).hex() for note in log.entries(0, log.size)]


def opened(node: Path, world: TestMesh) -> SqliteStore:
    name, mesh = world.members[0].name, world.mesh.mesh_id
    return SqliteStore.open(node / "node.db", name=name, mesh_id=mesh)


# --- log prove


def test_a_proof_holds_for_whoever_has_the_genesis(
    node: Path, world: TestMesh, log: OrgLog, genesis: Path, tmp_path: Path
) -> None:
    wanted, out = ids(log)[1], tmp_path / "one.tlog-proof"
    ran = orgnode("--data-dir", node, "log", "prove", wanted[:10], "-o", out)
    assert ran.code == 0, ran.err
    assert "3 of 4 members had stored it when they cosigned. Whoever" in ran.out
    assert ran.err == ""
    # What any other tool for transparency logs does with it.
    proof = TlogProof.parse(out.read_bytes())
    certificate = open_certificate(world.mesh, log.name, proof.checkpoint)
    assert certificate.size == ENTRIES // 2
    verify_inclusion(bytes.fromhex(wanted), 1, certificate.size, proof.hashes, certificate.root)
    # What this project does, with no node anywhere.
    shutil.rmtree(node)
    ran = orgnode("--data-dir", tmp_path / "none", "verify", out, "--genesis", genesis)
    assert ran.code == 0, ran.err
    for word in ("mesh", "issuer", "checkpoint", "certified", "inclusion", "entry"):
        assert f"✓ {word}" in ran.out
    assert "✓ severity" not in ran.out
    assert "content is not in this file" in ran.out
    assert "had stored what the log's rules required when they cosigned" in ran.out
    assert "what was retracted or has expired is erased since" in ran.out
    assert "Whether it counts (dates, quota, retraction) is not shown" in ran.out
    assert wanted in ran.out
    told = orgnode("verify", out, "--genesis", genesis, "--json").objects[0]
    assert (told["kind"], told["log"], told["entry"]) == ("tlog-proof", log.name, wanted)
    assert (told["valid"], told["mesh"]) == (True, world.mesh.mesh_id)
    assert told["steps"][0]["name"] == "issuer"


def test_with_the_body_what_it_claims_is_verified_too(
    node: Path, log: OrgLog, genesis: Path, tmp_path: Path
) -> None:
    out = tmp_path / "one.tlog-proof"
    assert orgnode("--data-dir", node, "log", "prove", ids(log)[2], "--body", "-o", out).code == 0
    ran = orgnode("--data-dir", node, "verify", out)  # the genesis of the data directory
    assert ran.code == 0, ran.err
    assert "✓ severity" in ran.out
    assert "honest" in ran.out
    ran = orgnode("--data-dir", node, "log", "prove", ids(log)[2], "--json")
    assert ran.objects[0]["body"] is False
    answer = log.bodies(2, 3)[0]
    assert isinstance(answer, Present)
    token = answer.body[answer.body.index(b'"tokens"') :][12:76].decode()
    assert token not in ran.out, "without --body no content goes out"


def test_a_proof_goes_to_standard_output_byte_for_byte(
    node: Path, log: OrgLog, tmp_path: Path
) -> None:
    out, wanted = tmp_path / "x", ids(log)[0]
    orgnode("--data-dir", node, "log", "prove", wanted, "-o", out)
    assert orgnode("--data-dir", node, "log", "prove", wanted).out.encode() == out.read_bytes()
    told = orgnode("--data-dir", node, "log", "prove", wanted, "--json").objects[0]
    assert told["proof"].encode() == out.read_bytes()
    assert (told["issuer"], told["index"], told["size"]) == (log.name, 0, 3)
    assert len(told["cosigners"]) == 3
    (tmp_path / "mine").write_text("precious")
    for taken in (out, tmp_path / "mine"):
        ran = orgnode("--data-dir", node, "--json", "log", "prove", wanted, "-o", taken)
        assert (ran.code, ran.error["code"]) == (1, "OutputExistsError")
    assert (tmp_path / "mine").read_text() == "precious"
    out = tmp_path / "y"
    told = orgnode("--data-dir", node, "log", "prove", wanted, "--json", "-o", out).objects[0]
    assert (told["file"], "proof" in told) == (str(out), False)
    assert (told["status"], told["suspended"], told["erased"]) == ("live", False, False)


def test_what_no_quorum_holds_is_not_proven(node: Path, log: OrgLog, tmp_path: Path) -> None:
    out = tmp_path / "x"
    ran = orgnode("--data-dir", node, "--json", "log", "prove", ids(log)[4][:12], "-o", out)
    assert (ran.code, ran.error["code"]) == (1, "NotCertifiedError")
    assert not out.exists()


def test_an_erased_signal_can_be_proven_without_its_content(
    node: Path, world: TestMesh, log: OrgLog, tmp_path: Path
) -> None:
    with opened(node, world) as store:
        asyncio.run(store.erase_body(log.name, 1))
    ran = orgnode("--data-dir", node, "--json", "log", "prove", ids(log)[1], "--body")
    assert (ran.code, ran.error["code"]) == (1, "ContentErasedError")
    assert orgnode("--data-dir", node, "log", "prove", ids(log)[1]).code == 0
    ran = orgnode("--data-dir", node, "log", "prove", ids(log)[1], "-o", tmp_path / "x")
    assert "when they cosigned; its content is erased since." in ran.out
    told = orgnode("--data-dir", node, "--json", "log", "prove", ids(log)[1]).objects[0]
    assert told["erased"] is True


def test_what_expired_is_proven_and_said_to_be_over(
    node: Path, world: TestMesh, log: OrgLog, genesis: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.tlog-proof"
    with opened(node, world) as store:
        asyncio.run(store.expire(Day(LAST_DAY)))
    ran = orgnode("--data-dir", node, "log", "prove", ids(log)[1], "-o", out)
    assert ran.code == 0
    assert ran.err.startswith("! expired: ")
    ran = orgnode("--data-dir", node, "verify", out)
    assert (ran.code, "! expired " in ran.out) == (0, True)
    told = orgnode("--data-dir", node, "--json", "verify", out).objects[0]
    assert (told["status"], told["suspended"]) == ("expired", False)
    assert told["steps"][-1]["name"] == "expired"
    # Who has the genesis alone knows nothing of it.
    told = orgnode("--data-dir", node, "--json", "verify", out, "--genesis", genesis).objects[0]
    assert "status" not in told
    (node / "node.db").write_bytes(b"no database")
    ran = orgnode("--data-dir", node, "verify", out)
    assert (ran.code, "own store was not asked" in ran.err) == (0, True)


def test_a_signal_on_a_later_page_is_found_by_its_first_digits(
    node: Path, log: OrgLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_PAGE", 2)
    told = orgnode("--data-dir", node, "--json", "log", "prove", ids(log)[0][:8]).objects[0]
    assert told["signal"] == ids(log)[0]


def test_an_id_that_is_none_of_a_signal_s(node: Path, log: OrgLog, tmp_path: Path) -> None:
    for given, code, error in (
        ("0" * 64, 1, "UnknownIdError"),
        ("0" * 20, 1, "UnknownIdError"),
        ("abc", 2, "UsageProblemError"),
        ("xyz" * 5, 2, "UsageProblemError"),
    ):
        ran = orgnode("--data-dir", node, "--json", "log", "prove", given)
        assert (ran.code, ran.error["code"]) == (code, error)
    (node / "node.db").unlink()
    ran = orgnode("--data-dir", node, "--json", "log", "prove", ids(log)[0])
    assert (ran.code, ran.error["code"]) == (1, "NoDatabaseError")


def test_a_refused_entry_is_said_to_be_refused(tmp_path: Path, world: TestMesh) -> None:
    lying = OrgLog(world, 1)
    lying.append_signals(1)
    lying.append_signal(forge_signal(world.mesh, lying.name, Lie.OTHER_BAND, Random(1)))
    lying.append_signals(1)
    node = make_directory(tmp_path / "node", world, lying)
    wanted = ids(lying)[1]
    for given in (wanted, wanted[:8]):
        ran = orgnode("--data-dir", node, "--json", "log", "prove", given)
        assert (ran.code, ran.error["code"]) == (1, "RefusedSignalError")
        assert "ProofEquationError" in ran.error["message"]


# --- log policy


def test_a_policy_names_the_log_and_the_quorum_of_its_witnesses(
    node: Path, world: TestMesh, log: OrgLog
) -> None:
    ran = orgnode("--data-dir", node, "log", "policy", log.name)
    assert ran.code == 0
    lines = [line.split(" ") for line in ran.out.splitlines() if not line.startswith("#")]
    assert [line[0] for line in lines] == ["log", *["witness"] * 4, "group", "quorum"]
    assert VerifierKey.parse(lines[0][1]) == world.mesh.log_key(log.name)
    names = [card.name for card in world.mesh.members]
    for line, card in zip(lines[1:5], world.mesh.members, strict=True):
        assert (line[1], VerifierKey.parse(line[2])) == (card.name, card.witness_key)
    group = lines[6][1]
    assert lines[5] == ["group", group, "3", *names]
    assert group not in [*names, "none"]
    assert all(len(line) == 3 for line in lines[1:5]), "no URLs: members answer members only"
    told = orgnode("--data-dir", node, "--json", "log", "policy", log.name).objects[0]
    assert (told["member"], told["policy"]) == (log.name, ran.out)
    ran = orgnode("--data-dir", node, "--json", "log", "policy", "nobody.example")
    assert (ran.code, ran.error["code"]) == (1, "UnknownMemberError")


# --- evidence


@pytest.fixture
def convicted(node: Path, world: TestMesh, log: OrgLog) -> Path:
    """A node that has proof against the log."""
    fork = log.fork(ENTRIES - 1)
    fork.append_signals(1)
    proof = split_evidence(world.mesh, log.name, log.checkpoint(), fork.checkpoint())
    with opened(node, world) as store:
        state = replace(store.state(log.name), evidence=proof)
        asyncio.run(store.save_state(log.name, state))
    return node


def test_evidence_is_listed_exported_and_verified_elsewhere(
    convicted: Path, world: TestMesh, log: OrgLog, genesis: Path, tmp_path: Path
) -> None:
    ran = orgnode("--data-dir", convicted, "evidence")
    assert ran.code == 0
    assert f"{log.name} split" in " ".join(ran.out.split())
    assert f"orgnode evidence --export {log.name} -o birch.evidence" in ran.out
    (one,) = orgnode("--data-dir", convicted, "--json", "evidence").objects
    assert (one["log"], one["kind"]) == (log.name, "split")
    out = tmp_path / "birch.evidence"
    ran = orgnode("--data-dir", convicted, "evidence", "--export", log.name, "-o", out)
    assert ran.code == 0
    ran = orgnode("--data-dir", convicted, "--json", "evidence", "--export", log.name, "-o", out)
    assert (ran.code, ran.error["code"]) == (1, "OutputExistsError")
    shutil.rmtree(convicted)
    ran = orgnode("--data-dir", tmp_path / "none", "verify", out, "--genesis", genesis)
    assert ran.code == 0, ran.err
    assert "✓ accused" in ran.out
    assert "signed two histories" in ran.out
    told = orgnode("verify", out, "--genesis", genesis, "--json").objects[0]
    assert (told["kind"], told["log"], told["valid"]) == ("evidence", log.name, True)
    out.write_bytes(out.read_bytes() + b"\n")  # as an editor saves it
    assert orgnode("verify", out, "--genesis", genesis).code == 0


def test_a_suspended_log_is_valid_and_said_to_be_suspended(
    convicted: Path, world: TestMesh, log: OrgLog, tmp_path: Path
) -> None:
    ran = orgnode("--data-dir", convicted, "log", "verify")
    assert (ran.code, ran.err) == (0, "")
    assert "! suspended: it showed two histories; see `orgnode evidence`" in ran.out
    assert "NOT VALID" not in ran.out
    # All members have their line, those whose logs are empty too.
    found = orgnode("--data-dir", convicted, "--json", "log", "verify", "--proofs").objects
    assert [one["log"] for one in found] == [card.name for card in world.members]
    assert [(one["valid"], one["suspended"]) for one in found] == [
        (True, "split" if one["log"] == log.name else None) for one in found
    ]
    out = tmp_path / "x.tlog-proof"
    ran = orgnode("--data-dir", convicted, "log", "prove", ids(log)[1], "-o", out)
    assert (ran.code, ran.err.startswith("! suspended: ")) == (0, True)
    ran = orgnode("--data-dir", convicted, "verify", out)
    assert (ran.code, "! suspended " in ran.out) == (0, True)


def test_a_damaged_log_s_hint_names_a_way_that_is_safe(
    convicted: Path, log: OrgLog, world: TestMesh
) -> None:
    with closing(sqlite3.connect(convicted / "node.db")) as connection:
        connection.execute("UPDATE certificate SET note = ?", (log.certificate(1),))
        connection.commit()
    ran = orgnode("--data-dir", convicted, "--json", "log", "verify")
    assert (ran.code, ran.error["code"]) == (4, "LogNotValidError")
    assert "suspended" not in ran.error["message"]
    assert "orgnode restore BACKUP --data-dir NEW" in ran.error["hint"]
    ran = orgnode("--data-dir", convicted, "log", "verify")
    assert "NOT VALID" in ran.out
    assert "! suspended" in ran.out


@pytest.fixture
def frozen(convicted: Path) -> Iterator[Path]:
    """That node's directory where nothing can be written, and nobody with special rights."""
    root = Path(tempfile.mkdtemp())  # tmp_path is nobody's but the user's
    root.chmod(0o755)
    made = Path(shutil.copytree(convicted, root / "node"))
    for file in made.iterdir():
        file.chmod(0o444)
    made.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65_534)
    try:
        yield made
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        made.chmod(0o755)
        shutil.rmtree(root)


def test_what_is_stored_is_looked_at_on_a_disk_that_cannot_be_written(
    frozen: Path, log: OrgLog
) -> None:
    assert not os.access(frozen, os.W_OK, effective_ids=True)
    before = {path.name: path.stat().st_mtime_ns for path in frozen.iterdir()}
    for command in (["log", "verify"], ["evidence"], ["log", "prove", ids(log)[1]]):
        ran = orgnode("--data-dir", frozen, *command)
        assert ran.code == 0, ran.err
    assert {path.name: path.stat().st_mtime_ns for path in frozen.iterdir()} == before


def test_commits_that_cannot_be_joined_are_not_passed_over(
    frozen: Path, world: TestMesh, log: OrgLog
) -> None:
    # As after a power cut, with the last commits in the log beside the database.
    os.seteuid(os.getuid())
    frozen.chmod(0o755)
    (frozen / "node.db-wal").write_bytes(bytes(64))
    frozen.chmod(0o555)
    if os.getuid() == 0:
        os.seteuid(65_534)
    ran = orgnode("--data-dir", frozen, "--json", "log", "verify")
    assert (ran.code, ran.error["code"]) == (1, "StoreReadOnlyError")
    assert "copy the data directory" in ran.error["hint"]


def test_without_evidence_there_is_nothing_to_show(
    node: Path, world: TestMesh, log: OrgLog, tmp_path: Path
) -> None:
    ran = orgnode("--data-dir", node, "evidence")
    assert (ran.code, "no member has been proven" in ran.out) == (0, True)
    for member, error in (
        (log.name, "NoEvidenceError"),
        (world.members[0].name, "NoEvidenceError"),
        ("nobody.example", "UnknownMemberError"),
    ):
        ran = orgnode(
            "--data-dir", node, "--json", "evidence", "--export", member, "-o", tmp_path / "x"
        )
        assert (ran.code, ran.error["code"]) == (1, error)
    assert not (tmp_path / "x").exists()
    for options in (["--export", log.name], ["-o", tmp_path / "x"]):
        ran = orgnode("--data-dir", node, "--json", "evidence", *options)
        assert (ran.code, ran.error["code"]) == (2, "UsageProblemError")


def test_stored_evidence_that_does_not_hold_is_told_of(
    node: Path, world: TestMesh, log: OrgLog, tmp_path: Path
) -> None:
    fork = log.fork(ENTRIES - 1)
    fork.append_signals(1)
    true = split_evidence(world.mesh, log.name, log.checkpoint(), fork.checkpoint())
    with opened(node, world) as store:
        state = replace(store.state(log.name), evidence=replace(true, second=true.first))
        asyncio.run(store.save_state(log.name, state))
    for options in ([], ["--export", log.name, "-o", tmp_path / "x"]):
        ran = orgnode("--data-dir", node, "--json", "evidence", *options)
        assert (ran.code, ran.error["code"]) == (4, "EvidenceNotValidError")
    assert not (tmp_path / "x").exists()


# --- verify FILE


def test_a_file_that_was_changed_does_not_hold(
    node: Path, log: OrgLog, genesis: Path, tmp_path: Path
) -> None:
    out = tmp_path / "one.tlog-proof"
    orgnode("--data-dir", node, "log", "prove", ids(log)[1], "--body", "-o", out)
    lines = out.read_text().splitlines(keepends=True)
    changed = {
        "index": [line.replace("index 1", "index 0") for line in lines],
        "a cosignature": lines[:-1],
        "the extra data": [line.replace("extra A", "extra B") for line in lines],
        "its end": lines[:3],
        "all but the header": lines[:1],
    }
    for what, text in changed.items():
        assert text != lines, what
        out.write_text("".join(text))
        ran = orgnode("--json", "verify", out, "--genesis", genesis)
        assert (ran.code, ran.error["code"]) == (4, "FileNotValidError"), what
        assert ran.out == ""
        assert "NOT valid" in ran.error["message"]
        assert ran.error["hint"]


def test_a_genesis_that_is_none_is_not_taken_for_a_failed_proof(
    node: Path, log: OrgLog, genesis: Path, tmp_path: Path
) -> None:
    out, broken = tmp_path / "one.tlog-proof", tmp_path / "broken.genesis"
    orgnode("--data-dir", node, "log", "prove", ids(log)[1], "-o", out)
    for data in (b"", genesis.read_bytes()[:-20], genesis.read_bytes().replace(b"8", b"9", 1)):
        broken.write_bytes(data)
        for what in (out, ids(log)[1]):
            ran = orgnode("--data-dir", node, "--json", "verify", what, "--genesis", broken)
            assert (ran.code, ran.error["code"]) == (4, "GenesisFileError")
            assert f"the genesis {broken} is not valid: " in ran.error["message"]
            assert "compare the mesh id" in ran.error["hint"]
    none = tmp_path / "none"
    for what, said in ((out, True), (ids(log)[1], False)):
        ran = orgnode("--data-dir", none, "--json", "verify", what)
        assert (ran.code, ran.error["code"]) == (1, "DataDirMissingError")
        assert ran.error["hint"].endswith("or give --genesis FILE") is said


def test_steps_stand_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [Step("mesh", "one"), Step("provisional", "two"), Step("contradiction", "three")]
    _show(Output(), steps, "x holds.", "y")
    lines = capsys.readouterr().out.splitlines()[:3]
    assert [
        line.index(word) for line, word in zip(lines, ("one", "two", "three"), strict=True)
    ] == [2 + len("contradiction") + 2] * 3
    assert [line[0] for line in lines] == ["✓", "!", "✓"]


def test_a_proof_of_another_mesh_does_not_hold(node: Path, log: OrgLog, tmp_path: Path) -> None:
    out, other = tmp_path / "one.tlog-proof", tmp_path / "other.genesis"
    orgnode("--data-dir", node, "log", "prove", ids(log)[1], "-o", out)
    other.write_bytes(make_mesh(4, seed=1).mesh.note)
    ran = orgnode("--json", "verify", out, "--genesis", other)
    assert (ran.code, ran.error["code"]) == (4, "FileNotValidError")
    assert "another mesh" in ran.error["hint"]


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"{", b"{}", b'{"kind":"split"}', b"\xff" * 100, b"c2sp.org/tlog-proof"]
)
def test_what_is_no_proof_is_not_valid(genesis: Path, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.txt").write_bytes(data)
    ran = orgnode("--json", "verify", tmp_path / "x.txt", "--genesis", genesis)
    assert (ran.code, ran.error["code"]) == (4, "FileNotValidError")


def test_a_file_that_is_too_long_or_not_there(genesis: Path, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"c2sp.org/tlog-proof@v1\n" + b"x" * (3 << 20))
    ran = orgnode("--json", "verify", tmp_path / "x.txt", "--genesis", genesis)
    assert (ran.code, ran.error["code"]) == (4, "FileNotValidError")
    ran = orgnode("--json", "verify", tmp_path / "none.txt", "--genesis", genesis)
    assert (ran.code, ran.error["code"]) == (1, "MissingFileError")
    ran = orgnode("--json", "verify", tmp_path / "x.txt", "--genesis", tmp_path / "none")
    assert (ran.code, ran.error["code"]) == (1, "MissingFileError")


@pytest.mark.parametrize(
    ("what", "file"),
    [
        ("abcdef", False), ("ABCDEF12", False), ("a" * 64, False), ("abc", False),
        ("./abcdef", True), ("abcdef.tlog-proof", True), ("a" * 65, True), ("proof", True),
        ("", True),
    ],
)  # fmt: skip
def test_what_is_written_like_an_id_is_one(what: str, file: bool) -> None:
    assert is_file(what) is file


def test_a_file_called_like_an_id_is_meant_with_its_directory(
    node: Path, log: OrgLog, genesis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    orgnode("--data-dir", node, "log", "prove", ids(log)[1], "-o", "abcdef12")
    assert orgnode("verify", "./abcdef12", "--genesis", genesis).code == 0
    ran = orgnode("--data-dir", node, "--json", "verify", "abcdef12")
    assert ran.error["code"] != "FileNotValidError"
