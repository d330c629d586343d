"""Who counts as a source, and whose confirmation counts, where one owner has several members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from orgnode.checking.evidence import Evidence
from orgnode.store import Promotion, TokenSource

GROUPS = {"a1.example": "alder", "a2.example": "alder", "b.example": "birch"}
TOKEN, GIVEN = "11" * 32, bytes(32)


def row(issuer: str, signal: str = "5" * 64, **changes: Any) -> TokenSource:
    base: dict[str, Any] = {
        "token": TOKEN,
        "signal": signal,
        "issuer": issuer,
        "band_level": 2,
        "category": "prv",
        "technique": None,
        "direct": True,
        "received": 100.0,
        "own": False,
    }
    return TokenSource(**{**base, **changes})


class Rows:
    """A store that holds these rows."""

    def __init__(self, live: Sequence[TokenSource], promotions: Sequence[Promotion] = ()) -> None:
        self._live = live
        self._promotions = promotions

    def sources(self, tokens: Sequence[str]) -> Mapping[str, Sequence[TokenSource]]:
        return {TOKEN: self._live} if TOKEN in tokens and self._live else {}

    def promotions(self, inputs: Sequence[str]) -> Mapping[str, Sequence[Promotion]]:
        return {GIVEN.hex(): self._promotions} if self._promotions else {}


def evidence(*live: TokenSource, promotions: Sequence[Promotion] = (), now: float = 160.0) -> Any:
    members = [SimpleNamespace(name=name, control_group=of) for name, of in GROUPS.items()]
    mesh: Any = SimpleNamespace(members=members, constraints=SimpleNamespace(block_sources=2))
    return Evidence(mesh, Rows(live, promotions), lambda: now)


def known(*live: TokenSource, **about: Any) -> Any:
    return evidence(*live, **about).known({GIVEN: TOKEN}, [GIVEN], frozenset())[GIVEN]


@pytest.mark.parametrize(
    ("by", "counts"),
    [
        ((), False),
        (("a2.example",), False),  # a sibling of the issuer
        (("b.example",), True),
        (("a2.example", "b.example"), True),
    ],
)
def test_an_owner_does_not_confirm_its_own_signals(by: tuple[str, ...], counts: bool) -> None:
    (source,) = known(row("a1.example", confirmed_by=by)).sources
    assert source.confirmed is counts
    assert source.control_group == "alder"


def test_denials_change_nothing_by_themselves() -> None:
    (source,) = known(row("a1.example", denied_by=("b.example",))).sources
    assert not source.confirmed


def test_age_is_since_it_came_in() -> None:
    assert known(row("b.example")).sources[0].age_seconds == 60.0
    # After a clock was set back no signal is past its shadow period that was not before.
    assert known(row("b.example"), now=10.0).sources[0].age_seconds == -90.0


def promoted(
    *sources: TokenSource, held_by: tuple[str, ...] | None = None, at: float = 130.0
) -> Promotion:
    """A promotion with this evidence, which all of it was here when it came."""
    held_by = tuple(sorted({one.issuer for one in sources})) if held_by is None else held_by
    return Promotion("9" * 64, "b.example", GIVEN.hex(), TOKEN, sources, held_by, at)


def test_a_promotion_of_siblings_is_not_sound_so_it_changes_nothing() -> None:
    siblings = (row("a1.example", "1" * 64), row("a2.example", "2" * 64))
    promotion = promoted(*siblings)
    live = (*siblings, row("b.example", "3" * 64, received=140.0))
    matched = known(*live, promotions=[promotion])
    assert matched.promoted
    assert len(matched.sources) == 3
    offline = evidence(promotions=[promotion]).promoted([GIVEN], frozenset())[GIVEN]
    assert len(offline.sources) == 2


@pytest.mark.parametrize("now", [160.0, 10.0])  # the clock may have been set back
def test_what_comes_after_a_sound_promotion_is_no_source(now: float) -> None:
    pair = (row("a1.example", "1" * 64), row("b.example", "2" * 64))
    timely = row("b.example", "3" * 64, received=130.0)
    later = row("b.example", "4" * 64, received=130.5, confirmed_by=("a1.example",))
    matched = known(*pair, timely, later, promotions=[promoted(*pair)], now=now)
    assert [one.signal for one in matched.sources] == ["1" * 64, "2" * 64, "3" * 64]


def test_what_comes_later_never_replaces_what_was_retracted() -> None:
    kept = row("a1.example", "1" * 64)
    fake = row("b.example", "4" * 64, received=131.0)
    promotion = promoted(kept, held_by=("a1.example", "b.example"))
    assert [one.signal for one in known(kept, fake, promotions=[promotion]).sources] == ["1" * 64]
    # Nor does a second promotion, which names the fake.
    again = promoted(kept, fake, at=140.0)
    matched = known(kept, fake, promotions=[promotion, again])
    assert [one.signal for one in matched.sources] == ["1" * 64]


def test_an_ignored_signal_keeps_its_promotion_sound() -> None:
    """Else ignoring a signal would let in what came after the promotion."""
    pair = (row("a1.example", "1" * 64), row("b.example", "2" * 64))
    fake = row("b.example", "4" * 64, received=131.0)
    found = evidence(*pair, fake, promotions=[promoted(*pair)])
    matched = found.known({GIVEN: TOKEN}, [GIVEN], frozenset({"2" * 64}))[GIVEN]
    assert [one.signal for one in matched.sources] == ["1" * 64]


def test_offline_the_evidence_of_the_earliest_sound_promotion_counts() -> None:
    junk = promoted(row("b.example", "2" * 64), at=100.0)
    sound = promoted(row("a1.example", "1" * 64), held_by=("a1.example", "b.example"), at=110.0)
    later = promoted(row("a1.example", "1" * 64), row("b.example", "3" * 64), at=120.0)
    offline = evidence(promotions=[later, junk, sound]).promoted([GIVEN], frozenset())[GIVEN]
    assert [one.signal for one in offline.sources] == ["1" * 64]


def test_a_token_that_nobody_holds_is_not_known() -> None:
    assert evidence().known({GIVEN: TOKEN}, [GIVEN], frozenset()) == {}


def test_an_ignored_signal_is_gone_from_promotions_too() -> None:
    one = row("b.example", "2" * 64)
    found = evidence(one, promotions=[promoted(one)])
    assert found.known({GIVEN: TOKEN}, [GIVEN], frozenset({one.signal}))[GIVEN].sources == ()
    assert found.promoted([GIVEN], frozenset({one.signal}))[GIVEN].sources == ()
