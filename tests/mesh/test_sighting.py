import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import BodyError, MeshError
from mesh.sighting import (
    SightingFormatError,
    UnknownVerdictError,
    Verdict,
    compose_sighting,
    parse_sighting,
)
from mesh.strictjson import DuplicateKeyError, JSONSizeError, StrictJSONError

TARGET = "ab" * 32


@pytest.mark.parametrize("verdict", ["confirm", "deny"])
def test_a_sighting_is_read_again(verdict: str) -> None:
    body = compose_sighting(TARGET, verdict)
    assert body == b'{"target":"%s","verdict":"%s"}' % (TARGET.encode(), verdict.encode())
    read = parse_sighting(body)
    assert (read.target, read.verdict) == (TARGET, Verdict(verdict))
    assert str(read.verdict) == verdict
    assert compose_sighting(TARGET, Verdict(verdict)) == body
    assert read.encode() == body


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"target":"%s"}' % TARGET.encode(), SightingFormatError),
        (b'{"verdict":"confirm"}', SightingFormatError),
        (b'{"target":"%s","verdict":"maybe"}' % TARGET.encode(), UnknownVerdictError),
        (b'{"target":"%s","verdict":"CONFIRM"}' % TARGET.encode(), UnknownVerdictError),
        (b'{"target":"%s","verdict":""}' % TARGET.encode(), UnknownVerdictError),
        (b'{"target":"%s","verdict":1}' % TARGET.encode(), SightingFormatError),
        (b'{"target":"%s","verdict":null}' % TARGET.encode(), SightingFormatError),
        (b'{"target":"%s","verdict":true}' % TARGET.encode(), SightingFormatError),
        (b'{"target":"%s","verdict":"deny"}' % (b"AB" * 32), SightingFormatError),
        (b'{"target":"ab","verdict":"deny"}', SightingFormatError),
        (b'{"target":null,"verdict":"deny"}', SightingFormatError),
        (b'{"target":"%s","verdict":"deny","why":"x"}' % TARGET.encode(), SightingFormatError),
        (
            b'{"target":"%s","verdict":"deny","verdict":"confirm"}' % TARGET.encode(),
            DuplicateKeyError,
        ),
        (b"[]", SightingFormatError),
        (b"", StrictJSONError),
    ],
)
def test_refused(body: bytes, error: type[MeshError]) -> None:
    with pytest.raises(error):
        parse_sighting(body)


def test_what_is_composed_is_checked() -> None:
    with pytest.raises(UnknownVerdictError):
        compose_sighting(TARGET, "perhaps")
    with pytest.raises(SightingFormatError):
        compose_sighting("ab", Verdict.DENY)
    assert issubclass(SightingFormatError, BodyError)


def test_size_limit() -> None:
    body = compose_sighting(TARGET, "deny")
    with pytest.raises(JSONSizeError):
        parse_sighting(body, len(body) - 1)
    assert parse_sighting(body, len(body))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(MeshError):
        parse_sighting(data)
