import pytest

from mesh.document import document_text, read_document, split_document
from mesh.errors import EntryFormatError, FormatError
from mesh.strictjson import JSONSizeError


def test_a_document_is_read_as_written() -> None:
    text = document_text("thing", {"b": 1, "a": "é"})
    assert text == 'signal-mesh/v1/thing\n{"a":"é","b":1}\n'
    assert split_document(text) == ("signal-mesh/v1/thing", '{"a":"é","b":1}'.encode())
    assert read_document(text, "thing", max_bytes=100) == {"a": "é", "b": 1}


@pytest.mark.parametrize(
    "first", ["signal-mesh/v1/other", "signal-mesh/v2/thing", "thing", "signal-mesh/v1/thing "]
)
def test_a_document_of_another_kind(first: str) -> None:
    with pytest.raises(EntryFormatError, match="not a thing"):
        read_document(f"{first}\n{{}}\n", "thing", max_bytes=100, error=EntryFormatError)


@pytest.mark.parametrize("text", ["", "\n", "a\nb", "a\nb\n\n", "a\nb\nc\n", "a\nb\nc"])
def test_a_document_is_two_lines(text: str) -> None:
    with pytest.raises(FormatError):
        split_document(text)


def test_size_limit() -> None:
    with pytest.raises(JSONSizeError):
        read_document("signal-mesh/v1/thing\n[1,2]\n", "thing", max_bytes=4)
