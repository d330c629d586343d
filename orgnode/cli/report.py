"""`orgnode report`: publish one incident, or a whole file of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from orgnode.api.models import BandName, IncidentAnswer
from orgnode.cli.errors import CliError, UsageProblemError
from orgnode.cli.render import band_text, fields, waiting
from orgnode.cli.report_file import FileFormat, report_file
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.cli.signals import resolve
from orgnode.cli.vocabulary import known_category
from orgnode.client import ApiError, NodeClient

Score = Annotated[int | None, typer.Option(min=0, max=10, help="Score.", show_default=False)]


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
        str,
        typer.Option(
            help="AILuminate hazard code, such as ncr or prv; listed below.",
            callback=known_category,
            show_default=False,
        ),
    ] = "",
    technique: Annotated[
        str, typer.Option(help="MITRE ATLAS id, such as AML.T0054.", show_default=False)
    ] = "",
    capability_gain: Score = None,
    breadth: Score = None,
    ease_of_weaponization: Score = None,
    discoverability: Score = None,
    component: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=SCORE, for a mesh whose rubric has other components; repeatable.",
            metavar="NAME=SCORE",
            show_default=False,
        ),
    ] = None,
    confidence: Annotated[int, typer.Option(min=0, max=100, help="Percent.")] = 80,
    band: Annotated[
        BandName | None,
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
    derived_from: Annotated[
        str | None,
        typer.Option(
            help="The signal that you warn because of, if you have not met the attack yourself: "
            "its id, or its first digits. Lowers the confidence to 80 % of its own.",
            metavar="ID",
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
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Until a quorum of members holds it, at most ten seconds; before that it counts "
            "nowhere. Exit code 0 either way: it is published.",
        ),
    ] = False,
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
    for name, score in _named_scores(component or []):
        if name in components:
            raise UsageProblemError(
                f"the component {name[:60]} is given twice", hint="give it once"
            )
        components[name] = score
    if file is not None:
        single = (text, text_file, category, technique, reference, band, barrier, derived_from)
        if components or any(single):
            raise UsageProblemError(
                "--file goes without the options of a single incident",
                hint="put text, scores and the rest into the file's columns",
            )
        session.run(report_file(session, file, form, wait=wait))
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
        "derived_from": derived_from,
    }
    session.run(_report_one(session, incident, wait))


def _named_scores(pairs: Sequence[str]) -> Iterator[tuple[str, int]]:
    for pair in pairs:
        name, equals, score = pair.partition("=")
        if not equals or not (score.isascii() and score.isdigit()):
            raise UsageProblemError("--component takes NAME=SCORE", hint="such as breadth=7")
        yield name, int(score)


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


async def _report_one(session: Session, incident: dict[str, Any], wait: bool) -> None:
    output = session.output
    async with NodeClient.from_datadir(session.datadir.path) as node:
        if incident["derived_from"] is not None:
            incident = {**incident, "derived_from": await resolve(node, incident["derived_from"])}
        with waiting(
            output.err,
            f"publishing{', and waiting until a quorum of members holds it' if wait else ''}",
            quiet=output.as_json,
        ):
            published = await _sent(node, incident, wait)
    lowered = _lowered(incident, published)
    if output.as_json:
        output.item({**published.model_dump(), **lowered})
        return
    session.output.say(
        "An incident with this reference was published before, as this signal; nothing was added."
        if published.duplicate
        else "Published.",
        "bold green",
    )
    session.output.show(
        fields(
            [
                ("signal", published.signal),
                ("band", band_text(published.band)),
                ("confidence", _confidence(published, lowered)),
                ("place in the log", published.index),
                ("incident in the vault", published.incident),
                ("certified", _certified(published, wait)),
            ]
        )
    )
    if wait and not published.certified:
        session.output.say(
            "It is published, and is certified as soon as enough members answer. Who does not: "
            f"`orgnode peers`, `orgnode alerts`. Whether it is: `orgnode show "
            f"{published.signal[:12]}`."
        )


async def _sent(node: NodeClient, incident: dict[str, Any], wait: bool) -> IncidentAnswer:
    try:
        return await node.report(**incident, wait=wait)
    except ApiError as error:
        # The node speaks of its API's field.
        error.hint = error.hint.replace("`derived_from`", "`--derived-from`")
        raise


def _lowered(incident: dict[str, Any], published: IncidentAnswer) -> dict[str, Any]:
    """From what confidence a derived signal was lowered, and because of which parent."""
    asked, made = incident["confidence"], published.confidence
    parent = incident["derived_from"]
    if parent is None or published.duplicate or made is None or made >= asked:
        return {}
    return {"lowered_from": asked, "derived_from": parent}


def _confidence(published: IncidentAnswer, lowered: dict[str, Any]) -> str:
    if published.confidence is None:
        return "erased"
    if not lowered:
        return f"{published.confidence} %"
    return (
        f"{published.confidence} %, lowered from {lowered['lowered_from']} %: its parent "
        f"{lowered['derived_from'][:12]} allows no more"
    )


def _certified(published: IncidentAnswer, waited: bool) -> str:
    if published.certified:
        return "yes: a quorum of members holds it"
    missing = " within ten seconds" if waited else ""
    return f"not yet{missing}: it counts when a quorum of members holds it"
