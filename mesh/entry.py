"""Entries: what a member appends to its log.

An entry is a signed note of two lines: its kind, and the envelope that names the mesh, the
version of the constraints, the days and the digest of a body. The body travels beside the log, so
that it can be erased without touching a tree; only its digest is for ever.

Reading an entry checks the signature first, from the exact bytes received, and content after it.
"""

import re
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from mesh import strictjson
from mesh.constraints import Constraints
from mesh.days import LAST_DAY, Day, format_day, parse_day
from mesh.document import PREFIX, document_text, split_document
from mesh.errors import (
    BodyDigestError,
    BodyTooLargeError,
    DatedAheadError,
    EntryFormatError,
    EntryTooLargeError,
    ExpiryBeforeDayError,
    ExpiryTooFarError,
    ExpiryTooSoonError,
    ForeignMeshError,
    MeshError,
    SaltLengthError,
    UnknownKindError,
    UnknownVersionError,
)
from mesh.genesis import Mesh
from mesh.member import MemberCard
from mesh.model import Digest, Model
from mesh.wire import MAX_ENTRY, SALT_BYTES
from proofs.merkle import leaf_hash
from proofs.note import Signer, open_note, sign_note

_FIELDS = frozenset({"mesh", "version", "day", "expires", "body"})
# Entries of later protocol versions are deferred like unknown kinds.
_KIND_LINE = re.compile(r"signal-mesh/v[1-9][0-9]{0,3}/[a-z][a-z0-9-]{0,31}")


class Kind(StrEnum):
    """The kinds of entries that this version understands."""

    SIGNAL = "signal"
    RETRACTION = "retraction"
    SIGHTING = "sighting"
    PROMOTION = "promotion"
    EVIDENCE = "evidence"


LONGEST_LIVED: Final = frozenset({Kind.PROMOTION, Kind.EVIDENCE})
"""Kinds whose entries live exactly as long as the constraints allow."""

_KINDS: Final = {PREFIX + kind.value: kind for kind in Kind}

DayNumber = Annotated[int, Field(ge=0, le=LAST_DAY)]


class Envelope(Model):
    """What an entry says, apart from its body."""

    format_error: ClassVar[type[MeshError]] = EntryFormatError

    kind: Annotated[Kind, Field(strict=False)]
    mesh: Digest
    """Id of the mesh that the entry was made for."""
    version: Annotated[int, Field(ge=0, le=strictjson.MAX_INTEGER)]
    """Version of the constraints that the entry follows."""
    day: DayNumber
    """Day on which it was made, since 1970-01-01 UTC."""
    expires: DayNumber
    """Last day of its life, since 1970-01-01 UTC."""
    body: Digest
    """SHA-256(salt ‖ body)."""

    def to_json(self) -> dict[str, Any]:
        """The envelope as it is written on an entry's second line."""
        return {
            "mesh": self.mesh,
            "version": self.version,
            "day": format_day(Day(self.day)),
            "expires": format_day(Day(self.expires)),
            "body": self.body,
        }


def sign_entry(envelope: Envelope, signer: Signer) -> bytes:
    """Sign an entry with the issuer's identity key.

    :raises EntryTooLargeError: the note is over 65,535 bytes (a name can't make it so).
    """
    note = sign_note(document_text(envelope.kind, envelope.to_json()), (signer,))
    _check_size(note)
    return note


def open_entry(note: bytes, member: MemberCard, mesh: Mesh) -> Envelope:
    """Verify and read an entry of a member's log.

    Dates are checked by `check_dates` and the body by `check_body`: both can be asked about again
    later, the signature needs no second look.

    :raises EntryTooLargeError: over 65,535 bytes; nothing is parsed then.
    :raises NoteError: not a signed note; the member's signature is false, or is not there.
    :raises UnknownKindError: signed, and of a kind that this version does not know.
    :raises EntryFormatError: not exactly two lines, not exactly the envelope's fields in their
        canonical encoding, or more signatures than the issuer's.
    :raises StrictJSONError: the second line is not strict JSON.
    :raises ForeignMeshError: made for another mesh.
    :raises UnknownVersionError: made under constraints that are not in force.
    """
    _check_size(note)
    text = open_note(note, (member.identity_key,)).text
    first, line = split_document(text, EntryFormatError)
    kind = _KINDS.get(first)
    if kind is None:
        if _KIND_LINE.fullmatch(first) is None:
            raise EntryFormatError("an entry's first line is signal-mesh/v1/ and its kind")
        raise UnknownKindError(first.removeprefix(PREFIX))
    # Lines of other keys are covered by no signature: with them one signed text would make any
    # number of entries with ids of their own, and outlive its retraction.
    if note.count(b"\n", len(text.encode()) + 1) != 1:
        raise EntryFormatError("an entry has one signature, its issuer's")
    envelope = _envelope(kind, strictjson.loads(line))
    if envelope.mesh != mesh.mesh_id:
        raise ForeignMeshError("the entry was made for another mesh")
    if envelope.version != mesh.version:
        raise UnknownVersionError(
            f"the entry follows version {envelope.version} of the constraints; "
            f"{mesh.version} is in force"
        )
    # An entry is kept for ever and can't be erased: no room in it for anything but these fields.
    if document_text(kind, envelope.to_json()) != text:
        raise EntryFormatError("an entry is written in its canonical encoding")
    return envelope


