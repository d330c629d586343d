"""The witness's rules, after C2SP `tlog-witness`, without I/O: what it cosigns, what it answers.

    request = AddCheckpoint.parse(body)
    log = log_of(mesh, request)
    judged = judge(mesh, request, known)    # `known`: what was cosigned last of this log
    ...                                     # is it mirrored here? then compare and persist, then
    line = cosign(judged.text, ...)         # proofs.cosignature

Comparing `known` with what is stored and storing the new size must be one transaction, and must be
durable before the cosignature leaves: of two requests at one time only one may win.

Whatever is refused raises an error with the HTTP `status` of the specification. A second root for
one size answers 422 and not 409 as in v1.0.0 of the specification: 409 tells a size to try again
from, and here there is none.
"""

import re
from dataclasses import dataclass, field
from typing import ClassVar, Final

from mesh.certificate import (
    CertificateFormatError,
    CertificateSignatureError,
    open_plain_checkpoint,
)
from mesh.errors import MeshError
from mesh.genesis import Mesh
from proofs.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    MAX_SIZE,
    ConsistencyError,
    verify_consistency,
)
from proofs.note import NoteError, decode_base64, encode_base64, parse_note

MAX_PROOF_HASHES: Final = 63
"""Most hashes of a consistency proof in a request (C2SP tlog-witness)."""

MAX_CHECKPOINT: Final = 16_384
"""Longest checkpoint in a request, in bytes: only the log's own signature matters in it."""

MAX_REQUEST: Final = 32 + MAX_PROOF_HASHES * 45 + MAX_CHECKPOINT
"""Longest request in bytes."""

SIZE_CONTENT_TYPE: Final = "text/x.tlog.size"
"""Content type of the answer 409, whose body is the size that was cosigned last."""

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


class WitnessError(MeshError):
    """A checkpoint is not cosigned. `status` is the HTTP status that tells so."""

    status: ClassVar[int] = 400


class MalformedRequestError(WitnessError):
    """A request is not written as C2SP tlog-witness has it, or its checkpoint is no checkpoint."""


class OldAboveNewError(WitnessError):
    """A request is to prove that a log grew, to a size under the one that it starts from."""


class ForeignCheckpointError(WitnessError):
    """A checkpoint is not signed by the log that it names: somebody speaks for another."""

    status = 403


class UnknownOriginError(WitnessError):
    """A checkpoint is of no member's log in this mesh."""

    status = 404


class StaleOldSizeError(WitnessError):
    """The proof starts from another size than was cosigned last: ask again from `size`."""

    status = 409

    def __init__(self, log: str, size: int) -> None:
        self.size = size
        super().__init__(f"the newest cosigned checkpoint of {log} has size {size}: prove from it")


class BadConsistencyError(WitnessError):
    """The log is not shown to begin with what was cosigned before: it rewrote its history, or the
    proof was made wrongly."""

    status = 422


