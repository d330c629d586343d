"""The root of every error that `proofs` raises.

Each module derives its own errors from this one and names them for the attack or the condition that
they stop. Messages never hold secrets: no component, no blinding factor, no private key.
"""


class ProofsError(ValueError):
    """Something handed to `proofs` does not hold: malformed, out of range, or false."""
