"""Proofs of equality: complete, and sound against everything that is tried here."""

from dataclasses import dataclass, replace
from hashlib import sha512

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.dleq import (
    GENERATOR,
    PROOF_BYTES,
    EqualityProofError,
    EqualityProofFormatError,
    EqualityStatementError,
    prove_equality,
    verify_equality,
)
from proofs.expand import ExpansionTagError, FieldLengthError, expand_message, hash_to_scalar, sized
from proofs.ristretto import (
    ORDER,
    Element,
    Scalar,
    ZeroScalarError,
    add,
    add_scalars,
    invert_scalar,
    multiply,
    multiply_base,
    multiply_scalars,
    random_scalars,
    scalar,
    subtract,
    subtract_scalars,
)

FEW = settings(max_examples=20, deadline=None)
CONTEXT = b"a protocol"


@dataclass(frozen=True)
class Case:
    key: Scalar
    base: Element
    public: Element
    inputs: tuple[Element, ...]
    outputs: tuple[Element, ...]
    nonce: Scalar
    context: bytes = CONTEXT

    def prove(self) -> bytes:
        return prove_equality(
            self.key,
            self.base,
            self.public,
            self.inputs,
            self.outputs,
            self.nonce,
            self.context,
        )

    def verify(self, proof: bytes) -> None:
        verify_equality(self.base, self.public, self.inputs, self.outputs, proof, self.context)


def case(n: int = 3, seed: int = 0, base: Element = GENERATOR) -> Case:
    key, nonce, *rest = random_scalars(seed.to_bytes(32, "big"), b"case", n + 2)
    inputs = tuple(map(multiply_base, rest))
    outputs = tuple(multiply(key, element) for element in inputs)
    return Case(key, base, multiply(key, base), inputs, outputs, nonce)


OTHER_BASE = multiply_base(scalar(77))
bases = st.sampled_from([GENERATOR, OTHER_BASE])


@FEW
@given(st.integers(1, 8), st.integers(0, 2**64), bases)
def test_an_honest_proof_verifies(n: int, seed: int, base: Element) -> None:
    honest = case(n, seed, base)
    proof = honest.prove()
    assert len(proof) == PROOF_BYTES
    honest.verify(proof)


@pytest.mark.parametrize("base", [GENERATOR, OTHER_BASE])
def test_every_part_of_the_statement_counts(base: Element) -> None:
    honest = case(base=base)
    proof = honest.prove()
    stranger = multiply_base(scalar(5))
    a, b, c = honest.outputs
    others = [
        replace(honest, base=OTHER_BASE if base == GENERATOR else GENERATOR),
        replace(honest, public=stranger),
        replace(honest, inputs=(stranger, *honest.inputs[1:])),
        replace(honest, outputs=(stranger, b, c)),
        replace(honest, outputs=(a, b, stranger)),
        replace(honest, inputs=honest.inputs[:2], outputs=honest.outputs[:2]),
        replace(honest, inputs=honest.inputs[::-1], outputs=honest.outputs[::-1]),
        replace(honest, context=CONTEXT + b"!"),
    ]
    for other in others:
        with pytest.raises(EqualityProofError, match="false"):
            other.verify(proof)


def test_errors_in_a_batch_do_not_cancel() -> None:
    # Without random weights the sums of both sides would still agree.
    honest = case()
    a, b, c = honest.outputs
    shifted = replace(honest, outputs=(add(a, GENERATOR), subtract(b, GENERATOR), c))
    swapped = replace(honest, outputs=(b, a, c))
    for false in (shifted, swapped):
        with pytest.raises(EqualityProofError, match="false"):
            false.verify(false.prove())


def test_errors_made_to_cancel_under_known_weights_do_not_cancel() -> None:
    """Weights must depend on the outputs, or a prover adds errors that they make sum to nothing."""
    honest = case(2)
    seed = sized(sha512(sized(honest.public) + sized(b"Seed-" + CONTEXT)).digest())
    pairs = zip(honest.inputs, honest.outputs, strict=True)
    full = [seed + bytes((0, i)) + sized(c) + sized(d) for i, (c, d) in enumerate(pairs)]
    for weighed in (full, [seed + bytes((0, i)) for i in range(2)]):
        first, second = (
            hash_to_scalar(w + b"Composite", b"HashToScalar-" + CONTEXT) for w in weighed
        )
        ratio = multiply_scalars(first, invert_scalar(second))
        a, b = honest.outputs
        # first·G − second·(first/second)·G is nothing.
        outputs = (add(a, GENERATOR), subtract(b, multiply_base(ratio)))
        false = replace(honest, outputs=outputs)
        for proof in (honest.prove(), false.prove()):
            with pytest.raises(EqualityProofError, match="false"):
                false.verify(proof)


def test_a_proof_for_one_output_of_another_key_is_false() -> None:
    honest = case()
    false = replace(honest, outputs=(multiply(scalar(9), honest.inputs[0]), *honest.outputs[1:]))
    with pytest.raises(EqualityProofError, match="false"):
        false.verify(false.prove())


def test_a_proof_with_another_key_than_the_public_one_is_false() -> None:
    # All outputs are of one key, which is not the public key's: a whole shard swapped.
    honest = case()
    false = replace(honest, public=multiply_base(scalar(3)))
    with pytest.raises(EqualityProofError, match="false"):
        false.verify(false.prove())


