"""The key generation before a genesis, on the command line: its order, and what can go wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cli_support import (
    Ran,
    draft_mesh,
    generate_keys,
    keygen,
    make_nodes,
    orgnode,
    propose_mesh,
    signed_mesh,
)

from mesh.document import document_text
from mesh.genesis import read_genesis, sign_genesis
from orgnode.datadir import DataDir
from orgnode.founding import read_founding_files, sign
from orgnode.keystore import KeyStore
from proofs.ristretto import Scalar, add_scalars, scalar
from proofs.threshold import dealing

NAMES = ("acme", "birch", "cobalt", "dune")


@pytest.fixture
def nodes(tmp_path: Path) -> list[Path]:
    return make_nodes(tmp_path, *NAMES)


@pytest.fixture
def out(tmp_path: Path, nodes: list[Path]) -> Path:
    """The directory of a key generation that nobody has taken part in."""
    return propose_mesh(tmp_path, nodes)


def create(node: Path, directory: Path, *options: str | Path) -> Ran:
    return orgnode("--data-dir", node, "--json", "genesis", "create", directory, *options)


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def wrote(ran: Mapping[str, Any]) -> list[str]:
    """Names of the notes that a call of keygen wrote."""
    return [Path(path).name for path in ran["wrote"]]


def deal(directory: Path, name: str) -> Path:
    return directory / f"deal-{name}.example.note"


def verdict(directory: Path, name: str) -> Path:
    return directory / f"verdict-{name}.example.note"


# --- the way it goes


def test_the_steps_in_their_order(nodes: list[Path], out: Path) -> None:
    for place, node in enumerate(nodes):
        ran = keygen(node, out).objects[0]
        assert len(ran["missing_deals"]) == 3 - place
        last = place == 3
        assert wrote(ran) == [
            f"{kind}-{NAMES[place]}.example.note" for kind in ["deal", "verdict"][: 1 + last]
        ]
    for place, node in enumerate(nodes[:3]):
        ran = keygen(node, out).objects[0]
        assert len(ran["missing_verdicts"]) == 2 - place
        assert wrote(ran) == [f"verdict-{NAMES[place]}.example.note"]
        assert ran["faults"] == ran["disputed"] == ran["unusable"] == {}
    made = create(nodes[0], out).objects[0]
    assert made["committee"]["threshold"] == 3
    assert made["committee"]["seats"] == {str(i + 1): f"{n}.example" for i, n in enumerate(NAMES)}
    assert made["committee"]["excluded"] == made["committee"]["unseated"] == {}
    assert made["evaluation_budget"] == 65_536
    assert made["matching"]["shadow_seconds"] == 3_600
    constraints = read_genesis((out / "genesis.note").read_text())
    assert constraints.benign_digest == made["benign_digest"]
    assert DataDir(out).read_benign(made["benign_digest"])


def test_running_it_again_changes_nothing(nodes: list[Path], out: Path) -> None:
    for node in [*nodes, *nodes]:
        assert keygen(node, out).code == 0
    before = files(out)
    for node in nodes:
        ran = keygen(node, out)
        assert (ran.code, ran.objects[0]["wrote"]) == (0, [])
    assert files(out) == before
    first = create(nodes[0], out)
    before = files(out)
    assert create(nodes[2], out).objects == first.objects, "whoever drafts it, it is the same"
    assert files(out) == before
    assert orgnode("--data-dir", nodes[0], "genesis", "sign", out / "genesis.note", "-y").code == 0
    before = files(out)
    assert create(nodes[0], out).code == 0
    assert files(out) == before, "signatures stay"


def test_people_are_told_what_to_do(
    nodes: list[Path], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    first = orgnode("--data-dir", nodes[0], "genesis", "keygen", out)
    assert "1 of 4; missing: birch.example, cobalt.example, dune.example" in " ".join(
        first.out.split()
    )
    assert f"orgnode genesis keygen {out}" in first.out
    assert "--without NAME" in first.out
    for node in nodes[1:]:
        ran = orgnode("--data-dir", node, "genesis", "keygen", out)
    assert "wait for those of acme.example, birch.example, cobalt.example" in ran.out
    for node in nodes[:3]:
        ran = orgnode("--data-dir", node, "genesis", "keygen", out)
    assert f"All is there. Next, one of you: orgnode genesis create {out}" in ran.out
    shown = orgnode("--data-dir", nodes[0], "genesis", "create", out)
    said = " ".join(shown.out.split())
    assert "any 3 of these 4 together" in said
    assert "4 windows, each from 3 independent sources that are 1 hour old" in said
    assert "65,536 windows a day" in said
    assert str(read_genesis((out / "genesis.note").read_text()).benign_digest) in shown.out


def test_copies_of_the_directory_are_as_good(tmp_path: Path, nodes: list[Path], out: Path) -> None:
    """Nobody shares a directory: each has a copy, and sends its own files to the others."""
    homes = [Path(shutil.copytree(out, tmp_path / f"copy-{name}")) for name in NAMES]
    for _ in range(2):
        for node, home in zip(nodes, homes, strict=True):
            for path in keygen(node, home).objects[0]["wrote"]:
                for other in homes:
                    if other != home:
                        shutil.copy(path, other)
    for node, home in zip(nodes[:3], homes[:3], strict=True):
        ran = keygen(node, home)
        for path in ran.objects[0]["wrote"]:
            for other in homes:
                if other != home:
                    shutil.copy(path, other)
    drafted = {
        create(node, home).objects[0]["mesh"] for node, home in zip(nodes, homes, strict=True)
    }
    assert len(drafted) == 1


def test_a_passphrase_protects_the_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORGNODE_PASSPHRASE", "correct horse")
    made = make_nodes(tmp_path, "acme", "birch")
    genesis = signed_mesh(tmp_path, made)
    monkeypatch.delenv("ORGNODE_PASSPHRASE")
    refused = orgnode("--data-dir", made[0], "--json", "genesis", "join", genesis)
    assert (refused.code, refused.error["code"]) == (1, "PassphraseNeededError")
    assert not (made[0] / "keys" / "share.json").exists()
    secret = tmp_path / "passphrase"
    secret.touch(mode=0o600)
    secret.write_text("correct horse\n")
    ran = orgnode("--data-dir", made[0], "genesis", "join", genesis, "--passphrase-file", secret)
    assert ran.code == 0


# --- the rules


def test_rules_that_the_founders_chose(tmp_path: Path, nodes: list[Path]) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('"Good morning, how can I help you?"\n')
    genesis = draft_mesh(
        tmp_path, nodes, "--shadow-seconds", "0", "--block-sources", "5", "--block-tokens", "8",
        "--escalate-tokens", "5", "--evaluation-budget", "320", "--benign", corpus,
    )  # fmt: skip
    constraints = read_genesis(genesis.read_text())
    assert constraints.matching.to_json() == {
        "shadow_seconds": 0, "block_sources": 5, "block_tokens": 8, "escalate_tokens": 5,
    }  # fmt: skip
    assert constraints.evaluation_budget == 320
    assert constraints.benign_digest is not None
    assert (genesis.parent / "benign.jsonl").read_bytes() == corpus.read_bytes()


def test_no_corpus(tmp_path: Path, nodes: list[Path]) -> None:
    genesis = draft_mesh(tmp_path, nodes, "--no-benign")
    assert read_genesis(genesis.read_text()).benign_digest is None
    assert not (genesis.parent / "benign.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shadow-seconds", "-1"], "--shadow-seconds -1"),
        (["--shadow-seconds", "2592001"], "--shadow-seconds 2592001"),
        (["--block-sources", "2"], "--block-sources 2"),
        (["--block-tokens", "3"], "--block-tokens 3"),
        (["--escalate-tokens", "1"], "--escalate-tokens 1"),
        (["--escalate-tokens", "9"], "block-tokens is under escalate-tokens"),
        (["--evaluation-budget", "31"], "--evaluation-budget 31"),
        (["--evaluation-budget", "10000001"], "--evaluation-budget 10000001"),
        (["--no-benign", "--benign", "x"], "--benign"),
    ],
)
def test_a_rule_below_its_floor_names_the_option(
    tmp_path: Path, options: list[str], words: str
) -> None:
    (node,) = make_nodes(tmp_path, "acme")
    ran = create(node, tmp_path, *options)
    assert (ran.code, ran.error["code"]) == (2, "UsageProblemError")
    assert words in ran.error["message"]


@pytest.mark.parametrize(
    ("content", "code"), [(b"nothing", "CorpusFormatError"), (None, "MissingFileError")]
)
def test_a_corpus_that_is_none(
    tmp_path: Path, nodes: list[Path], content: bytes | None, code: str
) -> None:
    out = generate_keys(tmp_path, nodes)
    if content is not None:
        (tmp_path / "corpus").write_bytes(content)
    ran = create(nodes[0], out, "--benign", tmp_path / "corpus")
    assert (ran.code, ran.error["code"]) == (1, code)
    assert not (out / "genesis.note").exists()


# --- steps out of order


def test_create_before_all_is_there(nodes: list[Path], out: Path) -> None:
    ran = create(nodes[0], out)
    assert (ran.code, ran.error["code"]) == (1, "NotesMissingError")
    assert "deals of acme.example, birch.example" in ran.error["message"]
    for node in nodes:
        keygen(node, out)
    ran = create(nodes[0], out)
    assert (ran.code, ran.error["code"]) == (1, "NotesMissingError")
    assert "verdicts of acme.example, birch.example, cobalt.example " in ran.error["message"]
    assert "genesis keygen" in ran.error["hint"]
    assert not (out / "genesis.note").exists()
    assert not (out / "transcript").exists()


@pytest.mark.parametrize("command", ["keygen", "create"])
def test_a_directory_without_a_proposal(tmp_path: Path, nodes: list[Path], command: str) -> None:
    ran = orgnode("--data-dir", nodes[0], "--json", "genesis", command, tmp_path / "nowhere")
    assert (ran.code, ran.error["code"]) == (1, "NoProposalError")
    assert "genesis propose" in ran.error["hint"]


@pytest.mark.parametrize("command", ["sign", "join"])
def test_a_genesis_without_what_goes_with_it(
    tmp_path: Path, nodes: list[Path], command: str
) -> None:
    genesis = signed_mesh(tmp_path, nodes)
    alone = tmp_path / "alone.note"
    shutil.copy(genesis, alone)
    options = ["--yes"] if command == "sign" else []
    ran = orgnode("--data-dir", nodes[0], "--json", "genesis", command, alone, *options)
    assert (ran.code, ran.error["code"]) == (1, "FoundingFilesError")
    assert "--keygen DIR" in ran.error["hint"]
    ran = orgnode(
        "--data-dir", nodes[0], "genesis", command, alone, *options, "--keygen", genesis.parent
    )
    assert ran.code == 0
    (genesis.parent / "benign.jsonl").unlink()
    ran = orgnode("--data-dir", nodes[0], "--json", "genesis", command, genesis, *options)
    assert (ran.code, ran.error["code"]) == (1, "FoundingFilesError")
    assert "SHA-256" in ran.error["hint"]


# --- proposals


def test_a_proposal_is_not_overwritten(tmp_path: Path, nodes: list[Path], out: Path) -> None:
    before = files(out)
    assert propose_mesh(tmp_path, nodes) == out, "the same again is no harm"
    cards = [node / "card.note" for node in nodes]
    for options in (["--mesh-name", "another"], ["--mesh-name", "test mesh", "--attempt", "2"]):
        ran = orgnode("--json", "genesis", "propose", *options, "--out", out, *cards)
        assert (ran.code, ran.error["code"]) == (1, "ProposalExistsError")
    assert files(out) == before


def test_a_proposal_with_wrong_cards_or_seats_makes_nothing(
    tmp_path: Path, nodes: list[Path]
) -> None:
    cards = [node / "card.note" for node in nodes]
    changed = tmp_path / "changed.note"
    changed.write_bytes(cards[1].read_bytes().replace(b"21001", b"21099"))
    out = tmp_path / "founding"
    for given, options, code, error in (
        ([cards[0], changed], [], 1, "NotACardError"),
        ([cards[0], tmp_path / "none"], [], 1, "MissingFileError"),
        ([cards[0]], [], 2, "UsageProblemError"),
        ([*cards, cards[0]], [], 1, "ProposalError"),
        (cards, ["--seat", "acme.example"], 1, "SeatError"),
        (cards, ["--seat", "acme.example", "--seat", "egg.example"], 1, "SeatError"),
    ):
        ran = orgnode(
            "--json", "genesis", "propose", "--mesh-name", "m", "--out", out, *options, *given
        )
        assert (ran.code, ran.error["code"]) == (code, error), ran
    assert not out.exists()


def test_a_proposal_changed_after_the_deal(nodes: list[Path], out: Path) -> None:
    assert keygen(nodes[0], out).code == 0
    before = files(out)
    proposal = out / "proposal.txt"
    proposal.write_text(proposal.read_text().replace("test mesh", "best mesh"))
    ran = keygen(nodes[0], out)
    assert (ran.code, ran.error["code"]) == (1, "ChangedProposalError")
    assert "compare its ceremony" in ran.error["hint"]
    assert files(out).keys() == before.keys()
    assert deal(out, "acme").read_bytes() == before["deal-acme.example.note"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"hello\n", b"signal-mesh/v1/keygen\n{}\n"])
def test_a_proposal_that_is_none(nodes: list[Path], out: Path, content: bytes) -> None:
    (out / "proposal.txt").write_bytes(content)
    ran = keygen(nodes[0], out)
    assert (ran.code, ran.error["code"]) == (1, "ProposalError")
    assert not deal(out, "acme").exists()


def test_an_outsider_and_an_impostor_take_no_part(tmp_path: Path, nodes: list[Path]) -> None:
    out = propose_mesh(tmp_path, nodes[:3])
    (impostor,) = make_nodes(tmp_path / "other", "acme")
    for node, words in ((nodes[3], "does not list"), (impostor, "another card")):
        for ran in (keygen(node, out), create(node, out)):
            assert (ran.code, ran.error["code"]) == (1, "NotInProposalError")
            assert words in ran.error["message"]
    assert list(files(out)) == ["proposal.txt"]


# --- notes that are not what they should be


def flip(path: Path) -> None:
    """Change one byte of a note's text, so that it is a note still."""
    data = bytearray(path.read_bytes())
    place = data.index(b'"ceremony":"') + 20  # a hex digit
    data[place] = ord("1") if data[place] == ord("0") else ord("0")
    path.write_bytes(data)


