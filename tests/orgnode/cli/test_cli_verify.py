"""What `orgnode verify` makes of a proof as the local API hands it over."""

from __future__ import annotations

from base64 import b64encode

import pytest

from mesh.errors import MeshError
from mesh.testing import OrgLog, TestMesh, make_mesh
from mesh.wire import Present
from orgnode.api.models import ProofAnswer
from orgnode.cli.verify import WrongProofError, check, is_certified
from proofs.errors import ProofsError
from proofs.merkle import inclusion_proof, leaf_hash


@pytest.fixture(scope="module")
def world() -> TestMesh:
    return make_mesh(4)


@pytest.fixture(scope="module")
def log(world: TestMesh) -> OrgLog:
    made = OrgLog(world, 1)
    made.append_signals(5)
    return made


def answer(log: OrgLog, index: int, **changes: object) -> ProofAnswer:
    body = log.bodies(index, index + 1)[0]
    assert isinstance(body, Present)
    note = log.entries(index, index + 1)[0]
    path = inclusion_proof(index, log.size, lambda nodes: list(log.nodes(nodes)))
    return ProofAnswer.model_validate(
        {
            "signal": signal_id(log, index),
            "issuer": log.name,
            "index": index,
            "mesh": log.mesh.mesh_id,
            "note": b64encode(note).decode(),
            "salt": b64encode(body.salt).decode(),
            "body": b64encode(body.body).decode(),
            "checkpoint": b64encode(log.checkpoint()).decode(),
            "inclusion": [node.hex() for node in path],
            **changes,
        }
    )


def signal_id(log: OrgLog, index: int) -> str:
    return leaf_hash(log.entries(index, index + 1)[0]).hex()


def test_a_true_signal_passes_every_step(world: TestMesh, log: OrgLog) -> None:
    steps = check(world.mesh, answer(log, 2), signal_id(log, 2))
    assert [step.name for step in steps] == [
        "issuer", "checkpoint", "provisional", "inclusion", "entry", "body", "signal", "tokens",
        "severity",
    ]  # fmt: skip
    assert not is_certified(steps)
    carried = b64encode(log.certificate()).decode()
    steps = check(world.mesh, answer(log, 2, checkpoint=carried), signal_id(log, 2))
    assert [step.name for step in steps][2] == "certified"
    assert is_certified(steps)


def test_another_signal_s_proof_is_not_taken_for_the_one_asked_for(
    world: TestMesh, log: OrgLog
) -> None:
    # Valid in itself, whatever id the answer claims to be about.
    other = answer(log, 3, signal=signal_id(log, 2))
    with pytest.raises(WrongProofError):
        check(world.mesh, other, signal_id(log, 2))


def test_any_changed_part_fails(world: TestMesh, log: OrgLog) -> None:
    true, other = answer(log, 2), answer(log, 3)
    for changes in (
        {"issuer": world.members[0].name},
        {"issuer": "nobody.example"},
        {"index": 3},
        {"salt": other.salt},
        {"body": other.body},
        {"inclusion": other.inclusion},
        {"checkpoint": other.note},
        {"note": "not base64!"},
    ):
        with pytest.raises((MeshError, ProofsError, ValueError)):
            check(world.mesh, true.model_copy(update=changes), signal_id(log, 2))
