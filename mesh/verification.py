"""Verify one published entry from its bytes alone, step by step.

What `orgnode verify` runs: nothing is taken from a database, nothing from the issuer's word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.claims import claim_of, verify_holder
from mesh.days import Day, format_day
from mesh.entry import Kind, check_body, entry_id, open_entry
from mesh.genesis import Mesh
from mesh.promotion import parse_promotion, verify_promotion
from mesh.retraction import parse_retraction
from mesh.sighting import Verdict, parse_sighting
from mesh.signal import parse_signal
from proofs.checkpoint import open_checkpoint
from proofs.merkle import leaf_hash, verify_inclusion
from proofs.severity import verify


@dataclass(frozen=True, slots=True)
class Step:
    """A check that was passed: what it is called, and what it showed."""

    name: str
    detail: str


def verify_published(
    mesh: Mesh,
    issuer: str,
    note: bytes,
    salt: bytes | None,
    body: bytes | None,
    checkpoint: bytes,
    index: int,
    inclusion: Sequence[bytes],
) -> list[Step]:
    """Verify that a member published an entry, and that what it says holds.

    :param salt: the body's salt, None with `body` None when the content was erased: then the
        entry is verified and the list of steps ends before its content.
    :param checkpoint: the signed checkpoint of the issuer's log.
    :param index: the entry's position in the log, from 0.
    :param inclusion: hashes of the inclusion proof (RFC 6962, section 2.1.1), leaf to root.
    :returns: the steps passed, in order. Whether the entry is live on a given day is not among
        them.
    :raises MeshError: the first step that fails, by its own name.
    :raises ProofsError: likewise.
    """
    member = mesh.member(issuer)
    steps = [Step("issuer", f"{issuer} is a member of {mesh.constraints.name}")]

    tree = open_checkpoint(checkpoint, mesh.log_key(issuer))
    steps.append(Step("checkpoint", f"{issuer} signed its log at {tree.size} entries"))

    verify_inclusion(leaf_hash(note), index, tree.size, inclusion, tree.root)
    steps.append(Step("inclusion", f"entry {entry_id(note)[:16]} is number {index} of that log"))

    envelope = open_entry(note, member, mesh)
    steps.append(
        Step(
            "entry",
            f"{envelope.kind} signed by {issuer}, {format_day(Day(envelope.day))}, "
            f"expires {format_day(Day(envelope.expires))}",
        )
    )
    if body is None or salt is None:
        return steps

    check_body(envelope, salt, body, mesh.constraints)
    steps.append(Step("body", f"{len(body)} bytes match the signed digest"))

    match envelope.kind:
        case Kind.SIGNAL:
            return steps + _signal_steps(mesh, issuer, salt, body)
        case Kind.RETRACTION:
            return [*steps, _retraction_step(mesh, body)]
        case Kind.SIGHTING:
            return [*steps, _sighting_step(mesh, body)]
        case Kind.PROMOTION:
            return steps + _promotion_steps(mesh, body)


def _signal_steps(mesh: Mesh, issuer: str, salt: bytes, body: bytes) -> list[Step]:
    signal = parse_signal(body, mesh.constraints.max_body_bytes)
    claim = claim_of(mesh, issuer, signal, salt)
    count = len(signal.tokens)
    steps = [Step("signal", f"{signal.category}, {signal.technique}, {count} token(s)")]

    verify_holder(claim)
    steps.append(Step("tokens", f"{issuer} knew the scalars of all {count}: no copy of another's"))

    verify(claim.statement, claim.proof)
    band = mesh.constraints.band(signal.severity.band)
    steps.append(
        Step(
            "severity",
            f"the committed scores follow the rubric and reach {band.name} (≥ {band.threshold}); "
            "whether they were honest no proof can show",
        )
    )
    return steps


def _retraction_step(mesh: Mesh, body: bytes) -> Step:
    retraction = parse_retraction(body, mesh.constraints.max_body_bytes)
    return Step("retraction", f"withdraws {retraction.target}: {retraction.reason}")


def _sighting_step(mesh: Mesh, body: bytes) -> Step:
    sighting = parse_sighting(body, mesh.constraints.max_body_bytes)
    does = {Verdict.CONFIRM: "confirms", Verdict.DENY: "denies"}[sighting.verdict]
    return Step(
        "sighting", f"{does} {sighting.target}; it counts if that is another organization's signal"
    )


def _promotion_steps(mesh: Mesh, body: bytes) -> list[Step]:
    promotion = parse_promotion(body, mesh.constraints.max_body_bytes)
    sources = {source for window in promotion.windows for source in window.sources}
    steps = [
        Step(
            "promotion",
            f"{len(promotion.windows)} window(s), for which {len(sources)} signal(s) are named",
        )
    ]

    verify_promotion(mesh, promotion)
    committee = mesh.constraints.committee
    held = [committee.seat(evaluation.seat) for evaluation in promotion.evaluations]
    steps.append(
        Step(
            "evaluations",
            f"{', '.join(seat.member for seat in held if seat)} evaluated each window, "
            "and the tokens follow from it; whether the signals suffice is not shown by it",
        )
    )
    return steps
