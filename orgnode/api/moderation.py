"""A check's answer in the words of OpenAI's moderation API.

Its categories say what a text is about; the mesh knows the hazards of the signals that it matches.
Each MLCommons hazard maps to the nearest category, and always to a key of the mesh's own, since
several have no counterpart. In monitor mode everything is false and 0: a client that looks at
scores must not block either.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mesh.taxonomy import CATEGORIES
from orgnode.api.check_models import CheckAnswer
from orgnode.api.gateway_models import ModerationResult
from orgnode.checking import CheckAnswer as Checked
from orgnode.checking import Verdict

OPENAI_CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""The categories that OpenAI's clients expect."""

NEAREST: Final[Mapping[str, str]] = MappingProxyType(
    {
        "vcr": "violence",
        "src": "sexual",
        "cse": "sexual/minors",
        "ssh": "self-harm",
        "iwp": "illicit/violent",
        "ipv": "illicit",
        "dfm": "harassment",
        "ncr": "illicit",
        "hte": "hate",
        "sxc_prn": "sexual",
    }
)
"""The nearest of OpenAI's categories to a hazard; privacy and advice have none."""

KNOWN_ATTACK: Final = "mesh/known_attack"
UNVERIFIED: Final = "mesh/unverified"
_OWN: Final = (KNOWN_ATTACK, UNVERIFIED, *(f"mesh/{code}" for code in CATEGORIES))


def moderated(checked: Checked, *notes: str) -> ModerationResult:
    """Put an answer into OpenAI's form."""
    names = [*OPENAI_CATEGORIES, *_OWN]
    scores = dict.fromkeys(names, 0.0)
    flagged = checked.answer is not Verdict.ALLOW
    if flagged:
        if checked.tokens and checked.finding is not Verdict.DENY:
            scores[KNOWN_ATTACK] = checked.share
        if not checked.verified:
            scores[UNVERIFIED] = 1.0
        for code in {source.category for one in checked.tokens for source in one.sources}:
            scores[f"mesh/{code}"] = checked.share
            if code in NEAREST:
                scores[NEAREST[code]] = checked.share
    return ModerationResult(
        flagged=flagged,
        categories={name: score > 0 for name, score in scores.items()},
        category_scores=scores,
        category_applied_input_types={name: ["text"] for name in names},
        mesh=CheckAnswer.of(checked, *notes),
    )
