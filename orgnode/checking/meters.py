"""Metrics of checks. Labels are verdicts, tiers and results: few, and none from a text."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from orgnode.checking.question import CheckAnswer
from orgnode.metrics import Metrics

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class CheckMetrics:
    """The checks' part of a node's metrics."""

    def __init__(self, metrics: Metrics) -> None:
        reg = metrics.registry
        self.checks = Counter(
            "orgnode_checks",
            "Checks answered; finding is what enforcing would have answered",
            ["tier", "answer", "finding"],
            registry=reg,
        )
        self.seconds = Histogram(
            "orgnode_check_seconds",
            "From a check's arrival to its answer",
            ["tier"],
            buckets=_SECONDS,
            registry=reg,
        )
        self.unverified = Counter(
            "orgnode_checks_unverified",
            "Checks that the fail mode decided, by reason",
            ["reason"],
            registry=reg,
        )
        self.samples = Counter(
            "orgnode_check_samples",
            "Local checks that the committee was asked about afterwards, by result",
            ["result"],
            registry=reg,
        )
        self.policy_broken = Gauge(
            "orgnode_policy_broken",
            "1 while the policy on disk can't be used and the one before is in force",
            registry=reg,
        )
        self.held = Gauge(
            "orgnode_breaker_tokens",
            "Tokens that the breaker keeps from blocking here",
            registry=reg,
        )

    def answered(self, answer: CheckAnswer) -> None:
        """Count an answer."""
        tier = str(answer.tier)
        self.checks.labels(tier, str(answer.answer), str(answer.finding)).inc()
        self.seconds.labels(tier).observe(answer.took_ms / 1000)
