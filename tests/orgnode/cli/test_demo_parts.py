"""What the demonstration computes, without nodes: who gets which incident, and what is wrong."""

from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from orgnode.api.models import FeedItem, IncidentRequest
from orgnode.cli.incident_files import Row, RowError
from orgnode.demo.command import FORGED, assign
from orgnode.demo.measure import Failure, Measured, Publication
from orgnode.demo.outcome import problems, results
from orgnode.demo.view import View
from orgnode.testing.maverick import MARK

ORGS = ("a.example", "b.example", "c.example")
LIAR = ORGS[-1]


def rows(count: int) -> list[Row]:
    incident = IncidentRequest(text="x", components={}, category="ncr", technique="AML.T0054")
    return [Row(line, incident) for line in range(2, 2 + count)]


def signal(sign: str, issuer: str, *, own: bool = False, token: str = "00") -> FeedItem:
    return FeedItem.model_validate(
        {
            "seq": 1, "type": "signal",
            "signal": {
                "id": sign * 64, "issuer": issuer, "index": 0, "day": "2026-11-21",
                "expires": "2027-02-19", "band": "high", "band_level": 3, "category": "ncr",
                "technique": "AML.T0054", "confidence": 80, "tokens": [token * 32], "direct": True,
                "status": "live", "own": own, "received": 0.0,
            },
        }
    )  # fmt: skip


def refused(sign: str, issuer: str) -> FeedItem:
    return FeedItem(
        seq=1, type="refused", issuer=issuer, id=sign * 64, error="ProofEquationError", reason="r"
    )


def complete() -> Measured:
    """One honest signal of a, one forged of c, everything as it should be."""
    measured = Measured(ORGS)
    measured.published += [
        Publication("a.example", "a" * 64, 0.0, forged=False),
        Publication(LIAR, "f" * 64, 0.0, forged=True),
    ]
    measured.take("a.example", signal("a", "a.example", own=True))
    for org in ("b.example", LIAR):
        measured.take(org, signal("a", "a.example"))
    for org in ("a.example", "b.example"):
        measured.take(org, refused("f", LIAR))
    measured.take(LIAR, signal("f", LIAR, own=True))
    return measured


def test_incidents_are_dealt_in_turn_and_the_forgery_is_the_liar_s() -> None:
    dealt = assign(rows(7), ORGS, LIAR)
    assert [len(reports) for reports in dealt.values()] == [3, 2, 3]
    forged = [(org, one) for org, reports in dealt.items() for one in reports if one.forged]
    assert [(org, one.incident) for org, one in forged] == [(LIAR, FORGED)]
    assert sorted(one.line for reports in dealt.values() for one in reports) == [0, *range(2, 9)]


def test_the_forgery_is_one_that_the_maverick_takes_for_one() -> None:
    assert FORGED.reference is not None
    assert FORGED.reference.startswith(MARK)


def test_rows_that_are_no_incidents_are_not_dealt_but_told() -> None:
    found = [*rows(1), Row(3, None, RowError("line 3: no text"))]
    assert sum(map(len, assign(found, ORGS, LIAR).values())) == 2
    assert list(problems(complete(), found)) == ["not published: line 3: no text"]


def test_all_is_well() -> None:
    assert list(problems(complete(), rows(1))) == []


def test_a_signal_that_did_not_arrive() -> None:
    measured = complete()
    measured.arrivals["b.example"].clear()
    assert list(problems(measured, [])) == [
        "b.example has not verified the signal aaaaaaaaaaaa of a.example"
    ]


def test_a_forgery_that_was_not_refused() -> None:
    measured = complete()
    measured.refusals["b.example"].clear()
    assert any("b.example has not refused the forged" in line for line in problems(measured, []))


def test_a_forgery_that_was_accepted() -> None:
    measured = complete()
    measured.take("b.example", signal("f", LIAR))
    assert list(problems(measured, [])) == ["b.example ACCEPTED the forged signal ffffffffffff"]


def test_an_honest_signal_that_was_refused() -> None:
    measured = complete()
    measured.take("b.example", refused("a", "a.example"))
    assert any("b.example refused aaaaaaaaaaaa" in line for line in problems(measured, []))


def test_a_signal_that_nobody_published() -> None:
    measured = complete()
    measured.take("b.example", signal("e", "a.example"))
    assert any("nobody published" in line for line in problems(measured, []))


def test_a_forgery_that_was_never_published() -> None:
    measured = complete()
    measured.published.pop()
    assert "the forged signal was not published" in list(problems(measured, []))


def test_an_incident_that_its_own_node_did_not_publish() -> None:
    measured = complete()
    measured.failures.append(Failure(7, "a.example", "NoBandError", "too low"))
    assert list(problems(measured, [])) == [
        "not published: line 7, a.example: NoBandError: too low"
    ]


async def test_settling_waits_for_what_is_missing() -> None:
    measured = complete()
    arrived = measured.arrivals["b.example"].copy()
    measured.arrivals["b.example"].clear()
    assert not await measured.settle(0.05)
    waiting = asyncio.create_task(measured.settle(10))
    await asyncio.sleep(0)
    assert not waiting.done()
    measured.arrivals["b.example"].update(arrived)
    measured.changed.set()
    assert await waiting


async def test_settling_is_not_fooled_by_as_many_of_something_else() -> None:
    measured = complete()
    measured.arrivals["b.example"].clear()
    measured.take("b.example", signal("e", "a.example"))
    assert not await measured.settle(0.05)


def test_delays_are_medians_from_handing_over_to_arrival() -> None:
    measured = Measured(ORGS)
    for place, sign in enumerate("abc"):
        measured.published.append(Publication("a.example", sign * 64, 10.0, forged=False))
        measured.arrivals["b.example"][sign * 64] = 10.0 + (1.0, 2.0, 9.0)[place]
    assert measured.delay("b.example") == pytest.approx(2.0)
    assert measured.delay("c.example") is None


def test_the_table_counts_per_organization() -> None:
    out = io.StringIO()
    Console(file=out, width=120).print(results(complete(), LIAR))
    lines = [line.split() for line in out.getvalue().splitlines() if ".example" in line]
    assert [line[:4] for line in lines[:2]] == [
        ["a.example", "1", "0", "1"],
        ["b.example", "0", "1", "1"],
    ]
    assert lines[2][:7] == [LIAR, "(maverick)", "0", "+", "1", "forged", "1"]


def test_phases_are_numbered_and_timed() -> None:
    out = io.StringIO()
    view = View(Console(file=out, width=60))
    with view.phase("first"):
        pass
    with view.phase("second"):
        view.say("inside")
    assert [line.split()[0] for line in out.getvalue().splitlines()] == [
        "1",
        "0.0",
        "2",
        "inside",
        "0.0",
    ]
