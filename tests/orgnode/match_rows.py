"""Entries as a node stores them after it has accepted them, with chosen tokens and no proofs.

What is tested with them is storing and counting only. `Shelf` appends them to any member's log.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import count
from typing import Any

from mesh.assessment import Outcome
from mesh.days import Day
from mesh.evidence import Evidence, EvidenceKind
from mesh.following import FollowerState
from mesh.promotion import PromotedWindow, PromotionBody
from mesh.sighting import SightingBody
from mesh.signal import SeverityClaim, SignalBody
from mesh.testing import TODAY
from mesh.wire import MISSING, Present
from orgnode.store import LogRow, Store
from proofs.merkle import leaf_hash

_number = count()


def digest(name: object) -> str:
    """Any digest, the same for the same name."""
    return sha256(repr(name).encode()).hexdigest()


def a_row(kind: str, body: bytes, **fields: Any) -> LogRow:
    """A distinct accepted entry, for index 0."""
    note = b"entry %d" % next(_number)
    row = LogRow(
        index=0,
        entry_id=leaf_hash(note).hex(),
        leaf=leaf_hash(note),
        note=note,
        answer=Present(sha256(note).digest(), body),
        kind=kind,
        day=TODAY,
        expires=Day(TODAY + 90),
        outcome=Outcome.ACCEPTED,
    )
    return replace(row, **fields)


def signal_row(tokens: Sequence[str], *, direct: bool = True, **fields: Any) -> LogRow:
    body = {
        "category": "cse",
        "technique": "AML.T0051",
        "tokens": sorted(tokens),
        "confidence": 80,
        "derived_from": None if direct else digest("parent"),
        "barrier": None,
    }
    severity = SeverityClaim.model_construct(band=3, commitments=(), proof=b"")
    signal = SignalBody.model_construct(
        **{**body, "tokens": tuple(sorted(tokens))}, severity=severity
    )
    return a_row("signal", json.dumps(body).encode(), signal=signal, **fields)


def sighting_row(target: str, verdict: str = "confirm", **fields: Any) -> LogRow:
    sighting = SightingBody(target=target, verdict=verdict)
    return a_row("sighting", sighting.encode(), sighting=sighting, **fields)


def retraction_row(target: str, **fields: Any) -> LogRow:
    return a_row("retraction", b"{}", retracts=target, retraction_reason="mistake", **fields)


def promotion_row(*windows: tuple[str, str, Sequence[str]], **fields: Any) -> LogRow:
    """A promotion of windows: input, token, ids of the signals that are the evidence."""
    body = PromotionBody.model_construct(
        windows=tuple(
            PromotedWindow(
                input=given, token=token, sources=tuple(sorted(sources or [digest("never")]))
            )
            for given, token, sources in sorted(windows)
        ),
        evaluations=(),
    )
    content = {"windows": [window.model_dump() for window in body.windows], "evaluations": []}
    return a_row("promotion", json.dumps(content).encode(), promotion=body, **fields)


def evidence_row(accused: str, **fields: Any) -> LogRow:
    """Evidence against a log, which nobody has verified."""
    return a_row("evidence", b"{}", evidence=split(accused), **fields)


def split(log: str) -> Evidence:
    return Evidence(EvidenceKind.SPLIT, log, b"one note", b"another")


def waiting(row: LogRow) -> LogRow:
    """The same entry while its body is not there."""
    return replace(
        row,
        answer=MISSING,
        outcome=Outcome.DEFERRED,
        error="MissingBodyError",
        signal=None,
        sighting=None,
        promotion=None,
        evidence=None,
        retracts=None,
    )


class Shelf:
    """Appends rows to logs of a store, which follow each other as they must, and certifies them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def add(self, log: str, *rows: LogRow, certified: bool = True, **more: Any) -> list[str]:
        """Append rows in one commit, and certify the log up to them; returns their ids."""
        state = self.store.state(log)
        placed = [replace(row, index=state.size + n) for n, row in enumerate(rows)]
        frontier = state.frontier.extend(row.leaf for row in placed)
        after = replace(state, size=state.size + len(rows), frontier=frontier)
        await self.store.commit_segment(log, state.size, placed, after, **more)
        if certified:
            await self.certify(log)
        return [row.entry_id for row in placed]

    async def early(self, log: str, *rows: LogRow) -> list[str]:
        """Append rows that no certificate covers yet; returns their ids."""
        return await self.add(log, *rows, certified=False)

    async def signal(self, log: str, *tokens: str, **fields: Any) -> str:
        (entry_id,) = await self.add(log, signal_row(tokens, **fields))
        return entry_id

    async def certify(self, log: str, size: int | None = None) -> int:
        """Certify a log, by default all of it."""
        size = self.store.state(log).size if size is None else size
        certificate = b"certificate of %d" % size
        return await self.store.certify(log, certificate, size, self.store.root_at(log, size))

    async def resolve(self, log: str, index: int, row: LogRow) -> int:
        """The body of an entry came."""
        return await self.store.resolve_deferred(log, [replace(row, index=index)])

    async def suspend(self, log: str) -> None:
        """Find evidence against a log."""
        state: FollowerState = self.store.state(log)
        await self.store.save_state(log, replace(state, evidence=split(log)))
