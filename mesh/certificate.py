"""Certificates: a log's checkpoint with the cosignatures of a quorum of the members.

A member cosigns what it has stored, bodies included. ⌊2n/3⌋ + 1 cosignatures, the owner's own among
them, certify what the checkpoint covers: any two such quorums share an honest member, and that one
cosigns one history only.

*Attack:* a log that writes extension lines into its checkpoints could make each too large for the
evidence that convicts it. A checkpoint of a mesh has the three lines of C2SP tlog-checkpoint, and
those only.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from mesh.errors import MeshError
from mesh.genesis import Mesh
from proofs.checkpoint import (
    Checkpoint,
    CheckpointError,
    OriginMismatchError,
    open_checkpoint,
)
from proofs.cosignature import CosignatureError, cosignatures, join, verify_cosignature
from proofs.errors import ProofsError
from proofs.note import NoteFormatError, parse_note

MAX_CERTIFICATE: Final = 65_535
"""Longest certificate in bytes: more than 100 cosignatures under the longest names take."""


class CertificateError(MeshError):
    """A note does not show that a quorum of the members stored what a log's checkpoint covers."""


class CertificateFormatError(CertificateError):
    """Not a signed note, or not the text of a checkpoint, or lines that are no cosignatures."""


class CertificateSignatureError(CertificateError):
    """Not a checkpoint that this log signed, or a member's cosignature in it is false."""


class ExtensionLinesError(CertificateFormatError):
    """A checkpoint goes on after its root: a log could hide evidence behind what it adds there."""


class QuorumError(CertificateError):
    """Fewer members than a quorum have cosigned: nothing more is certified by this note."""

    def __init__(self, log: str, have: int, members: int, need: int) -> None:
        self.have = have
        self.members = members
        self.need = need
        super().__init__(
            f"{have} of {members} members have cosigned this checkpoint of {log}; {need} certify it"
        )


@dataclass(frozen=True)
class Certificate:
    """A checkpoint that a quorum has cosigned, verified."""

    log: str
    """Name of the member that owns the log."""
    note: bytes = field(repr=False)
    """The checkpoint with all cosignatures that came with it."""
    size: int
    root: bytes
    cosigners: tuple[str, ...]
    """Members that cosigned, by name."""
    time: int
    """Lower median of the cosignatures' times, POSIX seconds: within what honest members said."""


def open_certificate(mesh: Mesh, log: str, note: bytes) -> Certificate:
    """Verify a checkpoint of a member's log with its cosignatures.

    Lines of anybody but the members are ignored.

    :raises UnknownMemberError: the log belongs to no member of the mesh.
    :raises CertificateFormatError: it is no checkpoint, or a member's line is no cosignature or is
        there twice (ExtensionLinesError: the checkpoint has more than its three lines).
    :raises CertificateSignatureError: the log's signature is false or not there, or a member's
        cosignature is false.
    :raises QuorumError: fewer cosignatures than certify.
    """
    checkpoint = open_plain_checkpoint(mesh, log, note)
    times = cosigned_by(mesh, log, note)
    rules = mesh.constraints
    if len(times) < rules.quorum:
        raise QuorumError(log, len(times), len(rules.members), rules.quorum)
    return Certificate(
        log=log,
        note=note,
        size=checkpoint.size,
        root=checkpoint.root,
        cosigners=tuple(times),
        time=_lower_median(list(times.values())),
    )


def check_claimed_quorum(mesh: Mesh, log: str, note: bytes) -> None:
    """Count the members' lines, true or not: for who verifies nothing of what can't be enough.

    :raises CertificateFormatError: it is no signed note.
    :raises QuorumError: fewer members than certify have a line in it.
    """
    with _named(f"not a checkpoint that {log} signed"):
        lines = {(line.name, line.key_id) for line in parse_note(note, MAX_CERTIFICATE).signatures}
    witnesses = (card.witness_key for card in mesh.members)
    have = sum((witness.name, witness.key_id) in lines for witness in witnesses)
    rules = mesh.constraints
    if have < rules.quorum:
        raise QuorumError(log, have, len(rules.members), rules.quorum)


def certify(
    mesh: Mesh, log: str, bare_note: bytes, lines: Mapping[str, bytes]
) -> Certificate | None:
    """Put the members' cosignature lines to a log's checkpoint; None while they are too few.

    :param lines: by member; each was checked by `check_cosignature` when it came in.
    :raises CertificateError: the checkpoint or a line does not hold after all.
    :raises UnknownMemberError: the log belongs to no member of the mesh.
    """
    if len(lines) < mesh.constraints.quorum:
        return None
    with _named(f"not lines to a checkpoint of {log}"):
        note = join(bare_note, (lines[name] for name in sorted(lines)))
    return open_certificate(mesh, log, note)


def check_cosignature(mesh: Mesh, member: str, note: bytes, line: bytes) -> int:
    """Check the one line that a member sent for a checkpoint; return its time in POSIX seconds.

    :param note: the checkpoint, with or without signatures of others.
    :raises UnknownMemberError: there is no such member.
    :raises CertificateFormatError: not a signed note, or not one line of that member.
    :raises CertificateSignatureError: the line is not a cosignature of this checkpoint.
    """
    key = mesh.member(member).witness_key
    with _named(f"not a cosignature of {member}"):
        return verify_cosignature(parse_note(note, MAX_CERTIFICATE).text, line, key)


def cosigned_by(mesh: Mesh, log: str, note: bytes) -> dict[str, int]:
    """Which members cosigned a checkpoint, and when (POSIX seconds), however few; by name.

    The log's own signature is not looked at.

    :raises CertificateFormatError: not a signed note, or a member's line is no cosignature or is
        there twice.
    :raises CertificateSignatureError: a member's cosignature is false.
    """
    with _named(f"not a cosigned checkpoint of {log}"):
        return cosignatures(note, [card.witness_key for card in mesh.members])


def open_plain_checkpoint(mesh: Mesh, log: str, note: bytes) -> Checkpoint:
    """Verify a checkpoint of a member's log, cosigned or not, that has no extension lines.

    :raises UnknownMemberError: the log belongs to no member of the mesh.
    :raises CertificateFormatError: it is no signed note, or what is signed is no checkpoint
        (ExtensionLinesError: it has more than its three lines).
    :raises CertificateSignatureError: it is not a checkpoint that this log signed.
    """
    key = mesh.log_key(log)
    with _named(f"not a checkpoint that {log} signed"):
        checkpoint = open_checkpoint(note, key)
        text = parse_note(note, MAX_CERTIFICATE).text
    if text != checkpoint.to_text():
        raise ExtensionLinesError(
            f"a checkpoint of {log} goes on after its root; members cosign origin, size and root"
        )
    return checkpoint


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Tell what does not hold, and whether it is malformed or false."""
    try:
        yield
    except OriginMismatchError as error:
        raise CertificateSignatureError(f"{what}: {error}") from error
    except (NoteFormatError, CheckpointError, CosignatureError) as error:
        raise CertificateFormatError(f"{what}: {error}") from error
    except ProofsError as error:
        raise CertificateSignatureError(f"{what}: {error}") from error


def _lower_median(times: Sequence[int]) -> int:
    return sorted(times)[(len(times) - 1) // 2]
