"""The severity proof: sizes, proving, verifying one, verifying a batch, and the same batch on py_ecc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import reduce

from benchmarks.report import Row, median_ms
from proofs.group import Backend, Point, backend
from proofs.pedersen import blinding_from_bytes
from proofs.severity import Rubric, Statement, commit_components, prove, verify, verify_batch

BATCH = 256
RUBRIC = Rubric()
THRESHOLD = 50


def make(i: int) -> tuple[Statement, bytes]:
    """A statement and its proof, made as a node makes them."""
    components = (7, 6, 5, 4 + i % 3)
    blindings = [blinding_from_bytes(os.urandom(64)) for _ in components]
    context = b"benchmark" + i.to_bytes(4, "big")
    proof = prove(RUBRIC, THRESHOLD, components, blindings, context, os.urandom(64))
    return Statement(RUBRIC, THRESHOLD, commit_components(components, blindings), context), proof


def run() -> list[Row]:
    """Measure on one thread. The py_ecc figure is a run of its own process, forced to that back end."""
    items = [make(i) for i in range(BATCH)]
    statement, proof = items[0]
    prove_ms = median_ms(lambda: make(1), 41, warm=3)
    one_ms = median_ms(lambda: verify(statement, proof), 41, warm=3)

    def batch() -> None:
        if any(verify_batch(items, os.urandom(32))):
            raise AssertionError("an honest proof was refused")

    batch_ms = median_ms(batch, 9) / BATCH
    bucketed = _on_py_ecc(items, "bucket")
    alone = _on_py_ecc(items, "multiply")
    return [
        Row("severity proof", len(proof), "B", 768),
        Row("its commitments", sum(map(len, statement.commitments)), "B", 192),
        Row("prove, commitments included", prove_ms, "ms", 25, how="median of 41, one thread"),
        Row("verify one", one_ms, "ms", 5, how="median of 41, one thread"),
        Row("verify in a batch of 256, each", batch_ms, "ms", 0.9, how="median of 9, one thread"),
        Row(
            "the same batch on py_ecc, each",
            alone,
            "ms",
            how="py_ecc's own multiply and add; one run",
        ),
        Row("py_ecc / ours", alone / batch_ms, "×", 100, at_most=False),
        Row(
            "on py_ecc with our bucket method, each",
            bucketed,
            "ms",
            how="our py_ecc back end; one run",
        ),
        Row("py_ecc with our buckets / ours", bucketed / batch_ms, "×"),
    ]


def _on_py_ecc(items: list[tuple[Statement, bytes]], method: str) -> float:
    wire = [
        (s.threshold, [c.hex() for c in s.commitments], s.context.hex(), p.hex()) for s, p in items
    ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.severity", method],
        input=json.dumps(wire), capture_output=True, text=True, check=True,
        env=os.environ | {"SIGNAL_MESH_GROUP": "py_ecc"},
    )  # fmt: skip
    return float(json.loads(done.stdout)["ms"])


def _reference(method: str) -> None:
    items = [
        (Statement(RUBRIC, t, tuple(bytes.fromhex(c) for c in cs), bytes.fromhex(x)), bytes.fromhex(p))
        for t, cs, x, p in json.load(sys.stdin)
    ]  # fmt: skip
    verify(*items[0])  # generators are made outside the measurement
    if method == "multiply":
        _without_buckets(backend())
    start = time.perf_counter()
    if any(verify_batch(items, os.urandom(32))):
        raise AssertionError("an honest proof was refused")
    print(json.dumps({"ms": (time.perf_counter() - start) * 1000 / len(items)}))


def _without_buckets(group: Backend) -> None:
    """Sum up a multi-scalar multiplication as py_ecc alone would: one `multiply` a point."""

    def msm(points: Sequence[Point], scalars: Sequence[int]) -> Point:
        terms = (group.mul(point, scalar) for point, scalar in zip(points, scalars, strict=True))
        return reduce(group.add, terms)

    setattr(group, "msm", msm)  # noqa: B010 - in this process only, which measures and ends


if __name__ == "__main__":
    _reference(sys.argv[1])
