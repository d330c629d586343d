"""What a severity proof absorbs and draws, in which order; one home for both sides."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from proofs.pedersen import GENERATOR_DST
from proofs.severity.statement import BITS, Rubric, Statement
from proofs.severity.wire import Wire
from proofs.transcript import Transcript

LABEL: Final = b"signal-mesh/severity/v1"
"""The protocol's label; a change of anything in this package changes it."""


def _u32(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)


@lru_cache(maxsize=1024)
def _start(rubric: Rubric, threshold: int) -> Transcript:
    """Absorb what many statements have in common; to be forked."""
    transcript = Transcript(LABEL)
    transcript.absorb(b"generators", GENERATOR_DST)
    transcript.absorb(b"bits", _u32(BITS))
    transcript.absorb(b"rubric", _u32(*rubric.weights, rubric.component_max))
    transcript.absorb(b"threshold", _u32(threshold))
    return transcript


class SeverityTranscript:
    """The transcript of one proof; the methods are called in the order in which they stand here."""

    def __init__(self, statement: Statement) -> None:
        transcript = _start(statement.rubric, statement.threshold).fork()
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

    def evaluation(self, encoded: bytes) -> int:
        """Absorb τ_x ‖ μ ‖ t̂; draw w, the multiple of U for the inner product."""
        self._transcript.absorb(b"tau_x mu t_hat", encoded)
        return self._transcript.challenge(b"w")

    def round(self, L: bytes, R: bytes) -> int:
        """Absorb one folding round; draw e."""
        self._transcript.absorb(b"L R", L + R)
        return self._transcript.challenge(b"e")

    def end(self, encoded: bytes) -> int:
        """Absorb the final a ‖ b; draw the verifier's own weight, which depends on every byte."""
        self._transcript.absorb(b"a b", encoded)
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
    w = transcript.evaluation(wire.evaluation)
    e = tuple(transcript.round(L, R) for L, R in zip(rounds[::2], rounds[1::2], strict=True))
    return Challenges(Y, z, x, w, e, transcript.end(wire.end))
