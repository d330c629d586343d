"""Several logs followed by several nodes over a network that fails: one seed, one schedule.

A run has two phases. In the first, actions are drawn at random: logs grow by good and bad entries,
checkpoints are pushed and overtake each other, nodes pull through a `FaultySource`, crash before
they have stored what they decided, and restart; some owners fork their log or hand out an old state
of it. In the second phase the network is well and every node pulls until nothing is left. What must
hold after every action and at the end is checked here: a broken rule raises `InvariantError`.

The same seed gives the same run, to the byte: see `Simulation.trace`.
"""

from collections import Counter
from functools import cache
from hashlib import sha256
from random import Random

from mesh import strictjson
from mesh.assessment import Outcome
from mesh.evidence import EvidenceKind, verify_evidence
from mesh.following import RefusedCheckpointError, SegmentMismatchError, SuspendedLogError
from mesh.testing.cast import Branch, Conduct, Link, Owner, View
from mesh.testing.members import TestMesh, make_mesh
from mesh.testing.orglog import TODAY, OrgLog
from mesh.testing.promotions import make_promotion
from mesh.testing.replica import Replica
from mesh.testing.seeds import seeded
from mesh.testing.signals import Lie, MadeSignal, SignalPool, falsify
from mesh.testing.transport import AnswerLostError, Faults, FaultySource, ProofChecker
from proofs.merkle import NodeAddress

