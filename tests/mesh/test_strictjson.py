import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.strictjson import (
    MAX_INTEGER,
    DuplicateKeyError,
    JSONDepthError,
    JSONEncodingError,
    JSONNumberError,
    JSONSizeError,
    JSONSyntaxError,
    JSONTypeError,
    StrictJSONError,
    dumps,
    loads,
)

text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_is_dumped_is_loaded_again(value: Any) -> None:
    assert loads(dumps(value), max_depth=64) == value


@given(values)
def test_one_value_has_one_encoding(value: Any) -> None:
    data = dumps(value)
    assert dumps(loads(data, max_depth=64)) == data
    # Independent of order and of how another writer spaces and escapes.
    assert dumps(loads(json.dumps(value, indent=1).encode(), max_depth=64)) == data


@given(
    st.binary(max_size=60)
    | st.text('[]{}":,0123456789.eE+-\\u d8nulltrue', max_size=40).map(str.encode)
)
def test_any_bytes_are_read_or_refused_by_name(data: bytes) -> None:
    try:
        value = loads(data)
    except StrictJSONError:
        return
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"null", None),
        (b"0", 0),
        (b" [1, -2] ", [1, -2]),
        (str(MAX_INTEGER).encode(), MAX_INTEGER),
        (str(-MAX_INTEGER).encode(), -MAX_INTEGER),
        ('"é🔒"'.encode(), "é🔒"),
        (rb'"\ud83d\udd12"', "🔒"),
        (rb'"\\ud800"', r"\ud800"),
        (b'{"a":{"b":1},"c":{"b":2}}', {"a": {"b": 1}, "c": {"b": 2}}),
        (b'"' + b"[" * 1000 + b'"', "[" * 1000),
        (b'"a\\"' + b"{" * 1000 + b'"', 'a"' + "{" * 1000),
    ],
)
def test_accepts(data: bytes, value: Any) -> None:
    assert loads(data) == value


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b'{"a":1,"a":1}', DuplicateKeyError),
        (b'{"a":1,"\\u0061":2}', DuplicateKeyError),
        (b'[{"x":{"a":1,"a":2}}]', DuplicateKeyError),
        (b"NaN", JSONNumberError),
        (b"[Infinity]", JSONNumberError),
        (b"-Infinity", JSONNumberError),
        (b"1.0", JSONNumberError),
        (b"1e400", JSONNumberError),
        (b"1E2", JSONNumberError),
        (b"1" + b"0" * 400, JSONNumberError),
        (b"-1" + b"0" * 400, JSONNumberError),
        (b"1" * 60_000, JSONNumberError),
        (str(2**53).encode(), JSONNumberError),
        (str(-(2**53)).encode(), JSONNumberError),
        (b"-0", JSONNumberError),
        (rb'"\ud800"', JSONEncodingError),
        (rb'"\udc00\ud800"', JSONEncodingError),
        (rb'{"\ud800":1}', JSONEncodingError),
        (rb'[["a\uDFFF"]]', JSONEncodingError),
        (b'"\xed\xa0\x80"', JSONEncodingError),
        (b'"\xc0\x80"', JSONEncodingError),
        (b'"\xff"', JSONEncodingError),
        (b"\xef\xbb\xbf{}", JSONEncodingError),
        ("[1]".encode("utf-16"), JSONEncodingError),
        (b"", JSONSyntaxError),
        (b"{} {}", JSONSyntaxError),
        (b"{}x", JSONSyntaxError),
        (b"{}\x00", JSONSyntaxError),
        (b"[1,]", JSONSyntaxError),
        (b"{'a':1}", JSONSyntaxError),
        (b'"a\nb"', JSONSyntaxError),
        (b"01", JSONSyntaxError),
        (b"+1", JSONSyntaxError),
        (b".5", JSONSyntaxError),
        ("١".encode(), JSONSyntaxError),
        (b"\xc2\xa0[]", JSONSyntaxError),
        (b"// c\n1", JSONSyntaxError),
        (b"[" * 100_000 + b"]" * 100_000, JSONSizeError),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, JSONDepthError),
        (b"[" * 17 + b"]" * 17, JSONDepthError),
        (b" " * 65_535 + b"1", JSONSizeError),
    ],
)
def test_refuses(data: bytes, error: type[StrictJSONError]) -> None:
    with pytest.raises(error):
        loads(data)


def test_nesting_is_counted_before_parsing() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(JSONDepthError):
        loads(deep, max_bytes=len(deep))
    with pytest.raises(JSONDepthError):
        loads(b"[" * 65_535)
    assert loads(b"[" * 16 + b"]" * 16) is not None
    siblings = b"[" + b",".join([b"[]"] * 1000) + b"]"
    assert len(loads(siblings)) == 1000


@pytest.mark.parametrize("unit", [b'\\"', b'"', b'"\\', b"\\", b'["', b'[\\"'])
def test_counting_is_linear_in_unfinished_strings(unit: bytes) -> None:
    # Seconds if quadratic: 2 MB of escaped quotes without an end.
    data = b'["' + unit * (2_000_000 // len(unit)) + b"[" * 20
    with pytest.raises(StrictJSONError):
        loads(data, max_bytes=len(data))


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (1.0, JSONTypeError),
        (float("nan"), JSONTypeError),
        (b"x", JSONTypeError),
        ({1: 2}, JSONTypeError),
        ({"a": [object()]}, JSONTypeError),
        (2**53, JSONNumberError),
        ("\ud800", JSONEncodingError),
        ({"\udfff": 1}, JSONEncodingError),
    ],
)
def test_dumps_refuses_what_loads_would(value: Any, error: type[StrictJSONError]) -> None:
    with pytest.raises(error):
        dumps(value)


def test_canonical_form() -> None:
    assert dumps({"b": [True, None], "a": "é\n"}) == '{"a":"é\\n","b":[true,null]}'.encode()
