"""What a checkpoint's cosignatures add to verification, and proofs that travel as one file."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.certificate import (
    CertificateError,
    CertificateSignatureError,
    ExtensionLinesError,
    QuorumError,
)
from mesh.constraints import UnknownMemberError
from mesh.entry import Kind, entry_id
from mesh.errors import BodyDigestError, EntryTooLargeError, MeshError
from mesh.evidence import (
    Evidence,
    EvidenceKind,
    EvidenceSignatureError,
    UnprovenEvidenceError,
)
from mesh.retraction import compose_retraction
from mesh.testing import OrgLog, make_mesh, make_signal
from mesh.verification import (
    CertificateMismatchError,
    PortableProofError,
    Step,
    portable_proof,
    read_portable,
    verify_evidence_steps,
    verify_portable,
    verify_published,
)
from mesh.wire import ERASED, MISSING, Present, WireError, encode_bodies
from mesh.witness import UnknownOriginError
from proofs.cosignature import MAX_TIME, cosign, join
from proofs.errors import ProofsError
from proofs.merkle import InclusionError, inclusion_proof, range_nodes
from proofs.note import UnsignedNoteError, parse_note, sign_note
from proofs.tlogproof import TlogProof, TlogProofError

WORLD = make_mesh(4)
MESH = WORLD.mesh
OWNER, OTHER = WORLD.member(0), WORLD.member(1)
NAMES = [member.name for member in WORLD.members]
LOG = OrgLog(WORLD, OWNER)
MADE = make_signal(MESH, OWNER.name, Random(3))
LOG.append_note(b"no entry at all")
LOG.append_signal(MADE)
LOG.append(Kind.RETRACTION, bytes(32), compose_retraction("ab" * 32, "mistake"))
NOTE = LOG.notes[1]
CERTIFICATE = LOG.certificate()


def hashes(index: int, size: int = 3) -> list[bytes]:
    return inclusion_proof(index, size, LOG.nodes)


def verified(checkpoint: bytes, certificate: bytes | None = None, index: int = 1) -> list[Step]:
    answer = LOG.answers[index]
    assert isinstance(answer, Present)
    return verify_published(
        MESH,
        OWNER.name,
        LOG.notes[index],
        answer.salt,
        answer.body,
        checkpoint,
        index,
        hashes(index),
        certificate,
    )


def named(steps: list[Step], name: str) -> str:
    (step,) = (step for step in steps if step.name == name)
    return step.detail


# --- certified or provisional


def test_a_quorum_is_counted_and_dated() -> None:
    for steps in (verified(CERTIFICATE), verified(LOG.checkpoint(), CERTIFICATE)):
        assert [step.name for step in steps][:3] == ["issuer", "checkpoint", "certified"]
        assert "3 of 4 members" in named(steps, "certified")
        assert "2026-11-21T12:00:01Z" in named(steps, "certified")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_without_a_quorum_it_is_provisional(count: int) -> None:
    steps = verified(LOG.certificate(by=NAMES[:count]))
    assert [step.name for step in steps][:3] == ["issuer", "checkpoint", "provisional"]
    assert f"{count} of 4 members" in named(steps, "provisional")
    assert "3 certify" in named(steps, "provisional")


def test_a_certificate_that_is_handed_in_must_certify() -> None:
    with pytest.raises(QuorumError):
        verified(LOG.checkpoint(), LOG.certificate(by=NAMES[:2]))
    with pytest.raises(CertificateSignatureError):
        verified(LOG.checkpoint(), OrgLog(WORLD, OTHER).certificate())


def test_a_certificate_of_another_checkpoint_certifies_nothing_of_this_one() -> None:
    twin = LOG.fork(2)
    twin.append_note(b"another third entry")
    for certificate in (LOG.certificate(2), twin.certificate(3)):
        with pytest.raises(CertificateMismatchError):
            verified(LOG.checkpoint(), certificate)


def test_a_false_cosignature_fails_even_a_provisional_entry() -> None:
    line = cosign(parse_note(LOG.checkpoint(2)).text, OTHER.witness, 1)
    with pytest.raises(CertificateSignatureError):
        verified(LOG.checkpoint() + line)


def test_times_that_no_calendar_has() -> None:
    for time in (0, 253_402_300_799, 253_402_300_800, MAX_TIME):
        text = parse_note(LOG.checkpoint()).text
        lines = [cosign(text, WORLD.member(name).witness, time) for name in NAMES]
        detail = named(verified(join(LOG.checkpoint(), lines)), "certified")
        if time > 253_402_300_799:
            assert f"{time} seconds" in detail
        else:
            assert detail.endswith("1970-01-01T00:00:00Z" if time == 0 else "9999-12-31T23:59:59Z")


# --- one file


def made(with_body: bool = True, index: int = 1, checkpoint: bytes = CERTIFICATE) -> bytes:
    answer = LOG.answers[index] if with_body else None
    return portable_proof(
        MESH, OWNER.name, LOG.notes[index], answer, index, hashes(index), checkpoint
    )


def test_a_file_shows_all_that_the_parts_show() -> None:
    assert verify_portable(MESH, made()) == verified(CERTIFICATE)
    assert verify_portable(MESH, made(index=2)) == verified(CERTIFICATE, index=2)
    names = [step.name for step in verify_portable(MESH, made(with_body=False))]
    assert names == ["issuer", "checkpoint", "certified", "inclusion", "entry"]


def test_what_a_file_is() -> None:
    """Other people's tools verify all but the extra data: it is a C2SP tlog-proof."""
    answer = LOG.answers[1]
    proof = TlogProof.parse(made())
    assert (proof.index, list(proof.hashes), proof.checkpoint) == (1, hashes(1), CERTIFICATE)
    assert proof.extra == len(NOTE).to_bytes(2, "big") + NOTE + encode_bodies([answer])
    short = TlogProof.parse(made(with_body=False))
    assert short.extra == len(NOTE).to_bytes(2, "big") + NOTE
    for absent in (ERASED, MISSING, None):
        data = portable_proof(MESH, OWNER.name, NOTE, absent, 1, hashes(1), CERTIFICATE)
        assert data == made(with_body=False)


