"""The part of the stores' contract that is about a log's own past: history, receipts, pauses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from match_rows import (
    Shelf,
    digest,
    evidence_row,
    promotion_row,
    retraction_row,
    sighting_row,
    signal_row,
    waiting,
)
from store_contract import OWN, PEER, OpenStore, check_proofs, follow, follower_of, org_log

from mesh.accusation import compose_accusation
from mesh.days import SECONDS_PER_DAY, Day, day_of
from mesh.entry import Kind
from mesh.evidence import Evidence, EvidenceKind
from mesh.outcome import Outcome
from mesh.testing import TODAY, OrgLog
from mesh.testing.rows import Rows
from mesh.wire import BodyAnswer
from orgnode.store import LogRow, ReceiptRecord, Store
from orgnode.store.history import MAX_UNREAD

THIRD, FOURTH = "cobalt.example", "dune.example"
A, B, C, D = (digest(name) for name in "abcd")
Open = Callable[..., Store]


def holders(store: Store, token: str) -> list[str]:
    """Ids of the signals that count for a token."""
    return [source.signal for source in store.sources([token]).get(token, [])]


def accusation_of(log: str) -> bytes:
    """True evidence against a log: two checkpoints of one size."""
    honest = org_log(log)
    honest.append_signals(2)
    other = honest.fork(1)
    other.append_signal(other.pool[7])
    return compose_accusation(
        Evidence(EvidenceKind.SPLIT, log, honest.checkpoint(2), other.checkpoint(2))
    )


def varied(log: OrgLog) -> dict[int, BodyAnswer]:
    """Append entries of every fate; returns the bodies that come later, in order."""
    ids = log.append_signals(6)
    copied = log.notes[3], log.answers[3]
    log.append_note(b"junk")
    log.append_note(*copied)
    log.append_unknown()
    false = log.append(Kind.SIGNAL, bytes(32), b"{}")
    log.append_signal(log.pool[6], day=Day(TODAY + 1))
    log.append_signal(log.pool[7])  # dated back
    log.day = Day(TODAY + 1)
    log.append_signal(log.pool[8], expires=Day(TODAY + 1))
    log.append_signal(log.pool[9], day=Day(TODAY + 9))  # dated ahead
    log.append_sighting(digest("elsewhere"))
    for target in (ids[0], ids[4], false, digest("unknown")):
        log.append_retraction(target)
    late_retraction = log.size
    log.append_retraction(ids[5])
    late_evidence = log.size
    log.append(Kind.EVIDENCE, bytes(32), accusation_of(THIRD))
    log.append(Kind.EVIDENCE, bytes(31) + b"1", accusation_of(THIRD))
    log.append(Kind.EVIDENCE, bytes(32), accusation_of(FOURTH))
    late = (late_evidence, 2, late_retraction, 0)
    return {index: log.withhold_body(index) for index in late} | {1: log.corrupt_body(1)}


class HistoryContract:
    """Inherit, and provide the fixture `open_store`."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Any:
        store = open_store()
        yield store
        store.close()

    @pytest.fixture
    def shelf(self, store: Store) -> Shelf:
        return Shelf(store)

    # --- what is stored of one log

    def test_history_of_a_log_never_heard_of(self, store: Store) -> None:
        history = store.history(PEER)
        assert not history.holds_entry(A)
        assert history.signal_expires(A, 99) is None
        assert not history.is_retracted(A)
        assert not history.accuses(PEER)
        assert list(history.unread_accusations(99)) == []
        assert history.counted_on(TODAY) == 0
        assert history.last_day() is None

    async def test_history_is_that_of_the_model(self, store: Store) -> None:
        """`Rows` is the history that the rules of following are tested with."""
        log, rows = org_log(), Rows()
        withheld = varied(log)
        rows.append(await follow(store, log, Day(TODAY + 1)))
        outcomes = {row.outcome for row in rows.values()}
        assert outcomes == set(Outcome)
        self._compare(store, log, rows)
        for index, answer in withheld.items():
            log.answers[index] = answer
            follower = follower_of(store, log)
            waiting_rows = store.deferred(PEER)
            items = [
                (row.index, row.note, log.bodies(row.index, row.index + 1)[0])
                for row in waiting_rows
            ]
            checked = follower.reassess(items, Day(TODAY + 1))
            settled = follower.conclude(checked, check_proofs(checked.claims))
            await store.resolve_deferred(PEER, [LogRow.of(entry) for entry in settled])
            rows.resolve(settled)
            self._compare(store, log, rows)

    def _compare(self, store: Store, log: OrgLog, rows: Rows) -> None:
        history = store.history(PEER)
        ids = [row.entry_id for row in rows.values()]
        for entry_id in (*ids, digest("unknown"), "no id"):
            assert history.holds_entry(entry_id) == rows.holds_entry(entry_id)
            for before in range(log.size + 1):
                expires = history.signal_expires(entry_id, before)
                assert expires == rows.signal_expires(entry_id, before)
            assert history.is_retracted(entry_id) == rows.is_retracted(entry_id)
        for accused in (PEER, THIRD, FOURTH):
            assert history.accuses(accused) == rows.accuses(accused)
        for before in range(log.size + 1):
            assert list(history.unread_accusations(before)) == rows.unread_accusations(before)
        for day in range(TODAY - 2, TODAY + 5):
            assert history.counted_on(Day(day)) == rows.counted_on(Day(day))
        assert history.last_day() == rows.last_day()

    async def test_history_follows_the_store(self, store: Store, shelf: Shelf) -> None:
        history = store.history(PEER)
        one = await shelf.signal(PEER, A)
        await shelf.early(PEER, signal_row([B]), waiting(sighting_row(one)))
        assert history.signal_expires(one, 1) == store.records(PEER, 0, 1)[0].expires
        assert history.signal_expires(one, 0) is None
        assert not store.history(OWN).holds_entry(one)
        assert store.history(OWN).signal_expires(one, 9) is None
        assert history.counted_on(TODAY) == 3
        assert store.history(OWN).counted_on(TODAY) == 0
        await shelf.early(PEER, replace(signal_row([A]), day=Day(TODAY + 3)))
        assert (history.counted_on(TODAY), history.counted_on(Day(TODAY + 3))) == (3, 1)
        assert history.last_day() == TODAY + 3

    async def test_retractions_and_evidence_are_free(self, store: Store, shelf: Shelf) -> None:
        one = await shelf.signal(PEER, A)
        await shelf.early(
            PEER,
            retraction_row(one, day=Day(TODAY + 1)),
            evidence_row(THIRD, day=Day(TODAY + 2)),
            promotion_row((B, A, []), day=Day(TODAY + 2)),
            retraction_row(one, day=Day(TODAY + 5)),
        )
        history = store.history(PEER)
        counted = [history.counted_on(Day(TODAY + n)) for n in range(3)]
        assert counted == [1, 0, 1]
        assert history.last_day() == TODAY + 2, "a retraction moves no day"

    async def test_an_entry_that_is_read_after_an_upgrade(self, store: Store, shelf: Shelf) -> None:
        row = signal_row([A])
        unread = replace(
            waiting(row), answer=row.answer, kind=None, day=None, error="UnknownVersionError"
        )
        await shelf.early(PEER, unread)
        history = store.history(PEER)
        assert (history.counted_on(TODAY), history.last_day()) == (0, None)
        await shelf.resolve(PEER, 0, row)
        assert (history.counted_on(TODAY), history.last_day()) == (1, TODAY)

    async def test_an_entry_that_stands_no_more(self, store: Store, shelf: Shelf) -> None:
        """Its body came after the clock had been set back: it is dated ahead then."""
        row = waiting(signal_row([A], day=Day(TODAY + 3)))
        await shelf.early(PEER, signal_row([A]), row)
        history = store.history(PEER)
        assert (history.counted_on(Day(TODAY + 3)), history.last_day()) == (1, TODAY + 3)
        refused = replace(row, outcome=Outcome.REFUSED, error="DatedAheadError")
        await shelf.resolve(PEER, 1, refused)
        assert (history.counted_on(Day(TODAY + 3)), history.last_day()) == (0, TODAY)
        assert history.counted_on(TODAY) == 1

    async def test_of_many_unread_accusations_the_first_are_told(
        self, store: Store, shelf: Shelf
    ) -> None:
        rows = [waiting(evidence_row(THIRD)) for _ in range(MAX_UNREAD + 1)]
        await shelf.early(PEER, signal_row([A]), waiting(signal_row([A])), *rows)
        history = store.history(PEER)
        assert list(history.unread_accusations(9_999)) == list(range(2, MAX_UNREAD + 2))
        assert list(history.unread_accusations(4)) == [2, 3]

    # --- what was done about a retraction

    async def test_retraction_done(self, store: Store, shelf: Shelf) -> None:
        row = signal_row([A])
        one = await shelf.signal(PEER, A)
        retraction, again = await shelf.early(PEER, retraction_row(one), retraction_row(one))
        assert store.retraction_done(PEER, retraction) == (one, True)
        assert store.retraction_done(PEER, again) is None
        assert store.retraction_done(OWN, retraction) is None
        assert store.retraction_done(PEER, one) is None
        assert store.retraction_done(PEER, "no id") is None
        await shelf.early(THIRD, waiting(row), retraction_row(row.entry_id))
        retraction = store.records(THIRD, 1, 2)[0].entry_id
        assert store.retraction_done(THIRD, retraction) == (row.entry_id, True)
        late = retraction_row(row.entry_id)
        await shelf.early(FOURTH, row, waiting(late))
        assert store.retraction_done(FOURTH, late.entry_id) is None

    async def test_what_is_kept_is_not_said_to_be_erased(self, store: Store, shelf: Shelf) -> None:
        """A target that was refused for its content has no body here; any other is erased."""
        row = signal_row([A])
        unknown = replace(row, signal=None, outcome=Outcome.DEFERRED, error="UnknownVersionError")
        await shelf.early(PEER, replace(unknown, kind=None), retraction_row(row.entry_id))
        retraction = store.records(PEER, 1, 2)[0].entry_id
        assert store.retraction_done(PEER, retraction) == (row.entry_id, False)

    # --- receipts

    async def test_receipts(self, open_store: Open) -> None:
        now = [1000.0]
        store = open_store(clock=lambda: now[0])
        shelf = Shelf(store)
        one = await shelf.signal(OWN, A)
        (retraction,) = await shelf.early(OWN, retraction_row(one))
        assert store.receipts(retraction) == store.receipts(one) == []
        assert store.unreceipted(PEER) == store.unreceipted(THIRD) == [retraction]
        await store.put_receipt(retraction, THIRD, b"third")
        now[0] = 2000.0
        await store.put_receipt(retraction, PEER, b"peer")
        expected = [ReceiptRecord(PEER, b"peer", 2000.0), ReceiptRecord(THIRD, b"third", 1000.0)]
        assert store.receipts(retraction) == store.receipts(one) == expected
        assert store.receipts("no id") == store.receipts(A) == []
        assert store.unreceipted(PEER) == store.unreceipted(THIRD) == []
        assert store.unreceipted(FOURTH) == [retraction]
        now[0] = 3000.0
        await store.put_receipt(retraction, THIRD, b"newer")
        store.close()
        again = open_store()
        assert again.receipts(one)[1] == ReceiptRecord(THIRD, b"newer", 3000.0)
        again.close()

    async def test_receipts_are_awaited_of_own_retractions(
        self, store: Store, shelf: Shelf
    ) -> None:
        foreign = await shelf.signal(PEER, A)
        await shelf.add(PEER, retraction_row(foreign))
        own = await shelf.add(OWN, *(signal_row([A]) for _ in range(5)))
        refused = replace(retraction_row(own[0]), outcome=Outcome.REFUSED, error="X", retracts=None)
        rows = [retraction_row(one) for one in own[:4]]
        soon = retraction_row(own[4], expires=Day(TODAY + 1))
        await shelf.early(OWN, refused, *rows, soon, retraction_row(own[4]))
        expected = [row.entry_id for row in rows]
        assert store.unreceipted(PEER) == [*expected, soon.entry_id]
        assert store.unreceipted(PEER, limit=2) == expected[:2]
        await store.put_receipt(expected[0], PEER, b"note")
        assert store.unreceipted(PEER, limit=2) == expected[1:3]
        await store.expire(Day(TODAY + 2))
        assert store.unreceipted(PEER) == expected[1:]

    # --- the pause after a retraction

    @pytest.mark.parametrize("days", [1, 3])
    async def test_a_new_signal_on_withdrawn_tokens_waits(
        self, open_store: Open, days: int
    ) -> None:
        store = open_store(cooldown_days=days)
        shelf = Shelf(store)
        one = await shelf.signal(PEER, A, B)
        await shelf.add(PEER, retraction_row(one))
        during = [await shelf.signal(PEER, A, C, day=Day(TODAY + day)) for day in range(days + 1)]
        after = await shelf.signal(PEER, A, day=Day(TODAY + days + 1))
        assert holders(store, A) == [after]
        assert holders(store, B) == []
        assert holders(store, C) == during
        record = store.signal(during[0])
        assert record is not None
        assert A in record.tokens  # it says so, and is not believed
        store.close()

    async def test_no_pause(self, open_store: Open) -> None:
        store = open_store(cooldown_days=0)
        shelf = Shelf(store)
        one = await shelf.signal(OWN, A)
        await shelf.add(OWN, retraction_row(one))
        again = await shelf.signal(OWN, A)
        assert holders(store, A) == [again]
        assert store.cooling([A]) == {}
        store.close()

    async def test_a_pause_concerns_later_signals_of_the_same_log(
        self, store: Store, shelf: Shelf
    ) -> None:
        one, before = await shelf.add(PEER, signal_row([A]), signal_row([A]))
        other = await shelf.signal(THIRD, A)
        provisional, _ = await shelf.early(PEER, signal_row([A]), retraction_row(one))
        await shelf.certify(PEER)
        assert holders(store, A) == [before, provisional, other]
        later = await shelf.signal(THIRD, A)
        await shelf.signal(PEER, A)
        assert holders(store, A) == [before, provisional, other, later]

    async def test_a_pause_begins_with_any_retraction(self, store: Store, shelf: Shelf) -> None:
        """Also of a signal that never counted: it was seen all the same."""
        (one,) = await shelf.early(PEER, signal_row([A]))
        await shelf.add(PEER, retraction_row(one), signal_row([A]))
        assert holders(store, A) == []

    async def test_a_retraction_whose_body_comes_late(self, store: Store, shelf: Shelf) -> None:
        """Members that had it earlier do not count the later signals, so nobody does."""
        own = await shelf.signal(OWN, A, B)
        one = await shelf.signal(PEER, A)
        late = retraction_row(one)
        later = [signal_row([A]), signal_row([A, B]), signal_row([A], day=Day(TODAY + 5))]
        ids = await shelf.add(PEER, waiting(late), *later)
        assert holders(store, A) == [own, one, *ids[1:]]
        await shelf.resolve(PEER, 1, late)
        assert holders(store, A) == [own, ids[3]]
        assert holders(store, B) == [own, ids[2]]
        assert sorted(store.promotable(1)) == sorted([(A, own), (B, own)])
        await store.erase_body(PEER, 4)
        assert store.promotable(1) == [(B, own)]

    async def test_a_late_retraction_takes_a_member_off_once(
        self, store: Store, shelf: Shelf
    ) -> None:
        own = await shelf.signal(OWN, A)
        await shelf.signal(THIRD, A)
        one = await shelf.signal(PEER, A)
        late = retraction_row(one)
        await shelf.add(PEER, waiting(late), signal_row([A]), signal_row([A]))
        assert store.promotable(2) == [(A, own)]
        await shelf.resolve(PEER, 1, late)
        assert store.promotable(1) == [(A, own)]
        assert store.promotable(2) == []

    @pytest.mark.parametrize("order", [(1, 2), (2, 1)])
    async def test_a_retraction_and_a_later_signal_whose_bodies_come_together(
        self, store: Store, shelf: Shelf, order: tuple[int, int]
    ) -> None:
        one = await shelf.signal(PEER, A)
        rows = {1: retraction_row(one), 2: signal_row([A, B])}
        await shelf.add(PEER, *map(waiting, rows.values()))
        late = [replace(rows[index], index=index) for index in order]
        assert await store.resolve_deferred(PEER, late) == 2
        assert holders(store, A) == []
        assert holders(store, B) == [rows[2].entry_id]

    async def test_a_signal_and_its_retraction_whose_bodies_come_together(
        self, store: Store, shelf: Shelf
    ) -> None:
        own = await shelf.signal(OWN, A)
        row = signal_row([A])
        late = retraction_row(row.entry_id)
        await shelf.add(PEER, waiting(row), waiting(late))
        await shelf.add(THIRD, promotion_row((B, A, [row.entry_id])))
        rows = [replace(row, index=0), replace(late, index=1)]
        assert await store.resolve_deferred(PEER, rows) == 2
        assert holders(store, A) == [own]
        assert store.promotable(0) == [(A, own)]
        assert store.promotable(1) == []
        assert store.promotions([B])[B][0].held_by == ()

    @pytest.mark.parametrize("late", [False, True])
    async def test_dates_that_lag_escape_no_pause(self, open_store: Open, late: bool) -> None:
        """What stands behind a retraction rests from when that came; it counts here afterwards."""
        now = [TODAY * SECONDS_PER_DAY + 5.0]
        store = open_store(clock=lambda: now[0], cooldown_days=2)
        shelf = Shelf(store)
        own = await shelf.signal(OWN, A, B)
        one = await shelf.signal(PEER, A, day=Day(TODAY - 9))
        withdrawn = retraction_row(one, day=Day(TODAY - 9))
        again = signal_row([A, B])
        await shelf.add(PEER, waiting(withdrawn) if late else withdrawn, again)
        if late:
            await shelf.resolve(PEER, 1, withdrawn)
        await store.expire(TODAY)
        gone = await shelf.signal(PEER, A)
        for _ in range(3):
            assert holders(store, A) == [own]
            assert holders(store, B) == [own, again.entry_id]
            assert store.promotable(1) == [(B, own)]
            await store.expire(day_of(now[0]))
            now[0] += SECONDS_PER_DAY
        await store.erase_body(PEER, 3)
        await store.expire(Day(TODAY + 3))
        assert holders(store, A) == [own, again.entry_id]
        assert holders(store, B) == [own, again.entry_id]
        assert gone not in holders(store, A)
        assert sorted(store.promotable(1)) == sorted([(A, own), (B, own)])
        await store.expire(Day(TODAY + 4))
        assert holders(store, A) == [own, again.entry_id]
        later = await shelf.signal(PEER, A)
        assert holders(store, A) == [own, again.entry_id, later]
        store.close()

    async def test_who_learns_late_of_a_pause_counts_like_the_others_after_it(
        self, open_store: Open
    ) -> None:
        """Absence changes nothing for good: what was dated after the pause counts in the end."""
        now = [(TODAY + 5) * SECONDS_PER_DAY + 5.0]
        store = open_store(clock=lambda: now[0], cooldown_days=1)
        shelf = Shelf(store)
        one = await shelf.signal(PEER, A)
        rows = retraction_row(one), signal_row([A]), signal_row([A], day=Day(TODAY + 2))
        within, after = (row.entry_id for row in rows[1:])
        await shelf.add(PEER, *rows)
        assert holders(store, A) == []
        now[0] += 2 * SECONDS_PER_DAY
        await store.expire(Day(TODAY + 7))
        assert holders(store, A) == [after]
        assert within not in holders(store, A)
        store.close()

    async def test_a_second_retraction_goes_on_with_a_rest(self, open_store: Open) -> None:
        now = [TODAY * SECONDS_PER_DAY + 5.0]
        store = open_store(clock=lambda: now[0], cooldown_days=1)
        shelf = Shelf(store)
        back = Day(TODAY - 9)
        one, two = await shelf.add(PEER, signal_row([A], day=back), signal_row([A], day=back))
        late = retraction_row(two, day=back)
        again = signal_row([A])
        await shelf.add(PEER, retraction_row(one, day=back), waiting(late), again)
        now[0] += SECONDS_PER_DAY
        await shelf.resolve(PEER, 3, late)
        now[0] += SECONDS_PER_DAY
        await store.expire(Day(TODAY + 2))
        assert holders(store, A) == [], "the second one has not rested yet"
        now[0] += SECONDS_PER_DAY
        await store.expire(Day(TODAY + 3))
        assert holders(store, A) == [again.entry_id]
        store.close()

    async def test_own_tokens_that_pause(self, open_store: Open) -> None:
        now = [TODAY * SECONDS_PER_DAY + 5.0]
        store = open_store(clock=lambda: now[0], cooldown_days=2)
        shelf = Shelf(store)
        tokens = [A, B, C, "no token"]
        assert store.cooling(tokens) == {}
        one, two = await shelf.add(OWN, signal_row([A]), signal_row([A, B]))
        foreign = await shelf.signal(PEER, C)
        await shelf.add(PEER, retraction_row(foreign))
        await shelf.early(OWN, retraction_row(one))
        assert store.cooling(tokens) == {A: TODAY + 2}
        await shelf.early(OWN, retraction_row(two, day=Day(TODAY + 1)))
        assert store.cooling(tokens) == {A: TODAY + 3, B: TODAY + 3}
        other = await shelf.signal(OWN, D, day=Day(TODAY - 9))
        await shelf.early(OWN, retraction_row(other, day=Day(TODAY - 9)))
        assert store.cooling([D]) == {D: TODAY + 2}
        now[0] += 3 * SECONDS_PER_DAY
        assert store.cooling(tokens) == {A: TODAY + 3, B: TODAY + 3}
        now[0] += SECONDS_PER_DAY
        assert store.cooling(tokens) == {}
        store.close()

    @pytest.mark.parametrize("held_up_by", ["provisional", "deferred", "unread", "nothing new"])
    async def test_a_pause_is_kept_while_a_signal_can_fall_into_it(
        self, store: Store, shelf: Shelf, held_up_by: str
    ) -> None:
        one = await shelf.signal(PEER, A)
        await shelf.add(PEER, retraction_row(one))
        again = signal_row([A])
        if held_up_by == "provisional":
            await shelf.early(PEER, again)
        elif held_up_by == "deferred":
            await shelf.add(PEER, waiting(again))
        elif held_up_by == "unread":
            await shelf.add(
                PEER, replace(waiting(again), kind=None, day=None, error="UnknownVersionError")
            )
        if held_up_by != "nothing new":
            await shelf.early(PEER, signal_row([C], day=Day(TODAY + 9)))
        await store.expire(Day(TODAY + 50))
        if held_up_by == "nothing new":
            await shelf.early(PEER, again)
        elif held_up_by != "provisional":
            await shelf.resolve(PEER, 2, again)
        await shelf.certify(PEER)
        assert holders(store, A) == []