def test_a_deal_changed_by_one_byte(nodes: list[Path], out: Path) -> None:
    for node in nodes[:3]:
        keygen(node, out)
    good = deal(out, "birch").read_bytes()
    flip(deal(out, "birch"))
    ran = keygen(nodes[3], out)
    assert (ran.code, ran.error["code"]) == (1, "CeremonyNoteError")
    assert "deal-birch.example.note" in ran.error["message"]
    assert "birch.example's own copy" in ran.error["hint"]
    assert wrote(ran.objects[0]) == ["deal-dune.example.note"]
    deal(out, "birch").write_bytes(good)
    ran = keygen(nodes[3], out)
    assert ran.code == 0
    assert wrote(ran.objects[0]) == ["verdict-dune.example.note"]


def test_a_verdict_changed_by_one_byte(tmp_path: Path, nodes: list[Path]) -> None:
    out = generate_keys(tmp_path, nodes)
    flip(verdict(out, "cobalt"))
    for ran in (keygen(nodes[0], out), create(nodes[0], out)):
        assert (ran.code, ran.error["code"]) == (1, "CeremonyNoteError")
        assert "verdict-cobalt.example.note" in ran.error["message"]
    assert not (out / "genesis.note").exists()
    # Without it cobalt gets no seat, and three are enough.
    made = create(nodes[0], out, "--without", "cobalt.example").objects[0]
    assert made["committee"]["unseated"] == {"cobalt.example": "no verdict"}
    assert list(made["committee"]["seats"]) == ["1", "2", "4"]


