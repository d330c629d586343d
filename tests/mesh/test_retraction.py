import json
from typing import Any

import pytest

from mesh.errors import BodyError, MeshError
from mesh.retraction import (
    RetractionFormatError,
    UnknownReasonError,
    compose_retraction,
    parse_retraction,
)
from mesh.strictjson import DuplicateKeyError, JSONSizeError
from mesh.taxonomy import RetractionReason

TARGET = "ab" * 32


@pytest.mark.parametrize("reason", list(RetractionReason))
def test_a_retraction_is_read_as_written(reason: RetractionReason) -> None:
    for given in (reason, reason.value):
        body = compose_retraction(TARGET, given)
        assert json.loads(body) == {"target": TARGET, "reason": reason.value}
        read = parse_retraction(body)
        assert (read.target, read.reason) == (TARGET, reason)
        assert isinstance(read.reason, RetractionReason)


def test_composing_checks() -> None:
    with pytest.raises(UnknownReasonError):
        compose_retraction(TARGET, "regret")
    with pytest.raises(RetractionFormatError):
        compose_retraction("ab", "mistake")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"target": TARGET}, RetractionFormatError),
        ({"reason": "mistake"}, RetractionFormatError),
        ({"target": TARGET, "reason": "mistake", "note": ""}, RetractionFormatError),
        ({"target": TARGET.upper(), "reason": "mistake"}, RetractionFormatError),
        ({"target": None, "reason": "mistake"}, RetractionFormatError),
        ({"target": TARGET, "reason": "Mistake"}, UnknownReasonError),
        ({"target": TARGET, "reason": None}, RetractionFormatError),
        ({"target": TARGET, "reason": ["mistake"]}, RetractionFormatError),
        ([], RetractionFormatError),
        (TARGET, RetractionFormatError),
    ],
)
def test_refused(value: Any, error: type[MeshError]) -> None:
    with pytest.raises(error):
        parse_retraction(json.dumps(value).encode())
    assert issubclass(error, BodyError)


def test_strict_json() -> None:
    body = compose_retraction(TARGET, "mistake")
    with pytest.raises(DuplicateKeyError):
        parse_retraction(body[:-1] + b',"reason":"legal"}')
    with pytest.raises(JSONSizeError):
        parse_retraction(body, len(body) - 1)
