"""A log that signs two histories is convicted, by evidence; nothing else convicts one."""

from collections.abc import Callable, Sequence

import pytest
from follower_support import (
    BIG,
    CARD,
    MESH,
    WORLD,
    branch,
    fetched,
    followed,
    follower,
    halfway,
    opaque_log,
    step,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.evidence import Evidence, EvidenceKind, verify_evidence
from mesh.follower import LogFollower
from mesh.following import (
    CheckedSegment,
    FollowerStateError,
    ForkError,
    SegmentMismatchError,
    StaleSegmentError,
    SuspendedLogError,
    TileMismatchError,
)
from mesh.testing import TODAY, OrgLog
from mesh.wire import MISSING
from proofs.merkle import NodeAddress


def suspended(at: LogFollower, kind: EvidenceKind) -> Evidence:
    """Check that a log is suspended, that this survives a restart, and what is kept."""
    evidence = at.state.evidence
    assert evidence is not None
    assert evidence.kind is kind
    assert evidence.log == CARD.name
    for suspect in (at, follower(at.state)):
        before = suspect.state
        calls: list[Callable[[], object]] = [
            lambda suspect=suspect: suspect.offer(BIG.checkpoint(699)),
            lambda suspect=suspect: suspect.offer(BIG.checkpoint(1)),
            lambda suspect=suspect: suspect.next_segment(),
            lambda suspect=suspect: suspect.reassess([(0, BIG.notes[0], MISSING)], TODAY),
            lambda suspect=suspect: suspect.conclude(CheckedSegment((), (), None, None), ()),
            lambda suspect=suspect: suspect.diagnosis(),
            lambda suspect=suspect: suspect.diagnose((), ()),
        ]
        for call in calls:
            with pytest.raises(SuspendedLogError) as caught:
                call()
            assert caught.value.evidence == evidence
        assert suspect.state == before
    return evidence


@pytest.mark.parametrize("cosigned", [False, True])
@pytest.mark.parametrize("where", ["checkpoint", "target", "latest"])
def test_two_roots_of_one_size_are_a_fork_however_they_arrive(cosigned: bool, where: str) -> None:
    other = branch(BIG, 50, 400)
    at = halfway(BIG, 100, 200, checkpoint=60)
    at.offer(BIG.checkpoint(300))
    size = {"checkpoint": 60, "target": 200, "latest": 300}[where]
    with pytest.raises(ForkError) as caught:
        at.offer(other.certificate(size) if cosigned else other.checkpoint(size))
    assert suspended(at, EvidenceKind.SPLIT) == caught.value.evidence
    verify_evidence(MESH, caught.value.evidence)
    assert caught.value.evidence.first == BIG.checkpoint(size)
    assert caught.value.evidence.second == other.checkpoint(size)


@pytest.mark.parametrize("size", [0, 40, 60, 100, 150, 200, 250])
def test_an_older_checkpoint_is_old_news(size: int) -> None:
    at = halfway(BIG, 100, 200, checkpoint=60)
    at.offer(BIG.checkpoint(300))
    before = at.state
    assert at.offer(BIG.checkpoint(size))
    assert at.state == before
    reached = followed(BIG, 300)
    assert not reached.offer(BIG.checkpoint(size))
    assert reached.state.evidence is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_an_older_checkpoint_of_another_history_convicts_from_what_is_held(
    data: st.DataObject,
) -> None:
    at_size = data.draw(st.integers(0, 298))
    a = data.draw(st.integers(at_size + 1, 299))
    b = data.draw(st.integers(a + 1, 300))
    at = followed(BIG, b)
    other = branch(BIG, at_size, 299)
    for shared in {0, at_size, at_size // 2}:
        at.offer(other.checkpoint(shared))
    with pytest.raises(ForkError) as caught:
        at.offer(other.certificate(a))
    evidence = suspended(at, EvidenceKind.FORK)
    assert caught.value.evidence == evidence
    assert (evidence.first, evidence.second) == (other.checkpoint(a), BIG.checkpoint(b))
    verify_evidence(MESH, evidence)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_backlog_under_way_convicts_as_far_as_something_signed_covers_it(
    data: st.DataObject,
) -> None:
    reached = data.draw(st.integers(1, 200))
    target = data.draw(st.integers(reached + 30, 300))
    segment = data.draw(st.sampled_from([7, 16]))
    at = follower(followed(BIG, reached).state, segment=segment)
    at.offer(BIG.checkpoint(target))
    step(BIG, at)
    other = branch(BIG, 0, 300)
    size = at.state.size
    a = data.draw(st.integers(1, size))
    again = follower(at.state)
    with pytest.raises(ForkError) as caught:
        at.offer(other.checkpoint(a))
    verify_evidence(MESH, caught.value.evidence)
    if a < reached:
        assert caught.value.evidence.second == BIG.checkpoint(reached)
    # After a restart the hashes beyond what is held are gone, and with them the proof, till later.
    if reached < a:
        assert caught.value.evidence.second == BIG.checkpoint(target)
        assert again.offer(other.checkpoint(a))
        while again.next_segment() is not None:
            step(BIG, again)
    with pytest.raises(ForkError):
        again.offer(other.checkpoint(a))


def test_beyond_what_is_held_an_older_checkpoint_is_left_for_later() -> None:
    at = halfway(BIG, 100, 200, checkpoint=60)
    other = branch(BIG, 50, 400)
    before = at.state
    assert at.offer(other.checkpoint(150))
    assert at.state == before
    while at.next_segment() is not None:
        step(BIG, at)
    with pytest.raises(ForkError):
        at.offer(other.checkpoint(150))


class Damaged:
    """A tree with one flipped bit in what is read, or one node too few or too many."""

    def __init__(self, tree: OrgLog, how: str) -> None:
        self._tree = tree
        self._how = how

    def nodes(self, addresses: Sequence[NodeAddress]) -> list[bytes]:
        read = self._tree.nodes(addresses)
        match self._how:
            case "flip":
                read[0] = bytes([read[0][0] ^ 1]) + read[0][1:]
            case "short":
                read[0] = read[0][:-1]
            case "fewer":
                del read[0]
            case _:
                read.append(bytes(32))
        return read


@pytest.mark.parametrize("how", ["flip", "short", "fewer", "more"])
@pytest.mark.parametrize("state", ["reached", "under way"])
def test_a_damaged_disk_here_convicts_nobody(how: str, state: str) -> None:
    whole = followed(BIG, 300).state
    under_way = follower(followed(BIG, 200).state, tree=Damaged(BIG, how), segment=64)
    under_way.offer(BIG.checkpoint(300))
    step(BIG, under_way)
    at = under_way if state == "under way" else follower(whole, tree=Damaged(BIG, how))
    before = at.state
    for older in (BIG, branch(BIG, 50, 400)):
        for size in (100, 203, 210):
            with pytest.raises(FollowerStateError):
                at.offer(older.checkpoint(size))
    assert at.state == before


def diagnosed(at: LogFollower, tree: OrgLog) -> Evidence | None:
    diagnosis = at.diagnosis()
    assert diagnosis is not None
    assert diagnosis.size == follower_size(diagnosis.second)
    return at.diagnose(tree.nodes(diagnosis.left), tree.nodes(diagnosis.right))


def follower_size(note: bytes) -> int:
    return int(note.split(b"\n")[1])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_fork_across_sizes_is_found_and_convinces_anybody(data: st.DataObject) -> None:
    a = data.draw(st.integers(1, 299))
    at_size = data.draw(st.integers(0, a - 1))
    b = data.draw(st.integers(a + 1, 300))
    other = branch(BIG, at_size, b)
    at = followed(BIG, a)
    at.offer(other.checkpoint(b))
    with pytest.raises(SegmentMismatchError):
        fetched(other, at)
    evidence = diagnosed(at, other)
    assert evidence is not None
    verify_evidence(MESH, evidence)
    assert suspended(at, EvidenceKind.FORK) == evidence


def test_a_fork_from_the_target_is_found_while_it_is_out_of_reach() -> None:
    # The owner signs 500, never serves it whole, and goes on with another history.
    at = followed(BIG, 256)
    at.offer(BIG.checkpoint(600))
    step(BIG, at)  # 512 of 600 are processed
    other = branch(BIG, 550, 700)
    at.offer(other.checkpoint())
    with pytest.raises(SegmentMismatchError):
        fetched(other, at)
    evidence = diagnosed(at, other)
    assert evidence is not None
    assert evidence.first == BIG.checkpoint(600)
    verify_evidence(MESH, evidence)
    suspended(at, EvidenceKind.FORK)


def test_both_doubtful_pairs_are_diagnosed_in_turn() -> None:
    # Reached 100; 200 was signed on another branch and is the target; 300 continues that branch.
    other = branch(BIG, 90, 300)
    at = followed(BIG, 100)
    at.offer(other.checkpoint(200))
    at.offer(other.checkpoint(300))
    pairs = set()
    for _ in range(2):
        diagnosis = at.diagnosis()
        assert diagnosis is not None
        pairs.add((follower_size(diagnosis.first), follower_size(diagnosis.second)))
    assert pairs == {(100, 200), (200, 300)}
    found = [diagnosed(at, other) or diagnosed(at, other)]
    assert found[0] is not None
    assert found[0].first == BIG.checkpoint(100)


def test_an_honest_log_survives_any_diagnosis() -> None:
    at = followed(BIG, 100)
    at.offer(BIG.checkpoint(300))
    at.offer(BIG.checkpoint(700))
    before = at.state
    for _ in range(4):
        assert diagnosed(at, BIG) is None
    assert at.state == before
    step(BIG, at)


def test_only_what_is_not_proven_yet_is_diagnosed() -> None:
    assert follower().diagnosis() is None
    first = follower()
    first.offer(BIG.checkpoint(300))
    assert first.diagnosis() is None, "nothing signed to compare with"
    assert halfway(BIG, 256, 300, checkpoint=200).diagnosis() is None, "300 begins with 200"
    empty = follower()
    empty.offer(opaque_log(0).checkpoint())
    empty.offer(BIG.checkpoint(300))
    assert empty.diagnosis() is None


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_wrong_nodes_in_a_diagnosis_show_nothing(data: st.DataObject) -> None:
    a = data.draw(st.integers(1, 299))
    b = data.draw(st.integers(a + 1, 300))
    at = followed(BIG, a)
    at.offer(BIG.checkpoint(b))
    before = at.state
    diagnosis = at.diagnosis()
    assert diagnosis is not None
    left, right = BIG.nodes(diagnosis.left), BIG.nodes(diagnosis.right)
    nodes = [*left, *right]
    place = data.draw(st.integers(0, len(nodes) - 1))
    match data.draw(st.sampled_from(["replace", "shorten", "drop", "add"])):
        case "replace":
            nodes[place] = data.draw(st.binary(min_size=32, max_size=32))
        case "shorten":
            nodes[place] = nodes[place][:-1]
        case "drop":
            del nodes[place]
        case _:
            nodes.insert(place, bytes(32))
    with pytest.raises(TileMismatchError):
        at.diagnose(nodes[: len(left)], nodes[len(left) :])
    assert at.state == before
    assert diagnosed(at, BIG) is None


def test_an_answer_belongs_to_the_diagnosis_that_was_asked() -> None:
    at = followed(BIG, 100)
    at.offer(BIG.checkpoint(300))
    with pytest.raises(StaleSegmentError):
        at.diagnose((), ())
    diagnosis = at.diagnosis()
    assert diagnosis is not None
    left, right = BIG.nodes(diagnosis.left), BIG.nodes(diagnosis.right)
    at.offer(BIG.checkpoint(400))
    assert at.diagnose(left, right) is None
    with pytest.raises(StaleSegmentError):
        at.diagnose(left, right)


def test_a_verdict_that_comes_after_the_conviction_changes_nothing() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signal()
    other = log.fork(0)
    other.append_signal()
    at = follower()
    at.offer(log.checkpoint())
    checked = fetched(log, at)
    with pytest.raises(ForkError):
        at.offer(other.checkpoint())
    with pytest.raises(SuspendedLogError):
        at.conclude(checked, [None])
    assert at.state.size == 0
