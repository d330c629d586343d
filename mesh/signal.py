"""Signals: what an organization publishes about an incident.

A signal says what kind of attack was met, holds the tokens of its text and proves that its issuer
knows their scalars, commits to the component scores and proves that their weighted total reaches
the claimed band. The prompt, the tokens' scalars, the scores and the blinding factors stay with the
issuer.
"""

from dataclasses import dataclass, field
from hashlib import sha512
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, Field

from mesh import strictjson
from mesh.constraints import BAND_NAMES, MAX_TOKENS, Band
from mesh.dampening import check_derived
from mesh.errors import BodyFormatError, BodyTooLargeError, MeshError, SaltLengthError
from mesh.genesis import Mesh
from mesh.model import Base64Bytes, Digest, Model
from mesh.severity import HOLDER_LABEL, context_of, rubric_of
from mesh.taxonomy import check_barrier, check_category, check_technique
from mesh.wire import SALT_BYTES
from proofs.holder import HOLDER_PROOF_BYTES, prove_holding, token_of
from proofs.pedersen import blinding_from_bytes
from proofs.ristretto import Scalar
from proofs.severity import (
    COMMITMENT_BYTES,
    PROOF_BYTES,
    BelowThresholdError,
    ComponentRangeError,
    Rubric,
    commit_components,
    hint,
    prove,
)

MIN_ENTROPY_BYTES: Final = 64
"""Fresh random bytes that making a signal needs."""

_COMPONENTS = 4


class SignalFormatError(BodyFormatError):
    """A signal's fields are not exactly those of a signal, or one is out of range."""


class TokenOrderError(SignalFormatError):
    """Tokens are not strictly rising: a token would count twice, or a set have two spellings."""


class NoBandError(MeshError):
    """The weighted total reaches no band: there is nothing to publish."""


class SignalEntropyError(MeshError):
    """Too few random bytes were handed in: blinding factors could be guessed."""


def _check_tokens(tokens: tuple[str, ...]) -> tuple[str, ...]:
    if any(first >= second for first, second in pairwise(tokens)):
        raise TokenOrderError("tokens are sorted, each once")
    return tokens


Commitment = Annotated[Base64Bytes, Field(min_length=COMMITMENT_BYTES, max_length=COMMITMENT_BYTES)]


class SeverityClaim(Model):
    """The claimed band, the commitments to the components, the proof that they reach it."""

    format_error: ClassVar[type[MeshError]] = SignalFormatError

    band: Annotated[int, Field(ge=1, le=len(BAND_NAMES))]
    """Level of the claimed band."""
    commitments: Annotated[
        tuple[Commitment, ...],
        Field(strict=False, min_length=_COMPONENTS, max_length=_COMPONENTS),
    ]
    """One commitment for each component, in the rubric's order."""
    proof: Annotated[Base64Bytes, Field(min_length=PROOF_BYTES, max_length=PROOF_BYTES)]


class SignalBody(Model):
    """The body of a signal. Every field is written; None is `null`."""

    format_error: ClassVar[type[MeshError]] = SignalFormatError

    category: Annotated[str, AfterValidator(check_category)]
    """MLCommons AILuminate hazard code."""
    technique: Annotated[str, AfterValidator(check_technique)]
    """MITRE ATLAS id."""
    tokens: Annotated[
        tuple[Digest, ...],
        Field(strict=False, min_length=1, max_length=MAX_TOKENS),
        AfterValidator(_check_tokens),
    ]
    """Fingerprint: 32-byte tokens in hex, sorted, each once."""
    holder: Annotated[
        Base64Bytes, Field(min_length=HOLDER_PROOF_BYTES, max_length=HOLDER_PROOF_BYTES)
    ]
    """Proof that the issuer knows the scalars of all the tokens."""
    severity: SeverityClaim
    confidence: Annotated[int, Field(ge=0, le=100)]
    """How sure the issuer is that this was an attack, in percent."""
    derived_from: Digest | None
    """Id of the signal that this one was made because of; None if the issuer met the attack."""
    barrier: Annotated[str, AfterValidator(check_barrier)] | None
    """The bow-tie barrier that let the attack through, if the issuer chose to say."""

    @property
    def direct(self) -> bool:
        """Whether the issuer met the attack itself."""
        return self.derived_from is None


def parse_signal(body: bytes, max_bytes: int = strictjson.MAX_BYTES) -> SignalBody:
    """Read a signal's body. Its proofs are verified apart, see `mesh.claims`.

    :param max_bytes: longest body accepted, in bytes.
    :raises StrictJSONError: it is not strict JSON, or too long.
    :raises BodyError: its fields are not exactly those of a signal, or one is out of range.
    """
    return SignalBody.parse(strictjson.loads(body, max_bytes=max_bytes))


@dataclass(frozen=True)
class SignalDraft:
    """What an issuer knows of an incident. Holds secrets: never log it."""

    category: str
    technique: str
    token_scalars: tuple[Scalar, ...] = field(repr=False)
    """Secret scalars of the tokens, in any order."""
    components: tuple[int, ...] = field(repr=False)
    """Secret scores in the rubric's order."""
    confidence: int = 80
    band: int | None = None
    """Level to claim; None claims the highest that the total reaches. Lower hides more."""
    barrier: str | None = None
    derived_from: str | None = None


@dataclass(frozen=True)
class ComposedSignal:
    """A signal's body and the openings of its commitments, which belong in the vault."""

    body: bytes
    blindings: tuple[int, ...] = field(repr=False)
    """Secret blinding factors of the components' commitments, in the rubric's order."""
    band: Band
    """The band claimed."""
    hint: bytes = field(repr=False)
    """The severity proof's (`proofs.severity.hints`); no part of the body."""


