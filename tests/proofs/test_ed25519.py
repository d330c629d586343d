"""Ed25519: RFC 8032 test vectors, and the keys and signatures that must be refused."""

from hashlib import sha512

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings
from nacl.exceptions import BadSignatureError

from proofs.ed25519 import KeyLengthError, is_acceptable_key, public_key, sign, verify

ORDER = 2**252 + 27742317777372353535851937790883648493
PRIME = 2**255 - 19
SEED = bytes(range(32))
PUBLIC = public_key(SEED)
MESSAGE = b"a message"
SIGNATURE = sign(SEED, MESSAGE)

# The points of order 1, 2, 4 (two), 8 (two up to sign), and encodings of some past the prime.
SMALL_ORDER = [
    (1).to_bytes(32, "little"),
    (PRIME - 1).to_bytes(32, "little"),
    bytes(32),
    bytes(31) + b"\x80",
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    PRIME.to_bytes(32, "little"),
    (PRIME + 1).to_bytes(32, "little"),
    (1 | 1 << 255).to_bytes(32, "little"),
]
ORDER_8 = SMALL_ORDER[4]


def base_times(scalar: int) -> bytes:
    return bindings.crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little"))


def challenge(r: bytes, public: bytes, message: bytes) -> int:
    return int.from_bytes(sha512(r + public + message).digest(), "little") % ORDER


def private_scalar(seed: bytes) -> int:
    scalar = int.from_bytes(sha512(seed).digest()[:32], "little")
    return (scalar & ((1 << 254) - 8)) | (1 << 254)


def libsodium_accepts(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        bindings.crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


@pytest.mark.parametrize(
    ("seed", "public", "message", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)
def test_rfc_8032_section_7_1(seed: str, public: str, message: str, signature: str) -> None:
    assert public_key(bytes.fromhex(seed)).hex() == public
    assert sign(bytes.fromhex(seed), bytes.fromhex(message)).hex() == signature
    assert verify(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_what_is_signed_verifies(seed: bytes, message: bytes) -> None:
    signature = sign(seed, message)
    assert verify(public_key(seed), message, signature)
    assert sign(seed, message) == signature


@given(st.integers(0, 8 * 64 - 1))
def test_a_changed_bit_of_the_signature_is_refused(bit: int) -> None:
    changed = (int.from_bytes(SIGNATURE, "big") ^ 1 << bit).to_bytes(64, "big")
    assert not verify(PUBLIC, MESSAGE, changed)


def test_another_message_or_key_is_refused() -> None:
    assert verify(PUBLIC, MESSAGE, SIGNATURE)
    assert not verify(PUBLIC, MESSAGE + b"\x00", SIGNATURE)
    assert not verify(public_key(bytes(32)), MESSAGE, SIGNATURE)


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_lengths_of_keys(length: int) -> None:
    assert not verify(bytes(length), MESSAGE, SIGNATURE)
    assert not verify((PUBLIC * 2)[:length], MESSAGE, SIGNATURE)
    with pytest.raises(KeyLengthError):
        sign(bytes(length), MESSAGE)
    with pytest.raises(KeyLengthError):
        public_key(bytes(length))


@pytest.mark.parametrize("length", [0, 32, 63, 65, 128])
def test_lengths_of_signatures(length: int) -> None:
    assert not verify(PUBLIC, MESSAGE, (SIGNATURE * 2)[:length])


def test_a_signature_does_not_spill_into_the_message() -> None:
    # Signature and message are handed to libsodium as one string.
    assert not verify(PUBLIC, MESSAGE[1:], SIGNATURE + MESSAGE[:1])
    assert not verify(PUBLIC, SIGNATURE[63:] + MESSAGE, SIGNATURE[:63])


def test_a_scalar_past_the_order_is_refused() -> None:
    scalar = int.from_bytes(SIGNATURE[32:], "little")
    for multiple in range(1, 16):
        forged = scalar + multiple * ORDER
        if forged < 1 << 256:
            assert not verify(PUBLIC, MESSAGE, SIGNATURE[:32] + forged.to_bytes(32, "little"))


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_a_key_of_small_order_signs_nothing(public: bytes) -> None:
    # Under such a key R = [S]B satisfies the equation for a share of all messages.
    signatures = [base_times(s) + s.to_bytes(32, "little") for s in range(1, 17)]
    assert not is_acceptable_key(public)
    assert not any(verify(public, MESSAGE, signature) for signature in signatures)
    assert not any(libsodium_accepts(public, MESSAGE, signature) for signature in signatures)


@pytest.mark.parametrize("r", SMALL_ORDER)
def test_an_r_of_small_order_is_refused(r: bytes) -> None:
    # S = h·a makes [S]B - [h]A the identity: it equals R when that is the identity.
    scalar = challenge(r, PUBLIC, MESSAGE) * private_scalar(SEED) % ORDER
    assert not verify(PUBLIC, MESSAGE, r + scalar.to_bytes(32, "little"))


def test_an_r_with_a_small_component_is_refused() -> None:
    r = bindings.crypto_core_ed25519_add(base_times(7), ORDER_8)
    scalar = (7 + challenge(r, PUBLIC, MESSAGE) * private_scalar(SEED)) % ORDER
    assert not verify(PUBLIC, MESSAGE, r + scalar.to_bytes(32, "little"))


def test_a_key_with_a_small_component_is_refused_although_libsodium_takes_it() -> None:
    public = bindings.crypto_core_ed25519_add(PUBLIC, ORDER_8)
    taken = 0
    for nonce in range(1, 65):
        r = base_times(nonce)
        scalar = (nonce + challenge(r, public, MESSAGE) * private_scalar(SEED)) % ORDER
        signature = r + scalar.to_bytes(32, "little")
        taken += libsodium_accepts(public, MESSAGE, signature)
        assert not verify(public, MESSAGE, signature)
    assert taken > 0
    assert not is_acceptable_key(public)


def test_a_key_that_is_no_point_is_refused() -> None:
    assert not is_acceptable_key((2).to_bytes(32, "little"))
    assert not is_acceptable_key(b"\xff" * 32)
    assert not verify(b"\xff" * 32, MESSAGE, SIGNATURE)
    assert is_acceptable_key(PUBLIC)