def test_a_deal_of_another_ceremony(tmp_path: Path, nodes: list[Path], out: Path) -> None:
    other = propose_mesh(tmp_path / "other", nodes, name="other mesh")
    keygen(nodes[1], other)
    shutil.copy(deal(other, "birch"), out)
    ran = keygen(nodes[0], out)
    assert (ran.code, ran.error["code"]) == (1, "CeremonyNoteError")
    assert "another key generation" in ran.error["message"]
    assert "birch.example" in ran.objects[0]["missing_deals"]


def test_one_founders_deal_under_anothers_name(nodes: list[Path], out: Path) -> None:
    keygen(nodes[1], out)
    deal(out, "birch").rename(deal(out, "cobalt"))
    ran = keygen(nodes[0], out)
    assert ran.objects[0]["missing_deals"] == ["cobalt.example", "dune.example"], "it is birch's"


def test_files_of_nobody_are_named(nodes: list[Path], out: Path) -> None:
    (out / "deal-birch.example (1).note").write_bytes(b"a copy that a sync program made")
    ran = keygen(nodes[0], out)
    assert ran.code == 0
    assert ran.objects[0]["strays"] == ["deal-birch.example (1).note"]
    assert "(1)" in orgnode("--data-dir", nodes[0], "genesis", "keygen", out).err


