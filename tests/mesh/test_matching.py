"""What known tokens mean, attack by attack: each rule of `judge` has a test that needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.constraints import Constraints
from mesh.matching import Finding, Matched, Promoted, Source, counted_sources, judge
from mesh.testing import make_mesh

HOUR = 3_600.0
GROUPS = ("alder", "birch", "cedar", "dogwood")


@pytest.fixture(scope="module")
def rules() -> Constraints:
    """Constraints with the default rule: 2 to escalate, 4 of 3 groups to block, 1 h of shadow."""
    constraints = make_mesh(4).mesh.constraints
    matching = constraints.matching.model_copy(update={"shadow_seconds": 3_600})
    made = constraints.model_copy(update={"matching": matching})
    assert (made.matching.escalate_tokens, made.matching.block_tokens) == (2, 4)
    assert made.block_sources == 3
    return made


def source(group: str = "alder", **changes: object) -> Source:
    """A direct signal, older than the shadow period, that nobody confirmed."""
    made = Source(
        signal=f"{group}-signal",
        issuer=f"{group}.example",
        control_group=group,
        band_level=3,
        category="ncr",
        technique="AML.T0054",
        age_seconds=2 * HOUR,
        direct=True,
        confirmed=False,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def tokens(count: int, sources: Sequence[Source], start: int = 0) -> list[Matched]:
    """Tokens that all have these sources."""
    return [Matched(f"{start + place:064x}", tuple(sources)) for place in range(count)]


def honest(groups: Sequence[str] = GROUPS[:3]) -> list[Source]:
    """Signals of independent organizations, the first confirmed by a person elsewhere."""
    return [source(group, confirmed=place == 0) for place, group in enumerate(groups)]


def test_an_attack_that_three_met_and_a_person_confirmed_is_blocked(rules: Constraints) -> None:
    judged = judge(rules, [tokens(4, honest())], exact=False)
    assert judged.finding is Finding.BLOCK
    assert "a person confirmed" in judged.reason
    assert len(judged.tokens) == 4
    assert judged.tokens[0].control_groups == ("alder", "birch", "cedar")
    assert judged.chunk == 0


def test_nothing_known_is_allowed(rules: Constraints) -> None:
    for chunks in ([], [[]], [[], []]):
        judged = judge(rules, chunks, exact=False)
        assert (judged.finding, judged.tokens, judged.chunk) == (Finding.ALLOW, (), None)
        assert "nothing" in judged.reason


def test_one_token_is_a_coincidence_two_are_a_hint(rules: Constraints) -> None:
    known = [source()]
    assert judge(rules, [tokens(1, known)], exact=False).finding is Finding.ALLOW
    assert judge(rules, [tokens(2, known)], exact=False).finding is Finding.ESCALATE


def test_one_organization_can_publish_what_it_likes_and_blocks_nothing(rules: Constraints) -> None:
    many = [source(signal=f"signal {n}", confirmed=True) for n in range(50)]
    judged = judge(rules, [tokens(32, many)], exact=False)
    assert judged.finding is Finding.ESCALATE
    assert judged.tokens[0].control_groups == ("alder",)


def test_organizations_of_one_owner_are_one_source(rules: Constraints) -> None:
    owned = [source(signal=f"s{n}", issuer=f"sub{n}.example", confirmed=True) for n in range(9)]
    assert judge(rules, [tokens(32, owned)], exact=False).finding is Finding.ESCALATE


def test_two_groups_do_not_suffice(rules: Constraints) -> None:
    judged = judge(rules, [tokens(8, honest(GROUPS[:2]))], exact=False)
    assert judged.finding is Finding.ESCALATE
    assert "3 or more independent" in judged.reason


def test_a_piece_of_an_attack_in_a_harmless_text_cannot_block(rules: Constraints) -> None:
    assert judge(rules, [tokens(2, honest())], exact=False).finding is Finding.ESCALATE
    assert judge(rules, [tokens(3, honest())], exact=False).finding is Finding.ESCALATE


def test_pieces_in_different_chunks_do_not_add_up(rules: Constraints) -> None:
    apart = [tokens(2, honest(), start=2 * chunk) for chunk in range(5)]
    assert judge(rules, apart, exact=False).finding is Finding.ESCALATE
    scattered = [tokens(1, honest(), start=chunk) for chunk in range(9)]
    assert judge(rules, scattered, exact=False).finding is Finding.ALLOW


def test_one_token_repeated_is_one_token(rules: Constraints) -> None:
    same = tokens(1, honest()) * 8
    assert judge(rules, [same], exact=False).finding is Finding.ALLOW


def test_tokens_known_from_too_few_do_not_help_those_that_are(rules: Constraints) -> None:
    chunk = tokens(3, honest()) + tokens(20, [source("dogwood")], start=10)
    assert judge(rules, [chunk], exact=False).finding is Finding.ESCALATE


def test_a_signal_made_because_of_the_mesh_is_no_source(rules: Constraints) -> None:
    derived = [source(group, direct=False, confirmed=True) for group in GROUPS]
    judged = judge(rules, [tokens(32, derived)], exact=False)
    assert (judged.finding, judged.tokens) == (Finding.ALLOW, ())
    mixed = [*honest(GROUPS[:2]), source("cedar", direct=False)]
    assert judge(rules, [tokens(8, mixed)], exact=False).finding is Finding.ESCALATE


def test_what_is_new_stays_in_the_shadow(rules: Constraints) -> None:
    fresh = [*honest(GROUPS[:2]), source("cedar", age_seconds=HOUR - 1)]
    judged = judge(rules, [tokens(4, fresh)], exact=False)
    assert judged.finding is Finding.ESCALATE
    assert "shadow" in judged.reason
    assert judged.tokens[0].shadowed == 1
    aged = [*honest(GROUPS[:2]), source("cedar", age_seconds=HOUR)]
    assert judge(rules, [tokens(4, aged)], exact=False).finding is Finding.BLOCK


def test_a_new_source_confirmed_before_its_time_confirms_nothing(rules: Constraints) -> None:
    aged = [source(group) for group in GROUPS[:3]]
    fresh = source("dogwood", confirmed=True, age_seconds=1)
    assert judge(rules, [tokens(4, [*aged, fresh])], exact=False).finding is Finding.ESCALATE


def test_without_a_person_nothing_is_blocked(rules: Constraints) -> None:
    judged = judge(rules, [tokens(32, [source(group) for group in GROUPS])], exact=False)
    assert judged.finding is Finding.ESCALATE
    assert "no person has confirmed" in judged.reason


def test_the_confirmed_signal_must_hold_one_of_the_tokens_that_count(rules: Constraints) -> None:
    strong = tokens(4, [source(group) for group in GROUPS[:3]])
    weak = tokens(1, [source("dogwood", confirmed=True)], start=10)
    assert judge(rules, [strong + weak], exact=False).finding is Finding.ESCALATE


def test_a_trusted_issuer_makes_up_for_the_number_but_not_for_the_person(
    rules: Constraints,
) -> None:
    trusted = frozenset({"alder.example"})
    alone = [source()]
    assert judge(rules, [tokens(4, alone)], exact=False, trusted=trusted).finding is (
        Finding.ESCALATE
    )
    confirmed = [source(confirmed=True)]
    judged = judge(rules, [tokens(4, confirmed)], exact=False, trusted=trusted)
    assert judged.finding is Finding.BLOCK
    assert judged.tokens[0].trusted
    assert judge(rules, [tokens(4, confirmed)], exact=False).finding is Finding.ESCALATE
    fresh = [source(confirmed=True, age_seconds=1)]
    assert judge(rules, [tokens(4, fresh)], exact=False, trusted=trusted).finding is (
        Finding.ESCALATE
    )
    derived = [source(confirmed=True, direct=False)]
    assert judge(rules, [tokens(4, derived)], exact=False, trusted=trusted).finding is (
        Finding.ALLOW
    )


def test_a_trusted_issuer_s_derived_or_new_signal_makes_up_for_nothing(
    rules: Constraints,
) -> None:
    trusted = frozenset({"alder.example"})
    known = source("birch", confirmed=True)
    for untimely in (source(direct=False, confirmed=True), source(age_seconds=1)):
        judged = judge(rules, [tokens(4, [known, untimely])], exact=False, trusted=trusted)
        assert judged.finding is Finding.ESCALATE
        assert not judged.tokens[0].trusted


def test_what_the_breaker_holds_escalates_and_never_blocks(rules: Constraints) -> None:
    known = tokens(5, honest())
    for held, finding in ((1, Finding.BLOCK), (2, Finding.ESCALATE), (5, Finding.ESCALATE)):
        names = frozenset(one.token for one in known[:held])
        judged = judge(rules, [known], exact=False, held=names)
        assert judged.finding is finding
        assert [one.held for one in judged.tokens] == [one.token in names for one in judged.tokens]
        assert [one.sufficient for one in judged.tokens] == [
            one.token not in names for one in judged.tokens
        ]
    assert "the breaker holds 5 back" in judged.reason


def test_not_even_a_trusted_issuer_blocks_with_what_the_breaker_holds(rules: Constraints) -> None:
    """A shadow is this node's own finding: no signal of others takes it back."""
    known = tokens(4, honest())
    trusted = frozenset({"alder.example"})
    assert judge(rules, [known], exact=False, trusted=trusted).finding is Finding.BLOCK
    held = frozenset({known[0].token})
    judged = judge(rules, [known], exact=False, trusted=trusted, held=held)
    assert judged.finding is Finding.ESCALATE
    assert "the breaker holds 1 back" in judged.reason


