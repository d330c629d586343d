"""Proof that the same secret key maps a base to a public key and each input to its output.

RFC 9497, section 2.2, on ristretto255 with SHA-512: a Chaum–Pedersen proof (1993) made
non-interactive, over *composites*, which are random combinations of all inputs and of all outputs.
One proof of 64 bytes serves for a whole batch.

**Statement.** Base A, public key B, inputs C_1..C_n, outputs D_1..D_n. Claim: there is a k with
B = k·A and D_i = k·C_i for every i.

**Composites** (section 2.2.1, ComputeComposites). seed = SHA-512 of B and the context;
d_i = HashToScalar(seed, i, C_i, D_i); M = Σ d_i·C_i; Z = Σ d_i·D_i. Whoever knows k computes
Z = k·M (ComputeCompositesFast).

**Proof.** r is a fresh scalar, t2 = r·A, t3 = r·M, c = HashToScalar(B, M, Z, t2, t3), s = r − c·k;
the proof is c ‖ s. The verifier computes t2 = s·A + c·B and t3 = s·M + c·Z and compares c.

**The base.** The RFC knows only the group's generator as A and leaves it out of the hashes. If a
prover could choose A after c, it would choose A = (t2 − c·B)/s and prove anything. So here any
other base is hashed too, at the end of the seed's transcript and before "Challenge"; with the
generator every byte is the RFC's.
"""

from collections.abc import Sequence
from hashlib import sha512
from typing import Final

from proofs.errors import ProofsError
from proofs.expand import MAX_LENGTH, hash_to_scalar, sized
from proofs.ristretto import (
    SCALAR_BYTES,
    Element,
    IdentityElementError,
    InvalidScalarError,
    Scalar,
    ZeroScalarError,
    add,
    decode_scalar,
    multiply,
    multiply_base,
    multiply_scalars,
    multiply_sum,
    nonzero,
    scalar,
    subtract_scalars,
)

PROOF_BYTES: Final = 2 * SCALAR_BYTES
"""Length of a proof: challenge and response."""
GENERATOR: Final = multiply_base(scalar(1))
"""The group's generator G."""


class EqualityProofError(ProofsError):
    """The proof does not show that one key made all of this: an output, or the public key, is
    somebody else's."""


class EqualityProofFormatError(EqualityProofError):
    """Not 64 bytes of two canonical scalars: one proof would have several spellings."""


class EqualityStatementError(EqualityProofError):
    """There is nothing to prove, or not one output for each input: a rest would go unproven."""


def prove_equality(
    key: Scalar,
    base: Element,
    public: Element,
    inputs: Sequence[Element],
    outputs: Sequence[Element],
    nonce: Scalar,
    context: bytes,
) -> bytes:
    """Prove that public = key·base and output = key·input for each pair (GenerateProof).

    The claim itself is not checked: a proof of a false claim does not verify.

    :param nonce: a fresh random scalar that nobody ever learns; used twice, it betrays the key.
    :param context: the protocol's contextString; the verifier names the same.
    :raises EqualityStatementError: no pair, over 65,535 of them, or a pair is not one.
    :raises ZeroScalarError: key or nonce is zero.
    """
    weights = _weights(base, public, inputs, outputs, context)
    m = multiply_sum(weights, inputs)
    z = multiply(key, m)
    t2, t3 = multiply(nonce, base), multiply(nonce, m)
    c = nonzero(_challenge(base, public, m, z, t2, t3, context))
    return c + subtract_scalars(nonce, multiply_scalars(c, key))


def verify_equality(
    base: Element,
    public: Element,
    inputs: Sequence[Element],
    outputs: Sequence[Element],
    proof: bytes,
    context: bytes,
) -> None:
    """Verify a proof of `prove_equality` (VerifyProof). All elements were decoded before.

    :raises EqualityProofError: it does not hold (EqualityProofFormatError: it is no proof at all;
        EqualityStatementError: no pair, over 65,535 of them, or a pair is not one).
    """
    if len(proof) != PROOF_BYTES:
        raise EqualityProofFormatError(f"a proof of equality is {PROOF_BYTES} bytes")
    try:
        c = decode_scalar(proof[:SCALAR_BYTES])
        s = decode_scalar(proof[SCALAR_BYTES:])
    except InvalidScalarError as error:
        raise EqualityProofFormatError(f"the proof is not two scalars: {error}") from None
    weights = _weights(base, public, inputs, outputs, context)
    try:
        m, z = multiply_sum(weights, inputs), multiply_sum(weights, outputs)
        t2 = add(multiply(s, base), multiply(c, public))
        t3 = add(multiply(s, m), multiply(c, z))
    except (IdentityElementError, ZeroScalarError):
        # Honest provers meet this with a probability of 2^-252.
        raise EqualityProofError("the proof of equality is degenerate") from None
    if _challenge(base, public, m, z, t2, t3, context) != c:
        raise EqualityProofError("the proof of equality is false")


def _weights(
    base: Element,
    public: Element,
    inputs: Sequence[Element],
    outputs: Sequence[Element],
    context: bytes,
) -> list[Scalar]:
    """d_1..d_n, which nobody can choose pairs for."""
    if not inputs or len(inputs) != len(outputs) or len(inputs) > MAX_LENGTH:
        raise EqualityStatementError(
            f"prove equality for 1 to {MAX_LENGTH} inputs, each with its output"
        )
    seed = sized(sha512(sized(public) + sized(b"Seed-" + context) + _named(base)).digest())
    tag = b"HashToScalar-" + context
    return [
        hash_to_scalar(
            seed + place.to_bytes(2, "big") + sized(source) + sized(result) + b"Composite", tag
        )
        for place, (source, result) in enumerate(zip(inputs, outputs, strict=True))
    ]


def _challenge(
    base: Element,
    public: Element,
    m: Element,
    z: Element,
    t2: Element,
    t3: Element,
    context: bytes,
) -> Scalar:
    parts = b"".join(sized(part) for part in (public, m, z, t2, t3))
    return hash_to_scalar(parts + _named(base) + b"Challenge", b"HashToScalar-" + context)


def _named(base: Element) -> bytes:
    return b"" if base == GENERATOR else sized(base)