def test_the_own_deal_that_was_lost_is_shown_again(nodes: list[Path], out: Path) -> None:
    keygen(nodes[0], out)
    first = deal(out, "acme").read_bytes()
    deal(out, "acme").unlink()
    assert keygen(nodes[0], out).code == 0
    assert deal(out, "acme").read_bytes() == first, "another one would be an equivocation"


def test_the_own_deal_that_somebody_changed(nodes: list[Path], out: Path) -> None:
    keygen(nodes[0], out)
    first = deal(out, "acme").read_bytes()
    flip(deal(out, "acme"))
    changed = deal(out, "acme").read_bytes()
    ran = keygen(nodes[0], out)
    assert (ran.code, ran.error["code"]) == (1, "OwnNoteError")
    assert deal(out, "acme").read_bytes() == changed
    deal(out, "acme").unlink()
    keygen(nodes[0], out)
    assert deal(out, "acme").read_bytes() == first


def test_a_second_deal_of_this_node_from_elsewhere(
    tmp_path: Path, nodes: list[Path], out: Path
) -> None:
    """The keys were copied, and both copies deal."""
    twin = Path(shutil.copytree(nodes[0], tmp_path / "twin"))
    second = Path(shutil.copytree(out, tmp_path / "second"))
    keygen(nodes[0], out)
    keygen(twin, second)
    shutil.copy(deal(second, "acme"), out)
    ran = keygen(nodes[0], out)
    assert (ran.code, ran.error["code"]) == (1, "OwnNoteError")
    assert "equivocation" in ran.error["message"]


