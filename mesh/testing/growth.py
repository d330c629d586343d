"""What owners append to their logs in a simulation, and what must become of it."""

from functools import cache
from random import Random

from mesh import strictjson
from mesh.accusation import compose_accusation
from mesh.days import Day
from mesh.entry import Kind
from mesh.evidence import Evidence, EvidenceKind, split_evidence
from mesh.testing.cast import Branch
from mesh.testing.members import TestMesh
from mesh.testing.orglog import OrgLog
from mesh.testing.promotions import make_promotion
from mesh.testing.seeds import seeded
from mesh.testing.signals import Lie, MadeSignal, SignalPool, falsify

_KINDS = {
    "signal": 12,
    "retract": 2,
    "lie": 1,
    "garbage": 1,
    "again": 1,
    "unknown": 1,
    "astray": 1,
    "late": 2,
    "erased": 1,
    "backdated": 1,
    "sight": 1,
    "promote": 1,
    "false promotion": 1,
    "accuse": 1,
    "false accusation": 1,
}


class Growth:
    """Appends entries of all kinds, drawn at random, and notes which of them are valid."""

    def __init__(self, world: TestMesh, rng: Random) -> None:
        self._world = world
        self._rng = rng
        self._lies = {member.name: _lies(world, member.name) for member in world.members}
        self._promotions, self._false_promotions = _promotions(world)
        self._evidence = _evidence(world)

    def branch(self, name: str) -> Branch:
        """The first history of a member's log, empty."""
        return Branch(OrgLog(self._world, name, pool=_pool(self._world, name)))

    def append(self, branch: Branch) -> None:
        """Append one entry of any kind."""
        log, rng = branch.log, self._rng
        match rng.choices(list(_KINDS), list(_KINDS.values()))[0]:
            case "retract" if branch.signals:
                target = rng.choice(branch.signals)
                retraction = log.append_retraction(target)
                branch.valid[retraction] = None
                branch.retracted.setdefault(target, retraction)
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
                self.append_signal(branch)
                branch.withheld[log.size - 1] = log.withhold_body(log.size - 1)
            case "erased":
                branch.erased.add(log.append_signal())
                log.erase_body(log.size - 1)
            case "backdated" if branch.valid:
                log.append_signal(day=Day(log.day - 1))
            case "sight":
                verdict = rng.choice(("confirm", "deny"))
                branch.valid[log.append_sighting(rng.randbytes(32).hex(), verdict)] = None
            case "promote":
                branch.valid[log.append_promotion(rng.choice(self._promotions))] = None
            case "false promotion":
                log.append_promotion(rng.choice(self._false_promotions))
            case "accuse":
                self._accuse(branch, rng.choice(self._evidence))
            case "false accusation":
                true = rng.choice(self._evidence)
                false = Evidence(EvidenceKind.SPLIT, true.log, true.first, true.first)
                log.append(Kind.EVIDENCE, rng.randbytes(32), compose_accusation(false))
            case _:
                self.append_signal(branch)

    def append_signal(self, branch: Branch) -> None:
        """Append a valid signal."""
        entry_id = branch.log.append_signal()
        branch.valid[entry_id] = None
        branch.signals.append(entry_id)

    def _accuse(self, branch: Branch, evidence: Evidence) -> None:
        body = compose_accusation(evidence)
        accusation = branch.log.append(Kind.EVIDENCE, self._rng.randbytes(32), body)
        if branch.accused.setdefault(evidence.log, accusation) == accusation:
            branch.valid[accusation] = None


def _pool(world: TestMesh, name: str) -> SignalPool:
    return SignalPool(world.mesh, name, size=4)


def _lies(world: TestMesh, name: str) -> list[MadeSignal]:
    pool, rng = _pool(world, name), seeded("lies", name)
    return [falsify(world.mesh, pool[i], lie, rng) for i, lie in enumerate(Lie)]


@cache
def _evidence(world: TestMesh) -> tuple[Evidence, ...]:
    """True evidence against each member, from checkpoints that nobody is shown otherwise."""
    found = []
    for member in world.members:
        log = OrgLog(world, member)
        roots = log.sign_root(2**39, bytes(32)), log.sign_root(2**39, b"\x01" * 32)
        found.append(split_evidence(world.mesh, member.name, *roots))
    return tuple(found)


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
