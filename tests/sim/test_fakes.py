"""The public fakes are what they claim: deterministic, and honest unless they are told to lie."""

import os
import subprocess
import sys
from random import Random

import pytest

from mesh.assessment import Outcome
from mesh.days import Day
from mesh.entry import open_entry
from mesh.evidence import EvidenceKind
from mesh.follower import LogFollower
from mesh.following import (
    FollowerState,
    ForkError,
    SegmentMismatchError,
    SuspendedLogError,
)
from mesh.genesis import open_genesis
from mesh.keygen import from_transcript
from mesh.member import open_card
from mesh.promotion import parse_promotion, verify_promotion
from mesh.testing import (
    TODAY,
    AnswerLostError,
    Faults,
    FaultySource,
    Lie,
    OrgLog,
    ProofChecker,
    Replica,
    Rows,
    SignalPool,
    falsify,
    follow,
    found,
    founder,
    founders,
    make_mesh,
    make_promotion,
    make_signal,
    open_evaluations,
)
from mesh.testing.simulation import Simulation
from mesh.wire import ERASED, Present
from proofs.checkpoint import open_checkpoint
from proofs.merkle import NodeAddress, leaf_hash, range_nodes
from proofs.tiles import decode_bundle, node_from_tile, tiles_for_nodes

WORLD = make_mesh(4)
MESH = WORLD.mesh


def follower(log: OrgLog) -> LogFollower:
    return LogFollower(MESH, log.member.card, FollowerState.empty(), history=Rows(), tree=log)


def test_founders_follow_from_the_seed() -> None:
    notes = [member.card_note for member in founders(5)]
    assert [member.card_note for member in founders(3)] == notes[:3]
    assert founders(3)[0].card != founders(3, seed=1)[0].card
    assert len({member.name for member in founders(12)}) == 12
    for member in founders(2):
        assert open_card(member.card_note) == member.card


def test_a_mesh_has_a_genesis_that_every_founder_signed() -> None:
    assert open_genesis(MESH.note) == MESH
    assert make_mesh(4).mesh.mesh_id == found(founders(4), name="test mesh 0").mesh.mesh_id
    assert make_mesh(4, seed=1).mesh.mesh_id != MESH.mesh_id
    assert WORLD.member("acme.example") is WORLD.member(0)
    with pytest.raises(LookupError):
        WORLD.member("nobody.example")


def test_a_mesh_has_keys_that_all_its_founders_made() -> None:
    assert make_mesh(4).mesh.constraints.committee is WORLD.committee
    assert sorted(WORLD.shares) == [seat.member for seat in WORLD.committee.seats]
    machine = from_transcript(
        WORLD.proposal,
        WORLD.transcript,
        WORLD.member(2).name,
        WORLD.member(2).identity,
        WORLD.member(2).sealing,
    )
    assert machine.outcome().committee == WORLD.committee
    assert machine.share() == WORLD.shares[WORLD.member(2).name]
    assert machine.selection_key() == WORLD.selection_key
    few = found(founders(4), seats=["acme.example", "cobalt.example"])
    assert [seat.member for seat in few.committee.seats] == ["acme.example", "cobalt.example"]
    assert sorted(few.shares) == ["acme.example", "cobalt.example"]


def test_promotions_follow_from_the_seed() -> None:
    inputs = [bytes(32), b"\x01" * 32]
    body = make_promotion(WORLD, inputs, ["ab" * 32])
    assert body == make_promotion(WORLD, inputs[::-1], ["ab" * 32])
    verify_promotion(MESH, parse_promotion(body))
    with pytest.raises(LookupError):
        open_evaluations(WORLD, inputs, [7])


def test_founders_can_be_given_a_place_to_listen_and_a_certificate() -> None:
    member = founder(0, name="me.example", host="10.0.0.1", port=1, certificate=(b"der", "ab" * 32))
    assert member.card.endpoint == ("10.0.0.1", 1)
    assert (member.card.certificate, member.card.transport_pin) == (b"der", "ab" * 32)


