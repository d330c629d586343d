"""The fingerprint that is published of a text, and the query that asks for one."""

from bisect import bisect_left
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Final

from mesh.fingerprint.errors import EmptyTextError, NothingToPublishError
from mesh.fingerprint.identifiers import identifier_spans
from mesh.fingerprint.keys import SelectionKey, exact_input_of, input_of
from mesh.fingerprint.selection import FURTHER, MOST, WINDOW, Taking, candidates, order_hashes
from mesh.fingerprint.windowset import SHORT
from mesh.normalize import normalize, normalize_spans

CHUNK: Final = 4_000
"""Length of a chunk of a query in normalized characters."""

STEP: Final = 2_000
"""Normalized characters from the start of one chunk to that of the next."""


@dataclass(frozen=True)
class Fingerprint:
    """What stands for a text that is published: 1 to 32 different inputs, smallest order first."""

    exact: bool
    """The text is short: its one input is that of the whole text, which can only escalate."""
    inputs: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class Query:
    """What is asked about a text: for each chunk up to 32 different inputs.

    Tokens are counted within one chunk. A chunk may be empty, when all its windows are dropped; an
    input can be in two chunks.
    """

    exact: bool
    """The text is short: its first chunk is its exact input, the second its windows if it has any;
    it can only escalate."""
    chunks: tuple[tuple[bytes, ...], ...] = field(repr=False)
    length: int
    """Normalized characters of the text."""

    @property
    def inputs(self) -> tuple[bytes, ...]:
        """All inputs, each once, in order."""
        return tuple(dict.fromkeys(value for chunk in self.chunks for value in chunk))


def published_fingerprint(
    key: SelectionKey, text: str, *, drop: Container[bytes] = ()
) -> Fingerprint:
    """The fingerprint of a text that is to be published.

    :param drop: inputs that say nothing about an attack (`WindowSet` of the benign corpus).
    :raises EmptyTextError: nothing is left of the text when it is normalized.
    :raises NothingToPublishError: each window is dropped, or may hold an identifier.
    """
    normalized, marked = normalize_spans(text, identifier_spans(text))
    _check(normalized)
    if len(normalized) < SHORT:
        inputs = _exact(key, normalized, drop)
    else:
        hashes = order_hashes(key, normalized)
        private = _overlapped(marked, len(hashes))
        taking = Taking(hashes, range(len(hashes)), _kept_input(key, normalized, drop))
        taking.apart(at for at in candidates(hashes) if not private[at])
        if not taking.full:
            rest = [at for at in range(len(hashes)) if not private[at]]
            taking.apart(taking.ordered(rest)[:FURTHER])
        inputs = taking.inputs
    if not inputs:
        raise NothingToPublishError(
            "nothing of this text can be published: all of it is in the benign corpus or may be an"
            " identifier (addresses, numbers, keys); report it without them if it is an attack"
        )
    return Fingerprint(len(normalized) < SHORT, inputs)


def query_fingerprint(key: SelectionKey, text: str, *, drop: Container[bytes] = ()) -> Query:
    """What to ask about a text.

    :param drop: inputs that say nothing about an attack: the benign corpus, one's own templates.
    :raises EmptyTextError: nothing is left of the text when it is normalized.
    """
    normalized = normalize(text)
    _check(normalized)
    length = len(normalized)
    if length < SHORT:
        chunks = (_exact(key, normalized, drop), _short_windows(key, normalized, drop))
        return Query(True, chunks if length >= WINDOW else chunks[:1], length)
    hashes = order_hashes(key, normalized)
    places = candidates(hashes)
    input_at = _kept_input(key, normalized, drop)
    found = []
    for start in range(0, max(length - CHUNK, 0) + STEP, STEP):
        span = range(start, min(start + CHUNK - WINDOW + 1, len(hashes)))
        taking = Taking(hashes, span, input_at)
        taking.apart(places[bisect_left(places, span.start) : bisect_left(places, span.stop)])
        if not taking.full:
            further = taking.ordered(span)[:FURTHER]
            taking.apart(further)
            taking.any(further)
        found.append(taking.inputs)
    return Query(False, tuple(found), length)


def _short_windows(key: SelectionKey, normalized: str, drop: Container[bytes]) -> tuple[bytes, ...]:
    """The windows of a short text: a part of a long one may be all that is left of it.

    One fewer than otherwise, so that they are evaluated in one batch with the exact input.
    """
    hashes = order_hashes(key, normalized)
    taking = Taking(hashes, range(len(hashes)), _kept_input(key, normalized, drop))
    taking.apart(candidates(hashes))
    further = taking.ordered(range(len(hashes)))[:FURTHER]
    taking.apart(further)
    taking.any(further)
    return taking.inputs[: MOST - 1]


def _check(normalized: str) -> None:
    if not normalized:
        raise EmptyTextError("the text holds no letter and no digit; there is nothing to match")


def _exact(key: SelectionKey, normalized: str, drop: Container[bytes]) -> tuple[bytes, ...]:
    value = exact_input_of(key, normalized)
    return () if value in drop else (value,)


def _kept_input(
    key: SelectionKey, normalized: str, drop: Container[bytes]
) -> Callable[[int], bytes | None]:
    known: dict[int, bytes | None] = {}

    def input_at(at: int) -> bytes | None:
        if at not in known:
            value = input_of(key, normalized[at : at + WINDOW])
            known[at] = None if value in drop else value
        return known[at]

    return input_at


def _overlapped(marked: tuple[tuple[int, int], ...], windows: int) -> bytearray:
    """For each window, whether it overlaps a marked part."""
    private = bytearray(windows)
    for start, end in marked:
        if start < end:
            first, last = max(0, start - WINDOW + 1), min(end, windows)
            private[first:last] = b"\1" * max(0, last - first)
    return private