class SplitCheckpointError(WitnessError):
    """A second root for the size that was cosigned last: the log signed two histories."""

    status = 422


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request for a cosignature.

    :raises MalformedRequestError: an old size that no log has, or hashes that are too many or not
        32 bytes each.
    """

    old: int
    """Size of the checkpoint that was cosigned last, 0 if there is none."""
    proof: tuple[bytes, ...]
    """Consistency proof from there (RFC 6962, section 2.1.2)."""
    checkpoint: bytes
    """The signed note; signatures other than the log's do not matter."""

    def __post_init__(self) -> None:
        if not 0 <= self.old <= MAX_SIZE:
            raise MalformedRequestError(f"no log has the size {self.old}")
        if len(self.proof) > MAX_PROOF_HASHES or any(len(one) != HASH_BYTES for one in self.proof):
            raise MalformedRequestError(
                f"a consistency proof has at most {MAX_PROOF_HASHES} hashes of {HASH_BYTES} bytes"
            )

    def encode(self) -> bytes:
        """Return the body of the request."""
        lines = [f"old {self.old}", *map(encode_base64, self.proof), "", ""]
        return "\n".join(lines).encode() + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> "AddCheckpoint":
        """Read what `encode` writes, in that spelling alone.

        :raises MalformedRequestError: it is not such a request, or is too large.
        """
        if len(data) > MAX_REQUEST:
            raise MalformedRequestError(f"a request is at most {MAX_REQUEST} bytes")
        head, gap, checkpoint = data.partition(b"\n\n")
        if not gap or not head.isascii():
            raise MalformedRequestError("a request is lines, an empty line, and a checkpoint")
        first, *lines = head.decode("ascii").split("\n")
        old = _OLD.fullmatch(first)
        if old is None:
            raise MalformedRequestError("a request begins with `old` and a decimal size")
        return cls(int(old[1]), tuple(map(_decode_hash, lines)), checkpoint)


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The newest checkpoint that was cosigned of one log; before the first, an empty one."""

    size: int = 0
    root: bytes = EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class Judged:
    """A checkpoint that may be cosigned, once what it covers is stored here."""

    log: str
    """Name of the member that owns the log."""
    size: int
    root: bytes
    text: str = field(repr=False)
    """What is cosigned."""


def origin_of(request: AddCheckpoint) -> str:
    """The origin that a request's checkpoint names. Not verified yet: anybody may have written it.

    :raises MalformedRequestError: what the request carries is no signed note.
    """
    if len(request.checkpoint) > MAX_CHECKPOINT:
        raise MalformedRequestError(f"a checkpoint is at most {MAX_CHECKPOINT} bytes")
    try:
        return parse_note(request.checkpoint).text.partition("\n")[0]
    except NoteError as error:
        raise MalformedRequestError(f"the request ends in no signed note: {error}") from error


def log_of(mesh: Mesh, request: AddCheckpoint) -> str:
    """Name of the member whose log a request's checkpoint claims to be of. Not verified yet.

    :raises MalformedRequestError: what the request carries is no signed note.
    :raises UnknownOriginError: the origin is no member's log in this mesh.
    """
    return member_of(mesh, origin_of(request))


def member_of(mesh: Mesh, origin: str) -> str:
    """Name of the member whose log has this origin.

    :raises UnknownOriginError: it is no member's log in this mesh.
    """
    for card in mesh.members:
        if mesh.log_key(card.name).name == origin:
            return card.name
    raise UnknownOriginError(f"no member of {mesh.constraints.name!r} has a log {origin[:200]!r}")


def judge(mesh: Mesh, request: AddCheckpoint, known: Witnessed) -> Judged:
    """Decide whether a checkpoint continues what was cosigned of its log before.

    :param known: of the log that `log_of` names.
    :raises MalformedRequestError: what the request carries is no checkpoint as members cosign it.
    :raises UnknownOriginError: the origin is no member's log in this mesh.
    :raises ForeignCheckpointError: the log's own signature is false or not there.
    :raises OldAboveNewError: the proof starts from a larger size than the checkpoint's.
    :raises StaleOldSizeError: the proof starts from another size than was cosigned last.
    :raises SplitCheckpointError: the size that was cosigned last, with another root.
    :raises BadConsistencyError: the proof does not hold, or there is one where none is due.
    """
    log = log_of(mesh, request)
    try:
        new = open_plain_checkpoint(mesh, log, request.checkpoint)
    except CertificateSignatureError as error:
        raise ForeignCheckpointError(str(error)) from error
    except CertificateFormatError as error:
        raise MalformedRequestError(str(error)) from error
    if request.old > new.size:
        raise OldAboveNewError(f"no proof leads from size {request.old} down to {new.size}")
    if request.old != known.size:
        raise StaleOldSizeError(log, known.size)
    if new.size == known.size and new.root != known.root:
        raise SplitCheckpointError(f"{log} signed a second root for its first {new.size} entries")
    if request.old == 0:
        if request.proof:
            raise BadConsistencyError("nothing leads from an empty log: its proof is empty")
    else:
        try:
            verify_consistency(request.old, new.size, known.root, new.root, request.proof)
        except ConsistencyError as error:
            raise BadConsistencyError(str(error)) from error
    return Judged(log, new.size, new.root, new.to_text())


def encode_size(size: int) -> bytes:
    """Body of the answer 409: the size that was cosigned last."""
    return f"{size}\n".encode()


def decode_size(data: bytes) -> int:
    """Read the body of an answer 409.

    :raises MalformedRequestError: it is not one decimal number and a newline.
    """
    match = _SIZE.fullmatch(data)
    if match is None or int(match[1]) > MAX_SIZE:
        raise MalformedRequestError("the body of an answer 409 is a decimal size and a newline")
    return int(match[1])


def _decode_hash(text: str) -> bytes:
    data = decode_base64(text)
    if data is None:
        raise MalformedRequestError("the hashes of a proof are canonical base64, one a line")
    return data
