import pytest

from mesh.entry import Kind
from mesh.errors import EntryError
from mesh.quota import (
    BackdatedEntryError,
    QuotaExceededError,
    bound_by_days,
    counts_for_quota,
)

FREE = {Kind.RETRACTION, Kind.EVIDENCE}


@pytest.mark.parametrize("kind", list(Kind))
def test_only_what_withdraws_or_accuses_is_free(kind: Kind) -> None:
    """Else a member who used its quota up could not take a mistake back."""
    assert counts_for_quota(kind) == (kind not in FREE)


@pytest.mark.parametrize("kind", list(Kind))
def test_only_a_retraction_is_bound_by_no_day(kind: Kind) -> None:
    assert bound_by_days(kind) == (kind is not Kind.RETRACTION)


def test_the_errors_are_entries_errors() -> None:
    assert issubclass(QuotaExceededError, EntryError)
    assert issubclass(BackdatedEntryError, EntryError)
