"""Sightings: a person at one organization confirms or denies what another published.

A sighting of a signal of one's own control group says nothing. Whose the target is, is known only
where sightings are counted: it stands in another log, which may not have come in yet.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from mesh import strictjson
from mesh.errors import BodyFormatError, MeshError
from mesh.model import Digest, Model


class SightingFormatError(BodyFormatError):
    """A sighting's fields are not exactly those of a sighting."""


class UnknownVerdictError(SightingFormatError):
    """A sighting's verdict is neither of the two."""


class Verdict(StrEnum):
    """What a person says of a signal."""

    CONFIRM = "confirm"
    """It is an attack."""
    DENY = "deny"
    """It is none, or not of this kind."""


def _verdict(verdict: object) -> object:
    if isinstance(verdict, str) and verdict not in tuple(Verdict):
        raise UnknownVerdictError(f"a verdict is one of {', '.join(Verdict)}")
    return Verdict(verdict) if isinstance(verdict, str) else verdict


class SightingBody(Model):
    """The body of a sighting. A member's newest one of a signal counts."""

    format_error: ClassVar[type[MeshError]] = SightingFormatError

    target: Digest
    """Id of the signal that was looked at."""
    verdict: Annotated[Verdict, BeforeValidator(_verdict)]


def parse_sighting(body: bytes, max_bytes: int = strictjson.MAX_BYTES) -> SightingBody:
    """Read a sighting's body.

    :param max_bytes: longest body accepted, in bytes.
    :raises StrictJSONError: it is not strict JSON, or too long.
    :raises SightingFormatError: its fields are not exactly those of a sighting.
    """
    return SightingBody.parse(strictjson.loads(body, max_bytes=max_bytes))


def compose_sighting(target: str, verdict: Verdict | str) -> bytes:
    """Write a sighting's body.

    :param target: id of the signal that was looked at, hex.
    :raises SightingFormatError: the target is not an entry id, or the verdict is unknown.
    """
    return SightingBody.parse({"target": target, "verdict": verdict}).encode()
