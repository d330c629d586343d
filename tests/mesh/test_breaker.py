"""The breaker's rule, attack by attack: who can put a token in shadow, and who can't."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mesh.breaker as breaker_module
from mesh.breaker import (
    MAX_OPINIONS,
    TEXT_OTHERS,
    TEXT_TOKENS,
    BlockedText,
    Breaker,
    BreakerStateError,
    Judge,
    NotInShadowError,
    Opinion,
    PersonDecidedError,
    ShadowFullError,
    diverse,
)
from mesh.strictjson import StrictJSONError

BENIGN, MALICIOUS = Opinion.BENIGN, Opinion.MALICIOUS
PERSON, EVALUATOR = Judge.PERSON, Judge.EVALUATOR


def token(name: str) -> str:
    """A token, by any name."""
    return sha256(b"token" + name.encode()).hexdigest()


def tokens(names: str) -> tuple[str, ...]:
    """Tokens, by one letter each."""
    return tuple(sorted(token(name) for name in names))


def part(name: str) -> str:
    """The digest of another part of a text."""
    return sha256(b"part" + name.encode()).hexdigest()[:16]


def text(name: str, known: str, others: Sequence[str] | None = None, at: int = 1) -> BlockedText:
    """A blocked text; unless told otherwise it holds four parts that no other text does."""
    parts = [f"{name} {place}" for place in range(4)] if others is None else others
    check = sha256(f"{name}".encode()).hexdigest()[:32]
    return BlockedText.of(check, at, tokens(known), map(part, parts))


def benign(breaker: Breaker, *texts: BlockedText, by: Judge = PERSON) -> list[tuple[str, ...]]:
    return [breaker.judge(5, one, BENIGN, by) for one in texts]


@pytest.mark.parametrize("by", list(Judge))
def test_three_diverse_benign_texts_put_their_common_tokens_in_shadow(by: Judge) -> None:
    breaker = Breaker()
    texts = text("one", "abx"), text("two", "aby"), text("three", "abz")
    assert benign(breaker, *texts, by=by) == [(), (), tokens("ab")]
    assert tuple(breaker.shadow) == tokens("ab")
    shadow = breaker.shadow[token("a")]
    assert shadow.since == 5
    assert set(shadow.checks) == {one.check for one in texts}


def test_it_takes_three_texts_not_three_judgements() -> None:
    """Else one caller that repeats itself switches a block off."""
    breaker = Breaker()
    one, other = text("one", "ab"), text("two", "ab")
    for by in (EVALUATOR, PERSON, PERSON):
        assert benign(breaker, one, other, by=by) == [(), ()]
    # Nor does the same text when other parts of it were kept.
    again = BlockedText.of(one.check, 2, one.tokens, [part(f"another {n}") for n in range(4)])
    assert benign(breaker, again) == [()]
    assert diverse([one, other, again]) == frozenset()
    assert not breaker.shadow
    assert len(breaker.judged) == 2


def test_one_text_with_a_changed_word_is_one_text() -> None:
    """A jailbreak that fools the own evaluators is sent again and again, a little changed."""
    breaker = Breaker()
    body = [f"body {place}" for place in range(6)]
    changed = [text(f"changed {n}", "abcd", [*body, f"word {n}"]) for n in range(20)]
    bare = [text(f"bare {n}", "abcd", []) for n in range(20)]
    word = [text(f"word {n}", "abcd", [f"{n} {at}" for at in range(3)]) for n in range(20)]
    for group in (changed, bare, word):
        assert not any(benign(breaker, *group, by=EVALUATOR))
    # Several families: still no three texts that differ.
    assert not any(benign(breaker, text("other", "abcd")))


@pytest.mark.parametrize(("parts", "found"), [(4, False), (5, True)])
def test_the_more_is_known_of_a_text_the_more_must_be_its_own(parts: int, found: bool) -> None:
    """A long attack has many places for another word."""
    breaker = Breaker()
    known = "abcdefghijklmn"  # fourteen: it takes five others
    texts = [text(str(n), known, [f"{n} {at}" for at in range(parts)]) for n in range(3)]
    assert any(benign(breaker, *texts)) is found


def test_known_parts_of_an_attack_are_no_text_of_one_s_own() -> None:
    """Another word in another place leaves other tokens out each time."""
    breaker = Breaker()
    whole = "abcdefghijklmnopqr"
    for n in range(6):
        known = whole[: 3 * n] + whole[3 * n + 3 :]
        assert benign(breaker, text(str(n), known, [f"{n} {at}" for at in range(4)])) == [()]


@pytest.mark.parametrize(("shared", "found"), [(2, "a"), (3, "")])
def test_two_texts_may_share_half_of_what_either_holds(shared: int, found: str) -> None:
    breaker = Breaker()
    common = [f"common {place}" for place in range(shared)]
    own = [f"own {place}" for place in range(4 - shared)]
    small = text("small", "a", [*common, *own])
    large = text("large", "a", [*common, *(f"large {place}" for place in range(20))])
    assert benign(breaker, small, large, text("third", "a"))[-1] == tokens(found)


def test_tokens_that_two_of_three_share_count_against_them() -> None:
    breaker = Breaker()
    family = text("one", "abcdefgh"), text("two", "abcdefgh")
    assert benign(breaker, *family, text("three", "a"))[-1] == ()
    assert benign(breaker, text("four", "a"))[-1] == tokens("a")


def test_exactly_the_common_tokens_are_suspect() -> None:
    breaker = Breaker()
    benign(breaker, text("one", "abx"), text("two", "abw"), text("three", "acy"))
    assert tuple(breaker.shadow) == tokens("a")


def test_texts_without_a_common_token_say_nothing_about_each_other() -> None:
    breaker = Breaker()
    texts = [text(str(n), f"{n}{(n + 1) % 5}") for n in range(5)]  # a ring: pairs, no triples
    assert not any(benign(breaker, *texts))


def test_a_person_s_malicious_outweighs_what_was_judged_before_and_every_evaluator() -> None:
    breaker = Breaker()
    benign(breaker, text("one", "ab"), text("two", "ab"))
    breaker.judge(5, text("attack", "ac"), MALICIOUS, PERSON)
    assert benign(breaker, text("three", "ab"), by=EVALUATOR) == [tokens("b")]
    texts = [text(str(n), "a") for n in range(6)]
    assert not any(benign(breaker, *texts, by=EVALUATOR))
    assert benign(breaker, text("p", "a"), text("q", "a"), text("r", "a")) == [(), (), tokens("a")]


def test_an_evaluator_s_malicious_keeps_nothing_from_healing() -> None:
    """Else a flood of the jailbreak, judged by machines, pins the block of a rival's template."""
    for by in (EVALUATOR, PERSON):
        breaker = Breaker()
        texts = text("p", "a"), text("q", "a"), text("r", "a")
        benign(breaker, *texts[:2], by=by)
        for n in range(10):
            breaker.judge(5, text(f"attack {n}", "a"), MALICIOUS, EVALUATOR)
        assert benign(breaker, texts[2], by=by) == [tokens("a")]


