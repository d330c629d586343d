"""The steps of RFC 9497 in modes OPRF and VOPRF, for ristretto255-SHA512 (section 4.1).

Nothing here makes randomness: blinds and nonces are handed in.
"""

from collections.abc import Sequence
from enum import IntEnum
from hashlib import sha512
from typing import Final

from proofs import dleq
from proofs.expand import (
    MAX_LENGTH,
    FieldLengthError,
    hash_to_element,
    hash_to_scalar,
    sized,
)
from proofs.oprf.errors import (
    EvaluationProofError,
    EvaluationProofFormatError,
    EvaluationStatementError,
    InputError,
    InputLengthError,
    KeyDerivationError,
)
from proofs.ristretto import (
    SCALAR_BYTES,
    Element,
    IdentityElementError,
    Scalar,
    invert_scalar,
    multiply,
)

SUITE: Final = b"ristretto255-SHA512"
SEED_BYTES: Final = 32
"""Length of the seed that a key is derived from."""
OUTPUT_BYTES: Final = 64
"""Length of the function's value."""
PROOF_BYTES: Final = dleq.PROOF_BYTES
"""Length of a proof of evaluation."""


class Mode(IntEnum):
    """Variants of the protocol (section 3.1); POPRF (2) is not used here."""

    OPRF = 0
    """The server proves nothing."""
    VOPRF = 1
    """The server proves which key it used."""


def context_string(mode: Mode) -> bytes:
    """CreateContextString (section 3.1): "OPRFV1-" ‖ mode ‖ "-" ‖ suite."""
    return b"OPRFV1-" + bytes((mode,)) + b"-" + SUITE


_HASH_TAGS: Final = {mode: b"HashToGroup-" + context_string(mode) for mode in Mode}
_VOPRF_CONTEXT: Final = context_string(Mode.VOPRF)
_ZERO: Final = bytes(SCALAR_BYTES)


def derive_key(seed: bytes, info: bytes, mode: Mode = Mode.VOPRF) -> Scalar:
    """DeriveKeyPair (section 3.2.1): the private key that a seed and a public info give.

    :param seed: 32 secret random bytes.
    :raises KeyDerivationError: the seed is of another length, the info is over 65,535 bytes, or
        every one of 256 tries gave zero.
    """
    if len(seed) != SEED_BYTES:
        raise KeyDerivationError(f"a key is derived from a seed of {SEED_BYTES} bytes")
    try:
        start = seed + sized(info)
    except FieldLengthError as error:
        raise KeyDerivationError(str(error)) from None
    tag = b"DeriveKeyPair" + context_string(mode)
    for counter in range(256):
        key = hash_to_scalar(start + bytes((counter,)), tag)
        if key != _ZERO:
            return key
    raise KeyDerivationError("the seed gives no key")


def hash_input(data: bytes, mode: Mode = Mode.VOPRF) -> Element:
    """H(input), which is what a key is applied to.

    :raises InputLengthError: more than 65,535 bytes.
    :raises InputError: the input hashes to the identity.
    """
    if len(data) > MAX_LENGTH:
        raise InputLengthError(f"an input has at most {MAX_LENGTH} bytes")
    try:
        return hash_to_element(data, _HASH_TAGS[mode])
    except IdentityElementError:
        raise InputError("the input hashes to the identity") from None


def blind_input(data: bytes, blind: Scalar, mode: Mode = Mode.VOPRF) -> Element:
    """Blind (sections 3.3.1, 3.3.2): blind·H(input), which says nothing about the input.

    :param blind: a fresh random scalar, secret, for this input and evaluation only: two elements
        under one blind show whether their inputs are equal.
    :raises InputLengthError: more than 65,535 bytes.
    :raises InputError: the input hashes to the identity.
    :raises ZeroScalarError: the blind is zero.
    """
    return multiply(blind, hash_input(data, mode))


def evaluate(key: Scalar, blinded: Sequence[Element]) -> tuple[Element, ...]:
    """BlindEvaluate without its proof: key·element for each element.

    Only elements that `decode_element` let pass may come here.

    :raises ZeroScalarError: the key is zero.
    """
    return tuple(multiply(key, element) for element in blinded)


def prove_evaluation(
    key: Scalar,
    public: Element,
    blinded: Sequence[Element],
    evaluated: Sequence[Element],
    nonce: Scalar,
) -> bytes:
    """The proof of BlindEvaluate in mode VOPRF (section 3.3.2), one for the whole batch.

    :param public: key·G.
    :param nonce: a fresh random scalar that nobody ever learns; used twice, it betrays the key.
    :raises EvaluationStatementError: not one evaluated element for each of 1 to 65,535 blinded.
    :raises ZeroScalarError: key or nonce is zero.
    """
    try:
        return dleq.prove_equality(
            key, dleq.GENERATOR, public, blinded, evaluated, nonce, _VOPRF_CONTEXT
        )
    except dleq.EqualityStatementError as error:
        raise EvaluationStatementError(str(error)) from None


def verify_evaluation(
    public: Element, blinded: Sequence[Element], evaluated: Sequence[Element], proof: bytes
) -> None:
    """Verify the proof of `prove_evaluation`: the first half of Finalize in mode VOPRF.

    :raises EvaluationProofError: it does not hold (EvaluationProofFormatError: it is no proof at
        all; EvaluationStatementError: not one evaluated element for each of 1 to 65,535 blinded).
    """
    try:
        dleq.verify_equality(dleq.GENERATOR, public, blinded, evaluated, proof, _VOPRF_CONTEXT)
    except dleq.EqualityProofFormatError as error:
        raise EvaluationProofFormatError(str(error)) from None
    except dleq.EqualityStatementError as error:
        raise EvaluationStatementError(str(error)) from None
    except dleq.EqualityProofError as error:
        raise EvaluationProofError(
            f"not evaluated with the key of the public key: {error}"
        ) from None


def unblind(evaluated: Element, blind: Scalar) -> Element:
    """blind⁻¹·evaluated = key·H(input).

    :raises ZeroScalarError: the blind is zero.
    """
    return multiply(invert_scalar(blind), evaluated)


def finalize(data: bytes, unblinded: Element) -> bytes:
    """The function's value, 64 bytes: the last step of Finalize in both modes.

    :raises InputLengthError: the input has more than 65,535 bytes.
    """
    if len(data) > MAX_LENGTH:
        raise InputLengthError(f"an input has at most {MAX_LENGTH} bytes")
    return sha512(sized(data) + sized(unblinded) + b"Finalize").digest()
