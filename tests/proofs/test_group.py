"""The three back ends: the same answers, the same refusals."""

import subprocess
import sys

import pytest
from points import (
    ALL,
    INFINITIES,
    NOT_COMPRESSED,
    ORDER_3,
    large_torsion,
    off_curve,
    outside_subgroup,
    plus_torsion,
    x_not_below_modulus,
)

from proofs import group as groups
from proofs.errors import ProofsError
from proofs.group import (
    COFACTOR,
    ORDER,
    Backend,
    BackendUnavailableError,
    DomainTagError,
    InfinityPointError,
    LengthMismatchError,
    NotInSubgroupError,
    NotOnCurveError,
    PointEncodingError,
    ScalarRangeError,
    load,
)
from proofs.group.encoding import GENERATOR, INFINITY

DST = b"TEST-DST"


@pytest.fixture(params=ALL)
def group(request: pytest.FixtureRequest) -> Backend:
    return load(request.param)


def both_decoders(group: Backend, data: bytes, error: type[ProofsError]) -> None:
    for decoder in (group.decode, group.decode_on_curve):
        with pytest.raises(error) as caught:
            decoder(data)
        assert type(caught.value) is error


class TestDecoding:
    def test_generator_roundtrips(self, group: Backend) -> None:
        assert group.encode(group.decode(GENERATOR)) == GENERATOR
        assert group.encode(group.generator()) == GENERATOR
        assert group.encode(group.decode_on_curve(GENERATOR)) == GENERATOR

    def test_both_signs_roundtrip(self, group: Backend) -> None:
        minus = group.encode(group.neg(group.generator()))
        assert minus[0] ^ GENERATOR[0] == 0x20
        assert minus[1:] == GENERATOR[1:]
        assert group.encode(group.decode(minus)) == minus

    @pytest.mark.parametrize("kind", INFINITIES)
    def test_infinity_is_refused_in_every_encoding(self, group: Backend, kind: str) -> None:
        both_decoders(group, INFINITIES[kind], InfinityPointError)

    @pytest.mark.parametrize("kind", NOT_COMPRESSED)
    def test_uncompressed_forms_are_refused(self, group: Backend, kind: str) -> None:
        both_decoders(group, NOT_COMPRESSED[kind], PointEncodingError)

    @pytest.mark.parametrize("length", [0, 1, 47, 49, 96])
    def test_wrong_lengths_are_refused(self, group: Backend, length: int) -> None:
        both_decoders(group, (GENERATOR * 2)[:length], PointEncodingError)

    def test_x_beyond_the_modulus_is_refused(self, group: Backend) -> None:
        both_decoders(group, x_not_below_modulus(), PointEncodingError)

    def test_points_off_the_curve_are_refused(self, group: Backend) -> None:
        both_decoders(group, off_curve(), NotOnCurveError)

    @pytest.mark.parametrize("make", [outside_subgroup, large_torsion])
    def test_outside_the_subgroup_only_the_loose_decoder_takes_it(
        self, group: Backend, make
    ) -> None:
        data = make()
        with pytest.raises(NotInSubgroupError):
            group.decode(data)
        group.decode_on_curve(data)

    @pytest.mark.parametrize("data", ORDER_3)
    def test_the_point_of_order_three_is_a_curve_point(self, group: Backend, data: bytes) -> None:
        with pytest.raises(NotInSubgroupError):
            group.decode(data)
        assert group.clear_cofactor_is_identity(group.decode_on_curve(data))

    def test_subgroup_point_plus_torsion(self, group: Backend) -> None:
        for torsion in (ORDER_3[0], large_torsion()):
            data = plus_torsion(GENERATOR, torsion)
            with pytest.raises(NotInSubgroupError):
                group.decode(data)


