"""Several logs followed by several nodes over a network that fails: one seed, one schedule.

A run has two phases. In the first, actions are drawn at random: logs grow by good and bad entries,
checkpoints are pushed and overtake each other, nodes pull through a `FaultySource`, crash before
they have stored what they decided, and restart; some owners fork their log, some are served by
mirrors with an old state of it. In the second phase the network is well and every node pulls until
nothing is left. What must hold after every action and at the end is checked here: a broken rule
raises `InvariantError`.

The same seed gives the same run, to the byte: see `Simulation.trace`.
"""

from collections import Counter
from hashlib import sha256
from random import Random

from mesh.assessment import Outcome
from mesh.errors import MeshError
from mesh.evidence import verify_evidence
from mesh.following import RefusedCheckpointError, SegmentMismatchError, SuspendedLogError
from mesh.testing.cast import Branch, Conduct, Link, Owner, View
from mesh.testing.growth import Growth
from mesh.testing.members import make_mesh
from mesh.testing.orglog import TODAY
from mesh.testing.replica import Replica
from mesh.testing.seeds import seeded
from mesh.testing.transport import AnswerLostError, Faults, FaultySource, ProofChecker
from proofs.merkle import NodeAddress

STORMY = Faults(lost=0.10, truncated=0.05, reordered=0.05, corrupted=0.10, stale=0.10, erased=0.10)
"""Faults of the first phase, if no others are asked for."""


class InvariantError(AssertionError):
    """A rule that never bends was broken; the message names the seed."""


