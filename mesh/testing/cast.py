"""Who takes part in a simulation: owners with their histories, and what nodes are shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from mesh.testing.orglog import OrgLog
from mesh.testing.replica import Replica
from mesh.testing.transport import AnswerLostError, FaultySource
from mesh.wire import BodyAnswer
from proofs.merkle import NodeAddress


class Conduct(Enum):
    """How the owner of a log behaves."""

    HONEST = "appends only"
    FORKS = "goes on with another history at some time"
    SHRINKS = "hands out an old state at some time, and nothing newer from then on"


@dataclass
class Branch:
    """One history of a log, and which of its entries must be accepted in the end."""

    log: OrgLog
    valid: dict[str, None] = field(default_factory=dict)
    """Ids that must be accepted, in order."""
    signals: list[str] = field(default_factory=list)
    """Ids that may be retracted."""
    withheld: dict[int, BodyAnswer] = field(default_factory=dict)
    """Bodies that are handed over only in the end, by index."""


@dataclass
class Owner:
    """A member, how it behaves, and the histories of its log."""

    conduct: Conduct
    branches: list[Branch]
    split_at: int = 0
    """Size that the histories share."""
    shown: int | None = None
    """Newest size that a shrinking log hands out."""

    @property
    def newest(self) -> Branch:
        """The history that everybody is shown in the end."""
        return self.branches[-1]


class View:
    """What an owner shows to one node: a history, maybe only up to a size."""

    def __init__(self, branch: Branch) -> None:
        self.branch = branch
        self.upto: int | None = None

    @property
    def size(self) -> int:
        """Size that is shown."""
        return self.branch.log.size if self.upto is None else self.upto

    def checkpoint(self) -> bytes:
        """The newest checkpoint that is shown."""
        return self.branch.log.checkpoint(self.size)

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        """As `LogSource.entries`."""
        return self.branch.log.entries(start, end)

    def bodies(self, start: int, end: int) -> Sequence[BodyAnswer]:
        """As `LogSource.bodies`."""
        return self.branch.log.bodies(start, end)

    def nodes(self, addresses: Iterable[NodeAddress]) -> Sequence[bytes]:
        """As `LogSource.nodes`.

        :raises AnswerLostError: this history has no such node.
        """
        try:
            return self.branch.log.nodes(addresses)
        except LookupError:
            raise AnswerLostError from None


@dataclass
class Link:
    """One node's copy of one log, and what lies between them."""

    node: str
    replica: Replica
    view: View
    source: FaultySource
    pushed: list[bytes] = field(default_factory=list)
    must_convict: bool = False
    """Whether the node has stored enough to find the owner out."""
    may_convict: bool = False
    """Whether the node knows enough to find the owner out, if it does not crash."""
