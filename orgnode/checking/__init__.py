"""Checks: is this text known to the mesh, and what is to be done about it here.

The mesh's rules say what a text is (`mesh.matching`); the operator's policy says what that may lead
to. `Checker` brings the two together, for the local API and the gateways behind it.
"""

from orgnode.checking.checker import Checker
from orgnode.checking.errors import (
    PolicyError,
    PolicySyntaxError,
    PolicyTextError,
    PolicyValueError,
    UnknownPolicyKeyError,
)
from orgnode.checking.policy import Policy, PolicySettings, Rules
from orgnode.checking.policyfile import PolicyFile
from orgnode.checking.question import CheckAnswer, CheckQuestion, Verdict

__all__ = [
    "CheckAnswer",
    "CheckQuestion",
    "Checker",
    "Policy",
    "PolicyError",
    "PolicyFile",
    "PolicySettings",
    "PolicySyntaxError",
    "PolicyTextError",
    "PolicyValueError",
    "Rules",
    "UnknownPolicyKeyError",
    "Verdict",
]
