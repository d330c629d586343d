import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.constraints import (
    MAX_DAILY_QUOTA,
    MAX_EVALUATION_BUDGET,
    MAX_MEMBERS,
    MAX_SHADOW_SECONDS,
    BandsError,
    Constraints,
    ConstraintsError,
    ConstraintsFormatError,
    DuplicateMemberError,
    ForeignSeatError,
    MatchingRule,
    RubricRule,
    RubricRuleError,
    UnknownBandError,
    UnknownMemberError,
    max_faulty,
    quorum,
)
from mesh.errors import MeshError
from mesh.names import NameFormatError
from mesh.testing.members import founders, make_mesh
from proofs.note import MAX_SIGNATURES

CARDS = tuple(member.card for member in founders(5))
COMMITTEE = make_mesh(2).committee
"""Seats of the first two of them."""


def constraints(**fields: object) -> Constraints:
    base = {
        "name": "test",
        "members": CARDS,
        "committee": COMMITTEE,
        "selection_key_digest": "ab" * 32,
    }
    return Constraints.parse({**base, **fields})


def bands(*thresholds: int) -> list[dict[str, object]]:
    names = ("low", "moderate", "high", "critical")
    return [
        {"level": i + 1, "name": name, "threshold": threshold}
        for i, (name, threshold) in enumerate(zip(names, thresholds, strict=True))
    ]


def test_defaults() -> None:
    made = constraints()
    assert made.version == 0
    assert made.parent is None
    assert made.rubric.components == (
        ("capability_gain", 4),
        ("breadth", 2),
        ("ease_of_weaponization", 2),
        ("discoverability", 2),
    )
    assert made.rubric.component_max == 10
    assert made.rubric.total_max == 100
    assert [(band.level, band.name, band.threshold) for band in made.bands] == [
        (1, "low", 10),
        (2, "moderate", 30),
        (3, "high", 50),
        (4, "critical", 70),
    ]
    assert (made.max_expiry_days, made.default_expiry_days, made.clock_skew_days) == (365, 90, 1)
    assert made.max_body_bytes == 32_768
    assert made.matching == MatchingRule(
        escalate_tokens=2, block_tokens=4, block_sources=3, shadow_seconds=3_600
    )
    assert made.evaluation_budget == 65_536
    assert made.benign_digest is None
    assert (made.daily_quota, made.cooldown_days) == (4_096, 1)
    assert (made.dampening_percent, made.dampening_floor) == (80, 50)


@given(st.integers(1, 1000))
def test_quorums_intersect_in_an_honest_member(n: int) -> None:
    q, f = quorum(n), max_faulty(n)
    assert 3 * f < n
    assert 3 * (f + 1) >= n
    assert 3 * q > 2 * n
    assert 3 * (q - 1) <= 2 * n
    assert 2 * q - n > f
    assert n - f >= q


@pytest.mark.parametrize(
    ("n", "q", "f", "trial"), [(2, 2, 0, True), (3, 3, 0, True), (4, 3, 1, False), (5, 4, 1, False)]
)
def test_small_meshes(n: int, q: int, f: int, trial: bool) -> None:
    made = constraints(members=CARDS[:n])
    assert (made.quorum, made.max_faulty, made.trial) == (q, f, trial)


@pytest.mark.parametrize(
    ("chosen", "members", "needed"), [(3, 2, 3), (3, 7, 3), (3, 10, 4), (5, 10, 5), (3, 100, 34)]
)
def test_faulty_members_alone_are_never_enough_sources(
    chosen: int, members: int, needed: int
) -> None:
    cards = tuple(member.card for member in founders(members))
    made = constraints(members=cards, matching={"block_sources": chosen})
    assert made.block_sources == needed > made.max_faulty


def test_floors_and_ceilings_themselves_are_allowed() -> None:
    lowest = {"escalate_tokens": 2, "block_tokens": 4, "block_sources": 3, "shadow_seconds": 0}
    highest = {
        "escalate_tokens": 32,
        "block_tokens": 32,
        "block_sources": 100,
        "shadow_seconds": MAX_SHADOW_SECONDS,
    }
    for numbers in (lowest, highest):
        assert constraints(matching=numbers).matching.to_json() == numbers
    for budget in (32, MAX_EVALUATION_BUDGET):
        assert constraints(evaluation_budget=budget).evaluation_budget == budget
    for name, limits in (
        ("daily_quota", (16, MAX_DAILY_QUOTA)),
        ("cooldown_days", (0, 30)),
        ("dampening_percent", (1, 80)),
        ("dampening_floor", (50, 100)),
    ):
        for number in limits:
            assert getattr(constraints(**{name: number}), name) == number


def test_members_are_found_by_name() -> None:
    made = constraints()
    for card in CARDS:
        assert made.member(card.name) is card
    with pytest.raises(UnknownMemberError):
        made.member("nobody.example")