STORMY = Faults(lost=0.10, truncated=0.05, reordered=0.05, corrupted=0.10)
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
        self._lies: dict[str, list[MadeSignal]] = {}
        self._promotions, self._false_promotions = _promotions(self._world)
        for place, member in enumerate(self._world.members):
            name = member.name
            self._lies[name] = _lies(self._world, name)
            conduct = Conduct.HONEST if place == 0 else self._rng.choice(list(Conduct))
            branch = Branch(OrgLog(self._world, name, pool=_pool(self._world, name)))
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
            self._append(branch)

    def _append(self, branch: Branch) -> None:
        log, rng = branch.log, self._rng
        match rng.choices(
            (
                *("signal", "retract", "lie", "garbage", "again", "unknown", "astray", "late"),
                *("erased", "sight", "promote", "false promotion"),
            ),
            (12, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1),
        )[0]:
            case "retract" if branch.signals:
                branch.valid[log.append_retraction(rng.choice(branch.signals))] = None
            case "lie":
                log.append_signal(rng.choice(self._lies[log.name]))
            case "garbage":
                log.append_note(rng.randbytes(rng.randrange(200)))
            case "again" if log.size:
                index = rng.randrange(log.size)
                log.append_note(log.notes[index], log.answers[index])
            case "unknown":
                log.append_unknown(rng.choice(("keys", "adopt", "news")))
            case "astray":
                log.append_retraction(rng.randbytes(32).hex())
            case "late":
                self._append_signal(branch)
                branch.withheld[log.size - 1] = log.withhold_body(log.size - 1)
            case "erased":
                log.append_signal()
                log.erase_body(log.size - 1)
            case "sight":
                verdict = rng.choice(("confirm", "deny"))
                branch.valid[log.append_sighting(rng.randbytes(32).hex(), verdict)] = None
            case "promote":
                branch.valid[log.append_promotion(rng.choice(self._promotions))] = None
            case "false promotion":
                log.append_promotion(rng.choice(self._false_promotions))
            case _:
                self._append_signal(branch)

    def _append_signal(self, branch: Branch) -> None:
        entry_id = branch.log.append_signal()
        branch.valid[entry_id] = None
        branch.signals.append(entry_id)

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
        elif owner.conduct is Conduct.SHRINKS and owner.shown is None:
            owner.shown = self._rng.randint(0, owner.newest.log.size)
        # Nodes are shown the other history, or the old state, one after the other.
        waiting = [link for link in self._links_to(name) if not self._shown_all(owner, link)]
        if waiting:
            self._turn(owner, self._rng.choice(waiting))

    def _fork(self, owner: Owner) -> None:
        first = owner.newest
        owner.split_at = self._rng.randint(0, first.log.size)
        log = first.log.fork(owner.split_at)
        ids = {leaf.hex() for leaf in log.nodes(NodeAddress(0, i) for i in range(log.size))}
        branch = Branch(
            log,
            valid={entry_id: None for entry_id in first.valid if entry_id in ids},
            signals=[entry_id for entry_id in first.signals if entry_id in ids],
            withheld={i: body for i, body in first.withheld.items() if i < owner.split_at},
        )
        owner.branches.append(branch)
        grown = first.log.size + self._rng.randint(0, 2)
        while log.size < max(grown, owner.split_at + 1):
            self._append_signal(branch)

    def _shown_all(self, owner: Owner, link: Link) -> bool:
        if owner.conduct is Conduct.FORKS:
            return len(owner.branches) == 1 or link.view.branch is owner.newest
        return owner.shown is None or link.view.upto is not None

    def _turn(self, owner: Owner, link: Link) -> None:
        """Show a node the other face from now on, and work out what it must make of it."""
        state = link.replica.state
        stored = max(_size(state.checkpoint), _size(state.target))
        known = link.replica.follower.known_size
        if owner.conduct is Conduct.FORKS:
            link.view.branch, limit = owner.newest, owner.split_at
        else:
            assert owner.shown is not None
            link.view.upto = limit = owner.shown
        link.pushed.clear()
        # A checkpoint that waits behind the target is not stored: a crash may lose it.
        link.must_convict = link.must_convict or stored > limit
        link.may_convict = link.may_convict or known > limit
        self.met[f"turned {owner.conduct.name}"] += 1

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
            if _size(note) < link.replica.follower.known_size:
                self.met["overtaken"] += 1
            link.replica.offer(note, pushed=True)
        except SuspendedLogError:
            self.met["suspended"] += 1

    def _pull(self) -> None:
        link = self._rng.choice(self._links)
        crash = self._rng.random() < 0.1
        self._pull_from(link, self._rng.randint(0, 4), crash=crash)

    def _pull_from(self, link: Link, steps: int, *, crash: bool = False) -> None:
        replica = link.replica
        try:
            replica.offer(link.source.checkpoint())
            for _ in range(steps):
                if not replica.step(link.source, TODAY, crash=crash):
                    break
                self.met["crashed" if crash else "stored"] += 1
        except RefusedCheckpointError:
            self.met["checkpoint refused"] += 1
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
        """The second phase: faults stop, bodies come back, everybody shows its last face."""
        for name, owner in self._owners.items():
            for branch in owner.branches:
                for index, answer in branch.withheld.items():
                    branch.log.answers[index] = answer
            for link in self._links_to(name):
                if not self._shown_all(owner, link):
                    self._turn(owner, link)
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
            evidence = link.replica.state.evidence
            if evidence is not None and not link.may_convict:
                self._fail(f"{link.node} suspended {link.replica.name} for nothing")
            rows = link.replica.rows
            notes = [rows[index].note for index in range(link.replica.state.size)]
            if len(rows) != len(notes) or not any(
                notes == branch.log.notes[: len(notes)] for branch in owner.branches
            ):
                self._fail(f"{link.node} holds a history of {link.replica.name} that never was")
            known = [branch.valid for branch in owner.branches]
            for entry_id in link.replica.accepted():
                if not any(entry_id in valid for valid in known):
                    self._fail(f"{link.node} accepted what {link.replica.name} did not publish")

    def _check_end(self) -> None:
        self._check_safety()
        for link in self._links:
            replica = link.replica
            self.met.update(row.outcome.value for row in replica.rows.values())
            evidence = replica.state.evidence
            if evidence is not None:
                self.met[f"evidence {evidence.kind.value}"] += 1
                if evidence.kind is not EvidenceKind.SHRINK:
                    verify_evidence(self._world.mesh, evidence)
                continue
            if link.must_convict:
                self._fail(f"{link.node} was shown two faces of {replica.name} and saw nothing")
            branch = link.view.branch
            size = link.view.size
            if replica.state.size != size:
                self._fail(f"{link.node} stopped at {replica.state.size} of {size}")
            if replica.accepted() != self._due(branch, size):
                self._fail(f"{link.node} did not accept exactly what {replica.name} published")

    def _due(self, branch: Branch, size: int) -> list[str]:
        """Ids that must be accepted of the first `size` entries, each at its first place."""
        leaves = branch.log.nodes(NodeAddress(0, index) for index in range(size))
        ids = dict.fromkeys(leaf.hex() for leaf in leaves)
        return [entry_id for entry_id in ids if entry_id in branch.valid]

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


def _pool(world: TestMesh, name: str) -> SignalPool:
    return SignalPool(world.mesh, name, size=4)


def _lies(world: TestMesh, name: str) -> list[MadeSignal]:
    pool, rng = _pool(world, name), seeded("lies", name)
    return [falsify(world.mesh, pool[i], lie, rng) for i, lie in enumerate(Lie)]


@cache
def _promotions(world: TestMesh) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """True promotions, and false ones: each has the tokens of another."""
    rng = seeded("promotions", world.mesh.mesh_id)
    signals = [rng.randbytes(32).hex() for _ in range(3)]
    true = tuple(
        make_promotion(world, [rng.randbytes(32) for _ in range(count)], signals)
        for count in (1, 1, 2, 2)
    )
    values = [strictjson.loads(body) for body in true]
    for one, other in zip(values[::2], values[1::2], strict=True):
        for left, right in zip(one["windows"], other["windows"], strict=True):
            left["token"], right["token"] = right["token"], left["token"]
    return true, tuple(strictjson.dumps(value) for value in values)
