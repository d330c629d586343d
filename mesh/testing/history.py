"""What a run's observers wrote down: plain facts, in order, for `mesh.testing.checkers` to judge.

Facts come from outside of the program under test wherever that is possible: from what it answered
its caller, and from what left its machine. Logs and nodes go by the names of their members.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

F = TypeVar("F", bound="Fact")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was observed at a virtual time, in seconds, at a node."""

    at: float
    node: str


@dataclass(frozen=True, slots=True)
class Acknowledged(Fact):
    """The node told its caller that this entry is in its log, durable."""

    index: int
    entry_id: str


@dataclass(frozen=True, slots=True)
class Forgone(Fact):
    """An entry that the node had told of, and that nobody but it held when its disk was lost."""

    entry_id: str


@dataclass(frozen=True, slots=True)
class Signed(Fact):
    """A checkpoint of the node's own log left its machine."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Cosigned(Fact):
    """A cosignature of the node left its machine.

    `complete`: its disk held all that the checkpoint covers, bodies included. `recorded`: its disk
    held a record of this cosignature.
    """

    log: str
    size: int
    root: bytes
    complete: bool
    recorded: bool


@dataclass(frozen=True, slots=True)
class Certified(Fact):
    """The node takes the first `size` entries of a log for certified; `leaves` are theirs from
    `start` on, as it holds them. `cosigners` are those whose cosignatures do verify."""

    log: str
    size: int
    start: int
    leaves: tuple[bytes, ...]
    cosigners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suspended(Fact):
    """The node holds evidence against a log."""

    log: str


@dataclass(frozen=True, slots=True)
class Withdrawn(Fact):
    """The node has accepted the retraction of an entry; `by` is the retraction's own id."""

    target: str
    by: str


@dataclass(frozen=True, slots=True)
class Receipted(Fact):
    """The node has given a receipt: it does not count the withdrawn entry any more."""

    target: str
    by: str


@dataclass(frozen=True, slots=True)
class Counting(Fact):
    """The node lets a token of this entry count at this moment: one sample.

    `certified`: how many entries of the log are certified at the node.
    """

    log: str
    index: int
    entry_id: str
    certified: int


@dataclass(frozen=True, slots=True)
class Load(Fact):
    """How much something of the node holds at this moment."""

    what: str
    amount: int


@dataclass(frozen=True)
class LogView:
    """One log as a node holds it at the end."""

    leaves: tuple[bytes, ...]
    certified: int
    evidence: bool
    statuses: Mapping[str, str]
    """What became of each entry, and of its body, by id."""


@dataclass(frozen=True)
class View:
    """Everything that a node makes of the mesh at the end, as far as nodes must agree on it."""

    node: str
    logs: Mapping[str, LogView]
    sources: Mapping[str, tuple[str, ...]]
    """By token: the entries that count as its sources, sorted."""


@dataclass
class History:
    """One run: who is who, what was observed, and how it ended."""

    members: tuple[str, ...]
    honest: frozenset[str]
    quorum: int
    facts: list[Fact] = field(default_factory=list, init=False)
    """All that was written down, in order: see `add`."""
    kinds: dict[type[Fact], list[Fact]] = field(default_factory=dict, init=False)
    """The same facts, by their kind."""
    gone: set[str] = field(default_factory=set)
    """Members whose machine broke for good: nobody asks for cosignatures of their logs any more."""
    forgeries: set[str] = field(default_factory=set)
    """Ids of entries that no honest node may ever accept."""
    views: dict[str, View] = field(default_factory=dict)
    """Of the honest nodes that are up and healed at the end."""
    accepted: dict[str, set[str]] = field(default_factory=dict)
    """By node: all entries that it ever accepted."""

    def add(self, fact: Fact) -> None:
        """Write a fact down."""
        self.facts.append(fact)
        self.kinds.setdefault(type(fact), []).append(fact)

    def of(self, kind: type[F]) -> Iterator[F]:
        """The facts of one kind, in order."""
        return cast("Iterator[F]", iter(self.kinds.get(kind, ())))
