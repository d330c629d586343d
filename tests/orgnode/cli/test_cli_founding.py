from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_support import draft_mesh, make_nodes, orgnode, signed_mesh

from mesh.genesis import open_genesis
from mesh.member import open_card
from orgnode.datadir import DataDir
from orgnode.keystore import KeyStore


def test_init_makes_a_node_and_never_overwrites_it(tmp_path: Path) -> None:
    (data,) = make_nodes(tmp_path, "acme")
    card = open_card((data / "card.note").read_bytes())
    assert (card.name, card.control_group, card.endpoint) == (
        "acme.example", "acme.example", ("127.0.0.1", 21_000),
    )  # fmt: skip
    keys = KeyStore.open(data / "keys")
    assert card.identity_key.public == keys.identity.verifier_key.public
    assert DataDir(data).read_token()
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    again = orgnode("--data-dir", data, "--json", "init", "--name", "evil.example", "--host", "x")
    assert again.code == 1
    assert again.error["code"] == "DataDirExistsError"
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("options", "code", "error"),
    [
        (["--name", "acme", "--host", "localhost"], 2, "UsageProblemError"),
        (["--name", "acme.example", "--host", "Not A Host"], 1, "EndpointError"),
        (["--name", "acme.example", "--host", "a.example", "--port", "0"], 1, "EndpointError"),
        (
            ["--name", "acme.example", "--host", "a.example", "--port", "70000"],
            2,
            "UsageProblemError",
        ),
    ],
)
def test_init_with_wrong_values_makes_nothing(
    tmp_path: Path, options: list[str], code: int, error: str
) -> None:
    ran = orgnode("--json", "--data-dir", tmp_path / "n", "init", *options)
    assert (ran.code, ran.error["code"]) == (code, error)
    assert not (tmp_path / "n").exists()


