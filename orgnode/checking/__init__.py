"""Checks: is this text known to the mesh, and what is to be done about it here.

The mesh's rules say what a text is (`mesh.matching`); the operator's policy says what that may lead
to. `Checker` brings the two together, for the local API and the gateways behind it.
"""

from orgnode.checking.breaker import BreakerStatus, CheckBreaker, JudgedCheck
from orgnode.checking.checker import Checker
from orgnode.checking.errors import (
    BreakerDamagedError,
    PolicyError,
    PolicySyntaxError,
    PolicyTextError,
    PolicyValueError,
    TokenNotInShadowError,
    UnknownCheckError,
    UnknownPolicyKeyError,
)
from orgnode.checking.policy import Policy, PolicySettings, Rules
from orgnode.checking.policyfile import PolicyFile
from orgnode.checking.question import CheckAnswer, CheckQuestion, Verdict

__all__ = [
    "BreakerDamagedError",
    "BreakerStatus",
    "CheckAnswer",
    "CheckBreaker",
    "CheckQuestion",
    "Checker",
    "JudgedCheck",
    "Policy",
    "PolicyError",
    "PolicyFile",
    "PolicySettings",
    "PolicySyntaxError",
    "PolicyTextError",
    "PolicyValueError",
    "Rules",
    "TokenNotInShadowError",
    "UnknownCheckError",
    "UnknownPolicyKeyError",
    "Verdict",
]
