"""Errors of the oblivious pseudorandom function."""

from proofs.errors import ProofsError


class OPRFError(ProofsError):
    """A step of the oblivious pseudorandom function can't be done, or does not hold."""


class InputError(OPRFError):
    """An input that has no value: it hashes to the identity (RFC 9497, InvalidInputError)."""


class InputLengthError(InputError):
    """An input is longer than the two bytes of its length can say."""


class KeyDerivationError(OPRFError):
    """No key can be derived: the seed is not 32 bytes, the info is too long, all tries gave 0."""


class EvaluationProofError(OPRFError):
    """The server has not proven that it evaluated with the key of its public key."""


class EvaluationProofFormatError(EvaluationProofError):
    """The proof is not 64 bytes of two canonical scalars."""


class EvaluationStatementError(EvaluationProofError):
    """Nothing was evaluated, or there is not one evaluated element for each blinded one."""
