"""Strict JSON: the one subset that every implementation reads alike.

Values are null, booleans, strings, integers of magnitude up to 2^53 - 1, arrays and objects.
Whatever two parsers might read differently is refused: duplicate keys, fractions and exponents,
NaN, "-0", lone surrogates, a byte order mark, deep nesting. RFC 8259, section 4, 6 and 8 name
these as the places where implementations differ; RFC 7493 (I-JSON) draws the same lines, this
module draws them tighter (no fractions at all).

Nesting is counted before parsing, so that no input can exhaust the parser's stack.
"""

import json
import re
from typing import Any, Final, NoReturn

from mesh.errors import MeshError

MAX_BYTES: Final = 65_535
"""Size limit in bytes when the caller names none: what one log entry can hold."""

MAX_DEPTH: Final = 16
"""Nesting limit when the caller names none."""

MAX_INTEGER: Final = 2**53 - 1
"""Largest magnitude that every JSON reader holds exactly (RFC 7493, section 2.2)."""

_MAX_INTEGER_DIGITS = len(str(MAX_INTEGER))

# A whole string, or a string that the input ends in. Possessive, so that no input makes it
# quadratic.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_BOM = b"\xef\xbb\xbf"


class StrictJSONError(MeshError):
    """The input is not strict JSON."""


class JSONSizeError(StrictJSONError):
    """The input is longer than allowed; it is refused before it is parsed."""


class JSONEncodingError(StrictJSONError):
    """The input is not plain UTF-8: a byte order mark, a bad sequence, or a lone surrogate."""


class JSONDepthError(StrictJSONError):
    """The input nests deeper than allowed: it would exhaust a recursive parser."""


class JSONSyntaxError(StrictJSONError):
    """The input is not JSON, or something follows the value."""


class DuplicateKeyError(StrictJSONError):
    """An object has one key twice: two readers could see two different documents."""


class JSONNumberError(StrictJSONError):
    """A number is not an integer of magnitude up to 2^53 - 1."""


class JSONTypeError(StrictJSONError):
    """A Python value has no strict JSON form."""


def loads(data: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Parse one value of strict JSON.

    :param max_bytes: longest input accepted, in bytes.
    :param max_depth: deepest nesting of arrays and objects accepted.
    :raises StrictJSONError: one of its subclasses says why the input was refused.
    """
    if len(data) > max_bytes:
        raise JSONSizeError(f"{len(data)} bytes of JSON; at most {max_bytes} are accepted")
    if data.startswith(_BOM):
        raise JSONEncodingError("remove the byte order mark")
    check_depth(data, max_depth)
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise JSONEncodingError(f"not UTF-8 at byte {error.start}") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise JSONSyntaxError(f"{error.msg} at character {error.pos}") from None
    # A lone surrogate can only come in as an escape: the bytes themselves were valid UTF-8.
    if b"\\u" in data:
        _check_surrogates(value)
    return value


def dumps(value: Any) -> bytes:
    """Encode a value canonically: sorted keys, no spaces, UTF-8 without escapes of its own.

    `loads` accepts whatever this returns (within its limits of size and depth).

    :raises StrictJSONError: the value holds something that strict JSON has no form for.
    """
    _check_value(value)
    try:
        return _ENCODER.encode(value).encode("utf-8", "strict")
    except UnicodeEncodeError:
        raise JSONEncodingError("a string holds a lone surrogate") from None


def check_depth(data: bytes, max_depth: int) -> None:
    """Count the nesting of JSON text before it is parsed: a parser's stack can overflow.

    :raises JSONDepthError: arrays and objects nest deeper than allowed.
    """
    # Almost every document has fewer brackets in all than the limit allows nested.
    if data.count(b"{") + data.count(b"[") <= max_depth:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", data)):
        if bracket in b"[{":
            depth += 1
            if depth > max_depth:
                raise JSONDepthError(f"nested deeper than {max_depth}")
        else:
            depth -= 1


def _check_surrogates(value: Any) -> None:
    if isinstance(value, str):
        try:
            value.encode("utf-8", "strict")
        except UnicodeEncodeError:
            raise JSONEncodingError("a string holds a lone surrogate") from None
    elif isinstance(value, list):
        for item in value:
            _check_surrogates(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_surrogates(key)
            _check_surrogates(item)


def _check_value(value: Any) -> None:
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise JSONNumberError("integer past 2^53 - 1")
    elif isinstance(value, list | tuple):
        for item in value:
            _check_value(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise JSONTypeError(f"object key of type {type(key).__name__}")
            _check_value(item)
    else:
        raise JSONTypeError(f"{type(value).__name__} has no strict JSON form")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise DuplicateKeyError("an object holds the same key twice")
    return value


def _integer(digits: str) -> int:
    # The length is checked first: converting a long number costs time that grows with its square.
    if len(digits) > _MAX_INTEGER_DIGITS + 1 or digits == "-0":
        raise JSONNumberError("integer past 2^53 - 1, or a negative zero")
    value = int(digits)
    if abs(value) > MAX_INTEGER:
        raise JSONNumberError("integer past 2^53 - 1")
    return value


def _no_fraction(number: str) -> NoReturn:
    raise JSONNumberError("a number has a fraction or an exponent; only integers are accepted")


def _no_constant(name: str) -> NoReturn:
    raise JSONNumberError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_no_fraction,
    parse_constant=_no_constant,
    strict=True,
)
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)
