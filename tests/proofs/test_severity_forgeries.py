"""Forged severity proofs: every back end refuses them alike, alone and in a batch."""

import os
from collections.abc import Callable

import pytest
from forgeries import (
    Lie,
    begin,
    bits_of,
    honest_bits,
    lying_prove,
    plainly_holds,
    residuals,
)
from points import (
    ALL,
    INFINITIES,
    NATIVE,
    NOT_COMPRESSED,
    ORDER_3,
    large_torsion,
    off_curve,
    plus_torsion,
    x_not_below_modulus,
)

from proofs.errors import ProofsError
from proofs.group import (
    ORDER,
    Backend,
    InfinityPointError,
    NotInSubgroupError,
    NotOnCurveError,
    PointEncodingError,
    ScalarRangeError,
    load,
)
from proofs.severity import (
    EntropyError,
    ProofEquationError,
    ProofLengthError,
    Rubric,
    Statement,
    commit_components,
    prove,
    verify,
    verify_batch,
)
from proofs.severity import verifier as verifier_module
from proofs.severity.wire import POINT_NAMES

RUBRIC = Rubric()
BLINDINGS = (5, 6, 7, 8)
FAST = load(NATIVE[-1] if NATIVE else "py_ecc")  # arkworks where it is installed
TORSIONS = {"order 3": ORDER_3[0], "large": large_torsion()}


def honest(number: int = 0) -> tuple[Statement, bytes]:
    components, context = (8, 7, 6, 10), b"context %d" % number
    proof = prove(RUBRIC, 70, components, BLINDINGS, context, bytes([number]) * 64)
    return Statement(RUBRIC, 70, commit_components(components, BLINDINGS), context), proof


STATEMENT, PROOF = honest()


def refusal(statement: Statement, proof: bytes, group: Backend) -> tuple[type, str]:
    """The error, which must be the same alone and in a batch beside an honest proof.

    On the slow reference batches are tried apart, in `TestTorsion` and `TestBatch`.
    """
    with pytest.raises(ProofsError) as caught:
        verify(statement, proof, group=group)
    if group.name == "py_ecc" and NATIVE:
        return type(caught.value), str(caught.value)
    in_batch = verify_batch([(STATEMENT, PROOF), (statement, proof)], os.urandom(32), group=group)
    assert in_batch[0] is None
    assert type(in_batch[1]) is type(caught.value)
    assert str(in_batch[1]) == str(caught.value)
    return type(caught.value), str(caught.value)


def refused_alike(
    statement: Statement, proof: bytes, error: type[ProofsError], names: list[str] = ALL
) -> None:
    answers = {refusal(statement, proof, load(name)) for name in names}
    assert len(answers) == 1
    assert {kind for kind, _ in answers} == {error}


def with_point(index: int, data: bytes) -> bytes:
    return PROOF[: 48 * index] + data + PROOF[48 * (index + 1) :]


def with_scalar(index: int, change: Callable[[int], int]) -> bytes:
    at = 480 + 32 * index
    scalar = change(int.from_bytes(PROOF[at : at + 32], "big"))
    return PROOF[:at] + scalar.to_bytes(32, "big") + PROOF[at + 32 :]


def with_commitment(index: int, data: bytes) -> Statement:
    commitments = list(STATEMENT.commitments)
    commitments[index] = data
    return Statement(RUBRIC, 70, tuple(commitments), STATEMENT.context)


