"""What the local API needs of the node. The API depends on this protocol, not on the node.

So the API can be served over a store with synthetic rows in a benchmark, and the node can be built
without the API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mesh.genesis import Mesh
from orgnode.checking import Checker
from orgnode.evaluating.status import CommitteeView
from orgnode.feed import FeedHub
from orgnode.incidents import IncidentInput, Published
from orgnode.metrics import Metrics
from orgnode.store import Store


@dataclass(frozen=True)
class Readiness:
    """Why the node can't serve now; ready when there is no reason."""

    reasons: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether the node can serve."""
        return not self.reasons


@dataclass(frozen=True)
class PeerStatus:
    """How this node stands with one peer.

    `size` is how many entries of the peer's log are held here, `signed_size` the size of the newest
    checkpoint seen (so that the difference is the lag), `last_contact` Unix seconds of the last
    exchange that succeeded, `error` the name of the last failure, empty while `up`. A `suspended`
    peer has been proven to show two histories; nothing of its log is followed any more.
    """

    name: str
    up: bool
    size: int
    signed_size: int
    last_contact: float | None = None
    suspended: bool = False
    error: str = ""

    @property
    def lag(self) -> int:
        """Entries that the peer has signed and this node does not hold yet."""
        return max(0, self.signed_size - self.size)


class PublisherService(Protocol):
    """Publishes incidents and withdraws signals."""

    async def report(self, incident: IncidentInput) -> Published:
        """Publish one incident; returns when its signal is durable."""
        ...

    async def retract(self, entry_id: str, reason: str) -> Published:
        """Withdraw an own signal; returns the retraction's place in the log when it is durable."""
        ...

    async def sight(self, entry_id: str, verdict: str) -> Published:
        """Confirm or deny another's signal; returns the sighting's place when it is durable."""
        ...


class NodeServices(Protocol):
    """One running node, as the local API sees it."""

    @property
    def name(self) -> str:
        """This organization's name in the mesh."""
        ...

    @property
    def mesh(self) -> Mesh:
        """The mesh: its id, members and constraints."""
        ...

    @property
    def store(self) -> Store:
        """Everything that the node has on disk."""
        ...

    @property
    def publisher(self) -> PublisherService:
        """Where incidents go."""
        ...

    @property
    def checker(self) -> Checker:
        """What answers checks."""
        ...

    @property
    def evaluator(self) -> CommitteeView:
        """What asks the committee."""
        ...

    @property
    def feed(self) -> FeedHub:
        """Where events come from."""
        ...

    @property
    def metrics(self) -> Metrics:
        """The node's counters."""
        ...

    @property
    def started(self) -> float:
        """When the node started, in Unix seconds."""
        ...

    def readiness(self) -> Readiness:
        """Whether the node can serve, and if not, why."""
        ...

    def peers(self) -> Sequence[PeerStatus]:
        """The state of every other member, in the constraints' order."""
        ...
