"""What is particular to SQLite: durability, erasure to the last byte, disk conditions, schema."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.days import Day
from mesh.testing import TODAY
from mesh.wire import ERASED, Present
from orgnode.store import (
    FeedFilter,
    ForeignDatabaseError,
    NewerSchemaError,
    SignalFilter,
    SqliteStore,
    StoreClosedError,
    StoreConflictError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    certifying,
    schema,
)
from orgnode.store import writer as writer_module
from orgnode.store.context import Settings
from orgnode.store.schema import latest_version, open_reader, open_writer
from orgnode.store.writer import Operation, Writer, commit_batch, truncate_log

pytest.register_assert_rewrite("store_contract")

from store_contract import (  # noqa: E402
    OWN,
    PEER,
    certify,
    follow,
    incident,
    junk_rows,
    org_log,
    plain_rows,
    state_at,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with SqliteStore.open(path, name=OWN) as store:
        yield store


def in_files(directory: Path, *markers: bytes) -> set[bytes]:
    """Which of the markers are in any file of the directory."""
    contents = [file.read_bytes() for file in directory.rglob("*") if file.is_file()]
    return {marker for marker in markers if any(marker in content for content in contents)}


# --- rules that the database itself keeps


async def test_database_itself_refuses_a_second_root(store: SqliteStore, path: Path) -> None:
    log = org_log()
    log.append_signals(1)
    await follow(store, log)
    with sqlite3.connect(path) as raw:
        for statement in (
            "INSERT INTO checkpoint SELECT log, size, randomblob(32), note FROM checkpoint",
            "UPDATE checkpoint SET root = randomblob(32)",
            "UPDATE checkpoint SET size = size + 1",
            "INSERT OR REPLACE INTO checkpoint SELECT log, size, randomblob(32), note"
            " FROM checkpoint WHERE size = 1",
            "DELETE FROM checkpoint",
            "UPDATE log SET size = size - 1",
        ):
            raw.execute("PRAGMA recursive_triggers = ON")  # REPLACE deletes: let triggers see it
            with pytest.raises(sqlite3.IntegrityError):
                raw.execute(statement)
    raw.close()


async def test_database_itself_refuses_to_take_back_what_was_certified_or_cosigned(
    store: SqliteStore, path: Path
) -> None:
    log = org_log()
    log.append_signals(3)
    await follow(store, log, certified=False)
    await certify(store, log, 2)
    await store.put_witnessed(PEER, 0, 2, bytes(32), b"note")
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA recursive_triggers = ON")
        for statement in (
            "UPDATE log SET certified = 1",
            "UPDATE log SET certified = 4",
            "UPDATE log SET certified = -1",
            "UPDATE witnessed SET size = 1",
            "UPDATE witnessed SET root = randomblob(32)",
            "UPDATE witnessed SET log = log + 1",
            "UPDATE witnessed SET size = 3, root = x'00'",
            "DELETE FROM witnessed",
            "INSERT OR REPLACE INTO witnessed SELECT log, 1, root, note FROM witnessed",
            "INSERT INTO receipt VALUES (x'00', 'cobalt.example', x'00', 1.0)",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                raw.execute(statement)
        raw.execute("UPDATE witnessed SET size = 3, root = randomblob(32)")
    raw.close()


# --- erasure


async def test_erased_bodies_are_in_no_file(store: SqliteStore, tmp_path: Path) -> None:
    log = org_log()
    ids = log.append_signals(6)
    bodies = [answer.body for answer in log.answers if isinstance(answer, Present)]
    proofs = [body[body.index(b'"proof"') : body.index(b'"proof"') + 900] for body in bodies]
    salts = [answer.salt for answer in log.answers if isinstance(answer, Present)]
    await follow(store, log)
    assert in_files(tmp_path, *proofs, *salts) == {*proofs, *salts}
    log.append_retraction(ids[0])
    await follow(store, log)
    assert in_files(tmp_path, *proofs, *salts) == {*proofs[1:], *salts[1:]}
    await store.erase_body(PEER, 1)
    assert in_files(tmp_path, *proofs, *salts) == {*proofs[2:], *salts[2:]}
    await store.expire(Day(TODAY + 1_000))
    assert in_files(tmp_path, *proofs, *salts) == set()


async def test_no_fragment_survives_in_any_order_of_writing_and_erasing(
    store: SqliteStore, tmp_path: Path
) -> None:
    """Pages split and merge as rows come and go; no copy of a row may stay behind in one."""
    rng = random.Random(7)
    connection = store._writer
    live: dict[int, bytes] = {}
    ever: set[bytes] = set()
    log = org_log()
    rows = junk_rows(0, 400)
    for row in rows:
        log.append_note(row.note)
    await store.commit_segment(PEER, 0, rows, state_at(log, 400))
    for _ in range(60):
        batch = {}
        for entry in rng.sample(range(1, 401), 12):
            if entry not in live:
                marker = rng.randbytes(16).hex().encode()
                batch[entry] = marker * rng.choice((1, 2, 30, 60, 120, 400))
                live[entry] = marker
                ever.add(marker)

        def insert(c: sqlite3.Connection, batch: dict[int, bytes] = batch) -> None:
            for entry, body in batch.items():
                c.execute("INSERT INTO body VALUES (?, randomblob(32), ?)", (entry, body))
                c.execute("UPDATE entry SET body = 'present' WHERE id = ?", (entry,))

        await connection.write(insert)
        gone = rng.sample(sorted(live), min(len(live), 9))
        await asyncio.gather(*(store.erase_body(PEER, entry - 1) for entry in gone))
        for entry in gone:
            del live[entry]
    assert in_files(tmp_path, *ever) == set(live.values())


async def test_tokens_and_technique_are_erased_too(store: SqliteStore, tmp_path: Path) -> None:
    log = org_log()
    log.append_signals(1)
    (assessed,) = await follow(store, log)
    assert assessed.signal is not None
    token = assessed.signal.tokens[0]
    await store.erase_body(PEER, 0)
    assert in_files(tmp_path, token.encode(), bytes.fromhex(token)) == set()


async def test_a_reader_only_delays_erasure_from_the_write_ahead_log(
    store: SqliteStore, path: Path
) -> None:
    log = org_log()
    log.append_signals(1)
    await follow(store, log)
    answer = log.answers[0]
    assert isinstance(answer, Present)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM body").fetchall()  # holds the old version in the log
    assert await asyncio.wait_for(store.erase_body(PEER, 0), 5)
    assert store.bodies(PEER, 0, 1) == [ERASED]
    assert in_files(path.parent, answer.salt)
    await store.set_meta("writes", b"go on")
    reader.execute("COMMIT")
    reader.close()
    deadline = time.monotonic() + 10
    while in_files(path.parent, answer.salt):  # tried again by itself, without another erasure
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_erasure_that_a_crash_interrupted_is_finished_at_the_next_start(
    store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    log = org_log()
    log.append_signals(1)
    await follow(store, log)
    answer = log.answers[0]
    assert isinstance(answer, Present)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM body").fetchall()
    await store.erase_body(PEER, 0)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in ("node.db", "node.db-wal"):  # what a crash would leave at this moment
        (crashed / name).write_bytes((tmp_path / name).read_bytes())
    reader.close()
    assert in_files(crashed, answer.salt)
    with SqliteStore.open(crashed / "node.db", name=OWN) as again:
        assert again.bodies(PEER, 0, 1) == [ERASED]
        assert not in_files(crashed, answer.salt)


async def test_erased_content_leaves_the_log_of_a_database_that_is_written_to_all_the_time(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup reads on while content is erased; when it is done, no pause in the writes comes."""
    monkeypatch.setattr(writer_module, "_SCRUB_RETRY_SECONDS", 3_600.0)  # it is never idle
    now, tries = [0.0], list[str]()

    def made(connection: sqlite3.Connection) -> Writer:
        writer = Writer(connection, clock=lambda: now[0])
        connection.set_trace_callback(lambda sql: tries.append(sql) if "TRUNCATE" in sql else None)
        return writer

    log = org_log()
    log.append_signals(1)
    answer = log.answers[0]
    assert isinstance(answer, Present)
    with SqliteStore.open(path, name=OWN, writer=made) as store:
        await follow(store, log)
        await store.set_meta("k", b"0")
        assert (store.scrub_due(), tries) == (False, [])
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM body").fetchall()
        await store.erase_body(PEER, 0)
        assert (store.scrub_due(), len(tries)) == (True, 1)
        assert in_files(tmp_path, answer.salt)
        now[0] = 3_600.0
        await store.set_meta("k", b"1")
        assert (store.scrub_due(), len(tries)) == (True, 2)
        reader.close()
        now[0] = 7_199.0  # each try holds up what is written: not at every commit
        await store.set_meta("k", b"2")
        assert (store.scrub_due(), len(tries)) == (True, 2)
        now[0] = 7_200.0
        await store.set_meta("k", b"3")
        assert (store.scrub_due(), len(tries)) == (False, 3)
        assert not in_files(tmp_path, answer.salt)
        await store.set_meta("k", b"4")
        assert len(tries) == 3


