"""What `orgnode verify` makes of a proof as the local API hands it over."""

from __future__ import annotations

from base64 import b64encode

import pytest

from mesh.accusation import compose_accusation
from mesh.days import Day
from mesh.entry import Kind
from mesh.errors import MeshError
from mesh.evidence import split_evidence
from mesh.testing import TODAY, OrgLog, TestMesh, make_mesh
from mesh.verification import portable_proof
from mesh.wire import BodyAnswer, Present
from orgnode.api.models import ProofAnswer
from orgnode.cli.verify import WITH_CONTENT, WrongProofError, check, check_file, is_certified
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


def test_of_an_entry_s_content_a_file_says_what_its_kind_shows(world: TestMesh) -> None:
    log = OrgLog(world, 1)
    signal = log.append_signal()
    log.append_sighting("11" * 32)
    log.append_retraction(signal)
    other = OrgLog(world, 2)
    fork = other.fork(0)
    for one in (other, fork):
        one.append_signals(1)
    split = split_evidence(world.mesh, other.name, other.checkpoint(), fork.checkpoint())
    log.append(Kind.EVIDENCE, bytes(32), compose_accusation(split))
    for index, words in enumerate(
        ("the scores that it committed", "this opinion of a signal", "this retraction",
         "signed two histories")
    ):  # fmt: skip
        found = check_file(world.mesh, portable(log, index, log.answers[index]))
        assert words in found.note
        assert ("scores" in found.note) == (index == 0)
        assert found.note.endswith("Whether it counts (dates, quota, retraction) is not shown.")
    assert set(WITH_CONTENT) == set(Kind)


def test_of_a_bare_entry_a_file_does_not_say_that_anybody_took_it(world: TestMesh) -> None:
    """Members refuse an entry of long ago, or one that its log holds twice, and cosign the log."""
    log = OrgLog(world, 1)
    log.append_signals(1)
    signal = log.answers[0]
    assert isinstance(signal, Present)
    log.append(Kind.SIGNAL, bytes(32), signal.body, day=Day(TODAY - 100), expires=Day(TODAY - 50))
    log.append_note(log.notes[0], signal)
    for index in range(3):
        found = check_file(world.mesh, portable(log, index, None))
        assert "had stored what the log's rules required" in found.note
        assert "Whether it counts (dates, quota, retraction) is not shown." in found.note
        for more in ("hold it", "with its content", "the scores"):
            assert more not in found.note


def portable(log: OrgLog, index: int, answer: BodyAnswer | None) -> bytes:
    """A proof of an entry as `orgnode log prove` writes it."""
    path = inclusion_proof(index, log.size, lambda nodes: list(log.nodes(nodes)))
    return portable_proof(
        log.mesh, log.name, log.notes[index], answer, index, path, log.certificate()
    )


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
