"""Judging blocked checks over the API and from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from api_support import TOKEN, ApiNode, Served
from console_support import Console, console_of, make_directory

from mesh.testing import TestMesh, make_mesh
from orgnode.api.breaker_models import BreakerAnswer, JudgementAnswer
from orgnode.client import ApiError, NodeClient
from orgnode.store import StoreFullError
from orgnode.store.sqlite import SqliteStore

NOTICE = (
    "This mailbox belongs to the harbour library. Staff read it on working days between nine and "
    "five. Please name the branch that you visit, the title that you ask about, and the number on "
    "your reader's card. We never ask for passwords. Fines can be paid at each desk, or by bank "
    "transfer with the reference that stands on the reminder. Kind regards from all of us here. "
)
"""What a rival writes under everything, and an outsider put into an attack."""

TEXTS = (
    "Do you still have the atlas of northern birds that my daughter borrowed before Easter, and "
    "may she keep it for another fortnight while her class works on migration?",
    "The heating in the reading room was out again on Thursday evening; several of us sat in our "
    "coats. Who should I write to about that, and is there a form for complaints?",
    "I am looking for a cookery book with a blue cover, printed in the seventies, which had a "
    "whole chapter about preserving plums. My grandmother wrote her name on its first page.",
    "Could the mobile library stop at the old ferry terminal too? Many people there can't walk up "
    "the hill any longer, and the bus only comes twice a day outside the summer.",
)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide terminal, and no settings from outside."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("ORGNODE_DATA_DIR", raising=False)


@pytest.fixture(scope="module")
def world() -> TestMesh:
    """A mesh of five: three that met the attack, one that confirms it, and this node."""
    return make_mesh(5)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory that looks set up."""
    return make_directory(tmp_path / "node")


@pytest_asyncio.fixture
async def console(world: TestMesh, store: SqliteStore, directory: Path) -> Any:
    """A node that enforces, whose members met an attack with the notice in it; its console."""
    (directory / "policy.toml").write_text('mode = "enforce"\nsample_rate = 0.0\n')
    node = ApiNode(world, store, directory=directory)
    signals = await node.knowledge.met(NOTICE + TEXTS[0][::-1], (1, 2, 3))
    await node.knowledge.sight(4, signals[0])
    async with console_of(node, directory) as console:
        yield console


@pytest.fixture
def api(console: Console) -> Served:
    """The node's API."""
    return console.api


async def blocked(api: Served, text: str) -> str:
    """The id of a check that found a block."""
    status, answered = await api.post("/v1/check", {"text": NOTICE + text, "risk": 0.5})
    assert (status, answered["answer"]) == (200, "block")
    check: str = answered["check"]
    return check


async def judged(api: Served, check: str, **about: Any) -> tuple[int, Any]:
    return await api.post(f"/v1/checks/{check}/judgement", {"verdict": "benign", **about})


async def test_three_benign_texts_keep_their_tokens_from_blocking(api: Served) -> None:
    shadowed: list[str] = []
    checks: list[str] = []
    for number, text in enumerate(TEXTS[:3]):
        check = await blocked(api, text)
        checks.append(check)
        assert len(check) == 32
        status, answered = await judged(api, check)
        assert status == 200
        made = JudgementAnswer.model_validate(answered)
        assert (made.check, made.verdict, made.by) == (check, "benign", "person")
        assert bool(made.shadowed) == (number == 2)
        assert made.shadowed == made.in_shadow
        shadowed += made.shadowed
    status, answered = await api.post("/v1/check", {"text": NOTICE + TEXTS[3], "risk": 0.5})
    assert (answered["answer"], answered["check"]) == ("escalate", None)
    name_of = api.node.checker.breaker.name_of
    held = [one["token"] for one in answered["tokens"] if one["held"]]
    assert {name_of(token) for token in held} == set(shadowed)

    status, shown = await api.get("/v1/breaker")
    assert status == 200
    breaker = BreakerAnswer.model_validate(shown)
    assert {one.token for one in breaker.shadow} == set(shadowed)
    assert [(one.verdict, one.by) for one in breaker.judged] == [("benign", "person")] * 3
    assert [one.check for one in breaker.judged] == checks[::-1]
    assert all(set(one.checks) == {two.check for two in breaker.judged} for one in breaker.shadow)
    assert (breaker.waiting, breaker.blocked, breaker.seconds, breaker.alarm) == ([], 3, 600, False)

    # By its name, or as the answer of a check has it.
    for token in (*held[:2], *sorted(set(shadowed) - set(map(name_of, held[:2])))):
        status, answered = await api.post(f"/v1/breaker/{token}/lift", {})
        assert (status, answered) == (200, {"token": token})
    await blocked(api, TEXTS[3])
    status, answered = await api.post(f"/v1/breaker/{shadowed[0]}/lift", {})
    assert (status, answered["error"]["code"]) == (404, "TokenNotInShadowError")


