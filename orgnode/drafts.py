"""Entries of the own log before they have a place in it, and how they are signed into one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.assessment import Assessed, Outcome
from mesh.days import Day
from mesh.entry import LONGEST_LIVED, Envelope, Kind, body_digest, sign_entry
from mesh.evidence import Evidence
from mesh.genesis import Mesh
from mesh.promotion import PromotionBody
from mesh.retraction import RetractionBody
from mesh.sighting import SightingBody
from mesh.signal import SignalBody
from mesh.wire import Present
from orgnode.store import LogRow, SealedIncident
from proofs.merkle import leaf_hash
from proofs.note import Signer


@dataclass(frozen=True)
class Draft:
    """An entry that is ready but for its place in the log.

    A `salt` that is None is drawn when the entry is signed. `seal` is called with the entry's id,
    once it is known, to make the vault's row for it. `hint` is about a signal's proof
    (`proofs.severity.hints`), for peers.
    """

    kind: Kind
    expires: Day
    body: bytes
    salt: bytes | None = field(default=None, repr=False)
    signal: SignalBody | None = None
    retraction: RetractionBody | None = None
    sighting: SightingBody | None = None
    promotion: PromotionBody | None = None
    evidence: Evidence | None = None
    seal: Callable[[str], SealedIncident] | None = None
    hint: bytes = field(default=b"", repr=False)


def sign_draft(
    mesh: Mesh, identity: Signer, draft: Draft, index: int, day: Day, salt: bytes
) -> LogRow:
    """Sign a draft as the entry at `index`, dated `day`; returns the row to store."""
    envelope = Envelope(
        kind=draft.kind,
        mesh=mesh.mesh_id,
        version=mesh.constraints.version,
        day=day,
        expires=_expires(mesh, draft, day),
        body=body_digest(salt, draft.body),
    )
    note = sign_entry(envelope, identity)
    leaf = leaf_hash(note)
    return LogRow.of(
        Assessed(
            index=index,
            entry_id=leaf.hex(),
            leaf=leaf,
            note=note,
            answer=Present(salt, draft.body),
            outcome=Outcome.ACCEPTED,
            reason="",
            error="",
            envelope=envelope,
            signal=draft.signal,
            retraction=draft.retraction,
            sighting=draft.sighting,
            promotion=draft.promotion,
            evidence=draft.evidence,
            claim=None,
        )
    )


def _expires(mesh: Mesh, draft: Draft, day: Day) -> Day:
    if draft.kind in LONGEST_LIVED:
        # Peers take these only with the longest life, and the day may be another than was planned.
        return Day(day + mesh.constraints.max_expiry_days)
    return Day(max(draft.expires, day))