async def test_who_reads_that_it_is_erased_is_told_that_it_is_not_out_of_the_log_yet(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the commit, which every reader sees, and the end of the log's truncation."""
    seen: list[tuple[bytes | None, bool]] = []
    with SqliteStore.open(path, name=OWN) as store:

        def truncate(connection: sqlite3.Connection) -> bool:
            seen.append((store.meta("k"), store.scrub_due()))
            return truncate_log(connection)

        monkeypatch.setattr(writer_module, "truncate_log", truncate)
        await store.set_meta("k", b"0")
        await store._writer.write(lambda c: c.execute("DELETE FROM meta"), erases=True)
        assert seen == [(None, True)]
        assert not store.scrub_due()
        monkeypatch.undo()


async def test_what_could_not_be_scrubbed_when_the_database_was_opened_is_due(path: Path) -> None:
    """A crash left content in the log that was erased just before it, and a backup is made."""
    with SqliteStore.open(path, name=OWN) as store:
        await store.set_meta("k", b"0")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM meta").fetchall()
            await store.set_meta("k", b"1")
            writer = Writer(schema._open_file(path))  # as the next start finds it
            assert writer.scrub_due()
        await asyncio.to_thread(writer.close)
        assert not writer.scrub_due()
        assert not store.scrub_due()


async def test_vault_rows_are_erased_from_the_files(store: SqliteStore, tmp_path: Path) -> None:
    first, second = incident("one"), incident("two", expires=TODAY)
    await store.vault_put(first)
    await store.vault_put(second)
    markers = [first.sealed, first.wrapped_key, second.sealed, second.wrapped_key]
    assert in_files(tmp_path, *markers) == set(markers)
    await store.vault_erase("one")
    assert in_files(tmp_path, *markers) == set(markers[2:])
    await store.vault_expire(Day(TODAY + 1))
    assert in_files(tmp_path, *markers) == set()


def test_files_are_for_the_owner_only(store: SqliteStore, path: Path) -> None:
    store.last_seq()
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


# --- durability

_WRITER = """
import asyncio, sys
from pathlib import Path
from orgnode.store import SqliteStore

async def main():
    store = SqliteStore.open(Path(sys.argv[1]), name="acme.example")
    n = 0
    async def write():
        nonlocal n
        while True:
            n += 1
            mine = n
            await store.set_meta(f"key {mine}", b"value")
            print(mine, flush=True)
    await asyncio.gather(*(write() for _ in range(8)))

asyncio.run(main())
"""


def test_nothing_acknowledged_is_lost_by_kill_9(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(300)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
    with SqliteStore.open(path, name=OWN) as store:
        assert all(store.meta(f"key {n}") == b"value" for n in acknowledged)


def test_writes_are_synced(path: Path) -> None:
    connection = open_writer(path)
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert connection.execute("PRAGMA secure_delete").fetchone()[0] == 1
    assert connection.execute("PRAGMA temp_store").fetchone()[0] == 2  # MEMORY
    assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    connection.close()


async def test_writes_that_wait_share_a_commit(path: Path) -> None:
    connection = open_writer(path)
    commits: list[str] = []
    connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    writer = Writer(connection)
    begun, go_on = threading.Event(), threading.Event()

    def blocks(_: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait()

    first = asyncio.ensure_future(writer.write(blocks))
    await asyncio.to_thread(begun.wait)

    def gives(n: int) -> Callable[[sqlite3.Connection], int]:
        return lambda _: n

    others = [asyncio.ensure_future(writer.write(gives(n))) for n in range(20)]
    await asyncio.sleep(0)
    assert writer.pending() == 20
    go_on.set()
    assert await asyncio.gather(*others) == list(range(20))
    await first
    assert len(commits) == 2
    await asyncio.to_thread(writer.close)


async def test_acknowledged_only_after_the_commit(path: Path) -> None:
    connection = open_writer(path)
    trace: list[str] = []
    connection.set_trace_callback(trace.append)
    writer = Writer(connection)
    trace.clear()
    await writer.write(lambda c: c.execute("INSERT INTO meta VALUES ('k', x'00')"))
    assert trace[-1] == "COMMIT"
    await writer.write(lambda c: c.execute("DELETE FROM meta"), erases=True)
    assert trace.index("PRAGMA wal_checkpoint(TRUNCATE)") > trace.index("DELETE FROM meta")
    await asyncio.to_thread(writer.close)


async def test_cancelled_before_it_began_is_not_written(path: Path) -> None:
    writer = Writer(open_writer(path))
    begun, go_on = threading.Event(), threading.Event()

    def blocks(_: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait()

    first = asyncio.ensure_future(writer.write(blocks))
    await asyncio.to_thread(begun.wait)
    ran: list[bool] = []
    second = asyncio.ensure_future(writer.write(lambda c: ran.append(True)))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go_on.set()
    await first
    await writer.write(lambda c: None)
    assert ran == []
    await asyncio.to_thread(writer.close)


async def test_a_crash_writes_nothing_that_waited(path: Path) -> None:
    store = SqliteStore.open(path, name=OWN)
    await store.set_meta("before", b"1")
    assert store.meta("before") == b"1"
    begun, go_on = threading.Event(), threading.Event()

    def blocks(_: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait()

    first = asyncio.ensure_future(store._writer.write(blocks))
    await asyncio.to_thread(begun.wait)
    waiting = [asyncio.ensure_future(store.set_meta(f"key {n}", b"")) for n in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    abandoned = asyncio.ensure_future(asyncio.to_thread(store.abandon))
    while not store._writer._abandoned:  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, abandoned)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [
        asyncio.CancelledError,
        StoreClosedError,
        StoreClosedError,
    ]
    with pytest.raises(StoreClosedError):
        store.meta("before")
    with pytest.raises(StoreClosedError):
        await store.set_meta("after", b"")
    store.abandon()
    store.close()
    with SqliteStore.open(path, name=OWN) as again:
        assert again.meta("before") == b"1"
        assert [again.meta(f"key {n}") for n in range(3)] == [None] * 3


# --- another writer


class InlineWriter:
    """A writer within the caller's task, as a simulator has it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.erased = 0

    async def write(self, run: Callable[[sqlite3.Connection], Any], *, erases: bool = False) -> Any:
        operation = Operation(run, erases)
        if commit_batch(self.connection, [operation]):
            self.erased += truncate_log(self.connection)
        operation.tell()
        return operation.future.result(0)

    def scrub_due(self) -> bool:
        return False

    def pending(self) -> int:
        return 0

    def close(self) -> None:
        self.connection.close()

    abandon = close


async def test_a_store_writes_with_the_writer_that_it_is_given(path: Path) -> None:
    writers: list[InlineWriter] = []

    def made(connection: sqlite3.Connection) -> InlineWriter:
        writers.append(InlineWriter(connection))
        return writers[0]

    store = SqliteStore.open(path, name=OWN, writer=made, synchronous="OFF")
    (writer,) = writers
    assert writer.connection.execute("PRAGMA synchronous").fetchone() == (0,)
    threads = threading.active_count()
    log = org_log()
    log.append_signals(1)
    await follow(store, log)
    assert store.certified_size(PEER) == 1
    assert writer.erased == 0
    await store.erase_body(PEER, 0)
    assert writer.erased == 1
    with pytest.raises(StoreConflictError):
        await store.commit_segment(PEER, 9, [], store.state(PEER))
    assert threading.active_count() == threads
    store.abandon()
    with pytest.raises(StoreClosedError):
        store.meta("key")


def test_each_operation_of_a_commit_has_its_own_outcome(path: Path) -> None:
    connection = open_writer(path)
    insert = "INSERT INTO meta VALUES (?, x'00')"
    good, bad, last = (
        Operation(lambda c: c.execute(insert, ("one",)).rowcount),
        Operation(lambda c: 1 // 0, erases=True),
        Operation(lambda c: c.execute(insert, ("two",)).rowcount),
    )
    assert not commit_batch(connection, [good, bad, last])
    assert (good.result, good.error, last.result, last.error) == (1, None, 1, None)
    assert isinstance(bad.error, ZeroDivisionError)
    bad.tell()
    good.tell()
    assert isinstance(bad.future.exception(), ZeroDivisionError)
    assert good.future.result() == 1
    erasing = Operation(lambda c: c.execute("DELETE FROM meta").rowcount, erases=True)
    assert commit_batch(connection, [erasing, Operation(lambda c: None)])
    assert erasing.result == 2
    connection.close()


def test_a_commit_that_fails_tells_all_but_those_that_failed_before(path: Path) -> None:
    connection = open_writer(path)

    def ends_the_transaction(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    bad = Operation(lambda c: 1 // 0)
    good = Operation(lambda c: c.execute("INSERT INTO meta VALUES ('k', x'')"), erases=True)
    last = Operation(ends_the_transaction)
    assert not commit_batch(connection, [bad, good, last])
    assert isinstance(bad.error, ZeroDivisionError)
    assert isinstance(good.error, StoreError)
    assert isinstance(last.error, StoreError)
    assert connection.execute("SELECT count(*) FROM meta").fetchone() == (0,)
    connection.close()


# --- conditions of the disk


async def test_full_disk(store: SqliteStore) -> None:
    log = org_log()
    log.append_signals(1)
    await follow(store, log)
    pages = await store._writer.write(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await store._writer.write(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    results = await asyncio.gather(
        store.set_meta("small", b"1"),
        store.set_meta("large", bytes(1_000_000)),
        return_exceptions=True,
    )
    assert isinstance(results[1], StoreFullError)
    assert "space" in results[1].hint
    assert store.meta("large") is None
    # SQLite may end the whole commit for it: then the neighbour is told so, never lost silently.
    assert isinstance(results[0], StoreFullError) == (store.meta("small") is None)
    assert store.entries(PEER, 0, 1) == log.entries(0, 1)
    await store._writer.write(lambda c: c.execute("PRAGMA max_page_count = 100000").fetchone())
    await store.set_meta("large", bytes(1_000_000))
    assert store.meta("large") == bytes(1_000_000)


async def test_certification_is_one_change(store: SqliteStore) -> None:
    log = org_log()
    ids = log.append_signals(8)
    await follow(store, log, certified=False)
    token = store.signals(SignalFilter(provisional=True))[0].tokens[0]
    before = store.last_seq()

    def fails(connection: sqlite3.Connection) -> None:
        root = log.frontier().root()
        certifying.certify(connection, Settings(OWN), 1.0, PEER, b"note", log.size, root)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store._writer.write(fails)
    assert store.certified_size(PEER) == 0
    assert store.certificate(PEER) is None
    assert store.signals(SignalFilter()) == []
    assert store.sources([token]) == {}
    assert store.last_seq() == before
    await certify(store, log)
    assert [record.id for record in store.signals(SignalFilter())] == ids[::-1]
    assert store.sources([token])


async def test_failing_commit_fails_all_of_its_writes(path: Path) -> None:
    writer = Writer(open_writer(path))

    def ends_the_transaction(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")  # as SQLite does by itself when the disk fails
        raise sqlite3.OperationalError("disk I/O error")

    begun, go_on = threading.Event(), threading.Event()

    def blocks(_: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait()

    first = asyncio.ensure_future(writer.write(blocks))
    await asyncio.to_thread(begun.wait)
    good = "INSERT INTO meta VALUES ('before', x'00')"
    writes = [
        asyncio.ensure_future(writer.write(run))
        for run in (lambda c: c.execute(good), ends_the_transaction, lambda c: c.execute(good))
    ]
    await asyncio.sleep(0)
    go_on.set()
    await first
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(result, StoreError) for result in results)
    await writer.write(lambda c: c.execute(good))  # the writer goes on
    await asyncio.to_thread(writer.close)
    reader = open_reader(path)
    assert reader.execute("SELECT count(*) FROM meta WHERE key = 'before'").fetchone() == (1,)
    reader.close()


async def test_a_defect_in_one_write_is_its_callers_only(store: SqliteStore) -> None:
    with pytest.raises(ZeroDivisionError):
        await store._writer.write(lambda c: 1 // 0)
    with pytest.raises(StoreError, match="no such table"):
        await store._writer.write(lambda c: c.execute("SELECT * FROM no_table"))
    await store.set_meta("key", b"1")
    assert store.meta("key") == b"1"


@contextlib.contextmanager
def unprivileged(directory: Path) -> Iterator[None]:
    """A directory that may be read but not written; without root's power to do so all the same."""
    directory.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        directory.chmod(0o755)


def test_database_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:  # tmp_path lies where only its owner may look
        path = Path(name) / "node.db"
        SqliteStore.open(path, name=OWN).close()
        path.chmod(0o444)
        with unprivileged(path.parent), pytest.raises(StoreReadOnlyError) as caught:
            SqliteStore.open(path, name=OWN)
        assert "node.db" in str(caught.value)
        assert "permissions" in caught.value.hint


def test_opening_what_is_up_to_date_writes_nothing(path: Path) -> None:
    SqliteStore.open(path, name=OWN, mesh_id="ab" * 32).close()
    before = path.read_bytes()
    connections: list[sqlite3.Connection] = []
    changes: list[int] = []

    def made(connection: sqlite3.Connection) -> Writer:
        connections.append(connection)
        changes.append(connection.total_changes)
        return Writer(connection)

    SqliteStore.open(path, name=OWN, mesh_id="ab" * 32, writer=made).close()
    assert changes == [0]
    assert path.read_bytes() == before  # the header too: it counts commits


def test_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreReadOnlyError) as caught:
        SqliteStore.open(tmp_path / "nowhere" / "node.db", name=OWN)
    assert caught.value.hint


# --- schema and ownership


def test_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    SqliteStore.open(path, name=OWN).close()
    with sqlite3.connect(path) as raw:
        raw.execute("INSERT INTO schema_version VALUES (?, 0)", (latest_version() + 1,))
    raw.close()
    before = path.read_bytes()
    with pytest.raises(NewerSchemaError, match=str(latest_version() + 1)) as caught:
        SqliteStore.open(path, name=OWN)
    assert "newer orgnode" in caught.value.hint
    assert path.read_bytes() == before


def test_other_databases_are_refused(path: Path, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as raw:
        raw.execute("CREATE TABLE things (name TEXT)")
    raw.close()
    with pytest.raises(ForeignDatabaseError, match="other program"):
        SqliteStore.open(tmp_path / "other.db", name=OWN)
    (tmp_path / "text").write_bytes(b"this is no database" * 100)
    with pytest.raises(ForeignDatabaseError, match="not a database"):
        SqliteStore.open(tmp_path / "text", name=OWN)
    SqliteStore.open(path, name=OWN, mesh_id="ab" * 32).close()
    with pytest.raises(ForeignDatabaseError, match=PEER):
        SqliteStore.open(path, name=PEER, mesh_id="ab" * 32)
    with pytest.raises(ForeignDatabaseError, match="mesh"):
        SqliteStore.open(path, name=OWN, mesh_id="cd" * 32)
    SqliteStore.open(path, name=OWN, mesh_id="ab" * 32).close()


def test_migration_happens_wholly_or_not_at_all(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqliteStore.open(path, name=OWN).close()
    good, bad = "CREATE TABLE extra (x)", "INSERT INTO nothing VALUES (1)"
    known = schema._migrations()
    version = latest_version()
    monkeypatch.setattr(schema, "_migrations", lambda: [*known, (version + 1, (good, bad))])
    with pytest.raises(StoreError, match="nothing"):
        SqliteStore.open(path, name=OWN)
    monkeypatch.setattr(schema, "_migrations", lambda: known)
    SqliteStore.open(path, name=OWN).close()
    monkeypatch.setattr(schema, "_migrations", lambda: [*known, (version + 1, (good,))])
    SqliteStore.open(path, name=OWN).close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT max(version) FROM schema_version").fetchone() == (version + 1,)
        raw.execute("SELECT * FROM extra")
    raw.close()


# --- growth


async def test_frequent_reads_and_writes_scan_no_table(store: SqliteStore, path: Path) -> None:
    """A plan that scans works in every test and fails at a hundred thousand signals."""
    log = org_log()
    ids = log.append_signals(2)
    await follow(store, log)
    statements: set[str] = set()

    def trace(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(statements.add)

    await store._writer.write(trace)
    store._read(trace)
    log.append_signals(1)
    log.withhold_body(2)
    log.append_retraction(ids[0])
    await follow(store, log)
    store.entries(PEER, 0, 2)
    store.bodies(PEER, 0, 2)
    store.leaves(PEER, 0, 2)
    store.state(PEER)
    store.signal(ids[0])
    store.holds_entry(PEER, ids[0])
    store.events(0, FeedFilter(min_band=2))
    store.first_seq()
    store.last_seq()
    store.deferred(PEER)
    store.refusals()
    store.counts()
    store.checkpoints(PEER)
    store.vault_find(bytes(32))
    history = store.history(PEER)
    history.holds_entry(ids[0])
    history.signal_expires(ids[0], 9)
    history.is_retracted(ids[0])
    history.accuses(OWN)
    history.unread_accusations(9)
    history.counted_on(TODAY)
    history.last_day()
    store.root_at(PEER, 2)
    store.first_missing(PEER)
    store.seen(PEER)
    store.vector()
    store.certificate(PEER)
    await store.put_witnessed(PEER, 0, 2, bytes(32), b"note")
    store.witnessed(PEER)
    await store.put_receipt(ids[0], PEER, b"")
    store.receipts(ids[0])
    store.unreceipted(PEER)
    store.retraction_done(PEER, ids[0])
    store.cooling(["ab" * 32])
    await store.resolve_deferred(PEER, plain_rows(log, 2, 3))
    await store.erase_body(PEER, 1)
    await store.expire(Day(TODAY + 1))
    await store.vault_expire(TODAY)
    raw = sqlite3.connect(path)
    scans = []
    for statement in statements:
        if statement.split(None, 1)[0] not in ("SELECT", "UPDATE", "DELETE", "INSERT"):
            continue
        for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}"):
            if row[3].startswith("SCAN ") and not row[3].startswith(("SCAN l", "SCAN sqlite_s")):
                scans.append((row[3], statement))
    raw.close()
    assert len(statements) > 40
    assert scans == []


async def test_opening_reads_a_few_pages_however_large(path: Path) -> None:
    with SqliteStore.open(path, name=OWN) as store:
        rows = junk_rows(0, 5_000)
        log = org_log()
        for row in rows:
            log.append_note(row.note)
        await store.commit_segment(PEER, 0, rows, state_at(log, 5_000))
    with SqliteStore.open(path, name=OWN) as store:
        steps = await store._writer.write(_count_steps)
    assert steps < 100_000


def _count_steps(connection: sqlite3.Connection) -> int:
    # sqlite3 has no counter of pages read: instructions of its machine stand for them.
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 1)
    connection.execute("SELECT max(seq) FROM event").fetchone()
    connection.set_progress_handler(None, 0)
    return steps


async def test_conflict_carries_a_hint(store: SqliteStore) -> None:
    log = org_log()
    log.append_signals(1)
    with pytest.raises(StoreConflictError) as caught:
        await store.commit_segment(PEER, 3, [], state_at(log, 1))
    assert caught.value.hint


def test_closing_waits_for_a_query_that_is_running(path: Path) -> None:
    """A connection closed under a query would end the whole process."""
    store = SqliteStore.open(path, name=OWN)
    reading, go_on = threading.Event(), threading.Event()
    seen: list[object] = []

    def read() -> None:
        def query(connection: sqlite3.Connection) -> None:
            reading.set()
            go_on.wait(10)
            seen.append(connection.execute("SELECT 1").fetchone())

        store._read(query)

    reader = threading.Thread(target=read)
    reader.start()
    assert reading.wait(10)
    closing = threading.Thread(target=store.close)
    closing.start()
    closing.join(0.1)
    assert closing.is_alive(), "closed under a running query"
    go_on.set()
    closing.join(10)
    reader.join(10)
    assert seen == [(1,)]
    with pytest.raises(StoreClosedError):
        store.logs()
