"""Encryption to a ristretto255 key whose result the receiver can open before everybody.

Hashed ElGamal: with a fresh scalar e, the receiver's key PK = sk·G and E = e·G,

    K    = e·PK = sk·E
    key  = first 32 bytes of SHA-512(label ‖ SHA-512(context) ‖ E ‖ PK ‖ K)
    sealed = E ‖ XSalsa20-Poly1305(key, nonce 0, plaintext)

A key encrypts one message and no other, so that the nonce need not vary: e is drawn from the
seed, the context, the receiver *and the plaintext*. Even a seed that is used twice gives the same
sealed bytes or another key, never two messages under one key.

If what is inside is wrong, the receiver *exposes* it: it publishes K with a proof that
log_G(PK) = log_E(K) (RFC 9497, section 2.2). Whoever has K opens this one message; sk stays
secret, and the receiver can't lie about K.

**Before a receiver exposes anything, the sender must have proven that it knows e under its own
name** (`dealing` does that). Otherwise a cheat sends an honest sender's E as its own; the receiver
finds rubbish, exposes K, and so opens the honest sender's message to the world.
"""

from hashlib import sha512
from typing import Final

from nacl.bindings import crypto_secretbox_easy, crypto_secretbox_open_easy
from nacl.exceptions import CryptoError

from proofs.dleq import GENERATOR, EqualityProofError, prove_equality, verify_equality
from proofs.ristretto import (
    ELEMENT_BYTES,
    Element,
    InvalidElementError,
    Scalar,
    decode_element,
    multiply,
    multiply_base,
    random_scalars,
)
from proofs.threshold.errors import DealerFaultError, ThresholdError

TAG_BYTES: Final = 16
SEAL_OVERHEAD: Final = ELEMENT_BYTES + TAG_BYTES
"""How many bytes longer a sealed message is than its plaintext."""
EXPOSURE_BYTES: Final = ELEMENT_BYTES + 64
"""K and the proof of equality."""

_LABEL: Final = b"signal-mesh/v1/sealing"
_NONCE: Final = bytes(24)


class SealError(DealerFaultError):
    """A sealed message does not open: it was made for another key or context, or is garbage."""


class ExposureError(ThresholdError):
    """An exposure does not show the message's Diffie–Hellman point: it was made up, or it belongs
    to another message."""


def draw_ephemeral(receiver: Element, plaintext: bytes, seed: bytes, context: bytes) -> Scalar:
    """The scalar e that `seal` uses for these arguments, for a proof that the sender knows it.

    :raises InvalidScalarError: the seed has fewer than 32 bytes.
    """
    bound = sha512(sha512(context).digest() + receiver + plaintext).digest()
    return random_scalars(seed, _LABEL + b" ephemeral" + bound, 1)[0]


def seal(receiver: Element, plaintext: bytes, seed: bytes, context: bytes) -> bytes:
    """Encrypt to a receiver.

    :param seed: at least 32 secret random bytes.
    :param context: what the message is for; whoever opens it must name the same.
    :raises InvalidScalarError: the seed is shorter.
    """
    return seal_with(
        draw_ephemeral(receiver, plaintext, seed, context), receiver, plaintext, context
    )


def seal_with(ephemeral: Scalar, receiver: Element, plaintext: bytes, context: bytes) -> bytes:
    """Encrypt with a scalar of `draw_ephemeral` for just these arguments, and no other.

    :raises ZeroScalarError: the scalar is zero.
    """
    point = multiply_base(ephemeral)
    key = _key(point, receiver, multiply(ephemeral, receiver), context)
    return point + crypto_secretbox_easy(plaintext, _NONCE, key)


def ephemeral_element(sealed: bytes) -> Element:
    """E, the first 32 bytes of a sealed message.

    :raises SealError: the message is too short, or its E is no element.
    """
    if len(sealed) < SEAL_OVERHEAD:
        raise SealError("the sealed message is cut short")
    try:
        return decode_element(sealed[:ELEMENT_BYTES])
    except InvalidElementError as error:
        raise SealError(f"the sealed message has no Diffie–Hellman point: {error}") from None


def open_sealed(key: Scalar, sealed: bytes, context: bytes) -> bytes:
    """Decrypt with the receiver's private key.

    :raises SealError: it does not open with this key under this context.
    :raises ZeroScalarError: the key is zero.
    """
    point = ephemeral_element(sealed)
    return _open(sealed, _key(point, multiply_base(key), multiply(key, point), context))


def expose(key: Scalar, sealed: bytes, seed: bytes, context: bytes) -> bytes:
    """Publish what opens this one message, with the proof that it does: 96 bytes.

    Only expose a message whose sender has proven that it knows the message's e (see above).

    :param seed: at least 32 secret random bytes.
    :raises SealError: the message has no Diffie–Hellman point that could be exposed.
    :raises InvalidScalarError: the seed is shorter.
    """
    point = ephemeral_element(sealed)
    receiver, shared = multiply_base(key), multiply(key, point)
    # The nonce depends on the key as well, so that a seed that repeats betrays nothing.
    bound = sha512(sha512(context).digest() + receiver + point).digest()
    nonce = random_scalars(seed + key, _LABEL + b" exposure" + bound, 1)[0]
    proof = prove_equality(
        key, GENERATOR, receiver, [point], [shared], nonce, _proof_context(context)
    )
    return shared + proof


def open_exposed(receiver: Element, sealed: bytes, exposure: bytes, context: bytes) -> bytes:
    """Decrypt with what the receiver exposed.

    :param receiver: the receiver's public key.
    :raises ExposureError: the exposure is false; nothing is said about the message.
    :raises SealError: the exposure is right and the message does not open: the sender's fault.
    """
    point = ephemeral_element(sealed)
    try:
        shared = decode_element(exposure[:ELEMENT_BYTES])
        verify_equality(
            GENERATOR,
            receiver,
            [point],
            [shared],
            exposure[ELEMENT_BYTES:],
            _proof_context(context),
        )
    except (InvalidElementError, EqualityProofError) as error:
        raise ExposureError(f"the exposed point is not proven: {error}") from None
    return _open(sealed, _key(point, receiver, shared, context))


def _open(sealed: bytes, key: bytes) -> bytes:
    try:
        return crypto_secretbox_open_easy(sealed[ELEMENT_BYTES:], _NONCE, key)
    except CryptoError:
        raise SealError("the sealed message does not open with its receiver's key") from None


def _key(point: Element, receiver: Element, shared: Element, context: bytes) -> bytes:
    hashed = _LABEL + b" key" + sha512(context).digest() + point + receiver + shared
    return sha512(hashed).digest()[:32]


def _proof_context(context: bytes) -> bytes:
    return _LABEL + b" exposure" + sha512(context).digest()
