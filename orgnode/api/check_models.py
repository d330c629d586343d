"""What checks take and give, in the API's own form. (Gateways' forms: `gateway_models`.)"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mesh.constraints import BAND_NAMES
from mesh.matching import KnownToken, Source
from orgnode.api.models import Answer, Hash, Request
from orgnode.checking import CheckAnswer as Checked
from orgnode.checking import Policy
from orgnode.checking.policy import MAX_LABEL, FailName, ModeName
from orgnode.checking.question import DEFAULT_ROUTE

VerdictName = Literal["allow", "escalate", "block", "deny"]
TierName = Literal["local", "regional", "global"]
SightingVerdict = Literal["confirm", "deny"]


class CheckRequest(Request):
    """A text to check. It is neither kept nor logged, and never leaves the organization."""

    text: str = Field(repr=False, description="The text as the model would get it")
    route: str = Field(
        default=DEFAULT_ROUTE,
        min_length=1,
        max_length=MAX_LABEL,
        description="Where it comes from; chooses the rules of the policy",
    )
    tenant: str | None = Field(
        default=None, min_length=1, max_length=MAX_LABEL, description="Whose it is"
    )
    risk: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="The caller's own suspicion: below 0.3, or none, the check is local; below 0.7 "
        "the committee is asked within the policy's `regional_ms`; else within `global_ms`",
    )


class SourceAnswer(Answer):
    """A live signal that holds a token."""

    signal: Hash
    issuer: str
    control_group: str
    band: str
    category: str
    technique: str | None = None
    age_seconds: float = Field(description="How long this node has held it")
    confirmed: bool = Field(description="A person elsewhere, or one here, confirmed it")

    @classmethod
    def of(cls, source: Source) -> SourceAnswer:
        """Show a source."""
        return cls(
            signal=source.signal,
            issuer=source.issuer,
            control_group=source.control_group,
            band=BAND_NAMES[source.band_level - 1],
            category=source.category,
            technique=source.technique,
            age_seconds=round(source.age_seconds, 1),
            confirmed=source.confirmed,
        )


class TokenAnswer(Answer):
    """A part of the text that the mesh knows."""

    token: Hash
    promoted: bool = Field(description="Matched without asking the committee")
    control_groups: list[str] = Field(
        description="Independent organizations whose signals count, past their shadow period"
    )
    shadowed: int = Field(description="How many more there will be when the shadow period ends")
    sufficient: bool = Field(description="Known from enough of them, or from a trusted issuer")
    confirmed: bool = Field(description="A person confirmed one of the signals that count")
    held: bool = Field(
        default=False, description="The breaker keeps it from blocking here; see `/v1/breaker`"
    )
    sources: list[SourceAnswer]

    @classmethod
    def of(cls, token: KnownToken) -> TokenAnswer:
        """Show a known token."""
        return cls(
            token=token.token,
            promoted=token.promoted,
            control_groups=list(token.control_groups),
            shadowed=token.shadowed,
            sufficient=token.sufficient,
            confirmed=token.confirmed,
            held=token.held,
            sources=[SourceAnswer.of(source) for source in token.sources],
        )


class CheckAnswer(Answer):
    """What to do with a text, and why."""

    answer: VerdictName = Field(description="What to do now; always `allow` in monitor mode")
    finding: VerdictName = Field(description="What was found: the answer if the mode is enforce")
    mode: ModeName
    tier: TierName
    route: str
    tenant: str | None = None
    reason: str = Field(description="Why, in words")
    verified: bool = Field(description="False if the fail mode decided, for the reason given")
    took_ms: float
    windows: int = Field(description="How many parts of the text were looked up")
    tokens: list[TokenAnswer] = Field(description="Those that the mesh knows")
    notes: list[str] = Field(description="What else to know about this answer")
    check: str | None = Field(
        default=None,
        description="If a block was found: the id to judge it by, at `/v1/checks/{id}/judgement`; "
        "texts that are alike have the same",
    )

    @classmethod
    def of(cls, checked: Checked, *notes: str) -> CheckAnswer:
        """Show an answer, with further notes."""
        return cls(
            answer=checked.answer.value,
            finding=checked.finding.value,
            mode=checked.mode,
            tier=checked.tier.value,
            route=checked.route,
            tenant=checked.tenant,
            reason=checked.reason,
            verified=checked.verified,
            took_ms=round(checked.took_ms, 3),
            windows=checked.windows,
            tokens=[TokenAnswer.of(token) for token in checked.tokens],
            notes=[*checked.notes, *notes],
            check=checked.check,
        )


class SightingRequest(Request):
    """A person here looked at another organization's signal."""

    verdict: SightingVerdict = Field(description="`confirm`: it is an attack; `deny`: it is none")


class SightingAnswer(Answer):
    """Where the sighting stands in the own log."""

    sighting: Hash = Field(description="Id of the sighting's entry")
    signal: Hash
    verdict: SightingVerdict
    index: int
    size: int = Field(description="Size of the signed tree that covers it")


class RuleAnswer(Answer):
    """What differs from the defaults for a route, a tenant, or a tenant on a route."""

    route: str | None = None
    tenant: str | None = None
    mode: ModeName | None = None
    fail: FailName | None = None


class PolicyAnswer(Answer):
    """The operator's rules in force."""

    mode: ModeName
    fail: FailName
    kill_switch: bool
    sample_rate: float
    max_characters: int
    regional_ms: int = Field(description="How long a regional check may take")
    global_ms: int = Field(description="How long a global check may take")
    max_evaluations: int
    trusted: list[str]
    ignored: list[str]
    rules: list[RuleAnswer]
    templates: int = Field(description="Own prompt templates whose windows are left out")
    allowed: int = Field(description="Allowed texts whose windows are left out")
    problem: str = Field(
        description="Why what is on disk is not in force; empty if it is. The rules before stay"
    )
    warnings: list[str] = Field(description="What in the rules has no effect")

    @classmethod
    def of(cls, policy: Policy, problem: str = "", warnings: tuple[str, ...] = ()) -> PolicyAnswer:
        """Show a policy."""
        settings = policy.settings
        rules: list[RuleAnswer] = []
        for route, given in settings.routes.items():
            if given.mode or given.fail:
                rules.append(RuleAnswer(route=route, mode=given.mode, fail=given.fail))
            rules += [
                RuleAnswer(route=route, tenant=tenant, mode=one.mode)
                for tenant, one in given.tenants.items()
            ]
        rules += [
            RuleAnswer(tenant=tenant, mode=one.mode) for tenant, one in settings.tenants.items()
        ]
        return cls(
            mode=settings.mode,
            fail=settings.fail,
            kill_switch=settings.kill_switch,
            sample_rate=settings.sample_rate,
            max_characters=settings.max_characters,
            regional_ms=settings.regional_ms,
            global_ms=settings.global_ms,
            max_evaluations=settings.max_evaluations,
            trusted=settings.trusted,
            ignored=settings.ignored,
            rules=rules,
            templates=policy.templates,
            allowed=policy.allowed,
            problem=problem,
            warnings=list(warnings),
        )
