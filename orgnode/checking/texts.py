"""Own prompt templates and allowed texts: their windows are never asked for, matched or published.

*Attack:* an outsider embeds a rival's prompt template in a jailbreak and sends it to three honest
organizations; every call of the rival's product would then match. A node knows its own templates
and takes them out before it asks anything.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mesh.fingerprint import SelectionKey, WindowSet
from orgnode.checking.errors import PolicyTextError

TEMPLATES: Final = "templates"
ALLOWED: Final = "allowed"
"""Directories of texts beside `policy.toml`; files named *.txt count."""

MAX_TEXT_BYTES: Final = 4 << 20
MAX_TEXTS: Final = 10_000

Stamp = tuple[tuple[str, int, int, int], ...]
"""What tells that files changed: for each its path, time of change, size and number."""


@dataclass(frozen=True)
class Texts:
    """The windows of an operator's own texts, and how many there are of each kind."""

    windows: WindowSet | frozenset[bytes] = field(default=frozenset(), repr=False)
    templates: int = 0
    allowed: int = 0


class Dropped:
    """Several sets of inputs as one."""

    def __init__(self, *parts: Container[bytes]) -> None:
        self._parts = parts

    def __contains__(self, given: object) -> bool:
        return any(given in part for part in self._parts)


def stamp_of(directory: Path) -> Stamp:
    """Look at the texts of a data directory without reading them."""
    return tuple(
        one for kind in (TEMPLATES, ALLOWED) for path in _files(directory / kind)
        if (one := stat_of(path)) is not None
    )  # fmt: skip


def stat_of(path: Path) -> tuple[str, int, int, int] | None:
    """A file's stamp; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (str(path), found.st_mtime_ns, found.st_size, found.st_ino)


def load_texts(directory: Path, key: SelectionKey) -> Texts:
    """Read the texts and compute their windows; takes about a second for a million characters.

    :raises PolicyTextError: a file can't be read, is no UTF-8, or there is too much.
    """
    templates = [_read(path) for path in _files(directory / TEMPLATES)]
    allowed = [_read(path) for path in _files(directory / ALLOWED)]
    texts = [text for text in templates + allowed if text.strip()]
    windows: WindowSet | frozenset[bytes] = WindowSet.of(key, texts) if texts else frozenset()
    return Texts(windows, len(templates), len(allowed))


def check_text(data: bytes, where: str) -> str:
    """A text's content.

    :raises PolicyTextError: it is empty, too long or no UTF-8.
    """
    if len(data) > MAX_TEXT_BYTES:
        raise PolicyTextError(
            f"{where} is over {MAX_TEXT_BYTES} bytes", hint="split it into several files"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise PolicyTextError(f"{where} is not UTF-8", hint="convert it, with iconv") from None
    return text


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # Not all of it: a file that someone else made may be larger than the memory.
            data = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise PolicyTextError(
            f"cannot read {_shown(path)}: {error.strerror or type(error).__name__}",
            hint="check the file's owner and permissions, or remove it",
        ) from error
    return check_text(data, _shown(path))


def _shown(path: Path) -> str:
    """A path for a message: file names need not be Unicode, answers of the API must be."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _files(directory: Path) -> list[Path]:
    try:
        found = sorted(path for path in directory.glob("*.txt") if path.is_file())
    except OSError as error:
        raise PolicyTextError(
            f"cannot look into {_shown(directory)}: {error.strerror or type(error).__name__}",
            hint="check the directory's owner and permissions",
        ) from error
    if len(found) > MAX_TEXTS:
        raise PolicyTextError(
            f"{_shown(directory)} holds over {MAX_TEXTS} texts", hint="put several into one file"
        )
    return found
