"""The suite that every implementation of `orgnode.store.Store` passes, beginning with logs.

A subclass provides `open_store`: a fixture returning a function that opens (or reopens, after
`close`) the same store for the member `OWN`. Logs come from `mesh.testing`, with real signatures
and real severity proofs, and are followed with the real follower. What certification does is in
`certify_contract`, what matching reads in `match_contract`; here logs are certified as they come.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest

from mesh.assessment import Assessed, Outcome, assess, settle
from mesh.days import Day
from mesh.entry import Kind
from mesh.evidence import EvidenceKind
from mesh.follower import LogFollower
from mesh.following import FollowerState
from mesh.testing import TODAY, OrgLog, ProofChecker, TestMesh, make_mesh
from mesh.testing.rows import Rows
from mesh.wire import ERASED, MISSING, Present
from orgnode.store import (
    DuplicateReferenceError,
    EventType,
    FeedFilter,
    LogRow,
    SealedIncident,
    SecondRootError,
    SignalFilter,
    SignalStatus,
    Store,
    StoreClosedError,
    StoreConflictError,
    StoreRangeError,
)
from proofs.merkle import Frontier, NodeAddress, leaf_hash, node_hash, range_nodes

OWN = "acme.example"
PEER = "birch.example"
ALL = FeedFilter()
EARLY = FeedFilter(provisional=True)
OpenStore = Callable[[], Store]

check_proofs = ProofChecker()


@lru_cache
def world() -> TestMesh:
    return make_mesh(4)


def org_log(name: str = PEER) -> OrgLog:
    return OrgLog(world(), name)


class StoredTree:
    """The tree of one log in a store, as a follower reads it."""

    def __init__(self, store: Store, log: str) -> None:
        self._store = store
        self._log = log

    def nodes(self, addresses: Sequence[NodeAddress]) -> list[bytes]:
        return self._store.nodes(self._log, addresses)


def follower_of(store: Store, log: OrgLog) -> LogFollower:
    return LogFollower(
        log.mesh,
        log.member.card,
        store.state(log.name),
        history=store.history(log.name),
        tree=StoredTree(store, log.name),
    )


async def follow(
    store: Store, log: OrgLog, today: Day = TODAY, *, certified: bool = True
) -> list[Assessed]:
    """Bring the store up to the log's newest checkpoint, and certify that."""
    follower = follower_of(store, log)
    follower.offer(log.checkpoint())
    result: list[Assessed] = []
    while (segment := follower.next_segment()) is not None:
        start, end = segment.start, segment.end
        checked = follower.check(
            segment, log.entries(start, end), log.bodies(start, end), log.nodes(segment.tail), today
        )
        settled = follower.conclude(checked, check_proofs(checked.claims))
        await store.commit_segment(
            log.name, start, [LogRow.of(entry) for entry in settled], follower.state
        )
        result += settled
    if certified:
        await certify(store, log)
    return result


async def certify(store: Store, log: OrgLog, size: int | None = None) -> int:
    """Give the store a certificate of a log."""
    size = log.size if size is None else size
    return await store.certify(log.name, log.certificate(size), size, log.frontier(size).root())


async def look_again(store: Store, log: OrgLog, today: Day = TODAY) -> int:
    follower = follower_of(store, log)
    items = [
        (row.index, row.note, log.bodies(row.index, row.index + 1)[0])
        for row in store.deferred(log.name)
    ]
    checked = follower.reassess(items, today)
    settled = follower.conclude(checked, check_proofs(checked.claims))
    return await store.resolve_deferred(log.name, [LogRow.of(entry) for entry in settled])


def plain_rows(log: OrgLog, start: int, end: int) -> list[LogRow]:
    """Rows without verifying any proof, for tests that are about storing only."""
    card = log.member.card
    entries = zip(log.entries(start, end), log.bodies(start, end), strict=True)
    assessed = [
        assess(log.mesh, card, index, note, answer, TODAY)
        for index, (note, answer) in enumerate(entries, start)
    ]
    verdicts = [None for entry in assessed if entry.claim is not None]
    settled = settle(assessed, verdicts, mesh=log.mesh, history=Rows())
    return [LogRow.of(entry) for entry in settled]


def state_at(log: OrgLog, size: int, **changes: Any) -> FollowerState:
    state = FollowerState(size, log.frontier(size), log.checkpoint(size))
    return replace(state, **changes)


def junk_rows(start: int, count: int) -> list[LogRow]:
    """Entries that are refused, quickly made: for tests about trees."""
    rows = []
    for index in range(start, start + count):
        note = b"not a note %d" % index
        leaf = leaf_hash(note)
        rows.append(
            LogRow(
                index=index,
                entry_id=leaf.hex(),
                leaf=leaf,
                note=note,
                answer=MISSING,
                kind=None,
                day=None,
                expires=None,
                outcome=Outcome.REFUSED,
                reason="malformed",
                error="NoteFormatError",
            )
        )
    return rows


def incident(
    name: str, reference: bytes | None = None, expires: int = TODAY + 90
) -> SealedIncident:
    return SealedIncident(
        id=name,
        entry_id="ab" * 32,
        day=TODAY,
        expires=Day(expires),
        wrapped_key=b"wrapped " + name.encode(),
        sealed=b"sealed " + name.encode(),
        reference_mac=reference,
    )


