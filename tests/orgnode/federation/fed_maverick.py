"""A peer that holds a real member's keys, speaks real TLS, and answers whatever a test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Reply:
    """One HTTP answer, byte for byte. `pace`: seconds between single bytes; `hang`: never ends."""

    body: bytes = b""
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    length: int | None = None
    pace: float = 0.0
    hang: bool = False
    raw: bytes | None = None

    def encode(self) -> bytes:
        if self.raw is not None:
            return self.raw
        length = len(self.body) if self.length is None else self.length
        head = [f"HTTP/1.1 {self.status} Whatever", f"Content-Length: {length}"]
        head += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + self.body


Answer = Callable[[str, str, bytes], "Reply | bytes | None"]


@dataclass
class MaverickServer:
    """Answers `answer(method, path, body)`: a Reply, bytes for a plain 200, None for a 404."""

    context: ssl.SSLContext
    answer: Answer
    asked: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> MaverickServer:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, ssl=self.context, ssl_shutdown_timeout=0.2
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.sources.append(writer.get_extra_info("peername")[0])
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split("\r\n", 1)[0].split(" ")
        length = 0
        for line in head.split("\r\n")[1:]:
            if line.lower().startswith("content-length:"):
                length = int(line.split(":")[1])
        body = await reader.readexactly(length)
        self.asked.append(f"{method} {path}")
        reply = self.answer(method, path, body)
        if reply is None:
            reply = Reply(status=404)
        elif isinstance(reply, bytes):
            reply = Reply(reply)
        if reply.hang:
            await asyncio.Event().wait()
        data = reply.encode()
        if reply.pace:
            for at in range(len(data)):
                writer.write(data[at : at + 1])
                await writer.drain()
                await asyncio.sleep(reply.pace)
        else:
            writer.write(data)
            await writer.drain()
        return reply.raw is None and (reply.length is None or reply.length == len(reply.body))
