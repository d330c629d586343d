"""Alerts: what holds now, told once, bounded."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest

from orgnode import logs
from orgnode.alerts import HINTS, MAX_DETAIL, MAX_SUBJECT, MAX_SUBJECTS, Alert, Alerts


class Clock:
    """Unix seconds that a test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def alerts(clock: Clock) -> Alerts:
    return Alerts(clock=clock)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the node logs."""
    stream = io.StringIO()
    logs.configure("info", "json", stream=stream)
    yield stream
    logs.configure("info", "json")


def logged(lines: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_an_alert_stands_until_it_is_cleared(alerts: Alerts, clock: Clock) -> None:
    assert alerts.current() == []
    alerts.raise_("peer_behind", "birch.example", "it lacks 5 entries")
    clock.now += 60
    alerts.raise_("equivocation", "dune.example", "two histories")
    assert alerts.current() == [
        Alert("peer_behind", "birch.example", "it lacks 5 entries", 1_000.0),
        Alert("equivocation", "dune.example", "two histories", 1_060.0),
    ]
    alerts.clear("peer_behind", "birch.example")
    assert [alert.kind for alert in alerts.current()] == ["equivocation"]
    alerts.clear("peer_behind", "birch.example")
    alerts.clear("nothing", "ever")
    assert len(alerts.current()) == 1


def test_raising_again_renews_the_detail_and_not_the_time(alerts: Alerts, clock: Clock) -> None:
    alerts.raise_("peer_behind", "birch.example", "5 entries")
    clock.now += 60
    alerts.raise_("peer_behind", "birch.example", "9 entries")
    (one,) = alerts.current()
    assert (one.detail, one.since) == ("9 entries", 1_000.0)
    alerts.clear("peer_behind", "birch.example")
    alerts.raise_("peer_behind", "birch.example", "1 entry")
    assert alerts.current()[0].since == 1_060.0


def test_each_change_is_one_line_in_the_log(
    alerts: Alerts, clock: Clock, lines: io.StringIO
) -> None:
    for _ in range(3):
        alerts.raise_("peer_behind", "birch.example", "5 entries")
    clock.now += 90
    for _ in range(3):
        alerts.clear("peer_behind", "birch.example")
    raised, cleared = logged(lines)
    assert (raised["event"], raised["level"]) == ("alert.raised", "warning")
    assert (raised["kind"], raised["name"], raised["reason"]) == (
        "peer_behind", "birch.example", "5 entries",
    )  # fmt: skip
    assert (cleared["event"], cleared["seconds"]) == ("alert.cleared", 90)
    assert "withheld" not in raised | cleared


def test_alerts_are_bounded(alerts: Alerts) -> None:
    alerts.raise_("forked_self", "acme.example", "x" * 10_000)
    for place in range(2 * MAX_SUBJECTS):
        alerts.raise_("peer_behind", f"{place}.example")
    assert alerts.counts() == {"forked_self": 1, "peer_behind": MAX_SUBJECTS}
    found = {alert.subject: alert for alert in alerts.current()}
    assert len(found["acme.example"].detail) == MAX_DETAIL, "many of one kind push out no other"
    assert f"{2 * MAX_SUBJECTS - 1}.example" in found, "the newest stays"
    assert "0.example" not in found


def test_a_long_name_is_cut_and_found_again(alerts: Alerts) -> None:
    alerts.raise_("peer_behind", "b" * 1_000)
    assert [len(alert.subject) for alert in alerts.current()] == [MAX_SUBJECT]
    alerts.clear("peer_behind", "b" * 1_000)
    assert alerts.current() == []


def test_a_gauge_falls_to_nothing(alerts: Alerts) -> None:
    assert alerts.counts() == {}
    alerts.raise_("peer_behind", "birch.example")
    alerts.clear("peer_behind", "birch.example")
    assert alerts.counts() == {"peer_behind": 0}


@pytest.mark.parametrize("kind", ["", "Two Words", "a\nb", "x" * 41, "1st"])
def test_a_kind_is_a_word(alerts: Alerts, kind: str) -> None:
    with pytest.raises(ValueError, match="kind of alert"):
        alerts.raise_(kind, "acme.example")


def test_known_kinds_say_what_to_do(alerts: Alerts) -> None:
    for kind in (*HINTS, "unheard_of"):
        alerts.raise_(kind, "birch.example")
    assert [bool(one.hint) for one in alerts.current()] == [
        one.kind in HINTS for one in alerts.current()
    ]
