"""Each checker passes a good history, and fails the history that breaks its rule."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mesh.testing import checkers
from mesh.testing.checkers import ViolationError, check_converged, check_safety
from mesh.testing.history import (
    Acknowledged,
    Certified,
    Cosigned,
    Counting,
    Fact,
    Forgone,
    History,
    Load,
    LogView,
    Receipted,
    Signed,
    Suspended,
    View,
    Withdrawn,
)
from mesh.testing.sometimes import Sometimes

LEAVES = tuple(bytes([n]) * 32 for n in range(4))
IDS = tuple(leaf.hex() for leaf in LEAVES)
ALL = ("a", "b", "c", "d")
ROOT, OTHER = b"r" * 32, b"o" * 32


def view(node: str) -> View:
    log = LogView(LEAVES[:2], 2, False, dict.fromkeys(IDS[:2], "live"))
    return View(node, {"a": log, "b": LogView((), 0, False, {})}, {"t": (IDS[0],)})


def good() -> History:
    """Three honest members and d, which is not. Member a's log has two entries."""
    history = History(ALL, frozenset("abc"), 3)
    for fact in (
        Acknowledged(1, "a", 0, IDS[0]),
        Signed(1, "a", 1, ROOT),
        Cosigned(2, "b", "a", 1, ROOT, True, True),
        Certified(3, "a", "a", 1, 0, LEAVES[:1], ("a", "b", "c")),
        Certified(3, "b", "a", 2, 0, LEAVES[:2], ("a", "b", "d")),
        Acknowledged(4, "a", 1, IDS[1]),
        Counting(4, "b", "a", 1, IDS[1], 2),
        Suspended(5, "b", "d"),
        Receipted(6, "b", IDS[1], "r1"),
        Withdrawn(6, "c", IDS[0], "r0"),
        Withdrawn(6, "d", IDS[3], "r3"),
        # The disk that held this retraction, and alone did, is lost.
        Withdrawn(6, "a", IDS[1], "r9"),
        Forgone(6, "a", "r9"),
        Counting(6.5, "a", "a", 1, IDS[1], 2),
        Counting(7, "c", "a", 1, IDS[1], 2),
        Load(7, "b", "waiting", 10),
        # What a dishonest member says breaks no rule.
        Signed(7, "d", 1, ROOT),
        Signed(7, "d", 1, OTHER),
        Cosigned(7, "d", "a", 1, OTHER, False, False),
        Cosigned(7, "d", "a", 1, ROOT, False, False),
        Certified(7, "d", "a", 1, 0, LEAVES[1:2], ("d",)),
        Suspended(7, "d", "a"),
        Counting(7, "d", "a", 3, IDS[3], 0),
        Receipted(7, "d", IDS[0], "r0"),
        Counting(8, "d", "a", 0, IDS[0], 2),
    ):
        history.add(fact)
    history.views = {node: view(node) for node in "abc"}
    history.forgeries = {IDS[3]}
    history.accepted = {"a": {IDS[0]}, "d": {IDS[3]}}
    return history


def test_a_good_history_passes() -> None:
    check_safety(good())
    check_converged(good())
    checkers.bounded({"waiting": 10})(good())


@pytest.mark.parametrize(
    ("rule", "fact"),
    [
        ("two certified contents", Certified(9, "c", "a", 1, 0, LEAVES[2:3], ("a", "b", "c"))),
        ("certified without a quorum", Certified(9, "c", "a", 1, 0, LEAVES[:1], ("a", "b"))),
        ("certified without a quorum", Certified(9, "c", "a", 1, 0, (), ("a", "b", "b"))),
        ("signed two histories", Signed(9, "a", 1, OTHER)),
        ("cosigned two histories", Cosigned(9, "b", "a", 1, OTHER, True, True)),
        ("cosigned without the content", Cosigned(9, "c", "a", 1, ROOT, False, True)),
        ("cosigned before it was on record", Cosigned(9, "c", "a", 1, ROOT, True, False)),
        ("an honest member was suspended", Suspended(9, "b", "c")),
        ("something provisional counts", Counting(9, "b", "a", 2, IDS[2], 2)),
        ("counted after its receipt", Counting(9, "b", "a", 1, IDS[1], 2)),
        ("counted after its retraction", Counting(9, "c", "a", 0, IDS[0], 2)),
    ],
)
def test_what_breaks_a_rule_at_any_time_is_found(rule: str, fact: Fact) -> None:
    history = good()
    history.add(fact)
    with pytest.raises(ViolationError) as told:
        check_safety(history)
    assert told.value.rule == rule
    assert "9.000 s" in str(told.value)


