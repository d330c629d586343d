"""Closing a listening socket at the worst moment."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import suppress

import pytest

from orgnode.listening import Crowd, close_listening, listen

HOST = "127.0.0.1"


@pytest.mark.parametrize("turns", range(4))
async def test_a_connection_that_was_just_accepted_is_not_forgotten(turns: int) -> None:
    """Whenever the server is closed: whoever had connected is served, or told that it is over."""
    made: list[asyncio.StreamWriter] = []
    (bound,) = await listen(HOST, 0, Crowd(10))
    server = await asyncio.start_server(lambda _, writer: made.append(writer), sock=bound)
    with socket.create_connection(bound.getsockname()[:2]) as peer:
        peer.setblocking(False)
        for _ in range(turns):
            await asyncio.sleep(0)
        await close_listening([server])
        await asyncio.sleep(0)
        gc.collect()  # a forgotten connection would be a warning, which is an error here
        for writer in made:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):
                assert await asyncio.get_running_loop().sock_recv(peer, 1) == b""
    assert not server.is_serving()
