"""Ed25519 against Wycheproof's `ed25519_test.json`."""

import json
from pathlib import Path

from proofs.ed25519 import verify


def test_every_vector_ends_as_it_says(vectors: Path) -> None:
    document = json.loads((vectors / "wycheproof" / "ed25519_test.json").read_text())
    wrong = []
    results = []
    for group in document["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            holds = verify(public, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
            results.append(holds)
            if holds != (test["result"] == "valid"):
                wrong.append((test["tcId"], test["flags"], test["comment"]))
    assert wrong == []
    assert len(results) == document["numberOfTests"]
    assert True in results
    assert False in results
