"""The 768 bytes of a proof.

    A ‖ S ‖ T_1 ‖ T_2 ‖ L_1 ‖ R_1 ‖ L_2 ‖ R_2 ‖ L_3 ‖ R_3     10 compressed points of 48 bytes
    ‖ τ_x ‖ μ ‖ t̂ ‖ a_0 ‖ a_1 ‖ a_2 ‖ b_0 ‖ b_1 ‖ b_2         9 scalars below r of 32 bytes

Scalars are big-endian.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proofs.group import G1_COMPRESSED, SCALAR_BYTES, decode_scalar, encode_scalar
from proofs.severity.errors import ProofLengthError

ROUNDS: Final = 3
"""Folding rounds of the inner-product argument."""

FINAL: Final = 3
"""Length of the two vectors that are sent in clear after the last round."""

POINT_NAMES: Final = ("A", "S", "T1", "T2", "L1", "R1", "L2", "R2", "L3", "R3")
"""The proof's points, in order."""

_SCALARS = 3 + 2 * FINAL
_POINT_BYTES = len(POINT_NAMES) * G1_COMPRESSED

PROOF_BYTES: Final = _POINT_BYTES + _SCALARS * SCALAR_BYTES
"""Length of a proof: 768."""


@dataclass(frozen=True)
class Wire:
    """A parsed proof: points still as bytes, scalars in range. Everything in it is public."""

    points: tuple[bytes, ...]
    tau_x: int
    mu: int
    t_hat: int
    a: tuple[int, ...]
    b: tuple[int, ...]
    evaluation: bytes
    """τ_x ‖ μ ‖ t̂ as encoded."""
    end: bytes
    """a ‖ b as encoded."""


def encode_scalars(scalars: Iterable[int]) -> bytes:
    """Return the encodings one after the other."""
    return b"".join(map(encode_scalar, scalars))


def parse(proof: bytes) -> Wire:
    """Split a proof into its parts; the points are not decoded yet.

    Raises:
        ProofLengthError: not 768 bytes.
        ScalarRangeError: a scalar is not below r.
    """
    if len(proof) != PROOF_BYTES:
        raise ProofLengthError(f"a severity proof is {PROOF_BYTES} bytes, got {len(proof)}")
    points = tuple(proof[at : at + G1_COMPRESSED] for at in range(0, _POINT_BYTES, G1_COMPRESSED))
    tau_x, mu, t_hat, *rest = (
        decode_scalar(proof[at : at + SCALAR_BYTES])
        for at in range(_POINT_BYTES, PROOF_BYTES, SCALAR_BYTES)
    )
    middle = _POINT_BYTES + 3 * SCALAR_BYTES
    return Wire(
        points,
        tau_x,
        mu,
        t_hat,
        tuple(rest[:FINAL]),
        tuple(rest[FINAL:]),
        proof[_POINT_BYTES:middle],
        proof[middle:],
    )