class TestCofactor:
    def test_is_a_true_multiple_in_the_subgroup(self, group: Backend) -> None:
        expected = group.mul(group.generator(), COFACTOR)
        assert group.equal(group.mul_cofactor(group.generator()), expected)
        assert not group.clear_cofactor_is_identity(group.generator())

    def test_torsion_vanishes_alone(self, group: Backend) -> None:
        assert group.clear_cofactor_is_identity(group.decode_on_curve(large_torsion()))
        assert group.clear_cofactor_is_identity(group.identity())

    @pytest.mark.parametrize("torsion", [*ORDER_3, large_torsion()])
    def test_torsion_vanishes_in_a_sum_and_in_an_msm(self, group: Backend, torsion: bytes) -> None:
        dirty = group.decode_on_curve(plus_torsion(GENERATOR, torsion))
        clean = group.generator()
        assert group.equal(group.mul_cofactor(dirty), group.mul_cofactor(clean))
        k = ORDER - 12345
        assert group.equal(
            group.mul_cofactor(group.msm([dirty, clean], [k, 5])),
            group.mul_cofactor(group.mul(clean, (k + 5) % ORDER)),
        )

    def test_a_point_of_mixed_order_keeps_its_subgroup_component(self, group: Backend) -> None:
        data = outside_subgroup()
        reference = load("py_ecc")
        expected = reference.encode(reference.mul_cofactor(reference.decode_on_curve(data)))
        assert group.encode(group.mul_cofactor(group.decode_on_curve(data))) == expected


class TestScalars:
    @pytest.mark.parametrize("scalar", [-1, ORDER, ORDER + 1, 1 << 256, 1 << 300])
    def test_out_of_range_is_refused_everywhere(self, group: Backend, scalar: int) -> None:
        p = group.generator()
        fixed = group.fixed_bases([p])
        for act in (
            lambda: group.mul(p, scalar),
            lambda: group.mul_secret(p, scalar),
            lambda: group.msm([p], [scalar]),
            lambda: group.msm([p] * 40, [1] * 39 + [scalar]),
            lambda: fixed.msm([0], [scalar]),
        ):
            with pytest.raises(ScalarRangeError) as caught:
                act()
            assert str(abs(scalar)) not in str(caught.value).replace("r-1", "")
            assert f"{scalar:x}" not in str(caught.value).replace("r-1", "")
            assert caught.value.__cause__ is None

    def test_zero_one_and_minus_one(self, group: Backend) -> None:
        p = group.hash_to_curve(b"p", DST)
        for multiply in (group.mul, group.mul_secret):
            assert group.is_identity(multiply(p, 0))
            assert group.equal(multiply(p, 1), p)
            assert group.equal(multiply(p, ORDER - 1), group.neg(p))

    def test_encoding_is_canonical(self) -> None:
        assert groups.decode_scalar(groups.encode_scalar(ORDER - 1)) == ORDER - 1
        for number in (ORDER, ORDER + 1, (1 << 256) - 1):
            with pytest.raises(ScalarRangeError):
                groups.decode_scalar(number.to_bytes(32, "big"))
        for length in (0, 31, 33):
            with pytest.raises(ScalarRangeError):
                groups.decode_scalar(bytes(length))
        for number in (-1, ORDER):
            with pytest.raises(ScalarRangeError):
                groups.encode_scalar(number)

    def test_wide_reduction(self) -> None:
        assert groups.scalar_from_wide(ORDER.to_bytes(64, "big")) == 0
        assert groups.scalar_from_wide(b"\xff" * 64) == ((1 << 512) - 1) % ORDER
        with pytest.raises(ScalarRangeError):
            groups.scalar_from_wide(bytes(63))

    def test_inverting_zero_is_refused(self) -> None:
        with pytest.raises(ScalarRangeError):
            groups.invert_all([3, 0, 5])
        assert groups.invert_all([]) == []


