"""Metrics of asking the committee and of this node's seat. Labels are members and error names."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from orgnode.metrics import Metrics

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class SeatMetrics:
    """What this node's seat on the committee does for others."""

    def __init__(self, metrics: Metrics) -> None:
        reg = metrics.registry
        self.answered = Counter(
            "orgnode_seat_batches",
            "Batches that this node's seat evaluated, by asker",
            ["asker"],
            registry=reg,
        )
        self.refused = Counter(
            "orgnode_seat_refusals",
            "Requests for evaluation that this node's seat refused",
            ["asker", "error"],
            registry=reg,
        )


class AskerMetrics:
    """What this node asks of the committee."""

    def __init__(self, metrics: Metrics) -> None:
        reg = metrics.registry
        self.seconds = Histogram(
            "orgnode_evaluation_seconds",
            "One batch of windows: blinding, asking, verifying, combining",
            buckets=_SECONDS,
            registry=reg,
        )
        self.hedges = Counter(
            "orgnode_evaluation_hedges",
            "Seats asked in addition since another one was slow, by the slow one",
            ["seat"],
            registry=reg,
        )
        self.failures = Counter(
            "orgnode_evaluation_failures",
            "Asking a seat brought no usable answer",
            ["seat", "error"],
            registry=reg,
        )
        self.windows = Counter(
            "orgnode_evaluated_windows",
            "Windows whose token was wanted, by where it came from: cache, flight, committee",
            ["source"],
            registry=reg,
        )