def compose_signal(
    mesh: Mesh, issuer: str, draft: SignalDraft, salt: bytes, entropy: bytes
) -> ComposedSignal:
    """Commit to the components, prove the band, and prove that the tokens' scalars are known. Pure,
    so that it can run in another process.

    :param salt: 32 fresh random bytes, the ones that the entry's body digest covers.
    :param entropy: at least 64 fresh random bytes.
    :raises ComponentRangeError: a component is out of range; it is not shown.
    :raises NoBandError: no band was named and the total reaches none.
    :raises BelowThresholdError: the total does not reach the band named.
    :raises UnknownMemberError: the issuer is not a member.
    :raises UnknownBandError: there is no such band.
    :raises BodyError: category, technique, tokens, confidence or barrier are not a signal's.
    :raises ZeroScalarError: a token's scalar is zero.
    :raises SignalEntropyError: too little entropy.
    """
    if len(salt) != SALT_BYTES:
        raise SaltLengthError(f"a salt is {SALT_BYTES} bytes, not {len(salt)}")
    if len(entropy) < MIN_ENTROPY_BYTES:
        raise SignalEntropyError(f"hand in at least {MIN_ENTROPY_BYTES} fresh random bytes")
    # Sorted as the tokens will stand, each once: a proof is about tokens in an order.
    scalars = dict(sorted((token_of(x).hex(), x) for x in draft.token_scalars))
    tokens = tuple(scalars)
    # Everything but the proofs is checked before the costly part.
    rubric, components, band, fields = _checked_draft(mesh, issuer, draft, tokens)

    context = context_of(mesh, issuer, tokens, band.threshold, salt)
    seed = _seed(entropy, components, context)
    blindings = tuple(blinding_from_bytes(_stream(seed, i)) for i in range(_COMPONENTS))
    commitments = commit_components(components, blindings)
    proof = prove(
        rubric, band.threshold, components, blindings, context, _stream(seed, _COMPONENTS)
    )
    claim = SeverityClaim(band=band.level, commitments=commitments, proof=proof)
    holder = prove_holding(
        tuple(scalars.values()),
        context_of(mesh, issuer, tokens, band.threshold, salt, HOLDER_LABEL),
        _stream(seed, _COMPONENTS + 1),
    )
    body = SignalBody.parse({**fields, "severity": claim, "holder": holder}).encode()
    if len(body) > mesh.constraints.max_body_bytes:
        raise BodyTooLargeError(f"the signal is over {mesh.constraints.max_body_bytes} bytes")
    return ComposedSignal(body, blindings, band, hint(commitments, proof))


def check_draft(mesh: Mesh, issuer: str, draft: SignalDraft) -> None:
    """Check all of a draft but its tokens, before the committee is asked for them.

    :raises MeshError, ProofsError: as `compose_signal`.
    """
    _checked_draft(mesh, issuer, draft, (bytes(32).hex(),))


def _checked_draft(
    mesh: Mesh, issuer: str, draft: SignalDraft, tokens: tuple[str, ...]
) -> tuple[Rubric, tuple[int, ...], Band, dict[str, Any]]:
    mesh.member(issuer)
    rubric = rubric_of(mesh.constraints)
    components = _checked_components(rubric, draft.components)
    band = _band(mesh, rubric, components, draft.band)
    if rubric.total(components) < band.threshold:
        raise BelowThresholdError(
            "the weighted total of the components is below the threshold; claim a lower band"
        )
    fields = {
        "category": draft.category,
        "technique": draft.technique,
        "tokens": tokens,
        "confidence": draft.confidence,
        "derived_from": draft.derived_from,
        "barrier": draft.barrier,
    }
    blank = SeverityClaim(
        band=band.level,
        commitments=(bytes(COMMITMENT_BYTES),) * _COMPONENTS,
        proof=bytes(PROOF_BYTES),
    )
    body = SignalBody.parse({**fields, "severity": blank, "holder": bytes(HOLDER_PROOF_BYTES)})
    check_derived(mesh.constraints, body)
    return rubric, components, band, fields


def _checked_components(rubric: Rubric, components: tuple[int, ...]) -> tuple[int, ...]:
    # Before a total is computed from them; the message names the range and never the value.
    if len(components) != _COMPONENTS or not all(
        type(score) is int and 0 <= score <= rubric.component_max for score in components
    ):
        raise ComponentRangeError(
            f"give {_COMPONENTS} component scores, each an integer from 0 to {rubric.component_max}"
        )
    return tuple(components)


def _band(mesh: Mesh, rubric: Rubric, components: tuple[int, ...], level: int | None) -> Band:
    if level is not None:
        return mesh.constraints.band(level)
    band = mesh.constraints.band_for_total(rubric.total(components))
    if band is None:
        raise NoBandError("the components reach no severity band; the incident is not published")
    return band


def _seed(entropy: bytes, components: tuple[int, ...], context: bytes) -> bytes:
    # Hedged: should the same entropy ever come twice, other components or another context still get
    # unrelated blinding factors, so commitments can't be subtracted from each other.
    scores = b"".join(score.to_bytes(8, "big") for score in components)
    sizes = len(entropy).to_bytes(8, "big")
    return sha512(b"signal-mesh/v1/signal seed" + sizes + entropy + scores + context).digest()


def _stream(seed: bytes, index: int) -> bytes:
    return sha512(b"signal-mesh/v1/signal stream" + index.to_bytes(2, "big") + seed).digest()
