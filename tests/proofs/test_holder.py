"""Holder proofs: who knows all the scalars can make one, in one context; nobody else can."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.holder import (
    HOLDER_PROOF_BYTES,
    EntropyLengthError,
    FalseHolderProofError,
    HolderProofError,
    HolderProofFormatError,
    NoTokensError,
    RepeatedTokenError,
    prove_holding,
    token_of,
    verify_holding,
)
from proofs.ristretto import (
    ORDER,
    IdentityElementError,
    InvalidElementError,
    Scalar,
    ZeroScalarError,
    add_scalars,
    invert_scalar,
    multiply,
    multiply_base,
    multiply_scalars,
    random_scalars,
    reduce_scalar,
    scalar,
    subtract,
    subtract_scalars,
)
from proofs.transcript import Transcript

FEW = settings(max_examples=25, deadline=None)
ENTROPY = bytes(range(32))
XS = random_scalars(bytes(32), b"holder", 4)
TOKENS = [token_of(x) for x in XS]
CONTEXT = b"a signal"
PROOF = prove_holding(XS, CONTEXT, ENTROPY)


def challenge(tokens: list[bytes], context: bytes, r: bytes) -> Scalar:
    transcript = Transcript(b"signal-mesh/v1/holder proof")
    transcript.absorb(b"context", context)
    transcript.absorb(b"count", len(tokens).to_bytes(8, "big"))
    for token in tokens:
        transcript.absorb(b"token", token)
    transcript.absorb(b"R", r)
    return reduce_scalar(transcript.challenge_bytes(b"c"))


@FEW
@given(
    st.lists(st.integers(1, ORDER - 1), min_size=1, max_size=32, unique=True),
    st.binary(max_size=40),
    st.binary(min_size=32, max_size=64),
)
def test_an_honest_proof_verifies(values: list[int], context: bytes, entropy: bytes) -> None:
    xs = [scalar(value) for value in values]
    proof = prove_holding(xs, context, entropy)
    assert len(proof) == HOLDER_PROOF_BYTES
    verify_holding([token_of(x) for x in xs], context, proof)


def test_the_proof_is_what_its_text_says() -> None:
    r, z = PROOF[:32], int.from_bytes(PROOF[32:], "little")
    c = int.from_bytes(challenge(TOKENS, CONTEXT, r), "little")
    xs = [int.from_bytes(x, "little") for x in XS]
    k = z - sum(pow(c, i, ORDER) * x for i, x in enumerate(xs, start=1))
    assert multiply_base(scalar(k)) == r


def test_the_statement_counts_in_every_part() -> None:
    stranger = token_of(scalar(5))
    for tokens, context in (
        (TOKENS, CONTEXT + b"!"),
        (TOKENS, b""),
        (TOKENS[::-1], CONTEXT),
        (TOKENS[:3], CONTEXT),
        ([*TOKENS, stranger], CONTEXT),
        ([stranger, *TOKENS[1:]], CONTEXT),
        ([*TOKENS[:3], stranger], CONTEXT),
    ):
        with pytest.raises(FalseHolderProofError):
            verify_holding(tokens, context, PROOF)


def test_a_part_can_not_move_from_the_context_into_the_tokens() -> None:
    moved = CONTEXT + TOKENS[0]
    with pytest.raises(FalseHolderProofError):
        verify_holding(TOKENS[1:], moved, PROOF)


def test_each_bit_of_the_proof_counts() -> None:
    for at in range(8 * HOLDER_PROOF_BYTES):
        bent = bytearray(PROOF)
        bent[at // 8] ^= 1 << at % 8
        with pytest.raises(HolderProofError):
            verify_holding(TOKENS, CONTEXT, bytes(bent))


def test_a_proof_has_one_spelling() -> None:
    z = int.from_bytes(PROOF[32:], "little")
    twice = PROOF[:32] + (z + ORDER).to_bytes(32, "little")
    with pytest.raises(HolderProofFormatError, match="order"):
        verify_holding(TOKENS, CONTEXT, twice)
    for bad in (b"", PROOF[:-1], PROOF + b"\0"):
        with pytest.raises(HolderProofFormatError, match="64 bytes"):
            verify_holding(TOKENS, CONTEXT, bad)


def test_identity_and_zero_in_a_proof_are_refused() -> None:
    for bad in (bytes(32) + PROOF[32:], PROOF[:32] + bytes(32), b"\xff" * 64):
        with pytest.raises(HolderProofFormatError, match="malformed"):
            verify_holding(TOKENS, CONTEXT, bad)


def test_a_repeated_token_is_refused() -> None:
    for xs in ([XS[0], XS[0]], [XS[0], XS[1], XS[0]]):
        with pytest.raises(RepeatedTokenError):
            prove_holding(xs, CONTEXT, ENTROPY)
        with pytest.raises(RepeatedTokenError):
            verify_holding([token_of(x) for x in xs], CONTEXT, PROOF)


def test_no_token_is_refused() -> None:
    with pytest.raises(NoTokensError):
        prove_holding([], CONTEXT, ENTROPY)
    with pytest.raises(NoTokensError):
        verify_holding([], CONTEXT, PROOF)


def test_foreign_tokens_are_decoded() -> None:
    for bad in (b"", TOKENS[0][:31], b"\xff" * 32):
        with pytest.raises(InvalidElementError):
            verify_holding([*TOKENS[:3], bad], CONTEXT, PROOF)
    with pytest.raises(IdentityElementError):
        verify_holding([*TOKENS[:3], bytes(32)], CONTEXT, PROOF)


def test_zero_has_no_token() -> None:
    with pytest.raises(ZeroScalarError):
        token_of(scalar(0))
    with pytest.raises(ZeroScalarError):
        prove_holding([XS[0], scalar(0)], CONTEXT, ENTROPY)


def test_the_scalars_of_all_but_one_token_are_not_enough() -> None:
    stolen = token_of(scalar(424242))
    for place in range(4):
        tokens = [*TOKENS[:place], stolen, *TOKENS[place + 1 :]]
        guess = [*XS[:place], scalar(1), *XS[place + 1 :]]
        proof = prove_holding(guess, CONTEXT, ENTROPY)
        with pytest.raises(FalseHolderProofError):
            verify_holding(tokens, CONTEXT, proof)


def test_an_announcement_made_to_fit_a_challenge_does_not_hold() -> None:
    """With c and z chosen first, R = z·G − c·T fits the equation. But c is a hash of R."""
    stolen = token_of(scalar(424242))
    c, z = random_scalars(bytes(32), b"forger", 2)
    r = subtract(multiply_base(z), multiply(c, stolen))
    assert multiply_base(z) != r
    with pytest.raises(FalseHolderProofError):
        verify_holding([stolen], CONTEXT, r + z)


def test_a_token_made_to_cancel_another_does_not_help() -> None:
    # T_2 = −c'·T_1 + x·G cancels a stolen T_1 for the challenge c', which the tokens then change.
    stolen = token_of(scalar(424242))
    x, k = random_scalars(bytes(32), b"forger", 2)
    r = multiply_base(k)
    guess = challenge([stolen, stolen], CONTEXT, r)
    rogue = subtract(multiply_base(x), multiply(invert_scalar(guess), stolen))
    c = challenge([stolen, rogue], CONTEXT, r)
    for use in (guess, c):
        z = add_scalars(k, multiply_scalars(multiply_scalars(use, use), x))
        with pytest.raises(FalseHolderProofError):
            verify_holding([stolen, rogue], CONTEXT, r + z)


def test_who_knows_a_challenge_of_degree_n_extracts_every_scalar() -> None:
    # Soundness: n + 1 transcripts with one R give k and all x. Here n = 1.
    x, k = random_scalars(bytes(32), b"extract", 2)
    c1, c2 = scalar(1111), scalar(2222)
    z1, z2 = (add_scalars(k, multiply_scalars(c, x)) for c in (c1, c2))
    found = multiply_scalars(subtract_scalars(z1, z2), invert_scalar(subtract_scalars(c1, c2)))
    assert found == x


def test_the_nonce_depends_on_entropy_scalars_and_context() -> None:
    announcements = {
        prove_holding(xs, context, entropy)[:32]
        for xs, context, entropy in (
            (XS, CONTEXT, ENTROPY),
            (XS, CONTEXT + b"!", ENTROPY),
            (XS[::-1], CONTEXT, ENTROPY),
            (XS[:3], CONTEXT, ENTROPY),
            (XS, CONTEXT, ENTROPY + b"\0"),
            (XS, CONTEXT, bytes(32)),
        )
    }
    assert len(announcements) == 6
    assert prove_holding(XS, CONTEXT, ENTROPY) == PROOF


def test_a_proof_needs_32_bytes_of_entropy() -> None:
    with pytest.raises(EntropyLengthError):
        prove_holding(XS, CONTEXT, bytes(31))


def test_a_proof_of_fixed_arguments_never_changes() -> None:
    # Equal on every machine, so that a change of the hash's input shows.
    assert PROOF.hex() == (
        "482e1336f2f679125af46dc05f15424ebe2f05538dbe61d360117cf3b31d2d51"
        "9219d74d04a452bff1c1529ddc152ec55fd58d144e1f873f79d43d87fedd0c01"
    )
