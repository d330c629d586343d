"""Points and bytes that a decoder must refuse, computed and not copied."""

from proofs.group import BACKENDS, COFACTOR, ORDER, Backend, is_available, load
from proofs.group.encoding import FIELD_MODULUS, bytes_from_affine

ALL = [name for name in BACKENDS if is_available(name)]
NATIVE = [name for name in ALL if name != "py_ecc"]

INFINITIES = {
    "canonical": b"\xc0" + bytes(47),
    "with sign": b"\xe0" + bytes(47),
    "with x": b"\xc0\x01" + bytes(46),
    "with low x": b"\xc0" + bytes(46) + b"\x01",
    "with sign and x": b"\xff" * 48,
}

NOT_COMPRESSED = {
    "zeros": bytes(48),
    "flagless infinity": b"\x40" + bytes(47),
    "flagless point": bytes.fromhex(
        "17f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
    ),
}

# (0, ±2) is a point of order 3.
ORDER_3 = (b"\x80" + bytes(47), b"\xa0" + bytes(47))


def x_not_below_modulus() -> bytes:
    number = FIELD_MODULUS | 1 << 383
    return number.to_bytes(48, "big")


def off_curve() -> bytes:
    x = next(
        x
        for x in range(1, 100)
        if pow(x**3 + 4, (FIELD_MODULUS - 1) // 2, FIELD_MODULUS) == FIELD_MODULUS - 1
    )
    return (x | 1 << 383).to_bytes(48, "big")


def outside_subgroup() -> bytes:
    """A curve point whose order has both r and the cofactor in it."""
    group = load("py_ecc")
    for x in range(1, 100):
        square = x**3 + 4
        y = pow(square, (FIELD_MODULUS + 1) // 4, FIELD_MODULUS)
        if y * y % FIELD_MODULUS == square:
            data = bytes_from_affine(x, y)
            point = group.decode_on_curve(data)
            cleared = group.mul_cofactor(point)
            if not group.is_identity(cleared):
                return data
    raise AssertionError("no such point")


def large_torsion() -> bytes:
    """A point of the cofactor's torsion that is not of order 3: r times a curve point."""
    group = load("py_ecc")
    point = group.decode_on_curve(outside_subgroup())
    torsion = group.add(group.mul(point, ORDER - 1), point)
    assert not group.is_identity(torsion)
    assert group.clear_cofactor_is_identity(torsion)
    assert not group.is_identity(group.add(group.add(torsion, torsion), torsion))
    return group.encode(torsion)


def plus_torsion(data: bytes, torsion: bytes) -> bytes:
    """The encoding of the sum of two curve points."""
    group: Backend = load("py_ecc")
    return group.encode(group.add(group.decode_on_curve(data), group.decode_on_curve(torsion)))


assert COFACTOR == 0xD201000000010001
