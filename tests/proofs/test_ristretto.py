"""ristretto255: the vectors of RFC 9496, the group's laws, and what libsodium lets pass."""

from collections.abc import Callable
from hashlib import sha512

import pytest
import rbcl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proofs.ristretto import (
    ORDER,
    Element,
    IdentityElementError,
    InvalidElementError,
    InvalidScalarError,
    Scalar,
    ZeroScalarError,
    add,
    add_all,
    add_scalars,
    decode_element,
    decode_scalar,
    invert_scalar,
    map_to_element,
    multiply,
    multiply_base,
    multiply_scalars,
    multiply_sum,
    nonzero,
    random_scalars,
    reduce_scalar,
    scalar,
    subtract,
    subtract_scalars,
)

FEW = settings(max_examples=50, deadline=None)
P = 2**255 - 19
G = multiply_base(scalar(1))
IDENTITY = bytes(32)

# RFC 9496, appendix A.1: 1·G to 15·G.
MULTIPLES = [
    "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
    "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
    "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
    "da80862773358b466ffadfe0b3293ab3d9fd53c5ea6c955358f568322daf6a57",
    "e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e",
    "f64746d3c92b13050ed8d80236a7f0007c3b3f962f5ba793d19a601ebb1df403",
    "44f53520926ec81fbd5a387845beb7df85a96a24ece18738bdcfa6a7822a176d",
    "903293d8f2287ebe10e2374dc1a53e0bc887e592699f02d077d5263cdd55601c",
    "02622ace8f7303a31cafc63f8fc48fdc16e1c8c8d234b2f0d6685282a9076031",
    "20706fd788b2720a1ed2a5dad4952b01f413bcf0e7564de8cdc816689e2db95f",
    "bce83f8ba5dd2fa572864c24ba1810f9522bc6004afe95877ac73241cafdab42",
    "e4549ee16b9aa03099ca208c67adafcafa4c3f3e4e5303de6026e3ca8ff84460",
    "aa52e000df2e16f55fb1032fc33bc42742dad6bd5a8fc0be0167436c5948501f",
    "46376b80f409b29dc2b5f6f0c52591990896e5716f41477cd30085ab7f10301e",
    "e0c418f7c8d9c4cdd7395b93ea124f3ad99021bb681dfc3302a9d99a2e53e64e",
]

# RFC 9496, appendix A.2: not canonical, negative, x² not square, xy negative, y = 0.
BAD_ENCODINGS = [
    "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
    "c34c4e1826e5d403b78e246e88aa051c36ccf0aafebffe137d148a2bf9104562",
    "c940e5a4404157cfb1628b108db051a8d439e1a421394ec4ebccb9ec92a8ac78",
    "47cfc5497c53dc8e61c91d17fd626ffb1c49e2bca94eed052281b510b1117a24",
    "f1c6165d33367351b0da8f6e4511010c68174a03b6581212c71c0e1d026c3c72",
    "87260f7a2f12495118360f02c26a470f450dadf34a413d21042b43b9d93e1309",
    "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    "4eac077a713c57b4f4397629a4145982c661f48044dd3f96427d40b147d9742f",
    "de6a7b00deadc788eb6b6c8d20c0ae96c2f2019078fa604fee5b87d6e989ad7b",
    "bcab477be20861e01e4a0e295284146a510150d9817763caf1a6f4b422d67042",
    "2a292df7e32cababbd9de088d1d1abec9fc0440f637ed2fba145094dc14bea08",
    "f4a9e534fc0d216c44b218fa0c42d99635a0127ee2e53c712f70609649fdff22",
    "8268436f8c4126196cf64b3c7ddbda90746a378625f9813dd9b8457077256731",
    "2810e5cbc2cc4d4eece54f61c6f69758e289aa7ab440b3cbeaa21995c2f4232b",
    "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
    "a45fdc55c76448c049a1ab33f17023edfb2be3581e9c7aade8a6125215e04220",
    "d483fe813c6ba647ebbfd3ec41adca1c6130c2beeee9d9bf065c8d151c5f396e",
    "8a2e1d30050198c65a54483123960ccc38aef6848e1ec8f5f780e8523769ba32",
    "32888462f8b486c68ad7dd9610be5192bbeaf3b443951ac1a8118419d9fa097b",
    "227142501b9d4355ccba290404bde41575b037693cef1f438c47f8fbf35d1165",
    "5c37cc491da847cfeb9281d407efc41e15144c876e0170b499a96a22ed31e01e",
    "445425117cb8c90edcbc7c1cc0e74f747f2c1efa5630a967c64f287792a48a4b",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]

EDGES = (1, 2, ORDER - 1, ORDER - 2, 2**252, 2**128)
values = st.one_of(st.sampled_from(EDGES), st.integers(1, ORDER - 1))
scalars = values.map(scalar)
elements = scalars.map(multiply_base)
anything = st.integers(0, ORDER - 1).map(scalar)


