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


class Workers(Protocol):
    """Where heavy work runs, off the event loop."""

    async def verify(self, claims: Sequence[Claim]) -> list[ProofsError | None]:
        """Verdicts on signals' proofs, in the claims' order; None for one that holds."""
        ...

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short blocking function in a thread."""
        ...


class QuickWorkers(Protocol):
    """Where the arithmetic of a single evaluation runs, off the event loop."""

    async def quick(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of a few milliseconds in a thread where nothing longer is ever run."""
        ...