def test_a_malicious_text_is_no_benign_one() -> None:
    for opinion, by in ((MALICIOUS, EVALUATOR), (MALICIOUS, PERSON)):
        breaker = Breaker()
        breaker.judge(5, text("attack", "a"), opinion, by)
        benign(breaker, text("one", "a"), text("two", "a"))
        assert not breaker.shadow


def test_no_evaluator_overrules_a_person() -> None:
    breaker = Breaker()
    attack = text("attack", "a")
    breaker.judge(5, attack, MALICIOUS, PERSON)
    before = breaker.encode()
    with pytest.raises(PersonDecidedError):
        breaker.judge(6, attack, BENIGN, EVALUATOR)
    assert breaker.encode() == before
    # A person overrules both: an evaluator, and a person's own word.
    breaker.judge(7, attack, BENIGN, PERSON)
    assert breaker.judged[attack.check].opinion is BENIGN
    breaker.judge(8, text("other", "b"), BENIGN, EVALUATOR)
    breaker.judge(9, text("other", "b"), MALICIOUS, PERSON)
    assert breaker.judged[text("other", "b").check].opinion is MALICIOUS


def test_a_shadow_stays_until_a_person_lifts_it() -> None:
    breaker = Breaker()
    benign(breaker, text("one", "ab"), text("two", "ab"), text("three", "ab"))
    breaker.judge(5, text("attack", "ab"), MALICIOUS, PERSON)
    assert tuple(breaker.shadow) == tokens("ab")
    breaker.lift(token("a"))
    assert tuple(breaker.shadow) == tokens("b")
    with pytest.raises(NotInShadowError):
        breaker.lift(token("a"))