@pytest.mark.parametrize("k", range(1, 16))
def test_multiples_of_the_generator(k: int) -> None:
    expected = bytes.fromhex(MULTIPLES[k - 1])
    assert multiply_base(scalar(k)) == expected
    assert multiply(scalar(k), G) == expected
    assert add_all([G] * k) == expected
    assert decode_element(expected) == expected


@pytest.mark.parametrize("bad", BAD_ENCODINGS)
def test_bad_encodings_are_refused(bad: str) -> None:
    with pytest.raises(InvalidElementError):
        decode_element(bytes.fromhex(bad))


def test_the_identity_is_refused_by_name() -> None:
    with pytest.raises(IdentityElementError):
        decode_element(IDENTITY)


@pytest.mark.parametrize("data", [b"", G[:31], G + b"\0", bytearray(G), G.hex()])
def test_an_element_is_32_bytes(data: bytes) -> None:
    with pytest.raises(InvalidElementError, match="32 bytes"):
        decode_element(data)


def test_the_map_of_a_known_hash() -> None:
    # RFC 9496, appendix A.3.
    uniform = sha512(b"Ristretto is traditionally a short shot of espresso coffee").digest()
    assert uniform.hex().startswith("5d1be09e3d0c82fc")
    expected = "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46"
    assert map_to_element(uniform).hex() == expected


@FEW
@given(st.binary(min_size=64, max_size=64))
def test_the_map_masks_the_top_bits_of_both_halves(uniform: bytes) -> None:
    # RFC 9496, section 4.3.4: "mask the most significant bit".
    high = bytearray(uniform)
    high[31] |= 0x80
    high[63] |= 0x80
    low = bytearray(uniform)
    low[31] &= 0x7F
    low[63] &= 0x7F
    assume(any(low))  # MAP(0) is the identity
    assert map_to_element(bytes(high)) == map_to_element(bytes(low)) == map_to_element(uniform)
    assert decode_element(map_to_element(uniform))


def test_the_map_takes_64_bytes_and_never_gives_the_identity() -> None:
    for size in (0, 32, 63, 65):
        with pytest.raises(InvalidElementError, match="64 bytes"):
            map_to_element(bytes(size))
    # MAP(0) is the identity, and so is the sum of two of them.
    assert rbcl.crypto_core_ristretto255_from_hash(bytes(64)) == IDENTITY
    with pytest.raises(IdentityElementError):
        map_to_element(bytes(64))


def test_a_scalar_has_one_spelling() -> None:
    for value in (0, 1, ORDER - 1):
        data = value.to_bytes(32, "little")
        assert decode_scalar(data) == data
    for value in (ORDER, ORDER + 1, 2 * ORDER, 2**255, 2**256 - 1):
        with pytest.raises(InvalidScalarError, match="below"):
            decode_scalar(value.to_bytes(32, "little"))
    for data in (b"", bytes(31), bytes(33), bytearray(32)):
        with pytest.raises(InvalidScalarError, match="32 bytes"):
            decode_scalar(data)  # type: ignore[arg-type]


@given(st.integers(0, 2**256 - 1))
def test_decoding_takes_exactly_what_is_below_the_order(value: int) -> None:
    data = value.to_bytes(32, "little")
    if value < ORDER:
        assert decode_scalar(data) == data
    else:
        with pytest.raises(InvalidScalarError):
            decode_scalar(data)


@given(st.integers(0, 2**512 - 1))
def test_reduction(value: int) -> None:
    assert reduce_scalar(value.to_bytes(64, "little")) == scalar(value)
    assert int.from_bytes(scalar(value), "little") == value % ORDER


def test_reduction_takes_64_bytes() -> None:
    for size in (0, 32, 63, 65):
        with pytest.raises(InvalidScalarError, match="64 bytes"):
            reduce_scalar(bytes(size))


@given(st.integers(0, ORDER - 1), st.integers(0, ORDER - 1))
def test_scalar_arithmetic_is_that_of_integers(a: int, b: int) -> None:
    x, y = scalar(a), scalar(b)
    assert add_scalars(x, y) == scalar(a + b)
    assert subtract_scalars(x, y) == scalar(a - b)
    assert multiply_scalars(x, y) == scalar(a * b)
    if a:
        assert invert_scalar(x) == scalar(pow(a, -1, ORDER))


@FEW
@given(values, values, values)
def test_group_laws(a: int, b: int, c: int) -> None:
    A, B, C = (multiply_base(scalar(v)) for v in (a, b, c))
    assume((a + b) % ORDER and (b + c) % ORDER and (a + b + c) % ORDER and (a - b) % ORDER)
    assert add(A, B) == add(B, A) == multiply_base(scalar(a + b))
    assert add(add(A, B), C) == add(A, add(B, C)) == add_all([A, B, C])
    assert subtract(A, B) == multiply_base(scalar(a - b))
    assert multiply(scalar(c), add(A, B)) == add(multiply(scalar(c), A), multiply(scalar(c), B))
    assert multiply(scalar(a), B) == multiply(scalar(b), A) == multiply_base(scalar(a * b))


