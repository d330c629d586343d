from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.assessment import Assessed, Outcome, VerdictCountError
from mesh.evidence import Evidence, EvidenceKind, verify_evidence
from mesh.follower import MAX_SEGMENT, LogFollower
from mesh.following import (
    CheckedSegment,
    CheckpointSignatureError,
    CheckpointSizeError,
    EmptyRootError,
    FollowerState,
    FollowerStateError,
    ForkError,
    SegmentMismatchError,
    ShrunkLogError,
    StaleSegmentError,
    SuspendedLogError,
    TileMismatchError,
)
from mesh.testing import TODAY, OrgLog, ProofChecker, Replica, follow, make_mesh
from mesh.wire import MISSING, Present
from proofs.errors import ProofsError
from proofs.frontier import Frontier
from proofs.merkle import EMPTY_ROOT, range_nodes
from proofs.note import add_signatures

WORLD = make_mesh(4)
MESH = WORLD.mesh
CARD = WORLD.member(0).card
PROOFS = ProofChecker()


class ProofRefused(ProofsError):
    """A verdict of the tests."""


def opaque_log(length: int, tag: str = "") -> OrgLog:
    """A log of entries that are refused one by one: cheap, and the tree is a tree."""
    log = OrgLog(WORLD, 0)
    grow(log, length, tag)
    return log


def grow(log: OrgLog, length: int, tag: str = "") -> None:
    for index in range(log.size, length):
        log.append_note(f"entry {index} {tag}".encode())


def branch(log: OrgLog, at: int, length: int) -> OrgLog:
    other = log.fork(at)
    grow(other, length, "on another branch")
    return other


def follower(
    state: FollowerState | None = None,
    *,
    segment: int = MAX_SEGMENT,
    signals: Sequence[str] = (),
    entries: Sequence[str] = (),
) -> LogFollower:
    return LogFollower(
        MESH,
        CARD,
        state or FollowerState.empty(),
        holds_signal=signals.__contains__,
        holds_entry=entries.__contains__,
        segment=segment,
    )


def fetched(log: OrgLog, at: LogFollower) -> CheckedSegment:
    segment = at.next_segment()
    assert segment is not None
    return at.check(
        segment,
        log.entries(segment.start, segment.end),
        log.bodies(segment.start, segment.end),
        log.nodes(segment.tail),
        TODAY,
    )


def step(log: OrgLog, at: LogFollower) -> tuple[Assessed, ...]:
    checked = fetched(log, at)
    return at.conclude(checked, PROOFS(checked.claims))


def followed(log: OrgLog, size: int | None = None) -> LogFollower:
    """A follower that has reached the first `size` entries of a log."""
    reached = follower()
    reached.offer(log.checkpoint(size))
    while reached.next_segment() is not None:
        step(log, reached)
    return reached


def halfway(log: OrgLog, done: int, target: int, checkpoint: int | None = None) -> LogFollower:
    """A follower on its way: `checkpoint` reached, `done` processed, `target` being followed."""
    state = FollowerState(
        size=done,
        frontier=log.frontier(done),
        checkpoint=None if checkpoint is None else log.checkpoint(checkpoint),
        target=log.checkpoint(target),
    )
    return follower(state)


# --- following ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_log_is_followed_whole_whatever_its_growth_and_the_segments(data: st.DataObject) -> None:
    sizes = sorted(data.draw(st.sets(st.integers(1, 700), min_size=1, max_size=4)))
    at = follower(
        segment=data.draw(
            st.sampled_from([1, 7, 100, 255, 256])
            if sizes[-1] < 80
            else st.sampled_from([100, 255, 256])
        )
    )
    log = BIG
    seen: list[Assessed] = []
    for size in sizes:
        assert at.offer(log.checkpoint(size))
        while (segment := at.next_segment()) is not None:
            assert segment.start == at.state.size
            assert 0 < segment.end - segment.start <= MAX_SEGMENT
            seen += step(log, at)
            # What is on disk is enough to go on from.
            at = follower(at.state) if data.draw(st.booleans()) else at
        assert at.state == FollowerState(size, log.frontier(size), log.checkpoint(size))
    assert [entry.index for entry in seen] == list(range(sizes[-1]))
    assert [entry.note for entry in seen] == log.notes[: sizes[-1]]


BIG = opaque_log(700)