def test_the_passphrase_comes_from_a_private_file(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    secret.chmod(0o644)
    arguments = [
        "init",
        "--name",
        "acme.example",
        "--host",
        "localhost",
        "--passphrase-file",
        secret,
    ]
    open_file = orgnode("--data-dir", tmp_path / "n", "--json", *arguments)
    assert (open_file.code, open_file.error["code"]) == (1, "PermissionsTooOpenError")
    secret.chmod(0o600)
    ran = orgnode("--data-dir", tmp_path / "n", *arguments)
    assert ran.code == 0
    assert "correct horse" not in ran.out + ran.err
    assert KeyStore.open(tmp_path / "n" / "keys", "correct horse").protected


def test_an_empty_passphrase_file_is_no_passphrase(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.touch(mode=0o600)
    ran = orgnode(
        "--data-dir", tmp_path / "n", "--json",
        "init", "--name", "acme.example", "--host", "localhost", "--passphrase-file", secret,
    )  # fmt: skip
    assert (ran.code, ran.error["code"]) == (2, "UsageProblemError")
    assert not (tmp_path / "n").exists()


def test_founders_found_a_mesh(tmp_path: Path) -> None:
    nodes = make_nodes(tmp_path, "acme", "birch", "cobalt", "dune")
    genesis = draft_mesh(tmp_path, nodes)
    for place, node in enumerate(nodes):
        ran = orgnode("--data-dir", node, "--json", "genesis", "sign", genesis, "--yes")
        assert ran.code == 0
        assert len(ran.objects[0]["missing"]) == 3 - place
    joined = [orgnode("--data-dir", node, "--json", "genesis", "join", genesis) for node in nodes]
    ids = {ran.objects[0]["mesh"] for ran in joined}
    assert len(ids) == 1
    for node in nodes:
        assert open_genesis((node / "genesis.note").read_bytes()).mesh_id in ids
        assert (node / "transcript").read_bytes() == (genesis.parent / "transcript").read_bytes()
    assert len({DataDir(node).read_selection_key() for node in nodes}) == 1


def test_copies_signed_apart_are_merged(tmp_path: Path) -> None:
    nodes = make_nodes(tmp_path, "acme", "birch")
    genesis = draft_mesh(tmp_path, nodes)
    copies = [tmp_path / "a.note", tmp_path / "b.note"]
    for node, copy in zip(nodes, copies, strict=True):
        assert (
            orgnode("--data-dir", node, "genesis", "sign", genesis, "--out", copy, "-y").code == 0
        )
    assert genesis.read_bytes().count(b"\n") == 2, "the draft stays as it was"
    one = orgnode(
        "--json", "--data-dir", nodes[0], "genesis", "join", copies[0], "--keygen", genesis.parent
    )
    assert (one.code, one.error["code"]) == (1, "MissingFounderSignatureError")
    assert "birch.example" in one.error["message"]
    assert not (nodes[0] / "genesis.note").exists()
    both = orgnode("--data-dir", nodes[0], "genesis", "join", *copies, "--keygen", genesis.parent)
    assert both.code == 0
    assert "TRIAL" not in both.err


def test_signing_shows_the_rules_and_asks(tmp_path: Path) -> None:
    nodes = make_nodes(tmp_path, "acme", "birch")
    genesis = draft_mesh(tmp_path, nodes, name="our mesh")
    draft = genesis.read_bytes()
    no = orgnode("--data-dir", nodes[0], "genesis", "sign", genesis, stdin="n\n")
    assert no.code == 1
    assert genesis.read_bytes() == draft
    for word in (
        "our mesh",
        "TRIAL",
        "acme.example",
        "birch.example",
        "4×capability_gain",
        "critical ≥ 70",
    ):
        assert word in no.out
    yes = orgnode("--data-dir", nodes[0], "genesis", "sign", genesis, stdin="y\n")
    assert yes.code == 0
    assert "birch.example" in yes.out.splitlines()[-1]


def test_json_cannot_ask(tmp_path: Path) -> None:
    nodes = make_nodes(tmp_path, "acme", "birch")
    genesis = draft_mesh(tmp_path, nodes)
    ran = orgnode("--data-dir", nodes[0], "--json", "genesis", "sign", genesis)
    assert (ran.code, ran.error["code"]) == (2, "UsageProblemError")


def test_a_node_signs_no_genesis_that_lists_it_with_other_keys(tmp_path: Path) -> None:
    nodes = make_nodes(tmp_path, "acme", "birch")
    impostor = make_nodes(tmp_path / "other", "acme")[0]
    genesis = draft_mesh(tmp_path, nodes)
    draft = genesis.read_bytes()
    ran = orgnode("--data-dir", impostor, "--json", "genesis", "sign", genesis, "--yes")
    assert (ran.code, ran.error["code"]) == (1, "NotInGenesisError")
    assert "another card" in ran.error["message"]
    assert genesis.read_bytes() == draft
    for node in nodes:
        assert orgnode("--data-dir", node, "genesis", "sign", genesis, "--yes").code == 0
    ran = orgnode("--data-dir", impostor, "--json", "genesis", "join", genesis)
    assert (ran.code, ran.error["code"]) == (1, "NotInGenesisError")
    assert not (impostor / "genesis.note").exists()


def test_an_outsider_signs_nothing(tmp_path: Path) -> None:
    nodes = make_nodes(tmp_path, "acme", "birch", "cobalt")
    genesis = draft_mesh(tmp_path, nodes[:2])
    ran = orgnode("--data-dir", nodes[2], "--json", "genesis", "sign", genesis, "--yes")
    assert (ran.code, ran.error["code"]) == (1, "NotInGenesisError")
    assert "does not list" in ran.error["message"]


def test_a_node_joins_one_mesh_only(tmp_path: Path) -> None:
    nodes = make_nodes(tmp_path, "acme", "birch")
    genesis = signed_mesh(tmp_path / "one", nodes)
    other = signed_mesh(tmp_path / "two", nodes, name="other mesh")
    for _ in range(2):  # joining the same again changes nothing
        assert orgnode("--data-dir", nodes[0], "genesis", "join", genesis).code == 0
    ran = orgnode("--data-dir", nodes[0], "--json", "genesis", "join", other)
    assert (ran.code, ran.error["code"]) == (1, "AlreadyJoinedError")
    assert (nodes[0] / "genesis.note").read_bytes() == genesis.read_bytes()


def test_a_forged_signature_on_a_genesis_is_refused(tmp_path: Path) -> None:
    nodes = make_nodes(tmp_path, "acme", "birch")
    genesis = signed_mesh(tmp_path, nodes)
    genesis.write_bytes(genesis.read_bytes().replace(b"test mesh", b"best mesh"))
    ran = orgnode("--data-dir", nodes[0], "--json", "genesis", "join", genesis)
    assert ran.code == 1
    assert not (nodes[0] / "genesis.note").exists()


def test_an_unsigned_draft_cannot_be_joined(tmp_path: Path) -> None:
    nodes = make_nodes(tmp_path, "acme", "birch")
    genesis = draft_mesh(tmp_path, nodes)
    ran = orgnode("--data-dir", nodes[0], "--json", "genesis", "join", genesis)
    assert ran.code == 1
    assert "nobody has signed" in ran.error["message"]


def test_files_that_are_missing_or_no_genesis_are_named(tmp_path: Path) -> None:
    (node,) = make_nodes(tmp_path, "acme")
    ran = orgnode("--data-dir", node, "--json", "genesis", "sign", tmp_path / "nowhere", "--yes")
    assert (ran.code, ran.error["code"]) == (1, "MissingFileError")
    assert "name and permissions" in ran.error["hint"]
    noise = tmp_path / "noise"
    for content in (b"\xff\xfe", b"hello\n", b"a\n\nb\n"):
        noise.write_bytes(content)
        ran = orgnode("--data-dir", node, "--json", "genesis", "sign", noise, "--yes")
        assert ran.code == 1
        assert ran.error["message"]


def test_commands_say_when_there_is_no_node(tmp_path: Path) -> None:
    genesis = tmp_path / "g"
    for command in (
        ["genesis", "sign", genesis, "--yes"],
        ["genesis", "join", genesis],
        ["run"],
        ["peers"],
        ["signals"],
        ["log", "verify"],
    ):
        ran = orgnode("--data-dir", tmp_path / "none", "--json", *command)
        assert (ran.code, ran.error["code"]) == (1, "DataDirMissingError"), command
        assert "orgnode init" in ran.error["hint"]


def test_a_moved_node_is_still_one(tmp_path: Path) -> None:
    nodes = make_nodes(tmp_path, "acme", "birch")
    genesis = signed_mesh(tmp_path, nodes)
    moved = tmp_path / "moved"
    shutil.move(nodes[0], moved)
    assert orgnode("--data-dir", moved, "genesis", "join", genesis).code == 0
