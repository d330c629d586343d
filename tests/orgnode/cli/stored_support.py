"""A node's directory with a database that holds a log, for commands that read it themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mesh.assessment import assess, claims_of, settle
from mesh.claims import verify_claims
from mesh.days import Day
from mesh.following import FollowerState
from mesh.testing import TODAY, OrgLog, TestMesh
from orgnode.store import LogRow
from orgnode.store.sqlite import SqliteStore
from proofs.frontier import Frontier, leaf_hash
from proofs.severity import BATCH_ENTROPY


def fill(
    store: SqliteStore,
    world: TestMesh,
    log: OrgLog,
    steps: tuple[int, ...],
    *,
    believing: bool = False,
) -> None:
    """Store the log's entries as a follower would, with a checkpoint after each step.

    One that is `believing` looks at no proof. The first step is certified.
    """
    member = log.member.card
    frontier, start = Frontier(), 0
    for end in steps:
        notes = log.entries(start, end)
        assessed = [
            assess(world.mesh, member, start + place, note, answer, Day(TODAY))
            for place, (note, answer) in enumerate(zip(notes, log.bodies(start, end), strict=True))
        ]
        claims = claims_of(assessed)
        verdicts = verify_claims(claims, bytes(BATCH_ENTROPY))
        if believing:
            verdicts = [None] * len(claims)
        settled = settle(assessed, verdicts, mesh=world.mesh, history=store.history(member.name))
        frontier = frontier.extend(map(leaf_hash, notes))
        state = FollowerState(
            size=end, frontier=frontier, checkpoint=log.checkpoint(end), target=None, evidence=None
        )
        asyncio.run(
            store.commit_segment(member.name, start, [LogRow.of(one) for one in settled], state)
        )
        if not start:
            root = frontier.root()
            asyncio.run(store.certify(member.name, log.certificate(end), end, root))
        start = end


def make_directory(path: Path, world: TestMesh, *logs: OrgLog) -> Path:
    """The directory of the first member's node, which holds these logs; half of each certified."""
    path.mkdir()
    name = world.members[0].name
    (path / "config.toml").write_text(f'name = "{name}"\ncontrol_group = "acme"\n')
    (path / "genesis.note").write_bytes(world.mesh.note)
    with SqliteStore.open(path / "node.db", name=name, mesh_id=world.mesh.mesh_id) as store:
        for log in logs:
            fill(store, world, log, (log.size // 2, log.size))
    return path