class TestMsm:
    @pytest.mark.parametrize(("points", "scalars"), [(2, 1), (1, 2), (0, 1), (1, 0), (40, 39)])
    def test_lengths_must_match(self, group: Backend, points: int, scalars: int) -> None:
        p = group.generator()
        with pytest.raises(LengthMismatchError):
            group.msm([p] * points, [1] * scalars)
        with pytest.raises(LengthMismatchError):
            group.fixed_bases([p]).msm([0] * points, [1] * scalars)

    def test_empty_is_the_identity(self, group: Backend) -> None:
        assert group.is_identity(group.msm([], []))

    def test_terms_that_cancel(self, group: Backend) -> None:
        p = group.hash_to_curve(b"p", DST)
        assert group.is_identity(group.msm([p, p], [7, ORDER - 7]))
        assert group.is_identity(group.msm([p, group.neg(p)] * 20, [ORDER - 2] * 40))
        assert group.is_identity(group.msm([p] * 3, [0] * 3))

    def test_with_the_identity_among_the_points(self, group: Backend) -> None:
        p = group.generator()
        assert group.equal(group.msm([group.identity(), p], [5, 6]), group.mul(p, 6))

    @pytest.mark.parametrize("count", [1, 2, 31, 33, 70])
    def test_agrees_with_single_multiplications(self, group: Backend, count: int) -> None:
        if group.name == "py_ecc" and count > 31:
            pytest.skip("the same code at 31 points; slow in pure Python")
        p = group.hash_to_curve(b"p", DST)
        multiples = [p]
        for _ in range(count - 1):
            multiples.append(group.add(multiples[-1], p))
        scalars = [pow(3, 101 * k + 7, ORDER) for k in range(count - 1)] + [ORDER - 1]
        expected = sum((k + 1) * scalar for k, scalar in enumerate(scalars)) % ORDER
        assert group.equal(group.msm(multiples, scalars), group.mul(p, expected))
        fixed = group.fixed_bases(multiples)
        order = list(reversed(range(count)))
        mixed = fixed.msm(order, [scalars[k] for k in order])
        assert group.equal(mixed, group.mul(p, expected))


class TestHashToCurve:
    def test_all_agree(self) -> None:
        for message, tag in ((b"", b"T"), (b"\x00" * 300, b"x" * 255), (b"abc", DST)):
            assert len({load(n).encode(load(n).hash_to_curve(message, tag)) for n in ALL}) == 1

    @pytest.mark.parametrize("tag", [b"", b"x" * 256])
    def test_tags_that_the_libraries_treat_differently_are_refused(
        self, group: Backend, tag: bytes
    ) -> None:
        with pytest.raises(DomainTagError):
            group.hash_to_curve(b"m", tag)


class TestIdentity:
    def test_encodes_canonically_and_is_neutral(self, group: Backend) -> None:
        zero, p = group.identity(), group.generator()
        assert group.encode(zero) == INFINITY
        assert group.encode(group.add(p, group.neg(p))) == INFINITY
        assert group.equal(group.add(zero, p), p)
        assert group.equal(group.add(p, zero), p)
        assert not group.equal(zero, p)
        assert not group.equal(p, zero)
        assert group.equal(zero, group.identity())


class TestChoice:
    def run(self, choice: str, code: str, *, missing: str = "") -> str:
        """What a fresh interpreter prints, with some packages hidden."""
        hide = f"import sys\nfor m in {missing.split()!r}: sys.modules[m] = None\n"
        patch = (
            "import importlib.util as u\n"
            "real = u.find_spec\n"
            f"u.find_spec = lambda n, *a: None if n in {missing.split()!r} else real(n, *a)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", hide + patch + code],
            env={"SIGNAL_MESH_GROUP": choice},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    NAMES = "from proofs.group import *; print(*backend_names(), prover().name, backend().name)"

    def test_auto(self) -> None:
        if len(ALL) < 3:
            pytest.skip("a native back end is not installed")
        assert self.run("auto", self.NAMES) == "pyblst arkworks pyblst arkworks"

    def test_auto_without_native_packages(self) -> None:
        hidden = "pyblst py_arkworks_bls12381"
        assert self.run("auto", self.NAMES, missing=hidden) == "py_ecc py_ecc py_ecc py_ecc"

    def test_forced(self) -> None:
        assert self.run("py_ecc", self.NAMES) == "py_ecc py_ecc py_ecc py_ecc"

    def test_forced_but_missing_says_what_to_install(self) -> None:
        code = (
            "from proofs.group import *\n"
            "try: prover()\n"
            "except BackendUnavailableError as e: print(e)"
        )
        told = self.run("pyblst", code, missing="pyblst")
        assert "pip install pyblst" in told
        assert "bls12-377" in self.run("bls12-377", code)

    def test_unknown_names(self) -> None:
        with pytest.raises(BackendUnavailableError, match="nonsense"):
            load("nonsense")

    def test_load_returns_one_object(self) -> None:
        assert load("py_ecc") is load("py_ecc")

    def test_only_pyblst_claims_flat_time(self) -> None:
        assert {n for n in ALL if load(n).flat_time} <= {"pyblst"}
