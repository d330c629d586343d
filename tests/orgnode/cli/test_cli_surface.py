"""Options, exit codes, errors and rendering that all commands share."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import get_args

import pytest
import typer
from cli_support import make_nodes, orgnode
from rich.console import Console
from typer.testing import CliRunner

from mesh.errors import MeshError
from mesh.evidence import EvidenceKind
from orgnode.api.check_models import TierName
from orgnode.api.models import FeedItem, SignalAnswer
from orgnode.cli import app
from orgnode.cli.check import TIERS
from orgnode.cli.errors import ErrorMappingGroup, NotValidError, exit_code
from orgnode.cli.feed_view import event_line, feed_table
from orgnode.cli.render import Output, clean, console, moment, table, waiting
from orgnode.cli.session import session_of
from orgnode.client import ApiError, NodeUnreachableError
from orgnode.errors import OrgnodeError

COMMANDS = (
    "init", "run", "doctor", "alerts", "backup", "restore", "report", "feed", "signals", "show",
    "verify", "retract", "sighting", "check", "policy", "breaker", "peers", "committee", "evidence",
    "log", "genesis", "testnet",
)  # fmt: skip
GROUPS = {
    "genesis": ("propose", "keygen", "create", "sign", "join"),
    "policy": ("show", "mode", "fail", "kill-switch", "allow", "template"),
    "breaker": ("judge", "lift"),
    "log": ("verify", "prove", "policy"),
    "testnet": ("up", "status", "down"),
}
MARKER = "MARKER-7f3a"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    ran = orgnode(command, "--help")
    assert ran.code == 0
    assert "Usage" in ran.out
    assert command in orgnode("--help").out


def test_a_wrong_command_line_is_2() -> None:
    assert orgnode("feeed").code == 2
    assert orgnode("show").code == 2
    assert orgnode("signals", "--limit", "0").code == 2


def test_version() -> None:
    ran = orgnode("--version")
    assert ran.code == 0
    assert ran.out.startswith("orgnode 0.")


def test_the_data_directory_and_json_may_stand_anywhere(tmp_path: Path) -> None:
    for arguments in (
        ["--data-dir", tmp_path / "a", "--json", "peers"],
        ["peers", "--json", "--data-dir", tmp_path / "a"],
        ["--data-dir", tmp_path / "b", "peers", "--data-dir", tmp_path / "a", "--json"],
    ):
        ran = orgnode(*arguments)
        assert ran.error["message"].endswith(str(tmp_path / "a"))


def test_the_data_directory_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORGNODE_DATA_DIR", str(tmp_path / "env"))
    assert orgnode("--json", "peers").error["message"].endswith("env")
    other = orgnode("--json", "peers", "--data-dir", tmp_path / "option")
    assert other.error["message"].endswith("option")


def test_a_node_that_does_not_run_is_3(tmp_path: Path) -> None:
    (data,) = make_nodes(tmp_path, "acme")
    config = data / "config.toml"
    config.write_text(config.read_text().replace("local_port = 0", "local_port = 1"))
    for command in (
        ["peers"],
        ["alerts"],
        ["signals"],
        ["feed"],
        ["show", "abcdef12"],
        ["retract", "abcdef12", "--reason", "legal", "-y"],
        ["sighting", "abcdef12", "confirm"],
        ["check", MARKER],
        ["committee"],
    ):
        ran = orgnode("--data-dir", data, "--json", *command)
        assert (ran.code, ran.error["code"]) == (3, "NodeUnreachableError"), command
        assert "orgnode run" in ran.error["hint"]
        assert MARKER not in ran.out + ran.err


def test_groups_of_commands_explain_theirs() -> None:
    """Each step of founding a mesh, and each rule of checking, can be found from `--help`."""
    for group, commands in GROUPS.items():
        told = orgnode(group, "--help").out
        for command in commands:
            assert command in told
            assert orgnode(group, command, "--help").code == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OrgnodeError("x"), 1),
        (MeshError("x"), 1),
        (ApiError(409, "X", "x", ""), 1),
        (NodeUnreachableError("x"), 3),
        (NotValidError("x"), 4),
    ],
)
def test_exit_codes(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def failing(error: BaseException) -> typer.Typer:
    made = typer.Typer(cls=ErrorMappingGroup, pretty_exceptions_enable=False)

    @made.callback()
    def root(ctx: typer.Context, as_json: bool = False) -> None:
        session_of(ctx).output.as_json = as_json

    @made.command()
    def fail() -> None:
        raise error

    return made


def test_an_error_shows_what_happened_and_what_to_do() -> None:
    result = CliRunner().invoke(
        failing(OrgnodeError("no\x1b[2J good", hint="do [bold]this[/bold]")), ["fail"]
    )
    assert result.exit_code == 1
    assert result.stderr == "OrgnodeError: no\\x1b[2J good\n→ do [bold]this[/bold]\n"
    assert result.stdout == ""


def test_the_api_s_errors_keep_their_own_name() -> None:
    error = ApiError(422, "BelowThresholdError", "too low", "claim less")
    result = CliRunner().invoke(failing(error), ["--as-json", "fail"])
    assert json.loads(result.stderr)["error"] == {
        "code": "BelowThresholdError",
        "message": "too low",
        "hint": "claim less",
    }


def test_an_unforeseen_error_tells_the_place_and_not_its_text() -> None:
    result = CliRunner().invoke(failing(ValueError(f"could not parse {MARKER}")), ["fail"])
    assert result.exit_code == 1
    assert MARKER not in result.output
    assert "ValueError at" in result.stderr
    assert "test_cli_surface.py" in result.stderr


def test_an_interrupt_is_130() -> None:
    assert CliRunner().invoke(failing(KeyboardInterrupt()), ["fail"]).exit_code == 130


# --- report without a node


def test_report_wants_whole_incidents(tmp_path: Path) -> None:
    (data,) = make_nodes(tmp_path, "acme")
    for arguments in (
        ["--text", MARKER],
        ["--text", MARKER, "--category", "ncr", "--technique", "AML.T0054"],
        ["--file", "x.csv", "--text", MARKER],
        ["--file", "x.csv", "--breadth", "3"],
        ["--text", MARKER, "--component", MARKER, "--category", "ncr", "--technique", "x"],
        [
            "--text",
            MARKER,
            "--text-file",
            "x",
            "--breadth",
            "1",
            "--category",
            "c",
            "--technique",
            "t",
        ],
    ):
        ran = orgnode("--data-dir", data, "--json", "report", *arguments)
        assert (ran.code, ran.error["code"]) == (2, "UsageProblemError"), arguments
        assert MARKER not in ran.out + ran.err


@pytest.mark.parametrize(
    ("stdin", "error"), [(b"", "NoTextError"), (b"\xff\xfe", "TextEncodingError")]
)
def test_report_reads_the_text_from_standard_input(
    tmp_path: Path, stdin: bytes, error: str
) -> None:
    (data,) = make_nodes(tmp_path, "acme")
    ran = orgnode(
        "--data-dir", data, "--json", "report", "--category", "ncr", "--technique", "AML.T0054",
        "--breadth", "3", stdin=stdin,
    )  # fmt: skip
    assert (ran.code, ran.error["code"]) == (1, error)


def test_an_id_is_hex_and_long_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data,) = make_nodes(tmp_path, "acme")
    for given in ("abc", "xyz12345", "a" * 65, "../status"):
        ran = orgnode("--data-dir", data, "--json", "show", given)
        assert (ran.code, ran.error["code"]) == (2, "UsageProblemError"), given


def test_a_retraction_s_reason_is_one_of_the_known(tmp_path: Path) -> None:
    (data,) = make_nodes(tmp_path, "acme")
    ran = orgnode("--data-dir", data, "--json", "retract", "abcdef12", "--reason", "because", "-y")
    assert (ran.code, ran.error["code"]) == (2, "UsageProblemError")
    assert "false_positive" in ran.error["message"]
    ran = orgnode("--data-dir", data, "--json", "retract", "abcdef12", "--reason", "legal")
    assert (ran.code, ran.error["code"]) == (2, "UsageProblemError")


# --- rendering


def test_control_characters_are_shown_not_obeyed() -> None:
    hostile = "a\x1b[2J\rb\x07\nc\u202ed\x9b"
    assert clean(hostile) == "a\\x1b[2J\\rb\\x07\\nc\\u202ed\\x9b"
    assert clean("é 漢 ✓") == "é 漢 ✓"
    out = io.StringIO()
    console(out).print(table(("column",), [[hostile], ["[red]not markup[/red]"]]))
    assert "\x1b" not in out.getvalue()
    assert "[red]not markup[/red]" in out.getvalue()


def test_a_pipe_gets_no_control_codes_and_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setenv("FORCE_COLOR", "")
    out = io.StringIO()
    console(out).print(table(("a", "b"), [["x" * 70, "y" * 70]]))
    assert "x" * 70 in out.getvalue()
    assert "y" * 70 in out.getvalue()


def test_json_is_one_object_a_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    output.item({"text": "two\nlines\u2028", "lone": "\ud800"})
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 2
    assert json.loads(lines[0])["text"] == "two\nlines\u2028"


def test_moments() -> None:
    assert moment(None) == "never"
    assert moment(0.0) == "1970-01-01 00:00:00"
    assert moment(2**62) == f"{2**62} seconds after 1970"
    assert moment(10**12) == f"{10**12} seconds after 1970"
    assert len(moment(__import__("time").time())) == 8


def signal(band: str = "high", level: int = 3, **changes: object) -> SignalAnswer:
    return SignalAnswer.model_validate(
        {
            "id": "ab" * 32, "issuer": "acme.example", "index": 0, "day": "2026-11-21",
            "expires": "2027-02-19", "band": band, "band_level": level, "category": "ncr",
            "technique": "AML.T0054", "confidence": 80, "tokens": [], "direct": True,
            "status": "live", "own": False, "received": 0.0, **changes,
        }
    )  # fmt: skip


def event(kind: str = "signal", **fields: object) -> FeedItem:
    return FeedItem.model_validate({"seq": 1, "type": kind, "at": 0.0, **fields})


def test_a_refusal_s_line_tells_the_whole_reason() -> None:
    item = event(
        "refused", issuer="evil.example", error="ProofEquationError", reason="it \x1b[2J lies"
    )
    line = event_line(item).plain
    assert "evil.example" in line
    assert line.endswith("ProofEquationError  it \\x1b[2J lies")


def test_what_a_person_said_and_what_was_promoted_is_in_the_line() -> None:
    said = event("sighting", signal=signal(), by="birch.example", verdict="deny")
    assert "  denied       acme.example  " in event_line(said).plain
    assert event_line(said).plain.endswith(" by birch.example")
    promoted = event("promotion", issuer="birch.example", index=3, id="cd" * 32, windows=1)
    assert event_line(promoted).plain.endswith("  1 window")
    wrong = FeedItem.model_validate(
        {
            "seq": 1,
            "type": "misconduct",
            "issuer": "birch.example",
            "kind": "evaluation",
            "reason": "it is false",
        }
    )
    assert event_line(wrong).plain.endswith("  evaluation  it is false")
    lines = [event_line(one).plain for one in (said, promoted, event(signal=signal("low", 1)))]
    assert (
        len(
            {
                line.index(word)
                for line, word in zip(lines, ("abab", "1 window", "abab"), strict=True)
            }
        )
        == 1
    )


def test_a_narrow_terminal_gets_one_line_for_each_event() -> None:
    items = [event(signal=signal(issuer="a-rather-long-name.example")) for _ in range(5)]
    for width, technique in ((70, False), (120, True)):
        out = io.StringIO()
        Console(file=out, width=width).print(feed_table(items, width=width))
        lines = [line for line in out.getvalue().splitlines() if line.strip()]
        assert len(lines) == 2 + len(items)
        assert ("AML.T0054" in out.getvalue()) is technique


def test_the_command_line_starts_without_the_server(tmp_path: Path) -> None:
    # `orgnode --help` on a small machine: no database, no federation for a command that needs none.
    import subprocess

    code = "import sys, orgnode.cli; print('orgnode.node' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("terminal", "quiet", "shown"),
    [(True, False, True), (True, True, False), (False, False, False)],
)
def test_waiting_shows_in_a_terminal_only(terminal: bool, quiet: bool, shown: bool) -> None:
    out = io.StringIO()
    with waiting(Console(file=out, force_terminal=terminal), "waiting for them", quiet=quiet):
        pass
    assert ("waiting for them" in out.getvalue()) is shown


def test_scores_have_their_range_in_the_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    told = orgnode("report", "--help").out
    assert told.count("0<=x<=10]") == 4
    assert orgnode("report", "--text", "x", "--breadth", "11").code == 2


def test_the_glossary_has_the_words_that_are_shown() -> None:
    glossary = (Path(__file__).parents[3] / "docs" / "glossary.md").read_text()
    for word in ("shadow", "recovering", "behind", "lag", "tier", *EvidenceKind):
        assert f"| **{word}** |" in glossary, word
    (tier,) = (line for line in glossary.splitlines() if line.startswith("| **tier** |"))
    guide = (Path(__file__).parents[3] / "docs" / "operators-guide.md").read_text()
    for name in get_args(TierName):
        assert f"*{name}*" in tier
        assert f"*{name}*" in guide
        assert TIERS[name].startswith(f"{name}: ")


def test_app_is_what_main_runs() -> None:
    assert app.info.name == "orgnode"