def test_what_was_judged_before_a_lift_does_not_bring_the_shadow_back() -> None:
    breaker = Breaker()
    benign(breaker, text("one", "a"), text("two", "a"), text("three", "a"))
    breaker.lift(token("a"))
    assert benign(breaker, text("four", "a"), text("five", "a")) == [(), ()]
    assert not any(benign(breaker, *(text(f"e{n}", "a") for n in range(5)), by=EVALUATOR))
    assert benign(breaker, text("six", "a"))[-1] == tokens("a")


def test_what_is_in_shadow_is_not_put_there_twice() -> None:
    breaker = Breaker()
    benign(breaker, text("one", "a"), text("two", "a"), text("three", "a"))
    first = breaker.shadow[token("a")]
    assert benign(breaker, text("four", "a")) == [()]
    assert breaker.shadow[token("a")] == first


def test_the_shadow_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_module, "MAX_SHADOW", 2)
    breaker = Breaker()
    benign(breaker, text("one", "abcx"), text("two", "abcy"))
    before = breaker.encode()
    with pytest.raises(ShadowFullError):
        benign(breaker, text("three", "abcz"))
    assert breaker.encode() == before
    assert benign(breaker, text("four", "abw")) == [tokens("ab")]


def test_opinions_are_bounded_and_evaluators_push_no_person_out() -> None:
    breaker = Breaker()
    benign(breaker, text("first", "a"), text("second", "a"))
    for n in range(3 * MAX_OPINIONS):
        breaker.judge(5, text(f"flood {n}", "x"), MALICIOUS, EVALUATOR)
    assert len(breaker.judged) == 2 + MAX_OPINIONS
    kept = [text(f"flood {n}", "x").check for n in range(2 * MAX_OPINIONS, 3 * MAX_OPINIONS)]
    assert list(breaker.judged)[2:] == kept
    assert benign(breaker, text("third", "a")) == [tokens("a")]
    for by in Judge:
        for opinion in Opinion:
            for n in range(2 * MAX_OPINIONS):
                breaker.judge(5, text(f"review {n} {by} {opinion}", "y"), opinion, by)
    assert len(breaker.judged) == breaker_module.MAX_JUDGED == 4 * MAX_OPINIONS
    assert Breaker.decode(breaker.encode()) == breaker


@pytest.mark.parametrize("by", list(Judge))
def test_a_flood_of_a_known_attack_between_two_benign_texts_keeps_nothing_from_healing(
    by: Judge,
) -> None:
    """Judged malicious each time, as it should be, it took the places of the benign ones."""
    breaker, found = Breaker(), list[tuple[str, ...]]()
    for n in range(3):
        found += benign(breaker, text(f"rival {n}", f"ab{n}"), by=by)
        for m in range(MAX_OPINIONS + 1):
            breaker.judge(5, text(f"attack {n} {m}", "xyz"), MALICIOUS, by)
    assert found == [(), (), tokens("ab")]
    assert tuple(breaker.shadow) == tokens("ab")


@pytest.mark.parametrize("by", list(Judge))
def test_a_flood_that_fools_its_judge_pushes_out_none_but_its_own(by: Judge) -> None:
    """Variants of one attack, in each of which another word is changed."""
    breaker, found = Breaker(), list[tuple[str, ...]]()
    attack = "klmnopqrstuvwxyz"
    for n in range(3):
        found += benign(breaker, text(f"rival {n}", f"ab{n}"), by=by)
        for m in range(2 * MAX_OPINIONS):
            at = m % len(attack)
            changed = text(f"attack {n} {m}", attack[:at] + attack[at + 3 :], ["word"])
            assert benign(breaker, changed, by=by) == [()]
    assert found == [(), (), tokens("ab")]
    assert tuple(breaker.shadow) == tokens("ab")


