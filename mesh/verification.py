"""Verify one published entry from its bytes alone, step by step: nothing is taken from a database,
nothing from the issuer's word.

An entry may come as a file of its own, a *portable proof*: a C2SP tlog-proof whose checkpoint
carries a quorum's cosignatures, and whose extra data is the entry and, if wanted, its body:

    u16 length, entry · nothing, or one body answer as `mesh.wire` writes it

Who has the genesis verifies it without a network. Its extra data is authenticated by what it is
compared with: the entry by the tree, the body by the entry's digest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from mesh.certificate import (
    Certificate,
    CertificateError,
    QuorumError,
    open_certificate,
)
from mesh.days import LAST_DAY, SECONDS_PER_DAY, Day, format_day
from mesh.entry import check_body, entry_id, open_entry
from mesh.errors import EntryTooLargeError, MeshError
from mesh.genesis import Mesh
from mesh.steps import Step, content_steps, verify_evidence_steps
from mesh.wire import MAX_ENTRY, BodyAnswer, Present, decode_bodies, encode_bodies
from mesh.witness import member_of
from proofs.checkpoint import open_checkpoint
from proofs.merkle import leaf_hash, verify_inclusion
from proofs.note import parse_note
from proofs.tlogproof import TlogProof

__all__ = [
    "CertificateMismatchError",
    "PortableProof",
    "PortableProofError",
    "Step",
    "portable_proof",
    "read_portable",
    "verify_evidence_steps",
    "verify_portable",
    "verify_published",
]

_LENGTH_BYTES: Final = 2


class CertificateMismatchError(CertificateError):
    """A certificate is of another checkpoint than the one that the entry is shown to be in."""


class PortableProofError(MeshError):
    """A portable proof does not hold an entry and a body as this version writes them."""


def verify_published(
    mesh: Mesh,
    issuer: str,
    note: bytes,
    salt: bytes | None,
    body: bytes | None,
    checkpoint: bytes,
    index: int,
    inclusion: Sequence[bytes],
    certificate: bytes | None = None,
) -> list[Step]:
    """Verify that a member published an entry, and that what it says holds.

    :param salt: the body's salt, None with `body` None when the content was erased: then the
        entry is verified and the list of steps ends before its content.
    :param checkpoint: the signed checkpoint of the issuer's log.
    :param index: the entry's position in the log, from 0.
    :param inclusion: hashes of the inclusion proof (RFC 6962, section 2.1.1), leaf to root.
    :param certificate: the same checkpoint with members' cosignatures. Without it those that
        `checkpoint` carries are counted; fewer than a quorum are told of as provisional.
    :returns: the steps passed, in order. Whether the entry is live on a given day is not among
        them.
    :raises MeshError: the first step that fails, by its own name.
    :raises ProofsError: likewise.
    """
    member = mesh.member(issuer)
    steps = [Step("issuer", f"{issuer} is a member of {mesh.constraints.name}")]

    tree = open_checkpoint(checkpoint, mesh.log_key(issuer))
    steps.append(Step("checkpoint", f"{issuer} signed its log at {tree.size} entries"))
    if certificate is None:
        steps.append(_standing(mesh, issuer, checkpoint))
    else:
        certified = open_certificate(mesh, issuer, certificate)
        if (certified.size, certified.root) != (tree.size, tree.root):
            raise CertificateMismatchError(
                f"the certificate covers {certified.size} entries of {issuer} and is not of the "
                f"checkpoint of {tree.size}: prove the entry against the certificate itself"
            )
        steps.append(_certified_step(mesh, certified))

    verify_inclusion(leaf_hash(note), index, tree.size, inclusion, tree.root)
    steps.append(Step("inclusion", f"entry {entry_id(note)[:16]} is number {index} of that log"))

    envelope = open_entry(note, member, mesh)
    steps.append(
        Step(
            "entry",
            f"{envelope.kind} signed by {issuer}, {format_day(Day(envelope.day))}, "
            f"expires {format_day(Day(envelope.expires))}",
        )
    )
    if body is None or salt is None:
        return steps

    check_body(envelope, salt, body, mesh.constraints)
    steps.append(Step("body", f"{len(body)} bytes match the signed digest"))

    return steps + content_steps(mesh, issuer, envelope.kind, salt, body)


@dataclass(frozen=True)
class PortableProof:
    """A portable proof as it was read. Nothing of it is verified yet."""

    log: str
    """Name of the member whose log the checkpoint claims to be of."""
    note: bytes = field(repr=False)
    """The entry."""
    content: Present | None = field(repr=False)
    """The entry's salt and body, if they came along."""
    proof: TlogProof = field(repr=False)


