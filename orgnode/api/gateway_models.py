"""What gateways send and expect: LiteLLM's generic guardrail API, OpenAI's moderation API.

Both grow fields without notice, so unknown ones are passed over.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from orgnode.api.check_models import CheckAnswer
from orgnode.api.models import Answer, Request


class ForeignRequest(Request):
    """The base of requests whose form others decide."""

    model_config = ConfigDict(strict=False, extra="ignore")


class GuardrailRequest(ForeignRequest):
    """What LiteLLM's generic guardrail asks, before a call (`request`) or after it (`response`)."""

    input_type: Literal["request", "response"] = "request"
    texts: list[str] | None = Field(default=None, repr=False)
    images: list[Any] | None = Field(default=None, repr=False)
    tools: list[Any] | None = Field(default=None, repr=False)
    tool_calls: list[Any] | None = Field(default=None, repr=False)
    request_data: dict[str, Any] | None = Field(
        default=None, repr=False, description="The caller; user_api_key_team_id is the tenant"
    )
    additional_provider_specific_params: dict[str, Any] | None = Field(
        default=None,
        repr=False,
        description="From the guardrail's configuration; `route`, `tenant` and `risk` are used",
    )


class GuardrailAnswer(Answer):
    """What LiteLLM is to do. `mesh` is for people and logs; LiteLLM passes over it."""

    action: Literal["BLOCKED", "NONE"]
    blocked_reason: str | None = None
    mesh: CheckAnswer


class ModerationPart(ForeignRequest):
    """A part of a multi-part input."""

    type: str
    text: str | None = Field(default=None, repr=False)


class ModerationRequest(ForeignRequest):
    """Texts to moderate: one, several (each has its result), or the parts of one."""

    input: str | list[str] | list[ModerationPart] = Field(repr=False)
    model: str | None = Field(default=None, description="Passed over")


class ModerationResult(Answer):
    """The result for one input, with OpenAI's categories and the mesh's own (`mesh/...`)."""

    flagged: bool = Field(description="Whether the answer is anything but `allow`")
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[str]]
    mesh: CheckAnswer = Field(description="The whole answer")


class ModerationAnswer(Answer):
    """Results in the order of the inputs."""

    id: str
    model: str
    results: list[ModerationResult]