def test_each_bit_of_the_proof_counts() -> None:
    honest = case()
    proof = honest.prove()
    for at in range(8 * PROOF_BYTES):
        bent = bytearray(proof)
        bent[at // 8] ^= 1 << at % 8
        with pytest.raises(EqualityProofError):
            honest.verify(bytes(bent))


def test_a_proof_has_one_spelling() -> None:
    honest = case()
    proof = honest.prove()
    for part in (slice(0, 32), slice(32, 64)):
        bent = bytearray(proof)
        bent[part] = (int.from_bytes(proof[part], "little") + ORDER).to_bytes(32, "little")
        with pytest.raises(EqualityProofFormatError, match="order"):
            honest.verify(bytes(bent))
    for bad in (b"", proof[:63], proof + b"\0"):
        with pytest.raises(EqualityProofFormatError, match="64 bytes"):
            honest.verify(bad)


@pytest.mark.parametrize("part", [slice(0, 32), slice(32, 64)])
def test_zero_in_a_proof_is_refused(part: slice) -> None:
    honest = case()
    bent = bytearray(honest.prove())
    bent[part] = bytes(32)
    with pytest.raises(EqualityProofError, match="degenerate"):
        honest.verify(bytes(bent))


def test_the_statement_is_pairs() -> None:
    honest = case()
    proof = honest.prove()
    many = (GENERATOR,) * 65_536
    for other in (
        replace(honest, inputs=(), outputs=()),
        replace(honest, inputs=honest.inputs[:2]),
        replace(honest, outputs=honest.outputs[:2]),
        replace(honest, inputs=many, outputs=many),
    ):
        with pytest.raises(EqualityStatementError, match="each with its output"):
            other.verify(proof)
        with pytest.raises(EqualityStatementError):
            other.prove()


def test_key_and_nonce_are_not_zero() -> None:
    zero = scalar(0)
    for broken in (replace(case(), key=zero), replace(case(), nonce=zero)):
        with pytest.raises(ZeroScalarError):
            broken.prove()


def test_a_base_chosen_after_the_challenge_proves_nothing() -> None:
    """The forgery that the RFC's hashes would allow if its base were anybody's choice.

    The forger knows no key: the outputs are of one it made up, the public key is a stranger's. With
    t2 and t3 committed to, it solves t2 = s·A + c·B for the base.
    """
    honest = case(1)
    k, r2, r3 = random_scalars(bytes(32), b"forger", 3)
    inputs, outputs = honest.inputs, (multiply(k, honest.inputs[0]),)
    public = multiply_base(scalar(12345))
    tag = b"HashToScalar-" + CONTEXT
    seed = sized(sha512(sized(public) + sized(b"Seed-" + CONTEXT)).digest())
    weight = hash_to_scalar(
        seed + b"\0\0" + sized(inputs[0]) + sized(outputs[0]) + b"Composite", tag
    )
    m = multiply(weight, inputs[0])
    z = multiply(k, m)
    t2, t3 = multiply_base(r2), multiply(r3, m)
    c = hash_to_scalar(b"".join(map(sized, (public, m, z, t2, t3))) + b"Challenge", tag)
    s = subtract_scalars(r3, multiply_scalars(c, k))
    base = multiply(invert_scalar(s), subtract(t2, multiply(c, public)))
    # The equations hold …
    assert add(multiply(s, base), multiply(c, public)) == t2
    assert add(multiply(s, m), multiply(c, z)) == t3
    # … and the proof does not, because the challenge depends on the base.
    with pytest.raises(EqualityProofError, match="false"):
        verify_equality(base, public, inputs, outputs, c + s, CONTEXT)


def test_a_nonce_used_twice_betrays_the_key() -> None:
    # Why callers must never repeat one: this is what the docstring warns of.
    one, two = case(1), case(2)
    same = replace(two, key=one.key, public=one.public, nonce=one.nonce)
    same = replace(same, outputs=tuple(multiply(one.key, element) for element in same.inputs))
    first, second = one.prove(), same.prove()
    c1, s1, c2, s2 = (Scalar(p[i : i + 32]) for p in (first, second) for i in (0, 32))
    key = multiply_scalars(subtract_scalars(s1, s2), invert_scalar(subtract_scalars(c2, c1)))
    assert key == one.key
    assert add_scalars(s1, multiply_scalars(c1, key)) == one.nonce


def test_expansion_is_expand_message_xmd() -> None:
    # RFC 9380, section 5.3.1 written out another way; section 5.3.3 for the long tag.
    def reference(message: bytes, tag: bytes, length: int) -> bytes:
        if len(tag) > 255:
            tag = sha512(b"H2C-OVERSIZE-DST-" + tag).digest()
        prime = tag + bytes([len(tag)])
        b0 = sha512(bytes(128) + message + length.to_bytes(2, "big") + bytes(1) + prime).digest()
        out = block = sha512(b0 + bytes([1]) + prime).digest()
        for i in range(2, -(-length // 64) + 1):
            mixed = bytes(x ^ y for x, y in zip(b0, block, strict=True))
            block = sha512(mixed + bytes([i]) + prime).digest()
            out += block
        return out[:length]

    for tag in (b"t", b"t" * 255, b"t" * 256, b"t" * 1000):
        for message in (b"", b"abc", bytes(300)):
            assert expand_message(message, tag) == reference(message, tag, 64)
    assert expand_message(b"", b"t" * 256) != expand_message(b"", b"t" * 255)


def test_a_tag_is_not_empty_and_a_field_not_too_long() -> None:
    with pytest.raises(ExpansionTagError):
        expand_message(b"", b"")
    assert sized(bytes(65_535))[:2] == b"\xff\xff"
    with pytest.raises(FieldLengthError):
        sized(bytes(65_536))
