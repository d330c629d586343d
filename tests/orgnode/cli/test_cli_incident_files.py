from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgnode.cli import incident_files
from orgnode.cli.incident_files import (
    IncidentEncodingError,
    IncidentFileError,
    MissingColumnError,
    NoIncidentsError,
    Row,
    read_incidents,
)

HEADER = (
    "text,capability_gain,breadth,ease_of_weaponization,discoverability,"
    "category,technique,confidence"
)
MARKER = "MARKER-7f3a"
GOOD = '"an attack",5,5,5,5,ncr,AML.T0054,80'


def written(tmp_path: Path, content: str | bytes, name: str = "incidents.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def fault(row: Row) -> str:
    assert row.incident is None
    assert row.error is not None
    return str(row.error)


def test_csv_becomes_incidents(tmp_path: Path) -> None:
    (row,) = read_incidents(written(tmp_path, f"{HEADER}\n{GOOD}\n"))
    assert row.line == 2
    assert row.incident is not None
    assert row.incident.text == "an attack"
    assert row.incident.components == {
        "capability_gain": 5,
        "breadth": 5,
        "ease_of_weaponization": 5,
        "discoverability": 5,
    }
    assert row.incident.confidence == 80
    assert row.incident.band is None


def test_optional_columns_may_be_empty_or_absent(tmp_path: Path) -> None:
    header = HEADER.replace("confidence", "band,barrier,reference")
    path = written(
        tmp_path, f"{header}\nx,5,5,5,5,ncr,AML.T0054,high,,T-1\ny,5,5,5,5,ncr,AML.T0054,,,\n"
    )
    first, second = (row.incident for row in read_incidents(path))
    assert first is not None
    assert second is not None
    assert (first.band, first.barrier, first.reference) == ("high", None, "T-1")
    assert (second.band, second.confidence) == (None, 80)
    assert second.reference is not None
    assert second.reference.startswith("row:")


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    content = f'{HEADER}\n"two\nlines",5,5,5,5,ncr,AML.T0054,80\n\n{GOOD}\nx,y\n'
    rows = read_incidents(written(tmp_path, content))
    assert [row.line for row in rows] == [2, 5, 6]
    assert "2 values for 8 columns" in fault(rows[2])


@given(
    st.lists(
        st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
            min_size=1,
            max_size=60,
        ).filter(str.strip),
        min_size=1,
        max_size=5,
    )
)
def test_any_text_survives_csv(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(HEADER.split(","))
    writer.writerows([text, 5, 5, 5, 5, "ncr", "AML.T0054", 80] for text in texts)
    path = tmp_path_factory.mktemp("csv") / "any.csv"
    path.write_bytes(out.getvalue().encode())
    rows = read_incidents(path)
    assert [row.incident and row.incident.text for row in rows] == texts


def test_jsonl_takes_components_nested_or_flat(tmp_path: Path) -> None:
    scores = {
        "capability_gain": 1,
        "breadth": 2,
        "ease_of_weaponization": 3,
        "discoverability": 4,
    }
    common = {"text": "line\u2028separator", "category": "ncr", "technique": "AML.T0054"}
    lines = [
        json.dumps({**common, "components": scores}, ensure_ascii=False),
        "",
        json.dumps({**common, **scores}),
    ]
    rows = read_incidents(written(tmp_path, "\n".join(lines), "incidents.jsonl"))
    assert [row.line for row in rows] == [1, 3]
    assert all(row.incident and row.incident.components == scores for row in rows)


def test_format_is_found_by_content_when_the_name_does_not_tell(tmp_path: Path) -> None:
    line = json.dumps({"text": "x", "category": "ncr", "technique": "AML.T0054"})
    assert "components" in fault(read_incidents(written(tmp_path, line, "incidents.txt"))[0])
    assert read_incidents(written(tmp_path, f"{HEADER}\n{GOOD}\n", "incidents.txt"))[0].incident


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        ("", NoIncidentsError, "empty"),
        (f"{HEADER}\n", NoIncidentsError, "no incident"),
        (
            f"{HEADER.replace('text,', '')}\n5,5,5,5,ncr,AML.T0054,80\n",
            MissingColumnError,
            "no column text",
        ),
        (
            f"{HEADER.replace('breadth', 'width')}\n{GOOD}\n",
            MissingColumnError,
            "no column breadth",
        ),
        (f"{HEADER},severity\n{GOOD},high\n", MissingColumnError, "not known: 'severity'"),
        (f"{HEADER},text\n{GOOD},x\n", MissingColumnError, "text twice"),
        (f"{HEADER}\n".replace(",", ";") + GOOD, MissingColumnError, "no column"),
        (f'{HEADER}\n"never closed,5,5,5,5,ncr,AML.T0054,80\n', IncidentFileError, "not CSV"),
        (f"{HEADER}\n{GOOD}\n".encode("utf-16"), IncidentEncodingError, "not UTF-8"),
        (f"{HEADER}\n{GOOD}\n".encode() + b"\xe9t\xe9,5", IncidentEncodingError, "line 3"),
        ("[{}]", IncidentFileError, "one JSON array"),
    ],
)
def test_faults_of_the_whole_file(
    tmp_path: Path, content: str | bytes, error: type[IncidentFileError], says: str
) -> None:
    name = "incidents.jsonl" if content == "[{}]" else "incidents.csv"
    with pytest.raises(error, match=says) as caught:
        read_incidents(written(tmp_path, content, name))
    assert caught.value.hint