def test_segments_end_where_bundles_do_but_the_last_may_span_two() -> None:
    at = follower()
    at.offer(BIG.checkpoint(10))
    step(BIG, at)
    at.offer(BIG.checkpoint(700))
    ends = []
    while (segment := at.next_segment()) is not None:
        ends.append(segment.end)
        assert segment.tail == range_nodes(segment.end, 700)
        assert segment.size == 700
        step(BIG, at)
    assert ends == [256, 512, 700]
    at = follower(followed(BIG, 500).state)
    at.offer(BIG.checkpoint(700))
    last = at.next_segment()
    assert last is not None
    assert (last.start, last.end) == (500, 700)


def test_a_segment_size_is_bounded() -> None:
    for size in (0, 257):
        with pytest.raises(ValueError, match="1 to 256"):
            follower(segment=size)


def test_bad_entries_never_stop_the_feed() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signal()
    log.append_note(b"\xff\x00 no note")
    log.append_unknown()
    log.append_signal()
    log.withhold_body(3)
    log.append_note(b"x" * 70_000)
    log.append_signal()
    log.erase_body(5)
    last = log.append_signal()
    results = follow(follower(), log)
    assert [entry.outcome.value for entry in results] == [
        "accepted",
        "refused",
        "deferred",
        "deferred",
        "refused",
        "lapsed",
        "accepted",
    ]
    assert results[-1].entry_id == last


def test_a_peers_bodies_are_judged_on_the_day_handed_in() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signal(expires=TODAY)
    at = follower()
    at.offer(log.checkpoint())
    segment = at.next_segment()
    assert segment is not None
    for day, outcome in ((TODAY, Outcome.ACCEPTED), (TODAY + 1, Outcome.LAPSED)):
        checked = at.check(segment, log.notes, log.answers, (), type(TODAY)(day))
        assert checked.assessed[0].outcome is outcome


def test_claims_come_in_the_entries_order_and_verdicts_go_back_so() -> None:
    log = OrgLog(WORLD, 0)
    for _ in range(3):
        log.append_signal()
        log.append_note(b"in between")
    at = follower()
    at.offer(log.checkpoint())
    checked = fetched(log, at)
    assert len(checked.claims) == 3
    for verdicts in ([], [None] * 4):
        with pytest.raises(VerdictCountError):
            at.conclude(checked, verdicts)
    assert at.state.size == 0
    refusal = ProofRefused("told so")
    settled = at.conclude(checked, [None, refusal, None])
    assert [entry.outcome.value for entry in settled[::2]] == ["accepted", "refused", "accepted"]
    assert settled[2].error == "ProofRefused"


def test_nothing_moves_before_the_segment_is_concluded() -> None:
    log = opaque_log(5)
    at = follower()
    at.offer(log.checkpoint())
    before = at.state
    checked = fetched(log, at)
    assert at.state == before
    at.conclude(checked, ())
    assert at.state.size == 5


def test_duplicates_and_targets_are_asked_of_the_store() -> None:
    log = OrgLog(WORLD, 0)
    target = log.append_signal()
    log.append_retraction(target)
    step_one = follower(segment=1)
    step_one.offer(log.checkpoint())
    step(log, step_one)
    knows = follower(step_one.state, segment=1, signals=[target])
    assert step(log, knows)[0].outcome is Outcome.ACCEPTED
    knows_not = follower(step_one.state, segment=1)
    assert step(log, knows_not)[0].error == "UnknownTargetError"
    again = follower(segment=1, entries=[target])
    again.offer(log.checkpoint())
    assert step(log, again)[0].error == "DuplicateEntryError"


# --- what is served must hash to the signed root --------------------------------------------------

Serve = Callable[[list[bytes], list[bytes]], tuple[list[bytes], list[bytes]]]


def _swap(items: list[bytes]) -> list[bytes]:
    return [items[1], items[0], *items[2:]]


@pytest.mark.parametrize(
    "alter",
    [
        lambda entries, tail: ([b"forged", *entries[1:]], tail),
        lambda entries, tail: ([*entries[:-1], b"forged"], tail),
        lambda entries, tail: (_swap(entries), tail),
        lambda entries, tail: (entries[1:], tail),
        lambda entries, tail: (entries[:-1], tail),
        lambda entries, tail: ([*entries, b"one more"], tail),
        lambda entries, tail: ([], tail),
        lambda entries, tail: (entries, [bytes(32), *tail[1:]]),
        lambda entries, tail: (entries, _swap(tail)),
        lambda entries, tail: (entries, tail[1:]),
        lambda entries, tail: (entries, [*tail, tail[-1]]),
        lambda entries, tail: (entries, []),
        lambda entries, tail: (entries, [tail[0][:31], tail[0][31:] + tail[1], *tail[2:]]),
    ],
)
def test_wrong_bytes_change_nothing_and_lose_nothing(alter: Serve) -> None:
    at = halfway(BIG, 20, 700, checkpoint=20)
    segment = at.next_segment()
    assert segment is not None
    before = at.state
    entries, tail = alter(BIG.entries(segment.start, segment.end), BIG.nodes(segment.tail))
    with pytest.raises(SegmentMismatchError):
        at.check(segment, entries, [MISSING] * len(entries), tail, TODAY)
    assert at.state == before
    assert len(step(BIG, at)) == segment.end - segment.start


