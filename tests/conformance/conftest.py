"""Published test vectors, which lie beside the project and are read where they are."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The directory of vectors; the test is skipped where there is none."""
    path = Path(__file__).resolve().parents[3] / "shared" / "vectors"
    if not path.is_dir():
        pytest.skip("the published test vectors are not here: no ../shared/vectors")
    return path