def test_private_keys_are_not_shown() -> None:
    member = WORLD.member(0)
    assert member.log_seed.hex() not in repr(member)
    assert repr(member.log_seed) not in repr(member)
    assert "identity=Signer" not in repr(member)
    shares = [share.hex() for share in WORLD.shares.values()]
    for secret in (member.sealing.hex(), WORLD.selection_key.hex(), *shares):
        assert secret not in repr(WORLD)
        assert repr(bytes.fromhex(secret)) not in repr(WORLD)


def test_a_pool_is_made_once_and_its_entries_are_distinct() -> None:
    pool = SignalPool(MESH, "acme.example", size=2)
    assert pool[0] is SignalPool(MESH, "acme.example", size=2)[2]
    assert pool[0] != SignalPool(MESH, "acme.example", size=2, seed=1)[0]
    log = OrgLog(WORLD, 0, pool=pool)
    ids = log.append_signals(600)
    assert len(set(ids)) == 600
    with pytest.raises(ValueError, match="larger SignalPool"):
        log.append_signals(600)
    with pytest.raises(ValueError, match="at least one"):
        SignalPool(MESH, "acme.example", size=0)


def test_signals_follow_from_the_seed_and_lies_change_them() -> None:
    made = make_signal(MESH, "acme.example", Random(5))
    assert made == make_signal(MESH, "acme.example", Random(5))
    for lie in Lie:
        false = falsify(MESH, made, lie, Random(1))
        assert (false.salt, false.body) != (made.salt, made.body)
        assert false == falsify(MESH, made, lie, Random(1))


def test_a_log_signs_and_serves_what_c2sp_readers_expect() -> None:
    log = OrgLog(WORLD, 1)
    for index in range(600):
        log.append_note(b"entry %d" % index)
    checkpoint = open_checkpoint(log.checkpoint(), MESH.log_key(log.name))
    assert (checkpoint.size, checkpoint.root) == (600, log.frontier().root())
    assert open_checkpoint(log.checkpoint(300), MESH.log_key(log.name)).size == 300
    assert decode_bundle(log.bundle(1), 256) == log.entries(256, 512)
    assert decode_bundle(log.bundle(2, 88), 88) == log.entries(512, 600)
    for node in (NodeAddress(0, 599), NodeAddress(3, 40), NodeAddress(8, 1), NodeAddress(9, 0)):
        (address,) = tiles_for_nodes([node], 600)
        assert isinstance(address.level, int)
        tile = log.tile(address.level, address.index, address.width)
        assert [node_from_tile(node, address, tile)] == log.nodes([node])
    with pytest.raises(LookupError):
        log.nodes([NodeAddress(9, 1)])
    announcement = log.announcement(598)
    assert (announcement.start, len(announcement.entries)) == (598, 2)
    assert announcement.checkpoint == log.checkpoint()


def test_entries_are_signed_by_the_member() -> None:
    log = OrgLog(WORLD, 2)
    entry_id = log.append_signal()
    assert open_entry(log.notes[0], log.member.card, MESH).day == log.day
    assert leaf_hash(log.notes[0]).hex() == entry_id


@pytest.mark.parametrize("at", [0, 3, 5])
def test_a_fork_shares_its_beginning_and_nothing_after(at: int) -> None:
    log = OrgLog(WORLD, 0)
    log.append_signals(5)
    other = log.fork(at)
    assert other.notes == log.notes[:at]
    log.append_signals(4)
    other.append_signals(9 - at)
    for size in range(1, 10):
        same = log.frontier(size) == other.frontier(size)
        assert same is (size <= at)


def test_a_truncated_log_is_an_older_one() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signals(7)
    old = log.checkpoint(4)
    newest = log.checkpoint()
    at = follower(log)
    at.offer(newest)
    log.truncate(4)
    assert log.checkpoint() == old
    assert at.offer(log.checkpoint())
    assert at.known_size == 7
    log.append_note(b"another history")
    assert log.frontier(5).root() != at.state.frontier.root()


def test_follow_goes_to_the_end_and_stops_at_a_fork() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signals(3)
    at = follower(log)
    assert [entry.outcome for entry in follow(at, log)] == [Outcome.ACCEPTED] * 3
    assert follow(at, log) == []
    other = log.fork(1)
    other.append_signals(5)
    with pytest.raises((SegmentMismatchError, SuspendedLogError)):
        follow(at, other)
    assert at.state.evidence is not None
    assert at.state.evidence.kind is EvidenceKind.FORK
    same_size = follower(log)
    follow(same_size, log)
    twin = log.fork(2)
    twin.append_signal()
    with pytest.raises(ForkError):
        follow(same_size, twin)


