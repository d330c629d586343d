"""What every document of the mesh has in common: exact fields, strict types, one encoding."""

import binascii
from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)

from mesh import strictjson
from mesh.errors import FormatError, MeshError


class Model(BaseModel):
    """A document or a part of one: unknown, missing and ill-typed fields are refused.

    Errors name the field and never repeat its value. An error that a field's own check raises
    (`NameFormatError`, ...) comes out as it is; everything else is the class's `format_error`.
    """

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_enum_values=False,
        ser_json_bytes="base64",
    )

    format_error: ClassVar[type[MeshError]] = FormatError
    """Raised when the fields are not exactly those of the document."""

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise _named_error(error, type(self)) from None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other fields, unchecked. Nothing that was computed from fields is kept."""
        copy = super().model_copy(update=update, deep=deep)
        for computed in copy.__dict__.keys() - type(self).model_fields.keys():
            del copy.__dict__[computed]
        return copy

    @classmethod
    def parse(cls, value: object) -> Self:
        """Make the document from a value that `strictjson.loads` returned.

        :raises MeshError: `format_error`, or the named error of the field that does not hold.
        """
        if not isinstance(value, dict):
            raise cls.format_error(f"{cls.__name__} must be a JSON object")
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """The document as JSON values, for `strictjson.dumps`."""
        return self.model_dump(mode="json")

    def encode(self) -> bytes:
        """The document's one canonical encoding."""
        return strictjson.dumps(self.to_json())


def _named_error(error: ValidationError, model: type[Model]) -> MeshError:
    first = error.errors(include_url=False, include_input=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, MeshError):
        return cause
    # Field names can come from a peer: shown shortened and escaped.
    where = ".".join(str(part)[:40] for part in first["loc"][:6])
    return model.format_error(f"{model.__name__} field {where!r}: {first['msg']}")


def _from_base64(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        data = binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        raise FormatError("not base64") from None
    # The last character may hide bits that decoding drops; one value has one encoding.
    if b64encode(data).decode("ascii") != value:
        raise FormatError("not canonical base64")
    return data


def _to_base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""32 bytes in lower-case hex: a SHA-256 digest, a public key, a token."""

Base64Bytes = Annotated[
    bytes, BeforeValidator(_from_base64), PlainSerializer(_to_base64, return_type=str)
]
"""Bytes, written as canonical base64 (RFC 4648, section 4) in JSON."""
