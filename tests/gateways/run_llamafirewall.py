"""Runs in `.venv-gateways`: Meta's real LlamaFirewall with the documented scanner."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(sys.argv[1]).parent))

import llamafirewall_scanner  # noqa: F401 - registers itself
from llamafirewall import LlamaFirewall, Role, UserMessage

firewall = LlamaFirewall({Role.USER: ["signal_mesh"]})
results = [firewall.scan(UserMessage(text)) for text in json.load(sys.stdin)]
print(
    "ANSWERS "
    + json.dumps([[one.decision.value, one.score, one.status.value, one.reason] for one in results])
)