class TestAlteredElements:
    @pytest.mark.parametrize("index", range(10))
    def test_each_point_exchanged(self, index: int) -> None:
        other = PROOF[48 * 9 : 48 * 10] if index < 9 else PROOF[:48]
        refused_alike(STATEMENT, with_point(index, other), ProofEquationError, NATIVE)

    @pytest.mark.parametrize("index", range(10))
    def test_each_point_negated(self, index: int) -> None:
        data = bytearray(PROOF[48 * index : 48 * (index + 1)])
        data[0] ^= 0x20
        refused_alike(STATEMENT, with_point(index, bytes(data)), ProofEquationError, NATIVE)

    @pytest.mark.parametrize("index", range(9))
    def test_each_scalar_changed(self, index: int) -> None:
        proof = with_scalar(index, lambda k: (k + 1) % ORDER)
        refused_alike(STATEMENT, proof, ProofEquationError, NATIVE)

    @pytest.mark.parametrize("index", range(4))
    def test_each_commitment_changed(self, index: int) -> None:
        other = commit_components((8, 7, 6, 10), (50, 60, 70, 80))[index]
        refused_alike(with_commitment(index, other), PROOF, ProofEquationError, NATIVE)

    def test_the_reference_agrees_about_some(self) -> None:
        for statement, proof in (
            (STATEMENT, with_scalar(2, lambda k: k ^ 1)),
            (STATEMENT, with_point(3, PROOF[:48])),
            (with_commitment(1, STATEMENT.commitments[0]), PROOF),
        ):
            refused_alike(statement, proof, ProofEquationError)

    def test_every_byte_matters(self) -> None:
        for at in range(0, 768, 13):
            proof = PROOF[:at] + bytes([PROOF[at] ^ 1]) + PROOF[at + 1 :]
            with pytest.raises(ProofsError):
                verify(STATEMENT, proof, group=FAST)

    def test_another_statements_proof(self) -> None:
        refused_alike(STATEMENT, honest(1)[1], ProofEquationError)


class TestMalformed:
    @pytest.mark.parametrize("length", [0, 1, 767, 769, 1536])
    def test_wrong_lengths(self, length: int) -> None:
        refused_alike(STATEMENT, (PROOF * 2)[:length], ProofLengthError)

    @pytest.mark.parametrize("index", range(9))
    @pytest.mark.parametrize("change", ["r", "plus r", "all ones"])
    def test_scalars_not_below_r(self, index: int, change: str) -> None:
        changes = {
            "r": lambda k: ORDER,
            "plus r": lambda k: k + ORDER if k + ORDER < 1 << 256 else ORDER + 1,
            "all ones": lambda k: (1 << 256) - 1,
        }
        refused_alike(STATEMENT, with_scalar(index, changes[change]), ScalarRangeError, NATIVE)

    def test_a_second_encoding_of_a_true_scalar(self) -> None:
        """k and k + r would both hold if scalars were reduced; found for a scalar that fits."""
        index = next(
            i
            for i in range(9)
            if int.from_bytes(PROOF[480 + 32 * i : 512 + 32 * i], "big") + ORDER < 1 << 256
        )
        refused_alike(STATEMENT, with_scalar(index, lambda k: k + ORDER), ScalarRangeError)

    @pytest.mark.parametrize("kind", INFINITIES)
    def test_infinity(self, kind: str) -> None:
        for index in (0, 9):
            refused_alike(
                STATEMENT, with_point(index, INFINITIES[kind]), InfinityPointError, NATIVE
            )
        refused_alike(with_commitment(2, INFINITIES[kind]), PROOF, InfinityPointError)

    @pytest.mark.parametrize("kind", NOT_COMPRESSED)
    def test_uncompressed(self, kind: str) -> None:
        refused_alike(STATEMENT, with_point(1, NOT_COMPRESSED[kind]), PointEncodingError)
        refused_alike(with_commitment(0, NOT_COMPRESSED[kind]), PROOF, PointEncodingError)

    def test_off_the_curve(self) -> None:
        refused_alike(STATEMENT, with_point(5, off_curve()), NotOnCurveError)
        refused_alike(with_commitment(3, off_curve()), PROOF, NotOnCurveError)
        refused_alike(STATEMENT, with_point(5, x_not_below_modulus()), PointEncodingError)

    def test_the_error_names_the_place(self) -> None:
        for index, name in enumerate(POINT_NAMES):
            with pytest.raises(NotOnCurveError, match=f"proof point {name}:"):
                verify(STATEMENT, with_point(index, off_curve()), group=FAST)
        for index in range(4):
            with pytest.raises(NotOnCurveError, match=f"commitment {index + 1}:"):
                verify(with_commitment(index, off_curve()), PROOF, group=FAST)


