"""JSON as gateways send it: fractions, deep nesting, any fields. Only what is ambiguous is refused.

The mesh's own requests are strict (`mesh.strictjson`), so that every implementation reads them
alike. Here the reader is this node alone, and a gateway can't be told how to write.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from mesh.strictjson import (
    DuplicateKeyError,
    JSONEncodingError,
    JSONNumberError,
    JSONSyntaxError,
    check_depth,
)

MAX_DEPTH: Final = 200
"""Deepest nesting of arrays and objects; schemas of tools nest deeper than one would think."""


def loads(data: bytes) -> Any:
    """Parse one value.

    :raises StrictJSONError: one of its subclasses says why not. No message quotes the input.
    """
    check_depth(data, MAX_DEPTH)
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise JSONEncodingError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise JSONSyntaxError(f"{error.msg} at character {error.pos}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise DuplicateKeyError("an object holds the same key twice")
    return value


def _integer(digits: str) -> int:
    # Long numbers take time that grows with their square; nothing here needs one.
    if len(digits) > 40:
        raise JSONNumberError("an integer of over 40 digits")
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    raise JSONNumberError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_constant=_no_constant, strict=False
)
