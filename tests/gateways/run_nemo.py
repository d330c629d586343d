"""Runs in `.venv-gateways`: NeMo Guardrails' real LLMRails with the documented action and flow."""

from __future__ import annotations

import asyncio
import json
import sys

ACTIONS = sys.argv[1]
TEXTS = json.load(sys.stdin)

COLANG = """
define bot refuse known attack
  "This request matches a known attack and was not processed."

define flow signal mesh
  $verdict = execute signal_mesh_check
  if $verdict == "block" or $verdict == "deny"
    bot refuse known attack
    stop
"""


async def main() -> None:
    import importlib.util

    from nemoguardrails import LLMRails, RailsConfig

    config = RailsConfig.from_content(
        colang_content=COLANG, yaml_content="rails:\n  input:\n    flows:\n      - signal mesh\n"
    )
    rails = LLMRails(config)
    spec = importlib.util.spec_from_file_location("nemo_action", ACTIONS)
    assert spec is not None
    assert spec.loader is not None
    actions = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(actions)
    rails.register_action(actions.signal_mesh_check)
    answers = []
    for text in TEXTS:
        # Input rails only: there is no model here, and none is needed to refuse.
        done = await rails.generate_async(
            messages=[{"role": "user", "content": text}], options={"rails": ["input"]}
        )
        answers.append(done.response[-1]["content"])
    print("ANSWERS " + json.dumps(answers))


asyncio.run(main())
