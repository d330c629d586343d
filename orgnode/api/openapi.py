"""The OpenAPI 3.1 document, generated from the route table and the models."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orgnode.api.models import ErrorAnswer, FeedItem
from orgnode.api.routing import MAX_BODY, MAX_FOREIGN_BODY, Media, Route

_REF = "#/components/schemas/{model}"

_REASONS = {
    400: "Malformed JSON or query",
    401: "No bearer token, or a wrong one",
    403: "Not yours to change",
    404: "Not known here",
    408: "The body did not arrive in time",
    409: "The state does not allow it",
    410: "The content was erased",
    413: f"The body is over {MAX_BODY} bytes (a gateway's: {MAX_FOREIGN_BODY})",
    415: "Not JSON, or compressed",
    421: "A Host name that this node does not answer to",
    422: "The content does not hold",
    429: "The day's evaluations, or this organization's entries, are used up",
    500: "The node failed",
    503: "Not now: starting, recovering, shutting down, or full",
}

_DESCRIPTION = """\
What an organization's own programs and people ask of its node. Prompts and component scores that
come in with an incident stay in this node's vault; no route gives them out.

Every error is `{"error": {"code", "message", "hint"}}`; codes are stable names. JSON is strict:
duplicate keys, unknown fields, fractions and integers past 2^53 - 1 are refused. Checks and the
gateways' own forms take fractions, and the latter fields that nobody here knows.
"""


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Describe exactly these routes."""
    models: set[type[BaseModel]] = {ErrorAnswer, FeedItem}
    for route in routes:
        models.update(given for given in route.answers.values() if not isinstance(given, Media))
        if route.body is not None:
            models.add(route.body)
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "orgnode local API",
            "version": version("signal-mesh"),
            "summary": "One organization's node in a signal mesh",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This node; loopback unless configured"}],
        "security": [{"token": []}],
        "tags": [
            {"name": "checks", "description": "Asking whether a text is known, for gateways"},
            {"name": "incidents", "description": "Publishing"},
            {"name": "signals", "description": "What this organization and its peers published"},
            {"name": "feed", "description": "Following, live"},
            {"name": "mesh", "description": "Members and rules"},
            {"name": "node", "description": "This node's health"},
        ],
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The content of the file `token` in the data directory",
                },
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "The same token, as gateways send it",
                },
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "responses": _responses(route),
    }
    if route.description:
        operation["description"] = route.description
    if route.open:
        operation["security"] = []
    elif route.api_key:
        operation["security"] = [{"token": []}, {"apiKey": []}]
    parameters = _parameters(route)
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(route.body)}},
        }
    return operation


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _responses(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, given in route.answers.items():
        if isinstance(given, Media):
            kind, schema = given.content_type, {"type": "string"}
            said = given.description
        else:
            kind, schema = "application/json", _ref(given)
            said = (given.__doc__ or given.__name__).partition("\n")[0]
        responses[str(status)] = {"description": said, "content": {kind: {"schema": schema}}}
    errors = {421, 500, *route.errors}
    if not route.open:
        errors.add(401)
    if route.query is not None:
        errors.add(400)
    if route.body is not None:
        errors |= {400, 408, 413, 415, 422}
    for status in sorted(errors - set(route.answers)):
        responses[str(status)] = {
            "description": _REASONS[status],
            "content": {"application/json": {"schema": _ref(ErrorAnswer)}},
        }
    return responses


def _parameters(route: Route) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": said,
            "schema": {"type": "string"},
        }
        for name, said in route.parameters.items()
    ]
    parameters += [
        {"name": name, "in": "header", "description": said, "schema": {"type": "string"}}
        for name, said in route.headers.items()
    ]
    if route.query is not None:
        schema = route.query.model_json_schema()
        for name, one in schema.get("properties", {}).items():
            said = one.pop("description", "")
            one.pop("title", None)
            parameters.append({"name": name, "in": "query", "description": said, "schema": one})
    return parameters
