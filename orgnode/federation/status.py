"""How it goes with one peer, for people and for metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PeerStatus:
    """How this node and one peer stand to each other.

    `size` entries of the peer's log are held here, of which `certified` are certified; the peer
    has signed `signed`. `last_contact` is when it last answered or asked (Unix seconds, None if it
    has not since the start); `error` names what the last attempt failed with ("" if it worked);
    `suspended` names the kind of evidence against its log ("" if there is none).

    The other way round: the peer holds `their_size` entries of the own log (None until it has
    said so) and lacks `behind` entries of all logs together by the last vector that it sent, since
    `behind_since` (Unix seconds, None if it lacks nothing).
    """

    name: str
    size: int
    signed: int
    last_contact: float | None
    error: str
    suspended: str
    certified: int = 0
    their_size: int | None = None
    behind: int = 0
    behind_since: float | None = None

    @property
    def lag(self) -> int:
        """Entries that the peer has signed and this node does not hold."""
        return max(0, self.signed - self.size)
