"""`orgnode backup` and `orgnode restore`: what they do, and what they say comes next."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from cli_support import make_nodes, orgnode, signed_mesh

from orgnode.datadir import DataDir
from orgnode.store.sqlite import SqliteStore

PEERS = ["birch.example", "cobalt.example", "dune.example"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a node that has joined a mesh and run; not to be changed."""
    home = tmp_path_factory.mktemp("mesh")
    nodes = make_nodes(home, "acme", "birch", "cobalt", "dune")
    assert orgnode("--data-dir", nodes[0], "genesis", "join", signed_mesh(home, nodes)).code == 0
    with opened(nodes[0]) as store:
        asyncio.run(store.set_meta("some key", b"some value"))
    return nodes[0]


@pytest.fixture
def node(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "acme"))


def opened(directory: Path) -> SqliteStore:
    return SqliteStore.open(directory / "node.db", name="acme.example")


def test_there_and_back(node: Path, tmp_path: Path) -> None:
    file, target = tmp_path / "acme.backup", tmp_path / "new" / "acme"
    ran = orgnode("--data-dir", node, "backup", file)
    assert ran.code == 0, ran.err
    assert "acme.example" in ran.out
    assert "NO passphrase" in ran.out
    assert f"orgnode restore {file}" in ran.out
    assert "signs nothing before every other member" in ran.out
    ran = orgnode("restore", file, "--data-dir", target)
    assert ran.code == 0, ran.err
    assert "never runs again" in ran.out
    assert f"orgnode run --data-dir {target}" in ran.out
    assert f"It first asks {', '.join(PEERS)} " in ran.out
    assert "orgnode restore FILE --without NAME` into a new, empty" in ran.out
    assert "vault stays as of the backup" in ran.out
    with opened(target) as store:
        assert (store.meta("some key"), store.meta("restored")) == (b"some value", b"")
    checked = orgnode("--data-dir", target, "--json", "doctor")
    assert checked.code == 0
    (mark,) = [one for one in checked.objects if one["check"] == "restored"]
    assert mark["verdict"] == "warning"
    assert ", ".join(PEERS) in mark["detail"]
    assert "orgnode restore FILE --without NAME` into a new, empty" in mark["hint"]
    checked = orgnode("--data-dir", node, "--json", "doctor")
    assert not [one for one in checked.objects if one["check"] == "restored"]


def test_as_json(node: Path, tmp_path: Path) -> None:
    file, target = tmp_path / "acme.backup", tmp_path / "new"
    (told,) = orgnode("--data-dir", node, "--json", "backup", file).objects
    assert (told["file"], told["name"], told["passphrase"]) == (str(file), "acme.example", False)
    assert {one["path"] for one in told["files"]} > {"node.db", "keys/keystore.json", "token"}
    (told,) = orgnode(
        "--json", "restore", file, "--data-dir", target, "--without", "dune.example"
    ).objects
    assert (told["asks"], told["without"]) == (PEERS[:2], PEERS[2:])
    with opened(target) as store:
        assert store.meta("restored") == b"dune.example"


def test_a_running_node_is_backed_up_without_its_passphrase(node: Path, tmp_path: Path) -> None:
    shutil.rmtree(node)
    phrase = tmp_path / "phrase"
    phrase.write_text("open sesame\n")
    phrase.chmod(0o600)
    orgnode(
        "--data-dir", node, "init", "--name", "acme.example", "--host", "127.0.0.1",
        "--passphrase-file", phrase,
    )  # fmt: skip
    with DataDir(node).lock():
        ran = orgnode("--data-dir", node, "backup", tmp_path / "b")
    assert ran.code == 0, ran.err
    assert "under your passphrase" in ran.out
    ran = orgnode("restore", tmp_path / "b", "--data-dir", tmp_path / "new")
    assert ran.code == 0, ran.err
    assert "It first asks" not in ran.out, "it was in no mesh"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda target: target.mkdir() or (target / "x").touch(), "DataDirExistsError"),
        (lambda target: None, "NotAPeerError"),
    ],
)
def test_what_can_not_be_restored(node: Path, tmp_path: Path, change: object, error: str) -> None:
    file, target = tmp_path / "b", tmp_path / "new"
    orgnode("--data-dir", node, "backup", file)
    change(target)  # type: ignore[operator]
    ran = orgnode("--json", "restore", file, "--data-dir", target, "--without", "acme.example")
    assert (ran.code, ran.error["code"]) == (1, error)
    assert ran.error["hint"]


def test_errors_have_names_and_hints(node: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    ran = orgnode("--data-dir", node, "--json", "backup", tmp_path / "kept")
    assert (ran.code, ran.error["code"]) == (1, "BackupExistsError")
    ran = orgnode("--json", "restore", tmp_path / "kept", "--data-dir", tmp_path / "new")
    assert (ran.code, ran.error["code"]) == (1, "BackupFormatError")
    ran = orgnode("--json", "restore", tmp_path / "none", "--data-dir", tmp_path / "new")
    assert (ran.code, ran.error["code"]) == (1, "MissingFileError")
    ran = orgnode("--data-dir", tmp_path / "none", "--json", "backup", tmp_path / "x")
    assert (ran.code, ran.error["code"]) == (1, "DataDirMissingError")