class Simulation:
    """One run. `met` counts what did happen, so that a test can tell that it did."""

    def __init__(
        self,
        seed: int,
        *,
        members: int = 3,
        actions: int = 90,
        faults: Faults = STORMY,
        check_proofs: ProofChecker | None = None,
    ) -> None:
        self.seed = seed
        self.met: Counter[str] = Counter()
        self._rng = seeded("simulation", seed)
        self._world = make_mesh(members)
        self._actions = actions
        self._faults = faults
        self._digest = sha256()
        proofs = check_proofs or ProofChecker()
        self._owners: dict[str, Owner] = {}
        self._links: list[Link] = []
        self._growth = Growth(self._world, self._rng)
        for place, member in enumerate(self._world.members):
            name = member.name
            conduct = Conduct.HONEST if place == 0 else self._rng.choice(list(Conduct))
            branch = self._growth.branch(name)
            self._owners[name] = Owner(conduct, [branch])
            for other in self._world.mesh.peers_of(name):
                segment = self._rng.choice((1, 3, 16, 256))
                replica = Replica(
                    self._world.mesh, member.card, segment=segment, check_proofs=proofs
                )
                view = View(branch)
                source = FaultySource(view, Random(self._rng.random()), faults)  # noqa: S311
                self._links.append(Link(other.name, replica, view, source))

    def run(self) -> None:
        """Run both phases.

        :raises InvariantError: a rule was broken.
        """
        actions = (
            (self._grow, 5),
            (self._push, 3),
            (self._deliver, 4),
            (self._pull, 12),
            (self._retry, 1),
            (self._restart, 1),
            (self._misbehave, 1),
        )
        kinds = [action for action, _ in actions]
        weights = [weight for _, weight in actions]
        for _ in range(self._actions):
            action = self._rng.choices(kinds, weights)[0]
            action()
            self._note(action.__name__)
            self._check_safety()
        self._calm()
        self._check_end()

    @property
    def trace(self) -> str:
        """Digest of everything that happened, in order."""
        return self._digest.hexdigest()

    # --- actions of owners

    def _grow(self) -> None:
        owner = self._rng.choice(list(self._owners.values()))
        branch = self._rng.choice(owner.branches)
        for _ in range(self._rng.choice((1, 1, 2, 3, 8))):
            self._growth.append(branch)

    def _misbehave(self) -> None:
        names = [
            name for name, owner in self._owners.items() if owner.conduct is not Conduct.HONEST
        ]
        if not names:
            return
        name = self._rng.choice(names)
        owner = self._owners[name]
        if owner.conduct is Conduct.FORKS and len(owner.branches) == 1:
            self._fork(owner)
        elif owner.conduct is Conduct.BEHIND and owner.shown is None:
            owner.shown = self._rng.randint(0, owner.newest.log.size)
        # Nodes are shown the other history, or the old state, one after the other.
        waiting = [link for link in self._links_to(name) if not self._shown_all(owner, link)]
        if waiting:
            self._turn(owner, self._rng.choice(waiting))

    def _fork(self, owner: Owner) -> None:
        first = owner.newest
        owner.split_at = self._rng.randint(0, first.log.size)
        branch = first.fork(owner.split_at)
        owner.branches.append(branch)
        grown = first.log.size + self._rng.randint(-2, 2)
        while branch.log.size < max(grown, owner.split_at + 1):
            self._growth.append_signal(branch)

    def _shown_all(self, owner: Owner, link: Link) -> bool:
        if owner.conduct is Conduct.FORKS:
            return len(owner.branches) == 1 or link.view.branch is owner.newest
        return owner.shown is None or link.view.upto is not None

    def _turn(self, owner: Owner, link: Link) -> None:
        """Show a node the other face from now on, and work out what it must make of it."""
        self.met[f"turned {owner.conduct.name}"] += 1
        if owner.conduct is Conduct.BEHIND:
            link.view.upto = owner.shown
            return
        state = link.replica.state
        link.view.branch = owner.newest
        # A checkpoint that waits behind the target is not stored: a crash may lose it.
        stored = max(_size(state.checkpoint), _size(state.target))
        link.must_convict = link.must_convict or stored > owner.split_at

    # --- actions of nodes and the network

    def _push(self) -> None:
        link = self._rng.choice(self._links)
        link.pushed.append(link.view.checkpoint())

    def _deliver(self) -> None:
        links = [link for link in self._links if link.pushed]
        if not links:
            return
        link = self._rng.choice(links)
        # Any of those under way, the oldest or not; sometimes it comes a second time later.
        place = self._rng.randrange(len(link.pushed))
        note = link.pushed[place]
        if self._rng.random() < 0.8:
            del link.pushed[place]
        try:
            self._offer(link, note)
        except SuspendedLogError:
            self.met["suspended"] += 1

    def _offer(self, link: Link, note: bytes) -> None:
        """Offer a checkpoint to a node, which must notice if it is not of the history it holds."""
        covered, known = _size(link.replica.state.checkpoint), link.replica.follower.known_size
        try:
            link.replica.offer(note)
        except RefusedCheckpointError:
            self.met["checkpoint refused"] += 1
            return
        self.met["overtaken"] += _size(note) < known
        if 0 < _size(note) <= covered:
            held = link.replica.rows.nodes([NodeAddress(0, i) for i in range(_size(note))])
            if not self._is_of(note, held, self._owners[link.replica.name]):
                self._fail(f"{link.node} was shown another history and saw nothing")

    def _is_of(self, note: bytes, held: list[bytes], owner: Owner) -> bool:
        """Whether a true checkpoint is one of a history that begins with these leaves."""
        size = len(held)
        return any(
            branch.log.size >= size
            and branch.log.checkpoint(size) == note
            and branch.log.nodes(NodeAddress(0, i) for i in range(size)) == held
            for branch in owner.branches
        )

    def _pull(self) -> None:
        link = self._rng.choice(self._links)
        crash = self._rng.random() < 0.1
        self._pull_from(link, self._rng.randint(0, 4), crash=crash)

    def _pull_from(self, link: Link, steps: int, *, crash: bool = False) -> None:
        replica = link.replica
        try:
            self._offer(link, link.source.checkpoint())
            for _ in range(steps):
                if not replica.step(link.source, TODAY, crash=crash):
                    break
                self.met["crashed" if crash else "stored"] += 1
        except (SegmentMismatchError, AnswerLostError) as error:
            self.met[type(error).__name__] += 1
            replica.diagnose(link.source)
        except SuspendedLogError:
            self.met["suspended"] += 1

    def _retry(self) -> None:
        link = self._rng.choice(self._links)
        self._retry_from(link)

    def _retry_from(self, link: Link) -> None:
        try:
            link.replica.retry(link.source, TODAY)
        except (AnswerLostError, SuspendedLogError) as error:
            self.met[type(error).__name__] += 1

    def _restart(self) -> None:
        self._rng.choice(self._links).replica.restart()

    def _calm(self) -> None:
        """The second phase: faults stop, bodies come back, mirrors catch up, and everybody is shown
        the newest history, which has outgrown all others."""
        for name, owner in self._owners.items():
            for branch in owner.branches:
                for index, answer in branch.withheld.items():
                    branch.log.answers[index] = answer
            largest = max(link.replica.follower.known_size for link in self._links_to(name))
            while len(owner.branches) > 1 and owner.newest.log.size <= largest:
                self._growth.append_signal(owner.newest)
            for link in self._links_to(name):
                if owner.conduct is Conduct.FORKS and not self._shown_all(owner, link):
                    self._turn(owner, link)
                link.view.upto = None
        for link in self._links:
            self.met.update({f"fault {fault}": n for fault, n in link.source.met.items()})
            link.source.faults = Faults()
            for _ in range(4):
                self._pull_from(link, 1_000)
                self._retry_from(link)
            self._note(f"calm {link.node} {link.replica.name}")

    # --- what must hold

    def _check_safety(self) -> None:
        for link in self._links:
            owner = self._owners[link.replica.name]
            self._check_evidence(link, owner)
            rows = link.replica.rows
            notes = [rows[index].note for index in range(link.replica.state.size)]
            if len(rows) != len(notes) or not any(
                notes == branch.log.notes[: len(notes)] for branch in owner.branches
            ):
                self._fail(f"{link.node} holds a history of {link.replica.name} that never was")
            known = [branch.valid.keys() | branch.erased for branch in owner.branches]
            for entry_id in link.replica.accepted():
                if not any(entry_id in true for true in known):
                    self._fail(f"{link.node} accepted what {link.replica.name} did not publish")

    def _check_evidence(self, link: Link, owner: Owner) -> None:
        evidence = link.replica.state.evidence
        if evidence is None:
            return
        if len(owner.branches) == 1:
            self._fail(f"{link.node} suspended {link.replica.name} for nothing")
        try:
            verify_evidence(self._world.mesh, evidence)
        except MeshError as error:
            self._fail(f"{link.node} suspended {link.replica.name} for nothing: {error}")

    def _check_end(self) -> None:
        self._check_safety()
        for link in self._links:
            replica = link.replica
            self.met.update(row.outcome.value for row in replica.rows.values())
            evidence = replica.state.evidence
            if evidence is not None:
                self.met[f"evidence {evidence.kind.value}"] += 1
                continue
            if link.must_convict:
                self._fail(f"{link.node} was shown two faces of {replica.name} and saw nothing")
            branch, size = link.view.branch, link.view.size
            if replica.state.size != size:
                self._fail(f"{link.node} stopped at {replica.state.size} of {size}")
            if self._counting(branch, replica.accepted()) != self._due(branch, size):
                self._fail(f"{link.node} did not accept exactly what {replica.name} published")
            if not replica.live().isdisjoint(branch.retracted):
                self._fail(f"{link.node} counts what {replica.name} withdrew")

    def _due(self, branch: Branch, size: int) -> list[str]:
        """Ids that must be accepted of the first `size` entries, each at its first place."""
        leaves = branch.log.nodes(NodeAddress(0, index) for index in range(size))
        ids = dict.fromkeys(leaf.hex() for leaf in leaves)
        return self._counting(branch, [entry_id for entry_id in ids if entry_id in branch.valid])

    def _counting(self, branch: Branch, ids: list[str]) -> list[str]:
        """Without signals that were retracted or erased: who has their bodies depends on luck."""
        return [i for i in ids if i not in branch.retracted and i not in branch.erased]

    def _links_to(self, name: str) -> list[Link]:
        return [link for link in self._links if link.replica.name == name]

    def _note(self, what: str) -> None:
        self._digest.update(what.encode())
        for link in self._links:
            state = link.replica.state
            self._digest.update(state.size.to_bytes(8, "big") + state.frontier.to_bytes())
            self._digest.update((state.checkpoint or b"-") + (state.target or b"-"))
            self._digest.update(state.evidence.to_json() if state.evidence else b"-")
            outcomes = [link.replica.rows[i].outcome for i in sorted(link.replica.rows)]
            self._digest.update(repr([_OUTCOMES.index(o) for o in outcomes]).encode())

    def _fail(self, what: str) -> None:
        raise InvariantError(f"seed {self.seed}: {what}")


_OUTCOMES = list(Outcome)


def _size(checkpoint: bytes | None) -> int:
    return 0 if checkpoint is None else int(checkpoint.split(b"\n")[1])
