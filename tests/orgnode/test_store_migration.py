"""Databases that earlier versions wrote, made by SQL as those versions made them."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from mesh.days import Day
from mesh.outcome import Outcome
from mesh.testing import TODAY
from mesh.wire import Present
from orgnode.store import FeedFilter, LogRow, Misconduct, SignalFilter, SqliteStore, schema
from proofs.merkle import Frontier

pytest.register_assert_rewrite("store_contract")

from match_rows import (  # noqa: E402
    Shelf,
    digest,
    promotion_row,
    retraction_row,
    sighting_row,
    signal_row,
    waiting,
)
from store_contract import OWN, PEER  # noqa: E402

A, B = digest("a"), digest("b")
THIRD, FOURTH = "cobalt.example", "dune.example"
EARLY = FeedFilter(provisional=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.db"


def old_database(path: Path, *migrations: str) -> sqlite3.Connection:
    """An empty database of an earlier version."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    for migration in migrations:
        script = resources.files("orgnode.store.migrations").joinpath(migration).read_text()
        connection.create_function("token_bytes", 1, bytes.fromhex)
        connection.executescript(script)
    connection.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied REAL)")
    connection.execute("INSERT INTO schema_version VALUES (?, 0)", (len(migrations),))
    connection.execute("INSERT INTO meta VALUES ('owner.name', ?)", (OWN.encode(),))
    return connection


# --- the first version


def version_one(path: Path) -> None:
    """Two logs, three signals, one of them retracted."""
    connection = old_database(path, "0001_initial.sql")
    for number, log in ((1, OWN), (2, PEER)):
        connection.execute(
            "INSERT INTO log (id, name, size, frontier) VALUES (?, ?, 0, x'')", (number, log)
        )
    for entry, (log, status, tokens) in enumerate(
        [(1, "live", [A, B]), (2, "live", [A]), (2, "retracted", [])], start=1
    ):
        connection.execute(
            "INSERT INTO entry VALUES (?, ?, ?, ?, 'signal', 1, 90, 'accepted', '', '', 0, ?,"
            " ?, x'')",
            (entry, log, entry, bytes([entry]) * 32, "present" if tokens else "erased", entry / 2),
        )
        connection.execute(
            "INSERT INTO signal VALUES (?, ?, 3, 'cse', ?, NULL, 50, 1, NULL, NULL)",
            (entry, log, status),
        )
        if tokens:
            body = json.dumps({"tokens": tokens}).encode()
            connection.execute("INSERT INTO body VALUES (?, zeroblob(32), ?)", (entry, body))
        connection.execute(
            "INSERT INTO event (type, at, log, entry, band) VALUES ('signal', 5.0, ?, ?, 3)",
            (log, entry),
        )
    connection.close()


def test_first_version_is_migrated(path: Path) -> None:
    version_one(path)
    with SqliteStore.open(path, name=OWN) as store:
        everything = store.signals(SignalFilter(provisional=True))
        assert [signal.status for signal in everything] == ["retracted", "live", "live"]
        assert [signal.tokens for signal in everything] == [(), (A,), (A, B)]
        assert [event.seq for event in store.events(0, EARLY)] == [1, 2, 3]
        assert store.sources([A, B]) == {}


@pytest.mark.parametrize("trimmed", [3, 2])
async def test_event_numbers_go_on_after_the_migration(path: Path, trimmed: int) -> None:
    version_one(path)
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM event WHERE seq <= ?", (trimmed,))
    raw.close()
    with SqliteStore.open(path, name=OWN) as store:
        assert store.last_seq() == 3
        assert store.first_seq() == trimmed + 1
        assert await store.keep_misconduct(Misconduct(PEER, "evaluation", b"q", b"a", 7.0))
        assert store.last_seq() == 4


async def test_new_database_counts_events_from_one(path: Path) -> None:
    with SqliteStore.open(path, name=OWN) as store:
        assert store.last_seq() == 0
        await Shelf(store).early(PEER, signal_row([A]))
        assert [event.seq for event in store.events(0, EARLY)] == [1]


