from base64 import b64encode
from functools import cached_property
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import FormatError, MeshError
from mesh.model import Base64Bytes, Digest, Model


class PartError(MeshError):
    """Of the part."""


class Part(Model):
    format_error: ClassVar[type[MeshError]] = PartError
    number: int


class Whole(Model):
    data: Base64Bytes
    digest: Digest
    part: Part

    @cached_property
    def size(self) -> int:
        return len(self.data)


FIELDS = {"data": "AAE=", "digest": "ab" * 32, "part": {"number": 1}}


@given(st.binary(max_size=50))
def test_what_is_encoded_is_parsed_again(data: bytes) -> None:
    whole = Whole(data=data, digest="ab" * 32, part=Part(number=1))
    assert Whole.parse(whole.to_json()) == whole
    assert whole.to_json()["data"] == b64encode(data).decode()


@pytest.mark.parametrize("value", [None, [], "x", 1, [FIELDS]])
def test_a_document_is_an_object(value: object) -> None:
    with pytest.raises(FormatError):
        Whole.parse(value)


@pytest.mark.parametrize(
    "fields",
    [
        {**FIELDS, "self": 1},
        {**FIELDS, "": 1},
        {**FIELDS, "__class__": 1},
        {**FIELDS, "size": 1},
        {**FIELDS, "format_error": 1},
        {"data": "AAE=", "digest": "ab" * 32},
    ],
)
def test_fields_are_exact(fields: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        Whole.parse(fields)


def test_a_parts_error_is_its_own() -> None:
    with pytest.raises(PartError):
        Whole.parse({**FIELDS, "part": {"number": "1"}})


@pytest.mark.parametrize("data", ["AAE", "AAF=", "AAE=\n", " AAE=", "AA-_", "=", "A===", "é", 5])
def test_bytes_have_one_spelling(data: object) -> None:
    with pytest.raises(FormatError):
        Whole.parse({**FIELDS, "data": data})


def test_documents_cannot_be_changed() -> None:
    whole = Whole.parse(FIELDS)
    with pytest.raises(ValueError, match="frozen"):
        whole.digest = "cd" * 32


def test_a_copy_computes_anew() -> None:
    whole = Whole.parse(FIELDS)
    assert whole.size == 2
    assert whole.model_copy(update={"data": b"abc"}).size == 3


def test_errors_are_short_and_show_no_values() -> None:
    with pytest.raises(FormatError) as caught:
        Whole.parse({**FIELDS, "digest": "secret" * 1_000})
    assert "secret" not in str(caught.value)
    assert "digest" in str(caught.value)
    with pytest.raises(FormatError) as caught:
        Whole.parse({**FIELDS, "k" * 10_000: 1})
    assert len(str(caught.value)) < 200
