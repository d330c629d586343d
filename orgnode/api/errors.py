"""From an error to an answer: its HTTP status and `{"error": {"code", "message", "hint"}}`.

The code is the class's name, wherever in the project the error was raised, so that what a caller
sees, what the log says and what the source says are one word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from pydantic import ValidationError

from mesh.breaker import PersonDecidedError, ShadowFullError
from mesh.errors import MeshError
from mesh.strictjson import JSONSizeError, StrictJSONError
from orgnode.api.models import ErrorAnswer, Problem
from orgnode.checking import TokenNotInShadowError, UnknownCheckError
from orgnode.derived import ParentError, UnknownParentError
from orgnode.errors import OrgnodeError
from orgnode.evaluating.errors import CommitteeUnreachableError, EvaluationBudgetError
from orgnode.federation.errors import ForkedSelfError, OwnQuotaError, RecoveringError
from orgnode.feed import TooManySubscribersError
from orgnode.ownlog import LogClosedError
from orgnode.publisher import (
    CooldownError,
    NotLiveError,
    NotYourSignalError,
    OwnSightingError,
    UnknownSignalError,
)
from orgnode.store import (
    StoreBusyError,
    StoreClosedError,
    StoreDamagedError,
    StoreFullError,
    StoreReadOnlyError,
)
from orgnode.workers import WorkerDiedError
from proofs.errors import ProofsError


class RequestError(OrgnodeError):
    """A request that the local API does not serve. `status` is the answer's HTTP status."""

    status: ClassVar[int] = 400


class UnauthorizedError(RequestError):
    """The request has no bearer token, or a wrong one."""

    status = 401


class HostNotAllowedError(RequestError):
    """The Host header names another host: a web page that rebound its name to this address."""

    status = 421


class UnknownRouteError(RequestError):
    """There is nothing at this path."""

    status = 404


class MethodNotAllowedError(RequestError):
    """The path exists, but not for this method."""

    status = 405


class NotJSONError(RequestError):
    """The body is not declared as JSON; a form that a web page posts never is."""

    status = 415


class ContentEncodingError(RequestError):
    """The body is compressed; a small one can inflate to a large one."""

    status = 415


class RequestTooLargeError(RequestError):
    """The body is larger than the API takes."""

    status = 413


class RequestTooSlowError(RequestError):
    """The body did not arrive in time."""

    status = 408


class InvalidQueryError(RequestError):
    """A query parameter is unknown, repeated or out of range."""


class InvalidLastEventIdError(RequestError):
    """`Last-Event-ID` is not an id that this feed gave out."""


class InvalidRequestError(RequestError):
    """The body is JSON but not what this route takes; names the fields, never their values."""

    status = 422


class ComponentNamesError(RequestError):
    """The components are not those of the mesh's rubric."""

    status = 422


class NotCoveredError(RequestError):
    """A signal is held, but not yet a whole log up to a checkpoint that covers it."""

    status = 503


class ErasedError(RequestError):
    """The signal's content was erased, so that only its digest is left."""

    status = 410


_STATUS: Final[Sequence[tuple[type[Exception], int]]] = (
    (JSONSizeError, 413),
    (StrictJSONError, 400),
    (UnknownSignalError, 404),
    (NotYourSignalError, 403),
    (OwnSightingError, 403),
    (NotLiveError, 409),
    (CooldownError, 409),
    (UnknownParentError, 404),
    (ParentError, 409),
    (UnknownCheckError, 404),
    (TokenNotInShadowError, 404),
    (PersonDecidedError, 409),
    (ShadowFullError, 409),
    (LogClosedError, 503),
    # Nothing may be signed now: see the hint, and try again.
    (RecoveringError, 503),
    (ForkedSelfError, 503),
    (OwnQuotaError, 429),
    (TooManySubscribersError, 503),
    (WorkerDiedError, 503),
    (CommitteeUnreachableError, 503),
    (EvaluationBudgetError, 429),
    # Conditions of the disk: nothing was kept, and trying again later may work.
    (StoreFullError, 503),
    (StoreReadOnlyError, 503),
    (StoreBusyError, 503),
    (StoreDamagedError, 503),
    (StoreClosedError, 503),
)

_HINTS: Final[dict[str, str]] = {
    "BelowThresholdError": "claim a lower band, leave `band` out, or check the scores",
    "NoBandError": "check the scores; what reaches no band is nothing to warn others of",
    "ComponentRangeError": "check the scores; nothing was kept or published",
    "UnknownCategoryError": "use one of these hazard codes",
    "TechniqueFormatError": "the MITRE ATLAS matrix lists them; AML.T0054 is a jailbreak",
    "UnknownBarrierError": "leave `barrier` out, or use one of these",
    "DampenedAwayError": "nothing was published; who met the attack reports it without "
    "`derived_from`",
    "PersonDecidedError": "a person can change it: `orgnode breaker judge`",
    "ShadowFullError": "`orgnode breaker` lists them; `orgnode breaker lift` has one block again",
    "EmptyTextError": "give the prompt that was met",
    "DuplicateKeyError": "send each key once",
    "JSONNumberError": "send integers without fraction or exponent, up to 2^53 - 1",
    "JSONEncodingError": "send UTF-8, and replace lone surrogates in the text by U+FFFD",
    "JSONSizeError": "send at most 1 MiB at once; split the batch",
    "JSONSyntaxError": "send one JSON object",
}


def status_of(error: Exception, method: str) -> int:
    """Return the HTTP status for an error that a handler raised.

    What `mesh` and `proofs` refuse is the caller's input in a POST; anywhere else it would be the
    node's own data, which is the node's fault.
    """
    if isinstance(error, RequestError):
        return error.status
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    if isinstance(error, MeshError | ProofsError) and method == "POST":
        return 422
    return 500


def problem(error: Exception) -> Problem:
    """Describe an expected error. Its message is safe to show: the error's class promises it."""
    code = type(error).__name__
    hint = getattr(error, "hint", "") or _HINTS.get(code, "")
    return Problem(code=code, message=str(error), hint=hint)


def internal() -> ErrorAnswer:
    """Describe an unexpected error, whose message nobody vouches for: not at all."""
    return ErrorAnswer(
        error=Problem(
            code="InternalError",
            message="the node failed while it handled this request",
            hint="look for `api.failed` in the node's log; it names the place",
        )
    )


def fields_of(error: ValidationError) -> str:
    """Say which fields do not hold and why, without any value."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    said = [
        f"{'.'.join(str(part)[:40] for part in one['loc'][:6]) or 'body'}: {one['msg']}"
        for one in found[:5]
    ]
    more = len(found) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "")
