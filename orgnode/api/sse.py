"""The feed as server-sent events (WHATWG HTML, section 9.2): batches from the hub onto a socket.

Besides the store's events a stream has a few of its own, which carry where to go on:

- `cursor` (with an id): nothing more to send up to here; sent at the start, when the past has been
  sent, and instead of silence when a filter passes nothing for a while, so that resuming never
  means scanning it all again;
- `gap` (with an id): what lay between the subscriber's cursor and this id can't be had any more;
- `dropped`: the subscriber did not take what was sent; reconnect behind `resume`;
- `bye`: the node is shutting down; reconnect behind `resume` when it is back.

A subscriber is never dropped for how far it is behind as long as it takes what it is sent.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import HttpVersion11, web

from orgnode.feed import FeedHub, Subscription
from orgnode.metrics import Metrics
from orgnode.store import FeedFilter

log = structlog.get_logger(__name__)

RETRY_MILLISECONDS: Final = 1_000
"""How long a browser's EventSource waits before it reconnects."""

STALL_SECONDS: Final = 10.0
"""How long a socket may take nothing before its subscriber is dropped."""

PATIENCE_SECONDS: Final = 1.0
"""How long a live subscriber's socket must have taken nothing before falling behind counts."""

CLOSE_SECONDS: Final = 5.0
"""How long a dropped subscriber has to read what it had been sent, the reason last."""

_LOOK_SECONDS = 0.25
_TICK_SECONDS = 1.0
_LINGER_SECONDS = 0.05
_HEARTBEAT = b": heartbeat\n"

HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class FeedLimits:
    """When a feed connection speaks without news, and when it is given up. Seconds, and events."""

    heartbeat_seconds: float = 15.0
    buffer_events: int = 1_000
    stall_seconds: float = STALL_SECONDS
    close_seconds: float = CLOSE_SECONDS


class _DroppedError(Exception):
    """The subscriber is too slow; the reason is for it and for the metrics."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def control(kind: str, data: Mapping[str, object], seq: int | None = None) -> bytes:
    """Encode an event of the stream itself; with `seq` it moves the subscriber's cursor."""
    line = "" if seq is None else f"id: {seq}\n"
    return f"{line}event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


async def stream(
    request: web.Request,
    hub: FeedHub,
    wanted: FeedFilter,
    after: int | None,
    limits: FeedLimits,
    metrics: Metrics,
) -> web.StreamResponse:
    """Serve one subscriber until it leaves, is dropped, or the hub closes.

    Raises TooManySubscribersError before anything is sent.
    """
    with hub.subscribe(wanted, after) as subscription:
        response = web.StreamResponse(headers=HEADERS)
        response.force_close()
        await response.prepare(request)
        connection = _Connection(request, response, hub, subscription, limits, metrics)
        try:
            await connection.run()
        except _DroppedError as dropped:
            metrics.feed_dropped.labels(dropped.reason).inc()
            log.warning("feed.dropped", reason=dropped.reason, resume=subscription.cursor)
            connection.end("dropped", reason=dropped.reason)
        except ConnectionError:
            log.debug("feed.left", seq=subscription.cursor)
    await connection.linger()  # its place is free for others already
    return response


class _Connection:
    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        hub: FeedHub,
        subscription: Subscription,
        limits: FeedLimits,
        metrics: Metrics,
    ) -> None:
        self._transport = request.transport
        self._chunked = request.version >= HttpVersion11
        self._response = response
        self._hub = hub
        self._subscription = subscription
        self._limits = limits
        self._metrics = metrics
        self._sent = -1  # the last id that the subscriber was given

    async def run(self) -> None:
        hub, subscription = self._hub, self._subscription
        await self._write(f"retry: {RETRY_MILLISECONDS}\n".encode() + self._opening())
        quiet_since, told = time.monotonic(), not subscription.behind
        while not hub.closed:
            batch = subscription.read()
            if batch is not None:
                if batch.count:
                    await self._write(batch.data)
                    self._sent = batch.last
                    self._metrics.feed_deliveries.inc(batch.count)
                    quiet_since = time.monotonic()
                    await asyncio.sleep(0)  # a long replay must not starve the others
                continue
            if not told:
                # Who asked for the past knows now that it is over, whatever the filter kept back.
                told = True
                await self._write(self._heartbeat())
                continue
            if self._transport is None or self._transport.is_closing():
                return
            quiet = time.monotonic() - quiet_since
            if quiet >= self._limits.heartbeat_seconds:
                await self._write(self._heartbeat())
                quiet_since, quiet = time.monotonic(), 0.0
            # Short waits: a subscriber that left is noticed within a second, not a heartbeat.
            await subscription.wait(min(_TICK_SECONDS, self._limits.heartbeat_seconds - quiet))
        self.end("bye", reason="the node is shutting down")

    def _opening(self) -> bytes:
        gap, cursor = self._subscription.gap, self._subscription.cursor
        self._sent = cursor
        said: dict[str, object] = {
            "seq": cursor,
            "heartbeat": self._limits.heartbeat_seconds,
        }
        if gap is None:
            return control("cursor", said, cursor)
        return control("gap", {**said, "after": gap.after, "reason": gap.reason}, cursor)

    def _heartbeat(self) -> bytes:
        cursor = self._subscription.cursor
        if cursor == self._sent:
            return _HEARTBEAT
        self._sent = cursor
        return control("cursor", {"seq": cursor}, cursor)

    async def _write(self, data: bytes) -> None:
        """Hand bytes to the socket and wait until it wants more, or until waiting is over."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._response.write(data)
        except TimeoutError:
            # The bytes are in the transport's buffer; what takes time is its draining.
            await self._watch_drain(time.monotonic() - _LOOK_SECONDS)

    async def _watch_drain(self, since: float) -> None:
        transport, subscription = self._transport, self._subscription
        if transport is None:
            raise ConnectionResetError("the subscriber left")
        low, _high = transport.get_write_buffer_limits()
        left = transport.get_write_buffer_size()
        while left > low and not self._hub.closed:
            if transport.is_closing():
                raise ConnectionResetError("the subscriber left")
            await asyncio.sleep(_LOOK_SECONDS)
            now, size = time.monotonic(), transport.get_write_buffer_size()
            if size < left:
                left, since = size, now  # slowly, but it takes what it is sent
            if now - since >= self._limits.stall_seconds:
                raise _DroppedError("stalled")
            if (
                subscription.live
                and now - since >= PATIENCE_SECONDS
                and subscription.behind > self._limits.buffer_events
            ):
                raise _DroppedError("behind")

    def end(self, kind: str, reason: str) -> None:
        """Send the last event and close; what the transport still holds it goes on sending."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        resume = self._subscription.cursor
        chunk = control(kind, {"reason": reason, "resume": resume})
        # Framed by hand and past the response, whose own write would wait for the socket.
        transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(chunk), chunk) if self._chunked else chunk)
        transport.close()

    async def linger(self) -> None:
        """Let the transport send what it still holds, for a little; then cut it."""
        transport = self._transport
        if transport is None:
            return
        try:
            async with asyncio.timeout(self._limits.close_seconds):
                while transport.get_write_buffer_size():  # noqa: ASYNC110 - nothing to wait on
                    await asyncio.sleep(_LINGER_SECONDS)
        except TimeoutError:
            log.debug("feed.cut", seq=self._subscription.cursor)
        finally:
            transport.abort()
