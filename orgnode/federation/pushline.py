"""The line to one peer on which the own log is published: what the peer has, what is due next."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from orgnode.federation.backoff import Backoff
from orgnode.federation.client import PeerClient


@dataclass
class PushLine:
    """How one peer stands to the own log. Every number is the peer's word, and checked nowhere.

    `held`: entries that it holds, None when that is not known.
    `certified`: entries whose certificate it has. `witnessed`: the size that it cosigned last.
    `round`: number of the newest round in which it did its part; `ready`: when it may be told of
    what came since, if that round is still open then. `cosigning`: how often its witness refused;
    `cosign_at`: when to ask it again. `best`: the most that it ever had. `tried`: how far the last
    announcement went; `retry_at`: when to try again after a failure.
    `receipted`: size of the own log at which no receipt of it was missing; `receipts_at`: when to
    ask for those that are. Times are the event loop's.
    """

    client: PeerClient
    backoff: Backoff
    cosigning: Backoff
    held: int | None = None
    certified: int = 0
    witnessed: int = 0
    round: int = 0
    ready: float = 0.0
    cosign_at: float = 0.0
    best: tuple[int, int] = (-1, -1)
    tried: int = 0
    retry_at: float = 0.0
    receipted: int = -1
    receipts_at: float = 0.0
    receipt_tries: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    alive: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def peer(self) -> str:
        """The peer's name."""
        return self.client.card.name

    @property
    def last_held(self) -> int:
        """Entries that it held when it was last heard of."""
        return max(0, self.best[0]) if self.held is None else self.held

    def answered(self, held: int, certified: int) -> bool:
        """Take what the peer says that it has; returns whether it never had as much."""
        self.held, self.certified = held, certified
        further = held > self.best[0] or certified > self.best[1]
        self.best = max(held, self.best[0]), max(certified, self.best[1])
        return further
