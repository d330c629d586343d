"""Files among an operator's texts that somebody else put there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from api_support import Served

from mesh.fingerprint import SelectionKey
from orgnode.checking.errors import PolicyTextError
from orgnode.checking.texts import MAX_TEXT_BYTES, load_texts

KEY = SelectionKey(bytes(range(32)))


async def test_a_file_name_that_is_no_unicode_is_reported(api: Served) -> None:
    """And the rules can still be shown."""
    templates = api.node.directory / "templates"
    templates.mkdir()
    Path(os.fsdecode(os.path.join(os.fsencode(templates), b"\xff.txt"))).write_bytes(b"\xfe")
    api.node.policy._next_look = 0.0
    await api.get("/v1/policy")
    await api.node.policy.close()
    status, shown = await api.get("/v1/policy")
    assert status == 200
    assert "\\udcff.txt is not UTF-8" in shown["problem"]


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    with (tmp_path / "templates" / "huge.txt").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PolicyTextError, match=f"over {MAX_TEXT_BYTES} bytes"):
        load_texts(tmp_path, KEY)


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    os.mkfifo(templates / "pipe.txt")
    (templates / "loop.txt").symlink_to("loop.txt")
    (templates / "endless.txt").symlink_to("/dev/zero")
    (templates / "folder.txt").mkdir()
    assert load_texts(tmp_path, KEY).templates == 0