def test_a_node_that_forgot_its_deal_takes_it_from_the_directory(
    nodes: list[Path], out: Path
) -> None:
    keygen(nodes[0], out)
    first = deal(out, "acme").read_bytes()
    shutil.rmtree(DataDir(nodes[0]).founding)
    assert keygen(nodes[0], out).code == 0
    assert deal(out, "acme").read_bytes() == first
    deal(out, "acme").unlink()
    keygen(nodes[0], out)
    assert deal(out, "acme").read_bytes() == first


# --- dealers that cheat, and founders that stay silent


@pytest.fixture
def cheating(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Let deals made from now on give the holder of this index a wrong share."""
    honest = dealing.evaluate_polynomial

    def choose(victim: int | None) -> None:
        def evaluate(coefficients: Sequence[Scalar], index: int) -> Scalar:
            share = honest(coefficients, index)
            return add_scalars(share, scalar(1)) if index == victim else share

        monkeypatch.setattr(dealing, "evaluate_polynomial", evaluate)

    return choose


def test_a_bad_share_is_complained_about_and_its_dealer_named(
    nodes: list[Path], out: Path, cheating: Callable[[int | None], None]
) -> None:
    cheating(3)  # cobalt's
    keygen(nodes[1], out)
    cheating(None)
    for node in (nodes[0], nodes[3], nodes[2]):
        ran = keygen(node, out)
    faults = ran.objects[0]["faults"]
    assert list(faults) == ["birch.example"], faults
    assert "wrong payload to cobalt.example" in faults["birch.example"]
    for node in nodes:
        assert keygen(node, out).code == 0
    shown = orgnode("--data-dir", nodes[0], "genesis", "keygen", out)
    assert "birch.example is left out of the committee" in shown.err
    made = create(nodes[0], out).objects[0]
    assert list(made["committee"]["excluded"]) == ["birch.example"]
    assert sorted(made["committee"]["seats"].values()) == [
        "acme.example", "cobalt.example", "dune.example",
    ]  # fmt: skip
    # The mesh is founded all the same, birch being a member without a seat.
    genesis = out / "genesis.note"
    text = orgnode("--data-dir", nodes[0], "genesis", "sign", genesis, "--yes")
    assert "wrong payload to cobalt.example" in " ".join(text.out.split())
    for node in nodes:
        assert orgnode("--data-dir", node, "genesis", "sign", genesis, "--yes").code == 0
    seats = [
        orgnode("--data-dir", node, "--json", "genesis", "join", genesis).objects[0]["seat"]
        for node in nodes
    ]
    assert seats == [1, None, 3, 4]
    assert len({DataDir(node).read_selection_key() for node in nodes}) == 1


def test_a_founder_that_stays_silent(tmp_path: Path, nodes: list[Path], out: Path) -> None:
    for node in nodes[:3]:
        keygen(node, out)
    silent = "dune.example"
    for node in nodes[:3]:
        ran = keygen(node, out, "--without", silent)
        assert (ran.code, ran.objects[0]["missing_deals"]) == (0, [])
    refused = create(nodes[0], out)
    assert (refused.code, refused.error["code"]) == (1, "NotesMissingError")
    assert "--without NAME" in refused.error["hint"]
    made = create(nodes[0], out, "--without", silent).objects[0]
    assert made["committee"]["excluded"] == {silent: "no deal"}
    assert sorted(made["committee"]["seats"].values()) == [f"{n}.example" for n in NAMES[:3]]
    # It may come back: it is a member, and gets the selection key like the others.
    genesis = out / "genesis.note"
    for node in nodes:
        assert orgnode("--data-dir", node, "genesis", "sign", genesis, "--yes").code == 0
    ran = orgnode("--data-dir", nodes[3], "--json", "genesis", "join", genesis)
    assert ran.objects[0]["seat"] is None


def test_too_many_stay_silent(nodes: list[Path], out: Path) -> None:
    for node in nodes[:2]:
        keygen(node, out)
    options = ["--without", "cobalt.example", "--without", "dune.example"]
    for node in nodes[:2]:
        assert keygen(node, out, *options).code == 0
    ran = create(nodes[0], out, *options)
    assert (ran.code, ran.error["code"]) == (1, "TooFewDealersError")
    assert "cobalt.example: no deal" in ran.error["message"]
    assert not (out / "genesis.note").exists()


def test_a_late_deal_is_judged_after_all(nodes: list[Path], out: Path) -> None:
    for node in [*nodes[:3], *nodes[:3]]:
        keygen(node, out, "--without", "dune.example")
    early = verdict(out, "acme").read_bytes()
    keygen(nodes[3], out)
    ran = keygen(nodes[0], out)
    assert wrote(ran.objects[0]) == ["verdict-acme.example.note"]
    assert verdict(out, "acme").read_bytes() != early
    for node in nodes[1:]:
        keygen(node, out)
    assert len(create(nodes[0], out).objects[0]["committee"]["seats"]) == 4


@pytest.mark.parametrize("name", ["nobody.example", "acme.example"])
def test_leaving_out_nobody_or_oneself(nodes: list[Path], out: Path, name: str) -> None:
    ran = keygen(nodes[0], out, "--without", name)
    assert (ran.code, ran.error["code"]) == (1, "NotAFounderError")
    assert not deal(out, "acme").exists()


# --- signing and joining check the key generation again


def changed(genesis: Path, change: Callable[[dict[str, object]], None]) -> str:
    """The text of a genesis with other content, in its canonical encoding."""
    _, line, _ = genesis.read_text().split("\n", 2)
    value = json.loads(line)
    change(value)
    return document_text("genesis", value)


def swap_keys(value: dict[str, object]) -> None:
    value["selection_key_digest"] = "ab" * 32


def refuse(nodes: Sequence[Path], genesis: Path) -> Mapping[str, str]:
    """Signing this genesis is refused, and so is joining it; returns the error."""
    before = genesis.read_bytes()
    ran = orgnode("--data-dir", nodes[0], "--json", "genesis", "sign", genesis, "--yes")
    assert ran.code == 1
    assert genesis.read_bytes() == before
    note: str | bytes = before.decode() if b"\n\n" not in before else before
    for node in nodes:  # founders whose software does not look
        note = sign_genesis(note, KeyStore.open(node / "keys").identity)
    assert isinstance(note, bytes)
    genesis.write_bytes(note)
    joined = orgnode("--data-dir", nodes[0], "--json", "genesis", "join", genesis)
    assert joined.code == 1
    assert joined.error == ran.error
    assert not (nodes[0] / "genesis.note").exists()
    assert not (nodes[0] / "keys" / "share.json").exists()
    return ran.error


def test_a_committee_that_is_not_the_transcripts(tmp_path: Path, nodes: list[Path]) -> None:
    """Whoever drafts the genesis could enter a key of their own making."""
    genesis = draft_mesh(tmp_path, nodes)
    other = draft_mesh(tmp_path / "other", nodes, name="other mesh")
    committee = json.loads(other.read_text().split("\n")[1])["committee"]

    def change(value: dict[str, object]) -> None:
        ours = value["committee"]
        assert isinstance(ours, dict)
        value["committee"] = {**committee, "transcript": ours["transcript"]}

    genesis.write_text(changed(genesis, change))
    error = refuse(nodes, genesis)
    assert error["code"] == "OtherTranscriptError"
    assert "not the one that the transcript yields" in error["message"]


def test_another_selection_key(tmp_path: Path, nodes: list[Path]) -> None:
    genesis = draft_mesh(tmp_path, nodes)
    genesis.write_text(changed(genesis, swap_keys))
    error = refuse(nodes, genesis)
    assert error["code"] == "OtherTranscriptError"
    assert "selection key" in error["message"]


def test_another_transcript(tmp_path: Path, nodes: list[Path]) -> None:
    genesis = draft_mesh(tmp_path, nodes)
    other = draft_mesh(tmp_path / "other", nodes, name="other mesh")
    shutil.copy(other.parent / "transcript", genesis.parent)
    error = refuse(nodes, genesis)
    assert error["code"] == "OtherTranscriptError"
    assert "--keygen DIR" in error["hint"]


def test_another_proposal(tmp_path: Path, nodes: list[Path]) -> None:
    """The same transcript read with other founders, or none of these."""
    genesis = draft_mesh(tmp_path, nodes)
    other = propose_mesh(tmp_path / "other", nodes[:3])
    for content in ((other / "proposal.txt").read_bytes(), b"\xff"):
        (genesis.parent / "proposal.txt").write_bytes(content)
        ran = orgnode("--data-dir", nodes[0], "--json", "genesis", "sign", genesis, "--yes")
        assert (ran.code, ran.error["code"]) == (1, "OtherTranscriptError")


def test_another_benign_corpus(tmp_path: Path, nodes: list[Path]) -> None:
    genesis = draft_mesh(tmp_path, nodes)
    (genesis.parent / "benign.jsonl").write_bytes(b'"another"\n')
    assert refuse(nodes, genesis)["code"] == "ForeignCorpusError"


def test_another_nodes_keys(tmp_path: Path, nodes: list[Path]) -> None:
    """A share is for one member's sealing key; another's opens nothing."""
    genesis = draft_mesh(tmp_path, nodes)
    shutil.copy(nodes[1] / "keys" / "keystore.json", nodes[0] / "keys" / "keystore.json")
    ran = orgnode("--data-dir", nodes[0], "--json", "genesis", "sign", genesis, "--yes")
    assert (ran.code, ran.error["code"]) == (1, "FounderKeyError")
    assert "\n\n" not in genesis.read_text(), "it is unsigned still"


def test_a_dealer_that_cheated_one_who_did_not_complain(
    tmp_path: Path, nodes: list[Path], cheating: Callable[[int | None], None]
) -> None:
    """A verdict that calls a wrong share right: whoever gave it has no share, and signs nothing."""
    out = propose_mesh(tmp_path, nodes)
    cheating(3)
    keygen(nodes[1], out)
    cheating(None)
    for node in (nodes[0], nodes[3]):
        keygen(node, out)
    # cobalt's own program takes any share for right.
    honest = dealing.verify_share
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dealing, "verify_share", lambda *_: None)
        keygen(nodes[2], out)
        for node in nodes:
            keygen(node, out)
        assert create(nodes[0], out).code == 0
    assert dealing.verify_share is honest
    files = read_founding_files(out)
    text = (out / "genesis.note").read_text()
    assert sign(DataDir(nodes[0]), text, files, KeyStore.open(nodes[0] / "keys"))
    ran = orgnode("--data-dir", nodes[2], "--json", "genesis", "sign", out / "genesis.note", "-y")
    assert ran.code == 1
    assert ran.error["code"] == "WrongDealError"
    assert "ShareMismatchError" in ran.error["message"]
    assert "genesis keygen" in ran.error["hint"]
    # Without its complaint nothing is settled: it is made now, and the genesis drafted anew.
    faults = keygen(nodes[2], out).objects[0]["faults"]
    assert list(faults) == ["birch.example"], faults