def test_there_must_be_a_body_answer_for_each_entry() -> None:
    at = halfway(BIG, 20, 700)
    segment = at.next_segment()
    assert segment is not None
    entries = BIG.entries(segment.start, segment.end)
    for count in (len(entries) - 1, len(entries) + 1):
        with pytest.raises(SegmentMismatchError):
            at.check(segment, entries, [MISSING] * count, BIG.nodes(segment.tail), TODAY)
    for others in (entries[:-1], [*entries, b"one more"]):
        with pytest.raises(SegmentMismatchError):
            at.check(segment, others, [MISSING] * len(entries), BIG.nodes(segment.tail), TODAY)


def test_valid_signals_that_are_not_in_the_log_are_not_accepted() -> None:
    log, other = OrgLog(WORLD, 0), OrgLog(WORLD, 0)
    log.append_signals(2)
    other.append_signals(1)
    at = follower()
    at.offer(log.checkpoint())
    segment = at.next_segment()
    assert segment is not None
    entries = [other.notes[0], other.notes[0]]
    with pytest.raises(SegmentMismatchError):
        at.check(segment, entries, [other.answers[0]] * 2, (), TODAY)


def test_a_segment_binds_the_log_to_all_that_was_processed_before() -> None:
    at = followed(BIG, 300)
    other = branch(BIG, 299, 400)
    assert at.offer(other.checkpoint())
    with pytest.raises(SegmentMismatchError):
        fetched(other, at)
    with pytest.raises(SegmentMismatchError):
        fetched(BIG, at)
    assert at.state.size == 300


def test_a_segment_of_another_state_is_stale() -> None:
    at = follower()
    at.offer(BIG.checkpoint(700))
    old = at.next_segment()
    assert old is not None
    checked = fetched(BIG, at)
    at.conclude(checked, ())
    with pytest.raises(StaleSegmentError):
        at.conclude(checked, ())
    with pytest.raises(StaleSegmentError):
        at.check(old, BIG.entries(0, 256), [MISSING] * 256, BIG.nodes(old.tail), TODAY)
    assert at.state.size == 256


def test_a_reached_log_has_no_segment_and_takes_none() -> None:
    at = followed(BIG, 200)
    earlier = halfway(BIG, 100, 200)
    segment = earlier.next_segment()
    assert segment is not None
    assert at.next_segment() is None
    with pytest.raises(StaleSegmentError):
        at.check(segment, BIG.entries(100, 200), [MISSING] * 100, (), TODAY)


# --- checkpoints ----------------------------------------------------------------------------------


def test_an_offer_says_whether_there_is_something_to_follow() -> None:
    at = follower()
    assert at.offer(BIG.checkpoint(3))
    assert at.offer(BIG.checkpoint(3))
    assert at.known_size == 3
    step(BIG, at)
    assert not at.offer(BIG.checkpoint(3))
    assert at.offer(BIG.checkpoint(4), pushed=True)
    assert at.known_size == 4


def test_an_empty_log_is_known_and_then_grows() -> None:
    log = opaque_log(0)
    at = follower()
    assert not at.offer(log.checkpoint())
    assert at.state.checkpoint == log.checkpoint()
    at = follower(at.state)
    assert at.next_segment() is None
    grow(log, 2)
    assert at.offer(log.checkpoint())
    step(log, at)
    assert at.state.checkpoint == log.checkpoint(2)


@pytest.mark.parametrize("pushed", [False, True])
def test_what_the_log_did_not_sign_changes_nothing(pushed: bool) -> None:
    at = followed(BIG, 5)
    before = at.state
    other = OrgLog(WORLD, 1)
    other.append_note(b"x")
    for note in (
        b"",
        b"\xff",
        other.checkpoint(),
        BIG.checkpoint(9).replace(b"\n9\n", b"\n8\n"),
        BIG.checkpoint(9).replace(CARD.name.encode(), b"other.example"),
    ):
        with pytest.raises(CheckpointSignatureError):
            at.offer(note, pushed=pushed)
    assert at.state == before
    assert at.offer(BIG.checkpoint(9))


