"""`orgnode feed`: what happens, as it happens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing
from typing import Annotated, cast

import typer
from rich import box
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orgnode.api.models import FeedItem
from orgnode.cli.render import Output, band_text, clean, moment, short_id
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.client import NodeClient

COLUMNS = ("time", "what", "issuer", "band", "category", "technique", "conf", "id / reason")
SPARED = ("technique", "conf")
WIDE = 100
"""Terminals with fewer columns are spared some."""

WHAT_STYLES = {
    "signal": "green",
    "retraction": "yellow",
    "refused": "bold red",
    "evidence": "bold red",
}


def feed(
    ctx: typer.Context,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on with what happens from now on; Ctrl-C ends it."),
    ] = False,
    min_band: Annotated[
        str | None, typer.Option(help="Only this band and above.", show_default=False)
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(help="Only this hazard code; repeatable.", show_default=False),
    ] = None,
    event_type: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help="Only signal, retraction, refused or evidence; repeatable.",
            show_default=False,
        ),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Start behind this event number; 0 for all that is kept.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[
        int, typer.Option(min=0, help="Without --after: how many past events to look at.")
    ] = 50,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Show the feed: signals, retractions, refused entries, evidence against logs."""
    session = session_of(ctx)
    try:
        session.run(_feed(session, follow, min_band, category or [], event_type or [], after, last))
    except KeyboardInterrupt:
        if not follow:
            raise
        # The normal end of following.


async def _feed(
    session: Session,
    follow: bool,
    min_band: str | None,
    categories: list[str],
    types: list[str],
    after: int | None,
    last: int,
) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        newest = (await node.status()).last_event
        start = max(0, newest - last) if after is None else after
        if follow:
            events = follow_feed(node, start, min_band, categories, types)
            async with aclosing(events):
                await _follow(session.output, events)
            return
        found = [
            item
            async for item in _until(node, start, newest)
            if wanted(item, min_band, categories, types)
        ]
    session.output.rows(
        COLUMNS,
        [item.model_dump(exclude_none=True) for item in found],
        [event_cells(item) for item in found],
        empty="nothing happened yet; --follow waits for it",
    )


def follow_feed(
    node: NodeClient,
    after: int,
    min_band: str | None = None,
    categories: Sequence[str] = (),
    types: Sequence[str] = (),
) -> AsyncGenerator[FeedItem, None]:
    """A node's feed as `aclosing` takes it: its connection ends with the caller's block."""
    events = node.feed(min_band=min_band, categories=categories, types=types, after=after)
    return cast(AsyncGenerator[FeedItem, None], events)


async def _until(node: NodeClient, start: int, newest: int) -> AsyncIterator[FeedItem]:
    """Yield the events behind `start` up to number `newest`."""
    if start >= newest:
        return
    # Without a filter, for only then does the newest event surely come and tell the end.
    async with aclosing(follow_feed(node, start)) as events:
        async for item in events:
            if item.seq <= newest:
                yield item
            if item.seq >= newest:
                return


def wanted(item: FeedItem, min_band: str | None, categories: list[str], types: list[str]) -> bool:
    """Whether an event passes the filters, as the node's own filter decides it.

    With a band or a category, refused entries are left out, for nothing about them is proven;
    evidence is about all signals of a log and passes.
    """
    if types and item.type not in (*types, "gap"):
        return False
    if item.signal is None:
        return item.type != "refused" or not (min_band or categories)
    if categories and item.signal.category not in categories:
        return False
    levels = ("low", "moderate", "high", "critical")
    return min_band is None or (
        min_band in levels and item.signal.band_level > levels.index(min_band)
    )


async def _follow(output: Output, events: AsyncIterator[FeedItem]) -> None:
    if output.as_json:
        async for item in events:
            output.item(item.model_dump(exclude_none=True))
    elif output.out.is_terminal:
        await _follow_live(output, events)
    else:
        async for item in events:
            output.out.print(event_line(item), soft_wrap=True)
            output.out.file.flush()


async def _follow_live(output: Output, events: AsyncIterator[FeedItem]) -> None:
    """A table at the bottom of the terminal that holds as many events as there is room for."""
    shown: deque[FeedItem] = deque(maxlen=200)
    with Live(console=output.out, auto_refresh=False, vertical_overflow="crop") as live:
        live.update(Text("waiting for events; Ctrl-C ends", style="dim"), refresh=True)
        async for item in events:
            shown.append(item)
            width, height = output.out.size
            table = feed_table(list(shown)[-max(3, height - 5) :], width=width)
            live.update(table, refresh=True)
            await asyncio.sleep(0)  # a burst must not keep Ctrl-C out


def feed_table(items: Collection[FeedItem], *, width: int, title: str = "") -> Table:
    """Events as a table, oldest first, one line each however narrow the terminal is."""
    made = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    shown = [place for place, name in enumerate(COLUMNS) if width >= WIDE or name not in SPARED]
    for place in shown:
        made.add_column(COLUMNS[place], no_wrap=True, overflow="ellipsis")
    for item in items:
        cells = event_cells(item)
        made.add_row(*(cells[place] for place in shown))
    return made


def event_cells(item: FeedItem) -> list[Text]:
    """One event, a cell for each of `COLUMNS`."""
    what = Text(clean(item.type), style=WHAT_STYLES.get(item.type, "bold"))
    time = Text(moment(item.at) if item.at is not None else "")
    signal = item.signal
    if signal is None:
        empty = [Text() for _ in range(4)]
        why = Text(clean(item.error or item.kind or item.reason or ""), style="red")
        return [time, what, Text(clean(item.issuer or "")), *empty, why]
    tail = short_id(signal.id)
    if item.type == "retraction" and item.reason:
        tail += f" {clean(item.reason)}"
    return [
        time,
        what,
        Text(clean(signal.issuer) + (" (own)" if signal.own else "")),
        band_text(signal.band),
        Text(clean(signal.category)),
        Text(clean(signal.technique or "")),
        Text("" if signal.confidence is None else str(signal.confidence)),
        Text(tail),
    ]


def event_line(item: FeedItem) -> Text:
    """One event on a line of its own, with the whole reason of a refusal."""
    cells = [cell for cell in event_cells(item) if cell.plain]
    if item.signal is None and item.reason and cells[-1].plain != item.reason:
        cells.append(Text(clean(item.reason)))
    return Text("  ").join(cells)