def test_reading_before_verifying() -> None:
    read = read_portable(MESH, made())
    assert (read.log, entry_id(read.note), read.content) == (
        OWNER.name,
        entry_id(NOTE),
        LOG.answers[1],
    )
    assert read.proof.index == 1
    assert read_portable(MESH, made(with_body=False)).content is None


@pytest.mark.parametrize("count", [0, 1, 2])
def test_nothing_is_handed_on_that_does_not_count(count: int) -> None:
    few = LOG.certificate(by=NAMES[:count])
    with pytest.raises(QuorumError):
        made(checkpoint=few)
    extra = TlogProof.parse(made()).extra
    with pytest.raises(QuorumError):
        verify_portable(MESH, TlogProof(1, tuple(hashes(1)), few, extra).encode())


def test_no_file_is_made_that_would_not_verify() -> None:
    with pytest.raises(InclusionError):
        portable_proof(MESH, OWNER.name, NOTE, None, 0, hashes(0), CERTIFICATE)
    with pytest.raises(InclusionError):
        portable_proof(MESH, OWNER.name, NOTE, None, 1, hashes(1, 2), CERTIFICATE)
    with pytest.raises(CertificateError):
        portable_proof(MESH, OTHER.name, NOTE, None, 1, hashes(1), CERTIFICATE)
    with pytest.raises(UnknownMemberError):
        portable_proof(MESH, "stranger.example", NOTE, None, 1, hashes(1), CERTIFICATE)
    with pytest.raises(EntryTooLargeError):
        portable_proof(MESH, OWNER.name, bytes(65_536), None, 1, hashes(1), CERTIFICATE)


PROOF = TlogProof.parse(made())
EXTRA = PROOF.extra or b""
LENGTH = len(NOTE).to_bytes(2, "big")
BODY = encode_bodies([LOG.answers[1]])