class TestTorsion:
    @pytest.mark.parametrize("torsion", TORSIONS)
    def test_in_a_commitment_it_is_refused(self, torsion: str) -> None:
        dirty = plus_torsion(STATEMENT.commitments[1], TORSIONS[torsion])
        refused_alike(with_commitment(1, dirty), PROOF, NotInSubgroupError)

    @pytest.mark.parametrize("torsion", TORSIONS)
    def test_in_a_commitment_from_the_beginning_it_is_refused(self, torsion: str) -> None:
        lie = Lie(tweak=lambda name, d: plus_torsion(d, TORSIONS[torsion]) if name == "C2" else d)
        statement, proof = lying_prove(FAST, RUBRIC, 70, (8, 7, 6, 10), lie=lie)
        refused_alike(statement, proof, NotInSubgroupError)

    @pytest.mark.parametrize("torsion", TORSIONS)
    @pytest.mark.parametrize("where", POINT_NAMES)
    def test_in_a_proof_point_it_makes_no_difference_anywhere(
        self, where: str, torsion: str
    ) -> None:
        """The cofactored rule: one that only looked in the subgroup would split the mesh."""
        lie = Lie(tweak=lambda name, d: plus_torsion(d, TORSIONS[torsion]) if name == where else d)
        statement, proof = lying_prove(FAST, RUBRIC, 70, (8, 7, 6, 10), lie=lie)
        names = ALL if (where, torsion) in {("A", "large"), ("R3", "order 3")} else NATIVE
        for name in names:
            verify(statement, proof, group=load(name))
            items = [(statement, proof), (STATEMENT, with_scalar(0, lambda k: k ^ 1))]
            results = verify_batch(items, os.urandom(32), group=load(name))
            assert results[0] is None
            assert isinstance(results[1], ProofEquationError)

    def test_added_afterwards_it_changes_the_challenges(self) -> None:
        for index in (0, 3, 9):
            dirty = plus_torsion(PROOF[48 * index : 48 * index + 48], ORDER_3[0])
            refused_alike(STATEMENT, with_point(index, dirty), ProofEquationError, NATIVE)

    def test_pure_torsion_in_place_of_a_point(self) -> None:
        for torsion in TORSIONS.values():
            refused_alike(STATEMENT, with_point(0, torsion), ProofEquationError)


