"""The benign corpus: everyday text whose windows are never published, asked for or promoted.

The constraints pin its digest, so that all members drop the same windows. Its windows' hashes
depend on the mesh's selection key; they are computed once and kept beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog

from mesh.fingerprint import SelectionKey, WindowSet, WindowSetError, parse_corpus
from mesh.genesis import Mesh
from orgnode.datadir import DataDir, read_file, write_file

CACHE: Final = "benign.windows"

log = structlog.get_logger(__name__)


def load_benign(datadir: DataDir, mesh: Mesh, key: SelectionKey) -> WindowSet:
    """The windows of the mesh's benign corpus; an empty set if the constraints pin none.

    :raises MissingFileError, OrgnodeError: the file is not there, or is not the pinned one.
    :raises CorpusFormatError: the pinned file is no corpus.
    """
    digest = mesh.constraints.benign_digest
    if digest is None:
        return WindowSet.of(key, ())
    path = datadir.path / CACHE
    head = bytes.fromhex(digest) + bytes.fromhex(key.digest)
    cached = _cached(path, head)
    if cached is not None:
        return cached
    corpus = datadir.read_benign(digest)
    windows = WindowSet.of(key, parse_corpus(corpus))
    write_file(path, head + windows.to_bytes(), private=True)
    return windows


def _cached(path: Path, head: bytes) -> WindowSet | None:
    if not path.exists():
        return None
    data = read_file(path, private=True)
    if not data.startswith(head):
        return None  # of another corpus or key: made anew
    try:
        return WindowSet.from_bytes(data[len(head) :])
    except WindowSetError:
        log.warning("benign.cache_damaged", path=str(path))
        return None
