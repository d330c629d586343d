"""What the demonstration shows while it runs: phases with their times, and one live feed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.text import Text

from orgnode.api.models import FeedItem
from orgnode.cli.feed_view import event_line, feed_table

ROWS: Final = 14
"""Events that the live feed shows at once."""


class View:
    """Prints phases. On a terminal they are rules with colour; in a pipe, plain lines."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._number = 0

    @contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """Print a phase's title before it and its time after it."""
        self._number += 1
        self.console.print(Rule(Text(f" {self._number}  {title} ", style="bold"), align="left"))
        started = time.monotonic()
        yield
        self.say(f"   {time.monotonic() - started:.1f} s", "dim")

    def show(self, renderable: RenderableType) -> None:
        """Print a table or a styled text."""
        # Lines break between words for people, and not at all for programs that read a pipe.
        soft = isinstance(renderable, Text) and not self.console.is_terminal
        self.console.print(renderable, soft_wrap=soft)

    def command(self, text: str) -> None:
        """Print a command to copy: on one line, however narrow the terminal is."""
        self.console.print(Text(f"   {text}"), soft_wrap=True)

    def say(self, text: str, style: str = "") -> None:
        """Print a line."""
        self.show(Text(text, style=style))


class LiveFeed:
    """One organization's feed: a moving table on a terminal, a line for each event in a pipe."""

    def __init__(self, console: Console, org: str, total: int) -> None:
        self._console = console
        self._org = org
        self._total = total
        self._reported = 0
        self._seen: deque[FeedItem] = deque(maxlen=ROWS)
        self._count = 0
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(self._render(), console=self._console, refresh_per_second=12)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.update(self._render(), refresh=True)
            self._live.stop()

    def reported(self) -> None:
        """Count one more incident that was handed to its node."""
        self._reported += 1
        if self._live is not None:
            self._live.update(self._render())

    def observe(self, org: str, item: FeedItem) -> None:
        """Show an event if it is in this organization's feed."""
        if org != self._org:
            return
        self._count += 1
        self._seen.append(item)
        if self._live is not None:
            self._live.update(self._render())
        else:
            self._console.print(event_line(item), soft_wrap=True)

    def _render(self) -> Group:
        status = Text(
            f"{self._reported} of {self._total} incidents reported, {self._count} events", "dim"
        )
        title = f"feed of {self._org}"
        return Group(feed_table(self._seen, width=self._console.width, title=title), status)