class TestLyingProver:
    """Each lie satisfies everything but the one rule that it breaks."""

    def forge(self, components: tuple[int, ...], threshold: int, lie: Lie) -> None:
        statement, proof = lying_prove(FAST, RUBRIC, threshold, components, lie=lie)
        refused_alike(statement, proof, ProofEquationError)
        assert not plainly_holds(FAST, statement, proof)

    @pytest.mark.parametrize("threshold", [0, 70, 72, 100])
    def test_the_liar_without_a_lie_is_believed(self, threshold: int) -> None:
        components = (10, 10, 10, 10) if threshold == 100 else (10, 7, 6, 10)
        statement, proof = lying_prove(FAST, RUBRIC, threshold, components)
        for name in ALL if threshold == 70 else NATIVE:
            verify(statement, proof, group=load(name))

    def test_component_11_by_a_two_in_place_of_a_bit(self) -> None:
        bits = bits_of(RUBRIC, 50, (10, 5, 5, 5, 24))
        bits[0] = 2
        self.forge((11, 5, 5, 5), 50, Lie(a_left=bits))

    def test_component_11_with_the_bits_of_10(self) -> None:
        self.forge((11, 5, 5, 5), 50, Lie(a_left=bits_of(RUBRIC, 50, (10, 5, 5, 5, 24))))

    def test_minus_one(self) -> None:
        bits = bits_of(RUBRIC, 50, (0, 10, 10, 10, 6))
        bits[0] = -1
        self.forge((-1 % ORDER, 10, 10, 10), 50, Lie(a_left=bits))

    def test_a_total_below_the_threshold(self) -> None:
        """68 claimed to be 70: an excess of −2 in its first slot."""
        bits = bits_of(RUBRIC, 70, (7, 7, 7, 6, 0))
        bits[16] = -2
        self.forge((7, 7, 7, 6), 70, Lie(a_left=bits))

    def test_a_total_below_the_threshold_with_the_bits_of_zero(self) -> None:
        self.forge((7, 7, 7, 6), 70, Lie(a_left=bits_of(RUBRIC, 70, (7, 7, 7, 6, 0))))

    def test_a_right_vector_that_is_not_left_minus_one(self) -> None:
        bits = honest_bits(RUBRIC, 70, (8, 7, 6, 10))
        right = [a - 1 for a in bits]
        right[3] += 1
        self.forge((8, 7, 6, 10), 70, Lie(a_left=bits, a_right=right))

    def test_a_non_bit_in_the_padding(self) -> None:
        bits = honest_bits(RUBRIC, 70, (8, 7, 6, 10))
        bits[23] = 5
        self.forge((8, 7, 6, 10), 70, Lie(a_left=bits))

    def test_padding_without_its_power_of_y(self) -> None:
        """The known break: a pad that carries y^0 cancels a 2 in slot 0, and 11 is proven.

        (a_L, a_R) is (2, 8) in slot 0 and (4, −4) in the pad: the products add up to 0 and the
        differences to 2, as if both were bits. Who verifies with y^0 in the pad believes it.
        """
        left = bits_of(RUBRIC, 50, (10, 5, 5, 5, 24))
        assert left[0] == 1
        right = [a - 1 for a in left]
        left[0], right[0] = 2, 8
        left[23], right[23] = 4, -4
        weak = (*range(23), 0)
        lie = Lie(a_left=left, a_right=right, y_exponents=weak)
        statement, proof = lying_prove(FAST, RUBRIC, 50, (11, 5, 5, 5), lie=lie)
        assert plainly_holds(FAST, statement, proof, weak)
        refused_alike(statement, proof, ProofEquationError)
        self.forge((11, 5, 5, 5), 50, Lie(a_left=left, a_right=right))

    def test_commitments_chosen_after_the_challenges(self) -> None:
        """ "Frozen Heart": under the old challenges other commitments satisfy the equations too."""
        t = begin(STATEMENT)
        t.absorb(b"A S", PROOF[:96])
        t.challenge(b"Y")
        z = t.challenge(b"z")
        c1, c2 = ((pow(z, 2 + i, ORDER) + z**6 * RUBRIC.weights[i]) % ORDER for i in (0, 1))
        C1, C2 = (FAST.decode(c) for c in STATEMENT.commitments[:2])
        D = FAST.mul(FAST.generator(), 12345)
        fakes = [
            FAST.encode(FAST.add(C1, FAST.mul(D, c2))),
            FAST.encode(FAST.add(C2, FAST.neg(FAST.mul(D, c1)))),
        ]
        fake = Statement(RUBRIC, 70, (*fakes, *STATEMENT.commitments[2:]), STATEMENT.context)
        assert plainly_holds(FAST, fake, PROOF, hashed=STATEMENT)
        refused_alike(fake, PROOF, ProofEquationError)


