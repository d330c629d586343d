"""A LlamaFirewall scanner that asks this organization's node about each message.

    import llamafirewall_scanner  # registers "signal_mesh"
    firewall = LlamaFirewall({Role.USER: ["signal_mesh"], Role.TOOL: ["signal_mesh"]})
    result = await firewall.scan_async(UserMessage(prompt))

`escalate` becomes HUMAN_IN_THE_LOOP_REQUIRED, `block` and `deny` become BLOCK. A node that does not
answer is BLOCK with status ERROR, unless SIGNAL_MESH_FAIL is `allow`. It needs nothing but httpx.
"""

import os
from pathlib import Path

import httpx
from llamafirewall import (
    Message,
    ScanDecision,
    Scanner,
    ScanResult,
    ScanStatus,
    Trace,
    register_llamafirewall_scanner,
)

URL = os.environ.get("SIGNAL_MESH_URL", "http://127.0.0.1:8460")
TOKEN_FILE = os.environ.get("SIGNAL_MESH_TOKEN_FILE", "~/.orgnode/token")
ROUTE = os.environ.get("SIGNAL_MESH_ROUTE", "llamafirewall")
FAIL = os.environ.get("SIGNAL_MESH_FAIL", "deny")
TIMEOUT_SECONDS = 2.0

DECISIONS = {
    "allow": (ScanDecision.ALLOW, 0.0),
    "escalate": (ScanDecision.HUMAN_IN_THE_LOOP_REQUIRED, 0.5),
    "block": (ScanDecision.BLOCK, 1.0),
    "deny": (ScanDecision.BLOCK, 1.0),
}


def _headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {Path(TOKEN_FILE).expanduser().read_text().strip()}"}


@register_llamafirewall_scanner("signal_mesh")
class SignalMeshScanner(Scanner):
    """Looks each message up in the signal mesh."""

    def __init__(self, scanner_name: str = "signal_mesh", block_threshold: float = 1.0) -> None:
        super().__init__(scanner_name, block_threshold)

    async def scan(self, message: Message, past_trace: Trace | None = None) -> ScanResult:
        """Ask the node about a message; the trace before it is not needed."""
        asked = {"text": message.content, "route": ROUTE}
        try:
            async with httpx.AsyncClient(base_url=URL, timeout=TIMEOUT_SECONDS) as client:
                answer = await client.post("/v1/check", json=asked, headers=_headers())
                answer.raise_for_status()
                given = answer.json()
                decision, score = DECISIONS[given["answer"]]
                return ScanResult(decision, str(given["reason"]), score)
        except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
            decision, score = DECISIONS["allow" if FAIL == "allow" else "deny"]
            reason = f"the node of the signal mesh did not answer ({type(error).__name__})"
            return ScanResult(decision, reason, score, ScanStatus.ERROR)
