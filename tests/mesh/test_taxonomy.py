import pytest

from mesh.taxonomy import (
    BARRIERS,
    CATEGORIES,
    RETRACTION_REASONS,
    TECHNIQUES,
    RetractionReason,
    TechniqueFormatError,
    UnknownBarrierError,
    UnknownCategoryError,
    check_barrier,
    check_category,
    check_technique,
    technique_title,
)


def test_every_listed_term_is_accepted() -> None:
    assert [check_category(c) for c in CATEGORIES] == list(CATEGORIES)
    assert [check_technique(t) for t in TECHNIQUES] == list(TECHNIQUES)
    assert {check_barrier(b) for b in BARRIERS} == BARRIERS
    assert set(RETRACTION_REASONS) == {reason.value for reason in RetractionReason}


def test_a_well_formed_technique_need_not_be_listed() -> None:
    assert check_technique("AML.T9999") == "AML.T9999"
    assert check_technique("AML.T9999.123") == "AML.T9999.123"
    assert technique_title("AML.T9999") == "AML.T9999"
    assert technique_title("AML.T0054") == "LLM jailbreak"
    assert technique_title("AML.T0054.007") == "LLM jailbreak"


@pytest.mark.parametrize(
    "technique",
    [
        "",
        "T0054",
        "AML.T54",
        "AML.T00540",
        "aml.t0054",
        "AML.T0054.",
        "AML.T0054.1",
        "AML.T0054\n",
        "AML.T００５４",
    ],
)
def test_malformed_techniques(technique: str) -> None:
    with pytest.raises(TechniqueFormatError):
        check_technique(technique)


def test_closed_lists() -> None:
    with pytest.raises(UnknownCategoryError):
        check_category("VCR")
    with pytest.raises(UnknownBarrierError):
        check_barrier("luck")
