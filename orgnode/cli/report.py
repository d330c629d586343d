"""`orgnode report`: publish one incident, or a whole file of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from orgnode.api.models import BatchResult, IncidentAnswer, Problem
from orgnode.cli.errors import FAILED, CliError, UsageProblemError
from orgnode.cli.incident_files import Row, read_incidents
from orgnode.cli.render import band_text, clean, fields, progress
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.client import ApiError, NodeClient, NodeUnreachableError

CHUNK = 32
"""Incidents sent at once from a file: often enough for the progress bar to move."""

_SHOWN_FAILURES = 20


class FileFormat(StrEnum):
    """How incidents are written in a file."""

    CSV = "csv"
    JSONL = "jsonl"


class NoTextError(CliError):
    """There is no incident text."""


class TextEncodingError(CliError):
    """The incident's text is not UTF-8."""


def report(
    ctx: typer.Context,
    text: Annotated[
        str | None,
        typer.Option(
            help="The prompt. Other users of this machine may see it in the list of processes: "
            "--text-file or standard input are better.",
            show_default=False,
        ),
    ] = None,
    text_file: Annotated[
        Path | None,
        typer.Option(help="File with the prompt; - for standard input.", show_default=False),
    ] = None,
    category: Annotated[
        str, typer.Option(help="AILuminate hazard code, such as ncr or prv.", show_default=False)
    ] = "",
    technique: Annotated[
        str, typer.Option(help="MITRE ATLAS id, such as AML.T0054.", show_default=False)
    ] = "",
    capability_gain: Annotated[
        int | None, typer.Option(help="Score, 0 to 10.", show_default=False)
    ] = None,
    breadth: Annotated[int | None, typer.Option(help="Score, 0 to 10.", show_default=False)] = None,
    ease_of_weaponization: Annotated[
        int | None, typer.Option(help="Score, 0 to 10.", show_default=False)
    ] = None,
    discoverability: Annotated[
        int | None, typer.Option(help="Score, 0 to 10.", show_default=False)
    ] = None,
    component: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=SCORE, for a mesh whose rubric has other components; repeatable.",
            metavar="NAME=SCORE",
            show_default=False,
        ),
    ] = None,
    confidence: Annotated[int, typer.Option(help="Percent.")] = 80,
    band: Annotated[
        str | None,
        typer.Option(
            help="Band to claim; the highest that the scores reach by default.", show_default=False
        ),
    ] = None,
    barrier: Annotated[
        str | None,
        typer.Option(
            help="The safeguard that failed, if you choose to publish it.", show_default=False
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Your own id of the incident: reporting twice is then harmless.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="CSV or JSONL file of incidents; - for standard input.", show_default=False
        ),
    ] = None,
    form: Annotated[
        FileFormat | None, typer.Option("--format", help="Of the file.", show_default=False)
    ] = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Publish incidents as signals. Text and scores stay in this organization's vault.

    With --file, rows that fail are listed by line and the others are published; run it again after
    correcting them: what was published is not published twice.
    """
    session = session_of(ctx)
    scores = {
        "capability_gain": capability_gain,
        "breadth": breadth,
        "ease_of_weaponization": ease_of_weaponization,
        "discoverability": discoverability,
    }
    components = {name: score for name, score in scores.items() if score is not None}
    components |= _named_scores(component or [])
    if file is not None:
        if text is not None or text_file is not None or components or reference or band or barrier:
            raise UsageProblemError(
                "--file goes without the options of a single incident",
                hint="put text, scores and the rest into the file's columns",
            )
        session.run(_report_file(session, file, form))
        return
    if not components or not category or not technique:
        raise UsageProblemError(
            "an incident needs --category, --technique and its component scores",
            hint="see `orgnode report --help`, or give a file with --file",
        )
    incident = {
        "text": _text_of(text, text_file),
        "components": components,
        "category": category,
        "technique": technique,
        "confidence": confidence,
        "band": band,
        "barrier": barrier,
        "reference": reference,
    }
    session.run(_report_one(session, incident))


def _named_scores(pairs: Sequence[str]) -> dict[str, int]:
    scores = {}
    for pair in pairs:
        name, equals, score = pair.partition("=")
        if not equals or not (score.isascii() and score.isdigit()):
            raise UsageProblemError("--component takes NAME=SCORE", hint="such as breadth=7")
        scores[name] = int(score)
    return scores


def _text_of(text: str | None, path: Path | None) -> str:
    if text is not None and path is not None:
        raise UsageProblemError("give either --text or --text-file", hint="not both")
    if text is not None:
        return text
    if path is None and sys.stdin.isatty():
        raise NoTextError(
            "there is no text", hint="give --text-file FILE, or pipe the text to this command"
        )
    try:
        data = sys.stdin.buffer.read() if path is None or str(path) == "-" else path.read_bytes()
        found = data.decode("utf-8")
    except UnicodeDecodeError:
        raise TextEncodingError("the text is not UTF-8", hint="convert it, with iconv") from None
    except OSError as error:
        raise NoTextError(
            f"cannot read {path}: {error.strerror or type(error).__name__}",
            hint="check the file's name and permissions",
        ) from None
    if not found.strip():
        raise NoTextError("the text is empty", hint="give the prompt that was met")
    return found


async def _report_one(session: Session, incident: dict[str, Any]) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        published = await node.report(**incident)
    if session.output.as_json:
        session.output.item(published.model_dump())
        return
    session.output.say(
        "Published before under this reference; nothing new was."
        if published.duplicate
        else "Published.",
        "bold green",
    )
    session.output.show(
        fields(
            [
                ("signal", published.signal),
                ("band", band_text(published.band)),
                ("place in the log", published.index),
                ("incident in the vault", published.incident),
            ]
        )
    )


# --- a file


async def _report_file(session: Session, path: Path, form: FileFormat | None) -> None:
    output = session.output
    async with NodeClient.from_datadir(session.datadir.path) as node:
        rules = (await node.constraints()).constraints
        names = [str(name) for name, _ in rules["rubric"]["components"]]
        rows = read_incidents(path, form=None if form is None else form.value, components=names)
        done = _Done(session)
        with progress(output.err, quiet=output.as_json) as bar:
            task = bar.add_task("publishing", total=len(rows))
            for start in range(0, len(rows), CHUNK):
                chunk = rows[start : start + CHUNK]
                try:
                    done.take(chunk, await _send(node, chunk))
                except NodeUnreachableError as error:
                    raise NodeUnreachableError(
                        f"{error}; {done.summary()}, {len(rows) - start} rows not sent or unsure",
                        hint="start the node and run this again: nothing is published twice",
                    ) from error
                bar.advance(task, len(chunk))
    done.finish()


async def _send(node: NodeClient, chunk: Sequence[Row]) -> list[BatchResult]:
    """Results for all rows of a chunk, those that hold no incident among them."""
    good = [row for row in chunk if row.incident is not None]
    sent: list[BatchResult] = []
    if good:
        try:
            sent = await node.report_many(
                [row.incident.model_dump() for row in good if row.incident is not None]
            )
        except ApiError as error:
            # Refused as a whole: the rows one by one say whose fault it was.
            sent = (
                [await _send_one(node, row, error) for row in good]
                if len(good) > 1
                else [_failed(error)]
            )
    results = iter(sent)
    return [
        next(results)
        if row.incident is not None
        else BatchResult(
            ok=False,
            error=Problem(
                code=type(row.error).__name__,
                message=str(row.error).partition(": ")[2],
                hint=row.error.hint if row.error else "",
            ),
        )
        for row in chunk
    ]


async def _send_one(node: NodeClient, row: Row, whole: ApiError) -> BatchResult:
    if row.incident is None:
        return _failed(whole)
    try:
        return BatchResult(ok=True, published=await node.report(**row.incident.model_dump()))
    except ApiError as error:
        return _failed(error)


def _failed(error: ApiError) -> BatchResult:
    return BatchResult(
        ok=False,
        error=Problem(
            code=error.code, message=str(error).removeprefix(f"{error.code}: "), hint=error.hint
        ),
    )


class _Done:
    """What became of the rows so far."""

    def __init__(self, session: Session) -> None:
        self._output = session.output
        self._published = 0
        self._duplicates = 0
        self._failures: list[tuple[int, Problem]] = []

    def take(self, rows: Sequence[Row], results: Sequence[BatchResult]) -> None:
        """Count the results of some rows."""
        for row, result in zip(rows, results, strict=True):
            if result.published is not None:
                self._take_published(row.line, result.published)
            else:
                problem = result.error or Problem(code="ApiError", message="no result was given")
                self._failures.append((row.line, problem))
                if self._output.as_json:
                    self._output.item(
                        {"line": row.line, "ok": False, "error": problem.model_dump()}
                    )

    def _take_published(self, line: int, published: IncidentAnswer) -> None:
        self._duplicates += published.duplicate
        self._published += not published.duplicate
        if self._output.as_json:
            self._output.item({"line": line, "ok": True, **published.model_dump()})

    def summary(self) -> str:
        """The counts in words."""
        parts = [f"{self._published} published"]
        if self._duplicates:
            parts.append(f"{self._duplicates} published before")
        if self._failures:
            parts.append(f"{len(self._failures)} failed")
        return ", ".join(parts)

    def finish(self) -> None:
        """Tell the counts and the failures; ends the command with 1 if any row failed."""
        if not self._output.as_json:
            self._output.say(self.summary(), "bold green" if not self._failures else "bold yellow")
            for line, problem in self._failures[:_SHOWN_FAILURES]:
                hint = f" → {problem.hint}" if problem.hint else ""
                self._output.notice(clean(f"line {line}: {problem.code}: {problem.message}{hint}"))
            more = len(self._failures) - _SHOWN_FAILURES
            if more > 0:
                self._output.notice(f"and {more} more; --json lists them all")
        if self._failures:
            raise typer.Exit(FAILED)