def test_a_derived_signal_confirms_nothing(rules: Constraints) -> None:
    aged = [source(group) for group in GROUPS[:3]]
    derived = source("dogwood", direct=False, confirmed=True)
    assert judge(rules, [tokens(4, [*aged, derived])], exact=False).finding is Finding.ESCALATE


def test_a_short_text_can_only_escalate(rules: Constraints) -> None:
    judged = judge(rules, [tokens(1, honest(GROUPS))], exact=True, trusted=frozenset(GROUPS))
    assert judged.finding is Finding.ESCALATE
    assert "short" in judged.reason
    # Not even if a text could have several exact tokens.
    assert judge(rules, [tokens(9, honest())], exact=True).finding is Finding.ESCALATE
    assert judge(rules, [[]], exact=True).finding is Finding.ALLOW


def test_a_short_texts_windows_escalate_and_never_block(rules: Constraints) -> None:
    assert judge(rules, [[], tokens(1, honest())], exact=True).finding is Finding.ALLOW
    assert judge(rules, [[], tokens(2, honest())], exact=True).finding is Finding.ESCALATE
    judged = judge(rules, [[], tokens(9, honest())], exact=True)
    assert judged.finding is Finding.ESCALATE
    assert "short" in judged.reason
    assert judge(rules, [[], tokens(9, honest())], exact=False).finding is Finding.BLOCK


