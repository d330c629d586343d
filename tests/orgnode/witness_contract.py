"""The part of the stores' contract that witnessing and gossip stand on."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from match_rows import Shelf, digest, retraction_row, signal_row, waiting
from store_contract import (
    OWN,
    PEER,
    OpenStore,
    certify,
    follow,
    follower_of,
    junk_rows,
    look_again,
    org_log,
    plain_rows,
    state_at,
)

from mesh.following import FollowerState
from mesh.outcome import Outcome
from mesh.vector import LogPosition
from mesh.witness import Witnessed
from orgnode.store import (
    Store,
    StoreConflictError,
    StoreRangeError,
    WitnessConflictError,
    WitnessedRootError,
)
from proofs.merkle import EMPTY_ROOT, Frontier

THIRD = "cobalt.example"
ROOTS = [bytes.fromhex(digest(n)) for n in range(4)]


class WitnessContract:
    """Inherit, and provide the fixture `open_store`."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Any:
        store = open_store()
        yield store
        store.close()

    # --- what was cosigned

    async def test_a_log_that_was_never_cosigned(self, store: Store) -> None:
        assert store.witnessed(PEER) == Witnessed(0, EMPTY_ROOT)
        await store.put_witnessed(PEER, 0, 3, ROOTS[0], b"note")
        assert store.witnessed(PEER) == Witnessed(3, ROOTS[0])
        assert store.witnessed(OWN) == Witnessed(0, EMPTY_ROOT)

    @pytest.mark.parametrize("log", [PEER, OWN])
    async def test_cosigning_goes_on_from_what_was_cosigned_last(
        self, open_store: OpenStore, log: str
    ) -> None:
        store = open_store()
        await store.put_witnessed(log, 0, 3, ROOTS[0], b"note")
        await store.put_witnessed(log, 3, 7, ROOTS[1], b"note")
        for old in (0, 3, 8):
            with pytest.raises(WitnessConflictError) as caught:
                await store.put_witnessed(log, old, 9, ROOTS[2], b"note")
            assert caught.value.size == 7
            assert isinstance(caught.value, StoreConflictError)
        assert store.witnessed(log) == Witnessed(7, ROOTS[1])
        store.close()
        again = open_store()
        assert again.witnessed(log) == Witnessed(7, ROOTS[1])
        again.close()

    async def test_cosigned_again_is_no_change(self, store: Store) -> None:
        await store.put_witnessed(PEER, 0, 3, ROOTS[0], b"note")
        await store.put_witnessed(PEER, 3, 3, ROOTS[0], b"note")
        assert store.witnessed(PEER) == Witnessed(3, ROOTS[0])

    @pytest.mark.parametrize(("size", "root"), [(3, ROOTS[1]), (2, ROOTS[0]), (0, EMPTY_ROOT)])
    async def test_nothing_else_is_cosigned_up_to_there(
        self, store: Store, size: int, root: bytes
    ) -> None:
        await store.put_witnessed(PEER, 0, 3, ROOTS[0], b"note")
        with pytest.raises(WitnessedRootError) as caught:
            await store.put_witnessed(PEER, 3, size, root, b"note")
        assert (caught.value.log, caught.value.size) == (PEER, 3)
        assert store.witnessed(PEER) == Witnessed(3, ROOTS[0])

    async def test_of_two_requests_at_one_time_one_wins(self, store: Store) -> None:
        results = await asyncio.gather(
            *(store.put_witnessed(PEER, 0, 3, root, b"note") for root in ROOTS),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [
            type(None),
            *[WitnessConflictError] * 3,
        ]
        assert store.witnessed(PEER) == Witnessed(3, ROOTS[0])

    # --- the tree

    async def test_roots_of_all_sizes(self, store: Store) -> None:
        log = org_log()
        rows = junk_rows(0, 600)
        for row in rows:
            log.append_note(row.note)
        await store.commit_segment(PEER, 0, rows[:590], state_at(log, 590))
        await store.commit_segment(PEER, 590, rows[590:], state_at(log, 600))
        for size in (0, 1, 2, 3, 5, 128, 255, 256, 257, 300, 511, 512, 513, 589, 599, 600):
            assert store.root_at(PEER, size) == log.frontier(size).root(), size
        assert store.root_at("nobody.example", 0) == EMPTY_ROOT
        for log_name, size in ((PEER, 601), (PEER, -1), ("nobody.example", 1)):
            with pytest.raises(StoreRangeError):
                store.root_at(log_name, size)

    # --- what is awaited

    async def test_first_missing(self, store: Store) -> None:
        log = org_log()
        ids = log.append_signals(4)
        assert store.first_missing(PEER) is None
        answers = {index: log.withhold_body(index) for index in (1, 3)}
        log.append_unknown()  # it waits for a newer version, and so does its body
        log.erase_body(2)  # nobody believes this without a retraction
        await follow(store, log)
        assert store.first_missing(PEER) == 1
        assert store.first_missing(OWN) is None
        log.answers[1] = answers[1]
        await look_again(store, log)
        assert store.first_missing(PEER) == 2
        log.append_retraction(ids[2])
        await follow(store, log)
        assert store.first_missing(PEER) == 3
        await store.erase_body(PEER, 3)
        assert store.first_missing(PEER) is None

    async def test_a_wrong_body_is_still_missing(self, store: Store) -> None:
        log = org_log()
        log.append_signals(2)
        log.corrupt_body(1)
        await follow(store, log)
        assert store.first_missing(PEER) == 1

    # --- what is known

    async def test_the_newest_checkpoint_is_seen_before_its_entries_are_here(
        self, store: Store
    ) -> None:
        log = org_log()
        log.append_signals(2)
        assert store.seen(PEER) is None
        await follow(store, log)
        assert store.seen(PEER) == log.checkpoint(2)
        log.append_signals(3)
        follower = follower_of(store, log)
        assert follower.offer(log.checkpoint())
        await store.save_state(PEER, follower.state)
        assert store.seen(PEER) == log.checkpoint(5)
        assert store.checkpoint(PEER) == log.checkpoint(2)
        assert store.seen(OWN) is None

    async def test_vector(self, store: Store) -> None:
        assert store.vector() == []
        peer, own = org_log(), org_log(OWN)
        for log in (peer, own):
            log.append_signals(3)
            await follow(store, log, certified=False)
        await certify(store, own, 2)
        await store.put_witnessed(THIRD, 0, 1, ROOTS[0], b"note")  # of this log nothing is held
        assert store.vector() == [
            LogPosition(OWN, 3, 2, own.frontier().root()),
            LogPosition(PEER, 3, 0, peer.frontier().root()),
        ]
        # A target is not held; a log that is suspended is told of all the same.
        peer.append_signals(1)
        follower = follower_of(store, peer)
        follower.offer(peer.checkpoint())
        await store.save_state(PEER, follower.state)
        await Shelf(store).suspend(PEER)
        assert store.vector()[1] == LogPosition(PEER, 3, 0, peer.frontier(3).root())

    async def test_vector_of_a_log_certified_on_the_way_to_a_checkpoint(self, store: Store) -> None:
        log = org_log()
        log.append_signals(4)
        rows = plain_rows(log, 0, 4)
        for before, size in ((0, 2), (2, 3)):
            state = state_at(log, size, checkpoint=None, target=log.checkpoint(4))
            await store.commit_segment(PEER, before, rows[before:size], state)
        assert store.vector() == []
        await certify(store, log, 2)
        assert store.vector() == [LogPosition(PEER, 2, 2, log.frontier(2).root())]
        await store.commit_segment(PEER, 3, rows[3:], state_at(log, 4))
        assert store.vector() == [LogPosition(PEER, 4, 2, log.frontier(4).root())]

    async def test_vector_of_a_log_cosigned_on_the_way_to_a_checkpoint(self, store: Store) -> None:
        """Else two members could hold, and cosign, two histories without ever noticing."""
        log = org_log()
        log.append_signals(4)
        rows = plain_rows(log, 0, 4)
        state = state_at(log, 3, checkpoint=None, target=log.checkpoint(4))
        await store.commit_segment(PEER, 0, rows[:3], state)
        root = log.frontier(2).root()
        assert store.witnessed_note(PEER) is None
        await store.put_witnessed(PEER, 0, 2, root, log.checkpoint(2))
        assert store.vector() == [LogPosition(PEER, 2, 0, root)]
        assert store.witnessed_note(PEER) == log.checkpoint(2)
        await store.commit_segment(PEER, 3, rows[3:], state_at(log, 4))
        assert store.vector() == [LogPosition(PEER, 4, 0, log.frontier(4).root())]
        await store.put_witnessed(PEER, 2, 4, log.frontier(4).root(), log.checkpoint(4))
        assert store.witnessed_note(PEER) == log.checkpoint(4)

    async def test_nothing_of_a_log_that_was_only_accused(self, store: Store) -> None:
        await Shelf(store).suspend(PEER)
        assert store.vector() == []

    async def test_what_is_retracted_is_not_awaited_whatever_the_order(self, store: Store) -> None:
        shelf = Shelf(store)
        row = signal_row([digest("a")])
        late = retraction_row(row.entry_id)
        await shelf.add(PEER, waiting(row), waiting(late))
        assert store.first_missing(PEER) == 0
        rows = [replace(late, index=1), replace(row, index=0)]
        assert await store.resolve_deferred(PEER, rows) == 1
        assert store.first_missing(PEER) is None
        assert store.records(PEER, 0, 1)[0].outcome is Outcome.LAPSED

    async def test_vector_of_an_empty_log(self, store: Store) -> None:
        log = org_log()
        await store.save_state(PEER, FollowerState(0, Frontier(0, ()), log.checkpoint(0)))
        assert store.vector() == [LogPosition(PEER, 0, 0, EMPTY_ROOT)]
