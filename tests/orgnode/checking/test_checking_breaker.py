"""The breaker over real checks: what heals a rival's template, and what never lifts a block."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from check_support import ATTACK, BENIGN, ENFORCE, SECRET, Checks

import orgnode.checking.breaker as breaker_module
from mesh.breaker import Judge, Opinion, PersonDecidedError
from mesh.testing import TestMesh
from mesh.volume import MANY_BLOCKS, WINDOW_SECONDS
from orgnode.checking import (
    BreakerDamagedError,
    CheckAnswer,
    CheckBreaker,
    TokenNotInShadowError,
    UnknownCheckError,
    Verdict,
)
from orgnode.checking.breaker import SHADOW_ALERT, VOLUME_ALERT
from orgnode.store import StoreFullError
from orgnode.store.sqlite import SqliteStore

REGIONAL = 0.5
OTHERS = (1, 2, 3)
BENIGNLY, MALICIOUS = Opinion.BENIGN, Opinion.MALICIOUS
PERSON, EVALUATOR = Judge.PERSON, Judge.EVALUATOR

TEMPLATE = (
    "You are the assistant of the harbour library. Answer in one paragraph and in the language of "
    "the question. If a reader asks for a title, give its shelf and whether it is lent. Never name "
    "other readers. Opening hours change in July and August, so look them up before you answer. "
    "When somebody is unhappy, apologise once and offer the telephone number of the front desk. "
)
"""A rival's own prompt template, which an outsider put into an attack."""

QUESTIONS = (
    "Do you still have the atlas of northern birds that my daughter borrowed before Easter, and "
    "may she keep it for another fortnight while her class works on migration?",
    "The heating in the reading room was out again on Thursday evening; several of us sat in our "
    "coats. Who should I write to about that, and is there a form for complaints?",
    "I am looking for a cookery book with a blue cover, printed in the seventies, which had a "
    "whole chapter about preserving plums. My grandmother wrote her name on its first page.",
    "Could the mobile library stop at the old ferry terminal too? Many people there can't walk up "
    "the hill any longer, and the bus only comes twice a day outside the summer.",
)


async def poisoned(checks: Checks) -> None:
    """Three organizations met an attack with the template in it; a person confirmed it."""
    signals = await checks.knowledge.met(TEMPLATE + ATTACK, OTHERS)
    await checks.knowledge.sight(4, signals[0])


async def known(checks: Checks) -> None:
    """Three organizations met the attack; a person confirmed it."""
    signals = await checks.knowledge.met(ATTACK, OTHERS)
    await checks.knowledge.sight(4, signals[0])


async def ask(checks: Checks, *texts: str) -> CheckAnswer:
    return await checks.ask(*texts, risk=REGIONAL)


async def blocked(checks: Checks, text: str) -> str:
    """Have a text blocked; the id to judge it by."""
    answer = await ask(checks, text)
    assert answer.finding is Verdict.BLOCK
    assert answer.check is not None
    return answer.check


async def heal(
    checks: Checks, questions: Sequence[str] = QUESTIONS[:3], by: Judge = PERSON
) -> list[str]:
    """Judge blocked questions benign; the tokens that went into shadow."""
    found: list[str] = []
    for question in questions:
        check = await blocked(checks, TEMPLATE + question)
        found += (await checks.checker.breaker.judge(check, BENIGNLY, by)).shadowed
    return found


@pytest.mark.parametrize("by", list(Judge))
async def test_a_template_in_an_attack_stops_blocking_and_the_attack_does_not(
    checks: Checks, by: Judge
) -> None:
    await poisoned(checks)
    shadowed = await heal(checks, by=by)
    name_of = checks.checker.breaker.name_of
    template = set(map(name_of, checks.knowledge.tokens(TEMPLATE)))
    assert len(shadowed) >= 4
    assert set(shadowed) <= set(map(name_of, checks.knowledge.tokens(TEMPLATE + ATTACK)))
    assert len(set(shadowed) - template) <= 1  # a window on its edge
    for question in QUESTIONS:
        answer = await ask(checks, TEMPLATE + question)
        assert (answer.answer, answer.check) == (Verdict.ESCALATE, None)
        assert "the breaker holds" in answer.reason
        assert {name_of(one.token) for one in answer.tokens if one.held} <= set(shadowed)
        assert any(one.held for one in answer.tokens)
    assert (await ask(checks, TEMPLATE + ATTACK)).answer is Verdict.BLOCK
    checks.metrics.render()
    assert checks.metric("orgnode_breaker_tokens") == len(shadowed)