@FEW
@given(st.lists(st.tuples(values, values), min_size=1, max_size=5))
def test_sums_of_multiples(pairs: list[tuple[int, int]]) -> None:
    total = 0
    for k, p in pairs:
        total += k * p
        assume(total % ORDER)
    weights = [scalar(k) for k, _ in pairs]
    points = [multiply_base(scalar(p)) for _, p in pairs]
    assert multiply_sum(weights, points) == multiply_base(scalar(total))


def test_a_sum_needs_one_scalar_for_each_element() -> None:
    with pytest.raises(ValueError, match="zip"):
        multiply_sum([scalar(1)], [G, G])
    with pytest.raises(IdentityElementError, match="empty"):
        add_all([])


@FEW
@given(elements)
def test_no_operation_hands_out_the_identity(element: Element) -> None:
    minus = multiply(scalar(-1), element)
    for operation in (
        lambda: add(element, minus),
        lambda: subtract(element, element),
        lambda: add_all([element, minus, element]),
        lambda: multiply_sum([scalar(3), scalar(3)], [element, minus]),
    ):
        with pytest.raises(IdentityElementError):
            operation()


@pytest.mark.parametrize(
    "operation",
    [
        lambda zero: multiply(zero, G),
        multiply_base,
        invert_scalar,
        nonzero,
        lambda zero: multiply_sum([scalar(1), zero], [G, G]),
    ],
)
def test_zero_is_refused_where_it_makes_no_element(operation: Callable[[Scalar], bytes]) -> None:
    with pytest.raises(ZeroScalarError):
        operation(scalar(0))


# What libsodium and rbcl do by themselves. Should a new version change one of these, the checks in
# proofs.ristretto are to be looked at again.


@pytest.mark.parametrize("bad", [bytes.fromhex(BAD_ENCODINGS[1]), bytes.fromhex(BAD_ENCODINGS[12])])
def test_libsodium_adds_invalid_points_to_the_identity_and_we_raise(bad: bytes) -> None:
    assert rbcl.crypto_core_ristretto255_add(G, bad) == IDENTITY
    assert rbcl.crypto_core_ristretto255_sub(bad, G) == IDENTITY
    with pytest.raises(IdentityElementError):
        add(G, Element(bad))
    with pytest.raises(IdentityElementError):
        subtract(Element(bad), G)
    with pytest.raises(IdentityElementError):
        add_all([G, Element(bad), G])


def test_libsodium_takes_the_identity_for_a_valid_point() -> None:
    assert rbcl.crypto_core_ristretto255_is_valid_point(IDENTITY)
    assert rbcl.crypto_core_ristretto255_add(G, IDENTITY) == G


def test_libsodium_refuses_to_multiply_an_invalid_point() -> None:
    with pytest.raises(RuntimeError):
        multiply(scalar(2), Element(bytes.fromhex(BAD_ENCODINGS[12])))


def test_libsodium_reads_255_bits_of_a_scalar_so_decoding_must_refuse_the_top_one() -> None:
    high = bytes(31) + b"\x80"
    low_two = scalar(2)
    twin = bytes((low_two[0],)) + low_two[1:31] + bytes((low_two[31] | 0x80,))
    assert rbcl.crypto_scalarmult_ristretto255(twin, G) == multiply(low_two, G)
    for data in (high, twin):
        with pytest.raises(InvalidScalarError):
            decode_scalar(data)


def test_random_scalars_follow_from_seed_label_and_place() -> None:
    drawn = random_scalars(bytes(32), b"label", 50)
    assert len(set(drawn)) == 50
    assert random_scalars(bytes(32), b"label", 3) == drawn[:3]
    assert not set(drawn) & set(random_scalars(bytes(32), b"labe", 50))
    assert not set(drawn) & set(random_scalars(bytes(31) + b"\1", b"label", 50))
    assert all(decode_scalar(x) == x != bytes(32) for x in drawn)
    expected = sha512(b"\x00\x05label" + b"\0\0\0\0" + bytes(32)).digest()
    assert drawn[0] == scalar(int.from_bytes(expected, "little"))


def test_random_scalars_need_32_bytes_of_seed() -> None:
    with pytest.raises(InvalidScalarError, match="32 random bytes"):
        random_scalars(bytes(31), b"label", 1)


def test_the_order_is_that_of_the_rfc() -> None:
    assert multiply(scalar(ORDER - 1), G) == multiply_base(scalar(-1))
    with pytest.raises(IdentityElementError):
        add(multiply_base(scalar(ORDER - 1)), G)
