"""Checks in the forms that gateways speak already: LiteLLM's guardrails, OpenAI's moderation.

Texts arrive here in clear, which is why the API listens on loopback.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import version
from os import urandom
from typing import Any, Final

from aiohttp import web

from orgnode.api.check_models import CheckAnswer
from orgnode.api.errors import InvalidRequestError
from orgnode.api.gateway_models import (
    GuardrailAnswer,
    GuardrailRequest,
    ModerationAnswer,
    ModerationPart,
    ModerationRequest,
)
from orgnode.api.moderation import moderated
from orgnode.api.routing import MAX_FOREIGN_BODY, Route, answer, loose_body_of
from orgnode.api.services import NodeServices
from orgnode.checking import CheckQuestion
from orgnode.checking.policy import MAX_LABEL

LITELLM_PATH: Final = "/beta/litellm_basic_guardrail_api"
MODERATIONS_PATH: Final = "/v1/moderations"
LITELLM_ROUTE: Final = "litellm"
MODERATIONS_ROUTE: Final = "moderations"
MAX_INPUTS: Final = 256
"""Most texts in one moderation request."""

# Who a LiteLLM call is for, the widest first: rules are per team, not per person.
_TENANT_KEYS = ("user_api_key_team_id", "user_api_key_org_id", "user_api_key_alias")


class GatewayRoutes:
    """What gateways ask. Nothing here keeps, logs or repeats a text."""

    def __init__(self, node: NodeServices) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        """The routes of this subject."""
        return [
            Route(
                "POST",
                LITELLM_PATH,
                self.guardrail,
                name="liteLLMGuardrail",
                summary="Answer LiteLLM's generic guardrail",
                description="Several texts are checked each and in a row; the worst decides. "
                f"Images and tool calls are not looked at. The route is `{LITELLM_ROUTE}` unless "
                "`additional_provider_specific_params` names another.",
                tag="checks",
                body=GuardrailRequest,
                answers={200: GuardrailAnswer},
                errors=(503,),
                api_key=True,
            ),
            Route(
                "POST",
                MODERATIONS_PATH,
                self.moderations,
                name="createModeration",
                summary="Answer in the form of OpenAI's moderation API",
                description=f"The route is `{MODERATIONS_ROUTE}`. `flagged` says that the answer "
                "is not `allow`; in monitor mode it is always false. `mesh` holds all of it.",
                tag="checks",
                body=ModerationRequest,
                answers={200: ModerationAnswer},
                errors=(503,),
            ),
        ]

    async def guardrail(self, request: web.Request) -> web.Response:
        """Answer LiteLLM: block, or let pass."""
        asked = await loose_body_of(request, GuardrailRequest, MAX_FOREIGN_BODY)
        given = asked.additional_provider_specific_params or {}
        question = CheckQuestion(
            texts=tuple(asked.texts or ()),
            route=_label(given.get("route")) or LITELLM_ROUTE,
            tenant=_label(given.get("tenant")) or _tenant(asked.request_data or {}),
            risk=_risk(given.get("risk")),
        )
        checked = await self._node.checker.check(question)
        unseen = {
            "images": asked.images,
            "tools": asked.tools,
            "tool calls": asked.tool_calls,
        }
        notes = [f"{len(what)} {name} not looked at" for name, what in unseen.items() if what]
        shown = CheckAnswer.of(checked, *notes)
        if checked.answer.stops:
            return answer(
                GuardrailAnswer(
                    action="BLOCKED", blocked_reason=f"signal mesh: {checked.reason}", mesh=shown
                )
            )
        return answer(GuardrailAnswer(action="NONE", mesh=shown))

    async def moderations(self, request: web.Request) -> web.Response:
        """Answer an OpenAI client."""
        asked = await loose_body_of(request, ModerationRequest, MAX_FOREIGN_BODY)
        groups, notes = _inputs(asked)
        if len(groups) > MAX_INPUTS:
            raise InvalidRequestError(
                f"input: {len(groups)} texts", hint=f"send at most {MAX_INPUTS} at once"
            )
        results = [
            moderated(
                await self._node.checker.check(CheckQuestion(texts, MODERATIONS_ROUTE)), *notes
            )
            for texts in groups
        ]
        return answer(
            ModerationAnswer(
                id=f"modr-{urandom(12).hex()}",
                model=f"signal-mesh-{version('signal-mesh')}",
                results=results,
            )
        )


def _inputs(asked: ModerationRequest) -> tuple[list[tuple[str, ...]], list[str]]:
    """The texts of each result, and what was not looked at."""
    if isinstance(asked.input, str):
        return [(asked.input,)], []
    texts = [one for one in asked.input if isinstance(one, str)]
    parts = [one for one in asked.input if isinstance(one, ModerationPart)]
    if not parts:
        return [(one,) for one in texts], []
    found = tuple(one.text for one in parts if one.type == "text" and one.text is not None)
    unseen = len(parts) - len(found)
    return [found], [f"{unseen} parts that are no text not looked at"] if unseen else []


def _tenant(caller: Mapping[str, Any]) -> str | None:
    return next(filter(None, (_label(caller.get(key)) for key in _TENANT_KEYS)), None)


def _label(value: object) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    # Half a surrogate pair is in no answer: a caller who sends one must not make the check fail.
    return value[:MAX_LABEL].encode("utf-8", "replace").decode("utf-8")


def _risk(value: object) -> float | None:
    # It comes from the gateway's configuration: a slip there must show, not become another tier.
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise InvalidRequestError(
        "additional_provider_specific_params.risk: no number",
        hint="give a number from 0 to 1, or leave it out",
    )
