"""What verification shows of an entry's content, kind by kind, in words for people."""

from dataclasses import dataclass

from mesh.accusation import parse_accusation
from mesh.claims import claim_of, verify_holder
from mesh.entry import Kind
from mesh.evidence import Evidence, EvidenceKind, verify_evidence
from mesh.genesis import Mesh
from mesh.promotion import parse_promotion, verify_promotion
from mesh.retraction import parse_retraction
from mesh.sighting import Verdict, parse_sighting
from mesh.signal import parse_signal
from proofs.checkpoint import open_checkpoint
from proofs.severity import verify


@dataclass(frozen=True, slots=True)
class Step:
    """A check that was passed: what it is called, and what it showed."""

    name: str
    detail: str


def content_steps(mesh: Mesh, issuer: str, kind: Kind, salt: bytes, body: bytes) -> list[Step]:
    """Verify what an entry says; `body` is known to be the one that its issuer signed.

    :returns: the steps passed, in order.
    :raises MeshError: the first step that fails, by its own name.
    :raises ProofsError: likewise.
    """
    match kind:
        case Kind.SIGNAL:
            return _signal_steps(mesh, issuer, salt, body)
        case Kind.RETRACTION:
            return [_retraction_step(mesh, body)]
        case Kind.SIGHTING:
            return [_sighting_step(mesh, body)]
        case Kind.PROMOTION:
            return _promotion_steps(mesh, body)
        case Kind.EVIDENCE:
            return verify_evidence_steps(mesh, parse_accusation(body))


def verify_evidence_steps(mesh: Mesh, evidence: Evidence) -> list[Step]:
    """Verify evidence against a log; return what it shows, step by step.

    :raises MeshError: it does not hold, by the name of what is wrong.
    """
    verify_evidence(mesh, evidence)
    key = mesh.log_key(evidence.log)
    first, second = open_checkpoint(evidence.first, key), open_checkpoint(evidence.second, key)
    steps = [Step("accused", f"{evidence.log} is a member of {mesh.constraints.name}")]
    for name, signed in (("first", first), ("second", second)):
        root = signed.root.hex()[:16]
        steps.append(Step(name, f"{evidence.log} signed the root {root}… of {signed.size} entries"))
    if evidence.kind is EvidenceKind.SPLIT:
        shown = f"two roots of {first.size} entries: no log has both"
    else:
        shown = (
            f"the hashes lead to the second root, and in that tree the first {first.size} "
            "entries have another root than the first one"
        )
    steps.append(Step("contradiction", shown))
    return steps


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
