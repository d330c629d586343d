from random import Random
from typing import Any

import pytest

from mesh.accusation import compose_accusation
from mesh.constraints import UnknownMemberError
from mesh.days import parse_day
from mesh.entry import Envelope, Kind, body_digest, sign_entry
from mesh.errors import (
    BodyDigestError,
    BodyTooLargeError,
    ForeignMeshError,
    MeshError,
    UnknownKindError,
)
from mesh.evidence import Evidence, EvidenceKind, UnprovenEvidenceError
from mesh.promotion import WrongTokenError
from mesh.retraction import compose_retraction
from mesh.sighting import SightingFormatError, compose_sighting
from mesh.signal import SignalFormatError
from mesh.strictjson import dumps, loads
from mesh.testing.members import make_mesh
from mesh.testing.orglog import OrgLog
from mesh.testing.promotions import make_promotion
from mesh.testing.signals import Lie, forge_signal, make_signal
from mesh.verification import verify_published
from proofs.checkpoint import Checkpoint, CheckpointError, sign_checkpoint
from proofs.group import PointError
from proofs.holder import FalseHolderProofError
from proofs.merkle import InclusionError, leaf_hash, node_hash
from proofs.note import BadSignatureError, UnsignedNoteError, sign_note
from proofs.severity import ProofEquationError

MADE = make_mesh(4)
MESH = MADE.mesh
ISSUER, OTHER = MADE.member(0), MADE.member(1)
DAY = parse_day("2026-11-21")
SIGNAL = make_signal(MESH, ISSUER.name, Random(3))
NEIGHBOUR = leaf_hash(b"another entry")


def entry(salt: bytes, body: bytes, kind: Kind = Kind.SIGNAL, **fields: Any) -> bytes:
    base = {"kind": kind, "mesh": MESH.mesh_id, "version": 0, "day": DAY, "expires": DAY + 90}
    envelope = Envelope(**{**base, "body": body_digest(salt, body), **fields})
    return sign_entry(envelope, ISSUER.identity)


def published(
    note: bytes, salt: bytes | None, body: bytes | None, **changes: Any
) -> dict[str, Any]:
    """Everything to verify an entry that is number 1 of a log of two."""
    root = node_hash(NEIGHBOUR, leaf_hash(note))
    signer = ISSUER.log_signer(MESH.mesh_id)
    return {
        "mesh": MESH,
        "issuer": ISSUER.name,
        "note": note,
        "salt": salt,
        "body": body,
        "checkpoint": sign_checkpoint(Checkpoint(signer.name, 2, root), signer),
        "index": 1,
        "inclusion": [NEIGHBOUR],
        **changes,
    }


NOTE = entry(SIGNAL.salt, SIGNAL.body)
GOOD = published(NOTE, SIGNAL.salt, SIGNAL.body)


def test_an_honest_signal_passes_every_step() -> None:
    steps = verify_published(**GOOD)
    assert [step.name for step in steps] == [
        "issuer",
        "checkpoint",
        "provisional",
        "inclusion",
        "entry",
        "body",
        "signal",
        "tokens",
        "severity",
    ]
    assert all(step.detail for step in steps)
    assert "2026-11-21" in steps[4].detail


def test_an_erased_signal_is_verified_up_to_its_content() -> None:
    steps = verify_published(**published(NOTE, None, None))
    names = [step.name for step in steps]
    assert names == ["issuer", "checkpoint", "provisional", "inclusion", "entry"]


def test_a_retraction() -> None:
    body = compose_retraction("ab" * 32, "mistake")
    note = entry(SIGNAL.salt, body, Kind.RETRACTION)
    steps = verify_published(**published(note, SIGNAL.salt, body))
    assert [step.name for step in steps][-2:] == ["body", "retraction"]
    assert "mistake" in steps[-1].detail


@pytest.mark.parametrize(("verdict", "said"), [("confirm", "confirms"), ("deny", "denies")])
def test_a_sighting(verdict: str, said: str) -> None:
    body = compose_sighting("ab" * 32, verdict)
    note = entry(SIGNAL.salt, body, Kind.SIGHTING)
    steps = verify_published(**published(note, SIGNAL.salt, body))
    assert [step.name for step in steps][-2:] == ["body", "sighting"]
    assert steps[-1].detail.startswith(f"{said} {'ab' * 32}")
    wrong = body.replace(b"target", b"goal")
    with pytest.raises(SightingFormatError):
        verify_published(**published(entry(SIGNAL.salt, wrong, Kind.SIGHTING), SIGNAL.salt, wrong))


def test_a_promotion() -> None:
    body = make_promotion(MADE, [bytes(32), b"\x01" * 32], ["ab" * 32, "cd" * 32])
    note = entry(SIGNAL.salt, body, Kind.PROMOTION)
    steps = verify_published(**published(note, SIGNAL.salt, body))
    assert [step.name for step in steps][-3:] == ["body", "promotion", "evaluations"]
    assert "2 window(s)" in steps[-2].detail
    assert "2 signal(s)" in steps[-2].detail
    for seat in MADE.committee.seats[: MADE.committee.threshold]:
        assert seat.member in steps[-1].detail
    value = loads(body)
    value["windows"][0]["token"] = value["windows"][1]["token"]
    wrong = dumps(value)
    with pytest.raises(WrongTokenError):
        verify_published(**published(entry(SIGNAL.salt, wrong, Kind.PROMOTION), SIGNAL.salt, wrong))


