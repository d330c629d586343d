"""Honest severity proofs: completeness, the statement, the wire, what `prove` refuses."""

import os
from hashlib import sha256
from itertools import product

import pytest
from forgeries import honest_bits, lying_prove, plainly_holds
from hypothesis import given, settings
from hypothesis import strategies as st
from points import ALL

from proofs.group import ORDER, Backend, load
from proofs.group import prover as default_prover
from proofs.pedersen import BlindingError
from proofs.severity import (
    PROOF_BYTES,
    BelowThresholdError,
    ComponentRangeError,
    EntropyError,
    ProofEquationError,
    Rubric,
    RubricError,
    Statement,
    StatementError,
    commit_components,
    prove,
    verify,
    verify_batch,
)
from proofs.severity import prover as prover_module
from proofs.severity.weights import exact_bits, exact_weights, layout, witness_bits
from proofs.severity.wire import parse

RUBRIC = Rubric()
BLINDINGS = (11, 22, 33, ORDER - 44)
ENTROPY = bytes(range(64))


@pytest.fixture(params=ALL)
def group(request: pytest.FixtureRequest) -> Backend:
    return load(request.param)


def make(
    components: tuple[int, ...] = (8, 7, 6, 10),
    threshold: int = 70,
    context: bytes = b"context",
    rubric: Rubric = RUBRIC,
    entropy: bytes = ENTROPY,
) -> tuple[Statement, bytes]:
    proof = prove(rubric, threshold, components, BLINDINGS, context, entropy)
    commitments = commit_components(components, BLINDINGS)
    return Statement(rubric, threshold, commitments, context), proof


class TestWeights:
    @pytest.mark.parametrize("maximum", range(1, 130))
    def test_subset_sums_are_exactly_the_range(self, maximum: int) -> None:
        weights = exact_weights(maximum)
        assert len(weights) == maximum.bit_length()
        sums = {
            sum(w for w, bit in zip(weights, bits, strict=True) if bit)
            for bits in product((0, 1), repeat=len(weights))
        }
        assert sums == set(range(maximum + 1))

    def test_default_component(self) -> None:
        assert exact_weights(10) == (1, 2, 4, 3)
        assert exact_weights(0) == ()
        assert exact_bits(0, 0) == []

    @given(st.integers(1, 5000), st.data())
    def test_bits_add_up(self, maximum: int, data: st.DataObject) -> None:
        value = data.draw(st.integers(0, maximum))
        bits = exact_bits(value, maximum)
        weights = exact_weights(maximum)
        assert set(bits) <= {0, 1}
        assert sum(b * w for b, w in zip(bits, weights, strict=True)) == value

    @pytest.mark.parametrize("threshold", [0, 10, 30, 50, 70, 99, 100])
    def test_layout_fills_24_slots(self, threshold: int) -> None:
        slots = layout(RUBRIC, threshold)
        assert slots.maxima == (10, 10, 10, 10, 100 - threshold)
        assert tuple(map(sum, slots.blocks)) == slots.maxima
        assert sum(map(len, slots.blocks)) + slots.padding == 24
        assert slots.padding >= 1

    def test_witness_bits_are_bits_with_zero_padding(self) -> None:
        bits = witness_bits(RUBRIC, 70, (10, 10, 10, 10))
        assert len(bits) == 24
        assert set(bits) == {0, 1}
        assert bits[21:] == [0, 0, 0]


