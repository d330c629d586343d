"""RFC 6962 proofs against the transparency-dev vectors, subtree proofs included."""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proofs.merkle import (
    MerkleError,
    verify_consistency,
    verify_inclusion,
    verify_subtree,
    verify_subtree_inclusion,
)


def inclusion(v: dict[str, Any]) -> None:
    verify_inclusion(v["leafHash"], v["leafIdx"], v["treeSize"], v["proof"], v["root"])


def consistency(v: dict[str, Any]) -> None:
    verify_consistency(v["size1"], v["size2"], v["root1"], v["root2"], v["proof"])


def subtree_inclusion(v: dict[str, Any]) -> None:
    verify_subtree_inclusion(
        v["leafHash"], v["leafIdx"], v["start"], v["end"], v["proof"], v["root"]
    )


def subtree_consistency(v: dict[str, Any]) -> None:
    verify_subtree(v["start"], v["end"], v["size"], v["root1"], v["root2"], v["proof"])


def read(directory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(directory.rglob("*.json")):
        vector = json.loads(path.read_text())
        for name in ("root", "root1", "root2", "leafHash"):
            if name in vector:
                vector[name] = b64decode(vector[name])
        vector["proof"] = [b64decode(digest) for digest in vector["proof"] or ()]
        yield str(path.relative_to(directory)), vector


@pytest.mark.parametrize(
    ("kind", "verify", "count", "accepted"),
    [
        ("inclusion", inclusion, 98, 6),
        ("consistency", consistency, 98, 6),
        ("subtreeinclusion", subtree_inclusion, 204, 12),
        ("subtreeconsistency", subtree_consistency, 118, 12),
    ],
)
def test_every_vector_ends_as_it_says(
    vectors: Path,
    kind: str,
    verify: Callable[[dict[str, Any]], None],
    count: int,
    accepted: int,
) -> None:
    good = []
    wrong = []
    cases = list(read(vectors / "rfc6962" / kind))
    for name, vector in cases:
        try:
            verify(vector)
        except MerkleError:
            if not vector["wantErr"]:
                wrong.append(name)
        else:
            good.append(name)
            if vector["wantErr"]:
                wrong.append(name)
    assert wrong == []
    assert (len(cases), len(good)) == (count, accepted)