@pytest.mark.parametrize(
    ("total", "name"),
    [(0, None), (9, None), (10, "low"), (29, "low"), (30, "moderate"), (49, "moderate"),
     (50, "high"), (69, "high"), (70, "critical"), (100, "critical")],
)  # fmt: skip
def test_bands_of_totals(total: int, name: str | None) -> None:
    band = constraints().band_for_total(total)
    assert (band.name if band else None) == name


def test_a_mesh_has_at_most_as_many_members_as_a_note_has_signatures() -> None:
    many = tuple(member.card for member in founders(MAX_MEMBERS + 1))
    # All founders sign one note.
    assert len(constraints(members=many[:-1]).members) == MAX_MEMBERS <= MAX_SIGNATURES
    with pytest.raises(ConstraintsFormatError):
        constraints(members=many)


def test_a_copy_keeps_nothing_that_was_computed() -> None:
    made = constraints()
    old = made.rubric.digest, made.members[0].identity_key, made.member(CARDS[0].name)
    rubric = made.rubric.model_copy(update={"component_max": 9})
    assert rubric.digest == RubricRule(component_max=9).digest != old[0]
    card = made.members[0].model_copy(update={"identity": CARDS[1].identity})
    assert card.identity_key != old[1]
    moved = made.model_copy(update={"members": (card, *made.members[1:])})
    assert moved.member(card.name) is card


def test_bands_are_found_by_level_and_name() -> None:
    made = constraints()
    for level, name in enumerate(("low", "moderate", "high", "critical"), 1):
        assert made.band(level) is made.band(name)
    for unknown in (0, 5, "severe", "", "1"):
        with pytest.raises(UnknownBandError):
            made.band(unknown)


@pytest.mark.parametrize(
    ("update", "what"),
    [
        ({"name": CARDS[0].name}, "name"),
        ({"identity": CARDS[0].identity}, "key"),
        ({"identity": CARDS[0].log}, "key"),
        ({"log": CARDS[0].witness}, "key"),
        ({"sealing": CARDS[0].sealing}, "sealing key"),
        ({"witness": CARDS[0].witness}, "key"),
        ({"port": CARDS[0].port}, "endpoint"),
        ({"certificate": CARDS[0].certificate}, "certificate"),
        ({"transport_pin": CARDS[0].transport_pin}, "transport pin"),
    ],
)
def test_no_two_members_share_what_makes_them_distinct(
    update: dict[str, object], what: str
) -> None:
    double = CARDS[1].model_copy(update=update)
    with pytest.raises(DuplicateMemberError, match=what):
        constraints(members=(CARDS[0], double, *CARDS[2:]))
    # One control group may own several members: it is counted once elsewhere.
    same_owner = CARDS[1].model_copy(update={"control_group": CARDS[0].control_group})
    constraints(members=(CARDS[0], same_owner))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"members": CARDS[:1]}, ConstraintsFormatError),
        ({"members": ()}, ConstraintsFormatError),
        ({"members": CARDS * 26}, ConstraintsFormatError),
        ({"version": 1}, ConstraintsFormatError),
        ({"parent": "ab" * 32}, ConstraintsFormatError),
        ({"version": -1, "parent": "ab" * 32}, ConstraintsFormatError),
        ({"version": True}, ConstraintsFormatError),
        ({"name": ""}, ConstraintsFormatError),
        ({"name": "x" * 101}, ConstraintsFormatError),
        ({"name": "two\nlines"}, NameFormatError),
        ({"name": " padded"}, NameFormatError),
        ({"name": "\u202eflipped"}, NameFormatError),
        ({"max_expiry_days": 0}, ConstraintsFormatError),
        ({"max_expiry_days": 3_651}, ConstraintsFormatError),
        ({"default_expiry_days": 0}, ConstraintsFormatError),
        ({"default_expiry_days": 366}, ConstraintsFormatError),
        ({"clock_skew_days": 0}, ConstraintsFormatError),
        ({"clock_skew_days": 8}, ConstraintsFormatError),
        ({"max_body_bytes": 8_191}, ConstraintsFormatError),
        ({"max_body_bytes": 65_536}, ConstraintsFormatError),
        ({"max_body_bytes": 32_768.0}, ConstraintsFormatError),
        ({"selection_key_digest": "AB" * 32}, ConstraintsFormatError),
        ({"selection_key_digest": None}, ConstraintsFormatError),
        ({"fingerprint_key_digest": "ab" * 32}, ConstraintsFormatError),
        ({"benign_digest": "ab"}, ConstraintsFormatError),
        ({"evaluation_budget": 31}, ConstraintsFormatError),
        ({"evaluation_budget": MAX_EVALUATION_BUDGET + 1}, ConstraintsFormatError),
        ({"evaluation_budget": 32.0}, ConstraintsFormatError),
        ({"daily_quota": 15}, ConstraintsFormatError),
        ({"daily_quota": MAX_DAILY_QUOTA + 1}, ConstraintsFormatError),
        ({"cooldown_days": -1}, ConstraintsFormatError),
        ({"cooldown_days": 31}, ConstraintsFormatError),
        ({"dampening_percent": 0}, ConstraintsFormatError),
        ({"dampening_percent": 81}, ConstraintsFormatError),
        ({"dampening_floor": 49}, ConstraintsFormatError),
        ({"dampening_floor": 101}, ConstraintsFormatError),
        ({"committee": None}, ConstraintsFormatError),
        ({"members": CARDS[1:]}, ForeignSeatError),
        ({"members": (CARDS[0], *CARDS[2:])}, ForeignSeatError),
        ({"matching": {"escalate_tokens": 1}}, ConstraintsFormatError),
        ({"matching": {"block_tokens": 3}}, ConstraintsFormatError),
        ({"matching": {"block_sources": 2}}, ConstraintsFormatError),
        ({"matching": {"shadow_seconds": -1}}, ConstraintsFormatError),
        ({"matching": {"escalate_tokens": 33}}, ConstraintsFormatError),
        ({"matching": {"block_tokens": 33}}, ConstraintsFormatError),
        ({"matching": {"block_sources": 101}}, ConstraintsFormatError),
        ({"matching": {"shadow_seconds": MAX_SHADOW_SECONDS + 1}}, ConstraintsFormatError),
        ({"matching": {"escalate_tokens": 5}}, ConstraintsFormatError),
        ({"matching": {"extra": 1}}, ConstraintsFormatError),
        ({"unknown": 1}, ConstraintsFormatError),
        ({"quorum": 1}, ConstraintsFormatError),
        ({"bands": bands(10, 30, 50, 70)[:3]}, BandsError),
        ({"bands": bands(10, 30, 50, 70)[::-1]}, BandsError),
        ({"bands": bands(10, 30, 30, 70)}, BandsError),
        ({"bands": bands(30, 10, 50, 70)}, BandsError),
        ({"bands": bands(10, 30, 50, 101)}, BandsError),
        ({"bands": bands(0, 30, 50, 70)}, ConstraintsFormatError),
    ],
)
def test_refused(fields: dict[str, object], error: type[MeshError]) -> None:
    with pytest.raises(error):
        constraints(**fields)


