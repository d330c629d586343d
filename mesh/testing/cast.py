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
    BEHIND = "is served by mirrors that hold an old state of it for a while"


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
    erased: set[str] = field(default_factory=set)
    """Ids of true signals whose bodies the owner hands to nobody, though it retracts none: they are
    accepted only where the same body came with another entry."""
    retracted: dict[str, str] = field(default_factory=dict)
    """Retractions by what they withdraw: the bodies of these signals may be gone."""
    accused: dict[str, str] = field(default_factory=dict)
    """Accusations that count, by whom they accuse."""

    def fork(self, at: int) -> "Branch":
        """Another history that shares the first `at` entries."""
        log = self.log.fork(at)
        ids = {leaf.hex() for leaf in log.nodes(NodeAddress(0, i) for i in range(log.size))}
        return Branch(
            log,
            valid={entry_id: None for entry_id in self.valid if entry_id in ids},
            signals=[entry_id for entry_id in self.signals if entry_id in ids],
            withheld={i: body for i, body in self.withheld.items() if i < at},
            erased=self.erased & ids,
            retracted={of: by for of, by in self.retracted.items() if by in ids},
            accused={whom: by for whom, by in self.accused.items() if by in ids},
        )


@dataclass
class Owner:
    """A member, how it behaves, and the histories of its log."""

    conduct: Conduct
    branches: list[Branch]
    split_at: int = 0
    """Size that the histories share."""
    shown: int | None = None
    """Size that mirrors hold which are behind."""

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
