"""Dampening: what a derived signal may claim, which was made because of another one.

    allowed = ⌊parent's confidence × dampening_percent / 100⌋, if that is dampening_floor or more

Confidences are percentages. With the ceilings of both numbers (80 and 50) a chain of warnings about
warnings ends after three links, whoever passes them on. *Attack:* two members each derive a signal
from the other's latest, so that a rumour never dies and seems surer with every turn.

What needs no parent is checked of every derived signal (`check_derived` without one): none can
claim more than a parent of 100 % allows. What needs the parent is checked where it is known: it
stands in another log, which may not have come in yet.
"""

from typing import Final, Protocol

from mesh.constraints import Constraints
from mesh.errors import BodyError

_MAX_CONFIDENCE: Final = 100


class Claimed(Protocol):
    """What dampening looks at in a signal or a draft of one."""

    @property
    def confidence(self) -> int:
        """In percent."""
        ...

    @property
    def derived_from(self) -> str | None:
        """Id of the parent; None if the issuer met the attack itself."""
        ...


class DampeningError(BodyError):
    """A derived signal breaks the rule that warnings about warnings get weaker."""


class DampenedAwayError(DampeningError):
    """A derived signal's confidence is below the floor: it is not passed on."""


class OverconfidentError(DampeningError):
    """A derived signal claims more confidence than its parent allows."""


def ceiling(constraints: Constraints, parent_confidence: int) -> int:
    """The highest confidence of a signal derived from one with this confidence, in percent.

    Below the floor no such signal is published; of one that is all the same, this is what to make.
    """
    return parent_confidence * constraints.dampening_percent // 100


def dampened(constraints: Constraints, parent_confidence: int) -> int | None:
    """As `ceiling`; None if it is below the floor: then no signal may be derived from the parent.

    :param parent_confidence: in percent, 0 to 100.
    """
    allowed = ceiling(constraints, parent_confidence)
    return allowed if allowed >= constraints.dampening_floor else None


def dampened_confidence(constraints: Constraints, parent_confidence: int) -> int:
    """As `dampened`, where a signal is about to be derived.

    :raises DampenedAwayError: it is not passed on.
    """
    allowed = dampened(constraints, parent_confidence)
    if allowed is None:
        percent = constraints.dampening_percent
        raise DampenedAwayError(
            f"not passed on: {percent} % of its confidence of {parent_confidence} % is below the "
            f"{constraints.dampening_floor} % from which on a derived signal is published; if you "
            "met the attack yourself, report it as your own incident"
        )
    return allowed


def check_derived(
    constraints: Constraints, signal: Claimed, parent_confidence: int | None = None
) -> None:
    """Check a derived signal's confidence; there is nothing to check of a direct one.

    :param parent_confidence: that of the signal that it was derived from, in percent; None where
        that is not known: then only what holds for every parent is checked.
    :raises DampenedAwayError: it is below the floor, or the parent allows no derived signal.
    :raises OverconfidentError: it is more than the parent allows.
    """
    if signal.derived_from is None:
        return
    if signal.confidence < constraints.dampening_floor:
        raise DampenedAwayError(
            f"a derived signal with a confidence of {signal.confidence} % is not passed on: "
            f"the floor is {constraints.dampening_floor} %"
        )
    known = _MAX_CONFIDENCE if parent_confidence is None else parent_confidence
    allowed = dampened_confidence(constraints, known)
    if signal.confidence > allowed:
        raise OverconfidentError(
            f"a derived signal claims a confidence of {signal.confidence} %; "
            f"{constraints.dampening_percent} % of its parent's is {allowed} %"
        )
