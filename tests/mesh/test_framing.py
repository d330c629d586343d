"""A liar tries to have an honest log convicted, with everything that it could ever get hold of.

It has all that the honest member ever signed: checkpoints of every size, with and without
cosignatures, its card, its entries, its checkpoints in another mesh. It has all nodes of its tree,
keys of its own, and all other members' keys; it serves every answer, loses and repeats what it
likes, and can have the follower crash, or go on from an old backup of its disk.
"""

from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mesh.accusation import compose_accusation
from mesh.assessment import Outcome, assess
from mesh.entry import Kind
from mesh.errors import MeshError
from mesh.evidence import Evidence, EvidenceKind, split_evidence, verify_evidence
from mesh.following import (
    RefusedCheckpointError,
    SegmentMismatchError,
    StaleSegmentError,
    TileMismatchError,
)
from mesh.member import log_origin
from mesh.testing import TODAY, OrgLog, ProofChecker, Replica, make_mesh
from mesh.wire import ERASED, MISSING, BodyAnswer
from proofs.checkpoint import Checkpoint, sign_checkpoint
from proofs.errors import ProofsError
from proofs.merkle import NodeAddress, range_nodes
from proofs.note import Signer, add_signatures

WORLD = make_mesh(4)
MESH = WORLD.mesh
OTHER_MESH = make_mesh(5)
VICTIM = WORLD.member(0)
LIAR = WORLD.member(1)
SIZE = 40
PROOFS = ProofChecker()


def honest_log() -> OrgLog:
    log = OrgLog(WORLD, VICTIM)
    target = log.append_signal()
    for index in range(1, SIZE):
        match index % 5:
            case 0:
                log.append_sighting(target)
            case 1:
                log.append_note(b"entry %d" % index)
            case 2:
                log.append_retraction(target)
            case 3:
                log.append_note(log.notes[0], log.answers[0])
            case _:
                log.append_unknown()
    return log


def invented_log(at: int) -> OrgLog:
    """Another history, as the liar would have it: the victim never signed it."""
    log = honest_log().fork(at)
    for index in range(at, SIZE + 5):
        log.append_note(b"invented %d" % index)
    return log


HONEST = honest_log()
INVENTED = [invented_log(at) for at in (0, 7, 16, 33)]
ORIGIN = log_origin(VICTIM.name, MESH.mesh_id)


def _cosigned_by_liars(note: bytes) -> bytes:
    """With lines of other members, and lines under the log's own name by another key."""
    return add_signatures(note, [LIAR.identity, Signer(ORIGIN, bytes(32))])


def _repeated(note: bytes) -> bytes:
    return note + note.splitlines(keepends=True)[-1]


def _elsewhere(size: int) -> bytes:
    """What the same key signed for another log: the victim's in another mesh."""
    signer = VICTIM.log_signer(OTHER_MESH.mesh.mesh_id)
    return sign_checkpoint(Checkpoint(signer.name, size, bytes(32)), signer)


def _forged(size: int, root: bytes, signer: Signer) -> bytes:
    return sign_checkpoint(Checkpoint(ORIGIN, size, root), Signer(ORIGIN, signer.seed))


def _regrafted(size: int, root: bytes) -> bytes:
    """The victim's true signature under another text."""
    true, false = HONEST.checkpoint(size), _forged(size, root, LIAR.identity)
    return false.partition(b"\n\n")[0] + b"\n\n" + true.partition(b"\n\n")[2]


def _flipped(note: bytes, at: int) -> bytes:
    altered = bytearray(note)
    altered[at % len(altered)] ^= 1 << at % 8
    return bytes(altered)


@st.composite
def notes(draw: st.DrawFn, upto: int = SIZE) -> bytes:
    """A checkpoint of the victim as a liar can serve it; a true one is the likeliest."""
    size = draw(st.integers(0, upto))
    true = HONEST.checkpoint(size)
    false_root = draw(st.sampled_from(INVENTED)).frontier(size).root()
    match draw(st.integers(0, 12)):
        case 0 | 1 | 2:
            return true
        case 3:
            return HONEST.certificate(size)
        case 4:
            return _cosigned_by_liars(true)
        case 5:
            return _repeated(true)
        case 6:
            return _elsewhere(size)
        case 7:
            return _forged(size, false_root, draw(st.sampled_from(KEYS)))
        case 8:
            return _regrafted(size, false_root)
        case 9:
            return _flipped(true, draw(st.integers(0, 5_000)))
        case 10:
            return true.replace(b"\n%d\n" % size, b"\n%d\n" % draw(st.integers(0, upto)))
        case 11:
            return VICTIM.card_note
        case _:
            return HONEST.notes[draw(st.integers(0, SIZE - 1))]


KEYS = [LIAR.identity, LIAR.witness, VICTIM.identity, VICTIM.witness]
"""Keys that sign no checkpoints of this log: not even the victim's others do."""


@st.composite
def hashes(draw: st.DrawFn, addresses: Sequence[NodeAddress]) -> list[bytes]:
    """Hashes for some nodes: the true ones, invented ones, or a mixture, maybe cut or shifted."""
    true = [_node(HONEST, address) for address in addresses]
    false = [_node(draw(st.sampled_from(INVENTED)), address) for address in addresses]
    found = [draw(st.sampled_from(pair)) for pair in zip(true, false, strict=True)]
    match draw(st.integers(0, 7)):
        case 0:
            return false
        case 1:
            return found
        case 2 if found:
            place = draw(st.integers(0, len(true) - 1))
            return [*true[:place], draw(st.binary(min_size=32, max_size=32)), *true[place + 1 :]]
        case 3 if len(true) > 1:
            cut = draw(st.integers(1, 63))
            joined = true[0] + true[1]
            return [joined[:cut], joined[cut:], *true[2:]]
        case 4:
            return true[:-1]
        case 5:
            return [*true, bytes(32)]
        case _:
            return true


