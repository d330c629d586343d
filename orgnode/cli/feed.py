"""`orgnode feed`: what happens, as it happens."""

from __future__ import annotations

import asyncio
import io
import select
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import IO, Annotated, Any, Final, cast

import typer

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
    provisional: Annotated[
        bool,
        typer.Option(
            "--provisional", help="Signals too that no quorum of members has cosigned yet."
        ),
    ] = False,
    after: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Start behind this event number; 0 for all that is kept.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[
        int, typer.Option(min=0, help="Without --after: how many past events to show.")
    ] = 50,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Show the feed: signals and what became of them, promotions, refusals, proofs of faults.

    A signal comes when a quorum of members holds it; with --provisional once before that too.
    """
    session = session_of(ctx)
    wanted = Wanted(min_band, category or (), event_type or (), provisional)
    try:
        session.run(_feed(session, follow, wanted, after, last))
    except KeyboardInterrupt:
        if not follow:
            raise
        # The normal end of following.


@dataclass(frozen=True)
class Wanted:
    """Which events to show, as the node is asked for them; by default all that count."""

    min_band: str | None = None
    categories: Sequence[str] = ()
    types: Sequence[str] = ()
    provisional: bool = False

    @property
    def everything(self) -> bool:
        """Whether nothing was chosen."""
        return not (self.min_band or self.categories or self.types)


EVERYTHING: Final = Wanted()


async def _feed(
    session: Session, follow: bool, wanted: Wanted, after: int | None, last: int
) -> None:
    async with NodeClient.from_datadir(session.datadir.path) as node:
        newest = (await node.status()).last_event
        found = []
        if after is None or not follow:
            found = await _past(node, newest, wanted, after, last)
        if follow:
            start = newest if after is None else after
            if found:
                start = found[0].seq - 1
            await _until_interrupted(
                _follow(session.output, lambda told: follow_feed(node, start, wanted, told))
            )
            return
    output = session.output
    if output.as_json:
        for item in found:
            output.item(item.model_dump(exclude_none=True))
    elif found:
        output.show(feed_table(found, width=output.out.width))
    else:
        output.say(_nothing(newest, wanted, after, last), "dim")


def _nothing(newest: int, wanted: Wanted, after: int | None, last: int) -> str:
    """Why no event is shown."""
    if not newest:
        return "nothing happened yet; --follow waits for it"
    if after is None and not last:
        return "--last 0 shows nothing of the past; with --follow, what happens from now on"
    if after is not None and after >= newest:
        return f"nothing happened behind event {after} yet; the newest is {newest}"
    if not wanted.everything:
        return "no event matches; --provisional shows those too that no quorum has cosigned yet"
    return "nothing counts yet; --provisional shows what no quorum has cosigned yet"


async def _past(
    node: NodeClient, newest: int, wanted: Wanted, after: int | None, last: int
) -> list[FeedItem]:
    """The events up to number `newest`: those behind `after`, or else the `last` that match.

    What matches may lie far back, and a node tells its past forwards only: it is asked for twice as
    many events at each step.
    """
    if after is not None:
        return [item async for item in _until(node, after, newest, wanted)]
    found: list[FeedItem] = []
    end, width = newest, last
    while end > 0 and len(found) < last:
        start = max(0, end - width)
        page = [item async for item in _until(node, start, end, wanted)]
        found = [*page, *found]
        if any(item.type == "gap" for item in page):
            break  # nothing older is kept
        end, width = start, 2 * width
    return found[-last:] if last else []


def follow_feed(
    node: NodeClient,
    after: int,
    wanted: Wanted = EVERYTHING,
    connection: Callable[[bool], None] = lambda _: None,
    *,
    cursors: bool = False,
) -> AsyncGenerator[FeedItem, None]:
    """A node's feed as `aclosing` takes it: its connection ends with the caller's block."""
    events = node.feed(
        min_band=wanted.min_band,
        categories=wanted.categories,
        types=wanted.types,
        provisional=wanted.provisional,
        after=after,
        cursors=cursors,
        connection=connection,
    )
    return cast(AsyncGenerator[FeedItem, None], events)


async def _until(
    node: NodeClient, start: int, newest: int, wanted: Wanted
) -> AsyncIterator[FeedItem]:
    """Yield the events behind `start` up to number `newest`."""
    if start >= newest:
        return
    # The newest event may be one that the filter keeps back: a cursor tells the end then.
    async with aclosing(follow_feed(node, start, wanted, cursors=True)) as events:
        async for item in events:
            if item.type != "cursor" and item.seq <= newest:
                yield item
            if item.seq >= newest:
                return


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
