"""The rules of certification and matching as a slow, plain model, and a random history of logs.

`Model` is told what happens to a store and answers what the store must answer. It holds every entry
as an object and computes all answers from scratch; it knows no table and no index.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

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
from store_contract import OWN

from mesh.days import Day
from mesh.outcome import Outcome
from mesh.testing import TODAY
from orgnode.store import FeedFilter, LogRow, SignalFilter, Store
from orgnode.store.promotion_rows import MAX_PROMOTIONS

NAMES = (OWN, "birch.example", "cobalt.example", "dune.example", "elm.example")
TOKENS = [digest(n) for n in range(6)]
INPUTS = {token: digest(("input", token)) for token in TOKENS}
COOLDOWN = 2
MUST_BE_MET = {
    "certified without content",
    "counts though suspended",
    "counts when its body comes",
    "paused",
    "promotable",
    "promoted on enough",
    "retracted after it counted",
    "retracted before it was certified",
    "retracted before its body came",
    "retracted late",
    "suspended",
}
"""What random histories must not do without."""
EVERYTHING = FeedFilter(provisional=True, suspended=True)


@dataclass
class Item:
    """One entry of one log."""

    log: str
    row: LogRow
    arrival: int
    accepted: bool
    body: bool
    status: str = "live"
    lapsed: bool = False
    counts: bool = False
    """It took effect."""
    held_by: set[str] = field(default_factory=set)
    stored: bool = False
    """A promotion that was not beyond the first few."""

    @property
    def id(self) -> str:
        return self.row.entry_id

    @property
    def tokens(self) -> set[str]:
        assert self.row.signal is not None
        return set(self.row.signal.tokens)


@dataclass
class Pause:
    """A retraction that was accepted, and the tokens that it withdrew."""

    log: str
    index: int
    until: int
    tokens: set[str]


class Model:
    """What a store must say."""

    def __init__(self) -> None:
        self.logs: dict[str, list[Item]] = {name: [] for name in NAMES}
        self.certified = dict.fromkeys(NAMES, 0)
        self.suspended: set[str] = set()
        self.retracted: set[tuple[str, str]] = set()
        self.pauses: list[Pause] = []
        self.words: dict[tuple[str, str], Item] = {}
        self.events: list[tuple[str, str, bool]] = []
        self.arrivals = 0
        self.met: Counter[str] = Counter()

    # --- what happens

    def append(self, log: str, rows: Sequence[LogRow]) -> None:
        for row in rows:
            self.arrivals += 1
            accepted = row.outcome is Outcome.ACCEPTED
            row = replace(row, index=len(self.logs[log]))
            item = Item(log, row, self.arrivals, accepted, accepted)
            self.logs[log].append(item)
            if accepted:
                self._accept(item)
        self._settle()

    def resolve(self, log: str, index: int, row: LogRow) -> None:
        item = self.logs[log][index]
        if item.lapsed or item.accepted:
            return
        item.row, item.accepted, item.body = replace(row, index=index), True, True
        self._accept(item)
        self._settle()

    def certify(self, log: str, size: int) -> None:
        before, self.certified[log] = self.certified[log], max(size, self.certified[log])
        for item in self.logs[log][before:size]:
            if item.accepted:
                self._count(item)
        self._settle()

    def erase(self, log: str, index: int, status: str = "erased") -> None:
        item = self.logs[log][index]
        item.lapsed = not item.accepted
        item.body = item.counts = item.stored = False
        if item.status == "live" or status == "retracted":
            item.status = status
        for key, word in list(self.words.items()):
            if word is item:
                del self.words[key]
        self._settle()

    def expire(self, today: int) -> None:
        for items in self.logs.values():
            for item in items:
                if item.body and item.row.expires is not None and item.row.expires < today:
                    self.erase(item.log, item.row.index, "expired")

    def _accept(self, item: Item) -> None:
        row = item.row
        certified = row.index < self.certified[item.log]
        self.met["counts when its body comes"] += certified
        if row.signal is not None and not certified:
            self.events.append(("provisional", item.id, True))
        if row.retracts is not None:
            self._retract(item, row.retracts)
        if row.evidence is not None and row.evidence.log not in self.suspended:
            self.suspended.add(row.evidence.log)
            self.events.append(("evidence", row.evidence.log, False))
        if certified:
            self._count(item)

    def _retract(self, item: Item, target: str) -> None:
        if (item.log, target) in self.retracted:
            return
        self.retracted.add((item.log, target))
        gone = next(other for other in self.logs[item.log] if other.id == target)
        if not gone.accepted:
            gone.lapsed = True
            self.met["retracted before its body came"] += 1
            return
        withdrawn = gone.tokens if gone.status == "live" else set()
        assert item.row.day is not None
        until = item.row.day + COOLDOWN
        self.erase(item.log, gone.row.index, "retracted")
        self.pauses.append(Pause(item.log, item.row.index, until, withdrawn))
        early = gone.row.index >= self.certified[item.log]
        self.met["retracted before it was certified"] += early
        self.met["retracted after it counted"] += not early
        self.met["retracted late"] += any(
            other.counts and other.tokens & withdrawn
            for other in self.logs[item.log][item.row.index :]
            if other.row.signal is not None
        )
        self.events.append(("retraction", gone.id, early))

    def _count(self, item: Item) -> None:
        if not item.body or item.counts:
            self.met["certified without content"] += 1
            return
        self.met["counts though suspended"] += item.log in self.suspended
        row = item.row
        item.counts = row.retracts is None and row.evidence is None
        if row.signal is not None:
            self.events.append(("signal", item.id, False))
            words = sorted(self.words.values(), key=lambda word: word.arrival)
            self.events += [
                ("sighting", item.id, False)
                for word in words
                if word.row.sighting is not None
                and word.row.sighting.target == item.id
                and word.log != item.log
            ]
        if row.sighting is not None:
            target = row.sighting.target
            newest = self.words.get((item.log, target))
            if newest is None or newest.arrival < item.arrival:
                self.words[item.log, target] = item
                seen = [other for other in self.live() if other.id == target]
                if seen and seen[0].log != item.log:
                    self.events.append(("sighting", target, False))
        if row.promotion is not None:
            self.events.append(("promotion", item.id, False))
            (window,) = row.promotion.windows
            before = [
                other
                for other in self.promotions(window.token)
                if other.log == item.log and other is not item
            ]
            item.stored = item.log == OWN or len(before) < MAX_PROMOTIONS

    def _settle(self) -> None:
        """Note whose evidence for which promotion is here: that is never taken back."""
        for token in TOKENS:
            for promotion in self.promotions(token):
                assert promotion.row.promotion is not None
                (window,) = promotion.row.promotion.windows
                promotion.held_by |= {
                    one.log
                    for one in self.holding(token)
                    if one.id in window.sources and one.row.signal and one.row.signal.direct
                }

    # --- what follows from it

    def items(self) -> Iterator[Item]:
        return (item for items in self.logs.values() for item in items)

    def live(self) -> list[Item]:
        return [item for item in self.items() if item.row.signal is not None and item.counts]

    def holding(self, token: str) -> list[Item]:
        """Signals that hold a token, of suspended logs as well."""
        return [
            item for item in self.live() if token in item.tokens and not self._paused(item, token)
        ]

    def _paused(self, item: Item, token: str) -> bool:
        paused = any(
            pause.log == item.log
            and pause.index < item.row.index
            and token in pause.tokens
            and item.row.day is not None
            and item.row.day <= pause.until
            for pause in self.pauses
        )
        self.met["paused"] += paused
        return paused

    def promotions(self, token: str) -> list[Item]:
        return [
            item
            for item in self.items()
            if item.stored
            and item.row.promotion is not None
            and item.row.promotion.windows[0].token == token
        ]

    def promotable(self, others: int) -> set[tuple[str, str]]:
        if OWN in self.suspended:
            return set()
        found = set()
        for token in TOKENS:
            holders = self.holding(token)
            own = [item for item in holders if item.log == OWN]
            count = len({item.log for item in holders} - {OWN} - self.suspended)
            promoted = any(
                len(item.held_by) >= 3 and item.log not in self.suspended
                for item in self.promotions(token)
            )
            if own and count >= others and not promoted:
                found.add((token, max(own, key=lambda item: item.arrival).id))
        return found

    def check(self, store: Store) -> None:
        """Compare all answers of a store."""
        self.met["promotable"] += bool(self.promotable(1))
        self.met["promoted on enough"] += any(len(one.held_by) >= 3 for one in self.items())
        self.met["suspended"] += bool(self.suspended)
        for token in TOKENS:
            told = store.sources([token]).get(token, [])
            holders = [one for one in self.holding(token) if one.log not in self.suspended]
            for name in NAMES:  # each log's in order of arrival
                assert [one.signal for one in told if one.issuer == name] == [
                    one.id for one in holders if one.log == name
                ]
            for one in told:
                said = [
                    (word.log, str(word.row.sighting.verdict))
                    for word in self.words.values()
                    if word.row.sighting is not None
                    and word.row.sighting.target == one.signal
                    and word.log not in {one.issuer, *self.suspended}
                ]
                for verdict, members in (("confirm", one.confirmed_by), ("deny", one.denied_by)):
                    assert members == tuple(sorted(log for log, what in said if what == verdict))
            promoted = store.promotions([INPUTS[token]]).get(INPUTS[token], [])
            assert sorted((one.id, one.held_by) for one in promoted) == sorted(
                (item.id, tuple(sorted(item.held_by))) for item in self.promotions(token)
            )
        assert store.promoted_tokens(TOKENS) == {
            token
            for token in TOKENS
            if any(item.log not in self.suspended for item in self.promotions(token))
        }
        for others in range(4):
            assert set(store.promotable(others)) == self.promotable(others)
        self._check_feed(store)

    def _check_feed(self, store: Store) -> None:
        told = [
            (
                event.type,
                event.data["signal"]["id"] if "signal" in event.data else event.data.get("id"),
            )
            for event in store.events(0, EVERYTHING)
            if event.type != "evidence"
        ]
        assert told == [(kind, id_) for kind, id_, _ in self.events if kind != "evidence"]
        shown = [event.type for event in store.events(0, FeedFilter(suspended=True))]
        assert shown == [kind for kind, _, early in self.events if not early]
        known = [item for item in self.items() if item.row.signal is not None and item.accepted]
        listed = store.signals(SignalFilter(provisional=True, suspended=True), limit=10_000)
        assert [(one.id, str(one.status), one.certified) for one in listed] == [
            (item.id, item.status, item.row.index < self.certified[item.log])
            for item in sorted(known, key=lambda item: -item.arrival)
        ]
        by_default = store.signals(SignalFilter(), limit=10_000)
        assert by_default == [one for one in listed if one.certified and not one.suspended]
        assert {one.issuer for one in listed if one.suspended} <= self.suspended


class History:
    """Lets random things happen to a store and to the model of it."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.shelf = Shelf(store)
        self.model = Model()
        self.rng = Random(seed)
        self.today = TODAY
        self.steps = 0
        self.late: dict[tuple[str, int], LogRow] = {}
        self.coming = [self._signal() for _ in range(60)]

    def _signal(self) -> LogRow:
        tokens = self.rng.sample(TOKENS, self.rng.randint(1, 3))
        return signal_row(tokens, direct=self.rng.random() < 0.9)

    async def step(self) -> None:
        self.steps += 1
        rng, name = self.rng, self.rng.choice(NAMES)
        items = self.model.logs[name]
        match rng.choice(("append", "append", "append", "certify", "certify", "resolve", "end")):
            case "append":
                await self._append(name)
            case "certify" if items:
                size = rng.randint(0, len(items))
                await self.shelf.certify(name, size)
                self.model.certify(name, size)
            case "resolve" if self.late:
                log, index = rng.choice(sorted(self.late))
                row = self.late.pop((log, index))
                await self.shelf.resolve(log, index, row)
                self.model.resolve(log, index, row)
            case "end" if items and rng.random() < 0.5:
                index = rng.randrange(len(items))
                await self.store.erase_body(name, index)
                self.model.erase(name, index)
            case "end":
                self.today = Day(self.today + rng.randint(0, 1))
                await self.store.expire(self.today)
                self.model.expire(self.today)

    async def _append(self, name: str) -> None:
        rng, rows = self.rng, list[LogRow]()
        size = len(self.model.logs[name])
        for _ in range(rng.randint(1, 3)):
            row = self._row(name, rows)
            life = rng.randint(1, 12)
            row = replace(row, day=self.today, expires=Day(self.today + life))
            if rng.random() < (0.6 if row.retracts else 0.15):
                self.late[name, size + len(rows)] = row
                row = waiting(row)
            rows.append(row)
        await self.shelf.early(name, *rows)
        self.model.append(name, rows)

    def _row(self, name: str, rows: list[LogRow]) -> LogRow:
        rng = self.rng
        known = [item.id for item in self.model.logs[name] if item.row.kind == "signal"]
        known += [row.entry_id for row in rows if row.kind == "signal"]
        signals = [item.id for item in self.model.items() if item.row.kind == "signal"]
        near = [*signals[-40:], *(row.entry_id for row in self.coming[:10])]
        match rng.choice(("signal", "signal", "retract", "sight", "promote", "accuse")):
            case "retract" if known:
                return retraction_row(rng.choice(known))
            case "sight":
                return sighting_row(rng.choice(near), rng.choice(("confirm", "deny")))
            case "promote":
                token = rng.choice(TOKENS)
                named = rng.sample(near, min(len(near), 12))
                return promotion_row((INPUTS[token], token, named))
            case "accuse" if self.steps > 70 and rng.random() < 0.2:
                return evidence_row(rng.choice(NAMES if self.steps > 100 else NAMES[1:]))
        self.coming.append(self._signal())
        return self.coming.pop(0)
