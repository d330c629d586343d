"""SQLite behind the store's contract."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orgnode.store import SqliteStore

pytest.register_assert_rewrite(
    "certify_contract",
    "history_contract",
    "match_contract",
    "store_contract",
    "store_model",
    "witness_contract",
)

from certify_contract import CertifyContract  # noqa: E402
from history_contract import HistoryContract  # noqa: E402
from match_contract import MatchContract  # noqa: E402
from store_contract import OWN, StoreContract  # noqa: E402
from witness_contract import WitnessContract  # noqa: E402


@pytest.fixture
def open_store(tmp_path: Path) -> Callable[..., SqliteStore]:
    def open_(path: Path = tmp_path / "node.db", **options: Any) -> SqliteStore:
        options = {"clock": lambda: 1000.0, **options}
        return SqliteStore.open(path, name=OWN, **options)

    return open_


class TestSqliteStore(StoreContract):
    """Logs, signals, feed, vault."""


class TestSqliteCertification(CertifyContract):
    """What certificates and evidence do."""


class TestSqliteWitnessing(WitnessContract):
    """What was cosigned, roots, what is known and what is awaited."""


class TestSqliteHistory(HistoryContract):
    """What is stored of one log; receipts; the pause after a retraction."""


class TestSqliteMatching(MatchContract):
    """Tokens, sightings, promotions, the committee."""
