"""The root of every error that `mesh` raises, and the errors that several modules share.

Each is named for the attack or the condition that it stops. A message tells a person what to do and
never holds a secret: no prompt, no component score, no blinding factor, no private key. Errors of
one subject only (names, genesis, wire, ...) live in that subject's module.
"""


class MeshError(ValueError):
    """Something handed to `mesh` does not hold: malformed, out of place, or false."""


class FormatError(MeshError):
    """A document's fields are missing, unknown, of the wrong type, or out of range."""


class EntryError(MeshError):
    """An entry of a member's log can't be accepted."""


class EntryTooLargeError(EntryError):
    """An entry is over 65,535 bytes and would not fit a C2SP entry bundle."""


class EntryFormatError(EntryError):
    """An entry's text is not a kind line and one line of strict JSON with exactly its fields."""


class UnknownKindError(EntryError):
    """An entry's kind is not known to this version: keep it, look again after an upgrade."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(
            f"entry kind {kind!r} is not known to this version; the entry is kept and deferred"
        )


class ForeignMeshError(EntryError):
    """An entry was signed for another mesh: replaying it here must not count."""


class UnknownVersionError(EntryError):
    """An entry names a version of the constraints that is not in force here."""


class DateError(EntryError):
    """An entry's day or expiry day breaks the mesh's constraints."""


class DatedAheadError(DateError):
    """An entry is dated further ahead than the clock skew that the constraints allow."""


class ExpiryBeforeDayError(DateError):
    """An entry expires before the day that it is dated."""


class ExpiryTooFarError(DateError):
    """An entry would stay live for longer than the constraints allow."""


class ExpiryTooSoonError(DateError):
    """A promotion would end before the signals that could be published because of it."""


class BodyError(MeshError):
    """An entry's body can't be accepted."""


class BodyTooLargeError(BodyError):
    """A body is larger than the constraints allow."""


class BodyDigestError(BodyError):
    """Salt and body do not hash to the digest that the entry was signed with."""


class BodyFormatError(BodyError):
    """A body's fields are missing, unknown, of the wrong type, or out of range."""


class MissingBodyError(BodyError):
    """A peer holds the entry but did not hand over its body: ask again later."""


class SaltLengthError(BodyError):
    """A body's salt is not 32 bytes."""
