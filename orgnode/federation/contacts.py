"""When each peer was last heard of, and what went wrong with it last."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from orgnode.federation.errors import PeerTimeoutError, PeerUnreachableError
from orgnode.federation.ports import Clock

_SILENT: Final = frozenset({PeerUnreachableError.__name__, PeerTimeoutError.__name__})
"""What an exchange fails with when the peer is not there."""


class Contacts:
    """Remembers, for every peer, its last sign of life and its last failure of each kind.

    `alive` is called with the peer's name at every sign of life. There are as many kinds of
    exchange as there are logs, and a few more, so what is kept is bounded.
    """

    def __init__(self, peers: Iterable[str], clock: Clock, alive: Callable[[str], None]) -> None:
        self._clock = clock
        self._alive = alive
        self._last: dict[str, float | None] = dict.fromkeys(peers)
        self._errors: dict[str, dict[str, str]] = {peer: {} for peer in self._last}

    def heard(self, peer: str) -> None:
        """The peer asked something: whatever found it silent before is over."""
        errors = self._errors[peer]
        for exchange in [kind for kind, name in errors.items() if name in _SILENT]:
            del errors[exchange]
        self._answered(peer)

    def worked(self, peer: str, exchange: str) -> None:
        """An exchange of this kind went as it should: whoever waits for the peer may go on."""
        self.forget(peer, exchange)
        self._answered(peer)

    def went_on(self, peer: str, exchange: str) -> None:
        """One more exchange of this kind went as it should; that the peer lives is known."""
        self.forget(peer, exchange)
        self._last[peer] = self._clock()

    def failed(self, peer: str, exchange: str, error: BaseException) -> None:
        """An exchange of this kind failed; failures of this node are not the peer's."""
        self._errors[peer][exchange] = type(error).__name__

    def forget(self, peer: str, exchange: str) -> None:
        """An exchange of this kind is of no concern any more, however it went last."""
        self._errors[peer].pop(exchange, None)

    def _answered(self, peer: str) -> None:
        self._last[peer] = self._clock()
        self._alive(peer)

    def last(self, peer: str) -> float | None:
        """When the peer was last heard of, in seconds of the clock; None if never."""
        return self._last[peer]

    def error(self, peer: str) -> str:
        """Name of what an exchange with the peer failed with last, "" if all worked."""
        return next(iter(self._errors[peer].values()), "")