class TestCancellingErrors:
    """Errors that add up to zero; the weights keep them apart."""

    def unweighted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # σ = x, since the verifier divides by x: then both equations enter as they stand.
        monkeypatch.setattr(
            verifier_module,
            "_weights",
            lambda checked, entropy: [(1, proof.challenges.x) for proof in checked],
        )

    def test_of_two_proofs_in_a_batch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        items = [
            lying_prove(FAST, RUBRIC, 70, (8, 7, 6, 10), lie=Lie(tau_shift=shift), seed=seed)
            for seed, shift in ((1, 99), (2, ORDER - 99))
        ]
        first, second = (residuals(FAST, *item)[0] for item in items)
        assert FAST.is_identity(FAST.add(first, second))
        for name in ALL:
            results = verify_batch(items, os.urandom(32), group=load(name))
            assert [type(result) for result in results] == [ProofEquationError] * 2
        self.unweighted(monkeypatch)
        assert verify_batch(items, os.urandom(32), group=FAST) == [None, None]

    def test_of_the_two_equations_of_one_proof(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lie = Lie(tau_shift=99, mu_shift=ORDER - 99)
        statement, proof = lying_prove(FAST, RUBRIC, 70, (8, 7, 6, 10), lie=lie)
        refused_alike(statement, proof, ProofEquationError)
        self.unweighted(monkeypatch)
        assert verify_batch([(statement, proof)], os.urandom(32), group=FAST) == [None]


class TestBatch:
    ITEMS = tuple(honest(number) for number in range(8))

    def spoiled(self, places: set[int], count: int = 8) -> list[tuple[Statement, bytes]]:
        return [
            (statement, proof[:-1] + bytes([proof[-1] ^ 1]) if place in places else proof)
            for place, (statement, proof) in enumerate(self.ITEMS[:count])
        ]

    @pytest.mark.parametrize("pattern", range(16))
    def test_bisection_names_exactly_the_false_ones(self, pattern: int) -> None:
        places = {i for i in range(4) if pattern >> i & 1}
        results = verify_batch(self.spoiled(places, 4), os.urandom(32), group=FAST)
        assert [i for i, result in enumerate(results) if result] == sorted(places)
        assert all(isinstance(results[i], ProofEquationError) for i in places)

    @pytest.mark.parametrize("places", [{0}, {7}, {3, 4}, {0, 1, 2, 3, 4, 5, 6, 7}])
    def test_of_eight(self, places: set[int]) -> None:
        results = verify_batch(self.spoiled(places), os.urandom(32), group=FAST)
        assert {i for i, result in enumerate(results) if result} == places

    def test_on_the_reference(self) -> None:
        results = verify_batch(self.spoiled({2}, 3), os.urandom(32), group=load("py_ecc"))
        assert [type(result) for result in results] == [type(None), type(None), ProofEquationError]

    def test_malformed_and_false_and_true_ones_together(self) -> None:
        items = self.spoiled({1}, 5)
        items[2] = (items[2][0], b"short")
        items[3] = (with_commitment(0, off_curve()), items[3][1])
        kinds = [type(r) for r in verify_batch(items, os.urandom(32), group=FAST)]
        assert kinds == [
            type(None),
            ProofEquationError,
            ProofLengthError,
            NotOnCurveError,
            type(None),
        ]

    def test_too_little_entropy_for_its_weights(self) -> None:
        """Weights that a prover could foresee would let errors cancel."""
        for entropy in (b"", bytes(31)):
            with pytest.raises(EntropyError):
                verify_batch(list(self.ITEMS), entropy, group=FAST)

    def test_the_empty_batch(self) -> None:
        assert verify_batch([], os.urandom(32)) == []
        assert [type(e) for e in verify_batch([(STATEMENT, b"")], os.urandom(32))] == [
            ProofLengthError
        ]

    def test_an_honest_batch_costs_one_sum_and_a_false_proof_few(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sums = []
        real = verifier_module.holds

        def counted(*arguments: object) -> bool:
            sums.append(len(arguments[1]))
            return real(*arguments)

        monkeypatch.setattr(verifier_module, "holds", counted)
        assert not any(verify_batch(self.spoiled(set()), os.urandom(32), group=FAST))
        assert sums == [8]
        sums.clear()
        verify_batch(self.spoiled({7}), os.urandom(32), group=FAST)
        assert sums == [8, 4, 2, 1]
        sums.clear()
        verify_batch(self.spoiled({0}), os.urandom(32), group=FAST)
        assert sums == [8, 4, 2, 1, 1, 2, 4]

    def test_the_same_proof_twice(self) -> None:
        items = [self.ITEMS[0]] * 3
        assert verify_batch(items, os.urandom(32), group=FAST) == [None] * 3

    def test_weights_depend_on_entropy_and_on_every_proof(self) -> None:
        checked = [verifier_module.Checked.decode(FAST, *item) for item in self.ITEMS[:3]]
        base = verifier_module._weights(checked, bytes(32))
        numbers = [number for pair in base for number in pair]
        assert len(set(numbers)) == 6
        assert all(0 < number < 1 << 128 for number in numbers)
        assert max(numbers) >> 120
        others = [
            verifier_module._weights(checked, bytes(31) + b"\1"),
            verifier_module._weights(checked, bytes(33)),
            verifier_module._weights(checked[::-1], bytes(32)),
            verifier_module._weights([*checked[:2], checked[0]], bytes(32)),
        ]
        for other in others:
            assert not {n for pair in other for n in pair} & set(numbers)

    def test_the_single_weight_depends_on_every_scalar(self) -> None:
        weights = {verifier_module.Checked.decode(FAST, STATEMENT, PROOF).challenges.weight}
        for index in range(9):
            proof = with_scalar(index, lambda k: k ^ 1)
            weights.add(verifier_module.Checked.decode(FAST, STATEMENT, proof).challenges.weight)
        assert len(weights) == 10