def claims_kind(note: bytes, kind: Kind) -> bool:
    """Whether an entry says that it is of this kind. Nothing of it is verified."""
    return note.startswith(f"{PREFIX}{kind}\n".encode())


def entry_id(note: bytes) -> str:
    """An entry's id: its Merkle leaf hash (RFC 6962, section 2.1), hex."""
    return leaf_hash(note).hex()


def body_digest(salt: bytes, body: bytes) -> str:
    """SHA-256(salt ‖ body) in hex, which an entry is signed with.

    :raises SaltLengthError: the salt is not 32 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise SaltLengthError(f"a salt is {SALT_BYTES} bytes, not {len(salt)}")
    return sha256(salt + body).hexdigest()


def check_body(envelope: Envelope, salt: bytes, body: bytes, constraints: Constraints) -> None:
    """Check that a body is the one that the entry was signed for.

    :raises BodyTooLargeError: longer than the constraints allow.
    :raises SaltLengthError: the salt is not 32 bytes.
    :raises BodyDigestError: salt and body do not hash to the signed digest.
    """
    if len(body) > constraints.max_body_bytes:
        raise BodyTooLargeError(
            f"a body of {len(body)} bytes; at most {constraints.max_body_bytes} are allowed"
        )
    if body_digest(salt, body) != envelope.body:
        raise BodyDigestError(
            "salt and body do not hash to the digest that the entry was signed with"
        )


def check_dates(envelope: Envelope, today: Day, constraints: Constraints) -> None:
    """Check an entry's days. Whether it has expired since is `is_expired`.

    :raises ExpiryBeforeDayError: it expires before its own day.
    :raises ExpiryTooFarError: it would live longer than the constraints allow.
    :raises ExpiryTooSoonError: a promotion or evidence lives less long than the constraints allow.
    :raises DatedAheadError: it is dated further ahead of today than the clock skew allowed. This
        alone depends on the reader's day; a retraction is not refused for it (see `mesh.quota`).
    """
    if envelope.expires < envelope.day:
        raise ExpiryBeforeDayError("the entry expires before the day that it is dated")
    if envelope.expires - envelope.day > constraints.max_expiry_days:
        raise ExpiryTooFarError(
            f"the entry would live {envelope.expires - envelope.day} days; "
            f"at most {constraints.max_expiry_days} are allowed"
        )
    if envelope.kind in LONGEST_LIVED and (
        envelope.expires - envelope.day < constraints.max_expiry_days
    ):
        # From the promotion on everybody can claim its tokens; that it stands keeps those claims
        # from counting. Whoever promotes must not choose when that ends. And who was away while
        # evidence lived would not hear of it.
        raise ExpiryTooSoonError(
            f"{envelope.kind} lives as long as entries may, {constraints.max_expiry_days} days"
        )
    ahead = envelope.day > today + constraints.clock_skew_days
    if ahead and envelope.kind is not Kind.RETRACTION:
        raise DatedAheadError(
            f"the entry is dated {format_day(Day(envelope.day))}, "
            f"more than {constraints.clock_skew_days} day(s) ahead; check both clocks"
        )


def is_expired(envelope: Envelope, today: Day) -> bool:
    """Whether the entry's last day has passed."""
    return today > envelope.expires


def _check_size(note: bytes) -> None:
    if len(note) > MAX_ENTRY:
        raise EntryTooLargeError(f"an entry is at most {MAX_ENTRY} bytes, not {len(note)}")


def _envelope(kind: Kind, value: Any) -> Envelope:
    if not isinstance(value, dict) or value.keys() != _FIELDS:
        raise EntryFormatError(f"an envelope's fields are exactly {', '.join(sorted(_FIELDS))}")
    days = value["day"], value["expires"]
    if not all(isinstance(day, str) for day in days):
        raise EntryFormatError("an envelope's days are strings")
    return Envelope(
        kind=kind,
        mesh=value["mesh"],
        version=value["version"],
        day=parse_day(value["day"]),
        expires=parse_day(value["expires"]),
        body=value["body"],
    )