class TestCompleteness:
    def test_every_back_end_accepts(self, group: Backend) -> None:
        statement, proof = make()
        assert len(proof) == PROOF_BYTES == 768
        assert sum(map(len, statement.commitments)) == 192
        verify(statement, proof, group=group)
        assert verify_batch([(statement, proof)], bytes(32), group=group) == [None]

    @pytest.mark.parametrize(
        ("components", "threshold"),
        [
            ((0, 0, 0, 0), 0),
            ((10, 10, 10, 10), 0),
            ((10, 10, 10, 10), 100),
            ((10, 10, 10, 9), 98),
            ((10, 10, 10, 10), 99),
            ((0, 5, 0, 0), 10),
            ((1, 2, 3, 4), 22),
        ],
    )
    def test_corners(self, components: tuple[int, ...], threshold: int) -> None:
        verify(*make(components, threshold))

    @pytest.mark.parametrize("name", ALL)
    def test_threshold_100_leaves_no_bits_for_the_excess(self, name: str) -> None:
        statement, proof = make((10, 10, 10, 10), 100)
        assert layout(RUBRIC, 100).maxima[4] == 0
        verify(statement, proof, group=load(name))
        with pytest.raises(BelowThresholdError):
            make((10, 10, 10, 9), 100)

    @settings(max_examples=20, deadline=None)
    @given(st.tuples(*[st.integers(0, 10)] * 4), st.data())
    def test_any_true_statement(self, components: tuple[int, ...], data: st.DataObject) -> None:
        threshold = data.draw(st.integers(0, RUBRIC.total(components)))
        context = data.draw(st.binary(max_size=40))
        verify(*make(components, threshold, context, entropy=data.draw(st.binary(min_size=64))))

    @pytest.mark.parametrize(
        "rubric",
        [Rubric((1, 1, 1, 1), 1), Rubric((25, 25, 25, 25), 1), Rubric((4, 2, 2, 1), 15)],
    )
    def test_other_rubrics(self, rubric: Rubric) -> None:
        components = (rubric.component_max,) * 4
        verify(*make(components, rubric.total_max, rubric=rubric))
        verify(*make(components, rubric.total_max // 2, rubric=rubric))

    def test_back_ends_prove_byte_for_byte_alike(self) -> None:
        proofs = {
            prove(RUBRIC, 70, (8, 7, 6, 10), BLINDINGS, b"x", ENTROPY, group=load(name))
            for name in ALL
        }
        assert proofs == {prove(RUBRIC, 70, (8, 7, 6, 10), BLINDINGS, b"x", ENTROPY)}

    def test_a_second_implementation_agrees(self) -> None:
        """Written from the text alone: it accepts our proofs, and we accept its."""
        group = load(ALL[0])
        statement, proof = make((9, 1, 7, 3), 40)
        assert plainly_holds(group, statement, proof)
        assert not plainly_holds(group, statement, proof[:-1] + bytes([proof[-1] ^ 1]))
        verify(*lying_prove(group, RUBRIC, 40, (9, 1, 7, 3)))

    def test_known_answer(self) -> None:
        """A change of this digest is a change of the protocol, and needs another label."""
        statement, proof = make((9, 1, 7, 3), 40, b"known answer")
        digest = sha256(b"".join(statement.commitments) + proof).hexdigest()
        assert digest == "57d7b70e34f6162e22d7cd900cf42e937b9fa607b0686452100ca73fbc77f359"

    def test_the_second_implementation_finds_valid_bits(self) -> None:
        assert sum(honest_bits(RUBRIC, 40, (9, 1, 7, 3))) > 0


class TestProverRefuses:
    @pytest.mark.parametrize(
        "components",
        [
            (11, 10, 10, 10),
            (10, 10, 10, -1),
            (10, 10, 10),
            (10,) * 5,
            (),
            (5.0, 5, 5, 5),
            (True,) * 4,
        ],
    )
    def test_components_out_of_range(self, components: tuple[int, ...]) -> None:
        with pytest.raises(ComponentRangeError) as caught:
            prove(RUBRIC, 0, components, BLINDINGS, b"", ENTROPY)
        assert "11" not in str(caught.value)

    def test_a_total_below_the_threshold(self) -> None:
        with pytest.raises(BelowThresholdError) as caught:
            make((7, 7, 7, 6), 69)
        assert "68" not in str(caught.value)
        make((7, 7, 7, 6), 68)

    @pytest.mark.parametrize("length", [0, 32, 63])
    def test_too_little_entropy(self, length: int) -> None:
        with pytest.raises(EntropyError):
            make(entropy=bytes(length))
        statement, proof = make()
        with pytest.raises(EntropyError):
            verify_batch([(statement, proof)], bytes(length // 3))

    @pytest.mark.parametrize("blinding", [0, -1, ORDER])
    def test_blindings_that_do_not_hide(self, blinding: int) -> None:
        with pytest.raises(BlindingError):
            prove(RUBRIC, 0, (1, 1, 1, 1), (1, 2, 3, blinding), b"", ENTROPY)
        with pytest.raises(BlindingError):
            commit_components((1, 1, 1, 1), (1, 2, 3, blinding))

    def test_a_blinding_too_few(self) -> None:
        with pytest.raises(ComponentRangeError):
            commit_components((1, 1, 1, 1), (1, 2, 3))
        with pytest.raises(ComponentRangeError):
            commit_components((1, 1, 1), (1, 2, 3))


class TestStatement:
    @pytest.mark.parametrize("threshold", [-1, 101, 50.0, True])
    def test_thresholds_out_of_range(self, threshold: int) -> None:
        with pytest.raises(StatementError):
            Statement(RUBRIC, threshold, (bytes(48),) * 4, b"")

    @pytest.mark.parametrize(
        "commitments", [(), (bytes(48),) * 3, (bytes(48),) * 5, (bytes(48),) * 3 + (bytes(47),)]
    )
    def test_wrong_commitments(self, commitments: tuple[bytes, ...]) -> None:
        with pytest.raises(StatementError):
            Statement(RUBRIC, 50, commitments, b"")

    @pytest.mark.parametrize(
        ("weights", "component_max"),
        [
            ((4, 2, 2), 10),
            ((4, 2, 2, 2, 2), 10),
            ((4, 2, 2, 0), 10),
            ((4, 2, 2, -2), 10),
            ((4, 2, 2, 2.0), 10),
            ([4, 2, 2, 2], 10),
            ((4, 2, 2, 2), 0),
            ((4, 2, 2, 2), True),
            ((4, 2, 2, 2), 16),
            ((10, 10, 10, 10), 10),
        ],
    )
    def test_rubrics_that_do_not_fit(self, weights: tuple[int, ...], component_max: int) -> None:
        with pytest.raises(RubricError):
            Rubric(weights, component_max)

    def test_the_largest_rubric_that_fits(self) -> None:
        assert Rubric((7, 6, 6, 6), 10).total_max == 250


class TestSecrecy:
    def test_nothing_secret_is_shown(self) -> None:
        statement, _ = make()
        witness = prover_module._draw_nonces(statement, (8, 7, 6, 10), BLINDINGS, ENTROPY)
        assert repr(witness) == "_Witness()"
        assert str(witness.alpha) not in repr(witness)

    def test_repeated_entropy_gives_fresh_nonces_for_another_statement(self) -> None:
        """The same bytes by accident must not reuse a nonce: that would reveal the blindings."""
        base = parse(make()[1])
        for other in (
            make(context=b"other"),
            make(threshold=69),
            make(components=(8, 7, 6, 9)),
            make(entropy=ENTROPY + b"\0"),
        ):
            assert parse(other[1]).points[1] != base.points[1]  # S depends on nonces only

    def test_proofs_are_randomized(self) -> None:
        first, second = parse(make()[1]), parse(make(entropy=bytes(64))[1])
        assert not set(first.points) & set(second.points)

    def test_the_prover_adds_as_many_points_for_every_witness(self) -> None:
        """A is a sum of one chosen point per slot, whatever the bits are."""
        counts = set()
        for components in ((0, 0, 0, 0), (10, 10, 10, 10), (10, 0, 3, 7)):
            group = Counting(load(ALL[0]))
            prove(RUBRIC, 0, components, BLINDINGS, b"", ENTROPY, group=group)
            counts.add((group.additions, group.secret_multiplications))
        assert len(counts) == 1

    def test_only_flat_time_arithmetic_sees_secrets(self) -> None:
        """No nonce and no blinding factor reaches `mul` or `msm`."""
        group = Counting(load(ALL[0]))
        statement, _ = make()
        witness = prover_module._draw_nonces(statement, (8, 7, 6, 10), BLINDINGS, ENTROPY)
        prove(RUBRIC, 70, (8, 7, 6, 10), BLINDINGS, b"context", ENTROPY, group=group)
        secrets = {*BLINDINGS, *witness.s_left, *witness.s_right}
        secrets |= {witness.alpha, witness.rho, witness.tau_1, witness.tau_2}
        assert not secrets & group.public_scalars
        assert secrets <= group.secret_scalars
        assert group.public_scalars

    def test_by_default_the_prover_has_the_secrets_and_the_verifier_the_rest(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret, public = Counting(load(ALL[0])), Counting(load("py_ecc"))
        monkeypatch.setattr(prover_module, "prover", lambda: secret)
        monkeypatch.setattr(prover_module, "backend", lambda: public)
        statement, proof = make()
        monkeypatch.undo()
        verify(statement, proof)
        assert secret.secret_scalars
        assert not public.secret_scalars
        assert public.public_scalars
        assert not secret.public_scalars

    def test_pyblst_proves_where_it_is_installed(self) -> None:
        if "pyblst" not in ALL:
            pytest.skip("pyblst is not installed")
        assert load("pyblst").flat_time
        if os.environ.get("SIGNAL_MESH_GROUP", "auto") == "auto":
            assert default_prover().name == "pyblst"


class Counting(Backend):
    """A back end that counts, and remembers which scalars it saw where."""

    name = "counting"
    flat_time = False

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.additions = self.secret_multiplications = 0
        self.public_scalars: set[int] = set()
        self.secret_scalars: set[int] = set()

    def decode(self, data):
        return self.inner.decode(data)

    def decode_on_curve(self, data):
        return self.inner.decode_on_curve(data)

    def encode(self, p):
        return self.inner.encode(p)

    def identity(self):
        return self.inner.identity()

    def generator(self):
        return self.inner.generator()

    def add(self, p, q):
        self.additions += 1
        return self.inner.add(p, q)

    def neg(self, p):
        return self.inner.neg(p)

    def equal(self, p, q):
        return self.inner.equal(p, q)

    def is_identity(self, p):
        return self.inner.is_identity(p)

    def mul(self, p, k):
        self.public_scalars.add(k)
        return self.inner.mul(p, k)

    def mul_secret(self, p, k):
        self.secret_multiplications += 1
        self.secret_scalars.add(k)
        return self.inner.mul_secret(p, k)

    def mul_cofactor(self, p):
        return self.inner.mul_cofactor(p)

    def _msm(self, points, scalars):
        self.public_scalars.update(scalars)
        return self.inner._msm(points, scalars)

    def _hash_to_curve(self, msg, dst):
        return self.inner._hash_to_curve(msg, dst)


def test_statement_is_bound() -> None:
    """Context, threshold, rubric and commitments are part of what was proven."""
    statement, proof = make()
    others = [
        Statement(RUBRIC, 70, statement.commitments, b"contexT"),
        Statement(RUBRIC, 70, statement.commitments, b""),
        Statement(RUBRIC, 69, statement.commitments, b"context"),
        Statement(RUBRIC, 71, statement.commitments, b"context"),
        Statement(Rubric((2, 4, 2, 2)), 70, statement.commitments, b"context"),
        Statement(Rubric((4, 2, 2, 3)), 70, statement.commitments, b"context"),
        Statement(Rubric((4, 2, 2, 2), 11), 70, statement.commitments, b"context"),
        Statement(RUBRIC, 70, statement.commitments[::-1], b"context"),
        Statement(RUBRIC, 70, (statement.commitments[1], *statement.commitments[1:]), b"context"),
    ]
    for other in others:
        with pytest.raises(ProofEquationError):
            verify(other, proof)
    verify(statement, proof)
