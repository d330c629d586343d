"""A NeMo Guardrails action that asks this organization's node about what the user wrote.

Copy it into the rails' configuration as `actions.py`, set SIGNAL_MESH_TOKEN_FILE, and call it from
an input rail; `nemo.md` beside this file shows the flow. It needs nothing but httpx, which NeMo
Guardrails brings along.

The action returns one of `allow`, `escalate`, `block`, `deny`. A node that does not answer is
`deny`, unless SIGNAL_MESH_FAIL says otherwise.
"""

import os
from pathlib import Path
from typing import Any, Optional

import httpx
from nemoguardrails.actions import action

URL = os.environ.get("SIGNAL_MESH_URL", "http://127.0.0.1:8460")
TOKEN_FILE = os.environ.get("SIGNAL_MESH_TOKEN_FILE", "~/.orgnode/token")
ROUTE = os.environ.get("SIGNAL_MESH_ROUTE", "nemo")
FAIL = os.environ.get("SIGNAL_MESH_FAIL", "deny")
TIMEOUT_SECONDS = 2.0


def _headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {Path(TOKEN_FILE).expanduser().read_text().strip()}"}


@action(is_system_action=True, name="signal_mesh_check")
async def signal_mesh_check(
    context: Optional[dict[str, Any]] = None,  # noqa: UP045 - NeMo reads the annotation
    text: Optional[str] = None,  # noqa: UP045
    risk: Optional[float] = None,  # noqa: UP045
) -> str:
    """Ask whether `text`, or else the user's last message, is a known attack."""
    if text is None:
        text = (context or {}).get("user_message") or ""
    asked: dict[str, Any] = {"text": text, "route": ROUTE}
    if risk is not None:
        asked["risk"] = risk
    try:
        async with httpx.AsyncClient(base_url=URL, timeout=TIMEOUT_SECONDS) as client:
            answer = await client.post("/v1/check", json=asked, headers=_headers())
            answer.raise_for_status()
            return str(answer.json()["answer"])
    except (httpx.HTTPError, OSError, ValueError, KeyError):
        return FAIL
