"""An operator's own rules: what a finding may lead to, per route and tenant.

    mode = "monitor"              # findings change no answer; "enforce" lets them
    fail = "deny"                 # the answer when the mesh can't verify: deny, allow, escalate
    kill_switch = false           # true: everything is allowed, nothing is checked
    [routes.chat]
    mode = "enforce"
    [routes.chat.tenants.acme]
    mode = "monitor"

The nearest rule wins: a route's tenant, then the tenant, then the route, then the defaults.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from mesh.names import check_name
from mesh.routing import Tier
from orgnode.checking.errors import PolicySyntaxError, PolicyValueError, UnknownPolicyKeyError

ModeName = Literal["monitor", "enforce"]
FailName = Literal["deny", "allow", "escalate"]

MAX_POLICY_BYTES: Final = 1 << 20
MAX_LABEL: Final = 200
"""Longest name of a route or tenant in characters."""


_Model = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


def _listed(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


MemberName = Annotated[str, AfterValidator(check_name)]
SignalId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LABEL)]


class TenantRules(BaseModel):
    """What differs for one tenant."""

    model_config = _Model
    mode: ModeName | None = None


class RouteRules(BaseModel):
    """What differs for one route, and for tenants on it."""

    model_config = _Model
    mode: ModeName | None = None
    fail: FailName | None = None
    tenants: dict[Label, TenantRules] = Field(default_factory=dict)


class PolicySettings(BaseModel):
    """The content of `policy.toml`."""

    model_config = _Model

    mode: ModeName = Field(
        default="monitor",
        description="monitor: findings are reported and change nothing; enforce: they are answers",
    )
    fail: FailName = Field(
        default="deny", description="the answer when the mesh can't verify: deny, allow or escalate"
    )
    kill_switch: bool = Field(
        default=False, description="true: every text is allowed at once, nothing is checked"
    )
    sample_rate: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="share of the checks without a risk score that the committee is asked about "
        "afterwards",
    )
    max_characters: int = Field(
        default=100_000,
        ge=1_000,
        le=2_000_000,
        description="longest text that is checked; a longer one gets the route's fail mode",
    )
    max_evaluations: int = Field(
        default=512,
        ge=32,
        le=4_096,
        description="most parts of one text that the committee is asked about; a text with more "
        "gets the route's fail mode, so that long ones can't use up the day's budget",
    )
    regional_ms: int = Field(
        default=250,
        ge=20,
        le=60_000,
        description="how long a check with a risk of 0.3 or more may wait for the committee; then "
        "the fail mode answers",
    )
    global_ms: int = Field(
        default=1_000, ge=20, le=60_000, description="the same with a risk of 0.7 or more"
    )
    trusted: Annotated[list[MemberName], AfterValidator(_listed)] = Field(
        default_factory=list,
        description="members whose signal alone makes a token count towards a block",
    )
    ignored: Annotated[list[SignalId], AfterValidator(_listed)] = Field(
        default_factory=list, description="ids of signals that count for nothing here"
    )
    routes: dict[Label, RouteRules] = Field(default_factory=dict, description="rules of routes")
    tenants: dict[Label, TenantRules] = Field(
        default_factory=dict, description="rules of tenants, on every route"
    )

    def seconds(self, tier: Tier) -> float:
        """How long a check of a tier that asks the committee may take."""
        return (self.global_ms if tier is Tier.GLOBAL else self.regional_ms) / 1_000


@dataclass(frozen=True)
class Rules:
    """The rules for one check."""

    mode: ModeName
    fail: FailName


@dataclass(frozen=True)
class Policy:
    """The rules in force, with the windows of own templates and allowed texts.

    `templates` and `allowed` count those texts; `dropped` holds their windows' inputs.
    """

    settings: PolicySettings = field(default_factory=PolicySettings)
    dropped: Container[bytes] = field(default=frozenset(), repr=False)
    templates: int = 0
    allowed: int = 0

    @property
    def trusted(self) -> frozenset[str]:
        """Issuers whose signal alone makes a token count."""
        return frozenset(self.settings.trusted)

    @property
    def ignored(self) -> frozenset[str]:
        """Signals that count for nothing here."""
        return frozenset(self.settings.ignored)

    def rules(self, route: str, tenant: str | None) -> Rules:
        """The rules for a check on a route for a tenant; either may be unknown to the policy."""
        settings = self.settings
        on_route = settings.routes.get(route, RouteRules())
        here = everywhere = TenantRules()
        if tenant is not None:
            here = on_route.tenants.get(tenant, here)
            everywhere = settings.tenants.get(tenant, everywhere)
        return Rules(
            mode=here.mode or everywhere.mode or on_route.mode or settings.mode,
            fail=on_route.fail or settings.fail,
        )


def parse_policy(data: bytes, where: str) -> PolicySettings:
    """Read `policy.toml`. `where` names it in messages.

    :raises PolicySyntaxError: not TOML, not UTF-8, or too long.
    :raises UnknownPolicyKeyError: a key that means nothing; the hint names the nearest.
    :raises PolicyValueError: a value of the wrong type or out of range.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise PolicySyntaxError(f"{where} is over {MAX_POLICY_BYTES} bytes", hint="shorten it")
    try:
        values = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PolicySyntaxError(
            f"{where} is not UTF-8 text", hint="write it again as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise PolicySyntaxError(
            f"{where} is not TOML: {error}",
            hint='a rule looks like  mode = "enforce"  ; `orgnode policy` writes them for you',
        ) from error
    except RecursionError:
        raise PolicySyntaxError(f"{where} nests too deep", hint="write it flat") from None
    _check_keys(values, where)
    try:
        return PolicySettings.model_validate(values)
    except ValidationError as error:
        raise _value_error(error, where) from None


