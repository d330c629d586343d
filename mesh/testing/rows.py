"""What a node has stored of one log, in memory: rows by index, as a history and as a tree."""

from collections import Counter
from collections.abc import Iterable, Sequence

from mesh.assessment import Assessed, Outcome, lapse
from mesh.days import Day
from mesh.entry import Kind
from mesh.quota import bound_by_days, counts_for_quota
from proofs.merkle import NodeAddress, node_hash


class Rows(dict[int, Assessed]):
    """Assessed entries of one log by index; a `LogHistory` and a `TreeReader` of themselves."""

    def __init__(self) -> None:
        super().__init__()
        self._ids: set[str] = set()
        self._signals: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._retracted: set[str] = set()
        self._accused: dict[str, tuple[int, Day]] = {}
        self._counted: Counter[Day] = Counter()
        self._last: Day | None = None
        self._nodes: dict[NodeAddress, bytes] = {}

    def append(self, settled: Iterable[Assessed]) -> None:
        """Store a concluded segment."""
        for row in settled:
            self[row.index] = row
            self._ids.add(row.entry_id)
            self._places.setdefault(row.entry_id, row.index)
            self._stand(row)
            self._take_effect(row)

    def resolve(self, settled: Iterable[Assessed]) -> None:
        """Store what became of entries that were looked at again, if they still wait for it."""
        for row in settled:
            before = self[row.index]
            if before.retryable:
                self[row.index] = row
                if before.envelope is None:
                    self._stand(row)
                self._take_effect(row)

    def _stand(self, row: Assessed) -> None:
        if row.holds_signal:
            self._signals.setdefault(row.entry_id, row.index)
        if row.stands and row.envelope is not None:
            self._counted[Day(row.envelope.day)] += counts_for_quota(row.envelope.kind)
            if bound_by_days(row.envelope.kind):
                self._last = max(self._last or Day(0), Day(row.envelope.day))

    def _take_effect(self, row: Assessed) -> None:
        if row.retraction is not None:
            self._retracted.add(row.retraction.target)
            place = self._places.get(row.retraction.target)
            if place is not None and self[place].retryable:
                self[place] = lapse(self[place])
        if row.evidence is not None and row.envelope is not None:
            said = row.index, Day(row.envelope.day)
            self._accused[row.evidence.log] = max(self._accused.get(row.evidence.log, said), said)

    # --- what stands in the log: `mesh.history.LogHistory`

    def holds_entry(self, entry_id: str) -> bool:
        """See `LogHistory.holds_entry`."""
        return entry_id in self._ids

    def signal_expires(self, entry_id: str, before: int) -> Day | None:
        """See `LogHistory.signal_expires`."""
        place = self._signals.get(entry_id, before)
        envelope = self[place].envelope if place < before else None
        return None if envelope is None else Day(envelope.expires)

    def is_retracted(self, entry_id: str) -> bool:
        """See `LogHistory.is_retracted`."""
        return entry_id in self._retracted

    def accuses(self, accused: str) -> Day | None:
        """See `LogHistory.accuses`."""
        return self._accused[accused][1] if accused in self._accused else None

    def unread_accusations(self, before: int) -> list[int]:
        """See `LogHistory.unread_accusations`."""
        return [
            index
            for index, row in self.items()
            if index < before
            and row.retryable
            and row.envelope is not None
            and row.envelope.kind is Kind.EVIDENCE
        ]

    def counted_on(self, day: Day) -> int:
        """See `LogHistory.counted_on`."""
        return self._counted[day]

    def last_day(self) -> Day | None:
        """See `LogHistory.last_day`."""
        return self._last

    # --- the tree of its entries: `mesh.history.TreeReader`

    def nodes(self, addresses: Sequence[NodeAddress]) -> list[bytes]:
        """See `TreeReader.nodes`.

        :raises LookupError: a subtree reaches beyond what is stored.
        """
        return [self._node(address) for address in addresses]

    def _node(self, address: NodeAddress) -> bytes:
        if address.level == 0:
            return self[address.index].leaf
        known = self._nodes.get(address)
        if known is None:
            below = NodeAddress(address.level - 1, 2 * address.index)
            known = node_hash(
                self._node(below), self._node(NodeAddress(below.level, below.index + 1))
            )
            self._nodes[address] = known
        return known

    def accepted(self) -> list[str]:
        """Ids of the accepted entries, in the log's order."""
        return [self[i].entry_id for i in sorted(self) if self[i].outcome is Outcome.ACCEPTED]
