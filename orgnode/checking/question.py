"""What a check is asked and what it answers. Neither shows a text in its repr."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mesh.matching import Finding, KnownToken
from mesh.routing import Tier
from orgnode.checking.policy import ModeName

DEFAULT_ROUTE = "default"
"""The route of a check that names none."""


class Verdict(StrEnum):
    """What to do with a text. `deny` means that the mesh could not verify and the gate is shut."""

    ALLOW = "allow"
    ESCALATE = "escalate"
    BLOCK = "block"
    DENY = "deny"

    @classmethod
    def of(cls, finding: Finding) -> Verdict:
        """The verdict that a finding of the mesh asks for."""
        return cls(finding.value)

    @property
    def rank(self) -> int:
        """Order of strictness; `block` and `deny` both stop a text, a known attack first."""
        return (Verdict.ALLOW, Verdict.ESCALATE, Verdict.DENY, Verdict.BLOCK).index(self)

    @property
    def stops(self) -> bool:
        """Whether the text must not go on."""
        return self in (Verdict.BLOCK, Verdict.DENY)


@dataclass(frozen=True)
class CheckQuestion:
    """Texts that belong together, such as the messages of one call; one of them may be all.

    `route` and `tenant` choose the operator's rules; `risk` is the caller's own suspicion, 0 to 1.
    """

    texts: Sequence[str] = field(repr=False)
    route: str = DEFAULT_ROUTE
    tenant: str | None = None
    risk: float | None = None


@dataclass(frozen=True)
class CheckAnswer:
    """What to do, and why.

    `answer` is what to do now; `finding` what was found, which is the same unless the route only
    monitors. `verified` is False when the mesh could not be asked or the text not be checked, so
    that the fail mode decided. `windows` is how many parts of the text were looked up, `tokens`
    which of them are known; `share` is their number of those that a block takes, at most 1.
    `check` is the id under which a block can be judged (see `orgnode.checking.breaker`); None if
    none was found.
    """

    answer: Verdict
    finding: Verdict
    mode: ModeName
    tier: Tier
    route: str
    tenant: str | None
    reason: str
    took_ms: float
    verified: bool = True
    windows: int = 0
    tokens: tuple[KnownToken, ...] = ()
    share: float = 0.0
    notes: tuple[str, ...] = ()
    check: str | None = None
