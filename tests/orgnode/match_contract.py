"""The part of the stores' contract that is about matching and about the committee."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from match_rows import (
    Shelf,
    digest,
    promotion_row,
    retraction_row,
    sighting_row,
    signal_row,
    waiting,
)
from store_contract import ALL, OWN, PEER, OpenStore, follow, incident, kinds, org_log, world

from mesh.assessment import Outcome
from mesh.days import Day
from mesh.testing import (
    TODAY,
    evaluated_scalars,
    make_promotion,
    make_signal,
    random_draft,
)
from mesh.token import token_hex
from orgnode.store import (
    EVENT_TYPES,
    DuplicateReferenceError,
    FeedFilter,
    Misconduct,
    Store,
    TokenSource,
)
from orgnode.store.committee_rows import MAX_KEPT
from orgnode.store.match_reads import MAX_OF_LOG, MAX_ROWS
from orgnode.store.promotion_rows import MAX_PROMOTIONS

THIRD, FOURTH, FIFTH = "cobalt.example", "dune.example", "elm.example"
A, B, C = digest("a"), digest("b"), digest("c")


def holders(store: Store, token: str) -> list[str]:
    """Ids of the signals that count for a token."""
    return [source.signal for source in store.sources([token]).get(token, [])]


class MatchContract:
    """Inherit, and provide the fixture `open_store`."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Any:
        store = open_store()
        yield store
        store.close()

    @pytest.fixture
    def shelf(self, store: Store) -> Shelf:
        return Shelf(store)

    # --- tokens

    def test_nothing_is_known_at_first(self, store: Store) -> None:
        assert store.sources([A, B]) == {}
        assert store.sources([]) == {}
        assert store.promotions([A]) == {}
        assert store.promotions([]) == {}
        assert store.promoted_tokens([A]) == set()
        assert store.promotable(0) == []
        assert store.sharing(A) == []
        assert store.vault_of(A) is None

    async def test_a_source_says_what_its_signal_says(self, store: Store, shelf: Shelf) -> None:
        (one,) = await shelf.add(PEER, signal_row([A, B], direct=False))
        (two,) = await shelf.add(OWN, signal_row([B, C]))
        record = store.signal(one)
        assert record is not None
        assert store.sources([A]) == {
            A: [
                TokenSource(
                    token=A,
                    signal=one,
                    issuer=PEER,
                    band_level=record.band_level,
                    category=record.category,
                    technique=record.technique,
                    direct=False,
                    received=1000.0,
                    own=False,
                    confirmed_by=(),
                    denied_by=(),
                )
            ]
        }
        found = store.sources([C, A, B, digest("unknown")])
        assert set(found) == {A, B, C}
        assert [source.signal for source in found[B]] == [one, two]
        (own,) = found[C]
        assert (own.own, own.direct, own.issuer) == (True, True, OWN)

    async def test_asking_for_many_or_twice_or_nonsense(self, store: Store, shelf: Shelf) -> None:
        tokens = [digest(n) for n in range(100)]
        ids = [await shelf.signal(PEER, *tokens[start : start + 25]) for start in (0, 25, 50, 75)]
        found = store.sources([*tokens, *tokens[:70], "", "zz", "ab", "00" * 31])
        assert {token: [one.signal for one in held] for token, held in found.items()} == {
            token: [ids[n // 25]] for n, token in enumerate(tokens)
        }

    async def test_tokens_end_with_their_signal(self, store: Store, shelf: Shelf) -> None:
        retracted = await shelf.signal(PEER, A, B)
        erased = await shelf.signal(PEER, A)
        expired = await shelf.signal(PEER, A, expires=Day(TODAY + 5))
        kept = await shelf.signal(PEER, A, C)
        assert holders(store, A) == [retracted, erased, expired, kept]
        await shelf.add(PEER, retraction_row(retracted))
        assert holders(store, A) == [erased, expired, kept]
        assert holders(store, B) == []
        assert store.sources([B]) == {}
        await store.erase_body(PEER, 1)
        assert holders(store, A) == [expired, kept]
        await store.expire(Day(TODAY + 6))
        assert holders(store, A) == [kept]

    async def test_signal_and_its_retraction_in_one_commit(
        self, store: Store, shelf: Shelf
    ) -> None:
        row, later = signal_row([A]), signal_row([A], day=Day(TODAY + 9))
        await shelf.add(PEER, row, retraction_row(row.entry_id), later)
        assert holders(store, A) == [later.entry_id]

    async def test_signal_that_was_retracted_before_its_body_came(
        self, store: Store, shelf: Shelf
    ) -> None:
        row = signal_row([A])
        own = await shelf.signal(OWN, A)
        other = await shelf.signal(THIRD, A)
        await shelf.add(PEER, waiting(row), retraction_row(row.entry_id))
        assert await store.resolve_deferred(PEER, [replace(row, index=0)]) == 0
        assert holders(store, A) == [own, other]
        assert store.promotable(1) == [(A, own)]  # a log that was never counted is not taken off

    async def test_body_that_comes_late(self, store: Store, shelf: Shelf) -> None:
        row = signal_row([A])
        await shelf.add(PEER, waiting(row))
        assert holders(store, A) == []
        assert await store.resolve_deferred(PEER, [replace(row, index=0)]) == 1
        assert holders(store, A) == [row.entry_id]

    async def test_age_counts_from_when_the_content_was_here(
        self, open_store: Callable[..., Store]
    ) -> None:
        """Else an issuer withholds a body until its signal's shadow period is over."""
        now = [1000.0]
        store = open_store(clock=lambda: now[0])
        row = signal_row([A])
        await Shelf(store).add(PEER, waiting(row))
        now[0] = 9000.0
        await store.resolve_deferred(PEER, [replace(row, index=0)])
        assert store.sources([A])[A][0].received == 9000.0
        record = store.signal(row.entry_id)
        assert record is not None
        assert record.received == 1000.0
        store.close()

    async def test_what_is_not_accepted_is_no_source(self, store: Store, shelf: Shelf) -> None:
        refused = replace(signal_row([A]), outcome=Outcome.REFUSED, error="ProofError")
        await shelf.add(PEER, refused, waiting(signal_row([A])))
        assert holders(store, A) == []

    async def test_a_commit_that_fails_leaves_neither_signal_nor_token(
        self, store: Store, shelf: Shelf
    ) -> None:
        await store.vault_put(incident("first", b"r" * 32))
        row = signal_row([A])
        said, promoted = sighting_row(digest("x")), promotion_row((B, A, [row.entry_id]))
        with pytest.raises(DuplicateReferenceError):
            await shelf.add(OWN, row, said, promoted, vaulted=[incident("second", b"r" * 32)])
        assert store.signal(row.entry_id) is None
        assert store.sources([A]) == {}
        assert store.promotions([B]) == {}
        assert store.promotable(0) == []
        assert store.events(0, ALL) == []
        await shelf.add(OWN, row, vaulted=[incident("second")])
        assert holders(store, A) == [row.entry_id]
        assert [token for token, _ in store.promotable(0)] == [A]

    async def test_a_failed_retraction_keeps_the_tokens(self, store: Store, shelf: Shelf) -> None:
        await store.vault_put(incident("first", b"r" * 32))
        kept = await shelf.signal(OWN, A)
        with pytest.raises(DuplicateReferenceError):
            await shelf.add(OWN, retraction_row(kept), vaulted=[incident("second", b"r" * 32)])
        assert holders(store, A) == [kept]

    async def test_suspended_log_counts_nowhere(self, store: Store, shelf: Shelf) -> None:
        suspect = await shelf.signal(PEER, A, B)
        honest = await shelf.signal(THIRD, A, C)
        await shelf.add(PEER, sighting_row(honest), promotion_row((B, A, [honest])))
        own = await shelf.signal(OWN, A, B)
        assert holders(store, A) == [suspect, honest, own]
        assert store.sources([C])[C][0].confirmed_by == (PEER,)
        assert store.promoted_tokens([A]) == {A}
        assert store.promotable(2) == [(A, own)]
        await shelf.suspend(PEER)
        assert holders(store, A) == [honest, own]
        assert set(store.sources([A, B, C])) == {A, B, C}
        assert holders(store, B) == [own]
        assert store.sources([C])[C][0].confirmed_by == ()
        assert store.promoted_tokens([A]) == set()
        (promotion,) = store.promotions([B])[B]  # its input is public all the same
        assert (promotion.member, promotion.held_by) == (PEER, (THIRD,))
        assert store.promotable(1) == [(A, own)]
        assert store.promotable(2) == []
        assert store.sharing(own) == [(THIRD, honest, 1)]

    async def test_only_suspended_holders_are_none(self, store: Store, shelf: Shelf) -> None:
        await shelf.signal(PEER, A)
        await shelf.suspend(PEER)
        assert store.sources([A]) == {}

    async def test_a_flood_of_one_token_stays_an_answer(self, store: Store, shelf: Shelf) -> None:
        """One log must not make a check slow, nor crowd out what the others say."""
        before = await shelf.signal(THIRD, A)
        flood = [signal_row([A, B]) for _ in range(MAX_ROWS + 1)]
        ids = await shelf.add(PEER, *flood)
        after = await shelf.signal(FOURTH, A)
        assert holders(store, A) == [before, *ids[:MAX_OF_LOG], *ids[-MAX_OF_LOG:], after]
        assert store.sources([A, C]).keys() == {A}

    async def test_up_to_the_limit_every_holder_is_told(self, store: Store, shelf: Shelf) -> None:
        ids = await shelf.add(PEER, *(signal_row([A]) for _ in range(MAX_ROWS)))
        assert holders(store, A) == ids

    async def test_sharing(self, store: Store, shelf: Shelf) -> None:
        one = await shelf.signal(PEER, A, B, C)
        two = await shelf.signal(THIRD, B)
        three = await shelf.signal(PEER, A, B, digest("more"))
        four = await shelf.signal(OWN, digest("else"))
        assert store.sharing(one) == [(PEER, three, 2), (THIRD, two, 1)]
        assert store.sharing(one, limit=1) == [(PEER, three, 2)]
        assert store.sharing(two) == [(PEER, one, 1), (PEER, three, 1)]
        assert store.sharing(four) == []
        assert store.sharing("no id") == []
        await shelf.add(PEER, retraction_row(three))
        assert store.sharing(one) == [(THIRD, two, 1)]
        assert store.sharing(three) == []

    # --- sightings

    async def test_sightings_are_told_with_each_source(self, store: Store, shelf: Shelf) -> None:
        target = await shelf.signal(PEER, A)
        other = await shelf.signal(PEER, A)
        await shelf.add(THIRD, sighting_row(target))
        await shelf.add(OWN, sighting_row(target))
        await shelf.add(FOURTH, sighting_row(target, "deny"))
        first, second = store.sources([A])[A]
        assert (first.signal, first.confirmed_by, first.denied_by) == (
            target,
            (OWN, THIRD),
            (FOURTH,),
        )
        assert (second.signal, second.confirmed_by, second.denied_by) == (other, (), ())

    async def test_nobody_confirms_its_own_signal(self, store: Store, shelf: Shelf) -> None:
        target = await shelf.signal(PEER, A)
        early = signal_row([A])
        await shelf.add(PEER, sighting_row(target), sighting_row(early.entry_id, "deny"), early)
        assert [(s.confirmed_by, s.denied_by) for s in store.sources([A])[A]] == [((), ())] * 2
        assert kinds(store) == ["signal", "signal"]

    async def test_newest_word_of_a_member_wins(self, store: Store, shelf: Shelf) -> None:
        target = await shelf.signal(PEER, A)
        await shelf.add(THIRD, sighting_row(target, "confirm"))
        await shelf.add(THIRD, sighting_row(target, "deny"))
        (source,) = store.sources([A])[A]
        assert (source.confirmed_by, source.denied_by) == ((), (THIRD,))
        assert kinds(store) == ["signal", "sighting", "sighting"]

    async def test_older_word_that_comes_late_changes_nothing(
        self, store: Store, shelf: Shelf
    ) -> None:
        target = await shelf.signal(PEER, A)
        late = sighting_row(target, "confirm")
        await shelf.add(THIRD, waiting(late), sighting_row(target, "deny"))
        await store.resolve_deferred(THIRD, [replace(late, index=0)])
        (source,) = store.sources([A])[A]
        assert (source.confirmed_by, source.denied_by) == ((), (THIRD,))
        assert kinds(store) == ["signal", "sighting"]

    async def test_sighting_before_its_target(self, store: Store, shelf: Shelf) -> None:
        row = signal_row([A])
        await shelf.add(THIRD, sighting_row(row.entry_id, "deny"))
        assert kinds(store) == []
        await shelf.add(PEER, row)
        assert store.sources([A])[A][0].denied_by == (THIRD,)
        first, second = store.events(0, ALL)
        assert (first.type, second.type) == ("signal", "sighting")
        assert (second.data["by"], second.data["verdict"]) == (THIRD, "deny")
        assert second.data["signal"]["issuer"] == PEER

    async def test_sighting_event(self, store: Store, shelf: Shelf) -> None:
        target = await shelf.signal(PEER, A)
        await shelf.add(THIRD, sighting_row(target))
        event = store.events(0, ALL)[-1]
        record = store.signal(target)
        assert record is not None
        assert event.data == {
            "seq": 3,
            "type": "sighting",
            "at": 1000.0,
            "signal": record.to_json(),
            "certified": True,
            "by": THIRD,
            "verdict": "confirm",
        }
        json.dumps(event.data)

    async def test_sighting_of_what_is_over_is_no_news(self, store: Store, shelf: Shelf) -> None:
        target = await shelf.signal(PEER, A)
        await shelf.add(PEER, retraction_row(target))
        await shelf.add(THIRD, sighting_row(target), sighting_row(digest("never")))
        assert kinds(store) == ["signal", "retraction"]

    async def test_erased_and_expired_sightings_stop_counting(
        self, store: Store, shelf: Shelf
    ) -> None:
        target = await shelf.signal(PEER, A)
        await shelf.add(THIRD, sighting_row(target, "confirm"))
        await shelf.add(FOURTH, sighting_row(target, "confirm", expires=Day(TODAY + 1)))
        await shelf.add(FIFTH, sighting_row(target, "deny"), sighting_row(target, "confirm"))

        def said() -> tuple[Sequence[str], Sequence[str]]:
            (source,) = store.sources([A])[A]
            return source.confirmed_by, source.denied_by

        assert said() == ((THIRD, FOURTH, FIFTH), ())
        await store.erase_body(THIRD, 0)
        assert said() == ((FOURTH, FIFTH), ())
        await store.expire(Day(TODAY + 2))
        assert said() == ((FIFTH,), ())
        await store.erase_body(FIFTH, 0)  # an older word, which no longer counted
        assert said() == ((FIFTH,), ())
        await store.erase_body(FIFTH, 1)  # what it took back does not count again
        assert said() == ((), ())

    # --- promotions

    async def test_promotion_joins_what_is_live(self, store: Store, shelf: Shelf) -> None:
        given, token = digest("input"), A
        one = await shelf.signal(PEER, A)
        two = await shelf.signal(THIRD, A, B, direct=False)
        elsewhere = await shelf.signal(FOURTH, B)  # does not hold the token
        unlisted = await shelf.signal(FIFTH, A)
        named = [one, two, elsewhere, digest("never")]
        (entry_id,) = await shelf.add(FOURTH, promotion_row((given, token, named)))
        (promotion,) = store.promotions([given])[given]
        assert (promotion.id, promotion.member) == (entry_id, FOURTH)
        assert (promotion.input, promotion.token) == (given, token)
        known = {source.signal: source for source in store.sources([token])[token]}
        assert promotion.sources == (known[one],)  # what is derived is nobody's evidence
        assert (promotion.held_by, promotion.received) == ((PEER,), 1000.0)
        assert two in known
        assert unlisted in known
        assert store.promotions([token]) == {}
        assert store.promoted_tokens([given, token, B]) == {token}

    async def test_evidence_goes_and_comes_with_its_signals(
        self, store: Store, shelf: Shelf
    ) -> None:
        given, late = digest("input"), signal_row([A])
        one = await shelf.signal(PEER, A)
        two = await shelf.signal(THIRD, A)
        await shelf.add(FOURTH, promotion_row((given, A, [one, two, late.entry_id])))

        def evidence() -> list[str]:
            (promotion,) = store.promotions([given])[given]
            return [source.signal for source in promotion.sources]

        assert evidence() == [one, two]
        await shelf.add(PEER, retraction_row(one))
        assert evidence() == [two]
        await shelf.add(FIFTH, late)
        assert evidence() == [two, late.entry_id]
        await shelf.add(OWN, sighting_row(two))
        assert store.promotions([given])[given][0].sources[0].confirmed_by == (OWN,)
        await shelf.suspend(THIRD)
        assert evidence() == [late.entry_id]
        await store.erase_body(FIFTH, 0)
        assert evidence() == []
        assert store.promoted_tokens([A]) == {A}  # its input is public all the same

    async def test_promotions_vanish_with_their_entry(self, store: Store, shelf: Shelf) -> None:
        one = await shelf.signal(PEER, A, B, C)
        inputs = [digest(n) for n in range(3)]
        await shelf.add(PEER, promotion_row((inputs[0], A, [one]), (inputs[1], B, [one])))
        await shelf.add(PEER, promotion_row((inputs[2], C, [one]), expires=Day(TODAY + 1)))
        await shelf.add(THIRD, promotion_row((inputs[0], A, [one])))
        assert set(store.promotions(inputs)) == set(inputs)
        assert [p.member for p in store.promotions(inputs)[inputs[0]]] == [PEER, THIRD]
        await store.erase_body(PEER, 1)
        assert set(store.promotions(inputs)) == {inputs[0], inputs[2]}
        assert [p.member for p in store.promotions(inputs)[inputs[0]]] == [THIRD]
        assert store.promotions(inputs)[inputs[0]][0].sources
        await store.expire(Day(TODAY + 2))
        assert set(store.promotions(inputs)) == {inputs[0]}
        assert store.promoted_tokens([A, B, C]) == {A}

    async def test_many_promotions_at_once(self, store: Store, shelf: Shelf) -> None:
        one = await shelf.signal(PEER, *(digest(("t", n)) for n in range(32)))
        windows = [(digest(("i", n)), digest(("t", n)), [one]) for n in range(32)]
        more = [(digest(("i", n)), digest(("t", n)), [one]) for n in range(32, 64)]
        await shelf.add(THIRD, promotion_row(*windows), promotion_row(*more))
        found = store.promotions([digest(("i", n)) for n in range(100)])
        assert {given: [p.token for p in held] for given, held in found.items()} == {
            digest(("i", n)): [digest(("t", n))] for n in range(64)
        }
        assert sum(len(p.sources) for (p,) in found.values()) == 32
        assert len(store.promoted_tokens([digest(("t", n)) for n in range(100)])) == 64

    async def test_a_flood_of_promotions_stays_an_answer(self, store: Store, shelf: Shelf) -> None:
        given = digest("input")
        one = await shelf.signal(PEER, A)
        await shelf.add(THIRD, promotion_row((given, A, [one])))
        await shelf.add(FOURTH, *(promotion_row((given, A, [])) for _ in range(MAX_ROWS)))
        found = store.promotions([given])[given]
        assert [p.member for p in found].count(FOURTH) == MAX_PROMOTIONS
        assert [p.sources[0].signal for p in found if p.member == THIRD] == [one]

    async def test_who_held_a_token_when_it_was_promoted(self, store: Store, shelf: Shelf) -> None:
        """A retraction must not make a promotion worth less than it was."""
        given, late = digest("input"), signal_row([A])
        one = await shelf.signal(THIRD, A)
        two = await shelf.signal(PEER, A)
        gone = await shelf.signal(FOURTH, A)
        await shelf.add(FOURTH, retraction_row(gone))
        named = [one, two, gone, late.entry_id]
        await shelf.add(OWN, promotion_row((given, A, named)))

        def held_by() -> tuple[str, ...]:
            (promotion,) = store.promotions([given])[given]
            return promotion.held_by

        assert held_by() == (PEER, THIRD)
        await shelf.add(PEER, retraction_row(two))
        assert held_by() == (PEER, THIRD)
        await shelf.add(FIFTH, waiting(late))
        assert held_by() == (PEER, THIRD)
        await store.resolve_deferred(FIFTH, [replace(late, index=0)])
        assert held_by() == (PEER, THIRD, FIFTH)
        await store.erase_body(FIFTH, 0)
        await shelf.suspend(THIRD)
        assert held_by() == (PEER, THIRD, FIFTH)
        assert store.promotions([given])[given][0].sources == ()

    async def test_evidence_that_is_in_the_same_commit(self, store: Store, shelf: Shelf) -> None:
        row, back = signal_row([A]), signal_row([A])
        named = [row.entry_id, back.entry_id]
        await shelf.add(PEER, row, promotion_row((B, A, named), (C, digest("x"), named)))
        await shelf.add(THIRD, back, retraction_row(back.entry_id))  # was never live here
        assert store.promotions([B])[B][0].held_by == (PEER,)
        assert store.promotions([C])[C][0].held_by == ()  # does not hold the token

    async def test_a_copy_of_the_evidence_in_another_log_is_none(
        self, store: Store, shelf: Shelf
    ) -> None:
        row = signal_row([A])
        copy = replace(row, signal=None, outcome=Outcome.REFUSED, error="EntrySignatureError")
        await shelf.add(THIRD, copy)
        await shelf.add(FOURTH, promotion_row((B, A, [row.entry_id])))
        assert store.promotions([B])[B][0].held_by == ()
        await shelf.add(PEER, row)
        assert store.promotions([B])[B][0].held_by == (PEER,)

    async def test_evidence_that_comes_late_makes_a_token_promoted(
        self, store: Store, shelf: Shelf
    ) -> None:
        own = await shelf.signal(OWN, A)
        one, late = await shelf.signal(PEER, A), signal_row([A])
        await shelf.add(FOURTH, promotion_row((B, A, [own, one, late.entry_id])))
        assert store.promotable(1) == [(A, own)]
        await shelf.add(THIRD, late)
        assert store.promotable(1) == []

    async def test_a_promotion_is_as_old_as_its_content_here(
        self, open_store: Callable[..., Store]
    ) -> None:
        """Else its author dates it back before the signals of others, which then don't count."""
        now = [1000.0]
        store = open_store(clock=lambda: now[0])
        shelf = Shelf(store)
        row = promotion_row((B, A, []))
        await shelf.add(PEER, waiting(row))
        now[0] = 2000.0
        await shelf.add(THIRD, promotion_row((B, A, [])))
        now[0] = 3000.0
        await store.resolve_deferred(PEER, [replace(row, index=0)])
        found = store.promotions([B])[B]
        assert [(one.member, one.received) for one in found] == [(THIRD, 2000.0), (PEER, 3000.0)]
        store.close()

    async def test_the_first_promotions_of_a_log_are_kept(self, store: Store, shelf: Shelf) -> None:
        """A flood hides neither the others' promotions nor, once it was here, an own one."""
        one = await shelf.signal(PEER, A)
        rows = [promotion_row((B, A, [one] if n == 1 else [])) for n in range(MAX_PROMOTIONS + 2)]
        ids = await shelf.add(FOURTH, *rows)
        assert [p.id for p in store.promotions([B])[B]] == ids[:MAX_PROMOTIONS]
        await store.erase_body(FOURTH, MAX_PROMOTIONS)  # of one that was not stored
        assert [p.id for p in store.promotions([B])[B]] == ids[:MAX_PROMOTIONS]
        await store.erase_body(FOURTH, 0)
        (more,) = await shelf.add(FOURTH, promotion_row((B, A, [])))
        assert [p.id for p in store.promotions([B])[B]] == [*ids[1:MAX_PROMOTIONS], more]
        own = await shelf.add(OWN, *(promotion_row((B, A, [])) for _ in range(MAX_PROMOTIONS + 1)))
        assert [p.id for p in store.promotions([B])[B] if p.member == OWN] == own

    async def test_promotion_event(self, store: Store, shelf: Shelf) -> None:
        row = promotion_row((digest(1), A, []), (digest(2), B, []))
        await shelf.signal(PEER, A)
        await shelf.add(PEER, row)
        event = store.events(2, ALL)[0]
        assert event.data == {
            "seq": 3,
            "type": "promotion",
            "at": 1000.0,
            "issuer": PEER,
            "index": 1,
            "id": row.entry_id,
            "windows": 2,
            "certified": True,
        }
        json.dumps(event.data)

    async def test_real_entries_of_followed_logs(self, store: Store) -> None:
        """From signed entries, with true proofs, through the follower."""
        inputs = [bytes([n]) * 32 for n in (1, 2)]
        scalars = evaluated_scalars(world(), inputs)
        tokens = [token_hex(scalar) for scalar in scalars]
        logs = [org_log(name) for name in (OWN, PEER, THIRD)]
        ids = []
        for n, log in enumerate(logs):
            rng = Random(n)
            draft = replace(random_draft(log.mesh, rng), token_scalars=tuple(scalars))
            ids.append(log.append_signal(make_signal(log.mesh, log.name, rng, draft)))
        logs[2].append_sighting(ids[1])
        promotion = logs[1].append_promotion(make_promotion(world(), inputs[:1], ids))
        for log in logs:
            settled = await follow(store, log)
            assert {entry.outcome for entry in settled} == {Outcome.ACCEPTED}
        found = store.sources(tokens)
        assert {token: [s.signal for s in found[token]] for token in tokens} == dict.fromkeys(
            tokens, ids
        )
        assert [source.confirmed_by for source in found[tokens[0]]] == [(), (THIRD,), ()]
        (promoted,) = store.promotions([inputs[0].hex()])[inputs[0].hex()]
        assert (promoted.id, promoted.member, promoted.token) == (promotion, PEER, tokens[0])
        assert list(promoted.sources) == found[tokens[0]]
        assert store.promotable(2) == [(tokens[1], ids[0])]
        assert store.sharing(ids[0]) == [(PEER, ids[1], 2), (THIRD, ids[2], 2)]
        logs[1].append_retraction(ids[1])
        await follow(store, logs[1])
        assert [source.signal for source in store.sources(tokens)[tokens[1]]] == [ids[0], ids[2]]
        assert store.promotable(2) == []

    # --- what the promoter asks

    async def test_promotable_counts_other_logs(self, store: Store, shelf: Shelf) -> None:
        await shelf.signal(PEER, A, B)
        await shelf.signal(PEER, A)  # the same log again
        own = await shelf.signal(OWN, A, C)
        assert store.promotable(0) == sorted([(A, own), (C, own)])
        assert store.promotable(1) == [(A, own)]
        assert store.promotable(2) == []
        await shelf.signal(THIRD, A, C)
        assert store.promotable(2) == [(A, own)]
        assert len(store.promotable(1)) == 2
        assert len(store.promotable(1, limit=1)) == 1
        await shelf.add(FOURTH, signal_row([A]), signal_row([A]))
        assert store.promotable(3) == [(A, own)]
        assert store.promotable(4) == []

    async def test_promotable_follows_what_ends(self, store: Store, shelf: Shelf) -> None:
        first = await shelf.signal(OWN, A)
        second = await shelf.signal(OWN, A)
        one = await shelf.signal(PEER, A)
        await shelf.signal(PEER, A)
        assert store.promotable(1) == [(A, second)]
        await shelf.add(PEER, retraction_row(one))
        assert store.promotable(1) == [(A, second)]  # the log has another
        await store.erase_body(PEER, 1)
        assert store.promotable(1) == []
        assert store.promotable(0) == [(A, second)]
        await shelf.signal(PEER, A, day=Day(TODAY + 9))
        await shelf.add(OWN, retraction_row(second))
        assert store.promotable(1) == [(A, first)]
        await store.expire(Day(TODAY + 1_000))
        assert store.promotable(0) == []

    async def test_signal_and_its_retraction_in_one_commit_count_for_nothing(
        self, store: Store, shelf: Shelf
    ) -> None:
        own, row = await shelf.signal(OWN, A), signal_row([A])
        await shelf.add(PEER, row, retraction_row(row.entry_id))
        assert store.promotable(0) == [(A, own)]
        assert store.promotable(1) == []

    async def test_promoted_is_not_promotable(self, store: Store, shelf: Shelf) -> None:
        evidence = [await shelf.signal(log, A, B, C) for log in (PEER, THIRD, FOURTH)]
        soon = Day(TODAY + 1)
        await shelf.add(THIRD, promotion_row((digest(1), B, evidence), expires=soon))
        own = await shelf.signal(OWN, A, B, C)  # B was promoted before it was met here
        await shelf.add(FOURTH, promotion_row((digest(2), A, evidence)))
        assert store.promotable(1) == [(C, own)]
        await store.erase_body(FOURTH, 1)
        await store.expire(Day(TODAY + 2))
        assert sorted(store.promotable(1)) == sorted([(A, own), (B, own), (C, own)])

    async def test_a_junk_promotion_stops_no_other(self, store: Store, shelf: Shelf) -> None:
        """Else a member keeps a token from ever being promoted rightly."""
        own = await shelf.signal(OWN, A)
        one = await shelf.signal(PEER, A)
        derived = [await shelf.signal(log, A, direct=False) for log in (THIRD, FOURTH)]
        for sources in ([], [digest("never")], [own, one], [one, *derived]):
            await shelf.add(FIFTH, promotion_row((digest(1), A, sources)))
            assert store.promotable(1) == [(A, own)]
        two = await shelf.signal(PEER, A)  # of the same log
        await shelf.add(OWN, promotion_row((digest(1), A, [own, one, two])))
        assert store.promotable(1) == [(A, own)]
        three = await shelf.signal(THIRD, A)
        await shelf.add(FOURTH, promotion_row((digest(1), A, [own, one, three])))
        assert store.promotable(1) == []
        await shelf.suspend(FOURTH)
        assert store.promotable(1) == [(A, own)]
        await shelf.add(THIRD, promotion_row((digest(1), A, [own, one, three])))
        assert store.promotable(1) == []

    # --- feed

    async def test_filters_of_the_new_events(self, store: Store, shelf: Shelf) -> None:
        target = await shelf.signal(PEER, A)
        await shelf.add(THIRD, sighting_row(target), promotion_row((digest(1), A, [target])))
        await store.keep_misconduct(Misconduct(FOURTH, "evaluation", b"q", b"a", 5.0))
        record = store.signal(target)
        assert record is not None
        everything = ["provisional", "signal", "sighting", "promotion", "misconduct"]
        assert kinds(store) == everything[1:]
        level, category = record.band_level, record.category
        assert kinds(store, 0, FeedFilter(min_band=level)) == ["signal", "sighting", "misconduct"]
        assert kinds(store, 0, FeedFilter(categories=frozenset({category}))) == [
            "signal",
            "sighting",
            "misconduct",
        ]
        other = FeedFilter(categories=frozenset({"vcr", "src"} - {category}))
        assert kinds(store, 0, other) == ["misconduct"]
        if level < 4:
            assert kinds(store, 0, FeedFilter(min_band=level + 1)) == ["misconduct"]
        for one in EVENT_TYPES:
            shown = kinds(store, 0, FeedFilter(types=frozenset({one})))
            assert shown == [kind for kind in everything if kind == one]

    # --- the committee

    async def test_charges_only_grow(self, store: Store) -> None:
        await store.charge_saved(TODAY, PEER, 64)
        await store.charge_saved(TODAY, PEER, 32)
        await store.charge_saved(TODAY, THIRD, 1)
        await store.charge_saved(Day(TODAY + 1), PEER, 5)
        assert store.charges(TODAY) == {PEER: 64, THIRD: 1}
        await store.charge_saved(TODAY, PEER, 96)
        assert store.charges(TODAY) == {PEER: 96, THIRD: 1}
        assert store.charges(Day(TODAY + 1)) == {PEER: 5}
        assert store.charges(Day(TODAY + 2)) == {}

    async def test_old_charges_are_trimmed(self, store: Store) -> None:
        for days in range(4):
            await store.charge_saved(Day(TODAY + days), PEER, days)
        assert await store.trim_charges(Day(TODAY + 2)) == 2
        assert await store.trim_charges(Day(TODAY + 2)) == 0
        assert [store.charges(Day(TODAY + days)) for days in range(4)] == [
            {},
            {},
            {PEER: 2},
            {PEER: 3},
        ]

    async def test_misconduct_is_kept_once(self, store: Store) -> None:
        proof = Misconduct(PEER, "evaluation", b"request", b"answer", 7.0)
        assert await store.keep_misconduct(proof)
        assert not await store.keep_misconduct(replace(proof, at=8.0))
        assert store.misconduct() == [proof]
        others = [
            replace(proof, request=b"requestanswer", answer=b""),
            replace(proof, kind="counts"),
            replace(proof, member=THIRD),
        ]
        for other in others:
            assert await store.keep_misconduct(other)
        assert store.misconduct() == [*others[::-1], proof]
        assert store.misconduct(limit=1) == [others[-1]]
        assert kinds(store) == ["misconduct"] * 4
        event = store.events(0, ALL)[0]
        assert (event.data["issuer"], event.data["kind"]) == (PEER, "evaluation")
        assert event.data["reason"]
        json.dumps(event.data)
        assert "request" not in repr(proof).replace("request=", "")

    async def test_one_member_fills_no_disk_with_wrong_answers(self, store: Store) -> None:
        for n in range(MAX_KEPT + 1):
            kept = await store.keep_misconduct(Misconduct(PEER, "evaluation", b"q", b"%d" % n, 7.0))
            assert kept is (n < MAX_KEPT)
        assert len(store.misconduct()) == MAX_KEPT
        assert await store.keep_misconduct(Misconduct(THIRD, "evaluation", b"q", b"0", 7.0))

    # --- vault

    async def test_vault_of_a_signal(self, store: Store) -> None:
        one = replace(incident("one", b"r" * 32), entry_id=A)
        await store.vault_put(one)
        await store.vault_put(replace(incident("two"), entry_id=None))
        assert store.vault_of(A) == replace(one, reference_mac=None)
        assert store.vault_of(B) is None
        await store.vault_erase("one")
        assert store.vault_of(A) is None

    # --- the whole

    async def test_matching_outlives_a_restart(self, open_store: OpenStore) -> None:
        store = open_store()
        shelf = Shelf(store)
        own = await shelf.signal(OWN, A, B)
        one = await shelf.signal(PEER, A, B)
        await shelf.add(THIRD, sighting_row(one), promotion_row((digest(1), A, [one, own])))
        await store.charge_saved(TODAY, PEER, 64)
        await store.keep_misconduct(Misconduct(PEER, "evaluation", b"q", b"a", 7.0))

        def seen(store: Store) -> Sequence[object]:
            return (
                store.sources([A, B, C]),
                store.promotions([digest(1)]),
                store.promoted_tokens([A, B]),
                store.promotable(1),
                store.sharing(one),
                store.charges(TODAY),
                store.misconduct(),
                store.events(0, ALL),
            )

        before = seen(store)
        assert all(before)
        store.close()
        again = open_store()
        assert seen(again) == before
        again.close()

    async def test_matchable_when_the_commit_is_acknowledged(
        self, store: Store, shelf: Shelf
    ) -> None:
        for n in range(20):
            entry_id = await shelf.signal(PEER, digest(n))
            assert await asyncio.to_thread(holders, store, digest(n)) == [entry_id]
            await shelf.add(PEER, retraction_row(entry_id))
            assert await asyncio.to_thread(holders, store, digest(n)) == []
