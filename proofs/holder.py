"""Proof that somebody knows the scalars of all their tokens: a batched Schnorr proof, 64 bytes.

A *token* is T = x·G for a secret scalar x. Tokens are published; a copy of one is worth nothing,
because nobody but those who know x can prove it in a context of their own.

**Statement.** Tokens T_1..T_n, all different, and a context. Claim: the prover knows x_1..x_n with
T_i = x_i·G.

**Proof** (Gennaro, Leigh, Sundaram, Yerazunis, "Batching Schnorr Identification Scheme with
Applications to Privacy-Preserving Authorization and Low-Bandwidth Communication Devices", 2004):

    R = k·G                                     k a fresh scalar
    c = H(label, context, n, T_1..T_n, R)       every part with its length
    z = k + Σ c^i·x_i                           i = 1..n
    proof = R ‖ z, verified by  z·G = R + Σ c^i·T_i

The powers start at c^1, so no x_i stands where k does. Complete, and zero-knowledge with an honest
verifier: z and c chosen first give R.

**Soundness.** For one R the equation is a polynomial of degree n in c, so a prover who can't open
every token satisfies it for at most n of the challenges: an error of n/ℓ, n/2^252. From n + 1
accepting transcripts with one R and different c, an extractor solves a Vandermonde system for
k, x_1, …, x_n. c is a hash of everything that is public (strong Fiat–Shamir), so that neither
tokens nor context can be chosen after it.

**The nonce** comes from entropy, scalars and context together, like Ed25519's with randomness
added: entropy that repeats does not make two statements share a nonce, which would betray the x_i.
"""

from collections.abc import Sequence
from hashlib import sha512
from typing import Final

from proofs.errors import ProofsError
from proofs.ristretto import (
    ELEMENT_BYTES,
    SCALAR_BYTES,
    Element,
    IdentityElementError,
    InvalidElementError,
    InvalidScalarError,
    Scalar,
    ZeroScalarError,
    add,
    add_scalars,
    decode_element,
    decode_scalar,
    multiply,
    multiply_base,
    multiply_scalars,
    nonzero,
    reduce_scalar,
)
from proofs.transcript import Transcript

HOLDER_PROOF_BYTES: Final = ELEMENT_BYTES + SCALAR_BYTES
"""Length of a proof: R and z."""
MIN_ENTROPY: Final = 32
"""Fewest bytes of entropy that a proof is made with."""

_LABEL: Final = b"signal-mesh/v1/holder proof"
_NONCE_LABEL: Final = b"signal-mesh/v1/holder nonce"


class HolderProofError(ProofsError):
    """The proof does not show that somebody knows the scalars of these tokens in this context."""


class HolderProofFormatError(HolderProofError):
    """Not 64 bytes of an element and a canonical scalar: one proof would have several spellings."""


class FalseHolderProofError(HolderProofError):
    """The equation does not hold: the tokens, or the whole proof, were copied from elsewhere."""


class NoTokensError(HolderProofError):
    """There is no token to prove anything about."""


class RepeatedTokenError(HolderProofError):
    """One token comes twice: it would count as two."""


class EntropyLengthError(ProofsError):
    """Too little entropy to make a proof with."""


def token_of(x: Scalar) -> Element:
    """The token of a scalar: x·G.

    :raises ZeroScalarError: the scalar is zero.
    """
    return multiply_base(x)


def prove_holding(scalars: Sequence[Scalar], context: bytes, entropy: bytes) -> bytes:
    """Prove that one knows the scalars of the tokens `token_of(x)`, in this order.

    :param context: what the proof is made for; it holds in no other.
    :param entropy: at least 32 secret random bytes.
    :raises NoTokensError: no scalar.
    :raises RepeatedTokenError: a scalar comes twice.
    :raises ZeroScalarError: a scalar is zero.
    :raises EntropyLengthError: fewer bytes of entropy.
    """
    if len(entropy) < MIN_ENTROPY:
        raise EntropyLengthError(f"a proof is made with at least {MIN_ENTROPY} random bytes")
    tokens = [token_of(x) for x in scalars]
    _check_tokens(tokens)
    k = _nonce(scalars, context, entropy)
    r = multiply_base(k)
    c = _challenge(tokens, context, r)
    total = scalars[-1]
    for x in reversed(scalars[:-1]):
        total = add_scalars(multiply_scalars(total, c), x)
    return r + add_scalars(k, multiply_scalars(total, c))


def verify_holding(tokens: Sequence[bytes], context: bytes, proof: bytes) -> None:
    """Verify a proof of `prove_holding`.

    :param tokens: in the order that they were proven in, from anybody.
    :raises InvalidElementError: a token is no group element, or the identity.
    :raises HolderProofError: no token, or one twice; the proof is malformed or false.
    """
    _check_tokens(tokens)
    elements = [decode_element(token) for token in tokens]
    if len(proof) != HOLDER_PROOF_BYTES:
        raise HolderProofFormatError(f"a holder proof is {HOLDER_PROOF_BYTES} bytes")
    try:
        r = decode_element(proof[:ELEMENT_BYTES])
        z = nonzero(decode_scalar(proof[ELEMENT_BYTES:]))
    except (InvalidElementError, InvalidScalarError) as error:
        raise HolderProofFormatError(f"the holder proof is malformed: {error}") from None
    c = _challenge(elements, context, r)
    try:
        # Horner: Σ c^i·T_i = c·(T_1 + c·(T_2 + …)).
        total = elements[-1]
        for element in reversed(elements[:-1]):
            total = add(multiply(c, total), element)
        holds = multiply_base(z) == add(r, multiply(c, total))
    except (IdentityElementError, ZeroScalarError):
        holds = False  # No honest proof comes here but with a probability of 2^-252.
    if not holds:
        raise FalseHolderProofError("the holder proof is false for these tokens in this context")


def _check_tokens(tokens: Sequence[bytes]) -> None:
    if not tokens:
        raise NoTokensError("a holder proof is about at least one token")
    if len(set(tokens)) != len(tokens):
        raise RepeatedTokenError("a holder proof is about different tokens")


def _nonce(scalars: Sequence[Scalar], context: bytes, entropy: bytes) -> Scalar:
    state = sha512(_NONCE_LABEL)
    for part in (entropy, context, *scalars):
        state.update(len(part).to_bytes(8, "big") + part)
    return nonzero(reduce_scalar(state.digest()))


def _challenge(tokens: Sequence[Element], context: bytes, r: Element) -> Scalar:
    transcript = Transcript(_LABEL)
    transcript.absorb(b"context", context)
    transcript.absorb(b"count", len(tokens).to_bytes(8, "big"))
    for token in tokens:
        transcript.absorb(b"token", token)
    transcript.absorb(b"R", r)
    return reduce_scalar(transcript.challenge_bytes(b"c"))