@pytest.mark.parametrize(
    ("extra", "error"),
    [
        (None, PortableProofError),
        (b"\x00", PortableProofError),
        (b"\x00\x00", PortableProofError),
        (LENGTH, PortableProofError),
        (LENGTH + NOTE[:-1], PortableProofError),
        (b"\xff\xff" + NOTE, PortableProofError),
        (LENGTH + NOTE + b"\x00", PortableProofError),
        (LENGTH + NOTE + b"\x01", PortableProofError),
        (LENGTH + NOTE + b"\x03", WireError),
        (LENGTH + NOTE + BODY[:-1], WireError),
        (LENGTH + NOTE + BODY + b"\x00", WireError),
        (LENGTH + NOTE + BODY + BODY, WireError),
        (LENGTH + NOTE + encode_bodies([Present(bytes(32), b" " * 40_000)]), WireError),
        (LENGTH + NOTE + encode_bodies([Present(bytes(32), MADE.body)]), BodyDigestError),
        (LENGTH + NOTE + encode_bodies([Present(MADE.salt, MADE.body + b" ")]), BodyDigestError),
        (len(LOG.notes[2]).to_bytes(2, "big") + LOG.notes[2], InclusionError),
    ],
)
def test_extra_data_is_not_trusted(extra: bytes | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        verify_portable(MESH, replace(PROOF, extra=extra).encode())


@pytest.mark.parametrize(
    ("bend", "error"),
    [
        (lambda proof: replace(proof, index=0), InclusionError),
        (lambda proof: replace(proof, index=4), InclusionError),
        (lambda proof: replace(proof, hashes=()), InclusionError),
        (lambda proof: replace(proof, hashes=(*proof.hashes, bytes(32))), InclusionError),
        (lambda proof: replace(proof, checkpoint=LOG.certificate(2)), InclusionError),
        (lambda proof: replace(proof, checkpoint=LOG.checkpoint()), QuorumError),
        (
            lambda proof: replace(proof, checkpoint=OrgLog(WORLD, OTHER).certificate()),
            InclusionError,
        ),
        (
            lambda proof: replace(
                proof, checkpoint=sign_note(parse_note(CERTIFICATE).text, [OTHER.identity])
            ),
            UnsignedNoteError,
        ),
        (
            lambda proof: replace(proof, checkpoint=sign_note("who?\n", [OWNER.identity])),
            UnknownOriginError,
        ),
    ],
)
def test_every_part_of_a_file_is_verified(
    bend: Callable[[TlogProof], TlogProof], error: type[Exception]
) -> None:
    with pytest.raises(error):
        verify_portable(MESH, bend(PROOF).encode())


def test_files_of_another_mesh_and_rubbish() -> None:
    elsewhere = make_mesh(4, seed=1).mesh
    with pytest.raises(UnknownOriginError):
        verify_portable(elsewhere, made())
    for data in (b"", b"rubbish", CERTIFICATE):
        with pytest.raises(TlogProofError):
            verify_portable(MESH, data)


def test_a_checkpoint_with_extension_lines_certifies_nothing() -> None:
    text = parse_note(LOG.checkpoint()).text + "an extension\n"
    note = sign_note(text, [OWNER.log_signer(MESH.mesh_id)])
    note = join(note, [cosign(text, WORLD.member(name).witness, 1) for name in NAMES])
    with pytest.raises(ExtensionLinesError):
        verify_portable(MESH, replace(PROOF, checkpoint=note).encode())


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_changed_byte_shows(data: st.DataObject) -> None:
    """Every byte is covered. A cosigner's changed name makes its line nobody's: one too few."""
    file = bytearray(made())
    at = data.draw(st.integers(0, len(file) - 1))
    file[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((MeshError, ProofsError)):
        verify_portable(MESH, bytes(file))


# --- evidence


def test_a_split_step_by_step() -> None:
    twin = LOG.fork(2)
    twin.append_note(b"another third entry")
    evidence = Evidence(EvidenceKind.SPLIT, OWNER.name, LOG.checkpoint(), twin.checkpoint())
    steps = verify_evidence_steps(MESH, evidence)
    assert [step.name for step in steps] == ["accused", "first", "second", "contradiction"]
    assert OWNER.name in named(steps, "accused")
    assert LOG.frontier().root().hex()[:16] in named(steps, "first")
    assert twin.frontier().root().hex()[:16] in named(steps, "second")
    assert "two roots of 3 entries" in named(steps, "contradiction")


def test_a_fork_step_by_step() -> None:
    twin = LOG.fork(1)
    twin.append_signals(4)
    evidence = Evidence(
        EvidenceKind.FORK,
        OWNER.name,
        LOG.checkpoint(3),
        twin.checkpoint(5),
        tuple(twin.nodes(range_nodes(0, 3))),
        tuple(twin.nodes(range_nodes(3, 5))),
    )
    steps = verify_evidence_steps(MESH, evidence)
    assert "of 3 entries" in named(steps, "first")
    assert "of 5 entries" in named(steps, "second")
    assert "first 3 entries" in named(steps, "contradiction")


def test_evidence_that_shows_nothing() -> None:
    one = LOG.checkpoint()
    with pytest.raises(UnprovenEvidenceError):
        verify_evidence_steps(MESH, Evidence(EvidenceKind.SPLIT, OWNER.name, one, one))
    with pytest.raises(EvidenceSignatureError):
        verify_evidence_steps(MESH, Evidence(EvidenceKind.SPLIT, OTHER.name, one, one))
    with pytest.raises(UnknownMemberError):
        verify_evidence_steps(MESH, Evidence(EvidenceKind.SPLIT, "stranger.example", one, one))
