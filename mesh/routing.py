"""How far a check goes: a risk score chooses the tier, and with it how long it may take.

risk below 0.3, or none given   local      what this node holds itself
below 0.7                       regional   the committee evaluates the windows
0.7 and above                   global     as regional, with more time

How long a node waits is its operator's choice, for what it costs to wait and to give up is his.
"""

import math
from enum import StrEnum
from typing import Final

from mesh.errors import MeshError

REGIONAL_RISK: Final = 0.3
"""From this risk score on a check is regional."""

GLOBAL_RISK: Final = 0.7
"""From this risk score on a check is global."""


class Tier(StrEnum):
    """How far a check goes."""

    LOCAL = "local"
    REGIONAL = "regional"
    GLOBAL = "global"


class RiskRangeError(MeshError):
    """A risk score is no number from 0 to 1."""


class SampleRateError(MeshError):
    """A sample rate, or the number drawn for it, is no number from 0 to 1."""


def tier_for(risk: float | None) -> Tier:
    """The tier of a check with this risk score; local when there is none.

    :raises RiskRangeError: the score is no number from 0 to 1.
    """
    if risk is None:
        return Tier.LOCAL
    if not _in_unit(risk):
        raise RiskRangeError("a risk score is a number from 0 to 1")
    if risk >= GLOBAL_RISK:
        return Tier.GLOBAL
    return Tier.REGIONAL if risk >= REGIONAL_RISK else Tier.LOCAL


def sampled(rate: float, uniform: float) -> bool:
    """Whether a local check is one of those sent to the committee afterwards.

    :param rate: share of the checks that are, 0 to 1.
    :param uniform: a fresh random number, from 0 up to but not including 1.
    :raises SampleRateError: one of them lies outside.
    """
    if not _in_unit(rate) or not 0 <= uniform < 1:
        raise SampleRateError("a sample rate is a number from 0 to 1, the draw is below 1")
    return uniform < rate


def _in_unit(value: float) -> bool:
    # NaN compares false with everything: it must not slip through as a low risk.
    return math.isfinite(value) and 0 <= value <= 1