async def test_what_is_refused_says_what_to_do(
    api: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, answered = await judged(api, "ab" * 16)
    assert (status, answered["error"]["code"]) == (404, "UnknownCheckError")
    assert "orgnode breaker" in answered["error"]["hint"]
    check = await blocked(api, TEXTS[0])
    assert (await judged(api, check, verdict="malicious"))[0] == 200
    status, answered = await judged(api, check, by="evaluator")
    assert (status, answered["error"]["code"]) == (409, "PersonDecidedError")
    assert "a person can change it" in answered["error"]["hint"]
    for wrong in ({"verdict": "fine"}, {"by": "nobody"}, {"text": "a prompt"}):
        status, answered = await judged(api, check, **wrong)
        assert (status, answered["error"]["code"]) == (422, "InvalidRequestError")

    with monkeypatch.context() as patch:
        patch.setattr("mesh.breaker.MAX_SHADOW", 3)
        for text in TEXTS[1:4]:
            status, answered = await judged(api, await blocked(api, text))
        assert (status, answered["error"]["code"]) == (409, "ShadowFullError")
        assert "orgnode breaker" in answered["error"]["hint"]

    async def full(_key: str, _value: bytes) -> None:
        raise StoreFullError("the disk is full")

    monkeypatch.setattr(api.node.checker.breaker._store, "set_meta", full)
    assert (await judged(api, check))[0] == 503


async def test_the_client_judges_and_lifts(api: Served) -> None:
    async with NodeClient(api.url, TOKEN) as node:
        for text in TEXTS[:3]:
            checked = await node.check(NOTICE + text, risk=0.5)
            assert checked.check is not None
            made = await node.judge(checked.check, "benign", by="evaluator")
        breaker = await node.breaker()
        assert [one.by for one in breaker.judged] == ["evaluator"] * 3
        token = made.shadowed[0]
        assert (await node.lift(token)).token == token
        assert len((await node.breaker()).shadow) == len(made.shadowed) - 1
        with pytest.raises(ApiError, match="UnknownCheckError"):
            await node.judge("cd" * 16, "benign")


async def test_the_table_of_routes_describes_them(api: Served) -> None:
    status, document = await api.get("/v1/openapi.json")
    assert status == 200
    paths = document["paths"]
    assert "post" in paths["/v1/checks/{id}/judgement"]
    assert "get" in paths["/v1/breaker"]
    assert "post" in paths["/v1/breaker/{token}/lift"]


# --- the command line


async def test_the_command_line_from_a_block_to_its_end(console: Console) -> None:
    ran = await console("breaker")
    assert ran.code == 0
    assert "tokens that can't block" in ran.out
    for number, text in enumerate(TEXTS[:3]):
        checked = await console("check", NOTICE + text, "--risk", "0.5")
        assert checked.code == 11
        (line,) = [one for one in checked.out.splitlines() if "orgnode breaker judge" in one]
        check = line.split()[-2]
        listed = await console("breaker")
        assert check[:12] in listed.out
        assert "not yet" in listed.out
        ran = await console("breaker", "judge", check[:12], "benign")
        assert ran.code == 0
        said = "can't block here any more" if number == 2 else "Its tokens still block"
        assert said in ran.out
    shown = (await console("breaker", "--json")).json
    tokens = [one["token"] for one in shown["shadow"]]
    listed = await console("breaker")
    for token in tokens:
        assert token[:16] in listed.out
    assert "benign, by person" in listed.out
    again = await console("breaker", "judge", check, "malicious", "--json")
    assert (again.json["verdict"], again.json["in_shadow"]) == ("malicious", sorted(tokens))
    assert "one block again" in (await console("breaker", "judge", check, "malicious")).out
    ran = await console("breaker", "lift", tokens[0][:10])
    assert (ran.code, f"{tokens[0][:16]} blocks again" in ran.out) == (0, True)
    ran = await console("breaker", "lift", tokens[1], "--json")
    assert json.loads(ran.out.splitlines()[-1]) == {"token": tokens[1]}
    assert len((await console("breaker", "--json")).json["shadow"]) == len(tokens) - 2


async def test_what_holds_a_token_is_a_malicious_verdict(console: Console) -> None:
    """Benign verdicts before it speak for nothing: it is named, not the number of texts."""
    checks = [await blocked(console.api, text) for text in TEXTS[:4]]
    for check in checks[:2]:
        assert "three texts" in (await console("breaker", "judge", check, "benign")).out
    await console("breaker", "judge", checks[2], "malicious")
    ran = await console("breaker", "judge", checks[3], "benign")
    assert f"because a person judged {checks[2][:12]} malicious" in ran.words
    assert "judged benign by persons since" in ran.words
    told = (await console("breaker", "judge", checks[3], "benign", "--json")).json
    assert (told["shadowed"], told["malicious"]) == ([], [checks[2]])
    assert told["upheld"]
    # That verdict taken back, the tokens are still held: what was said before does not count.
    ran = await console("breaker", "judge", checks[2], "benign")
    assert "had them block again, or judged a text with them malicious" in ran.words
    ran = await console("breaker", "judge", checks[0], "benign")
    assert "can't block here any more" in ran.words


async def test_digits_that_mean_nothing_or_too_much(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, code, said in (
        (("judge", "abcdef", "benign"), 1, "no check begins with abcdef"),
        (("judge", "abc", "benign"), 2, "at least 6"),
        (("judge", "xyzxyz", "benign"), 2, "at least 6"),
        (("judge", "ab" * 16, "benign"), 1, "UnknownCheckError"),
        (("judge", "ab" * 16, "fine"), 2, "fine"),
        (("lift", "abcdef"), 1, "no token in shadow begins with abcdef"),
        (("lift", "ab" * 32), 1, "TokenNotInShadowError"),
    ):
        ran = await console("breaker", *arguments)
        assert ran.code == code
        assert said in ran.err

    monkeypatch.setattr(
        "orgnode.cli.breaker._checks", lambda _: ["ab" * 16, "ab" * 15 + "cd", "ab" * 16]
    )
    ran = await console("breaker", "judge", "abababab", "benign")
    assert (ran.code, "2 of them begin with" in ran.err) == (1, True)


async def test_many_blocks_are_shown_as_many(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.api.node.checker.breaker._volume, "many", 2)
    assert "many" not in (await console("breaker")).out
    for _ in range(2):
        await blocked(console.api, TEXTS[0])
    ran = await console("breaker")
    assert "2 within 10 minutes: many" in ran.out
    assert "Many blocks alone change nothing" in ran.out