def test_for_how_many_tokens_a_person_stood_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_module, "MAX_UPHELD", 3)
    breaker = Breaker()
    for name in ("a", "bc", "d"):
        breaker.judge(5, text(name, name), MALICIOUS, PERSON)
    for known, found in (("d", ()), ("a", tokens("a"))):
        texts = [text(f"{known} {n}", known) for n in range(3)]
        assert benign(breaker, *texts, by=EVALUATOR)[-1] == found


def test_of_a_text_only_so_much_is_kept() -> None:
    many = BlockedText.of(
        "ab" * 16,
        1,
        [token(str(n)) for n in range(2 * TEXT_TOKENS)] * 2,
        [part(str(n)) for n in range(2 * TEXT_OTHERS)] * 2,
    )
    assert (len(many.tokens), len(many.others)) == (TEXT_TOKENS, TEXT_OTHERS)
    assert list(many.tokens) == sorted(token(str(n)) for n in range(2 * TEXT_TOKENS))[:TEXT_TOKENS]
    for wrong in (("ab", [token("a")], []), ("ab" * 16, [], []), ("ab" * 16, [token("a")], ["a"])):
        with pytest.raises(BreakerStateError):
            BlockedText.of(wrong[0], 1, wrong[1], wrong[2])


def test_a_state_is_read_as_written() -> None:
    breaker = Breaker()
    benign(breaker, text("one", "abx"), text("two", "aby"), text("three", "abz"))
    breaker.judge(6, text("attack", "q"), MALICIOUS, PERSON)
    breaker.judge(7, text("other", "q"), BENIGN, EVALUATOR)
    breaker.lift(token("b"))
    again = Breaker.decode(breaker.encode())
    assert again == breaker
    assert again.encode() == breaker.encode()
    for one in (again, breaker):
        assert benign(one, text("four", "b"), by=EVALUATOR) == [()]
    assert Breaker.decode(Breaker().encode()) == Breaker()


def test_a_copy_is_apart() -> None:
    breaker = Breaker()
    benign(breaker, text("one", "a"), text("two", "a"))
    before = breaker.encode()
    copy = breaker.copy()
    assert benign(copy, text("three", "a")) == [tokens("a")]
    copy.lift(token("a"))
    assert breaker.encode() == before


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"next":-1,"judged":[],"shadow":[],"upheld":[]}',
     b'{"next":0,"judged":[{}],"shadow":[],"upheld":[]}',
     b'{"next":0,"judged":[],"shadow":[],"upheld":[],"more":1}'],
)  # fmt: skip
def test_other_bytes_are_no_state(data: bytes) -> None:
    with pytest.raises((BreakerStateError, StrictJSONError)):
        Breaker.decode(data)


def plain(group: Sequence[BlockedText]) -> set[str]:
    """The rule of the module, once more and without haste."""
    suspects = set(group[0].tokens) & set(group[1].tokens) & set(group[2].tokens)
    for one in group:
        for other in group:
            if one is other:
                continue
            if one.check == other.check:
                return set()
            for a, b in (
                (set(one.tokens) - suspects, set(other.tokens) - suspects),
                (set(one.others), set(other.others)),
            ):
                if len(a & b) > len(a) / 2 or len(a & b) > len(b) / 2:
                    return set()
        if len(one.others) < 4 or len(one.others) < len(one.tokens) / 3:
            return set()
    return suspects


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_the_rule_against_a_plain_reading_of_it(seed: int) -> None:
    """Any benign judgements, of persons alone: exactly the triples that are diverse count."""
    rng = random.Random(seed)
    breaker, judged = Breaker(), list[BlockedText]()
    letters = "abcdefghijklmnopq"[: rng.choice((4, 17))]
    for number in range(rng.randint(3, 9)):
        known = "".join(rng.sample(letters, rng.randint(len(letters) // 2, len(letters))))
        others = rng.sample([f"part {n}" for n in range(14)], rng.randint(1, 7))
        one = text(f"{seed} {number}", known, others)
        expected = set(breaker.shadow)
        for at, second in enumerate(judged):
            for third in judged[at + 1 :]:
                assert diverse([one, second, third]) == plain([one, second, third])
                expected |= plain([one, second, third])
        judged.append(one)
        breaker.judge(5, one, BENIGN, PERSON)
        assert set(breaker.shadow) == expected
