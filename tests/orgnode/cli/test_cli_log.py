"""`orgnode log verify` on a store with a real log of a peer, honest and tampered with."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from stored_support import fill

from mesh.testing import Lie, OrgLog, TestMesh, forge_signal, make_mesh
from mesh.wire import Present
from orgnode.cli.log import Audit, audit
from orgnode.store.sqlite import SqliteStore
from proofs.frontier import leaf_hash

ENTRIES = 6


@pytest.fixture(scope="module")
def world() -> TestMesh:
    return make_mesh(4)


@pytest.fixture(scope="module")
def log(world: TestMesh) -> OrgLog:
    made = OrgLog(world, world.members[1].name)
    made.append_signals(ENTRIES)
    return made


@pytest.fixture
def path(tmp_path: Path, world: TestMesh, log: OrgLog) -> Path:
    made = tmp_path / "node.db"
    with SqliteStore.open(made, name=world.members[0].name, mesh_id=world.mesh.mesh_id) as store:
        fill(store, world, log, (2, 5, ENTRIES))
    return made


def audited(path: Path, world: TestMesh, log: OrgLog, *, proofs: bool = True) -> Audit:
    with SqliteStore.open(path, name=world.members[0].name, mesh_id=world.mesh.mesh_id) as store:
        return audit(store, world.mesh, log.member.name, proofs=proofs)


@pytest.fixture
def change(path: Path) -> Iterator[Callable[..., None]]:
    connection = sqlite3.connect(path)
    # What guards the rows against slips of the program is no guard against whoever has the file.
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    ).fetchall():
        connection.execute(f"DROP TRIGGER {name}")

    def apply(statement: str, *values: object) -> None:
        assert connection.execute(statement, values).rowcount > 0
        connection.commit()

    yield apply
    connection.close()


def test_an_honest_log_is_valid(path: Path, world: TestMesh, log: OrgLog) -> None:
    result = audited(path, world, log)
    assert result.faults == []
    assert (result.entries, result.checkpoints, result.proofs) == (ENTRIES, 3, ENTRIES)
    assert result.certified == 2
    assert audited(path, world, log, proofs=False).proofs is None


def test_progress_covers_every_entry(path: Path, world: TestMesh, log: OrgLog) -> None:
    steps: list[int] = []
    with SqliteStore.open(path, name=world.members[0].name, mesh_id=world.mesh.mesh_id) as store:
        audit(store, world.mesh, log.member.name, proofs=True, advance=steps.append)
    assert sum(steps) == 2 * ENTRIES


def test_a_changed_entry(
    path: Path, world: TestMesh, log: OrgLog, change: Callable[..., None]
) -> None:
    change("UPDATE entry SET note = ? WHERE idx = 3", log.entries(2, 3)[0])
    faults = " ".join(audited(path, world, log, proofs=False).faults)
    assert "do not hash to their stored ids" in faults
    assert "the first 5 entries do not hash to the root" in faults
    assert "stored state" in faults
    assert "first 2 entries" not in faults, "what lies before the change is still proven"


def test_a_changed_entry_with_its_hash(
    path: Path, world: TestMesh, log: OrgLog, change: Callable[..., None]
) -> None:
    note = log.entries(3, 4)[0].replace(b"signal-mesh", b"signal-mush", 1)
    change("UPDATE entry SET note = ?, leaf = ? WHERE idx = 3", note, leaf_hash(note))
    faults = " ".join(audited(path, world, log, proofs=False).faults)
    assert "stored ids" not in faults
    assert "the first 5 entries do not hash to the root" in faults


def test_a_checkpoint_of_another_log(
    path: Path, world: TestMesh, log: OrgLog, change: Callable[..., None]
) -> None:
    other = OrgLog(world, world.members[2].name)
    other.append_signals(2)
    change("UPDATE checkpoint SET note = ? WHERE size = 2", other.checkpoint(2))
    faults = audited(path, world, log, proofs=False).faults
    assert len(faults) == 1
    assert "checkpoint of size 2" in faults[0]


def test_a_checkpoint_that_signs_another_tree(
    path: Path, world: TestMesh, log: OrgLog, change: Callable[..., None]
) -> None:
    fork = log.fork(1)
    fork.append_signals(1)
    signed = fork.checkpoint(2)
    change("UPDATE checkpoint SET note = ? WHERE size = 2", signed)
    faults = " ".join(audited(path, world, log, proofs=False).faults)
    assert "the first 2 entries do not hash to the root that was signed" in faults


@pytest.mark.parametrize(
    ("lie", "error"),
    [(Lie.OTHER_BAND, "ProofEquationError"), (Lie.NO_HOLDER, "FalseHolderProofError")],
)
def test_an_accepted_entry_whose_proof_is_false(
    tmp_path: Path, world: TestMesh, lie: Lie, error: str
) -> None:
    lying = OrgLog(world, world.members[1].name)
    lying.append_signals(1)
    lying.append_signal(forge_signal(world.mesh, lying.name, lie, Random(1)))
    for believed, proofs, faults in ((False, 1, 0), (True, 1, 1)):
        path = tmp_path / f"{believed}.db"
        name = world.members[0].name
        with SqliteStore.open(path, name=name, mesh_id=world.mesh.mesh_id) as store:
            fill(store, world, lying, (2,), believing=believed)
        result = audited(path, world, lying)
        assert (result.proofs, len(result.faults)) == (proofs, faults)
        assert all(f"entry 1: {error}" in fault for fault in result.faults)
        assert audited(path, world, lying, proofs=False).faults == []


def test_an_accepted_entry_whose_body_is_gone(
    path: Path, world: TestMesh, log: OrgLog, change: Callable[..., None]
) -> None:
    answer = log.bodies(4, 5)[0]
    assert isinstance(answer, Present)
    change("DELETE FROM body WHERE salt = ?", answer.salt)
    change("UPDATE entry SET body = 'missing' WHERE idx = 4")
    assert "entry 4: its body is gone" in audited(path, world, log).faults


def test_a_body_that_is_not_the_signed_one(
    path: Path, world: TestMesh, log: OrgLog, change: Callable[..., None]
) -> None:
    answer = log.bodies(4, 5)[0]
    assert isinstance(answer, Present)
    change("UPDATE body SET salt = ? WHERE salt = ?", os.urandom(32), answer.salt)
    faults = audited(path, world, log).faults
    assert faults
    assert "entry 4: BodyDigestError" in " ".join(faults)


@pytest.mark.parametrize("which", ["few", "false", "other tree", "other size"])
def test_a_certificate_that_does_not_hold(
    path: Path, world: TestMesh, log: OrgLog, change: Callable[..., None], which: str
) -> None:
    fork = log.fork(1)
    fork.append_signals(1)
    true, false = log.certificate(2), log.certificate(3)
    note, fault = {
        "few": (log.certificate(2, by=[log.name]), "QuorumError"),
        "false": (true[:-20] + false[-20:], "CertificateSignatureError"),
        "other tree": (fork.certificate(2), "members cosigned another tree of 2 entries"),
        "other size": (log.certificate(1), "the certificate is of 1 entries"),
    }[which]
    change("UPDATE certificate SET note = ?", note)
    assert fault in " ".join(audited(path, world, log, proofs=False).faults)


def test_a_tree_that_members_cosigned_and_the_owner_did_not_sign_here(
    path: Path, world: TestMesh, log: OrgLog, change: Callable[..., None]
) -> None:
    # Known by its certificate alone, as when it came with a later checkpoint.
    change("DELETE FROM checkpoint WHERE size = 2")
    assert audited(path, world, log, proofs=False).faults == []
    fork = log.fork(1)
    fork.append_signals(1)
    change("UPDATE certificate SET note = ?", fork.certificate(2))
    faults = audited(path, world, log, proofs=False).faults
    assert any("the first 2 entries do not hash to the root" in fault for fault in faults)
