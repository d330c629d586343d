"""The public vocabularies that signals are described with.

Categories are the hazard codes of the MLCommons AILuminate benchmark; techniques are ids of MITRE
ATLAS; barriers are the measures of a bow-tie diagram, preventive before the event, reactive after
it.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from mesh.errors import BodyError

CATEGORIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "vcr": "Violent crimes",
        "src": "Sex-related crimes",
        "cse": "Child sexual exploitation",
        "ssh": "Suicide and self-harm",
        "iwp": "Indiscriminate weapons (CBRNE)",
        "ipv": "Intellectual property violations",
        "dfm": "Defamation",
        "ncr": "Non-violent crimes",
        "hte": "Hate",
        "prv": "Privacy",
        "spc_ele": "Specialized advice: elections",
        "spc_fin": "Specialized advice: financial",
        "spc_hlt": "Specialized advice: health",
        "spc_lgl": "Specialized advice: legal",
        "sxc_prn": "Sexual content: pornographic",
    }
)
"""MLCommons AILuminate hazard codes and what they stand for. A closed list."""

TECHNIQUES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AML.T0051": "LLM prompt injection",
        "AML.T0051.000": "LLM prompt injection: direct",
        "AML.T0051.001": "LLM prompt injection: indirect",
        "AML.T0053": "AI agent tool invocation",
        "AML.T0054": "LLM jailbreak",
        "AML.T0056": "Extract LLM system prompt",
        "AML.T0057": "LLM data leakage",
        "AML.T0061": "LLM prompt self-replication",
        "AML.T0065": "LLM prompt crafting",
        "AML.T0067": "LLM trusted output components manipulation",
        "AML.T0068": "LLM prompt obfuscation",
        "AML.T0070": "RAG poisoning",
        "AML.T0080": "AI agent context poisoning",
        "AML.T0086": "Exfiltration via AI agent tool invocation",
        "AML.T0092": "Manipulate user LLM chat history",
        "AML.T0093": "Prompt infiltration via public-facing application",
        "AML.T0110": "AI agent tool poisoning",
    }
)
"""Titles of the MITRE ATLAS techniques met most. Any well-formed id is accepted, listed or not."""


class RetractionReason(StrEnum):
    """Why an issuer withdraws its own signal."""

    FALSE_POSITIVE = "false_positive"
    MISTAKE = "mistake"
    PRIVACY = "privacy"
    LEGAL = "legal"
    SUPERSEDED = "superseded"


RETRACTION_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        RetractionReason.FALSE_POSITIVE.value: "The text was not an attack",
        RetractionReason.MISTAKE.value: "Published by mistake, or with wrong details",
        RetractionReason.PRIVACY.value: "It could point at a person or an organization",
        RetractionReason.LEGAL.value: "Law or a contract requires it",
        RetractionReason.SUPERSEDED.value: "A later signal says it better",
    }
)
"""Reasons for a retraction and what they stand for."""

PREVENTIVE_BARRIERS: Final = (
    "adversarial_robustness",
    "monitoring",
    "interpretability",
    "satisficing",
    "quantilization",
    "myopia",
    "compute_limit",
    "boxing",
    "power_seeking_detection",
    "impact_measures",
    "deployment_gate",
)
"""Bow-tie barriers before the event."""

REACTIVE_BARRIERS: Final = ("self_declaration", "off_switch", "interlock", "corrigibility")
"""Bow-tie barriers after the event."""

BARRIERS: Final = frozenset(PREVENTIVE_BARRIERS + REACTIVE_BARRIERS)
"""Every barrier that a signal may name as the one that let the attack through."""

_TECHNIQUE = re.compile(r"AML\.T[0-9]{4}(?:\.[0-9]{3})?")


class UnknownCategoryError(BodyError):
    """A category is not an AILuminate hazard code."""


class TechniqueFormatError(BodyError):
    """A technique is not written as a MITRE ATLAS id."""


class UnknownBarrierError(BodyError):
    """A barrier is not one of the bow-tie's."""


def check_category(category: str) -> str:
    """Return the category if it is a hazard code.

    :raises UnknownCategoryError: it is not.
    """
    if category not in CATEGORIES:
        raise UnknownCategoryError(f"category is none of {', '.join(CATEGORIES)}")
    return category


def check_technique(technique: str) -> str:
    """Return the technique if it is written as an ATLAS id: `AML.T0054` or `AML.T0051.001`.

    :raises TechniqueFormatError: it is not.
    """
    if _TECHNIQUE.fullmatch(technique) is None:
        raise TechniqueFormatError("a technique is a MITRE ATLAS id such as AML.T0054")
    return technique


def technique_title(technique: str) -> str:
    """The technique's title, its parent's if only that is known, or the id itself."""
    parent = technique.rpartition(".")[0]
    return TECHNIQUES.get(technique) or TECHNIQUES.get(parent) or technique


def check_barrier(barrier: str) -> str:
    """Return the barrier if it is one of the bow-tie's.

    :raises UnknownBarrierError: it is not.
    """
    if barrier not in BARRIERS:
        raise UnknownBarrierError(f"barrier is none of {', '.join(sorted(BARRIERS))}")
    return barrier
