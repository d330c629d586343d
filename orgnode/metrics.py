"""The node's Prometheus metrics, in a registry of their own.

Labels hold members' names, outcomes and reasons only: all of them few and known beforehand, none
of them from a prompt. Durations are in seconds. What the store already counts (entries by log and
outcome, sizes) is read from it when a scrape comes, so that a restart loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

_PROOF_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """All metrics of one node. Create one per node: two nodes in a process don't share counters.

    `refresh` callbacks (see `on_scrape`) set the gauges that are read from elsewhere.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._refresh: list[Callable[[], None]] = []
        reg = self.registry
        self.published = Counter(
            "orgnode_published_signals", "Signals published to the own log", ["band"], registry=reg
        )
        self.retracted = Counter("orgnode_retracted_signals", "Own signals retracted", registry=reg)
        self.promoted = Counter(
            "orgnode_promoted_windows", "Windows promoted by this organization", registry=reg
        )
        self.assessed = Counter(
            "orgnode_assessed_entries",
            "Entries assessed since the node started",
            ["log", "outcome"],
            registry=reg,
        )
        self.log_entries = Gauge(
            "orgnode_log_entries",
            "Entries in the store by outcome: accepted, refused, deferred, lapsed",
            ["log", "outcome"],
            registry=reg,
        )
        self.log_size = Gauge(
            "orgnode_log_size", "Entries of a log followed and stored", ["log"], registry=reg
        )
        self.certified_size = Gauge(
            "orgnode_certified_size",
            "Entries of a log that are certified here; 0 for one that never was",
            ["log"],
            registry=reg,
        )
        self.peer_behind = Gauge(
            "orgnode_peer_behind_entries",
            "Entries of all logs that this node holds and a peer lacked when it last said",
            ["peer"],
            registry=reg,
        )
        self.alerts = Gauge(
            "orgnode_alerts", "Alerts that hold now, by kind", ["kind"], registry=reg
        )
        self.peer_lag = Gauge(
            "orgnode_peer_lag_entries",
            "Entries that a peer has signed and this node does not hold yet",
            ["peer"],
            registry=reg,
        )
        self.peer_up = Gauge(
            "orgnode_peer_up",
            "1 if the last contact with the peer succeeded",
            ["peer"],
            registry=reg,
        )
        self.feed_subscribers = Gauge(
            "orgnode_feed_subscribers", "Open feed connections", registry=reg
        )
        self.feed_dropped = Counter(
            "orgnode_feed_dropped_subscribers",
            "Feed connections that the node ended because they were too slow",
            ["reason"],
            registry=reg,
        )
        self.feed_deliveries = Counter(
            "orgnode_feed_deliveries", "Events written to feed subscribers", registry=reg
        )
        self.publish_seconds = Histogram(
            "orgnode_publish_seconds",
            "From an incident's arrival to its signal being durable",
            buckets=_PROOF_SECONDS,
            registry=reg,
        )
        self.verify_batch_seconds = Histogram(
            "orgnode_verify_batch_seconds",
            "Verifying one batch of severity proofs",
            buckets=_PROOF_SECONDS,
            registry=reg,
        )
        self.requests = Counter(
            "orgnode_api_requests", "Local API requests answered", ["route", "status"], registry=reg
        )

    def on_scrape(self, refresh: Callable[[], None]) -> None:
        """Have `refresh` called before each scrape; it sets the gauges that it knows of."""
        self._refresh.append(refresh)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the exposition and its content type, negotiated by an `Accept` header."""
        for refresh in self._refresh:
            refresh()
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
