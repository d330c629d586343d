"""The part of the stores' contract that is about certification: what counts, and from when."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
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
    split,
    waiting,
)
from store_contract import ALL, EARLY, OWN, PEER, OpenStore, certify, follow, kinds, org_log
from store_model import COOLDOWN, MUST_BE_MET, History

from mesh.days import Day
from mesh.testing import TODAY
from orgnode.store import (
    CertifiedRootError,
    FeedFilter,
    SignalFilter,
    SignalStatus,
    Store,
    StoreConflictError,
)

THIRD, FOURTH = "cobalt.example", "dune.example"
A, B, C = digest("a"), digest("b"), digest("c")
EVERY_SIGNAL = SignalFilter(provisional=True, suspended=True)


def holders(store: Store, token: str) -> list[str]:
    """Ids of the signals that count for a token."""
    return [source.signal for source in store.sources([token]).get(token, [])]


def listed(store: Store, wanted: SignalFilter = SignalFilter()) -> list[str]:  # noqa: B008
    return [record.id for record in store.signals(wanted)]


class CertifyContract:
    """Inherit, and provide the fixture `open_store`."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Any:
        store = open_store()
        yield store
        store.close()

    @pytest.fixture
    def shelf(self, store: Store) -> Shelf:
        return Shelf(store)

    # --- certificates

    def test_nothing_is_certified_at_first(self, store: Store) -> None:
        assert store.certificate(PEER) is None
        assert store.certified_size(PEER) == 0

    async def test_certificates_of_a_followed_log(self, store: Store) -> None:
        log = org_log()
        ids = log.append_signals(3)
        await follow(store, log, certified=False)
        assert (store.certificate(PEER), store.certified_size(PEER)) == (None, 0)
        assert await certify(store, log, 2) == store.last_seq() == 5
        assert store.certificate(PEER) == log.certificate(2)
        assert store.certified_size(PEER) == 2
        assert [record.certified for record in store.signals(EVERY_SIGNAL)] == [False, True, True]
        assert listed(store) == ids[1::-1]
        await certify(store, log)
        assert store.certificate(PEER) == log.certificate(3)
        assert listed(store) == ids[::-1]
        assert (store.certificate(OWN), store.certified_size(OWN)) == (None, 0)

    async def test_certificate_beyond_the_log_is_refused(self, store: Store) -> None:
        log = org_log()
        log.append_signals(3)
        await follow(store, log, certified=False)
        log.append_signals(1)
        with pytest.raises(StoreConflictError) as caught:
            await certify(store, log)
        assert not isinstance(caught.value, CertifiedRootError)
        assert caught.value.hint
        assert (store.certificate(PEER), store.certified_size(PEER)) == (None, 0)
        with pytest.raises(StoreConflictError):
            await store.certify("nobody.example", b"note", 1, bytes(32))
        with pytest.raises(StoreConflictError):
            await store.certify(PEER, b"note", -1, bytes(32))

    @pytest.mark.parametrize("size", [3, 2])
    async def test_certificate_of_another_history_is_refused(self, store: Store, size: int) -> None:
        log = org_log()
        log.append_signals(3)
        await follow(store, log, certified=False)
        other = log.fork(1)
        for place in (6, 7):
            other.append_signal(other.pool[place])
        with pytest.raises(CertifiedRootError) as caught:
            await certify(store, other, size)
        assert (caught.value.log, caught.value.size) == (PEER, size)
        assert caught.value.hint
        assert (store.certificate(PEER), store.certified_size(PEER)) == (None, 0)
        assert kinds(store) == []

    async def test_certificate_of_another_history_is_refused_however_old(
        self, store: Store
    ) -> None:
        log = org_log()
        log.append_signals(3)
        await follow(store, log)
        other = log.fork(1)
        other.append_signal(other.pool[6])
        with pytest.raises(CertifiedRootError):
            await certify(store, other, 2)

    async def test_older_certificates_change_nothing(self, store: Store) -> None:
        log = org_log()
        log.append_signals(3)
        await follow(store, log)
        before = store.events(0, EARLY), store.last_seq()
        for size in (3, 2, 0):
            assert await certify(store, log, size) == store.last_seq()
            again = log.certificate(size, by=[PEER, OWN, THIRD, FOURTH])
            await store.certify(PEER, again, size, log.frontier(size).root())
        assert (store.events(0, EARLY), store.last_seq()) == before
        assert store.certificate(PEER) == log.certificate(3)
        assert store.certified_size(PEER) == 3

    async def test_certificates_outlive_a_restart(self, open_store: OpenStore) -> None:
        store = open_store()
        log = org_log()
        log.append_signals(2)
        await follow(store, log, certified=False)
        await certify(store, log, 1)
        before = store.signals(EVERY_SIGNAL), store.events(0, EARLY)
        store.close()
        again = open_store()
        assert (again.certificate(PEER), again.certified_size(PEER)) == (log.certificate(1), 1)
        assert (again.signals(EVERY_SIGNAL), again.events(0, EARLY)) == before
        again.close()

    # --- signals

    @pytest.mark.parametrize("log", [PEER, OWN])
    async def test_a_provisional_signal_counts_for_nothing(
        self, store: Store, shelf: Shelf, log: str
    ) -> None:
        """The owner of a log could otherwise show it to some members only."""
        (one,) = await shelf.early(log, signal_row([A, B]))
        record = store.signal(one)
        assert record is not None
        assert (record.status, record.certified) == (SignalStatus.LIVE, False)
        assert record.tokens
        assert store.sources([A]) == {}
        assert store.promotable(0) == []
        assert listed(store) == []
        assert listed(store, SignalFilter(provisional=True)) == [one]
        assert store.events(0, ALL) == []
        (event,) = store.events(0, EARLY)
        assert event.data == {
            "seq": 1,
            "type": "provisional",
            "at": 1000.0,
            "signal": record.to_json(),
            "certified": False,
        }
        assert event.data["signal"]["certified"] is False
        json.dumps(event.data)
        await shelf.certify(log)
        record = store.signal(one)
        assert record is not None
        assert record.certified
        assert holders(store, A) == holders(store, B) == [one]
        assert store.promotable(0) == ([(A, one), (B, one)] if log == OWN else [])
        assert listed(store) == [one]
        (event,) = store.events(0, ALL)
        assert (event.type, event.seq, event.data["certified"]) == ("signal", 2, True)
        assert event.data["signal"] == record.to_json()
        # What happened before is told as it was, with what is known of the signal now.
        first = store.events(0, EARLY)[0]
        assert (first.type, first.data["certified"]) == ("provisional", False)
        assert first.data["signal"]["certified"] is True

    async def test_a_signal_is_as_old_as_its_certificate_here(
        self, open_store: Callable[..., Store]
    ) -> None:
        now = [1000.0]
        store = open_store(clock=lambda: now[0])
        shelf = Shelf(store)
        (one,) = await shelf.early(PEER, signal_row([A]))
        now[0] = 2000.0
        await shelf.certify(PEER)
        assert store.sources([A])[A][0].received == 2000.0
        record = store.signal(one)
        assert record is not None
        assert record.received == 1000.0
        assert [event.at for event in store.events(0, EARLY)] == [1000.0, 2000.0]
        now[0] = 3000.0
        await shelf.add(PEER, signal_row([B]))
        assert store.sources([A])[A][0].received == 2000.0
        store.close()

    async def test_what_is_covered_begins_to_count_and_no_more(
        self, store: Store, shelf: Shelf
    ) -> None:
        ids = await shelf.early(PEER, *(signal_row([A]) for _ in range(4)))
        for size in (1, 3, 4):
            await shelf.certify(PEER, size)
            assert holders(store, A) == ids[:size]
        told = [event.data["signal"]["id"] for event in store.events(0, ALL)]
        assert told == ids

    async def test_a_long_log_is_certified_at_once_and_in_order(
        self, store: Store, shelf: Shelf
    ) -> None:
        rows = [signal_row([A if n % 2 else B]) for n in range(700)]
        ids = await shelf.early(PEER, *rows)
        own = await shelf.signal(OWN, A, B)
        assert store.promotable(1) == []
        await shelf.certify(PEER, 650)
        told = store.events(0, FeedFilter(types=frozenset({"signal"})))
        assert [event.data["signal"]["id"] for event in told] == [own, *ids[:650]]
        assert len(holders(store, A)) == 1 + 325
        assert store.promotable(1) == sorted([(A, own), (B, own)])

    async def test_what_is_not_accepted_is_not_certified(self, store: Store, shelf: Shelf) -> None:
        rows = signal_row([A]), sighting_row(A), promotion_row((B, A, []))
        await shelf.add(PEER, *map(waiting, rows))
        # Bodies are kept of what is not understood yet.
        await shelf.add(THIRD, *(replace(waiting(row), answer=row.answer) for row in rows))
        assert holders(store, A) == []
        assert store.promotions([B]) == {}
        assert kinds(store, 0, EARLY) == []

    # --- what ends before it is certified

    async def test_retracted_before_it_is_certified(self, store: Store, shelf: Shelf) -> None:
        (one,) = await shelf.early(PEER, signal_row([A]))
        await shelf.early(PEER, retraction_row(one))
        record = store.signal(one)
        assert record is not None
        assert (record.status, record.certified) == (SignalStatus.RETRACTED, False)
        await shelf.certify(PEER)
        assert holders(store, A) == []
        assert kinds(store) == []
        assert kinds(store, 0, EARLY) == ["provisional", "retraction"]
        assert [event.data["certified"] for event in store.events(0, EARLY)] == [False, False]
        record = store.signal(one)
        assert record is not None
        assert (record.status, record.certified) == (SignalStatus.RETRACTED, True)

    async def test_a_retraction_waits_for_no_certificate(self, store: Store, shelf: Shelf) -> None:
        one = await shelf.signal(PEER, A)
        await shelf.early(PEER, retraction_row(one))
        assert holders(store, A) == []
        assert kinds(store) == ["signal", "retraction"]
        assert store.events(0, ALL)[-1].data["certified"] is True
        await shelf.certify(PEER)
        assert kinds(store) == ["signal", "retraction"]

    @pytest.mark.parametrize("how", ["erased", "expired"])
    async def test_what_lost_its_content_before_it_is_certified(
        self, store: Store, shelf: Shelf, how: str
    ) -> None:
        own = await shelf.signal(OWN, A)
        other = await shelf.signal(THIRD, A)
        soon = Day(TODAY + 1)
        one = signal_row([A], expires=soon)
        said = sighting_row(other, "deny", expires=soon)
        promoted = promotion_row((B, A, [other]), expires=soon)
        await shelf.early(PEER, one, said, promoted)
        if how == "erased":
            for index in range(3):
                assert await store.erase_body(PEER, index)
        else:
            assert await store.expire(Day(TODAY + 2)) == 3
        before = kinds(store)
        await shelf.certify(PEER)
        assert kinds(store) == before
        assert holders(store, A) == [own, other]
        assert store.sources([A])[A][1].denied_by == ()
        assert store.promotions([B]) == {}
        assert store.promotable(1) == [(A, own)]  # a log that was never counted is not taken off
        assert store.promotable(2) == []
        record = store.signal(one.entry_id)
        assert record is not None
        assert (record.status, record.certified) == (how, True)

    # --- bodies that come later

    async def test_a_body_that_comes_before_the_certificate(
        self, store: Store, shelf: Shelf
    ) -> None:
        row = signal_row([A])
        await shelf.early(PEER, signal_row([B]), waiting(row))
        await shelf.certify(PEER, 1)
        assert await shelf.resolve(PEER, 1, row) == 1
        assert holders(store, A) == []
        assert kinds(store, 0, EARLY) == ["provisional", "signal", "provisional"]
        await shelf.certify(PEER)
        assert holders(store, A) == [row.entry_id]
        assert kinds(store) == ["signal", "signal"]

    async def test_a_body_that_comes_after_the_certificate(
        self, store: Store, shelf: Shelf
    ) -> None:
        """Nodes that had it earlier count it, so it counts as soon as it is here."""
        other = await shelf.signal(THIRD, A)
        rows = [signal_row([A]), sighting_row(other), promotion_row((B, A, [other]))]
        await shelf.add(PEER, *map(waiting, rows))
        assert kinds(store) == ["signal"]
        for index, row in enumerate(rows):
            assert await shelf.resolve(PEER, index, row) == 1
        assert holders(store, A) == [other, rows[0].entry_id]
        assert store.sources([A])[A][0].confirmed_by == (PEER,)
        assert store.promotions([B])[B][0].held_by == (THIRD,)
        assert kinds(store, 0, EARLY)[1:] == ["signal", "signal", "sighting", "promotion"]
        assert kinds(store) == ["signal", "signal", "sighting", "promotion"]

    # --- sightings and promotions

    async def test_a_word_counts_when_both_are_certified(self, store: Store, shelf: Shelf) -> None:
        row = signal_row([A])
        await shelf.early(PEER, row)
        await shelf.early(THIRD, sighting_row(row.entry_id))
        await shelf.add(FOURTH, sighting_row(row.entry_id, "deny"))
        assert kinds(store) == []
        await shelf.certify(PEER)
        (source,) = store.sources([A])[A]
        assert (source.confirmed_by, source.denied_by) == ((), (FOURTH,))
        assert [(event.type, event.data.get("by")) for event in store.events(0, ALL)] == [
            ("signal", None),
            ("sighting", FOURTH),
        ]
        await shelf.certify(THIRD)
        (source,) = store.sources([A])[A]
        assert (source.confirmed_by, source.denied_by) == ((THIRD,), (FOURTH,))
        last = store.events(0, ALL)[-1]
        assert (last.type, last.data["by"], last.data["certified"]) == ("sighting", THIRD, True)

    async def test_the_newest_certified_word_counts(self, store: Store, shelf: Shelf) -> None:
        target = await shelf.signal(PEER, A)
        await shelf.early(THIRD, sighting_row(target), sighting_row(target, "deny"))

        def said() -> tuple[object, object]:
            (source,) = store.sources([A])[A]
            return source.confirmed_by, source.denied_by

        assert said() == ((), ())
        await shelf.certify(THIRD, 1)
        assert said() == ((THIRD,), ())
        await shelf.certify(THIRD, 2)
        assert said() == ((), (THIRD,))

    async def test_a_word_on_what_is_never_certified(self, store: Store, shelf: Shelf) -> None:
        (target,) = await shelf.early(PEER, signal_row([A]))
        await shelf.add(THIRD, sighting_row(target))
        await shelf.early(PEER, retraction_row(target))
        await shelf.certify(PEER)
        assert kinds(store) == []
        assert store.sources([A]) == {}

    async def test_a_promotion_counts_when_it_is_certified(
        self, open_store: Callable[..., Store]
    ) -> None:
        now = [1000.0]
        store = open_store(clock=lambda: now[0])
        shelf = Shelf(store)
        own = await shelf.signal(OWN, A)
        logs = (PEER, THIRD, FOURTH)
        rows = {log: signal_row([A]) for log in logs}
        named = [row.entry_id for row in rows.values()]
        await shelf.add(PEER, rows[PEER])
        await shelf.early(THIRD, rows[THIRD])
        (entry_id,) = await shelf.early(FOURTH, promotion_row((B, A, named)))
        assert store.promotions([B]) == {}
        assert store.promoted_tokens([A]) == set()
        assert "promotion" not in kinds(store)
        now[0] = 2000.0
        await shelf.certify(FOURTH)
        (promotion,) = store.promotions([B])[B]
        assert (promotion.id, promotion.held_by, promotion.received) == (entry_id, (PEER,), 2000.0)
        assert [source.issuer for source in promotion.sources] == [PEER]
        assert store.promoted_tokens([A]) == {A}
        event = store.events(0, ALL)[-1]
        assert (event.type, event.data["id"], event.data["windows"]) == ("promotion", entry_id, 1)
        await shelf.early(FOURTH, rows[FOURTH])
        assert store.promotable(1) == [(A, own)]
        await shelf.certify(FOURTH)
        await shelf.certify(THIRD)
        assert store.promotions([B])[B][0].held_by == tuple(sorted(logs))
        assert store.promotable(1) == []
        store.close()

    # --- evidence

    async def test_an_accusation_suspends_at_once_and_everywhere(
        self, store: Store, shelf: Shelf
    ) -> None:
        suspect = await shelf.signal(PEER, A)
        await shelf.add(PEER, sighting_row(await shelf.signal(THIRD, A)))
        own = await shelf.signal(OWN, A)
        assert store.promotable(2) == [(A, own)]
        before = store.last_seq()
        (entry_id,) = await shelf.early(THIRD, evidence_row(PEER))
        assert store.state(PEER).evidence == split(PEER)
        assert holders(store, A)[1:] == [own]
        assert store.sources([A])[A][0].confirmed_by == ()
        assert store.promotable(2) == []
        record = store.signal(suspect)
        assert record is not None
        assert (record.suspended, record.status) == (True, SignalStatus.LIVE)
        assert record.to_json()["suspended"] is True
        (event,) = store.events(before, ALL)
        assert (event.type, event.data["issuer"]) == ("evidence", PEER)
        assert event.data["kind"] == split(PEER).kind
        assert event.data["reason"] == split(PEER).reason
        assert store.history(THIRD).accuses(PEER)
        assert not store.history(OWN).accuses(PEER)
        assert store.signal(entry_id) is None
        # The first evidence stays, and is told once.
        other = replace(split(PEER), first=b"a third note")
        await shelf.add(FOURTH, replace(evidence_row(PEER), evidence=other))
        assert store.state(PEER).evidence == split(PEER)
        assert store.history(FOURTH).accuses(PEER)
        assert kinds(store, before) == ["evidence"]

    async def test_an_accusation_by_a_body_that_comes_late(
        self, store: Store, shelf: Shelf
    ) -> None:
        row = evidence_row(PEER)
        await shelf.early(THIRD, waiting(row))
        assert store.state(PEER).evidence is None
        assert not store.history(THIRD).accuses(PEER)
        await shelf.resolve(THIRD, 0, row)
        assert store.state(PEER).evidence == split(PEER)
        assert kinds(store) == ["evidence"]

    async def test_a_refused_accusation_suspends_nobody(self, store: Store, shelf: Shelf) -> None:
        await shelf.add(THIRD, replace(waiting(evidence_row(PEER)), evidence=split(PEER)))
        assert store.state(PEER).evidence is None

    @pytest.mark.parametrize("accused", ["nobody.example", OWN, THIRD])
    async def test_whoever_is_accused_is_suspended(
        self, store: Store, shelf: Shelf, accused: str
    ) -> None:
        own = await shelf.signal(OWN, A)
        await shelf.add(THIRD, signal_row([A]), evidence_row(accused))
        assert store.state(accused).evidence == split(accused)
        assert (own in holders(store, A)) is (accused != OWN)
        assert store.promotable(0) == ([] if accused == OWN else [(A, own)])

    async def test_an_accusation_outlives_its_content(self, store: Store, shelf: Shelf) -> None:
        await shelf.add(THIRD, evidence_row(PEER))
        await store.erase_body(THIRD, 0)
        assert store.state(PEER).evidence == split(PEER)
        assert store.history(THIRD).accuses(PEER)

    async def test_signals_of_a_suspended_log_are_not_listed(
        self, store: Store, shelf: Shelf
    ) -> None:
        kept = await shelf.signal(THIRD, A)
        one, two = await shelf.add(PEER, signal_row([A]), signal_row([B]))
        await shelf.add(PEER, sighting_row(kept))
        await shelf.early(PEER, signal_row([C]))
        await shelf.add(THIRD, sighting_row(one))
        await shelf.early(PEER, retraction_row(two))
        told = ["signal", "signal", "signal", "sighting", "sighting", "retraction"]
        assert kinds(store) == told
        await shelf.suspend(PEER)
        assert listed(store) == [kept]
        assert listed(store, SignalFilter(provisional=True)) == [kept]
        assert listed(store, SignalFilter(suspended=True)) == [two, one, kept]
        assert len(listed(store, EVERY_SIGNAL)) == 4
        # Who was told of the signal that was withdrawn must hear of it.
        assert kinds(store) == ["signal", "retraction", "evidence"]
        assert kinds(store, 0, EARLY)[0] == "provisional"
        assert len(kinds(store, 0, EARLY)) == 4
        assert kinds(store, 0, FeedFilter(suspended=True)) == [*told, "evidence"]

    async def test_a_suspended_log_can_be_certified(self, store: Store, shelf: Shelf) -> None:
        """Certificates do not depend on evidence, which members get at different times."""
        own = await shelf.signal(OWN, A)
        (one,) = await shelf.early(PEER, signal_row([A]))
        await shelf.suspend(PEER)
        await shelf.certify(PEER)
        assert store.certified_size(PEER) == 1
        assert holders(store, A) == [own]
        assert store.promotable(1) == []
        record = store.signal(one)
        assert record is not None
        assert (record.certified, record.suspended) == (True, True)
        assert kinds(store) == ["signal", "evidence"]

    # --- the whole

    async def test_whatever_happens_the_store_says_what_the_rules_say(
        self, open_store: Any, tmp_path: Path
    ) -> None:
        met: Counter[str] = Counter()
        for seed in range(8):
            store = open_store(path=tmp_path / f"{seed}.db", cooldown_days=COOLDOWN)
            history = History(store, seed)
            for _ in range(120):
                await history.step()
                history.model.check(store)
            met += history.model.met
            store.close()
        assert met.keys() == MUST_BE_MET