# --- the second version, which knew no certificates


class VersionTwo:
    """Writes what the second version wrote for entries that it had followed."""

    def __init__(self, path: Path) -> None:
        self.connection = old_database(path, "0001_initial.sql", "0002_matching.sql")
        self.sizes: dict[str, int] = {}

    def log(self, name: str, rows: Sequence[LogRow], evidence: bytes | None = None) -> None:
        frontier = Frontier(0, ()).extend(row.leaf for row in rows)
        number = self.connection.execute(
            "INSERT INTO log (name, size, frontier, evidence) VALUES (?, ?, ?, ?) RETURNING id",
            (name, len(rows), frontier.to_bytes(), evidence),
        ).fetchone()[0]
        for index, row in enumerate(rows):
            self._entry(number, replace(row, index=index))
        self.connection.execute(
            "INSERT INTO outcome_count SELECT log, outcome, count(*) FROM entry WHERE log = ?"
            " GROUP BY outcome",
            (number,),
        )

    def _entry(self, log: int, row: LogRow) -> None:
        present = isinstance(row.answer, Present)
        entry = self.connection.execute(
            "INSERT INTO entry (log, idx, leaf, kind, day, expires, outcome, error, reason, retry,"
            " body, received, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, 5.0, ?) RETURNING id",
            (
                log,
                row.index,
                row.leaf,
                row.kind,
                row.day,
                row.expires,
                row.outcome,
                row.error,
                row.retryable,
                "present" if present else "missing",
                row.note,
            ),
        ).fetchone()[0]
        if isinstance(row.answer, Present):
            values = entry, row.answer.salt, row.answer.body
            self.connection.execute("INSERT INTO body VALUES (?, ?, ?)", values)
        kind, band = row.kind, None
        if row.signal is not None:
            band = row.signal.severity.band
            self.connection.execute(
                "INSERT INTO signal VALUES (?, ?, ?, 'cse', 'live', NULL, 80, 1, NULL, NULL, 5, ?)",
                (entry, log, band, row.leaf),
            )
            tokens = [(bytes.fromhex(token), log, entry) for token in row.signal.tokens]
            self.connection.executemany("INSERT INTO token VALUES (?, ?, ?)", tokens)
        elif row.retracts is not None:
            target = bytes.fromhex(row.retracts)
            self.connection.execute(
                "INSERT INTO retraction VALUES (?, ?, ?, 'mistake')", (log, target, entry)
            )
        elif row.sighting is not None:
            target = bytes.fromhex(row.sighting.target)
            self.connection.execute(
                "INSERT INTO sighting VALUES (?, ?, ?, 'confirm')", (target, log, entry)
            )
        elif row.promotion is not None:
            (window,) = row.promotion.windows
            given, token = bytes.fromhex(window.input), bytes.fromhex(window.token)
            self.connection.execute(
                "INSERT INTO promotion VALUES (?, ?, ?, ?, 5.0, 1, ?)",
                (given, log, entry, token, PEER),
            )
            self.connection.executemany(
                "INSERT INTO promotion_source VALUES (?, ?, ?, 1)",
                ((given, entry, bytes.fromhex(source)) for source in window.sources),
            )
        if row.outcome is Outcome.ACCEPTED:
            self.connection.execute(
                "INSERT INTO event (type, at, log, entry, band, category)"
                " VALUES (?, 5.0, ?, ?, ?, 'cse')",
                (kind, log, entry, band),
            )


