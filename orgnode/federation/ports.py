"""What the federation side needs of the rest of the node, as protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ParamSpec, Protocol, TypeVar

from mesh.assessment import Assessed
from mesh.claims import Claim
from mesh.days import Day
from proofs.errors import ProofsError

P = ParamSpec("P")
T = TypeVar("T")

Today = Callable[[], Day]
Clock = Callable[[], float]
OnAssessed = Callable[[str, Sequence[Assessed]], None]


class Line(Protocol):
    """One warm way to one peer: a request goes out, the bytes of its answer come back.

    `HttpLine` is the one over mutual TLS; a simulator has its own. Whatever a peer can do to a
    request ends in one of the four errors of `ask`, so that callers see no transport.
    """

    async def ask(
        self,
        method: str,
        path: str,
        *,
        cap: int,
        deadline: float,
        body: bytes | None = None,
        evaluation: bool = False,
    ) -> bytes:
        """The body of a 200 answer, at most `cap` bytes, whole within `deadline` seconds.

        `evaluation`: on connections apart from those for the logs.

        :raises PeerUnreachableError, WrongPeerError, PeerTimeoutError: there is no whole answer.
        :raises PeerAnswerError: the answer is another one (`orgnode.federation.reply.unwrap`).
        """
        ...

    async def close(self) -> None:
        """Close what is open; a later `ask` opens it anew."""
        ...


class Workers(Protocol):
    """Where heavy work runs, off the event loop."""

    async def verify(self, claims: Sequence[Claim]) -> list[ProofsError | None]:
        """Verdicts on signals' proofs, in the claims' order; None for one that holds."""
        ...

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short blocking function in a thread."""
        ...

    async def heavy(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of up to a second where nothing short ever waits for it."""
        ...


class QuickWorkers(Protocol):
    """Where the arithmetic of a single evaluation runs, off the event loop."""

    async def quick(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of a few milliseconds in a thread where nothing longer is ever run."""
        ...
