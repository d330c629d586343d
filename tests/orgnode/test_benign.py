"""The windows of the benign corpus: computed once, and anew when anything about them is wrong."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mesh.fingerprint import CorpusFormatError, SelectionKey, WindowSet, parse_corpus
from mesh.genesis import Mesh
from mesh.testing import found, founders
from orgnode import benign
from orgnode.benign import CACHE, load_benign
from orgnode.datadir import DataDir
from orgnode.errors import ForeignCorpusError, MissingFileError, PermissionsTooOpenError

TEXTS = [
    "You are a helpful assistant who answers briefly.",
    "Summarise the minutes of the meeting.",
]
CORPUS = "".join(json.dumps(text) + "\n" for text in TEXTS).encode()
KEY = SelectionKey(bytes(range(32)))
OTHER_KEY = SelectionKey(bytes(32))
EXPECTED = WindowSet.of(KEY, TEXTS)


def pinning(corpus: bytes | None) -> Mesh:
    """A mesh whose constraints pin a corpus."""
    digest = None if corpus is None else sha256(corpus).hexdigest()
    return found(
        founders(2), adjust=lambda made: made.model_copy(update={"benign_digest": digest})
    ).mesh


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return pinning(CORPUS)


@pytest.fixture
def datadir(tmp_path: Path) -> DataDir:
    made = DataDir(tmp_path)
    made.benign.write_bytes(CORPUS)
    return made


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The corpora that windows were computed of."""
    seen: list[bytes] = []

    def parsed(data: bytes) -> Any:
        seen.append(data)
        return parse_corpus(data)

    monkeypatch.setattr(benign, "parse_corpus", parsed)
    return seen


def test_the_windows_are_those_of_the_corpus(datadir: DataDir, mesh: Mesh) -> None:
    assert load_benign(datadir, mesh, KEY) == EXPECTED
    assert len(EXPECTED) > 0


def test_they_are_computed_once(datadir: DataDir, mesh: Mesh, computed: list[bytes]) -> None:
    for _ in range(3):
        assert load_benign(datadir, mesh, KEY) == EXPECTED
    assert computed == [CORPUS]
    path = datadir.path / CACHE
    assert path.stat().st_mode & 0o777 == 0o600, "it tells the windows of other texts apart"
    for text in TEXTS:
        assert text.encode() not in path.read_bytes()


def test_another_key_has_other_windows(datadir: DataDir, mesh: Mesh, computed: list[bytes]) -> None:
    load_benign(datadir, mesh, KEY)
    assert load_benign(datadir, mesh, OTHER_KEY) == WindowSet.of(OTHER_KEY, TEXTS) != EXPECTED
    assert load_benign(datadir, mesh, KEY) == EXPECTED
    assert len(computed) == 3


def test_another_corpus_has_other_windows(
    datadir: DataDir, mesh: Mesh, computed: list[bytes]
) -> None:
    load_benign(datadir, mesh, KEY)
    other = json.dumps("Something else that everybody writes.").encode() + b"\n"
    datadir.benign.write_bytes(other)
    expected = WindowSet.of(KEY, parse_corpus(other))
    assert load_benign(datadir, pinning(other), KEY) == expected
    assert computed == [CORPUS, other]


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied", "head only"])
def test_a_damaged_cache_is_made_anew(
    datadir: DataDir, mesh: Mesh, computed: list[bytes], damage: str
) -> None:
    load_benign(datadir, mesh, KEY)
    path = datadir.path / CACHE
    whole = path.read_bytes()
    path.write_bytes(
        {
            "flipped": whole[:-1] + bytes([whole[-1] ^ 1]),
            "cut": whole[:-8],
            "emptied": b"",
            "head only": whole[:64],
        }[damage]
    )
    assert load_benign(datadir, mesh, KEY) == EXPECTED
    assert path.read_bytes() == whole
    assert len(computed) == 2


def test_nothing_is_pinned(datadir: DataDir) -> None:
    assert len(load_benign(datadir, pinning(None), KEY)) == 0
    assert not (datadir.path / CACHE).exists()


def test_a_corpus_that_is_not_the_pinned_one(datadir: DataDir, mesh: Mesh) -> None:
    datadir.benign.write_bytes(CORPUS + b'"and one more"\n')
    with pytest.raises(ForeignCorpusError):
        load_benign(datadir, mesh, KEY)
    datadir.benign.unlink()
    with pytest.raises(MissingFileError):
        load_benign(datadir, mesh, KEY)
    assert not (datadir.path / CACHE).exists()


def test_a_pinned_file_that_is_no_corpus(datadir: DataDir) -> None:
    datadir.benign.write_bytes(b"{not json}\n")
    with pytest.raises(CorpusFormatError):
        load_benign(datadir, pinning(b"{not json}\n"), KEY)
    assert not (datadir.path / CACHE).exists()


def test_a_cache_that_others_can_write_is_not_believed(datadir: DataDir, mesh: Mesh) -> None:
    load_benign(datadir, mesh, KEY)
    (datadir.path / CACHE).chmod(0o666)
    with pytest.raises(PermissionsTooOpenError):
        load_benign(datadir, mesh, KEY)
