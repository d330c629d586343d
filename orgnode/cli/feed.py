"""`orgnode feed`: what happens, as it happens."""

from __future__ import annotations

import asyncio
import io
import select
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import IO, Annotated, Any, Final, cast

import typer

from mesh.constraints import BAND_NAMES
from orgnode.api.models import BandName, FeedItem
from orgnode.cli.feed_view import BACK, LOST, LiveTable, event_line, feed_table
from orgnode.cli.render import Output
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.cli.vocabulary import known_categories, known_types
from orgnode.client import NodeClient
from orgnode.store import EVENT_TYPES

READER_SECONDS: Final = 1.0
"""How often to look whether anybody still reads what is piped to them."""


def feed(
    ctx: typer.Context,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on with what happens from now on; Ctrl-C ends it."),
    ] = False,
    min_band: Annotated[
        BandName | None, typer.Option(help="Only this band and above.", show_default=False)
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this hazard code; repeatable.",
            callback=known_categories,
            show_default=False,
        ),
    ] = None,
    event_type: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help=f"Only this type of event: {', '.join(EVENT_TYPES)}; repeatable.",
            callback=known_types,
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
    """Show the feed: signals and what became of them, promotions, refusals, proofs of faults."""
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
            await _until_interrupted(
                _follow(
                    session.output,
                    lambda told: follow_feed(node, start, min_band, categories, types, told),
                )
            )
            return
        found = [
            item
            async for item in _until(node, start, newest)
            if wanted(item, min_band, categories, types)
        ]
    output = session.output
    if output.as_json:
        for item in found:
            output.item(item.model_dump(exclude_none=True))
    elif found:
        output.show(feed_table(found, width=output.out.width))
    else:
        output.say(
            "no event matches; look further back with --last or --after 0"
            if newest > start and (min_band or categories or types)
            else "nothing happened yet; --follow waits for it",
            "dim",
        )


def follow_feed(
    node: NodeClient,
    after: int,
    min_band: str | None = None,
    categories: Sequence[str] = (),
    types: Sequence[str] = (),
    connection: Callable[[bool], None] = lambda _: None,
) -> AsyncGenerator[FeedItem, None]:
    """A node's feed as `aclosing` takes it: its connection ends with the caller's block."""
    events = node.feed(
        min_band=min_band,
        categories=categories,
        types=types,
        after=after,
        connection=connection,
    )
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

    With a band or a category, refused entries are left out, for nothing about them is proven, and
    promotions, which have neither; evidence is about all signals of a log and passes.
    """
    if types and item.type not in (*types, "gap"):
        return False
    if item.signal is None:
        return item.type not in ("refused", "promotion") or not (min_band or categories)
    if categories and item.signal.category not in categories:
        return False
    return min_band is None or item.signal.band_level > BAND_NAMES.index(min_band)


async def _until_interrupted(following: Coroutine[Any, Any, None]) -> None:
    """Follow until Ctrl-C or SIGTERM, the normal ends of following.

    Handled here and not left to the interpreter: a shell starts what runs in the background with
    SIGINT ignored, and a script could then never end what it follows.
    """
    task = asyncio.ensure_future(following)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise


Follow = Callable[[Callable[[bool], None]], AsyncGenerator[FeedItem, None]]
"""Opens the feed, given whom to tell when its connection is lost (False) and back (True)."""


async def _follow(output: Output, follow: Follow) -> None:
    if output.out.is_terminal and not output.as_json:
        with LiveTable(output.out) as live:
            async with aclosing(follow(live.connection)) as events:
                async for item in events:
                    live.take(item)
                    await asyncio.sleep(0)  # a burst must not keep Ctrl-C out
        return

    def told(up: bool) -> None:
        output.notice(BACK if up else LOST, "yellow")

    async with aclosing(follow(told)) as events:
        await _while_read(output.out.file, _print(output, events))


async def _print(output: Output, events: AsyncIterator[FeedItem]) -> None:
    async for item in events:
        if output.as_json:
            output.item(item.model_dump(exclude_none=True))
        else:
            output.out.print(event_line(item), soft_wrap=True)
            output.out.file.flush()


async def _while_read(stream: IO[str], printing: Coroutine[Any, Any, None]) -> None:
    """Print until nobody reads it any more.

    Writing would say so as well, but only with the next event, and `feed --follow | head -1` would
    hang until there is one.
    """
    tasks = [asyncio.ensure_future(printing), asyncio.ensure_future(_reader_gone(stream))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _reader_gone(stream: IO[str]) -> None:
    """Return when the pipe that is written to has lost its reader; never for anything else."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except (io.UnsupportedOperation, ValueError):
        await asyncio.Event().wait()  # no file of the system
    while not poll.poll(0):  # noqa: ASYNC110 - the system tells nobody; it must be asked
        await asyncio.sleep(READER_SECONDS)