def test_an_accepted_forgery_is_found() -> None:
    history = good()
    history.accepted["b"] = {IDS[3]}
    with pytest.raises(ViolationError, match="a forgery was accepted"):
        check_safety(history)


def test_what_grows_is_found() -> None:
    history = good()
    with pytest.raises(ViolationError, match="grows without bound: waiting at b: 10 of 9"):
        checkers.bounded({"waiting": 9})(history)
    with pytest.raises(ViolationError, match="no limit is known: for waiting"):
        checkers.bounded({})(history)


def change(node: str, **fields: object) -> Callable[[History], None]:
    """Let the node see log a otherwise."""

    def apply(history: History) -> None:
        seen = history.views[node]
        log = replace(seen.logs["a"], **fields)  # type: ignore[arg-type]
        history.views[node] = replace(seen, logs={**seen.logs, "a": log})

    return apply


def drop(history: History) -> None:
    history.views["c"] = replace(history.views["c"], logs={"b": LogView((), 0, False, {})})


def count_otherwise(history: History) -> None:
    history.views["c"] = replace(history.views["c"], sources={})


def everywhere(**fields: object) -> Callable[[History], None]:
    def apply(history: History) -> None:
        for node in "abc":
            change(node, **fields)(history)

    return apply


@pytest.mark.parametrize(
    ("rule", "happen"),
    [
        ("an acknowledged entry is lost", everywhere(leaves=LEAVES[:1])),
        ("an acknowledged entry is lost", change("c", leaves=(LEAVES[0], LEAVES[2]))),
        ("an acknowledged entry is lost", drop),
        ("an acknowledged entry is not certified", change("c", certified=1)),
        ("a log does not get certified", everywhere(leaves=LEAVES[:3])),
        ("views differ", change("c", statuses={IDS[0]: "live", IDS[1]: "retracted"})),
        ("views differ", change("c", evidence=True)),
        ("views differ", count_otherwise),
    ],
)
def test_what_does_not_converge_is_found(rule: str, happen: Callable[[History], None]) -> None:
    history = good()
    happen(history)
    with pytest.raises(ViolationError) as told:
        check_converged(history)
    assert told.value.rule == rule


@pytest.mark.parametrize(
    "happen", [drop, change("c", leaves=LEAVES), change("c", certified=1), count_otherwise]
)
def test_views_differ_by_anything(happen: Callable[[History], None]) -> None:
    history = good()
    happen(history)
    with pytest.raises(ViolationError, match="views differ"):
        checkers.views_agree(history)


def test_of_a_suspended_log_nodes_may_hold_different_beginnings() -> None:
    history = good()
    everywhere(evidence=True)(history)
    change("c", leaves=LEAVES[:1], certified=1)(history)
    checkers.views_agree(history)


def test_an_entry_that_nobody_else_held_may_be_lost_with_the_disk() -> None:
    history = good()
    history.add(Forgone(5, "a", IDS[1]))
    everywhere(leaves=LEAVES[:1], certified=1, statuses={IDS[0]: "live"})(history)
    check_converged(history)


def test_what_a_machine_alone_held_when_it_broke_may_be_lost() -> None:
    history = good()
    history.gone.add("a")
    del history.views["a"]
    for node in "bc":
        change(node, leaves=LEAVES[:2], certified=1)(history)
    check_converged(history)
    change("c", certified=2)(history)
    with pytest.raises(ViolationError, match="views differ"):
        check_converged(history)


def test_a_suite_knows_what_it_never_met() -> None:
    suite = Sometimes(["lost", "late", "lost"])
    assert suite.missing() == ["lost", "late"]
    run = Sometimes()
    run.hit("late", 0)
    run.hit("lost", 2)
    suite.merge(run)
    suite.merge({"other": 1})
    assert suite.missing() == ["late"]
