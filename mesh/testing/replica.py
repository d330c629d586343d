"""What one node stores of one peer's log, in memory, with the follower on top: it can crash."""

from mesh.days import Day
from mesh.follower import LogFollower
from mesh.following import FollowerState
from mesh.genesis import Mesh
from mesh.member import MemberCard
from mesh.testing.rows import Rows
from mesh.testing.transport import LogSource, ProofChecker, diagnose
from mesh.wire import BodyAnswer


class Replica:
    """One node's copy of one peer's log. Rows and state change together, as in one transaction.

    `follower` is what would be lost in a crash; `rows` and `state` are what is on disk.
    """

    def __init__(
        self,
        mesh: Mesh,
        member: MemberCard,
        *,
        segment: int = 256,
        check_proofs: ProofChecker | None = None,
    ) -> None:
        self.rows = Rows()
        self.state = FollowerState.empty()
        self._mesh = mesh
        self._member = member
        self._segment = segment
        self._check_proofs = check_proofs or ProofChecker()
        self.follower = self._start()

    @property
    def name(self) -> str:
        """Whose log this is a copy of."""
        return self._member.name

    def restart(self) -> None:
        """Crash, and start again from what is on disk."""
        self.follower = self._start()

    def offer(self, checkpoint: bytes) -> bool:
        """Offer a checkpoint and store the state, evidence included.

        :raises FollowerError: what the follower raised.
        """
        try:
            return self.follower.offer(checkpoint)
        finally:
            self.state = self.follower.state

    def step(self, source: LogSource, today: Day, *, crash: bool = False) -> bool:
        """Fetch, check and store one segment; return whether there was one.

        :param crash: crash after deciding and before storing.
        :raises FollowerError: what the follower raised.
        :raises AnswerLostError: an answer was lost.
        """
        segment = self.follower.next_segment()
        if segment is None:
            return False
        checked = self.follower.check(
            segment,
            source.entries(segment.start, segment.end),
            source.bodies(segment.start, segment.end),
            source.nodes(segment.tail),
            today,
        )
        settled = self.follower.conclude(checked, self._check_proofs(checked.claims))
        if crash:
            self.restart()
        else:
            self.rows.append(settled)
            self.state = self.follower.state
        return True

    def diagnose(self, source: LogSource) -> None:
        """After a mismatch: find out whether the log has forked, and store the state."""
        diagnose(self.follower, source)
        self.state = self.follower.state

    def retry(self, source: LogSource, today: Day) -> None:
        """Ask again for the bodies of entries that a later look can lift.

        :raises FollowerError: what the follower raised.
        :raises AnswerLostError: an answer was lost.
        """
        waiting = [self.rows[i] for i in sorted(self.rows) if self.rows[i].retryable]
        items: list[tuple[int, bytes, BodyAnswer]] = []
        for row in waiting:
            answers = source.bodies(row.index, row.index + 1)
            items += [(row.index, row.note, answer) for answer in answers]
        checked = self.follower.reassess(items, today)
        self.rows.resolve(self.follower.conclude(checked, self._check_proofs(checked.claims)))

    def accepted(self) -> list[str]:
        """Ids of the accepted entries, in the log's order."""
        return self.rows.accepted()

    def live(self) -> set[str]:
        """Ids of the accepted signals that were not retracted."""
        signals = {row.entry_id for row in self.rows.values() if row.signal}
        return {entry_id for entry_id in signals if not self.rows.is_retracted(entry_id)}

    def _start(self) -> LogFollower:
        return LogFollower(
            self._mesh,
            self._member,
            self.state,
            history=self.rows,
            tree=self.rows,
            segment=self._segment,
        )
