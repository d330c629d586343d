"""Why a severity proof can't be made, or doesn't hold. No message shows a component or a total."""

from proofs.errors import ProofsError


class SeverityProofError(ProofsError):
    """The root of this package's errors; bad points and scalars raise `proofs.group`'s own."""


class RubricError(SeverityProofError):
    """A rubric that the proof's layout can't hold."""


class StatementError(SeverityProofError):
    """A statement that is malformed before any cryptography: threshold or commitments."""


class ComponentRangeError(SeverityProofError):
    """A component to be proven is not an integer in the rubric's range, or there are not four."""


class BelowThresholdError(SeverityProofError):
    """The weighted total of the components doesn't reach the threshold: claim a lower band."""


class EntropyError(SeverityProofError):
    """Too few random bytes were handed in."""


class ProofLengthError(SeverityProofError):
    """A proof is not exactly 768 bytes."""


class ProofEquationError(SeverityProofError):
    """The proof is well-formed but false: forged, altered, or for another statement."""