async def test_two_benign_texts_and_one_again_are_not_enough(checks: Checks) -> None:
    await poisoned(checks)
    assert await heal(checks, [*QUESTIONS[:2], QUESTIONS[0], QUESTIONS[1].upper()]) == []
    assert (await ask(checks, TEMPLATE + QUESTIONS[2])).answer is Verdict.BLOCK


async def test_flooding_a_known_attack_alerts_and_never_lifts_its_block(checks: Checks) -> None:
    """The outsider's hope: so many blocks look like a fault, and the block is switched off."""
    await known(checks)
    breaker, rng = checks.checker.breaker, random.Random(7)
    for round_ in range(3 * MANY_BLOCKS):
        words = ATTACK.split()
        words[rng.randrange(len(words))] = f"{rng.getrandbits(40):x}"
        checks.clock[0] += 1
        text = ATTACK if round_ % 3 else f"{' '.join(words)} {rng.getrandbits(200):x}"
        assert (await ask(checks, text)).answer is Verdict.BLOCK
        raised = (VOLUME_ALERT, "checks") in checks.alerts.current
        assert raised == (round_ + 1 >= MANY_BLOCKS)
    assert breaker.held.names == frozenset()
    assert breaker.status().alarm
    assert breaker.status().blocked == 3 * MANY_BLOCKS
    assert (
        "150 checks found a block within 10 minutes"
        in checks.alerts.current[VOLUME_ALERT, "checks"]
    )
    # It is over when it is quiet, whoever asks next.
    checks.clock[0] += WINDOW_SECONDS + 60
    assert (await ask(checks, BENIGN)).answer is Verdict.ALLOW
    assert checks.alerts.current == {}
    assert breaker.status().blocked == 0


async def test_evaluators_that_are_fooled_by_one_attack_do_not_lift_its_block(
    checks: Checks,
) -> None:
    await known(checks)
    rng = random.Random(8)
    for _ in range(12):
        words = ATTACK.split()
        words[rng.randrange(len(words))] = f"{rng.getrandbits(30):x}"
        check = await blocked(checks, " ".join(words))
        await checks.checker.breaker.judge(check, BENIGNLY, EVALUATOR)
    assert checks.checker.breaker.held.names == frozenset()
    assert (await ask(checks, ATTACK)).answer is Verdict.BLOCK


async def test_a_person_lifts_what_should_block_again(checks: Checks) -> None:
    await poisoned(checks)
    breaker = checks.checker.breaker
    shadowed = await heal(checks)
    key = SHADOW_ALERT, "checks"
    assert f"{len(shadowed)} tokens can't block here" in checks.alerts.current[key]
    for left, token in reversed(list(enumerate(shadowed))):
        await breaker.lift(token)
        assert len(breaker.held) == left
        assert (key in checks.alerts.current) == bool(left)
    assert (await ask(checks, TEMPLATE + QUESTIONS[0])).answer is Verdict.BLOCK
    with pytest.raises(TokenNotInShadowError) as raised:
        await breaker.lift(shadowed[0])
    assert "orgnode breaker" in raised.value.hint
    # What was judged before the lift no longer speaks for it; what persons judge after it does.
    assert await heal(checks, QUESTIONS[3:]) == []
    assert await heal(checks, QUESTIONS[:1]) == []
    assert sorted(await heal(checks, QUESTIONS[1:2])) == sorted(shadowed)


