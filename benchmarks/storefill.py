"""Fill a node's database with many signals, fast: for measuring memory, start-up and queries.

    python -m benchmarks.storefill DATABASE COUNT

Entries and checkpoints are really signed, so a node with the same keys accepts its database. Bodies
are made up: their commitments and proofs are random bytes, which no peer would accept.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import time
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
from orgnode.store import LogRow, SqliteStore
from proofs.checkpoint import Checkpoint, sign_checkpoint
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
) -> list[float]:
    """Append `count` signals to a log; returns the seconds that each commit of up to 256 took.

    `log_signer` signs under the log's origin (`KeyStore.log(mesh_id)`).
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
        frontier = state.frontier.extend(row.leaf for row in rows)
        size = state.size + len(rows)
        checkpoint = Checkpoint(log_origin(log, mesh.mesh_id), size, frontier.root())
        before = state.size
        state = FollowerState(size, frontier, sign_checkpoint(checkpoint, log_signer))
        began = time.perf_counter()
        await store.commit_segment(log, before, rows, state)
        commits.append(time.perf_counter() - began)
    return commits


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
