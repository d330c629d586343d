"""How a liar differs from an honest node: what leaves it, and what it does of its own accord."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, ClassVar, Final

from mesh.entry import Kind
from orgnode.federation.errors import PeerError
from orgnode.federation.reply import NOT_SERVED, Reply, json_reply
from orgnode.testing.simline import SimRequest
from orgnode.testing.simnode import Parts

if TYPE_CHECKING:
    from orgnode.testing.byzantine import Liar


NOT_SERVED_REPLY: Final = json_reply({"error": {"code": NOT_SERVED, "message": "no"}}, 404)
"""What a liar answers who has something and hides it."""


class Conduct:
    """An honest node's behaviour; each subclass changes some of it."""

    forges: ClassVar[frozenset[Kind]] = frozenset()
    """Kinds of entries that it publishes and nobody may accept."""

    def __init__(self, node: Liar, rng: Random) -> None:
        self.node = node
        self.rng = rng

    def parts(self, parts: Parts) -> Parts:
        """What the node is put together from."""
        return parts

    def asks(self, peer: str, request: SimRequest) -> SimRequest | None:
        """What it sends instead of a request; None for nothing."""
        return request

    def answers(self, sender: str, request: SimRequest, reply: Reply) -> Reply:
        """What it answers instead."""
        return reply

    async def mischief(self) -> None:
        """What it does of its own accord, from each start."""

    @property
    def peers(self) -> list[str]:
        """The other members."""
        return list(self.node.replicator.clients)

    async def send(self, peer: str, request: SimRequest) -> None:
        """Send something, whatever becomes of it."""
        try:
            await self.node.honest_line(peer).ask(
                request.method, request.path, cap=1 << 22, deadline=5.0, body=request.body
            )
        except PeerError:
            return  # a liar does not care
