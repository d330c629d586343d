"""Answers of the federation protocol, apart from what carries them.

A `Reply` is what a member is answered: over HTTP, or in the memory of a simulator. This module has
both ends of it: how one is made, and what the asker makes of one that is not 200. Refusals are JSON
that names the condition. Only `add-checkpoint` has a status with a body of another kind: 409 with
the size that the witness cosigned last (C2SP tlog-witness).
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from mesh.days import Day, DayFormatError, parse_day
from mesh.strictjson import StrictJSONError, loads
from orgnode.federation.errors import AnswerTooLargeError, PeerAnswerError
from orgnode.federation.limits import KIB

TEXT = "text/plain"
OCTETS = "application/octet-stream"
JSON = "application/json"
TLOG_SIZE = "text/x.tlog.size"

NEVER = "no-store"
# A log only grows, so a tile of a given width never changes; a body can be erased at any time.
FOR_EVER = "private, max-age=31536000, immutable"

MAX_REFUSAL = 4 * KIB

NOT_SERVED = "NotServedError"
"""Code of a 404 that says: I do not hold this. Other codes say nothing about what is held."""

_CODE = re.compile(r"[A-Za-z]{1,64}", re.ASCII)
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


@dataclass(frozen=True)
class Reply:
    """One answer: its HTTP status, the media type of its body, the body, further headers."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


ReadBody = Callable[[int], Awaitable[bytes]]
"""Gives a request's body; raises RefusedError (413) if it has more bytes than the argument."""


class RefusedError(Exception):
    """A request is not granted; `code` names why. Never leaves the federation's own code."""

    def __init__(self, status: int, code: str, message: str, *, resets: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.resets = resets

    @property
    def reply(self) -> Reply:
        """The answer that says so."""
        error = {"code": self.code, "message": str(self)}
        if self.resets is not None:
            error["resets"] = self.resets
        return json_reply({"error": error}, self.status)


def octets_reply(data: bytes, cache_control: str = NEVER) -> Reply:
    """A 200 with plain bytes."""
    return Reply(200, OCTETS, data, {"Cache-Control": cache_control})


def note_reply(note: bytes) -> Reply:
    """A 200 with a signed note, or with signature lines of one."""
    return Reply(200, TEXT, note, {"Cache-Control": NEVER})


def json_reply(value: object, status: int = 200) -> Reply:
    """An answer in JSON."""
    data = json.dumps(value, separators=(",", ":")).encode()
    return Reply(status, JSON, data, {"Cache-Control": NEVER})


def stale_size_reply(size: int) -> Reply:
    """409: the witness cosigned this log at another size last (C2SP tlog-witness)."""
    return Reply(409, TLOG_SIZE, b"%d\n" % size, {"Cache-Control": NEVER})


def too_large(cap: int) -> RefusedError:
    """413: the body of a request has more than `cap` bytes."""
    return RefusedError(413, "RequestTooLargeError", f"at most {cap} bytes are taken")


def body_reader(body: bytes | None) -> ReadBody:
    """What `FederationService` reads a body with, when it is in memory already."""

    async def read(cap: int) -> bytes:
        data = body or b""
        if len(data) > cap:
            raise too_large(cap)
        return data

    return read


def unwrap(peer: str, reply: Reply, cap: int) -> bytes:
    """The body of a 200 of at most `cap` bytes; what a line without HTTP hands its caller.

    :raises AnswerTooLargeError, PeerAnswerError: see `refusal`.
    """
    if reply.status != 200:
        raise refusal(peer, reply.status, reply.content_type, reply.body)
    if len(reply.body) > cap:
        raise answer_too_large(peer, cap)
    return reply.body


def answer_too_large(peer: str, cap: int) -> AnswerTooLargeError:
    """An answer has more bytes than the largest true one."""
    return AnswerTooLargeError(f"{peer} answers with more than {cap} bytes")


def refusal(peer: str, status: int, content_type: str, body: bytes) -> PeerAnswerError:
    """The error for an answer that is not 200. Of the body only well-formed names are taken over.

    :param body: at most MAX_REFUSAL bytes of it; empty if it can't be read.
    """
    told, resets = _named(body)
    named = f" ({told})" if told else ""
    return PeerAnswerError(
        f"{peer} answered {status}{named}",
        status=status,
        told=told,
        resets=resets,
        size=_size(body) if (status, content_type) == (409, TLOG_SIZE) else None,
    )


def _size(body: bytes) -> int | None:
    match = _SIZE.fullmatch(body)
    return None if match is None else int(match[1])


def _named(data: bytes) -> tuple[str | None, Day | None]:
    """The error's name and the day in a peer's refusal, if well formed; never any other text."""
    try:
        value = loads(data, max_bytes=MAX_REFUSAL, max_depth=3)
    except StrictJSONError:
        return None, None
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return None, None
    code, day = error.get("code"), error.get("resets")
    told = code if isinstance(code, str) and _CODE.fullmatch(code) else None
    try:
        return told, parse_day(day) if isinstance(day, str) else None
    except DayFormatError:
        return told, None
