"""Ed25519 (RFC 8032) through libsodium: strict verification, deterministic signatures."""

from __future__ import annotations

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from proofs.errors import ProofsError

SEED_BYTES = 32
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64


class KeyLengthError(ProofsError):
    """A key is not 32 bytes."""


def public_key(seed: bytes) -> bytes:
    """Public key (32 bytes) of a private seed (32 bytes)."""
    if len(seed) != SEED_BYTES:
        raise KeyLengthError("an Ed25519 seed is 32 bytes")
    return bytes(crypto_sign_seed_keypair(seed)[0])


def sign(seed: bytes, message: bytes) -> bytes:
    """Signature (64 bytes) of a message."""
    if len(seed) != SEED_BYTES:
        raise KeyLengthError("an Ed25519 seed is 32 bytes")
    return bytes(crypto_sign(message, crypto_sign_seed_keypair(seed)[1])[:SIGNATURE_BYTES])


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature holds. libsodium refuses non-canonical S, R and low-order keys."""
    if len(public) != PUBLIC_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True
