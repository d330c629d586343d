"""Logs and proofs of ours, read by a reader that was written from the C2SP texts alone.

tlog-scales, from the package index, reads them too (`test_tlog_scales.py`), but no tlog-proof and
no note as strictly as the text; so there is `c2sp_reader` besides, short enough to be held against
the texts.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from c2sp_reader import check_log, check_proof, open_checkpoint, open_note
from cryptography.exceptions import InvalidSignature

from mesh.testing import OrgLog, Replica, make_mesh, make_signal
from mesh.verification import portable_proof, verify_portable
from orgnode.federation.paths import parse_resource
from orgnode.federation.serving import LogReader
from orgnode.store import LogRow
from orgnode.store.sqlite import SqliteStore
from proofs.merkle import inclusion_proof
from proofs.tiles import TILE_WIDTH, entries_path, tile_path

WORLD = make_mesh(5)
OWNER = WORLD.member(0)
KEY = WORLD.mesh.log_key(OWNER.name).encode()
WITNESSES = [card.witness_key.encode() for card in WORLD.mesh.members]
COSIGNERS = {card.name for card in WORLD.mesh.members[:4]}
SIZES = (0, 1, 2, 7, 255, 256, 257, 512, 700)

Fetch = Callable[[str], bytes]


def log_of(size: int) -> OrgLog:
    log = OrgLog(WORLD, OWNER)
    rng = Random(size)
    for _ in range(size):
        log.append_note(rng.randbytes(rng.randrange(80)))
    return log


def write(log: OrgLog, below: Path) -> Fetch:
    """Write a log as a directory, the paths made by `proofs.tiles`; hand out its files."""

    def put(path: str, data: bytes) -> None:
        (below / path).parent.mkdir(parents=True, exist_ok=True)
        (below / path).write_bytes(data)

    put("checkpoint", log.certificate())
    level, count = 0, log.size
    while count:
        for index in range(-(-count // TILE_WIDTH)):
            width = min(TILE_WIDTH, count - index * TILE_WIDTH)
            put(tile_path(level, index, width), log.tile(level, index, width))
            if level == 0:
                put(entries_path(index, width), log.bundle(index, width))
        level, count = level + 1, count // TILE_WIDTH
    return lambda path: (below / path).read_bytes()


@pytest.mark.parametrize("size", SIZES)
def test_a_directory_of_ours(tmp_path: Path, size: int) -> None:
    fetch = write(log_of(size), tmp_path)
    assert check_log(fetch, KEY, WITNESSES) == COSIGNERS
    assert check_log(fetch, KEY, []) == set()
    assert open_checkpoint(fetch("checkpoint"), KEY, WITNESSES)[0] == size


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    path = tmp_path / "node.db"
    opened = SqliteStore.open(path, name=WORLD.member(1).name, mesh_id=WORLD.mesh.mesh_id)
    yield opened
    opened.close()


async def mirror(store: SqliteStore, log: OrgLog) -> None:
    """Let a node follow a log into its store, and learn that it is certified."""
    replica = Replica(log.mesh, log.member.card)
    replica.offer(log.checkpoint())
    while (start := replica.state.size) < log.size:
        replica.step(log, log.day)
        rows = [LogRow.of(replica.rows[index]) for index in range(start, replica.state.size)]
        await store.commit_segment(log.name, start, rows, replica.state)
    await store.certify(log.name, log.certificate(), log.size, log.frontier().root())


@pytest.mark.parametrize("size", [1, 255, 256, 257, 700])
async def test_what_a_node_serves_of_a_log_that_it_mirrors(store: SqliteStore, size: int) -> None:
    log = log_of(size)
    await mirror(store, log)
    reader = LogReader(store)

    def fetch(path: str) -> bytes:
        return reader.read(log.name, parse_resource(path)).body

    assert check_log(fetch, KEY, WITNESSES) == COSIGNERS


def test_proofs_of_ours() -> None:
    log = log_of(300)
    for index in (0, 1, 2, 127, 128, 255, 256, 298, 299):
        for size in (index + 1, 300):
            entry = log.notes[index]
            hashes = inclusion_proof(index, size, log.nodes)
            data = portable_proof(
                log.mesh, log.name, entry, None, index, hashes, log.certificate(size)
            )
            assert check_proof(data, entry, KEY, WITNESSES) == COSIGNERS
            with pytest.raises(ValueError, match="lead to the signed root"):
                check_proof(data, entry + b" ", KEY, WITNESSES)


def test_a_signals_proof_with_its_body() -> None:
    log = OrgLog(WORLD, OWNER)
    log.append_signal(make_signal(log.mesh, log.name, Random(1)))
    data = portable_proof(
        log.mesh, log.name, log.notes[0], log.answers[0], 0, [], log.certificate()
    )
    assert check_proof(data, log.notes[0], KEY, WITNESSES) == COSIGNERS
    assert verify_portable(log.mesh, data)[2].name == "certified"


# --- the reader reads others' logs, and is not one that finds everything good


def test_a_log_of_other_people(vectors: Path) -> None:
    log = vectors / "tlog-tiles" / "log"
    key = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
    for size in range(16):

        def fetch(path: str, size: int = size) -> bytes:
            return (log / (f"checkpoint.{size}" if path == "checkpoint" else path)).read_bytes()

        assert check_log(fetch, key, []) == set()
        assert open_checkpoint(fetch("checkpoint"), key, [])[0] == size


def test_any_changed_byte_is_found(tmp_path: Path) -> None:
    fetch = write(log_of(260), tmp_path)
    rng = Random(1)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1 + 2 + 2 + 1
    for file in files:
        good = file.read_bytes()
        for _ in range(20):
            bad = bytearray(good)
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
            file.write_bytes(bad)
            try:
                found = check_log(fetch, KEY, WITNESSES)
            except (ValueError, InvalidSignature):
                continue
            # A cosigner's name or key id was hit: the line is nobody's, and is ignored.
            assert found < COSIGNERS
        file.write_bytes(good)
    assert check_log(fetch, KEY, WITNESSES) == COSIGNERS


def test_who_did_not_sign_is_not_named() -> None:
    log, mesh = log_of(3), make_mesh(5, seed=1).mesh
    strangers = [card.witness_key.encode() for card in mesh.members]
    assert open_note(log.certificate(), strangers)[1] == {}
    with pytest.raises(ValueError, match="signed its own"):
        open_checkpoint(log.certificate(), mesh.log_key(OWNER.name).encode(), strangers)
    assert open_checkpoint(log.certificate(), KEY, strangers)[2] == set()


def test_the_reader_shares_nothing_with_what_it_reads() -> None:
    source = Path(__file__).with_name("c2sp_reader.py").read_text()
    assert len(source.splitlines()) < 100
    imports = [line for line in source.splitlines() if line.startswith(("import", "from"))]
    assert {line.split()[1].partition(".")[0] for line in imports} == {
        "re",
        "base64",
        "collections",
        "hashlib",
        "cryptography",
    }
