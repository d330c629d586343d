"""What a severity proof absorbs and draws, in which order; one home for both sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proofs.group import SCALAR_BYTES
from proofs.pedersen import GENERATOR_DST
from proofs.severity.statement import BITS, Statement
from proofs.severity.wire import Wire
from proofs.transcript import Transcript

LABEL: Final = b"signal-mesh/severity/v1"
"""The protocol's label; a change of anything in this package changes it."""


def _u32(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)


def _scalars(scalars: Sequence[int]) -> bytes:
    return b"".join(scalar.to_bytes(SCALAR_BYTES, "big") for scalar in scalars)


_START = Transcript(LABEL)
_START.absorb(b"generators", GENERATOR_DST)
_START.absorb(b"bits", _u32(BITS))


class SeverityTranscript:
    """The transcript of one proof; the methods are called in the order in which they stand here."""

    def __init__(self, statement: Statement) -> None:
        transcript = _START.fork()
        rubric = statement.rubric
        transcript.absorb(b"rubric", _u32(*rubric.weights, rubric.component_max))
        transcript.absorb(b"threshold", _u32(statement.threshold))
        transcript.absorb(b"context", statement.context)
        transcript.absorb(b"commitments", b"".join(statement.commitments))
        self._transcript = transcript

    def vectors(self, A: bytes, S: bytes) -> tuple[int, int]:
        """Absorb the vector commitments; draw Y = y⁻¹ and z."""
        self._transcript.absorb(b"A S", A + S)
        return self._transcript.challenge(b"Y"), self._transcript.challenge(b"z")

    def polynomial(self, T1: bytes, T2: bytes) -> int:
        """Absorb the commitments to t_1 and t_2; draw x."""
        self._transcript.absorb(b"T1 T2", T1 + T2)
        return self._transcript.challenge(b"x")

    def evaluation(self, tau_x: int, mu: int, t_hat: int) -> int:
        """Absorb the three scalars; draw w, the multiple of U for the inner product."""
        self._transcript.absorb(b"tau_x mu t_hat", _scalars((tau_x, mu, t_hat)))
        return self._transcript.challenge(b"w")

    def round(self, L: bytes, R: bytes) -> int:
        """Absorb one folding round; draw e."""
        self._transcript.absorb(b"L R", L + R)
        return self._transcript.challenge(b"e")

    def end(self, a: Sequence[int], b: Sequence[int]) -> int:
        """Absorb the final vectors; draw the verifier's own weight, which depends on every byte."""
        self._transcript.absorb(b"a b", _scalars((*a, *b)))
        return self._transcript.challenge(b"weight")


@dataclass(frozen=True)
class Challenges:
    """All challenges of one proof."""

    Y: int
    z: int
    x: int
    w: int
    e: tuple[int, ...]
    weight: int


def replay(statement: Statement, wire: Wire) -> Challenges:
    """Return the challenges that a proof must have been made with."""
    transcript = SeverityTranscript(statement)
    A, S, T1, T2, *rounds = wire.points
    Y, z = transcript.vectors(A, S)
    x = transcript.polynomial(T1, T2)
    w = transcript.evaluation(wire.tau_x, wire.mu, wire.t_hat)
    e = tuple(transcript.round(L, R) for L, R in zip(rounds[::2], rounds[1::2], strict=True))
    return Challenges(Y, z, x, w, e, transcript.end(wire.a, wire.b))
