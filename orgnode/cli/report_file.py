"""`orgnode report --file`: a whole file of incidents, row by row accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import typer

from orgnode.api.models import BatchResult, IncidentAnswer, Problem
from orgnode.cli.errors import FAILED
from orgnode.cli.incident_files import Row, read_incidents
from orgnode.cli.render import clean, progress
from orgnode.cli.session import Session
from orgnode.client import ApiError, NodeClient, NodeUnreachableError

CHUNK = 32
"""Incidents sent at once from a file: often enough for the progress bar to move."""

_SHOWN_FAILURES = 20


class FileFormat(StrEnum):
    """How incidents are written in a file."""

    CSV = "csv"
    JSONL = "jsonl"


async def report_file(
    session: Session, path: Path, form: FileFormat | None, *, wait: bool = False
) -> None:
    """Publish the incidents of a file; ends the command with 1 if any row failed.

    With `wait`, each chunk waits until a quorum of members holds it; after the first one that waits
    in vain the others don't.

    :raises IncidentFileError: the file as a whole can't be used; nothing was published.
    :raises NodeUnreachableError: the node went away; the message says how far it came.
    """
    output = session.output
    async with NodeClient.from_datadir(session.datadir.path) as node:
        rules = (await node.constraints()).constraints
        names = [str(name) for name, _ in rules["rubric"]["components"]]
        rows = read_incidents(path, form=None if form is None else form.value, components=names)
        done = _Done(session, wait=wait)
        with progress(output.err, quiet=output.as_json) as bar:
            task = bar.add_task("publishing", total=len(rows))
            for start in range(0, len(rows), CHUNK):
                chunk = rows[start : start + CHUNK]
                try:
                    results = await _send(node, chunk, wait)
                    wait = wait and all(one.published.certified for one in results if one.published)
                    done.take(chunk, results)
                except NodeUnreachableError as error:
                    raise NodeUnreachableError(
                        f"{error}; {done.summary()}, {len(rows) - start} rows not sent or unsure",
                        hint="start the node and run this again: nothing is published twice",
                    ) from error
                bar.advance(task, len(chunk))
    done.finish()


async def _send(node: NodeClient, chunk: Sequence[Row], wait: bool) -> list[BatchResult]:
    """Results for all rows of a chunk, those that hold no incident among them."""
    good = [row for row in chunk if row.incident is not None]
    sent: list[BatchResult] = []
    if good:
        try:
            sent = await node.report_many(
                [row.incident.model_dump() for row in good if row.incident is not None], wait=wait
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

    def __init__(self, session: Session, *, wait: bool) -> None:
        self._output = session.output
        self._wait = wait
        self._published = 0
        self._certified = 0
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
        self._certified += published.certified
        if self._output.as_json:
            self._output.item({"line": line, "ok": True, **published.model_dump()})

    def summary(self) -> str:
        """The counts in words."""
        parts = [f"{self._published} published"]
        if self._duplicates:
            parts.append(f"{self._duplicates} published before")
        if self._failures:
            parts.append(f"{len(self._failures)} failed")
        held = self._published + self._duplicates
        if self._wait and self._certified < held:
            parts.append(
                f"{self._certified} of {held} certified within ten seconds: see `orgnode alerts`"
            )
        elif self._certified:
            parts.append(f"{self._certified} certified")
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