async def test_a_person_decides_over_evaluators(checks: Checks) -> None:
    await poisoned(checks)
    breaker = checks.checker.breaker
    check = await blocked(checks, TEMPLATE + ATTACK)
    await breaker.judge(check, MALICIOUS, PERSON)
    with pytest.raises(PersonDecidedError):
        await breaker.judge(check, BENIGNLY, EVALUATOR)
    assert await heal(checks, QUESTIONS, EVALUATOR) == []
    answer = await ask(checks, TEMPLATE + QUESTIONS[0])
    assert answer.answer is Verdict.BLOCK


# --- the operator's last word


async def test_the_kill_switch_and_allowed_texts_win_over_the_breaker(checks: Checks) -> None:
    await known(checks)
    breaker = checks.checker.breaker
    checks.write(ENFORCE + "kill_switch = true")
    answer = await ask(checks, ATTACK)
    assert (answer.answer, answer.check) == (Verdict.ALLOW, None)
    checks.write(ENFORCE)
    (checks.directory / "allowed").mkdir()
    (checks.directory / "allowed" / "vesper.txt").write_text(ATTACK)
    checks.clock[0] += 1
    answer = await ask(checks, ATTACK)
    assert (answer.answer, answer.check) == (Verdict.ALLOW, None)
    assert breaker.status().waiting == ()
    assert breaker.status().blocked == 0


async def test_a_shadow_opens_nothing_that_the_operator_shut(checks: Checks) -> None:
    """What the breaker holds escalates: it is never let through unseen."""
    await poisoned(checks)
    await heal(checks)
    checks.write(f'{ENFORCE}trusted = ["{checks.knowledge.world.member(1).name}"]')
    assert (await ask(checks, TEMPLATE + QUESTIONS[3])).answer is Verdict.ESCALATE


async def test_what_only_monitors_can_be_judged_too(checks: Checks) -> None:
    """So that a false alarm is found before anybody enforces."""
    await known(checks)
    checks.write('mode = "monitor"')
    answer = await ask(checks, ATTACK)
    assert (answer.answer, answer.finding) == (Verdict.ALLOW, Verdict.BLOCK)
    assert answer.check is not None
    await checks.checker.breaker.judge(answer.check, BENIGNLY, PERSON)
    (judged,) = checks.checker.breaker.status().judged
    assert (judged.text.check, judged.at) == (answer.check, 1_000_000 + checks.clock[0])


async def test_only_a_block_has_an_id(checks: Checks) -> None:
    await checks.knowledge.met(ATTACK, (1,))
    for text, finding in ((ATTACK, Verdict.ESCALATE), (BENIGN, Verdict.ALLOW)):
        answer = await ask(checks, text)
        assert (answer.finding, answer.check) == (finding, None)
    assert checks.checker.breaker.status().blocked == 0


# --- what is kept


async def test_alike_texts_have_one_id_and_others_another(checks: Checks) -> None:
    await known(checks)
    first = await blocked(checks, ATTACK)
    assert await blocked(checks, ATTACK.upper()) == first
    other = await blocked(checks, f"{ATTACK} {QUESTIONS[0]}")
    assert other != first
    assert [one.check for one in checks.checker.breaker.status().waiting] == [other, first]


