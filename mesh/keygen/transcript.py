"""The transcript of a key generation: all notes that counted, in one canonical file.

    signal-mesh/v1/keygen-transcript
    {"ceremony": …, "notes": [deals by dealer and digest, then verdicts by founder and digest]}

It is public: payloads in it are sealed to their receivers. Its SHA-256 stands in the constraints.
"""

from hashlib import sha256
from typing import Annotated, ClassVar, Final

from pydantic import Field

from mesh.document import document_text, read_document
from mesh.errors import MeshError
from mesh.keygen.errors import TranscriptError
from mesh.keygen.notes import OpenedNote
from mesh.keygen.outcome import Notes
from mesh.keygen.proposal import KeygenProposal
from mesh.model import Digest, Model

TRANSCRIPT_KIND: Final = "keygen-transcript"
MAX_TRANSCRIPT: Final = 16_777_216
"""Longest transcript in bytes."""


class _TranscriptBody(Model):
    format_error: ClassVar[type[MeshError]] = TranscriptError

    ceremony: Digest
    notes: Annotated[tuple[str, ...], Field(strict=False)]


def write_transcript(proposal: KeygenProposal, notes: Notes) -> bytes:
    """Write the one transcript of these notes."""
    opened: list[OpenedNote] = []
    for dealer in sorted(notes.deals):
        opened += sorted(notes.deals[dealer], key=lambda deal: deal.digest)
    for founder in sorted(notes.verdicts):
        opened += sorted(notes.verdicts[founder], key=lambda verdict: verdict.digest)
    body = {"ceremony": proposal.ceremony, "notes": [each.note.decode() for each in opened]}
    return document_text(TRANSCRIPT_KIND, body).encode()


def read_transcript(proposal: KeygenProposal, transcript: bytes) -> list[bytes]:
    """The notes in a transcript. Nothing in them is verified, nor is their order.

    :raises TranscriptError: not a transcript, or that of another key generation.
    :raises MeshError: not strict JSON.
    """
    try:
        text = transcript.decode()
    except UnicodeDecodeError:
        raise TranscriptError("a transcript is UTF-8") from None
    value = read_document(text, TRANSCRIPT_KIND, max_bytes=MAX_TRANSCRIPT, error=TranscriptError)
    body = _TranscriptBody.parse(value)
    if body.ceremony != proposal.ceremony:
        raise TranscriptError("the transcript is that of another key generation")
    return [note.encode() for note in body.notes]


def transcript_digest(transcript: bytes) -> str:
    """What the constraints say of a transcript: its SHA-256, hex."""
    return sha256(transcript).hexdigest()
