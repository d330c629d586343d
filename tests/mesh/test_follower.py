from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from follower_support import (
    BIG,
    CARD,
    MESH,
    PROOFS,
    WORLD,
    branch,
    fetched,
    followed,
    follower,
    grow,
    halfway,
    opaque_log,
    step,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.assessment import Assessed, Outcome, VerdictCountError
from mesh.follower import MAX_SEGMENT
from mesh.following import (
    CheckpointSignatureError,
    CheckpointSizeError,
    CheckpointTextError,
    EmptyRootError,
    FollowerState,
    FollowerStateError,
    SegmentMismatchError,
    StaleSegmentError,
)
from mesh.testing import TODAY, OrgLog, Replica, Rows, follow, make_mesh
from mesh.wire import MISSING, Present
from proofs.errors import ProofsError
from proofs.frontier import Frontier
from proofs.merkle import EMPTY_ROOT, range_nodes
from proofs.note import add_signatures, sign_note


class ProofRefused(ProofsError):
    """A verdict of the tests."""


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
    log.append_retraction(log.append_signal())
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
    rows = Rows()
    step_one = follower(history=rows, segment=1)
    step_one.offer(log.checkpoint())
    rows.append(step(log, step_one))
    knows = follower(step_one.state, history=rows, segment=1)
    assert step(log, knows)[0].outcome is Outcome.ACCEPTED
    knows_not = follower(step_one.state, segment=1)
    assert step(log, knows_not)[0].error == "UnknownTargetError"
    again = follower(history=rows, segment=1)
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
    assert at.offer(BIG.checkpoint(4))
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


def test_what_the_log_did_not_sign_changes_nothing() -> None:
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
            at.offer(note)
    assert at.state == before
    assert at.offer(BIG.checkpoint(9))


def test_a_checkpoint_of_the_same_member_in_another_mesh_is_refused() -> None:
    elsewhere = OrgLog(make_mesh(5), 0)
    assert elsewhere.name == CARD.name
    elsewhere.append_note(b"x")
    with pytest.raises(CheckpointSignatureError):
        follower().offer(elsewhere.checkpoint())


def test_cosignatures_are_dropped_whoever_made_them() -> None:
    at = follower()
    assert at.offer(add_signatures(BIG.checkpoint(6), [WORLD.member(2).card_witness]))
    assert at.state.target == BIG.checkpoint(6)
    step(BIG, at)
    assert at.state.checkpoint == BIG.checkpoint(6)
    assert at.offer(BIG.certificate(7))
    assert at.state.target == BIG.checkpoint(7)
    before = at.state
    assert at.offer(BIG.certificate(6))
    assert at.state == before


def test_a_stored_state_with_cosignatures_is_taken_without_them() -> None:
    state = halfway(BIG, 100, 200, checkpoint=60).state
    cosigned = replace(state, checkpoint=BIG.certificate(60), target=BIG.certificate(200))
    assert follower(cosigned).state == state


def test_a_checkpoint_is_bounded() -> None:
    many = BIG.checkpoint(7) + b"".join(
        b"\xe2\x80\x94 witness%d.example " % i + b"AAAAAAAA" * 100 + b"\n" for i in range(100)
    )
    with pytest.raises(CheckpointSignatureError, match="allowed"):
        follower().offer(many)


def test_a_checkpoint_that_goes_on_after_its_root_is_not_followed() -> None:
    """Else a log could sign checkpoints so long that no entry has room for the evidence."""
    signer = WORLD.member(0).log_signer(MESH.mesh_id)
    text = BIG.checkpoint(6).partition(b"\n\n")[0].decode()
    extended = sign_note(f"{text}\nand more\n", (signer,))
    at = followed(BIG, 5)
    before = at.state
    for note in (extended, add_signatures(extended, [WORLD.member(2).card_witness])):
        with pytest.raises(CheckpointTextError):
            at.offer(note)
    assert at.state == before
    with pytest.raises(FollowerStateError):
        follower(replace(before, checkpoint=extended.replace(b"\n6\n", b"\n5\n")))


def test_impossible_checkpoints_change_nothing() -> None:
    at = follower()
    with pytest.raises(EmptyRootError):
        at.offer(BIG.sign_root(0, bytes(32)))
    with pytest.raises(CheckpointSizeError):
        at.offer(BIG.sign_root(2**40, bytes(32)))
    assert at.state == FollowerState.empty()
    assert at.offer(BIG.sign_root(2**40 - 1, bytes(32)))
    segment = at.next_segment()
    assert segment is not None
    assert len(segment.tail) <= 2 * 40


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
    rows = Rows()
    at = follower(history=rows)
    at.offer(log.checkpoint(1))
    rows.append(step(log, at))
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