def test_follow_tries_again_as_often_as_it_is_told() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signals(40)
    source = FaultySource(log, Random(3), Faults(truncated=0.6))
    at = follower(log)
    assert len(follow(at, source, attempts=60)) == 40
    assert source.met["truncated"] > 0
    with pytest.raises(AnswerLostError):
        follow(follower(log), FaultySource(log, Random(3), Faults(lost=1.0)))


def test_a_source_without_faults_answers_truly() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signals(9)
    source = FaultySource(log, Random(1), Faults())
    assert source.checkpoint() == log.checkpoint()
    assert source.entries(2, 7) == log.entries(2, 7)
    assert source.bodies(2, 7) == log.bodies(2, 7)
    assert source.nodes([NodeAddress(3, 0)]) == log.nodes([NodeAddress(3, 0)])
    assert not +source.met


def test_a_mirror_may_be_behind_and_say_that_bodies_were_erased() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signal()
    source = FaultySource(log, Random(1), Faults(stale=1.0, erased=1.0))
    assert source.checkpoint() == log.checkpoint(1)
    log.append_signal()
    assert {source.checkpoint() for _ in range(20)} == {log.checkpoint(1), log.checkpoint(2)}
    assert source.bodies(0, 1) == [ERASED]
    assert source.met["stale"] == 20
    assert source.met["erased"] == 1


def test_rows_are_a_history_and_a_tree() -> None:
    log = OrgLog(WORLD, 0)
    target = log.append_signal()
    log.append_retraction(target)
    log.day = Day(TODAY + 1)
    log.append_sighting(target)
    log.append_note(log.notes[0])
    replica = Replica(MESH, log.member.card, check_proofs=ProofChecker())
    replica.offer(log.checkpoint())
    replica.step(log, TODAY)
    rows = replica.rows
    assert rows.holds_entry(target)
    assert not rows.holds_entry("ab" * 32)
    signal = rows[0].envelope
    assert signal is not None
    assert rows.signal_expires(target, 1) == signal.expires
    assert rows.signal_expires(target, 0) is None
    assert rows.is_retracted(target)
    assert not rows.accuses(log.name)
    assert rows.unread_accusations(4) == []
    assert (rows.counted_on(TODAY), rows.counted_on(log.day)) == (1, 1)
    assert rows.last_day() == log.day
    assert Rows().last_day() is None
    addresses = range_nodes(0, 4) + range_nodes(1, 3)
    assert rows.nodes(addresses) == log.nodes(addresses)
    with pytest.raises(LookupError):
        rows.nodes(range_nodes(0, 5))


def test_a_log_can_spoil_and_withhold_bodies() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signals(2)
    before = log.corrupt_body(0)
    assert isinstance(before, Present)
    assert log.answers[0] != before
    assert log.withhold_body(1) == Present(log.pool[1].salt, log.pool[1].body)
    with pytest.raises(ValueError, match="no body"):
        log.corrupt_body(1)


def test_a_crash_loses_what_was_not_stored_and_nothing_else() -> None:
    log = OrgLog(WORLD, 0)
    log.append_signals(9)
    replica = Replica(MESH, log.member.card, segment=4, check_proofs=ProofChecker())
    replica.offer(log.checkpoint())
    assert replica.step(log, log.day)
    assert replica.step(log, log.day, crash=True)
    assert (replica.state.size, replica.follower.state.size, len(replica.rows)) == (4, 4, 4)
    while replica.step(log, log.day):
        pass
    assert len(replica.accepted()) == 9
    assert replica.live() == set(replica.accepted())
    log.append_retraction(replica.accepted()[2])
    replica.offer(log.checkpoint())
    replica.step(log, log.day)
    assert len(replica.live()) == 8


def test_a_run_is_the_same_in_another_process_with_another_hash_seed() -> None:
    script = (
        "from mesh.testing.simulation import Simulation\n"
        "run = Simulation(3, actions=40)\nrun.run()\nprint(run.trace)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = Simulation(3, actions=40)
    here.run()
    assert told.stdout.strip() == here.trace
