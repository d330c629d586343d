"""Hints: what spares the reader of a proof the square roots, a third of what it costs.

A hint is the y coordinates of the proof's ten points and of the four commitments, in this order, 48
bytes each, big-endian. It is no part of statement or proof, and nobody trusts it: a y that is not
the point's own is not used, and the proof is read as if there were no hint. So whoever hands on a
proof may hand on any hint with it, or none, and the verdict is the same.
"""

from collections.abc import Sequence
from typing import Final

from proofs.group import G1_COMPRESSED, Backend, Point, backend
from proofs.severity.statement import COMPONENTS
from proofs.severity.wire import POINT_NAMES, parse

_POINTS: Final = len(POINT_NAMES) + COMPONENTS

HINT_BYTES: Final = _POINTS * G1_COMPRESSED
"""Length of a hint: 672."""


def hint(commitments: Sequence[bytes], proof: bytes, *, group: Backend | None = None) -> bytes:
    """Return the hint for a proof and its statement's commitments.

    Raises:
        ProofLengthError, ScalarRangeError, PointError: it is no proof.
    """
    chosen = group or backend()
    return b"".join(map(chosen.y_coordinate, (*parse(proof).points, *commitments)))


class HintedDecoder:
    """Decodes a proof's points and commitments, in order; bytes of a wrong length are no hint."""

    def __init__(self, group: Backend, hint: bytes) -> None:
        self._group = group
        self._hint = hint if len(hint) == HINT_BYTES else b""
        self._at = 0

    def decode(self, data: bytes) -> Point:
        """As `Backend.decode`; raises what it raises."""
        point = self._by_y(data, subgroup=True)
        return self._group.decode(data) if point is None else point

    def decode_on_curve(self, data: bytes) -> Point:
        """As `Backend.decode_on_curve`; raises what it raises."""
        point = self._by_y(data, subgroup=False)
        return self._group.decode_on_curve(data) if point is None else point

    def _by_y(self, data: bytes, *, subgroup: bool) -> Point | None:
        if not self._hint:
            return None
        y = self._hint[self._at : self._at + G1_COMPRESSED]
        self._at += G1_COMPRESSED
        return self._group.decode_by_y(data, y, subgroup=subgroup)
