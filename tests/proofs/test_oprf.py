"""The oblivious function: both sides agree, and nobody gets past a check. Vectors: conformance."""

from hashlib import sha512

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs import dleq
from proofs.oprf import (
    OUTPUT_BYTES,
    PROOF_BYTES,
    EvaluationProofError,
    EvaluationProofFormatError,
    EvaluationStatementError,
    InputError,
    InputLengthError,
    KeyDerivationError,
    Mode,
    blind_input,
    context_string,
    derive_key,
    evaluate,
    finalize,
    hash_input,
    protocol,
    prove_evaluation,
    unblind,
    verify_evaluation,
)
from proofs.ristretto import (
    IdentityElementError,
    ZeroScalarError,
    multiply,
    multiply_base,
    random_scalars,
    scalar,
)

FEW = settings(max_examples=20, deadline=None)
KEY, NONCE, BLIND, OTHER = random_scalars(bytes(32), b"test", 4)
PUBLIC = multiply_base(KEY)
keys = st.integers(1, 2**252).map(scalar)


@FEW
@given(keys, keys, keys, st.binary(max_size=100), st.sampled_from(Mode))
def test_the_value_does_not_depend_on_the_blind(
    key: bytes, first: bytes, second: bytes, data: bytes, mode: Mode
) -> None:
    outputs = {
        finalize(data, unblind(evaluate(key, [blind_input(data, blind, mode)])[0], blind))
        for blind in (first, second)
    }
    assert outputs == {finalize(data, multiply(key, hash_input(data, mode)))}
    assert len(outputs.pop()) == OUTPUT_BYTES


@FEW
@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), keys, keys)
def test_an_honest_evaluation_verifies(inputs: list[bytes], key: bytes, nonce: bytes) -> None:
    blinded = [blind_input(data, BLIND) for data in inputs]
    evaluated = evaluate(key, blinded)
    proof = prove_evaluation(key, multiply_base(key), blinded, evaluated, nonce)
    assert len(proof) == PROOF_BYTES
    verify_evaluation(multiply_base(key), blinded, evaluated, proof)


def test_values_and_elements_differ_by_input_key_and_mode() -> None:
    assert hash_input(b"a") != hash_input(b"b")
    assert hash_input(b"a") == hash_input(b"a", Mode.VOPRF) != hash_input(b"a", Mode.OPRF)
    assert blind_input(b"a", BLIND) == multiply(BLIND, hash_input(b"a"))
    assert evaluate(KEY, [PUBLIC]) != evaluate(OTHER, [PUBLIC])
    # The input is hashed with its length, so it can't run into the element.
    assert finalize(b"a", PUBLIC) != finalize(b"b", PUBLIC)
    expected = sha512(b"\x00\x01a\x00\x20" + PUBLIC + b"Finalize").digest()
    assert finalize(b"a", PUBLIC) == expected


def test_an_evaluation_with_another_key_is_refused() -> None:
    blinded = [blind_input(data, BLIND) for data in (b"a", b"b")]
    right = evaluate(KEY, blinded)
    wrong = (right[0], multiply(OTHER, blinded[1]))
    for evaluated, key in ((wrong, KEY), (evaluate(OTHER, blinded), OTHER), (right[::-1], KEY)):
        proof = prove_evaluation(key, PUBLIC, blinded, evaluated, NONCE)
        with pytest.raises(EvaluationProofError, match="not evaluated with the key"):
            verify_evaluation(PUBLIC, blinded, evaluated, proof)


def test_a_proof_of_the_mode_oprf_context_is_refused() -> None:
    blinded = [blind_input(b"a", BLIND)]
    evaluated = evaluate(KEY, blinded)
    context = context_string(Mode.OPRF)
    proof = dleq.prove_equality(KEY, dleq.GENERATOR, PUBLIC, blinded, evaluated, NONCE, context)
    with pytest.raises(EvaluationProofError):
        verify_evaluation(PUBLIC, blinded, evaluated, proof)


def test_errors_of_a_proof_have_names() -> None:
    blinded = [blind_input(data, BLIND) for data in (b"a", b"b")]
    evaluated = evaluate(KEY, blinded)
    proof = prove_evaluation(KEY, PUBLIC, blinded, evaluated, NONCE)
    with pytest.raises(EvaluationProofFormatError):
        verify_evaluation(PUBLIC, blinded, evaluated, proof[:-1])
    with pytest.raises(EvaluationProofFormatError):
        verify_evaluation(PUBLIC, blinded, evaluated, b"\xff" * PROOF_BYTES)
    for count in (0, 1):
        with pytest.raises(EvaluationStatementError):
            verify_evaluation(PUBLIC, blinded, evaluated[:count], proof)
        with pytest.raises(EvaluationStatementError):
            prove_evaluation(KEY, PUBLIC, blinded[:count], evaluated, NONCE)
    with pytest.raises(EvaluationStatementError):
        verify_evaluation(PUBLIC, [], [], proof)


def test_an_input_has_at_most_65535_bytes() -> None:
    longest = bytes(65_535)
    assert finalize(longest, hash_input(longest))
    for use in (
        lambda: hash_input(longest + b"\0"),
        lambda: blind_input(longest + b"\0", BLIND),
        lambda: finalize(longest + b"\0", PUBLIC),
    ):
        with pytest.raises(InputLengthError):
            use()


def test_an_input_that_hashes_to_the_identity_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody can find such an input, so the map is made to give the identity.
    def to_identity(message: bytes, tag: bytes) -> bytes:
        raise IdentityElementError("the result is the identity")

    monkeypatch.setattr(protocol, "hash_to_element", to_identity)
    for use in (lambda: hash_input(b"a"), lambda: blind_input(b"a", BLIND)):
        with pytest.raises(InputError, match="identity"):
            use()


def test_zero_is_no_blind_and_no_key() -> None:
    zero = scalar(0)
    for use in (
        lambda: blind_input(b"a", zero),
        lambda: unblind(PUBLIC, zero),
        lambda: evaluate(zero, [PUBLIC]),
    ):
        with pytest.raises(ZeroScalarError):
            use()


def test_keys_follow_from_seed_info_and_mode() -> None:
    seed = bytes(32)
    key = derive_key(seed, b"info")
    assert key == derive_key(seed, b"info", Mode.VOPRF)
    assert len({key, derive_key(seed, b"infO"), derive_key(seed, b"info", Mode.OPRF)}) == 3
    assert derive_key(bytes(31) + b"\1", b"info") != key


def test_a_key_comes_from_32_bytes_and_a_short_info() -> None:
    for size in (0, 31, 33):
        with pytest.raises(KeyDerivationError, match="32 bytes"):
            derive_key(bytes(size), b"")
    with pytest.raises(KeyDerivationError, match="65535"):
        derive_key(bytes(32), bytes(65_536))


def test_a_key_of_zero_is_drawn_again_and_in_the_end_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = protocol.hash_to_scalar
    drawn: list[bytes] = []

    def zero_at_first(message: bytes, tag: bytes) -> bytes:
        drawn.append(message)
        return scalar(0) if len(drawn) < 3 else real(message, tag)

    monkeypatch.setattr(protocol, "hash_to_scalar", zero_at_first)
    assert derive_key(bytes(32), b"") != scalar(0)
    assert [message[-1] for message in drawn] == [0, 1, 2]
    monkeypatch.setattr(protocol, "hash_to_scalar", lambda message, tag: scalar(0))
    with pytest.raises(KeyDerivationError, match="no key"):
        derive_key(bytes(32), b"")
