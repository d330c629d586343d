"""SQLite behind the store's contract."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orgnode.store import SqliteStore

pytest.register_assert_rewrite("store_contract")

from store_contract import OWN, StoreContract  # noqa: E402


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], SqliteStore]:
        return lambda: SqliteStore.open(tmp_path / "node.db", name=OWN, clock=lambda: 1000.0)
