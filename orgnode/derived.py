"""Derived signals: what may be published because of another signal, and how others' are shown.

A derived signal warns of an attack that its issuer has not met itself. It claims at most what
`mesh.dampening` makes of its parent's confidence, and it is no source (`mesh.matching`). Its parent
stands in another log, so a claim can only be held against a parent that is known here: where it
is too high, `confidence` is shown as the parent allows and `claimed_confidence` as it was claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from mesh.constraints import Constraints
from mesh.dampening import ceiling, dampened_confidence
from orgnode.errors import OrgnodeError
from orgnode.store import FeedEvent, FeedFilter, SignalRecord


class ParentError(OrgnodeError):
    """No signal can be derived from the one that was named."""


class UnknownParentError(ParentError):
    """The signal to derive from is not known here."""


class DeadParentError(ParentError):
    """The signal to derive from was retracted, has expired, or its issuer is suspended."""


class ProvisionalParentError(ParentError):
    """The signal to derive from is not certified yet: it counts nowhere."""


class SignalSource(Protocol):
    """Where parents are looked up."""

    def signal(self, entry_id: str) -> SignalRecord | None:
        """The signal with this id, None if it is not known."""
        ...


class EventStore(SignalSource, Protocol):
    """Where the feed's events are read."""

    def events(self, after: int, wanted: FeedFilter, limit: int) -> Sequence[FeedEvent]:
        """Events behind one, as `Store.events`."""
        ...

    def last_seq(self) -> int:
        """Number of the newest event."""
        ...

    def first_seq(self) -> int:
        """Number of the oldest event that is kept."""
        ...


def derived_confidence(
    constraints: Constraints, store: SignalSource, parent_id: str, wanted: int
) -> int:
    """The confidence of a signal that is about to be derived, in percent.

    :param wanted: what its issuer would claim; it gets at most what the parent allows.
    :raises UnknownParentError, DeadParentError, ProvisionalParentError: see there.
    :raises DampenedAwayError: the parent's confidence is too low to be passed on.
    """
    parent = store.signal(parent_id)
    if parent is None:
        raise UnknownParentError(
            f"no signal {parent_id} is known here, so nothing can be derived from it",
            hint="list them with `orgnode signals`; if you met the attack yourself, leave "
            "`derived_from` out",
        )
    if parent.suspended or parent.confidence is None:  # erased with all content of what is over
        state = "of a suspended log" if parent.suspended else str(parent.status)
        raise DeadParentError(
            f"the signal {parent_id} is {state}: nothing is derived from it any more",
            hint="if you met the attack yourself, leave `derived_from` out",
        )
    if not parent.certified:
        raise ProvisionalParentError(
            f"the signal {parent_id} is not certified yet: nobody counts it",
            hint="try again when a quorum of members holds it; `orgnode show` says when it does",
        )
    return min(wanted, dampened_confidence(constraints, parent.confidence))


def shown_signal(
    constraints: Constraints, store: SignalSource, record: SignalRecord
) -> dict[str, Any]:
    """A signal as JSON, with at most the confidence that its parent allows.

    Nothing is held against a direct signal, nor against one whose parent is not known here, or
    erased since.
    """
    return _capped(constraints, store, record.to_json())


class DampenedEvents:
    """The store's events, with derived signals shown as `shown_signal` shows them."""

    def __init__(self, constraints: Constraints, store: EventStore) -> None:
        self._constraints = constraints
        self._store = store

    def events(self, after: int, wanted: FeedFilter, limit: int) -> Sequence[FeedEvent]:
        """See `Store.events`. As many as the store gives: none is left out."""
        return [self._shown(one) for one in self._store.events(after, wanted, limit)]

    def last_seq(self) -> int:
        """See `Store.last_seq`."""
        return self._store.last_seq()

    def first_seq(self) -> int:
        """See `Store.first_seq`."""
        return self._store.first_seq()

    def _shown(self, event: FeedEvent) -> FeedEvent:
        signal = event.data.get("signal")
        if not isinstance(signal, dict) or signal.get("derived_from") is None:
            return event
        capped = _capped(self._constraints, self._store, signal)
        return replace(event, data={**event.data, "signal": capped})


def _capped(
    constraints: Constraints, store: SignalSource, signal: dict[str, Any]
) -> dict[str, Any]:
    parent_id = signal["derived_from"]
    parent = None if parent_id is None else store.signal(parent_id)
    if parent is None or parent.confidence is None:
        return signal
    claimed, allowed = signal["confidence"], ceiling(constraints, parent.confidence)
    if claimed <= allowed:
        return signal
    return {**signal, "confidence": allowed, "claimed_confidence": claimed}