def test_the_worst_chunk_decides_and_all_tokens_are_shown(rules: Constraints) -> None:
    chunks = [tokens(2, [source()]), tokens(4, honest(), start=10), tokens(1, honest(), start=50)]
    judged = judge(rules, chunks, exact=False)
    assert (judged.finding, judged.chunk, len(judged.tokens)) == (Finding.BLOCK, 1, 7)


def test_a_larger_mesh_needs_more_sources(rules: Constraints) -> None:
    large = make_mesh(13).mesh.constraints
    large = large.model_copy(update={"matching": rules.matching})
    assert large.block_sources == 5
    assert judge(large, [tokens(8, honest(GROUPS))], exact=False).finding is Finding.ESCALATE


# --- promotions


def promoted(
    sources: Sequence[Source], age: float = HOUR, then: Sequence[str] | None = None
) -> Promoted:
    """A promotion whose evidence is all still live, unless told whose it was."""
    groups = [one.control_group for one in sources] if then is None else then
    return Promoted(tuple(sources), frozenset(groups), age)


def test_signals_after_the_promotion_are_no_sources(rules: Constraints) -> None:
    """Every member can compute a promoted token's scalar, so later signals prove nothing."""
    named = [source(group) for group in GROUPS[:3]]
    timely = source("dogwood", signal="timely", age_seconds=HOUR)
    fake = source("dogwood", signal="fake", age_seconds=HOUR - 1, confirmed=True)
    counted = counted_sources([*named, timely, fake], [promoted(named)], rules.block_sources)
    assert counted == (*named, timely)
    judged = judge(
        rules, [[Matched(f"{n:064x}", counted, promoted=True) for n in range(4)]], exact=False
    )
    # The fake's confirmation does not count, so that nobody can unlock a block with a new signal.
    assert judged.finding is Finding.ESCALATE
    assert judged.tokens[0].promoted


def test_later_signals_do_not_replace_retracted_evidence() -> None:
    left, fake = honest(GROUPS[:2]), source("dogwood", age_seconds=1)
    assert counted_sources([*left, fake], [promoted(left, then=GROUPS[:3])], 3) == tuple(left)
    assert counted_sources([fake], [promoted([], then=GROUPS[:3])], 3) == ()


def test_evidence_counts_though_it_came_after_its_promotion() -> None:
    late = source("cedar", age_seconds=1)
    named = [*honest(GROUPS[:2]), late]
    assert counted_sources(named, [promoted(named)], 3) == tuple(named)
    assert counted_sources([], [promoted(named)], 3) == tuple(named)


