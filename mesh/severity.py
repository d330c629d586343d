"""What a signal's two proofs are bound to: the one place where their statements are put together.

The context ties a proof to one signal of one issuer. Each part is labelled, and label and part
carry their lengths, so that no two different sets of parts have the same bytes. The severity proof
and the holder proof have the same parts under different labels, so neither passes for the other.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from mesh.constraints import Constraints
from mesh.genesis import Mesh
from proofs.severity import Rubric, Statement

if TYPE_CHECKING:
    from mesh.signal import SignalBody

CONTEXT_LABEL: Final = b"signal-mesh/v1/severity"
"""First part of every severity proof's context."""

HOLDER_LABEL: Final = b"signal-mesh/v1/holder"
"""First part of every holder proof's context."""


def rubric_of(constraints: Constraints) -> Rubric:
    """The constraints' rubric as the proofs know it."""
    return Rubric(constraints.rubric.weights, constraints.rubric.component_max)


def severity_context(
    mesh_id: str,
    version: int,
    rubric_digest: bytes,
    issuer: str,
    tokens: Sequence[str],
    threshold: int,
    salt: bytes,
    label: bytes = CONTEXT_LABEL,
) -> bytes:
    """The context that a severity proof, or with `HOLDER_LABEL` a holder proof, is made in.

        u16 length, the label
        then for each part:  u16 length, label · u16 length, part

    Parts in order: mesh (32 bytes), version (u64), rubric (32 bytes), issuer (its name), tokens
    (SHA-256 of the tokens' bytes one after the other), threshold (u64), salt (32 bytes).
    """
    parts = (
        (b"mesh", bytes.fromhex(mesh_id)),
        (b"version", version.to_bytes(8, "big")),
        (b"rubric", rubric_digest),
        (b"issuer", issuer.encode()),
        (b"tokens", sha256(bytes.fromhex("".join(tokens))).digest()),
        (b"threshold", threshold.to_bytes(8, "big")),
        (b"salt", salt),
    )
    return _sized(label) + b"".join(_sized(name) + _sized(part) for name, part in parts)


def context_of(
    mesh: Mesh,
    issuer: str,
    tokens: Sequence[str],
    threshold: int,
    salt: bytes,
    label: bytes = CONTEXT_LABEL,
) -> bytes:
    """The context for an issuer's signal in a mesh under its constraints in force."""
    return severity_context(
        mesh.mesh_id,
        mesh.version,
        mesh.constraints.rubric.digest,
        issuer,
        tokens,
        threshold,
        salt,
        label,
    )


def statement_of(mesh: Mesh, issuer: str, body: "SignalBody", salt: bytes) -> Statement:
    """The statement that a signal's severity proof must verify against.

    Everything but the commitments comes from what the reader knows: its own constraints, the log
    that the entry was read from, the salt that the entry's digest covers.
    """
    threshold = mesh.constraints.band(body.severity.band).threshold
    return Statement(
        rubric_of(mesh.constraints),
        threshold,
        body.severity.commitments,
        context_of(mesh, issuer, body.tokens, threshold, salt),
    )


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
