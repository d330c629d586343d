"""Retractions: an issuer withdraws its own signal."""

from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from mesh import strictjson
from mesh.errors import BodyFormatError, MeshError
from mesh.model import Digest, Model
from mesh.taxonomy import RETRACTION_REASONS, RetractionReason


class RetractionFormatError(BodyFormatError):
    """A retraction's fields are not exactly those of a retraction."""


class UnknownReasonError(RetractionFormatError):
    """A retraction's reason is none of the known ones."""


def _reason(reason: object) -> object:
    if isinstance(reason, str) and reason not in RETRACTION_REASONS:
        raise UnknownReasonError(f"a reason is one of {', '.join(RETRACTION_REASONS)}")
    return RetractionReason(reason) if isinstance(reason, str) else reason


class RetractionBody(Model):
    """The body of a retraction. It counts only in the log that holds its target.

    Its entry lives at least as long as its target's, or it is refused.
    """

    format_error: ClassVar[type[MeshError]] = RetractionFormatError

    target: Digest
    """Id of the signal withdrawn."""
    reason: Annotated[RetractionReason, BeforeValidator(_reason)]
    """Why it is withdrawn."""


def parse_retraction(body: bytes, max_bytes: int = strictjson.MAX_BYTES) -> RetractionBody:
    """Read a retraction's body.

    :param max_bytes: longest body accepted, in bytes.
    :raises StrictJSONError: it is not strict JSON, or too long.
    :raises RetractionFormatError: its fields are not exactly those of a retraction.
    """
    return RetractionBody.parse(strictjson.loads(body, max_bytes=max_bytes))


def compose_retraction(target: str, reason: RetractionReason | str) -> bytes:
    """Write a retraction's body.

    :param target: id of the signal to withdraw, hex.
    :raises RetractionFormatError: the target is not an entry id, or the reason is unknown.
    """
    return RetractionBody.parse({"target": target, "reason": reason}).encode()