def test_the_earliest_sound_promotion_decides() -> None:
    junk = promoted([source("dogwood")], age=3 * HOUR)
    sound = promoted(honest(GROUPS[:2]), age=2 * HOUR, then=GROUPS[:3])
    more = promoted(honest(GROUPS), age=HOUR)
    for promotions in ([junk, sound, more], [more, sound, junk]):
        assert counted_sources([], promotions, 3) == tuple(honest(GROUPS[:2]))


def test_many_signals_of_one_organization_make_no_promotion_sound() -> None:
    padded = [source(signal=f"s{n}") for n in range(9)]
    live = [source(group, age_seconds=1) for group in GROUPS]
    assert counted_sources(live, [promoted(padded)], 3) == tuple(live)


def test_a_promotion_that_is_not_sound_does_not_keep_a_token_from_counting() -> None:
    early, live = [source("alder")], [source(group, age_seconds=1) for group in GROUPS[:3]]
    assert counted_sources(live, [promoted(early)], 3) == tuple(live)
    assert counted_sources(live, [promoted([])], 3) == tuple(live)
    assert counted_sources(live, [], 3) == tuple(live)


def test_a_promotion_alone_counts_offline() -> None:
    assert counted_sources((), [promoted(honest())], 3) == tuple(honest())
    few = [promoted([source()]), promoted(honest(GROUPS[:2]))]
    assert counted_sources((), few, 3) == tuple(honest(GROUPS[:2]))
    assert counted_sources((), [promoted([])], 3) == ()


@given(data=st.data())
def test_what_comes_after_the_first_sound_promotion_changes_nothing(data: st.DataObject) -> None:
    ages = st.integers(0, 9).map(float)
    named = st.builds(
        lambda place, group, age: source(group, signal=f"s{place}", age_seconds=age),
        st.integers(0, 99),
        st.sampled_from(GROUPS),
        ages,
    )
    live = data.draw(st.lists(named, max_size=8, unique_by=lambda one: one.signal))
    promotions = [
        promoted(some, age, then)
        for some, age, then in data.draw(
            st.lists(
                st.tuples(
                    st.lists(st.sampled_from(live), max_size=4, unique=True)
                    if live
                    else st.just([]),
                    ages,
                    st.lists(st.sampled_from(GROUPS), unique=True),
                ),
                max_size=5,
            )
        )
    ]
    counted = counted_sources(live, promotions, 3)
    started = max(
        (one.age_seconds for one in promotions if len(one.groups_then) >= 3), default=None
    )
    if started is None:
        assert set(counted) == set(live)
        return
    allowed = [
        {one for one in live if one.age_seconds >= started} | set(promotion.sources)
        for promotion in promotions
        if promotion.age_seconds == started and len(promotion.groups_then) >= 3
    ]
    assert set(counted) in allowed
    assert len(counted) == len(set(counted))
    more = [source("dogwood", signal="new", age_seconds=-1.0)]
    late = promoted(more, age=-1.0, then=GROUPS)
    assert counted_sources([*live, *more], [*promotions, late], 3) == counted


def test_a_promotion_whose_evidence_is_gone_means_nothing(rules: Constraints) -> None:
    gone = [Matched(f"{n:064x}", (), promoted=True) for n in range(8)]
    assert judge(rules, [gone], exact=False).finding is Finding.ALLOW


@given(
    drawn=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(GROUPS), st.booleans(), st.booleans(), st.sampled_from([0.0, 9e9])
            ),
            max_size=6,
        ),
        max_size=8,
    )
)
def test_no_block_without_three_aged_direct_groups_on_four_tokens(
    rules: Constraints,
    drawn: list[list[tuple[str, bool, bool, float]]],
) -> None:
    chunk = [
        Matched(
            f"{place:064x}",
            tuple(
                source(group, direct=direct, confirmed=confirmed, age_seconds=age)
                for group, direct, confirmed, age in sources
            ),
        )
        for place, sources in enumerate(drawn)
    ]
    strong = [
        one
        for one in chunk
        if len({s.control_group for s in one.sources if s.direct and s.age_seconds > HOUR}) >= 3
    ]
    confirmed = any(
        s.confirmed and s.direct and s.age_seconds > HOUR for one in strong for s in one.sources
    )
    blocked = judge(rules, [chunk], exact=False).finding is Finding.BLOCK
    assert blocked == (len(strong) >= 4 and confirmed)
