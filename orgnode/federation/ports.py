"""What the federation side needs of the rest of the node, as protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ParamSpec, Protocol, TypeVar

from mesh.assessment import Assessed
from mesh.days import Day
from proofs.errors import ProofsError
from proofs.severity import Statement

P = ParamSpec("P")
T = TypeVar("T")

Claim = tuple[Statement, bytes]
Today = Callable[[], Day]
Clock = Callable[[], float]
OnAssessed = Callable[[str, Sequence[Assessed]], None]


class Workers(Protocol):
    """Where heavy work runs, off the event loop."""

    async def verify(self, claims: Sequence[Claim]) -> list[ProofsError | None]:
        """Verdicts on severity proofs, in the claims' order; None for one that holds."""
        ...

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short blocking function in a thread."""
        ...
