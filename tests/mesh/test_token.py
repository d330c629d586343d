"""Tokens from function values: every member must compute the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.token import token_hex, token_of_output, token_scalar
from proofs.holder import prove_holding, verify_holding
from proofs.oprf import blind_input, evaluate, finalize, unblind
from proofs.ristretto import (
    ORDER,
    InvalidScalarError,
    ZeroScalarError,
    multiply_base,
    random_scalars,
    scalar,
)

FEW = settings(max_examples=25, deadline=None)
outputs = st.binary(min_size=64, max_size=64).filter(
    lambda data: int.from_bytes(data, "little") % ORDER
)


@FEW
@given(outputs)
def test_a_token_is_the_reduced_output_times_the_generator(output: bytes) -> None:
    x = token_scalar(output)
    assert x == scalar(int.from_bytes(output, "little"))
    assert token_hex(x) == token_of_output(output) == multiply_base(x).hex()


@FEW
@given(outputs)
def test_who_has_the_output_can_prove_the_token(output: bytes) -> None:
    proof = prove_holding([token_scalar(output)], b"context", bytes(32))
    verify_holding([bytes.fromhex(token_of_output(output))], b"context", proof)


def test_two_members_make_one_token_of_one_window() -> None:
    key, first, second = random_scalars(bytes(32), b"token", 3)
    window = b"w" * 32
    tokens = {
        token_of_output(
            finalize(window, unblind(evaluate(key, [blind_input(window, blind)])[0], blind))
        )
        for blind in (first, second)
    }
    # Pinned: another token for one window would split the mesh.
    assert tokens == {"7ac822b9537d64b6c8b5993799a32b04e3933ae03ff49b5f04a1e221a7617c76"}


def test_an_output_is_64_bytes() -> None:
    for size in (0, 32, 63, 65):
        with pytest.raises(InvalidScalarError, match="64 bytes"):
            token_scalar(bytes(size))


@pytest.mark.parametrize("value", [0, ORDER, 2 * ORDER, ORDER << 100])
def test_zero_makes_no_token(value: int) -> None:
    output = value.to_bytes(64, "little")
    for use in (token_scalar, token_of_output):
        with pytest.raises(ZeroScalarError):
            use(output)
    with pytest.raises(ZeroScalarError):
        token_hex(scalar(0))
