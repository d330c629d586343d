"""Every resource has one spelling; all others are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgnode.federation.backoff import Backoff
from orgnode.federation.deferred import ranges
from orgnode.federation.paths import (
    BodiesPath,
    CertificatePath,
    CheckpointPath,
    PathError,
    SeenPath,
    TilePath,
    log_path,
    parse_receipt_path,
    parse_resource,
    receipt_path,
    split_log_path,
)
from proofs.tiles import TileAddress, entries_path, tile_path


@given(st.integers(0, 63), st.integers(0, (1 << 40) - 1), st.integers(1, 256))
def test_tile_paths_come_back(level: int, index: int, width: int) -> None:
    assert parse_resource(tile_path(level, index, width)) == TilePath(
        TileAddress(level, index, width)
    )
    assert parse_resource(entries_path(index, width)) == TilePath(
        TileAddress("entries", index, width)
    )


@given(st.integers(0, 10**15), st.integers(1, 256))
def test_ranges_of_bodies_come_back(start: int, count: int) -> None:
    assert parse_resource(f"bodies/{start}/{start + count}") == BodiesPath(start, start + count)


def test_a_logs_path_is_taken_apart() -> None:
    path = log_path("acme.example") + "checkpoint"
    assert split_log_path(path) == ("acme.example", "checkpoint")
    assert parse_resource("checkpoint") == CheckpointPath()
    assert parse_resource("certificate") == CertificatePath()
    assert parse_resource("seen") == SeenPath()


@given(st.binary(min_size=32, max_size=32))
def test_a_receipts_path_comes_back(digest: bytes) -> None:
    assert parse_receipt_path(receipt_path(digest.hex())) == digest.hex()


@pytest.mark.parametrize(
    "path",
    [
        "/federation/v1/receipts/",
        f"/federation/v1/receipts/{'a' * 63}",
        f"/federation/v1/receipts/{'a' * 65}",
        f"/federation/v1/receipts/{'A' * 64}",
        f"/federation/v1/receipts/{'a' * 64}/",
        f"/federation/v1/receipts/{'a' * 64}?x",
        f"/federation/v1/receipts/{'a' * 64}\n",
        f"/federation/v1/receipt/{'a' * 64}",
    ],
)
def test_other_spellings_are_no_receipts_path(path: str) -> None:
    assert parse_receipt_path(path) is None


@pytest.mark.parametrize(
    "rest",
    [
        "checkpoint/",
        "checkpoint?x",
        "certificate/",
        "Certificate",
        "seen/0",
        "bodies/0/0",
        "bodies/1/1",
        "bodies/2/1",
        "bodies/0/257",
        "bodies/00/1",
        "bodies/0/01",
        "bodies/-1/1",
        "bodies/+0/1",
        "bodies/0/1/",
        "bodies/0/99999999999999999",
        "bodies/０/1",
        "tile/0/0",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/007",
        "tile/64/000",
        "tile/00/000",
        "tile/entries/x000/000",
        "tile/0/000/",
        "tile/0/../0/000",
        "tile/0/%30%30%30",
        "tile/-1/000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x001/x099/x511/x627/776",
        "",
        "keys",
    ],
)
def test_other_spellings_are_refused(rest: str) -> None:
    with pytest.raises(PathError):
        parse_resource(rest)


@pytest.mark.parametrize(
    "path",
    [
        "/federation/v1/logs/acme.example",
        "/federation/v1/logs//checkpoint",
        "/federation/v1/logs/Acme.example/checkpoint",
        "/federation/v1/logs/acme.example/check point",
        "/federation/v1/logs/acme%2eexample/checkpoint",
        "/federation/v1//logs/acme.example/checkpoint",
        "/Federation/v1/logs/acme.example/checkpoint",
        "http://acme.example/federation/v1/logs/acme.example/checkpoint",
        "/federation/v1/logs/acme.example/checkpoint\n",
    ],
)
def test_paths_that_belong_to_no_log(path: str) -> None:
    assert split_log_path(path) is None


@given(st.sets(st.integers(0, 2_000)), st.integers(1, 256))
def test_ranges_cover_what_is_asked_and_nothing_else(indexes: set[int], most: int) -> None:
    found = ranges(sorted(indexes), most)
    assert [i for start, end in found for i in range(start, end)] == sorted(indexes)
    assert all(end - start <= most for start, end in found)


def test_pauses_double_to_the_cap_and_start_over_after_success() -> None:
    backoff = Backoff(1.0, 8.0)
    pauses = [backoff.failed() for _ in range(200)]
    for pause, longest in zip(pauses, [1, 2, 4, 8, 8, 8], strict=False):
        assert longest / 2 <= pause <= longest
    assert max(pauses) <= 8.0
    assert len(set(pauses)) > 100  # jitter
    backoff.worked()
    assert backoff.failed() <= 1.0
