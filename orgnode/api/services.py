"""What the local API needs of the node. The API depends on this protocol, not on the node.

So the API can be served over a store with synthetic rows in a benchmark, and the node can be built
without the API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mesh.genesis import Mesh
from orgnode.alerts import Alerts
from orgnode.checking import Checker
from orgnode.errors import OrgnodeError
from orgnode.evaluating.status import CommitteeView
from orgnode.feed import FeedHub
from orgnode.incidents import IncidentInput, Published
from orgnode.metrics import Metrics
from orgnode.store import Store


@dataclass(frozen=True)
class Readiness:
    """Why the node can't serve now; ready when there is no reason.

    `recovering` is what it still waits for before it signs anything, empty when it signs. `halted`
    is why it will not sign any more, however long one waits: there is another history of its log.
    Neither is a reason: checks are answered and signals read meanwhile, only reports are refused.
    """

    reasons: tuple[str, ...] = ()
    recovering: str = ""
    halted: OrgnodeError | None = None

    @property
    def ready(self) -> bool:
        """Whether the node can serve."""
        return not self.reasons


@dataclass(frozen=True)
class PeerStatus:
    """How this node stands with one peer.

    Of the peer's log: `size` is how many entries are held here, `signed_size` the size of the
    newest checkpoint seen (so that the difference is the lag), `certified` how many entries a
    quorum has cosigned. Of what the peer holds, as it says: `their_size` is how many entries of
    this node's log (None before it said anything), `behind` how many entries of all logs it lacks
    that are held here, `behind_since` Unix seconds since when it lacks any (None while it lacks
    none). `last_contact` is Unix seconds of the last exchange that succeeded, `error` the name of
    the last failure, empty while `up`. A `suspended` peer has been proven to show two histories;
    nothing of its log is followed any more.
    """

    name: str
    up: bool
    size: int
    signed_size: int
    last_contact: float | None = None
    suspended: bool = False
    error: str = ""
    certified: int = 0
    their_size: int | None = None
    behind: int = 0
    behind_since: float | None = None

    @property
    def lag(self) -> int:
        """Entries that the peer has signed and this node does not hold yet."""
        return max(0, self.signed_size - self.size)


def recovery_reason(
    answered: int, needed: int, waiting: Sequence[str], *, restored: bool = False
) -> str:
    """What a node that asks others about its own past waits for.

    `answered` of the `needed` members have told what they know; `waiting` names those that have
    not, of whom not all may be needed. `restored`: they all are, because a backup was restored.
    """
    said = f"asking members about this node's past ({answered} of {needed} answered"
    if restored:
        said += "; after a restore all of them must"
    return f"{said}; waiting for {', '.join(waiting)})" if waiting else f"{said})"


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
        """Where events come from; it is notified when entries are certified too."""
        ...

    @property
    def metrics(self) -> Metrics:
        """The node's counters."""
        ...

    @property
    def alerts(self) -> Alerts:
        """What a person should know now."""
        ...

    @property
    def instance(self) -> str:
        """A random name of this run of the node, which its data directory holds too."""
        ...

    @property
    def started(self) -> float:
        """When the node started, in Unix seconds."""
        ...

    def readiness(self) -> Readiness:
        """Whether the node can serve, and if not, why; and whether it signs."""
        ...

    def peers(self) -> Sequence[PeerStatus]:
        """The state of every other member, in the constraints' order."""
        ...