def portable_proof(
    mesh: Mesh,
    log: str,
    note: bytes,
    answer: BodyAnswer | None,
    index: int,
    hashes: Sequence[bytes],
    checkpoint: bytes,
) -> bytes:
    """Write an entry, its inclusion proof and the cosigned checkpoint as one file.

    :param answer: the body, if it shall go along; a body that was erased or is not here does not.
    :param hashes: inclusion proof, leaf to root, in the tree of the checkpoint.
    :param checkpoint: with the cosignatures of a quorum.
    :raises QuorumError: too few cosignatures: nobody else could tell that the entry counts.
    :raises EntryTooLargeError: the entry is over 65,535 bytes.
    :raises MeshError: the log is no member's, or the checkpoint is not one of it.
    :raises ProofsError: the entry is not shown to be in the checkpoint's tree.
    """
    if len(note) > MAX_ENTRY:
        raise EntryTooLargeError(f"an entry is at most {MAX_ENTRY} bytes")
    certificate = open_certificate(mesh, log, checkpoint)
    verify_inclusion(leaf_hash(note), index, certificate.size, hashes, certificate.root)
    extra = len(note).to_bytes(_LENGTH_BYTES, "big") + note
    if isinstance(answer, Present):
        extra += encode_bodies([answer])
    return TlogProof(index, tuple(hashes), checkpoint, extra).encode()


def read_portable(mesh: Mesh, data: bytes) -> PortableProof:
    """Read a portable proof without verifying it: to know what `verify_portable` will look at.

    :raises PortableProofError: the extra data is not an entry with at most one body.
    :raises UnknownOriginError: the checkpoint is of no member's log in this mesh.
    :raises WireError: the body is not written as in `mesh.wire`.
    :raises TlogProofError: it is no tlog-proof.
    """
    proof = TlogProof.parse(data)
    log = member_of(mesh, parse_note(proof.checkpoint).text.partition("\n")[0])
    extra = proof.extra or b""
    end = _LENGTH_BYTES + int.from_bytes(extra[:_LENGTH_BYTES], "big")
    note, rest = extra[_LENGTH_BYTES:end], extra[end:]
    if len(extra) < end or not note:
        raise PortableProofError("the extra data of a portable proof begins with the whole entry")
    if not rest:
        return PortableProof(log, note, None, proof)
    (content,) = decode_bodies(rest, 1, mesh.constraints.max_body_bytes)
    if not isinstance(content, Present):
        raise PortableProofError("a portable proof carries the body, or nothing in its place")
    return PortableProof(log, note, content, proof)


def verify_portable(mesh: Mesh, data: bytes) -> list[Step]:
    """Verify a file that `portable_proof` wrote: published, certified, and true as far as it goes.

    :returns: the steps passed, in order, as `verify_published` has them.
    :raises QuorumError: too few members have cosigned.
    :raises MeshError: the first step that fails, by its own name.
    :raises ProofsError: likewise.
    """
    read = read_portable(mesh, data)
    return verify_published(
        mesh,
        read.log,
        read.note,
        read.content.salt if read.content else None,
        read.content.body if read.content else None,
        read.proof.checkpoint,
        read.proof.index,
        read.proof.hashes,
        certificate=read.proof.checkpoint,
    )


def _standing(mesh: Mesh, issuer: str, checkpoint: bytes) -> Step:
    try:
        return _certified_step(mesh, open_certificate(mesh, issuer, checkpoint))
    except QuorumError as few:
        return Step(
            "provisional",
            f"{few.have} of {few.members} members have cosigned the checkpoint, {few.need} certify "
            "it: members don't count the entry as a source by this alone",
        )


def _certified_step(mesh: Mesh, certificate: Certificate) -> Step:
    return Step(
        "certified",
        f"{len(certificate.cosigners)} of {len(mesh.members)} members stored what the checkpoint "
        f"covers and cosigned it; the median of their times is {_moment(certificate.time)}",
    )


def _moment(seconds: int) -> str:
    # Cosigners sign any 63-bit time; a calendar ends with the year 9999.
    if seconds >= (LAST_DAY + 1) * SECONDS_PER_DAY:
        return f"{seconds} seconds after 1970"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
