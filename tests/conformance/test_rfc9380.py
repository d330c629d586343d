"""RFC 9380 appendix J.9.1: BLS12381G1_XMD:SHA-256_SSWU_RO_ on every back end."""

import json
from pathlib import Path
from typing import Any

import pytest

from proofs.group import BACKENDS, load
from proofs.group.encoding import bytes_from_affine
from proofs.group.errors import BackendUnavailableError

VECTORS = (
    Path(__file__).parents[2].parent
    / "shared"
    / "vectors"
    / "rfc9380"
    / "BLS12381G1_XMD_SHA-256_SSWU_RO_.json"
)


@pytest.fixture(scope="module")
def suite() -> dict[str, Any]:
    if not VECTORS.exists():
        pytest.skip("the RFC 9380 vectors are not beside this checkout")
    loaded: dict[str, Any] = json.loads(VECTORS.read_text())
    assert loaded["ciphersuite"] == "BLS12381G1_XMD:SHA-256_SSWU_RO_"
    assert len(loaded["vectors"]) == 5
    return loaded


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("number", range(5))
def test_hash_to_curve(suite: dict[str, Any], name: str, number: int) -> None:
    try:
        group = load(name)
    except BackendUnavailableError as missing:
        pytest.skip(str(missing))
    vector = suite["vectors"][number]
    point = group.hash_to_curve(vector["msg"].encode(), suite["dst"].encode())
    expected = bytes_from_affine(int(vector["P"]["x"], 16), int(vector["P"]["y"], 16))
    assert group.encode(point) == expected
    assert group.equal(group.decode(expected), point)
