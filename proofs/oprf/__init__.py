"""An oblivious pseudorandom function: RFC 9497, suite ristretto255-SHA512, modes OPRF and VOPRF.

A server has a key k; a client has an input. The client learns F(k, input) and nothing else about
k; the server learns neither the input nor the result. In mode VOPRF the server also proves that
it used the key that its public key stands for.

    client                                     server
    P = H(input), random blind b
    blinded = b·P              ─ blinded →     evaluated = k·blinded
                               ← evaluated,    proof that log_G(k·G) = log_blinded(evaluated)
    verify the proof            proof ─
    unblinded = b⁻¹·evaluated = k·P
    F = SHA-512(input, unblinded)

**Shared keys.** F depends on k only through k·P. If the servers i = 1..m hold Shamir shares k_i of
k, each evaluates with k_i and proves it against k_i·G; then k·P = Σ λ_i·k_i·P for any t of them
(`proofs.threshold.combining`), and F is what the RFC says for k.

**What blinding gives.** A blinded element is uniform whatever the input, so the server learns
nothing even with unlimited computing power. **What it does not give:** who has k, or t shares,
computes F of any input it can guess.
"""

from proofs.oprf.errors import (
    EvaluationProofError,
    EvaluationProofFormatError,
    EvaluationStatementError,
    InputError,
    InputLengthError,
    KeyDerivationError,
    OPRFError,
)
from proofs.oprf.protocol import (
    OUTPUT_BYTES,
    PROOF_BYTES,
    Mode,
    blind_input,
    context_string,
    derive_key,
    evaluate,
    finalize,
    hash_input,
    prove_evaluation,
    unblind,
    verify_evaluation,
)

__all__ = [
    "OUTPUT_BYTES",
    "PROOF_BYTES",
    "EvaluationProofError",
    "EvaluationProofFormatError",
    "EvaluationStatementError",
    "InputError",
    "InputLengthError",
    "KeyDerivationError",
    "Mode",
    "OPRFError",
    "blind_input",
    "context_string",
    "derive_key",
    "evaluate",
    "finalize",
    "hash_input",
    "prove_evaluation",
    "unblind",
    "verify_evaluation",
]
