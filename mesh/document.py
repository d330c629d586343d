"""The text of everything that is signed: a kind line, then one line of strict JSON, nothing else.

The kind line is the signature's context: a signature on a member card can never pass for one on a
signal, whichever key made it.
"""

from typing import Any, Final

from mesh import strictjson
from mesh.errors import FormatError, MeshError

PREFIX: Final = "signal-mesh/v1/"
"""What the first line of every document of this protocol version starts with."""


def document_text(kind: str, value: dict[str, Any]) -> str:
    """The text to be signed for a document of this kind."""
    return f"{PREFIX}{kind}\n{strictjson.dumps(value).decode()}\n"


def split_document(text: str, error: type[MeshError] = FormatError) -> tuple[str, bytes]:
    """Take a document's text apart into its first line and its JSON line, not parsed yet.

    :raises MeshError: `error`, if the text is not exactly two lines.
    """
    lines = text.split("\n")
    if len(lines) != 3 or lines[2]:
        raise error("a signed document is exactly two lines: its kind and its JSON")
    return lines[0], lines[1].encode()


def read_document(
    text: str, kind: str, *, max_bytes: int, error: type[MeshError] = FormatError
) -> Any:
    """Read the JSON of a document that must be of one kind.

    :raises MeshError: `error`, if it is of another kind or not two lines; `StrictJSONError`.
    """
    first, line = split_document(text, error)
    if first != PREFIX + kind:
        raise error(f"this is not a {kind}: its first line must be {PREFIX}{kind}")
    return strictjson.loads(line, max_bytes=max_bytes)