def _node(log: OrgLog, address: NodeAddress) -> bytes:
    if (address.index + 1) << address.level > log.size:
        return bytes(32)
    return log.nodes([address])[0]


class Framing(RuleBasedStateMachine):
    """One follower of the honest log, whose every question the liar answers."""

    def __init__(self) -> None:
        super().__init__()
        self.backups: list[Replica] = []

    @initialize(segment=st.sampled_from([1, 3, 8, 256]))
    def start(self, segment: int) -> None:
        self.replica = Replica(MESH, VICTIM.card, segment=segment, check_proofs=PROOFS)

    @rule(note=notes())
    def offer(self, note: bytes) -> None:
        with suppress(RefusedCheckpointError):
            self.replica.offer(note)

    @rule(size=st.integers(0, SIZE))
    def offer_what_was_signed_once(self, size: int) -> None:
        self.replica.offer(HONEST.checkpoint(size))

    @rule(data=st.data(), crash=st.booleans())
    def serve(self, data: st.DataObject, crash: bool) -> None:
        try:
            self.replica.step(Served(data), TODAY, crash=crash)
        except (SegmentMismatchError, StaleSegmentError):
            self.diagnose(data)

    @rule()
    def serve_truly(self) -> None:
        self.replica.step(HONEST, TODAY)

    @rule(data=st.data())
    def diagnose(self, data: st.DataObject) -> None:
        follower = self.replica.follower
        diagnosis = follower.diagnosis()
        if diagnosis is not None:
            left = data.draw(hashes(diagnosis.left))
            with suppress(TileMismatchError):
                follower.diagnose(left, data.draw(hashes(diagnosis.right)))
        self.replica.state = follower.state

    @rule(data=st.data())
    def look_again(self, data: st.DataObject) -> None:
        self.replica.retry(Served(data), TODAY)

    @rule()
    def restart(self) -> None:
        self.replica.restart()

    @rule()
    def back_up(self) -> None:
        self.backups.append(deepcopy(self.replica))

    @rule(data=st.data())
    def go_on_from_a_backup(self, data: st.DataObject) -> None:
        if self.backups:
            self.replica = deepcopy(data.draw(st.sampled_from(self.backups)))
            self.replica.restart()

    @invariant()
    def the_victim_is_not_convicted(self) -> None:
        if hasattr(self, "replica"):
            assert self.replica.follower.state.evidence is None
            assert self.replica.state.evidence is None
            assert [row.note for row in self.replica.rows.values()] == HONEST.notes[
                : self.replica.state.size
            ]

    def teardown(self) -> None:
        """In the end the log is followed whole, whatever was served before."""
        if hasattr(self, "replica"):
            self.replica.offer(HONEST.checkpoint())
            while self.replica.step(HONEST, TODAY):
                pass
            self.replica.retry(HONEST, TODAY)
            assert self.replica.state.checkpoint == HONEST.checkpoint()
            assert len(self.replica.rows) == SIZE


class Served:
    """The liar's answers."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def checkpoint(self) -> bytes:
        return self._data.draw(notes())

    def entries(self, start: int, end: int) -> list[bytes]:
        log = self._data.draw(st.sampled_from([HONEST, HONEST, *INVENTED]))
        served = log.entries(start, end)
        return served[1:] if self._data.draw(st.integers(0, 9)) == 0 else served

    def bodies(self, start: int, end: int) -> list[BodyAnswer]:
        other = HONEST.answers[self._data.draw(st.integers(0, SIZE - 1))]
        lies = st.sampled_from([None, None, ERASED, MISSING, other])
        return [self._data.draw(lies) or answer for answer in HONEST.bodies(start, end)]

    def nodes(self, addresses: Sequence[NodeAddress]) -> list[bytes]:
        return self._data.draw(hashes(addresses))


TestFraming = Framing.TestCase
TestFraming.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_nothing_that_a_liar_assembles_is_evidence(data: st.DataObject) -> None:
    first, second = data.draw(notes()), data.draw(notes())
    a, b = sorted(_claimed_size(note) for note in (first, second))
    evidence = Evidence(
        data.draw(st.sampled_from(EvidenceKind)),
        VICTIM.name,
        first,
        second,
        tuple(data.draw(hashes(range_nodes(0, a)))),
        tuple(data.draw(hashes(range_nodes(a, b)))),
    )
    if data.draw(st.booleans()):
        evidence = replace(evidence, left=(), right=())
    with pytest.raises(MeshError):
        verify_evidence(MESH, evidence)
    with pytest.raises(MeshError):
        split_evidence(MESH, VICTIM.name, first, second)
    with suppress(MeshError):
        log = OrgLog(WORLD, LIAR)
        log.append(Kind.EVIDENCE, bytes(32), compose_accusation(evidence))
        entry = assess(MESH, LIAR.card, 0, log.notes[0], log.answers[0], TODAY)
        assert entry.outcome is Outcome.REFUSED
        assert entry.evidence is None


def _claimed_size(note: bytes) -> int:
    try:
        return min(int(note.split(b"\n")[1]), SIZE)
    except (IndexError, ValueError, ProofsError):
        return 0
