"""Fill a node's database with many signals, fast: for measuring memory, start-up and queries.

    python -m benchmarks.storefill DATABASE COUNT

Entries and checkpoints are really signed, so a node with the same keys accepts its database. Bodies
are made up: their commitments, tokens and proofs are random bytes, which no peer would accept.

`fill_index` goes further: it writes a large token index by SQL alone, over entries without bodies.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import sqlite3
import time
from dataclasses import dataclass, replace
from pathlib import Path

from mesh.assessment import Assessed, Outcome
from mesh.constraints import BAND_NAMES
from mesh.days import Day, day_of
from mesh.entry import Envelope, Kind, body_digest, sign_entry
from mesh.following import FollowerState
from mesh.genesis import Mesh
from mesh.member import log_origin
from mesh.signal import SeverityClaim, SignalBody
from mesh.taxonomy import CATEGORIES, TECHNIQUES
from mesh.testing import make_mesh
from mesh.wire import Present
from orgnode.store import LogRow, SqliteStore, schema
from proofs.checkpoint import Checkpoint, sign_checkpoint
from proofs.holder import HOLDER_PROOF_BYTES
from proofs.merkle import leaf_hash
from proofs.note import Signer
from proofs.severity import COMMITMENT_BYTES, PROOF_BYTES

SEGMENT = 256


def synthetic_row(
    mesh: Mesh, identity: Signer, index: int, today: Day, rng: random.Random, tokens: int
) -> LogRow:
    """A rightly signed signal of realistic size whose severity proof is noise."""
    signal = SignalBody(
        category=rng.choice(tuple(CATEGORIES)),
        technique=rng.choice(tuple(TECHNIQUES)),
        tokens=tuple(sorted(rng.randbytes(32).hex() for _ in range(tokens))),
        severity=SeverityClaim(
            band=rng.randint(1, len(BAND_NAMES)),
            commitments=tuple(rng.randbytes(COMMITMENT_BYTES) for _ in range(4)),
            proof=rng.randbytes(PROOF_BYTES),
        ),
        confidence=rng.randint(0, 100),
        derived_from=None,
        barrier=None,
        holder=rng.randbytes(HOLDER_PROOF_BYTES),
    )
    salt, body = rng.randbytes(32), signal.encode()
    envelope = Envelope(
        kind=Kind.SIGNAL,
        mesh=mesh.mesh_id,
        version=mesh.constraints.version,
        day=today,
        expires=Day(today + mesh.constraints.default_expiry_days),
        body=body_digest(salt, body),
    )
    note = sign_entry(envelope, identity)
    leaf = leaf_hash(note)
    return LogRow.of(
        Assessed(
            index=index,
            entry_id=leaf.hex(),
            leaf=leaf,
            note=note,
            answer=Present(salt, body),
            outcome=Outcome.ACCEPTED,
            envelope=envelope,
            signal=signal,
        )
    )


async def fill_store(
    store: SqliteStore,
    count: int,
    *,
    mesh: Mesh,
    log: str,
    identity: Signer,
    log_signer: Signer,
    tokens: int = 8,
    seed: int = 0,
    indexed: bool = True,
) -> list[float]:
    """Append `count` signals to a log; returns the seconds that each 256 took to commit and certify.

    `log_signer` signs under the log's origin (`KeyStore.log(mesh_id)`). Without `indexed` the tokens
    are in the bodies only, to tell what their index costs.
    """
    rng = random.Random(seed)
    state = store.state(log)
    today = day_of(time.time())
    commits = []
    for start in range(0, count, SEGMENT):
        rows = [
            synthetic_row(mesh, identity, state.size + n, today, rng, tokens)
            for n in range(min(SEGMENT, count - start))
        ]
        if not indexed:
            rows = [replace(row, signal=_without_tokens(row.signal)) for row in rows]
        frontier = state.frontier.extend(row.leaf for row in rows)
        size = state.size + len(rows)
        checkpoint = Checkpoint(log_origin(log, mesh.mesh_id), size, frontier.root())
        before = state.size
        state = FollowerState(size, frontier, sign_checkpoint(checkpoint, log_signer))
        began = time.perf_counter()
        await store.commit_segment(log, before, rows, state)
        await store.certify(log, b"benchmark", size, frontier.root())
        commits.append(time.perf_counter() - began)
    return commits


def _without_tokens(signal: SignalBody | None) -> SignalBody | None:
    return None if signal is None else signal.model_copy(update={"tokens": ()})


@dataclass(frozen=True)
class IndexSample:
    """What is in a filled index, and how many bytes it takes in the database."""

    single: tuple[str, ...]
    """Tokens with one source, each of another signal."""
    of_one_signal: tuple[str, ...]
    """Tokens of one signal, with one source."""
    common: tuple[str, ...]
    """Tokens with three sources."""
    inputs: tuple[str, ...]
    """Promoted inputs of such tokens, each with its three sources as evidence."""
    rows: int
    promoted: int
    index_bytes: int
    promotion_bytes: int


GROUP, COMMON, UNIQUE, LOGS = 3, 8, 18, 48


def fill_index(path: Path, groups: int, own: str, *, seed: int = 0) -> IndexSample:
    """Write `groups` times three signals of three logs, which share 8 of 26 tokens, all promoted.

    Rows come in an order as in a node's commits, so that pages are as full as a node's.
    """
    rng = random.Random(seed)
    SqliteStore.open(path, name=own).close()
    raw = schema.open_writer(path)
    raw.execute("BEGIN")
    raw.executemany(
        "INSERT INTO log (id, name, size, frontier) VALUES (?, ?, 0, x'')",
        ((log, _log_name(log, own)) for log in range(1, LOGS + 1)),
    )
    indexes = dict.fromkeys(range(1, LOGS + 1), 0)
    made: list[tuple[list[bytes], list[list[bytes]], list[tuple[int, int, bytes]]]] = []
    entry = 0
    for _ in range(groups):
        signals = []
        for log in sorted(rng.sample(range(1, LOGS + 1), GROUP)):
            entry += 1
            leaf = rng.randbytes(32)
            signals.append((entry, log, leaf))
            raw.execute(
                "INSERT INTO entry VALUES (?, ?, ?, ?, 'signal', 20000, 20090, 'accepted', '',"
                " '', 0, 'erased', 0, zeroblob(450))",
                (entry, log, indexes[log], leaf),
            )
            raw.execute(
                "INSERT INTO signal VALUES (?, ?, ?, 'cse', 'live', 'AML.T0051', 80, 1, NULL, NULL, 0, ?)",
                (entry, log, rng.randint(1, 4), leaf),
            )
            indexes[log] += 1
        common = [rng.randbytes(32) for _ in range(COMMON)]
        made.append(
            (common, [[rng.randbytes(32) for _ in range(UNIQUE)] for _ in signals], signals)
        )
    raw.execute("COMMIT")
    before = _pages(raw)
    for start in range(0, groups, SEGMENT // GROUP):
        raw.execute("BEGIN")
        raw.executemany(
            "INSERT INTO token VALUES (?, ?, ?)",
            sorted(
                (token, log, number)
                for common, unique, signals in made[start : start + SEGMENT // GROUP]
                for (number, log, _), some in zip(signals, unique, strict=True)
                for token in common + some
            ),
        )
        raw.execute("COMMIT")
    between = _pages(raw)
    inputs = _promote(raw, made, indexes, entry, own, rng)
    after = _pages(raw)
    size = raw.execute("PRAGMA page_size").fetchone()[0]
    raw.close()
    chosen = rng.sample(made, 2_000)
    return IndexSample(
        single=tuple(unique[0][0].hex() for _, unique, _ in chosen),
        of_one_signal=tuple(token.hex() for token in made[groups // 2][1][0]),
        common=tuple(common[0].hex() for common, _, _ in chosen),
        inputs=tuple(value.hex() for value in rng.sample(inputs, 2_000)),
        rows=groups * GROUP * (COMMON + UNIQUE),
        promoted=len(inputs),
        index_bytes=(between - before) * size,
        promotion_bytes=(after - between) * size,
    )


def _promote(
    raw: sqlite3.Connection,
    made: list[tuple[list[bytes], list[list[bytes]], list[tuple[int, int, bytes]]]],
    indexes: dict[int, int],
    entry: int,
    own: str,
    rng: random.Random,
) -> list[bytes]:
    """A promotion for each group, by the first of its logs."""
    inputs = []
    raw.execute("BEGIN")
    for common, _, signals in made:
        entry += 1
        log = signals[0][1]
        held_by = " ".join(sorted(_log_name(one, own) for _, one, _ in signals))
        raw.execute(
            "INSERT INTO entry VALUES (?, ?, ?, ?, 'promotion', 20000, 20090, 'accepted', '',"
            " '', 0, 'erased', 0, zeroblob(450))",
            (entry, log, indexes[log], rng.randbytes(32)),
        )
        indexes[log] += 1
        for token in common:
            value = rng.randbytes(32)
            inputs.append(value)
            raw.execute(
                "INSERT INTO promotion VALUES (?, ?, ?, ?, 0, ?, ?)",
                (value, log, entry, token, GROUP, held_by),
            )
            raw.executemany(
                "INSERT INTO promotion_source VALUES (?, ?, ?, 1)",
                ((value, entry, leaf) for _, _, leaf in signals),
            )
    raw.execute("COMMIT")
    return inputs


def _log_name(log: int, own: str) -> str:
    return own if log == 1 else f"member-{log}.example"


def _pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA page_count").fetchone()[0])


def fill(path: Path, count: int, *, tokens: int = 8) -> list[float]:
    """Fill the database of a made-up mesh's first member with its second member's signals."""
    world = make_mesh(4)
    own, peer = world.member(0), world.member(1)
    with SqliteStore.open(path, name=own.name, mesh_id=world.mesh.mesh_id) as store:
        return asyncio.run(
            fill_store(
                store,
                count,
                mesh=world.mesh,
                log=peer.name,
                identity=peer.identity,
                log_signer=peer.log_signer(world.mesh.mesh_id),
                tokens=tokens,
            )
        )


def main() -> None:
    """Fill a database and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--tokens", type=int, default=8)
    asked = parser.parse_args()
    began = time.perf_counter()
    commits = sorted(fill(asked.database, asked.count, tokens=asked.tokens))
    seconds = time.perf_counter() - began
    size = os.path.getsize(asked.database)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{asked.count} signals in {seconds:.1f} s; commits of {SEGMENT}: median "
        f"{1000 * commits[len(commits) // 2]:.1f} ms, p95 "
        f"{1000 * commits[int(0.95 * len(commits))]:.1f} ms; {size / 2**20:.0f} MiB on disk, "
        f"{memory:.0f} MiB of memory at most"
    )


if __name__ == "__main__":
    main()
