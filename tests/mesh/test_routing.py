"""Which tier a risk score chooses, and which checks are sampled."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.routing import (
    RiskRangeError,
    SampleRateError,
    Tier,
    sampled,
    tier_for,
)


@pytest.mark.parametrize(
    ("risk", "tier"),
    [
        (None, Tier.LOCAL),
        (0.0, Tier.LOCAL),
        (0.2999, Tier.LOCAL),
        (0.3, Tier.REGIONAL),
        (0.6999, Tier.REGIONAL),
        (0.7, Tier.GLOBAL),
        (1.0, Tier.GLOBAL),
        (1, Tier.GLOBAL),
    ],
)
def test_a_risk_score_chooses_the_tier(risk: float | None, tier: Tier) -> None:
    assert tier_for(risk) is tier


@pytest.mark.parametrize("risk", [math.nan, math.inf, -math.inf, -0.01, 1.01])
def test_a_score_that_is_none_is_refused_not_taken_for_a_low_one(risk: float) -> None:
    with pytest.raises(RiskRangeError):
        tier_for(risk)


@given(st.floats(0, 1, exclude_max=True))
def test_sampling_follows_the_draw(uniform: float) -> None:
    assert sampled(1.0, uniform)
    assert not sampled(0.0, uniform)
    assert sampled(0.25, uniform) == (uniform < 0.25)


@pytest.mark.parametrize(("rate", "uniform"), [(1.5, 0.5), (-0.1, 0.5), (math.nan, 0), (0.5, 1.0)])
def test_sampling_takes_shares_only(rate: float, uniform: float) -> None:
    with pytest.raises(SampleRateError):
        sampled(rate, uniform)