async def test_what_has_no_certificate_counts_once_it_has_one(path: Path) -> None:
    old = VersionTwo(path)
    one, own, gone = signal_row([A, B]), signal_row([A]), signal_row([A])
    old.log(OWN, [own])
    old.log(PEER, [one, waiting(gone), retraction_row(gone.entry_id)])
    said, promoted = sighting_row(one.entry_id), promotion_row((B, A, [one.entry_id]))
    old.log(THIRD, [said, promoted])
    old.connection.execute(
        "INSERT INTO own_token SELECT token, entry, 1, 0 FROM token WHERE log = 1"
    )
    old.connection.close()
    clock = [9000.0]
    with SqliteStore.open(path, name=OWN, clock=lambda: clock[0]) as store:
        shelf = Shelf(store)
        assert store.sources([A, B]) == {}
        assert store.promotions([B]) == {}
        assert store.promotable(0) == []
        assert store.signals(SignalFilter()) == []
        # Only the retraction stays news: who was told of the signals must hear of it.
        assert [event.type for event in store.events(0, FeedFilter())] == ["retraction"]
        early = [event.type for event in store.events(0, EARLY)]
        assert early == ["provisional"] * 2 + ["retraction", "sighting", "promotion"]
        # Nobody waits for the body of what was retracted.
        assert store.first_missing(PEER) is None
        assert store.counts()[PEER] == {
            Outcome.ACCEPTED: 2,
            Outcome.REFUSED: 0,
            Outcome.DEFERRED: 0,
            Outcome.LAPSED: 1,
        }
        before = store.last_seq()
        for log in (OWN, PEER):
            await shelf.certify(log)
        assert store.sources([A])[A][1].confirmed_by == ()
        assert store.promotions([B]) == {}
        await shelf.certify(THIRD)
        (first, second) = store.sources([A])[A]
        assert (first.signal, second.signal) == (own.entry_id, one.entry_id)
        assert (second.received, second.confirmed_by) == (9000.0, (THIRD,))
        assert [p.held_by for p in store.promotions([B])[B]] == [(PEER,)]
        assert store.promotable(1) == [(A, own.entry_id)]
        told = [event.type for event in store.events(before, FeedFilter())]
        assert told == ["signal", "signal", "sighting", "promotion"]


def test_days_of_stored_entries_are_counted(path: Path) -> None:
    old = VersionTwo(path)
    kept = signal_row([A])
    copy = replace(kept, signal=None, outcome=Outcome.REFUSED, error="DuplicateEntryError")
    false = replace(signal_row([A]), signal=None, outcome=Outcome.REFUSED, error="ProofError")
    junk = replace(waiting(signal_row([A])), kind=None, day=None, error="NoteFormatError")
    ahead = replace(
        waiting(signal_row([A])),
        day=Day(TODAY + 9),
        outcome=Outcome.REFUSED,
        error="DatedAheadError",
    )
    late = replace(waiting(signal_row([A])), day=Day(TODAY + 1))
    withdrawn = replace(retraction_row(kept.entry_id), day=Day(TODAY + 2))
    old.log(PEER, [kept, copy, false, junk, ahead, late, withdrawn])
    old.connection.close()
    with SqliteStore.open(path, name=OWN) as store:
        history = store.history(PEER)
        days = [Day(TODAY + n) for n in range(10)]
        assert [history.counted_on(day) for day in days] == [2, 1, *[0] * 8]
        assert history.last_day() == TODAY + 1, "a retraction moves no day"


def test_an_older_checkpoint_suspends_nobody_any_more(path: Path) -> None:
    old = VersionTwo(path)
    for log, kind in ((PEER, "shrink"), (THIRD, "split")):
        evidence = {"kind": kind, "log": log, "first": "", "second": "", "left": [], "right": []}
        old.log(log, [signal_row([A])], json.dumps(evidence).encode())
        old.connection.execute(
            "INSERT INTO event (type, at, log, detail) SELECT 'evidence', 5.0, id, ?1 FROM log"
            " WHERE name = ?2",
            (f"{kind}\nreason", log),
        )
    old.connection.close()
    with SqliteStore.open(path, name=OWN) as store:
        assert store.state(PEER).evidence is None
        assert store.state(THIRD).evidence is not None
        events = store.events(0, FeedFilter(types=frozenset({"evidence"})))
        assert [event.data["issuer"] for event in events] == [THIRD]
