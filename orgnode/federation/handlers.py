"""What `FederationService` needs of the parts of a node that answer members' requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mesh.wire import Announcement
from orgnode.federation.reply import Reply

OnAnnounce = Callable[[str, Announcement], Awaitable[tuple[int, int]]]
OnCheckpoint = Callable[[str, bytes], Awaitable[Reply]]
OnNote = Callable[[str, bytes], Awaitable[bytes]]
OnReceipt = Callable[[str, str], Awaitable[bytes | None]]
Run = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Handlers:
    """The parts of a node that answer. The first argument is always the member that asks.

    They raise OrgnodeError, MeshError or ProofsError; `FederationService` has the status for each.
    """

    announce: OnAnnounce
    """Takes the announcement; the size up to which the log is held here, and is certified."""
    add_checkpoint: OnCheckpoint
    """Answers a witness request (its bytes): `note_reply` of the signature lines, or raises."""
    gossip: OnNote
    """Takes the asker's vector (`mesh.vector`), returns this node's."""
    receipt: OnReceipt
    """The signed receipt for the retraction with this id, None if there is none to give."""
    evaluate: OnNote | None = None
    """Answers a signed request for evaluation; None without a seat."""
    counts: Callable[[], bytes] | None = None
    """The signed note of what was evaluated today; None without a seat."""
    may_serve: Callable[[str], bool] = lambda _: True
    """Whether this member's log is served now (not the own one while it is being recovered)."""
    run: Run = asyncio.to_thread
    """Runs a long read of the store: `run(fn, *args)`, in a thread, or at once in a simulator."""