def write_policy(settings: PolicySettings) -> bytes:
    """The file's content: every rule with what it means, those at their default as comments."""
    lines = [
        "# What checks on this node may do. Reread while the node runs; `orgnode policy` edits it.",
        "# The nearest rule wins: a route's tenant, then the tenant, then the route, then these.",
        "",
    ]
    defaults = PolicySettings()
    for name, about in PolicySettings.model_fields.items():
        if name in ("routes", "tenants"):
            continue
        value = getattr(settings, name)
        mark = "# " if value == getattr(defaults, name) else ""
        lines += [f"# {about.description}", f"{mark}{name} = {_toml(value)}", ""]
    for route, rules in settings.routes.items():
        lines += _section(("routes", route), rules, ("mode", "fail"))
        for tenant, tenant_rules in rules.tenants.items():
            lines += _section(("routes", route, "tenants", tenant), tenant_rules, ("mode",))
    for tenant, tenant_rules in settings.tenants.items():
        lines += _section(("tenants", tenant), tenant_rules, ("mode",))
    return "\n".join(lines).encode()


def _section(path: tuple[str, ...], rules: BaseModel, names: tuple[str, ...]) -> list[str]:
    lines = [f"[{'.'.join(map(_key, path))}]"]
    for name in names:
        value = getattr(rules, name)
        if value is not None:
            lines.append(f"{name} = {_toml(value)}")
    return [*lines, ""]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: object) -> str:
    # Strings, numbers, booleans and arrays of them are written as in JSON; a DEL is not.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _check_keys(values: Mapping[str, Any], where: str) -> None:
    _known(values, PolicySettings, where, ())
    for tenant, rules in _tables(values.get("tenants")):
        _known(rules, TenantRules, where, ("tenants", tenant))
    for route, rules in _tables(values.get("routes")):
        _known(rules, RouteRules, where, ("routes", route))
        for tenant, inner in _tables(rules.get("tenants")):
            _known(inner, TenantRules, where, ("routes", route, "tenants", tenant))


def _tables(value: object) -> list[tuple[str, Mapping[str, Any]]]:
    # What is no table is left to the validation of values.
    if not isinstance(value, dict):
        return []
    return [(name, inner) for name, inner in value.items() if isinstance(inner, dict)]


def _known(
    values: Mapping[str, Any], model: type[BaseModel], where: str, path: tuple[str, ...]
) -> None:
    known = list(model.model_fields)
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known)
            place = f" in [{'.'.join(path)[:100]}]" if path else ""
            raise UnknownPolicyKeyError(
                f"{where}: there is no rule {key[:60]!r}{place}",
                hint=f"did you mean {' or '.join(near)}?"
                if near
                else f"there are: {', '.join(known)}",
            )


def _value_error(error: ValidationError, where: str) -> PolicyValueError:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    said = [
        f"{'.'.join(str(part)[:60] for part in one['loc'])}: "
        f"{one['msg'].removeprefix('Value error, ')}"
        for one in found[:5]
    ]
    names = [str(one["loc"][0]) for one in found if one["loc"]]
    return PolicyValueError(
        f"{where}: {'; '.join(said)}",
        hint="; ".join(
            f"{name}: {PolicySettings.model_fields[name].description}"
            for name in dict.fromkeys(names)
            if name in PolicySettings.model_fields
        ),
    )