def kinds(store: Store, after: int = 0, wanted: FeedFilter = ALL) -> list[str]:
    return [event.type for event in store.events(after, wanted)]


class StoreContract:
    """Inherit, and provide the fixture `open_store`."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Any:
        store = open_store()
        yield store
        store.close()

    # --- logs

    def test_new_store_is_empty(self, store: Store) -> None:
        assert store.logs() == []
        assert store.state(PEER) == FollowerState.empty()
        assert store.checkpoint(PEER) is None
        assert store.counts() == {}
        assert (store.first_seq(), store.last_seq()) == (1, 0)
        assert store.events(0, ALL) == []
        assert store.entries(PEER, 0, 0) == []
        assert store.signals(SignalFilter()) == []
        assert store.nodes(PEER, []) == []

    async def test_reads_back_what_was_followed(self, store: Store) -> None:
        log = org_log()
        ids = log.append_signals(3)
        assessed = await follow(store, log)
        assert [entry.outcome for entry in assessed] == [Outcome.ACCEPTED] * 3
        assert store.logs() == [PEER]
        assert store.state(PEER) == state_at(log, 3)
        assert store.checkpoint(PEER) == log.checkpoint(3)
        assert store.entries(PEER, 0, 3) == log.entries(0, 3)
        assert store.entries(PEER, 1, 2) == log.entries(1, 2)
        assert store.bodies(PEER, 0, 3) == log.bodies(0, 3)
        assert [leaf.hex() for leaf in store.leaves(PEER, 0, 3)] == ids
        assert [record.entry_id for record in store.records(PEER, 1, 99)] == ids[1:]
        assert store.counts()[PEER][Outcome.ACCEPTED] == 3

    @pytest.mark.parametrize(("start", "end"), [(0, 4), (3, 4), (-1, 1), (2, 1), (9, 10)])
    async def test_ranges_beyond_the_log_are_errors(
        self, store: Store, start: int, end: int
    ) -> None:
        log = org_log()
        log.append_signals(3)
        await store.commit_segment(PEER, 0, plain_rows(log, 0, 3), state_at(log, 3))
        for read in (store.entries, store.bodies, store.leaves):
            with pytest.raises(StoreRangeError):
                read(PEER, start, end)

    async def test_logs_are_apart(self, store: Store) -> None:
        logs = [org_log(PEER), org_log(OWN)]
        for log in logs:
            log.append_signals(2)
            await follow(store, log)
        for log in logs:
            assert store.entries(log.name, 0, 2) == log.entries(0, 2)
            assert store.state(log.name) == state_at(log, 2)
        assert store.logs() == [OWN, PEER]

    async def test_grows_segment_by_segment(self, store: Store) -> None:
        log = org_log()
        for _ in range(3):
            log.append_signals(2)
            await follow(store, log)
        assert store.state(PEER).frontier == log.frontier()
        assert store.entries(PEER, 0, 6) == log.entries(0, 6)

    @pytest.mark.parametrize("expected", [0, 1, 3])
    async def test_wrong_expected_size_changes_nothing(self, store: Store, expected: int) -> None:
        log = org_log()
        log.append_signals(4)
        await store.commit_segment(PEER, 0, plain_rows(log, 0, 2), state_at(log, 2))
        before = (store.state(PEER), store.counts(), store.last_seq())
        with pytest.raises(StoreConflictError):
            await store.commit_segment(PEER, expected, plain_rows(log, 2, 4), state_at(log, 4))
        assert (store.state(PEER), store.counts(), store.last_seq()) == before

    async def test_rows_must_follow_on_and_state_must_fit(self, store: Store) -> None:
        log = org_log()
        log.append_signals(3)
        rows = plain_rows(log, 0, 3)
        for wrong, state in (
            (rows[1:], state_at(log, 2)),
            ([rows[0], rows[2]], state_at(log, 2)),
            (rows[:2], state_at(log, 3)),
            (rows[::-1], state_at(log, 3)),
        ):
            with pytest.raises(StoreConflictError):
                await store.commit_segment(PEER, 0, wrong, state)
        assert store.state(PEER).size == 0
        assert store.last_seq() == 0

    async def test_of_two_commits_at_one_size_one_wins(self, store: Store) -> None:
        log = org_log()
        log.append_signals(2)
        other = log.fork(1)
        other.append_signals(1)
        results = await asyncio.gather(
            store.commit_segment(PEER, 0, plain_rows(log, 0, 2), state_at(log, 2)),
            store.commit_segment(PEER, 0, plain_rows(log, 0, 1), state_at(log, 1)),
            store.commit_segment(OWN, 0, [], FollowerState.empty()),
            return_exceptions=True,
        )
        assert [isinstance(result, StoreConflictError) for result in results] == [
            False,
            True,
            False,
        ]
        assert store.state(PEER).size == 2

    async def test_tree_nodes(self, store: Store) -> None:
        log = org_log()
        size = 0
        for count in (3, 252, 1, 256, 100, 412, 76):
            rows = junk_rows(size, count)
            for row in rows:
                log.append_note(row.note)
            size += count
            await store.commit_segment(PEER, size - count, rows, state_at(log, size))
            whole = [
                NodeAddress(level, index)
                for level in (0, 3, 7, 8, 9, 10)
                for index in range(size >> level)
            ]
            assert store.nodes(PEER, whole) == log.nodes(whole)
        for size in (1, 255, 256, 257, 511, 1000, 1100):
            frontier = range_nodes(0, size)
            assert store.nodes(PEER, frontier) == list(log.frontier(size).hashes)
        scattered = [NodeAddress(8, 3), NodeAddress(0, 7), NodeAddress(8, 0), NodeAddress(8, 1)]
        assert store.nodes(PEER, scattered) == log.nodes(scattered)
        for beyond in (NodeAddress(0, 1100), NodeAddress(8, 4), NodeAddress(11, 0)):
            with pytest.raises(StoreRangeError):
                store.nodes(PEER, [beyond])
        with pytest.raises(StoreRangeError):
            store.nodes("nobody.example", [NodeAddress(0, 0)])

    async def test_tree_nodes_of_the_second_tile_level(self, store: Store) -> None:
        frontier, size = Frontier(0, ()), 0
        for count in (65_000, 535, 2):  # passes 65,536 in the last, tiny commit
            rows = junk_rows(size, count)
            frontier = frontier.extend(row.leaf for row in rows)
            await store.commit_segment(PEER, size, rows, FollowerState(size + count, frontier))
            size += count
        assert store.nodes(PEER, [NodeAddress(16, 0)]) == [frontier.hashes[0]]
        halves = store.nodes(PEER, [NodeAddress(15, 0), NodeAddress(15, 1)])
        assert node_hash(*halves) == frontier.hashes[0]
        with pytest.raises(StoreRangeError):
            store.nodes(PEER, [NodeAddress(16, 1)])

    # --- checkpoints, state, evidence

    async def test_target_is_kept(self, store: Store) -> None:
        log = org_log()
        log.append_signals(3)
        await store.save_state(PEER, state_at(log, 0, checkpoint=None, target=log.checkpoint(3)))
        assert store.state(PEER).target == log.checkpoint(3)
        assert store.checkpoint(PEER) is None
        assert [record.size for record in store.checkpoints(PEER)] == [3]
        await follow(store, log)
        assert store.state(PEER) == state_at(log, 3)

    async def test_save_state_does_not_move_the_log(self, store: Store) -> None:
        log = org_log()
        log.append_signals(2)
        with pytest.raises(StoreConflictError):
            await store.save_state(PEER, state_at(log, 2))
        assert store.state(PEER) == FollowerState.empty()

    async def test_checkpoints_are_kept_with_their_roots(self, store: Store) -> None:
        log = org_log()
        for size in (1, 2, 3):
            log.append_signals(1)
            await follow(store, log)
            assert store.checkpoint(PEER) == log.checkpoint(size)
        kept = store.checkpoints(PEER)
        assert [(record.size, record.root) for record in kept] == [
            (size, log.frontier(size).root()) for size in (3, 2, 1)
        ]
        assert store.checkpoints(PEER, limit=1) == kept[:1]

    async def test_second_root_for_a_size_is_refused(self, store: Store) -> None:
        log = org_log()
        log.append_signals(3)
        await follow(store, log)
        other = log.fork(1)
        other.append_signal(other.pool[7])
        other.append_signal(other.pool[6])
        state = store.state(PEER)
        before = store.last_seq()
        with pytest.raises(SecondRootError) as caught:
            await store.save_state(PEER, replace(state, target=other.checkpoint(3)))
        assert (caught.value.first, caught.value.second) == (log.checkpoint(3), other.checkpoint(3))
        assert store.state(PEER) == state
        assert [record.root for record in store.checkpoints(PEER)] == [log.frontier(3).root()]
        assert store.last_seq() == before

    async def test_second_root_with_rows_keeps_no_rows(self, store: Store) -> None:
        log = org_log()
        log.append_signals(2)
        await store.save_state(PEER, state_at(log, 0, checkpoint=None, target=log.checkpoint(2)))
        other = log.fork(0)
        other.append_signal(other.pool[7])
        other.append_signal(other.pool[6])
        with pytest.raises(SecondRootError):
            await store.commit_segment(PEER, 0, plain_rows(other, 0, 2), state_at(other, 2))
        assert store.state(PEER).size == 0
        assert store.counts().get(PEER, {}).get(Outcome.ACCEPTED, 0) == 0

    async def test_the_same_root_again_is_fine(self, store: Store) -> None:
        log = org_log()
        log.append_signals(2)
        await store.save_state(PEER, state_at(log, 0, checkpoint=None, target=log.checkpoint(2)))
        await follow(store, log)
        await store.save_state(PEER, store.state(PEER))
        assert store.checkpoint(PEER) == log.checkpoint(2)

    async def test_evidence_becomes_one_event_and_stays(self, store: Store) -> None:
        log = org_log()
        log.append_signals(2)
        await follow(store, log)
        honest = store.state(PEER)
        other = log.fork(1)
        other.append_signal(other.pool[7])
        follower = follower_of(store, log)
        with pytest.raises(Exception, match="suspended"):
            follower.offer(other.checkpoint())
        before = store.last_seq()
        await store.save_state(PEER, follower.state)
        assert store.state(PEER).evidence == follower.state.evidence
        (event,) = store.events(before, ALL)
        assert event.type == "evidence"
        assert event.data["issuer"] == PEER
        assert event.data["kind"] == EvidenceKind.SPLIT
        assert event.data["reason"]
        json.dumps(event.data)
        # A task that still holds the state from before must not acquit the log.
        await store.save_state(PEER, honest)
        assert store.state(PEER).evidence == follower.state.evidence
        await store.save_state(PEER, follower.state)
        assert kinds(store, before) == ["evidence"]

    # --- signals, retractions, feed

    async def test_signal_record_and_event(self, store: Store) -> None:
        log = org_log()
        (entry_id,) = log.append_signals(1)
        (assessed,) = await follow(store, log)
        body = assessed.signal
        assert body is not None
        record = store.signal(entry_id)
        assert record is not None
        assert record.to_json() == {
            "id": entry_id,
            "issuer": PEER,
            "index": 0,
            "day": "2026-11-21",
            "expires": record.to_json()["expires"],
            "band": {1: "low", 2: "moderate", 3: "high", 4: "critical"}[body.severity.band],
            "band_level": body.severity.band,
            "category": body.category,
            "technique": body.technique,
            "confidence": body.confidence,
            "tokens": list(body.tokens),
            "direct": body.direct,
            "derived_from": body.derived_from,
            "barrier": body.barrier,
            "status": "live",
            "certified": True,
            "suspended": False,
            "own": False,
            "received": 1000.0,
        }
        (event,) = store.events(0, ALL)
        assert (event.seq, event.type, event.at) == (2, "signal", 1000.0)
        assert event.data == {
            "seq": 2,
            "type": "signal",
            "at": 1000.0,
            "signal": record.to_json(),
            "certified": True,
        }
        json.dumps(event.data)
        assert store.signal("00" * 32) is None
        assert store.signal("no id") is None

    async def test_own_signals_are_marked(self, store: Store) -> None:
        log = org_log(OWN)
        (entry_id,) = log.append_signals(1)
        await follow(store, log)
        record = store.signal(entry_id)
        assert record is not None
        assert record.own

    async def test_commit_returns_the_last_event(self, store: Store) -> None:
        log = org_log()
        log.append_signals(3)
        rows = plain_rows(log, 0, 3)
        assert await store.commit_segment(PEER, 0, rows, state_at(log, 3)) == 3
        assert [event.seq for event in store.events(0, EARLY)] == [1, 2, 3]
        assert [event.seq for event in store.events(1, EARLY, limit=1)] == [2]
        assert store.last_seq() == 3

    async def test_retraction_erases_the_signal(self, store: Store) -> None:
        log = org_log()
        gone, kept = log.append_signals(2)
        await follow(store, log)
        log.append_retraction(gone, "false_positive")
        await follow(store, log)
        record = store.signal(gone)
        assert record is not None
        assert record.status is SignalStatus.RETRACTED
        assert (record.technique, record.confidence, record.tokens) == (None, None, ())
        assert (record.barrier, record.derived_from, record.direct) == (None, None, None)
        assert store.bodies(PEER, 0, 2) == [ERASED, log.answers[1]]
        other = store.signal(kept)
        assert other is not None
        assert other.status is SignalStatus.LIVE
        assert other.tokens
        # The retraction comes after; both events now show the signal without its content.
        first, _, last = store.events(0, ALL)
        assert (first.type, last.type) == ("signal", "retraction")
        assert first.data["signal"] == last.data["signal"] == record.to_json()
        assert last.data["reason"] == "false_positive"

    async def test_retraction_in_the_same_segment(self, store: Store) -> None:
        log = org_log()
        (entry_id,) = log.append_signals(1)
        log.append_retraction(entry_id)
        await follow(store, log)
        assert kinds(store) == []  # it never counted
        assert kinds(store, 0, EARLY) == ["provisional", "retraction"]
        assert store.bodies(PEER, 0, 1) == [ERASED]
        record = store.signal(entry_id)
        assert record is not None
        assert record.status is SignalStatus.RETRACTED

    async def test_second_retraction_is_no_news(self, store: Store) -> None:
        log = org_log()
        (entry_id,) = log.append_signals(1)
        await follow(store, log)
        log.append_retraction(entry_id, "false_positive")
        log.append_retraction(entry_id, "mistake")
        await follow(store, log)
        assert kinds(store) == ["signal", "retraction"]
        assert store.events(0, ALL)[-1].data["reason"] == "false_positive"

    async def test_retraction_reaches_into_its_own_log_only(self, store: Store) -> None:
        log, other = org_log(), org_log(OWN)
        (entry_id,) = log.append_signals(1)
        await follow(store, log)
        other.append_retraction(entry_id)
        rows = [
            replace(
                plain_rows(other, 0, 1)[0],
                outcome=Outcome.ACCEPTED,
                error="",
                retracts=entry_id,
                retraction_reason="false_positive",
            )
        ]
        await store.commit_segment(OWN, 0, rows, state_at(other, 1))
        record = store.signal(entry_id)
        assert record is not None
        assert record.status is SignalStatus.LIVE

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("wrong", [True, False])
    async def test_nobody_waits_for_the_body_of_what_was_retracted(
        self, store: Store, together: bool, wrong: bool
    ) -> None:
        log = org_log()
        (entry_id,) = log.append_signals(1)
        answer = log.corrupt_body(0) if wrong else log.withhold_body(0)
        if not together:
            await follow(store, log)
            assert store.first_missing(PEER) == 0
        log.append_retraction(entry_id)
        await follow(store, log)
        assert store.first_missing(PEER) is None
        assert store.deferred(PEER) == []
        (record,) = store.records(PEER, 0, 1)
        assert (record.outcome, record.error) == (Outcome.LAPSED, "ErasedBodyError")
        assert record.reason
        assert store.counts()[PEER] == {
            Outcome.ACCEPTED: 1,
            Outcome.REFUSED: 0,
            Outcome.DEFERRED: 0,
            Outcome.LAPSED: 1,
        }
        log.answers[0] = answer
        assert await store.resolve_deferred(PEER, plain_rows(log, 0, 1)) == 0
        assert store.signal(entry_id) is None
        assert store.bodies(PEER, 0, 1) == [ERASED]
        assert kinds(store) == (["refused"] if wrong else [])

    async def test_retraction_of_a_refused_signal_changes_nothing(self, store: Store) -> None:
        log = org_log()
        entry_id = log.append(Kind.SIGNAL, bytes(32), b'{"category":"no signal"}')
        log.append_retraction(entry_id)
        assessed = await follow(store, log)
        assert [entry.outcome for entry in assessed] == [Outcome.REFUSED, Outcome.ACCEPTED]
        (record,) = store.records(PEER, 0, 1)
        assert record.outcome is Outcome.REFUSED
        assert kinds(store) == ["refused"]

    async def test_signals_are_listed_newest_first_in_pages(self, store: Store) -> None:
        log = org_log()
        ids = log.append_signals(5)
        await follow(store, log)
        page = store.signals(SignalFilter(), limit=2)
        rest = store.signals(SignalFilter(), before=page[-1].cursor)
        assert [record.id for record in page + rest] == ids[::-1]

    async def test_signal_filters(self, store: Store) -> None:
        peer, own = org_log(), org_log(OWN)
        for log in (peer, own):
            ids = log.append_signals(8)
            log.append_retraction(ids[0])
            await follow(store, log)
        everything = store.signals(SignalFilter())
        assert len(everything) == 16
        for wanted, matches in (
            (SignalFilter(min_band=3), lambda r: r.band_level >= 3),
            (SignalFilter(category=everything[0].category), None),
            (SignalFilter(issuer=OWN), lambda r: r.issuer == OWN),
            (SignalFilter(status=SignalStatus.RETRACTED), lambda r: r.status == "retracted"),
            (
                SignalFilter(min_band=2, issuer=PEER, status=SignalStatus.LIVE),
                lambda r: r.band_level >= 2 and r.issuer == PEER and r.status == "live",
            ),
            (SignalFilter(issuer="nobody.example"), lambda r: False),
        ):
            expected = [
                record
                for record in everything
                if (matches or (lambda r: r.category == everything[0].category))(record)
            ]
            assert store.signals(wanted) == expected
        assert len(store.signals(SignalFilter(status=SignalStatus.RETRACTED))) == 2

    async def test_feed_filters(self, store: Store) -> None:
        log = org_log()
        ids = log.append_signals(8)
        log.append_note(b"junk")
        await follow(store, log)
        log.append_retraction(ids[0])
        await follow(store, log)
        fork = log.fork(9)
        fork.append_retraction(ids[1])
        follower = follower_of(store, log)
        with pytest.raises(Exception, match="suspended"):
            follower.offer(fork.checkpoint())
        await store.save_state(PEER, follower.state)
        everything = store.events(0, FeedFilter(suspended=True))
        assert [event.type for event in everything] == [
            "refused",
            *["signal"] * 8,
            "retraction",
            "evidence",
        ]

        def shown(wanted: FeedFilter) -> list[int]:
            return [event.seq for event in store.events(0, replace(wanted, suspended=True))]

        def seqs(keep: Callable[..., bool]) -> list[int]:
            return [event.seq for event in everything if keep(event)]

        for level in (1, 2, 3, 4):
            assert shown(FeedFilter(min_band=level)) == seqs(
                lambda e, level=level: (
                    e.type == "evidence"
                    or ("signal" in e.data and e.data["signal"]["band_level"] >= level)
                )
            )
        categories = frozenset({everything[1].data["signal"]["category"]})
        assert shown(FeedFilter(categories=categories)) == seqs(
            lambda e: (
                e.type == "evidence"
                or ("signal" in e.data and e.data["signal"]["category"] in categories)
            )
        )
        types: frozenset[EventType] = frozenset({"retraction", "refused"})
        assert shown(FeedFilter(types=types)) == seqs(lambda e: e.type in types)
        only = FeedFilter(min_band=1, types=frozenset({"retraction"}))
        assert shown(only) == seqs(lambda e: e.type == "retraction")

    async def test_trimmed_events_are_gone_and_numbers_go_on(
        self, store: Store, open_store: OpenStore
    ) -> None:
        log = org_log()
        log.append_signals(3)
        await follow(store, log)
        assert await store.trim_events(6) == 5
        assert (store.first_seq(), store.last_seq()) == (6, 6)
        assert await store.trim_events(99) == 1
        assert (store.first_seq(), store.last_seq()) == (7, 6)
        store.close()
        again = open_store()
        assert (again.first_seq(), again.last_seq()) == (7, 6)
        log.append_signals(1)
        await follow(again, log)
        assert [event.seq for event in again.events(0, EARLY)] == [7, 8]
        assert len(again.signals(SignalFilter())) == 4
        again.close()

    # --- refused, deferred, lapsed

    async def test_refused_entry_is_recorded_without_content(self, store: Store) -> None:
        log = org_log()
        salt, secret = bytes(32), b'{"category":"marker-of-content"}'
        entry_id = log.append(Kind.SIGNAL, salt, secret)
        log.append_signals(1)
        await follow(store, log)
        assert store.counts()[PEER] == {
            Outcome.ACCEPTED: 1,
            Outcome.REFUSED: 1,
            Outcome.DEFERRED: 0,
            Outcome.LAPSED: 0,
        }
        (refusal,) = store.refusals()
        assert (refusal.log, refusal.index, refusal.entry_id) == (PEER, 0, entry_id)
        assert refusal.error.endswith("Error")
        assert store.refusals(OWN) == []
        event = store.events(0, ALL)[0]
        assert event.data == {
            "seq": 1,
            "type": "refused",
            "at": 1000.0,
            "issuer": PEER,
            "index": 0,
            "id": entry_id,
            "error": refusal.error,
            "reason": refusal.reason,
        }
        assert store.bodies(PEER, 0, 1) == [MISSING]
        assert store.entries(PEER, 0, 1) == log.entries(0, 1)
        assert store.signal(entry_id) is None
        assert store.holds_entry(PEER, entry_id)

    async def test_refusals_are_listed_newest_first(self, store: Store) -> None:
        rows = junk_rows(0, 5)
        frontier = Frontier(0, ()).extend(row.leaf for row in rows)
        await store.commit_segment(PEER, 0, rows, FollowerState(5, frontier))
        assert [refusal.index for refusal in store.refusals(limit=3)] == [4, 3, 2]
        assert [refusal.index for refusal in store.refusals(PEER)] == [4, 3, 2, 1, 0]

    async def test_holds_entry(self, store: Store) -> None:
        log = org_log()
        accepted, deferred = log.append_signals(2)
        log.withhold_body(1)
        refused = log.append_note(b"junk")
        await follow(store, log)
        for entry_id in (accepted, deferred, refused):
            assert store.holds_entry(PEER, entry_id)
        assert not store.holds_entry(OWN, accepted)
        assert not store.holds_entry(PEER, "00" * 32)
        assert not store.holds_entry(PEER, "zz")

    async def test_missing_body_comes_later(self, store: Store) -> None:
        log = org_log()
        ids = log.append_signals(3)
        answers = [log.withhold_body(index) for index in (0, 1)]
        await follow(store, log)
        assert kinds(store) == ["signal"]
        waiting = store.deferred(PEER)
        assert [(row.index, row.entry_id, row.answer) for row in waiting] == [
            (0, ids[0], MISSING),
            (1, ids[1], MISSING),
        ]
        assert [row.note for row in waiting] == log.entries(0, 2)
        assert store.deferred(PEER, "MissingBodyError", limit=1) == waiting[:1]
        assert store.deferred(PEER, "UnknownKindError") == []
        assert store.deferred(OWN) == []
        log.answers[0] = answers[0]
        assert await look_again(store, log) == 1
        assert [row.index for row in store.deferred(PEER)] == [1]
        assert store.bodies(PEER, 0, 2) == [answers[0], MISSING]
        assert kinds(store) == ["signal", "signal"]
        assert store.counts()[PEER][Outcome.ACCEPTED] == 2
        assert store.counts()[PEER][Outcome.DEFERRED] == 1
        record = store.signal(ids[0])
        assert record is not None
        assert record.tokens

    async def test_resolving_twice_does_nothing_more(self, store: Store) -> None:
        log = org_log()
        log.append_signals(1)
        answer = log.withhold_body(0)
        await follow(store, log)
        log.answers[0] = answer
        rows = plain_rows(log, 0, 1)
        assert await store.resolve_deferred(PEER, rows) == 1
        before = (store.last_seq(), store.counts())
        assert await store.resolve_deferred(PEER, rows) == 0
        assert (store.last_seq(), store.counts()) == before

    async def test_still_waiting_is_no_event(self, store: Store) -> None:
        log = org_log()
        log.append_signals(1)
        log.withhold_body(0)
        await follow(store, log)
        assert await look_again(store, log) == 0
        assert kinds(store) == []
        assert len(store.deferred(PEER)) == 1

    async def test_resolving_another_entry_is_a_conflict(self, store: Store) -> None:
        log = org_log()
        log.append_signals(2)
        log.withhold_body(0)
        await follow(store, log)
        rows = [replace(plain_rows(log, 1, 2)[0], index=0)]
        with pytest.raises(StoreConflictError):
            await store.resolve_deferred(PEER, rows)
        with pytest.raises(StoreConflictError):
            await store.resolve_deferred(PEER, [replace(rows[0], index=7)])

    async def test_wrong_body_is_refused_until_the_right_one_comes(self, store: Store) -> None:
        log = org_log()
        (entry_id,) = log.append_signals(1)
        right = log.corrupt_body(0)
        await follow(store, log)
        assert kinds(store) == ["refused"]
        assert [row.error for row in store.deferred(PEER)] == ["BodyDigestError"]
        assert store.bodies(PEER, 0, 1) == [MISSING]
        assert await look_again(store, log) == 0
        assert kinds(store) == ["refused"]
        log.answers[0] = right
        assert await look_again(store, log) == 1
        assert kinds(store) == ["refused", "signal"]
        # The event goes on saying what was wrong at its time.
        assert store.events(0, ALL)[0].data["error"] == "BodyDigestError"
        assert store.refusals() == []
        assert store.counts()[PEER][Outcome.REFUSED] == 0
        assert store.signal(entry_id) is not None

    async def test_of_an_unknown_kind_no_body_is_kept_and_none_is_awaited(
        self, store: Store
    ) -> None:
        """Nobody knows when it expires, and it uses up no quota."""
        log = org_log()
        log.append_unknown()
        log.append(Kind.SIGNAL, bytes(32), b"{}", version=1)
        await follow(store, log)
        for error in ("UnknownKindError", "UnknownVersionError"):
            (row,) = store.deferred(PEER, error)
            assert row.answer == MISSING
        assert store.bodies(PEER, 0, 2) == [MISSING, MISSING]
        assert store.first_missing(PEER) is None
        assert store.history(PEER).counted_on(TODAY) == 0
        assert kinds(store) == []

    # --- erasure and expiry

    async def test_expire(self, store: Store) -> None:
        log = org_log()
        early = log.append_signal(log.pool[0], expires=Day(TODAY + 10))
        late = log.append_signal(log.pool[1], expires=Day(TODAY + 11))
        withdrawn = log.append_signal(log.pool[2], expires=Day(TODAY + 10))
        log.append_retraction(withdrawn)
        await follow(store, log)
        assert await store.expire(Day(TODAY + 10)) == 0  # the last day is still a day of its life
        assert await store.expire(Day(TODAY + 11)) == 1
        assert await store.expire(Day(TODAY + 11)) == 0
        records = [store.signal(entry) for entry in (early, late, withdrawn)]
        assert [record and record.status for record in records] == ["expired", "live", "retracted"]
        assert records[0] is not None
        assert records[0].tokens == ()
        assert store.bodies(PEER, 0, 3) == [ERASED, log.answers[1], ERASED]
        assert store.events(0, ALL)[0].data["signal"]["technique"] is None

    async def test_expire_many(self, store: Store) -> None:
        log = org_log()
        made = log.pool[0]
        for life in range(1_201):  # more than any batch
            log.append_signal(made, day=TODAY, expires=Day(TODAY + life % 300))
            log.answers[-1] = Present(made.salt, made.body)
        rows = [
            replace(row, outcome=Outcome.ACCEPTED, error="", answer=log.answers[row.index])
            for row in plain_rows(log, 0, 1_201)
        ]
        await store.commit_segment(PEER, 0, rows, state_at(log, 1_201))
        assert await store.expire(Day(TODAY + 400)) == 1_201
        assert set(store.bodies(PEER, 0, 1_201)) == {ERASED}

    async def test_lapsed_entry_keeps_no_content(self, store: Store) -> None:
        log = org_log()
        entry_id = log.append_signal(log.pool[0], expires=TODAY)
        await follow(store, log, Day(TODAY + 1))
        assert store.bodies(PEER, 0, 1) == [ERASED]
        assert store.signal(entry_id) is None
        assert kinds(store) == []
        assert store.counts()[PEER][Outcome.LAPSED] == 1

    async def test_erase_body(self, store: Store) -> None:
        log = org_log()
        (entry_id,) = log.append_signals(1)
        await follow(store, log)
        assert await store.erase_body(PEER, 0)
        assert not await store.erase_body(PEER, 0)
        assert store.bodies(PEER, 0, 1) == [ERASED]
        record = store.signal(entry_id)
        assert record is not None
        assert record.status is SignalStatus.ERASED
        assert record.tokens == ()
        with pytest.raises(StoreRangeError):
            await store.erase_body(PEER, 1)
        with pytest.raises(StoreRangeError):
            await store.erase_body("nobody.example", 0)

    async def test_lapsed_row_keeps_no_body_even_if_one_comes_with_it(self, store: Store) -> None:
        log = org_log()
        log.append_signals(1)
        (row,) = plain_rows(log, 0, 1)
        lapsed = replace(row, outcome=Outcome.LAPSED, error="ExpiredEntryError", signal=None)
        await store.commit_segment(PEER, 0, [lapsed], state_at(log, 1))
        assert store.bodies(PEER, 0, 1) == [ERASED]

    async def test_erasing_what_was_retracted_changes_nothing(self, store: Store) -> None:
        log = org_log()
        (entry_id,) = log.append_signals(1)
        log.append_retraction(entry_id)
        await follow(store, log)
        assert not await store.erase_body(PEER, 0)
        record = store.signal(entry_id)
        assert record is not None
        assert record.status is SignalStatus.RETRACTED

    async def test_erased_signal_can_be_retracted(self, store: Store) -> None:
        log = org_log()
        (entry_id,) = log.append_signals(1)
        await follow(store, log)
        await store.erase_body(PEER, 0)
        log.append_retraction(entry_id)
        await follow(store, log)
        record = store.signal(entry_id)
        assert record is not None
        assert record.status is SignalStatus.RETRACTED
        assert kinds(store) == ["signal", "retraction"]

    async def test_erasing_what_is_deferred_decides_it(self, store: Store) -> None:
        log = org_log()
        log.append_signals(1)
        answer = log.withhold_body(0)
        await follow(store, log)
        assert await store.erase_body(PEER, 0)
        assert store.deferred(PEER) == []
        assert store.counts()[PEER][Outcome.LAPSED] == 1
        assert store.counts()[PEER][Outcome.DEFERRED] == 0
        log.answers[0] = answer
        assert await store.resolve_deferred(PEER, plain_rows(log, 0, 1)) == 0
        assert store.bodies(PEER, 0, 1) == [ERASED]

    # --- vault

    async def test_vault_rows(self, store: Store) -> None:
        first, second = incident("one", b"r" * 32), incident("two")
        await store.vault_put(first)
        await store.vault_put(second)
        assert store.vault_count() == 2
        assert store.vault_get("one") == replace(first, reference_mac=None)
        assert store.vault_get("three") is None
        known = store.vault_find(b"r" * 32)
        assert known is not None
        assert (known.incident_id, known.entry_id) == ("one", "ab" * 32)
        assert store.vault_find(b"s" * 32) is None
        with pytest.raises(StoreConflictError):
            await store.vault_put(incident("one"))
        with pytest.raises(DuplicateReferenceError) as caught:
            await store.vault_put(incident("four", b"r" * 32))
        assert caught.value.incident_id == "one"
        assert store.vault_count() == 2
        assert await store.vault_erase("one")
        assert not await store.vault_erase("one")
        assert store.vault_get("one") is None
        assert store.vault_find(b"r" * 32) is not None  # still published, so still a duplicate

    async def test_vault_expiry(self, store: Store) -> None:
        for name, days in (("a", 1), ("b", 2), ("c", 3)):
            await store.vault_put(incident(name, expires=TODAY + days))
        assert await store.vault_expire(Day(TODAY + 1)) == 0
        assert await store.vault_expire(Day(TODAY + 3)) == 2
        assert store.vault_get("c") is not None
        assert store.vault_count() == 1

    async def test_vaulted_with_the_segment_or_not_at_all(self, store: Store) -> None:
        log = org_log(OWN)
        log.append_signals(2)
        rows = plain_rows(log, 0, 2)
        await store.commit_segment(OWN, 0, rows[:1], state_at(log, 1), [incident("one", b"r" * 32)])
        assert store.vault_get("one") is not None
        with pytest.raises(DuplicateReferenceError):
            await store.commit_segment(
                OWN,
                1,
                rows[1:],
                state_at(log, 2),
                [incident("two"), incident("three", b"r" * 32)],
            )
        assert store.state(OWN).size == 1
        assert store.vault_count() == 1
        assert store.last_seq() == 1

    # --- the store as a whole

    async def test_everything_outlives_a_restart(self, open_store: OpenStore) -> None:
        store = open_store()
        log = org_log()
        ids = log.append_signals(4)
        log.withhold_body(1)
        log.append_note(b"junk")
        log.append_retraction(ids[0])
        await follow(store, log)
        await store.vault_put(incident("one", b"r" * 32))
        await store.set_meta("answer", b"42")

        def seen(store: Store) -> Sequence[object]:
            return (
                store.state(PEER),
                store.entries(PEER, 0, 6),
                store.bodies(PEER, 0, 6),
                store.counts(),
                store.signals(SignalFilter()),
                store.events(0, ALL),
                store.deferred(PEER),
                store.refusals(),
                store.checkpoints(PEER),
                store.nodes(PEER, range_nodes(0, 6)),
                store.vault_get("one"),
                store.vault_find(b"r" * 32),
                store.meta("answer"),
                store.last_seq(),
            )

        before = seen(store)
        store.close()
        again = open_store()
        assert seen(again) == before
        again.close()

    async def test_meta(self, store: Store) -> None:
        assert store.meta("key") is None
        await store.set_meta("key", b"one")
        await store.set_meta("key", b"two")
        assert store.meta("key") == b"two"

    async def test_closed_store_says_so(self, open_store: OpenStore) -> None:
        store = open_store()
        store.state(PEER)
        store.close()
        store.close()
        with pytest.raises(StoreClosedError):
            store.state(PEER)
        with pytest.raises(StoreClosedError):
            await store.set_meta("key", b"")

    async def test_close_writes_what_was_accepted(self, open_store: OpenStore) -> None:
        store = open_store()
        writes = [asyncio.ensure_future(store.set_meta(f"key {n}", b"%d" % n)) for n in range(50)]
        await asyncio.sleep(0)  # lets each of them be accepted
        await asyncio.to_thread(store.close)
        await asyncio.gather(*writes)
        again = open_store()
        assert [again.meta(f"key {n}") for n in range(50)] == [b"%d" % n for n in range(50)]
        again.close()

    async def test_reads_from_other_threads_see_acknowledged_writes(self, store: Store) -> None:
        seen: list[bytes | None] = []
        for n in range(20):
            await store.set_meta("key", b"%d" % n)
            thread = threading.Thread(target=lambda: seen.append(store.meta("key")))
            thread.start()
            thread.join()
        assert seen == [b"%d" % n for n in range(20)]

    async def test_one_failing_write_does_not_harm_its_neighbours(self, store: Store) -> None:
        log = org_log()
        log.append_signals(1)
        results = await asyncio.gather(
            store.set_meta("before", b"1"),
            store.commit_segment(PEER, 9, [], state_at(log, 1)),
            store.vault_erase("nothing"),
            store.erase_body(PEER, 0),
            store.set_meta("after", b"2"),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [
            type(None),
            StoreConflictError,
            bool,
            StoreRangeError,
            type(None),
        ]
        assert (store.meta("before"), store.meta("after")) == (b"1", b"2")
