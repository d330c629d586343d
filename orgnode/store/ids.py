"""Ids and tokens as callers write them, in hex, and as tables hold them."""

from __future__ import annotations

from collections.abc import Iterable


def digest(value: str) -> bytes:
    """The digest that is written so; the empty one, which nothing has, if it is no hex."""
    try:
        return bytes.fromhex(value)
    except ValueError:
        return b""


def digests(values: Iterable[str]) -> list[bytes]:
    """The digests, each once: one that is in two batches would be found twice."""
    return list(dict.fromkeys(digest(value) for value in values))