def test_a_signals_body_under_a_retractions_kind() -> None:
    note = entry(SIGNAL.salt, SIGNAL.body, Kind.RETRACTION)
    with pytest.raises(MeshError):
        verify_published(**published(note, SIGNAL.salt, SIGNAL.body))
    body = compose_retraction("ab" * 32, "mistake")
    note = entry(SIGNAL.salt, body)
    with pytest.raises(SignalFormatError):
        verify_published(**published(note, SIGNAL.salt, body))


def test_an_accusation() -> None:
    log, twin = OrgLog(MADE, OTHER), OrgLog(MADE, OTHER)
    log.append_note(b"one history")
    twin.append_note(b"another history")
    split = Evidence(EvidenceKind.SPLIT, OTHER.name, log.checkpoint(), twin.checkpoint())
    body = compose_accusation(split)
    note = entry(SIGNAL.salt, body, Kind.EVIDENCE)
    steps = verify_published(**published(note, SIGNAL.salt, body))
    assert [step.name for step in steps][-4:] == ["accused", "first", "second", "contradiction"]
    framed = Evidence(EvidenceKind.SPLIT, OTHER.name, log.checkpoint(), log.checkpoint())
    body = compose_accusation(framed)
    note = entry(SIGNAL.salt, body, Kind.EVIDENCE)
    with pytest.raises(UnprovenEvidenceError):
        verify_published(**published(note, SIGNAL.salt, body))


def other_checkpoint(**changes: Any) -> bytes:
    signer = changes.get("signer", ISSUER.log_signer(MESH.mesh_id))
    root = changes.get("root", node_hash(NEIGHBOUR, leaf_hash(NOTE)))
    return sign_checkpoint(Checkpoint(signer.name, changes.get("size", 2), root), signer)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"issuer": "stranger.example"}, UnknownMemberError),
        ({"issuer": OTHER.name}, UnsignedNoteError),
        ({"mesh": make_mesh(4, seed=1).mesh}, UnsignedNoteError),
        (
            {"checkpoint": other_checkpoint(signer=OTHER.log_signer(MESH.mesh_id))},
            UnsignedNoteError,
        ),
        ({"checkpoint": other_checkpoint(signer=ISSUER.identity)}, UnsignedNoteError),
        ({"checkpoint": other_checkpoint(root=bytes(32))}, InclusionError),
        ({"checkpoint": other_checkpoint(size=3)}, InclusionError),
        ({"index": 0}, InclusionError),
        ({"index": 2}, InclusionError),
        ({"index": -1}, InclusionError),
        ({"inclusion": []}, InclusionError),
        ({"inclusion": [NEIGHBOUR, NEIGHBOUR]}, InclusionError),
        ({"inclusion": [bytes(32)]}, InclusionError),
        ({"body": SIGNAL.body + b" "}, BodyDigestError),
        ({"salt": bytes(32)}, BodyDigestError),
        ({"body": b" " * 40_000}, BodyTooLargeError),
        ({"note": NOTE.replace(b"2026", b"2027")}, InclusionError),
    ],
)
def test_each_step_can_fail(changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        verify_published(**{**GOOD, **changes})


def test_a_checkpoint_of_the_same_log_in_another_mesh() -> None:
    other = make_mesh(4, seed=0).mesh.mesh_id[::-1]
    signer = ISSUER.log_signer(other)
    with pytest.raises((UnsignedNoteError, CheckpointError)):
        verify_published(**{**GOOD, "checkpoint": other_checkpoint(signer=signer)})


def test_an_entry_in_the_log_that_its_owner_did_not_sign() -> None:
    """The log's key is not the identity's: who has only the first can't publish."""
    envelope = NOTE.partition(b"\n\n")[0].decode() + "\n"
    forged = sign_note(envelope, (OTHER.identity,))
    with pytest.raises(UnsignedNoteError):
        verify_published(**published(forged, SIGNAL.salt, SIGNAL.body))
    broken = NOTE.replace(b"2026", b"2027")
    with pytest.raises(BadSignatureError):
        verify_published(**published(broken, SIGNAL.salt, SIGNAL.body))


def test_entries_of_other_meshes_and_kinds() -> None:
    foreign = entry(SIGNAL.salt, SIGNAL.body, mesh="0" * 64)
    with pytest.raises(ForeignMeshError):
        verify_published(**published(foreign, SIGNAL.salt, SIGNAL.body))
    unknown = sign_note("signal-mesh/v1/weather\n{}\n", (ISSUER.identity,))
    with pytest.raises(UnknownKindError):
        verify_published(**published(unknown, None, None))


@pytest.mark.parametrize("lie", list(Lie))
def test_a_dishonest_issuers_claim(lie: Lie) -> None:
    forged = forge_signal(MESH, ISSUER.name, lie, Random(5))
    note = entry(forged.salt, forged.body)
    error: type[Exception] = ProofEquationError
    if lie is Lie.POINT_OFF_CURVE:
        error = PointError
    elif lie in {Lie.NO_HOLDER, Lie.COPIED_HOLDER}:
        error = FalseHolderProofError
    with pytest.raises(error):
        verify_published(**published(note, forged.salt, forged.body))


def test_a_signal_copied_from_another_member() -> None:
    """The thief signs their own entry over the very salt and body of another's signal."""
    other = make_signal(MESH, OTHER.name, Random(4))
    note = entry(other.salt, other.body)
    with pytest.raises(FalseHolderProofError):
        verify_published(**published(note, other.salt, other.body))
