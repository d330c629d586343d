"""What a signal stands or falls with: its two proofs, verified together and in batches.

The severity proof shows that the committed scores reach the claimed band; the holder proof, that
the issuer knows the scalars of the tokens. *Attack:* tokens are public; without the second proof
anybody could republish another's tokens and pose as a second source.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mesh.genesis import Mesh
from mesh.severity import HOLDER_LABEL, context_of, statement_of
from mesh.signal import SignalBody
from proofs.errors import ProofsError
from proofs.holder import verify_holding
from proofs.severity import Statement, verify_batch


@dataclass(frozen=True, slots=True)
class Claim:
    """A signal's proofs and everything that they must verify against."""

    statement: Statement
    proof: bytes
    """The severity proof."""
    tokens: tuple[bytes, ...]
    """In the signal's order."""
    holder_context: bytes
    holder_proof: bytes
    hint: bytes = field(default=b"", compare=False, repr=False)
    """What may spare the verifier time (`proofs.severity.hints`), from anybody; decides nothing."""


def claim_of(mesh: Mesh, issuer: str, signal: SignalBody, salt: bytes) -> Claim:
    """The claim of an issuer's signal under the constraints in force.

    :param salt: the one that the entry's body digest covers.
    :raises UnknownBandError: there is no band of the claimed level.
    """
    threshold = mesh.constraints.band(signal.severity.band).threshold
    return Claim(
        statement_of(mesh, issuer, signal, salt),
        signal.severity.proof,
        tuple(bytes.fromhex(token) for token in signal.tokens),
        context_of(mesh, issuer, signal.tokens, threshold, salt, HOLDER_LABEL),
        signal.holder,
    )


def verify_holder(claim: Claim) -> None:
    """Verify that whoever made the claim knew the scalars of its tokens.

    :raises HolderProofError: it did not, or not in this context.
    :raises InvalidElementError: a token is no group element.
    """
    verify_holding(claim.tokens, claim.holder_context, claim.holder_proof)


def verify_claims(claims: Sequence[Claim], entropy: bytes) -> list[ProofsError | None]:
    """Verify the proofs of many signals; return for each the error that refuses it, or None.

    Holder proofs come first. One that is false refuses its signal, and keeps it out of the batch of
    severity proofs, where each false one costs a search for it.

    :param entropy: at least 32 fresh bytes from the operating system's generator.
    :raises EntropyError: fewer.
    """
    verdicts = [_holder_verdict(claim) for claim in claims]
    held = [place for place, verdict in enumerate(verdicts) if verdict is None]
    batch = [(claims[place].statement, claims[place].proof) for place in held]
    hints = [claims[place].hint for place in held]
    for place, verdict in zip(held, verify_batch(batch, entropy, hints=hints), strict=True):
        verdicts[place] = verdict
    return verdicts


def _holder_verdict(claim: Claim) -> ProofsError | None:
    try:
        verify_holder(claim)
    except ProofsError as error:
        return error
    return None
