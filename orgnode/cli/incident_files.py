"""Incidents from a file: CSV with a header, or JSONL with one object a line.

    text, category, technique                needed
    capability_gain, breadth,                needed: one column for each component of the rubric
    ease_of_weaponization, discoverability
    confidence, band, barrier, reference,    may be left out or empty
    derived_from

A fault of the whole file (no such column, not UTF-8) stops before anything is published; a fault of
one row is that row's alone. Errors name the line and the field and never quote a value: any of them
may be a prompt.

A row without a reference gets one made from its content, so that reporting a file again publishes
only what is new. The same row twice in one file is two incidents.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from mesh import strictjson
from mesh.constraints import RubricRule
from mesh.errors import MeshError
from orgnode.api.models import MAX_TEXT, IncidentRequest
from orgnode.cli.errors import CliError

DEFAULT_COMPONENTS: Final = RubricRule().names
"""The components of the default rubric, in its order."""

MAX_LINE: Final = 1 << 20
"""Longest line of a JSONL file, in bytes."""

Format = Literal["csv", "jsonl"]

_NEEDED: Final = ("text", "category", "technique")
_OPTIONAL: Final = ("confidence", "band", "barrier", "reference", "derived_from")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,9}")


class IncidentFileError(CliError):
    """The file as a whole can't be read as incidents; nothing was published."""


class IncidentEncodingError(IncidentFileError):
    """The file is not UTF-8 text."""


class MissingColumnError(IncidentFileError):
    """The CSV file's header lacks a column, or has one that is not known or twice there."""


class NoIncidentsError(IncidentFileError):
    """The file holds no incident."""


class RowError(CliError):
    """One row is not an incident; the others are not concerned."""


@dataclass(frozen=True)
class Row:
    """One row of the file: the incident that it holds, or why it holds none."""

    line: int
    """Number of its first line, from 1."""
    incident: IncidentRequest | None = field(repr=False)
    error: RowError | None = None


def read_incidents(
    path: Path, *, form: Format | None = None, components: Sequence[str] = DEFAULT_COMPONENTS
) -> list[Row]:
    """Read every row of a file; `-` is standard input.

    :param form: the format; found by the file's name, or else by its first character.
    :param components: names of the rubric's components.
    :raises IncidentFileError: the file as a whole can't be used.
    """
    text = _text(path)
    name = "standard input" if str(path) == "-" else str(path)
    if (form or _form(path, text)) == "csv":
        rows = list(_csv_rows(name, text, components))
    else:
        rows = list(_jsonl_rows(name, text, components))
    if not rows:
        raise NoIncidentsError(f"{name} holds no incident", hint="it has a header at most")
    return _with_references(rows)


def _text(path: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise IncidentFileError(
            f"cannot read {path}: {error.strerror or type(error).__name__}",
            hint="check the file's name and permissions",
        ) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise IncidentEncodingError(
            f"{path} is not UTF-8 text: line {line} holds a byte that does not fit",
            hint="it is UTF-16: save it as UTF-8"
            if wide
            else f"save it as UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8 {path}",
        ) from None
    if not text.strip():
        raise NoIncidentsError(f"{path} is empty", hint="give a CSV file with a header, or JSONL")
    return text


def _form(path: Path, text: str) -> Format:
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson", ".json"):
        return "jsonl"
    if suffix == ".csv":
        return "csv"
    return "jsonl" if text.lstrip()[0] in "{[" else "csv"


# --- CSV


def _csv_rows(name: str, text: str, components: Sequence[str]) -> Iterator[Row]:
    csv.field_size_limit(4 * MAX_TEXT)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip().lower() for column in next(reader)]
        _check_header(name, header, components)
        end = reader.line_num
        for values in reader:
            line, end = end + 1, reader.line_num
            if not any(value.strip() for value in values):
                continue
            if len(values) != len(header):
                yield _fault(
                    line,
                    f"{len(values)} values for {len(header)} columns",
                    "put text that holds commas or line breaks in double quotes",
                )
                continue
            yield _row(line, _csv_fields(dict(zip(header, values, strict=True))), components)
    except csv.Error as error:
        raise IncidentFileError(
            f"{name} is not CSV: {error}, near line {reader.line_num}",
            hint="put text with quotes or line breaks in double quotes, and double its quotes",
        ) from None