def test_a_checkpoint_of_the_same_member_in_another_mesh_is_refused() -> None:
    elsewhere = OrgLog(make_mesh(5), 0)
    assert elsewhere.name == CARD.name
    elsewhere.append_note(b"x")
    with pytest.raises(CheckpointSignatureError):
        follower().offer(elsewhere.checkpoint())


def test_a_checkpoint_may_carry_cosignatures_but_not_without_bound() -> None:
    cosigned = add_signatures(BIG.checkpoint(6), [WORLD.member(2).witness])
    at = follower()
    assert at.offer(cosigned)
    step(BIG, at)
    assert at.state.checkpoint == cosigned
    many = BIG.checkpoint(7) + b"".join(
        b"\xe2\x80\x94 witness%d.example " % i + b"AAAAAAAA" * 60 + b"\n" for i in range(40)
    )
    with pytest.raises(CheckpointSignatureError, match="at most"):
        at.offer(many)


def test_impossible_checkpoints_change_nothing() -> None:
    at = follower()
    with pytest.raises(EmptyRootError):
        at.offer(BIG.sign_root(0, bytes(32)))
    with pytest.raises(CheckpointSizeError):
        at.offer(BIG.sign_root(2**53, bytes(32)))
    assert at.state == FollowerState.empty()
    assert at.offer(BIG.sign_root(2**53 - 1, bytes(32)))
    segment = at.next_segment()
    assert segment is not None
    assert len(segment.tail) <= 2 * 53


def test_a_newer_checkpoint_waits_until_the_older_one_is_reached() -> None:
    at = follower()
    at.offer(BIG.checkpoint(300))
    step(BIG, at)
    assert at.offer(BIG.checkpoint(700))
    assert at.known_size == 700
    assert at.state.target == BIG.checkpoint(300)
    step(BIG, at)
    assert at.state.checkpoint == BIG.checkpoint(300)
    assert at.state.target == BIG.checkpoint(700)
    while at.next_segment() is not None:
        step(BIG, at)
    assert at.state.checkpoint == BIG.checkpoint(700)


# --- equivocation ---------------------------------------------------------------------------------


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
            lambda suspect=suspect: suspect.offer(BIG.checkpoint(699), pushed=True),
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


@pytest.mark.parametrize("pushed", [False, True])
@pytest.mark.parametrize("where", ["checkpoint", "target", "latest"])
def test_two_roots_of_one_size_are_a_fork_however_they_arrive(pushed: bool, where: str) -> None:
    other = branch(BIG, 50, 400)
    at = halfway(BIG, 100, 200, checkpoint=60)
    at.offer(BIG.checkpoint(300))
    size = {"checkpoint": 60, "target": 200, "latest": 300}[where]
    with pytest.raises(ForkError) as caught:
        at.offer(other.checkpoint(size), pushed=pushed)
    assert suspended(at, EvidenceKind.SPLIT) == caught.value.evidence
    verify_evidence(MESH, caught.value.evidence)
    assert caught.value.evidence.first == BIG.checkpoint(size)
    assert caught.value.evidence.second == other.checkpoint(size)


@pytest.mark.parametrize("where", ["checkpoint", "target", "latest"])
def test_an_older_checkpoint_as_the_newest_is_a_shrunk_log(where: str) -> None:
    match where:
        case "checkpoint":
            at, known = followed(BIG, 60), 60
        case "target":
            at, known = halfway(BIG, 100, 200, checkpoint=60), 200
        case _:
            at, known = halfway(BIG, 100, 200, checkpoint=60), 300
            at.offer(BIG.checkpoint(300))
    with pytest.raises(ShrunkLogError) as caught:
        at.offer(BIG.checkpoint(known - 1))
    evidence = suspended(at, EvidenceKind.SHRINK)
    assert caught.value.evidence == evidence
    assert (evidence.first, evidence.second) == (BIG.checkpoint(known), BIG.checkpoint(known - 1))


def test_a_known_checkpoint_that_was_left_behind_is_a_shrunk_log_too() -> None:
    at = halfway(BIG, 100, 200, checkpoint=60)
    with pytest.raises(ShrunkLogError):
        at.offer(BIG.checkpoint(60))