@pytest.mark.parametrize(
    ("components", "component_max"),
    [
        ([["a", 4], ["b", 2], ["c", 2]], 10),
        ([["a", 4], ["b", 2], ["c", 2], ["d", 1], ["e", 1]], 10),
        ([["a", 4], ["a", 2], ["c", 2], ["d", 2]], 10),
        ([["a", 4], ["b", 0], ["c", 2], ["d", 2]], 10),
        ([["A", 4], ["b", 2], ["c", 2], ["d", 2]], 10),
        ([["a b", 4], ["b", 2], ["c", 2], ["d", 2]], 10),
        ([["a", 4, 1], ["b", 2], ["c", 2], ["d", 2]], 10),
        ([["a", 4], ["b", 2], ["c", 2], ["d", 2]], 0),
        ([["a", 4], ["b", 2], ["c", 2], ["d", 2]], 64),
        ([["a", 400], ["b", 2], ["c", 2], ["d", 2]], 10),
    ],
)
def test_rubrics_that_no_proof_has_room_for(components: list[object], component_max: int) -> None:
    with pytest.raises(ConstraintsError):
        RubricRule.parse({"components": components, "component_max": component_max})


def test_a_rubric_over_the_proofs_bits_is_named() -> None:
    with pytest.raises(RubricRuleError):
        RubricRule(component_max=64)


def test_the_encoding_does_not_depend_on_the_order_of_members() -> None:
    made = constraints(members=CARDS[::-1])
    assert made == constraints()
    assert made.digest() == constraints().digest()
    assert Constraints.parse({**made.to_json(), "members": list(made.members)}) == made


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "other"},
        {"members": CARDS[:4]},
        {"max_expiry_days": 364},
        {"clock_skew_days": 2},
        {"max_body_bytes": 32_767},
        {"selection_key_digest": "cd" * 32},
        {"committee": make_mesh(3).committee},
        {"benign_digest": "cd" * 32},
        {"evaluation_budget": 32},
        {"daily_quota": 16},
        {"cooldown_days": 0},
        {"dampening_percent": 79},
        {"dampening_floor": 51},
        {"matching": {"escalate_tokens": 3}},
        {"matching": {"block_tokens": 5}},
        {"matching": {"block_sources": 4}},
        {"matching": {"shadow_seconds": 0}},
        {"rubric": RubricRule(component_max=9)},
        {"version": 1, "parent": "ab" * 32},
    ],
)
def test_every_rule_is_in_the_digest(fields: dict[str, object]) -> None:
    assert constraints(**fields).digest() != constraints().digest()


def test_the_rubrics_digest_changes_with_each_of_its_numbers() -> None:
    rules = [
        RubricRule(),
        RubricRule(component_max=9),
        RubricRule.parse(
            {"components": [["a", 4], ["b", 2], ["c", 2], ["d", 2]], "component_max": 10}
        ),
        RubricRule.parse(
            {"components": [["a", 4], ["b", 2], ["c", 2], ["d", 1]], "component_max": 10}
        ),
    ]
    assert len({rule.digest for rule in rules}) == len(rules)
