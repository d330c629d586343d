"""Ed25519 (RFC 8032) through libsodium: strict verification, deterministic signatures.

libsodium refuses an S that is not below the group's order (RFC 8032 §8.4: malleability), an R or a
public key of small order, and a public key that is not canonically encoded. It compares R byte by
byte, so a non-canonical R never holds. It does take public keys with a component of small order:
verifiers that clear the cofactor and those that don't then disagree about some signatures. No
honest key is like that; here such keys are refused too, once per key.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from proofs.errors import ProofsError

SEED_BYTES: Final = 32
PUBLIC_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class KeyLengthError(ProofsError):
    """A private seed is not 32 bytes."""


def public_key(seed: bytes) -> bytes:
    """Return the public key (32 bytes) of a private seed (32 bytes), RFC 8032 §5.1.5.

    :raises KeyLengthError: the seed is not 32 bytes.
    """
    return _keypair(seed)[0]


def sign(seed: bytes, message: bytes) -> bytes:
    """Return the signature (64 bytes) of a message under a private seed, RFC 8032 §5.1.6.

    The public key that goes into the hash is always derived from the seed: were it handed in, a
    wrong one would give the private key away.

    :raises KeyLengthError: the seed is not 32 bytes.
    """
    return crypto_sign(message, _keypair(seed)[1])[:SIGNATURE_BYTES]


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a signature of a message holds under a public key, RFC 8032 §5.1.7, strictly.

    False for a key or a signature of a wrong length, and for a key that is not acceptable.
    """
    # libsodium reads 32 bytes of key and 64 of signature without looking at lengths.
    if len(signature) != SIGNATURE_BYTES or not is_acceptable_key(public):
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


@lru_cache(maxsize=4096)
def is_acceptable_key(public: bytes) -> bool:
    """Tell whether a public key is a canonical encoding of a point of prime order.

    About as dear as a verification, so the answer is kept for the few thousand keys used last.
    """
    return len(public) == PUBLIC_BYTES and crypto_core_ed25519_is_valid_point(public)


def _keypair(seed: bytes) -> tuple[bytes, bytes]:
    if len(seed) != SEED_BYTES:
        raise KeyLengthError("an Ed25519 seed is 32 bytes")
    return crypto_sign_seed_keypair(seed)