def test_a_separator_that_is_no_comma_is_recognized(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError) as caught:
        read_incidents(written(tmp_path, HEADER.replace(",", ";") + "\n"))
    assert "something else than commas" in caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(IncidentFileError, match=r"nowhere\.csv"):
        read_incidents(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (f"{MARKER},11.5,5,5,5,ncr,AML.T0054,80", "capability_gain"),
        (f"{MARKER},,5,5,5,ncr,AML.T0054,80", "capability_gain"),
        (f"{MARKER},5,5,5,{MARKER},ncr,AML.T0054,80", "discoverability"),
        (f"{MARKER},5,5,5,5,ncr,AML.T0054,high", "confidence"),
        (f"{MARKER},5,5,5,5,ncr,AML.T0054,101", "confidence"),
        (f"{MARKER},5,5,5,5,{MARKER}", "6 values for 8 columns"),
        (",5,5,5,5,ncr,AML.T0054,80", "text"),
    ],
)
def test_a_faulty_row_is_named_and_not_quoted(tmp_path: Path, row: str, says: str) -> None:
    rows = read_incidents(written(tmp_path, f"{HEADER}\n{row}\n{GOOD}\n"))
    assert says in fault(rows[0])
    assert fault(rows[0]).startswith("line 2: ")
    assert MARKER not in fault(rows[0])
    assert MARKER not in repr(rows)
    assert rows[1].incident is not None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f'{{"text": "{MARKER}', "JSONSyntaxError"),
        (f'{{"text": "{MARKER}", "text": "b"}}', "DuplicateKeyError"),
        (f'"{MARKER}"', "not a JSON object"),
        (f'{{"text": "{MARKER}", "components": {{"{MARKER}": 1}}}}', "components"),
        (f'{{"text": "{MARKER}", "confidence": 1.5}}', "JSONNumberError"),
    ],
)
def test_a_faulty_json_line_is_named_and_not_quoted(tmp_path: Path, line: str, says: str) -> None:
    (row,) = read_incidents(written(tmp_path, line, "incidents.jsonl"))
    assert says in fault(row)
    assert MARKER not in fault(row)


def references(path: Path) -> list[str | None]:
    return [row.incident.reference if row.incident else None for row in read_incidents(path)]


def test_references_depend_on_content_and_not_on_place(tmp_path: Path) -> None:
    other = GOOD.replace("an attack", "another")
    first = references(written(tmp_path, f"{HEADER}\n{GOOD}\n{other}\n", "a.csv"))
    moved = references(written(tmp_path, f"{HEADER}\n{other}\n\n{GOOD}\n", "b.csv"))
    assert sorted(map(str, first)) == sorted(map(str, moved))
    assert len(set(first)) == 2


def test_the_same_row_twice_is_two_incidents(tmp_path: Path) -> None:
    found = references(written(tmp_path, f"{HEADER}\n{GOOD}\n{GOOD}\n"))
    assert len(set(found)) == 2


def test_the_reference_does_not_tell_the_text(tmp_path: Path) -> None:
    (found,) = references(written(tmp_path, f"{HEADER}\n{GOOD}\n"))
    assert found is not None
    assert "attack" not in found


def test_the_sample_is_whole_and_the_same_attack_meets_several(tmp_path: Path) -> None:
    from mesh.constraints import RubricRule
    from mesh.normalize import normalize
    from mesh.taxonomy import CATEGORIES, check_technique
    from orgnode.demo.command import _sample

    rows = read_incidents(_sample())
    assert 35 <= len(rows) <= 50
    bands = set()
    places: dict[str, set[int]] = {}
    for place, row in enumerate(rows):
        assert row.incident is not None
        assert row.incident.category in CATEGORIES
        check_technique(row.incident.technique)
        total = sum(
            weight * row.incident.components[name] for name, weight in RubricRule().components
        )
        assert total >= 10, f"line {row.line} reaches no band"
        bands.add(sum(total >= threshold for threshold in (10, 30, 50, 70)))
        places.setdefault(normalize(row.incident.text), set()).add(place % 5)
    assert bands == {1, 2, 3, 4}
    assert sum(len(orgs) > 1 for orgs in places.values()) >= 5


def test_only_plain_integers_are_scores() -> None:
    for text in ("5.0", "1e1", "0x5", "٥", "five", "--5"):
        assert not incident_files._INTEGER.fullmatch(text)
