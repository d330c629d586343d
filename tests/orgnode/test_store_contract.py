"""SQLite behind the store's contract."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orgnode.store import SqliteStore

pytest.register_assert_rewrite("store_contract", "match_contract")

from match_contract import MatchContract  # noqa: E402
from store_contract import OWN, StoreContract  # noqa: E402


@pytest.fixture
def open_store(tmp_path: Path) -> Callable[..., SqliteStore]:
    def open_(**options: Any) -> SqliteStore:
        options = {"clock": lambda: 1000.0, **options}
        return SqliteStore.open(tmp_path / "node.db", name=OWN, **options)

    return open_


class TestSqliteStore(StoreContract):
    """Logs, signals, feed, vault."""


class TestSqliteMatching(MatchContract):
    """Tokens, sightings, promotions, the committee."""
