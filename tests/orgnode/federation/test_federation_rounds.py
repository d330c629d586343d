"""Rounds of cosignatures: all members cosign one checkpoint, and the quorum certifies it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mesh.certificate import Certificate, CertificateError, open_certificate
from mesh.testing import make_mesh
from orgnode.federation.rounds import MAX_AHEAD, MAX_GIVEN_UP, Rounds
from proofs.checkpoint import Checkpoint, sign_checkpoint
from proofs.cosignature import cosign
from proofs.note import parse_note

WORLD = make_mesh(4)
MESH = WORLD.mesh
OWNER = WORLD.members[0]
NAMES = [member.name for member in WORLD.members]


@cache
def note(size: int) -> bytes:
    signer = OWNER.log_signer(MESH.mesh_id)
    return sign_checkpoint(Checkpoint(signer.name, size, size.to_bytes(32, "big")), signer)


@cache
def line(place: int, size: int) -> bytes:
    return cosign(parse_note(note(size)).text, WORLD.members[place].witness, 1_700_000_000)


def new_rounds(certified: int = 0, held: Callable[[], int] = lambda: 1_000_000) -> Rounds:
    return Rounds(MESH, OWNER.name, timeout=2.0, cap=30.0, certified=certified, held=held)


def collect(rounds: Rounds, place: int, now: float = 0.0) -> Certificate | None:
    current = rounds.current
    assert current is not None
    return rounds.collect(current.number, NAMES[place], line(place, current.size), now)


def test_the_quorums_cosignatures_certify() -> None:
    rounds = new_rounds()
    assert rounds.current is None
    assert rounds.grown(note(3), 3, 10.0)
    current = rounds.current
    assert current is not None
    assert (current.note, current.size, current.opened) == (note(3), 3, 10.0)
    assert collect(rounds, 2) is None
    assert collect(rounds, 2) is None, "each member counts once"
    assert collect(rounds, 0) is None
    assert rounds.cosigned == (NAMES[0], NAMES[2])
    certificate = collect(rounds, 1)
    assert certificate is not None
    assert certificate == open_certificate(MESH, OWNER.name, certificate.note)
    assert (certificate.size, certificate.cosigners) == (3, tuple(NAMES[:3]))
    assert (rounds.current, rounds.certified, rounds.cosigned) == (None, 3, ())


def test_what_comes_meanwhile_waits_for_the_next_round() -> None:
    rounds = new_rounds()
    rounds.grown(note(1), 1, 0.0)
    assert not rounds.grown(note(2), 2, 0.1)
    assert not rounds.grown(note(4), 4, 0.2)
    assert not rounds.grown(note(3), 3, 0.3), "an older one is old news"
    first = rounds.current
    assert first is not None
    assert first.size == 1
    for place in range(3):
        collect(rounds, place, 5.0)
    second = rounds.current
    assert second is not None
    assert (second.size, second.number, second.opened) == (4, first.number + 1, 5.0)
    assert rounds.collect(first.number, NAMES[3], line(3, 1), 5.0) is None, "too late"
    assert rounds.cosigned == ()


def test_a_round_gives_way_only_to_a_newer_checkpoint_and_not_at_once() -> None:
    rounds = new_rounds()
    rounds.grown(note(1), 1, 0.0)
    assert rounds.deadline() is None
    assert not rounds.expire(100.0), "nothing follows it: it is asked for until it is certified"
    rounds.grown(note(2), 2, 100.0)
    assert rounds.deadline() == 2.0
    collect(rounds, 3)
    assert rounds.expire(100.0)
    assert rounds.current is not None
    assert (rounds.current.size, rounds.cosigned) == (2, ())
    rounds.grown(note(3), 3, 101.0)
    assert rounds.deadline() == 104.0, "twice as long as the first"
    assert not rounds.expire(103.9)


def test_the_timeout_doubles_up_to_the_cap_and_a_certificate_resets_it() -> None:
    rounds, now = new_rounds(), 0.0
    rounds.grown(note(1), 1, now)
    waits = []
    for size in range(2, 9):
        rounds.grown(note(size), size, now)
        due = rounds.deadline()
        assert due is not None
        waits.append(due - now)
        now = due
        assert rounds.expire(now)
    assert waits == [2, 4, 8, 16, 30, 30, 30]
    rounds.grown(note(9), 9, now)
    for place in range(3):
        collect(rounds, place, now)
    rounds.grown(note(10), 10, now)
    assert rounds.deadline() == now + 2.0


@pytest.mark.parametrize(("took", "patience"), [(0.5, 2.0), (1.5, 4.5), (20.0, 30.0)])
def test_a_round_may_take_three_times_as_long_as_the_last_one(took: float, patience: float) -> None:
    rounds = new_rounds()
    rounds.grown(note(1), 1, 10.0)
    rounds.grown(note(2), 2, 10.0)
    for place in range(3):
        collect(rounds, place, 10.0 + took)
    rounds.grown(note(3), 3, 40.0)
    assert rounds.current is not None
    assert rounds.deadline() == rounds.current.opened + patience


def give_up(rounds: Rounds, size: int) -> int:
    """Let the open round be outgrown; returns its number."""
    current = rounds.current
    assert current is not None
    rounds.grown(note(size), size, current.opened)
    due = rounds.deadline()
    assert due is not None
    assert rounds.expire(due)
    return current.number


def test_answers_that_were_on_their_way_certify_a_round_that_was_given_up() -> None:
    rounds = new_rounds()
    rounds.grown(note(1), 1, 0.0)
    collect(rounds, 0)
    first = give_up(rounds, 2)
    collect(rounds, 0)
    assert rounds.collect(first, NAMES[1], line(1, 1), 3.0) is None
    assert rounds.cosigned_lately == {NAMES[0], NAMES[1]}
    with pytest.raises(CertificateError):
        rounds.collect(first, NAMES[2], line(2, 2), 3.0)
    certificate = rounds.collect(first, NAMES[2], line(2, 1), 3.0)
    assert certificate is not None
    assert (certificate.size, rounds.certified) == (1, 1)
    current = rounds.current
    assert current is not None
    assert (current.size, rounds.cosigned) == (2, (NAMES[0],)), "the open round goes on"
    assert rounds.cosigned_lately == {NAMES[0]}, "what is certified is over"
    assert rounds.collect(first, NAMES[3], line(3, 1), 3.0) is None, "it is certified already"


def test_a_larger_certificate_ends_what_was_given_up() -> None:
    rounds = new_rounds()
    rounds.grown(note(1), 1, 0.0)
    collect(rounds, 0)
    collect(rounds, 1)
    first = give_up(rounds, 2)
    for place in range(3):
        collect(rounds, place, 5.0)
    assert rounds.certified == 2
    assert rounds.collect(first, NAMES[2], line(2, 1), 5.0) is None


def test_only_the_last_rounds_are_remembered() -> None:
    rounds = new_rounds()
    rounds.grown(note(1), 1, 0.0)
    given_up = [give_up(rounds, size) for size in range(2, 3 + MAX_GIVEN_UP)]
    for number, size in ((given_up[0], 1), (given_up[1], 2)):
        answers = [
            rounds.collect(number, NAMES[place], line(place, size), 99.0) for place in range(3)
        ]
        assert (answers[-1] is not None) == (size == 2)


@pytest.mark.parametrize(
    ("held", "then"),
    [
        (10, 10),  # what a quorum holds
        (19, 14),  # the newest checkpoint of it
        (4, 60),  # nothing of it is news
        (60 - MAX_AHEAD, 60),  # so many it will take in at once
        (60, 60),
    ],
)
def test_members_far_behind_are_asked_for_what_they_hold(held: int, then: int) -> None:
    rounds = new_rounds(held=lambda: held)
    rounds.grown(note(5), 5, 0.0)
    for size in (10, 14, 20, 60):
        rounds.grown(note(size), size, 0.0)
    for place in range(3):
        collect(rounds, place)
    assert rounds.current is not None
    assert rounds.current.size == then


def test_sizes_only_rise_whatever_members_say_that_they_hold() -> None:
    held = 100
    rounds = new_rounds(held=lambda: held)
    rounds.grown(note(50), 50, 0.0)
    for size in (60, 100, 200):
        rounds.grown(note(size), size, 0.0)
    assert rounds.expire(2.0)
    assert rounds.current is not None
    assert rounds.current.size == 100
    held = 100  # a quorum holds no more, and has been asked for that
    assert rounds.expire(10.0)
    assert rounds.current.size == 200


def test_a_round_whose_content_members_lack_is_not_given_up_before_the_longest_timeout() -> None:
    held = 0
    rounds = new_rounds(held=lambda: held)
    rounds.grown(note(50), 50, 10.0)
    rounds.grown(note(60), 60, 10.0)
    assert rounds.deadline() == 40.0, "what follows it needs the same content"
    assert not rounds.expire(39.9)
    held = 50
    assert rounds.deadline() == 12.0
    held = 49
    assert rounds.expire(40.0), "but nobody's silence keeps it for ever"


def test_what_is_certified_already_is_not_asked_for_again() -> None:
    rounds = new_rounds(certified=5)
    assert not rounds.grown(note(5), 5, 0.0)
    assert rounds.current is None
    assert rounds.grown(note(6), 6, 0.0)


@pytest.mark.parametrize(
    "false",
    [
        line(1, 4),  # over another checkpoint
        line(2, 3),  # by another member
        line(1, 3)[:-6] + b"AAA=\n",
        line(1, 3) * 2,
        b"",
        b"no line\n",
    ],
)
def test_a_false_cosignature_changes_nothing(false: bytes) -> None:
    rounds = new_rounds()
    rounds.grown(note(3), 3, 0.0)
    current = rounds.current
    assert current is not None
    collect(rounds, 0)
    with pytest.raises(CertificateError):
        rounds.collect(current.number, NAMES[1], false, 0.0)
    assert rounds.cosigned == (NAMES[0],)
    collect(rounds, 2)
    assert collect(rounds, 1) is not None


class AnyOrder(RuleBasedStateMachine):
    """Growth, cosignatures, repetitions and timeouts in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.rounds = new_rounds(held=lambda: self.held)
        self.now = 0.0
        self.newest = 0
        self.opened: list[tuple[int, int]] = []
        self.certificates: list[Certificate] = []

    @rule(by=st.sampled_from([1, 2, 3, 40]))
    def grow(self, by: int) -> None:
        before = self.rounds.current
        self.newest += by
        assert self.rounds.grown(note(self.newest), self.newest, self.now) == (before is None)

    @rule(held=st.integers(0, 40))
    def hold(self, held: int) -> None:
        self.held = held

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        due, before = self.rounds.deadline(), self.rounds.current
        gave_way = self.rounds.expire(self.now)
        assert gave_way == (due is not None and due <= self.now)
        if gave_way:
            assert before is not None
            assert before.opened + 2.0 <= self.now

    @precondition(lambda self: self.rounds.current is not None)
    @rule(place=st.integers(0, 3))
    def cosign(self, place: int) -> None:
        certificate = collect(self.rounds, place, self.now)
        if certificate is not None:
            self.certificates.append(certificate)

    @precondition(lambda self: self.opened)
    @rule(place=st.integers(0, 3), data=st.data())
    def cosign_late(self, place: int, data: st.DataObject) -> None:
        number, size = data.draw(st.sampled_from(self.opened))
        current = self.rounds.current
        if current is None or current.number != number:
            before, certified = self.rounds.cosigned, self.rounds.certified
            certificate = self.rounds.collect(number, NAMES[place], line(place, size), self.now)
            assert self.rounds.current == current
            assert self.rounds.cosigned == before
            if certificate is not None:
                assert certificate.size == size > certified
                self.certificates.append(certificate)

    @invariant()
    def one_checkpoint_at_a_time(self) -> None:
        current = self.rounds.current
        if current is not None:
            if not self.opened or self.opened[-1][0] != current.number:
                self.opened.append((current.number, current.size))
            assert self.opened[-1] == (current.number, current.size)
            assert self.rounds.certified < current.size <= self.newest
            assert len(self.rounds.cosigned) < MESH.constraints.quorum
        else:
            assert self.rounds.certified == self.newest, "nothing uncertified is forgotten"
        assert self.opened == sorted(self.opened)
        sizes = [size for _, size in self.opened]
        assert sizes == sorted(set(sizes)), "a witness cosigns nothing smaller than before"

    @invariant()
    def certificates_hold_and_rise(self) -> None:
        sizes = [one.size for one in self.certificates]
        assert sizes == sorted(set(sizes))
        for one in self.certificates[-1:]:
            assert open_certificate(MESH, OWNER.name, one.note) == one


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


@given(st.lists(st.sampled_from(range(4)), min_size=3, max_size=8))
@settings(max_examples=30, deadline=None)
def test_any_order_of_members_certifies_at_the_third(order: list[int]) -> None:
    rounds = new_rounds()
    rounds.grown(note(1), 1, 0.0)
    seen: set[int] = set()
    for place in order:
        if rounds.current is None:
            break
        seen.add(place)
        assert (collect(rounds, place) is not None) == (len(seen) == 3)
