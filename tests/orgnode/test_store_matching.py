"""What is particular to SQLite in matching: rules of the database, plans, erasure."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.days import Day
from mesh.testing import TODAY
from orgnode.store import Misconduct, SqliteStore

pytest.register_assert_rewrite("store_contract")

from match_rows import (  # noqa: E402
    Shelf,
    digest,
    promotion_row,
    retraction_row,
    sighting_row,
    signal_row,
)
from store_contract import OWN, PEER  # noqa: E402

A, B = digest("a"), digest("b")
THIRD = "cobalt.example"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with SqliteStore.open(path, name=OWN) as store:
        yield store


# --- rules that the database itself keeps


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE charge SET elements = elements - 1",
        "UPDATE charge SET day = day + 1",
        "UPDATE charge SET asker = 'another'",
        "INSERT INTO charge VALUES (1, 'x', -1)",
        "UPDATE misconduct SET answer = x'00'",
        "DELETE FROM misconduct",
        "INSERT INTO misconduct SELECT id + 1, digest, member, kind, request, answer, at"
        " FROM misconduct",
        "INSERT INTO misconduct SELECT id + 1, x'00', member, kind, request, answer, at"
        " FROM misconduct",
        "INSERT INTO token SELECT x'00', log, entry FROM token",
        "INSERT INTO token SELECT * FROM token",
        "INSERT INTO sighting SELECT x'00', log, entry, verdict FROM sighting",
        "UPDATE sighting SET verdict = 'perhaps'",
        "INSERT INTO sighting SELECT target, log, entry, 'deny' FROM sighting",
        "UPDATE promotion SET token = x'00'",
        "INSERT INTO promotion SELECT x'00', log, entry, token, 0, 0, '' FROM promotion",
        "UPDATE promotion SET held = held - 1",
        "UPDATE promotion SET since = since + 1",
        "INSERT INTO promotion_source SELECT input, entry, x'00', 1 FROM promotion_source",
        "UPDATE promotion_source SET held = 2",
        "UPDATE own_token SET others = -1",
        "UPDATE own_token SET promoted = 2",
        "INSERT INTO event (type, at, log) SELECT 'rumour', at, log FROM event LIMIT 1",
        "INSERT INTO token SELECT randomblob(32), log, 99 FROM token",
        "INSERT INTO own_token VALUES (randomblob(32), 99, 0, 0)",
        "INSERT INTO sighting SELECT randomblob(32), log, 99, verdict FROM sighting",
        "INSERT INTO promotion SELECT randomblob(32), log, 99, token, 0, 0, '' FROM promotion",
    ],
)
async def test_database_itself_refuses(store: SqliteStore, path: Path, statement: str) -> None:
    shelf = Shelf(store)
    own = await shelf.signal(OWN, A)
    await shelf.add(PEER, sighting_row(own), promotion_row((B, A, [own])))
    await store.charge_saved(TODAY, PEER, 5)
    await store.keep_misconduct(Misconduct(PEER, "evaluation", b"q", b"a", 7.0))
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError):
            raw.execute(statement)
    raw.close()


# --- growth


async def test_matching_scans_no_table(store: SqliteStore, path: Path) -> None:
    """A plan that scans works in every test and fails at a million tokens."""
    shelf = Shelf(store)
    own = await shelf.signal(OWN, A)
    await shelf.signal(PEER, A)
    statements: set[str] = set()

    def trace(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(statements.add)

    await store._writer.write(trace)
    store._read(trace)
    peer = await shelf.signal(PEER, A, B)
    await shelf.add(PEER, *(signal_row([A]) for _ in range(1_100)))
    await shelf.add(THIRD, sighting_row(peer), promotion_row((B, A, [own, peer])))
    late = signal_row([A])
    await shelf.add(THIRD, *(promotion_row((B, A, [late.entry_id])) for _ in range(1_100)))
    await shelf.add(PEER, late)
    assert store.sources([A])
    assert store.promotions([B])
    assert store.promoted_tokens([A])
    store.promotable(1)
    assert store.sharing(own)
    store.vault_of(own)
    store.charges(TODAY)
    store.misconduct()
    await store.charge_saved(TODAY, PEER, 1)
    await store.trim_charges(TODAY)
    await store.keep_misconduct(Misconduct(PEER, "evaluation", b"q", b"a", 7.0))
    await shelf.add(OWN, retraction_row(own), signal_row([A]))
    await shelf.early(THIRD, retraction_row(late.entry_id))
    await store.expire(Day(TODAY + 1_000))
    raw = sqlite3.connect(path)
    scans = set()
    # Logs are as many as members; the newest proofs are read in the order of their table.
    small = ("SCAN log", "SCAN l", "SCAN suspended", "SCAN x", "SCAN sqlite_sequence")
    small += ("SCAN misconduct", "SCAN CONSTANT ROW")
    for statement in statements:
        if statement.split(None, 1)[0] not in ("SELECT", "UPDATE", "DELETE", "INSERT", "WITH"):
            continue
        for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}"):
            if row[3].startswith("SCAN ") and row[3] not in small:
                scans.add((row[3], statement))
            # Any number of signals can hold a token; a promotion names at most 32 of them.
            if "promotion_source" in statement and "(token=?)" in row[3]:
                scans.add((row[3], statement))
    raw.close()
    assert len(statements) > 40
    assert scans == set()


# --- erasure


async def test_tokens_of_what_ended_are_in_no_file(store: SqliteStore, tmp_path: Path) -> None:
    """Pages of the index split and merge; no copy of a row may stay behind in one."""
    rng = random.Random(11)
    shelf = Shelf(store)
    live: dict[tuple[str, int], list[bytes]] = {}
    ever: set[bytes] = set()
    sizes = {OWN: 0, PEER: 0}
    for _ in range(25):
        for log in (OWN, PEER):
            rows = []
            for _ in range(8):
                tokens = [rng.randbytes(32) for _ in range(26)]
                live[log, sizes[log]] = tokens
                sizes[log] += 1
                ever.update(tokens)
                rows.append(signal_row([token.hex() for token in tokens]))
            await shelf.add(log, *rows)
        for log, index in rng.sample(sorted(live), 13):
            await store.erase_body(log, index)
            del live[log, index]
    kept = {token for tokens in live.values() for token in tokens}
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert [token for token in kept if token not in content] == []
    assert [token for token in ever - kept if token in content] == []
    assert [token for token in ever - kept if token.hex().encode() in content] == []


async def test_nothing_of_what_ended_stays_in_a_table(store: SqliteStore, path: Path) -> None:
    shelf = Shelf(store)
    own = await shelf.signal(OWN, A)
    await shelf.add(PEER, signal_row([A]), sighting_row(own), promotion_row((B, A, [own])))
    await store.erase_body(OWN, 0)
    for index in range(3):
        await store.erase_body(PEER, index)
    raw = sqlite3.connect(path)
    for table in ("token", "own_token", "sighting", "promotion", "promotion_source", "body"):
        assert raw.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    raw.close()