@pytest.mark.parametrize("size", [0, 40, 60, 100, 150])
def test_a_pushed_checkpoint_that_was_overtaken_is_ignored(size: int) -> None:
    at = halfway(BIG, 100, 200, checkpoint=60)
    before = at.state
    assert at.offer(BIG.checkpoint(size), pushed=True)
    assert at.state == before
    reached = followed(BIG, 200)
    assert not reached.offer(BIG.checkpoint(size), pushed=True)
    assert reached.state.evidence is None


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
    at.offer(BIG.checkpoint(400), pushed=True)
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


# --- looking again --------------------------------------------------------------------------------


def test_a_body_that_comes_later_is_accepted_then() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signals(2)
    answer = log.withhold_body(0)
    replica = Replica(MESH, CARD, check_proofs=PROOFS)
    replica.offer(log.checkpoint())
    replica.step(log, TODAY)
    state = replica.follower.state
    checked = replica.follower.reassess([(0, log.notes[0], answer)], TODAY)
    assert len(checked.claims) == 1
    (entry,) = replica.follower.conclude(checked, PROOFS(checked.claims))
    assert (entry.index, entry.outcome) == (0, Outcome.ACCEPTED)
    assert replica.follower.state == state
    refused = ProofRefused("no")
    (entry,) = replica.follower.conclude(checked, [refused])
    assert entry.error == "ProofRefused"


def test_a_retraction_that_comes_later_needs_its_target_too() -> None:
    log = OrgLog(WORLD, 0)
    target = log.append_signal()
    log.append_retraction(target)
    log.append_retraction("ab" * 32)
    items = [(index, log.notes[index], log.answers[index]) for index in (2, 1)]
    at = follower(signals=[target], entries=[target])
    at.offer(log.checkpoint())
    settled = at.conclude(at.reassess(items, TODAY), ())
    assert [entry.index for entry in settled] == [1, 2], "in the log's order"
    assert settled[0].outcome is Outcome.ACCEPTED
    assert settled[1].error == "UnknownTargetError"


def test_wrong_bytes_are_not_accepted_by_asking_again() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signal()
    at = follower()
    answer = log.answers[0]
    assert isinstance(answer, Present)
    wrong = Present(answer.salt, answer.body + b" ")
    (entry,) = at.conclude(at.reassess([(0, log.notes[0], wrong)], TODAY), ())
    assert entry.error == "BodyDigestError"


# --- stored states --------------------------------------------------------------------------------


def test_a_state_that_contradicts_itself_is_not_followed() -> None:
    good = halfway(BIG, 100, 200, checkpoint=60).state
    assert follower(good).next_segment() is not None
    for damaged in (
        replace(good, size=99),
        replace(good, frontier=BIG.frontier(99)),
        replace(good, checkpoint=BIG.checkpoint(101)),
        replace(good, target=BIG.checkpoint(100)),
        replace(good, target=BIG.checkpoint(50)),
        replace(good, target=None),
        replace(good, checkpoint=b"rubbish"),
        replace(good, target=b"rubbish"),
        replace(good, checkpoint=BIG.checkpoint(60).replace(b"\n60\n", b"\n61\n")),
        replace(good, target=None, checkpoint=branch(BIG, 9, 100).checkpoint()),
        replace(FollowerState.empty(), size=1),
    ):
        with pytest.raises(FollowerStateError):
            follower(damaged)


def test_the_empty_state_is_that_of_an_empty_tree() -> None:
    assert FollowerState.empty().frontier == Frontier(0, ())
    assert FollowerState.empty().frontier.root() == EMPTY_ROOT


def test_what_a_follower_shows_holds_no_bodies() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signal()
    at = follower()
    at.offer(log.checkpoint())
    checked = fetched(log, at)
    answer = log.answers[0]
    assert isinstance(answer, Present)
    assert repr(answer.body)[2:40] not in repr(checked)


def test_a_long_backlog_of_is_followed_a_segment_at_a_time() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signals(2_000)
    replica = Replica(MESH, CARD, check_proofs=PROOFS)
    replica.offer(log.checkpoint())
    most = 0
    while (segment := replica.follower.next_segment()) is not None:
        most = max(most, segment.end - segment.start)
        assert replica.step(log, TODAY)
    assert most == MAX_SEGMENT
    assert Counter(row.outcome for row in replica.rows.values()) == {Outcome.ACCEPTED: 2_000}
    assert len(replica.live()) == 2_000