async def test_one_text_sent_on_and_on_takes_one_place(
    checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a flood of one attack pushes out what a person was about to judge."""
    monkeypatch.setattr(breaker_module, "WAITING", 2)
    await poisoned(checks)
    first = await blocked(checks, TEMPLATE + QUESTIONS[0])
    for _ in range(5):
        await blocked(checks, TEMPLATE + ATTACK)
    assert (await checks.checker.breaker.judge(first, BENIGNLY, PERSON)).check == first


async def test_only_tokens_that_counted_for_the_block_are_suspect(checks: Checks) -> None:
    await poisoned(checks)
    await checks.knowledge.met(TEMPLATE + QUESTIONS[0], (1,))
    answer = await ask(checks, TEMPLATE + QUESTIONS[0])
    strong = {one.token for one in answer.tokens if one.sufficient}
    assert len(strong) < len(answer.tokens)
    (waiting,) = checks.checker.breaker.status().waiting
    assert set(waiting.tokens) == set(map(checks.checker.breaker.name_of, strong))
    assert len(waiting.others) == answer.windows - len(strong)


async def test_no_text_is_kept_but_under_the_key(checks: Checks, tmp_path: Path) -> None:
    """Who gets hold of the database can't even test whether a text was checked here."""
    await poisoned(checks)
    await heal(checks)
    await blocked(checks, TEMPLATE + ATTACK)
    store = checks.knowledge.store
    kept = b"".join(
        value
        for (value,) in sqlite3.connect(tmp_path / "node.db").execute("SELECT value FROM meta")
    )
    assert len(kept) > 2_000
    for question in QUESTIONS[:3]:
        text = TEMPLATE + question
        for word in ("harbour", "library", "atlas", "heating", "cookery", "ferry"):
            assert word.encode() not in kept
        for window in checks.knowledge.windows(text):
            for form in (window, window.hex().encode(), window[:8].hex().encode()):
                assert form not in kept
            # Nor a token: the signal that it is of may be retracted.
            token = checks.knowledge.holder.token(window)
            raw = bytes.fromhex(token)
            for form in (token.encode(), raw):
                assert form not in kept
                assert sha256(form).hexdigest().encode() not in kept
    # The ids and digests are another node's for another secret.
    mine = {one.text.check for one in checks.checker.breaker.status().judged}
    checks.checker.breaker = CheckBreaker(_Nothing(), bytes(32))
    assert len(mine) == 3
    assert mine.isdisjoint({await blocked(checks, TEMPLATE + one) for one in QUESTIONS})
    assert store.meta("breaker") is not None


class _Nothing:
    """A store that keeps what it is told for nobody."""

    async def set_meta(self, key: str, value: bytes) -> None:
        pass

    def meta(self, key: str) -> bytes | None:
        return None


def reopened(world: TestMesh, directory: Path) -> CheckBreaker:
    """The breaker as another process finds it: what the disk has, and nothing else."""
    with SqliteStore.open(
        directory / "node.db", name=world.member(0).name, mesh_id=world.mesh.mesh_id
    ) as store:
        return CheckBreaker(store, SECRET)


async def test_everything_is_durable_before_it_is_answered(
    checks: Checks, world: TestMesh, tmp_path: Path
) -> None:
    await poisoned(checks)
    shadowed: list[str] = []
    for question in QUESTIONS[:3]:
        check = await blocked(checks, TEMPLATE + question)
        assert check in {one.check for one in reopened(world, tmp_path).status().waiting}
        judged = await checks.checker.breaker.judge(check, BENIGNLY, PERSON)
        shadowed += judged.shadowed
        after = reopened(world, tmp_path)
        assert check in {one.text.check for one in after.status().judged}
        assert after.held.names == frozenset(shadowed) == checks.checker.breaker.held.names
    waiting = await blocked(checks, TEMPLATE + ATTACK)
    await checks.checker.breaker.lift(shadowed[0])
    after = reopened(world, tmp_path)
    assert after.held.names == frozenset(shadowed[1:])
    # How much was blocked lately is all that a restart forgets.
    assert after.status() == replace(checks.checker.breaker.status(), blocked=0, alarm=False)
    assert [one.check for one in after.status().waiting] == [waiting]


async def test_a_disk_that_fails_changes_nothing_and_the_block_stands(
    checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    await poisoned(checks)
    breaker, store = checks.checker.breaker, checks.knowledge.store
    checks_ = [await blocked(checks, TEMPLATE + one) for one in QUESTIONS[:3]]
    for check in checks_[:2]:
        await breaker.judge(check, BENIGNLY, PERSON)

    async def full(_key: str, _value: bytes) -> None:
        raise StoreFullError("the disk is full")

    before = breaker.status()
    with monkeypatch.context() as patch:
        patch.setattr(store, "set_meta", full)
        answer = await ask(checks, TEMPLATE + ATTACK)
        assert (answer.answer, answer.check) == (Verdict.BLOCK, None)
        with pytest.raises(StoreFullError):
            await breaker.judge(checks_[2], BENIGNLY, PERSON)
    assert (breaker.held.names, breaker.status().judged) == (frozenset(), before.judged)
    assert breaker.status().waiting == before.waiting
    assert len((await breaker.judge(checks_[2], BENIGNLY, PERSON)).shadowed) >= 4
    (token, *_) = breaker.held.names
    with monkeypatch.context() as patch:
        patch.setattr(store, "set_meta", full)
        with pytest.raises(StoreFullError):
            await breaker.lift(token)
    assert {one.token for one in breaker.status().shadow} == breaker.held.names
    assert token in breaker.held.names


async def test_judgements_at_one_time_are_all_kept(checks: Checks) -> None:
    await poisoned(checks)
    breaker = checks.checker.breaker
    ids = [await blocked(checks, TEMPLATE + one) for one in QUESTIONS]
    await asyncio.gather(*(breaker.judge(one, BENIGNLY, PERSON) for one in ids))
    assert {one.text.check for one in breaker.status().judged} == set(ids)
    assert len(breaker.held) >= 4


async def test_only_the_newest_blocked_texts_can_be_judged(
    checks: Checks, world: TestMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker_module, "WAITING", 3)
    await poisoned(checks)
    ids = [await blocked(checks, TEMPLATE + one) for one in QUESTIONS]
    newest = list(reversed(ids[1:]))
    assert [one.check for one in checks.checker.breaker.status().waiting] == newest
    after = reopened(world, tmp_path)
    assert [one.check for one in after.status().waiting] == newest
    for breaker in (checks.checker.breaker, after):
        with pytest.raises(UnknownCheckError) as raised:
            await breaker.judge(ids[0], BENIGNLY, PERSON)
        assert "orgnode breaker" in raised.value.hint
    # The next one takes the oldest one's place, after a restart too.
    checks.checker.breaker = CheckBreaker(checks.knowledge.store, SECRET)
    again = await blocked(checks, TEMPLATE + ATTACK)
    assert [one.check for one in checks.checker.breaker.status().waiting] == [again, *newest[:2]]


async def test_a_flood_of_one_attack_pushes_out_no_other_text(
    checks: Checks, world: TestMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time with another word, so that each is a text of its own."""
    monkeypatch.setattr(breaker_module, "WAITING", 12)
    await poisoned(checks)
    other = "Vesper lanterns drift " + ATTACK[::-1]
    signals = await checks.knowledge.met(other, OTHERS)
    await checks.knowledge.sight(4, signals[0])
    mine = [await blocked(checks, TEMPLATE + one) for one in QUESTIONS[:3]]
    rng = random.Random(9)
    for _ in range(40):
        words = other.split()
        words[rng.randrange(len(words))] = f"{rng.getrandbits(40):x}"
        await blocked(checks, " ".join(words))
    for breaker in (checks.checker.breaker, reopened(world, tmp_path)):
        assert len(breaker.status().waiting) == 12
        assert set(mine) <= {one.check for one in breaker.status().waiting}
    for check in mine:
        judged = await checks.checker.breaker.judge(check, BENIGNLY, PERSON)
    assert len(judged.shadowed) >= 4
    # The flood opened nothing: its own block stands.
    assert (await ask(checks, other)).answer is Verdict.BLOCK


async def test_what_gave_way_can_be_checked_again_and_judged(
    checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker_module, "WAITING", 1)
    await poisoned(checks)
    first = await blocked(checks, TEMPLATE + QUESTIONS[0])
    await blocked(checks, TEMPLATE + QUESTIONS[1])
    with pytest.raises(UnknownCheckError) as raised:
        await checks.checker.breaker.judge(first, BENIGNLY, PERSON)
    assert "check the text again" in raised.value.hint
    assert await blocked(checks, TEMPLATE + QUESTIONS[0]) == first
    await checks.checker.breaker.judge(first, BENIGNLY, PERSON)


async def test_a_disk_that_fails_pushes_out_nothing(
    checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker_module, "WAITING", 2)
    await poisoned(checks)
    breaker, store = checks.checker.breaker, checks.knowledge.store
    for one in QUESTIONS[:2]:
        await blocked(checks, TEMPLATE + one)
    before = breaker.status().waiting

    async def full(_key: str, _value: bytes) -> None:
        raise StoreFullError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "set_meta", full)
        answer = await ask(checks, TEMPLATE + QUESTIONS[2])
        assert (answer.answer, answer.check) == (Verdict.BLOCK, None)
    assert breaker.status().waiting == before
    check = await blocked(checks, TEMPLATE + QUESTIONS[2])
    assert [one.check for one in breaker.status().waiting] == [check, before[0].check]


async def test_texts_blocked_at_one_time_have_a_place_each(
    checks: Checks, world: TestMesh, tmp_path: Path
) -> None:
    await poisoned(checks)
    texts = [TEMPLATE + one for one in (*QUESTIONS, QUESTIONS[0])]
    ids = await asyncio.gather(*(blocked(checks, text) for text in texts))
    assert ids[0] == ids[-1]
    for breaker in (checks.checker.breaker, reopened(world, tmp_path)):
        assert {one.check for one in breaker.status().waiting} == set(ids)
        assert len(breaker.status().waiting) == 4


async def test_who_sends_a_text_again_while_it_is_written_waits_for_the_disk_too(
    checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    await poisoned(checks)
    store, go_on, writes = checks.knowledge.store, asyncio.Event(), list[str]()
    write = store.set_meta

    async def slow(key: str, value: bytes) -> None:
        writes.append(key)
        await go_on.wait()
        await write(key, value)

    monkeypatch.setattr(store, "set_meta", slow)
    asked = [asyncio.ensure_future(blocked(checks, TEMPLATE)) for _ in range(2)]
    while len(writes) < 2:
        await asyncio.sleep(0)
        assert not any(task.done() for task in asked)
    go_on.set()
    first, second = await asyncio.gather(*asked)
    assert first == second
    assert len(set(writes)) == 1


async def test_what_was_judged_can_be_judged_again_when_newer_ones_came(
    checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker_module, "WAITING", 1)
    await poisoned(checks)
    first = await blocked(checks, TEMPLATE + QUESTIONS[0])
    await checks.checker.breaker.judge(first, MALICIOUS, EVALUATOR)
    await blocked(checks, TEMPLATE + QUESTIONS[1])
    await checks.checker.breaker.judge(first, BENIGNLY, PERSON)
    (judged,) = checks.checker.breaker.status().judged
    assert (judged.text.check, judged.opinion, judged.by) == (first, BENIGNLY, PERSON)


@pytest.mark.parametrize("key", ["breaker", "breaker/text/0"])
async def test_damaged_state_is_named_not_forgotten(checks: Checks, key: str) -> None:
    """Else a shadow that a person relies on would be gone without a word."""
    store = checks.knowledge.store
    await store.set_meta(key, b'{"number":0,"text":{}}')
    with pytest.raises(BreakerDamagedError):
        CheckBreaker(store, SECRET)


async def test_shadows_are_told_of_again_after_a_restart(checks: Checks) -> None:
    await poisoned(checks)
    await heal(checks)
    told: list[tuple[str, str, str]] = []
    CheckBreaker(checks.knowledge.store, SECRET, alert=lambda *said: told.append(said))
    ((kind, subject, detail),) = told
    assert (kind, subject) == (SHADOW_ALERT, "checks")
    assert "can't block here" in detail


async def test_a_checker_without_a_breaker_of_its_own_has_one_that_forgets(
    checks: Checks,
) -> None:
    await known(checks)
    checks.checker.breaker = CheckBreaker.volatile()
    check = await blocked(checks, ATTACK)
    assert (await checks.checker.breaker.judge(check, BENIGNLY, PERSON)).in_shadow == ()
    assert checks.knowledge.store.meta("breaker") is None