def _check_header(name: str, header: Sequence[str], components: Sequence[str]) -> None:
    known = (*_NEEDED, *components, *_OPTIONAL)
    missing = [column for column in (*_NEEDED, *components) if column not in header]
    if missing:
        other = next((mark for mark in (";", "\t") if mark in header[0]), None)
        raise MissingColumnError(
            f"{name} has no column {', '.join(missing)}",
            hint="its columns are separated by something else than commas"
            if other
            else f"the first line names the columns: {','.join(known)}",
        )
    unknown = [column for column in header if column not in known]
    if unknown:
        raise MissingColumnError(
            f"{name} has columns that are not known: "
            + ", ".join(repr(column[:40]) for column in unknown[:5]),
            hint=f"remove or rename them; known are {', '.join(known)}",
        )
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        raise MissingColumnError(f"{name} has the column {', '.join(twice)} twice", hint="keep one")


def _csv_fields(values: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column, value in values.items():
        plain = value.strip()
        if column == "text":
            found[column] = value
        elif column in _OPTIONAL and not plain:
            continue
        elif column not in (*_NEEDED, *_OPTIONAL) or column == "confidence":
            # What is no integer stays text, and is refused with the field's name.
            found[column] = int(plain) if _INTEGER.fullmatch(plain) else plain
        else:
            found[column] = plain
    return found


# --- JSONL


def _jsonl_rows(name: str, text: str, components: Sequence[str]) -> Iterator[Row]:
    if text.lstrip().startswith("["):
        raise IncidentFileError(
            f"{name} is one JSON array",
            hint=f"write one object a line: jq -c '.[]' {name}",
        )
    # Not splitlines: U+2028 and its like may stand inside a JSON string.
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            value = strictjson.loads(content.strip().encode("utf-8"), max_bytes=MAX_LINE)
        except MeshError as error:
            # The class says which rule it is; its text is not shown, for it may quote the line.
            yield _fault(
                line, f"not strict JSON ({type(error).__name__})", "one JSON object a line"
            )
            continue
        if not isinstance(value, dict):
            yield _fault(line, "not a JSON object", "one JSON object a line")
            continue
        yield _row(line, value, components)


# --- rows


def _row(line: int, found: Mapping[str, Any], components: Sequence[str]) -> Row:
    values = dict(found)
    if "components" not in values:
        values["components"] = {name: values.pop(name) for name in components if name in values}
    scores = values["components"]
    if isinstance(scores, dict) and set(scores) != set(components):
        return _fault(line, f"the components are not {', '.join(components)}", "give each of them")
    values = {key: value for key, value in values.items() if value is not None}
    try:
        return Row(line, IncidentRequest.model_validate(values))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        said = "; ".join(
            f"{'.'.join(str(part)[:40] for part in one['loc'][:3])}: {one['msg']}"
            for one in faults[:4]
        )
        return _fault(line, said, "")


def _fault(line: int, message: str, hint: str) -> Row:
    return Row(line, None, RowError(f"line {line}: {message}", hint=hint))


def _with_references(rows: Sequence[Row]) -> list[Row]:
    seen: Counter[str] = Counter()
    named = []
    for row in rows:
        incident = row.incident
        if incident is not None and incident.reference is None:
            fields = incident.model_dump()
            if incident.derived_from is None:
                # References that were made before there was this field stay the same.
                del fields["derived_from"]
            content = json.dumps(fields, sort_keys=True)
            digest = hashlib.sha256(f"orgnode/report-file\n{content}".encode()).hexdigest()
            seen[digest] += 1
            reference = f"row:{digest}:{seen[digest]}"
            named.append(Row(row.line, incident.model_copy(update={"reference": reference})))
        else:
            named.append(row)
    return named
