"""Members that lie: a whole node, with what leaves it altered on the way out.

Each `Conduct` is one way to lie. An equivocating member is two whole nodes with the same keys and
different disks, of which every other member meets one ("twins").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from mesh.testing.members import TestMember
from mesh.testing.virtualtime import Machine
from orgnode.errors import OrgnodeError
from orgnode.federation.errors import PeerUnreachableError
from orgnode.federation.ports import Line
from orgnode.federation.replicator import Replicator
from orgnode.federation.reply import Reply
from orgnode.testing.conducts import EQUIVOCATES, MAKERS
from orgnode.testing.simline import SimRequest
from orgnode.testing.simnode import Observer, Parts, SimNode, SimWorld


class LyingLine:
    """The way from a liar to one peer."""

    def __init__(self, node: Liar, peer: str, line: Line) -> None:
        self._node = node
        self._peer = peer
        self._line = line

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
        """See `Line.ask`."""
        request: SimRequest | None = SimRequest(method, path, body)
        assert request is not None
        if self._node.meets(self._peer):
            request = self._node.conduct.asks(self._peer, request)
            if request is not None:
                return await self._line.ask(
                    request.method, request.path, cap=cap, deadline=deadline, body=request.body
                )
        raise PeerUnreachableError(f"{self._node.name} does not talk to {self._peer} about this")

    async def close(self) -> None:
        """See `Line.close`."""
        await self._line.close()


class ShamelessReplicator(Replicator):
    """Goes on with its history whatever others show of another one, and asks nobody first."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.recovery._quorum = 1

    def _halt(self, error: OrgnodeError) -> None:
        """It does not stop."""

    async def _examine(self, note: bytes) -> None:
        """It knows."""


class Liar(SimNode):
    """A node whose words are altered by its conduct on the way out."""

    def __init__(
        self,
        world: SimWorld,
        member: TestMember,
        rng: Random,
        observer: Observer,
        conduct: str,
        *,
        place: str = "",
    ) -> None:
        super().__init__(world, member, rng, observer, place=place)
        self.conduct = MAKERS[conduct](self, Random(rng.getrandbits(64)))  # noqa: S311
        self._shameless = conduct == EQUIVOCATES
        self.meets: Callable[[str], bool] = lambda _: True

    def start(self) -> None:
        """Power on."""
        super().start()
        self.machine.start(self.conduct.mischief(), "mischief")

    def new_machine(self) -> Machine:
        """A machine whose failures are the liar's own affair."""
        return Machine(self.place, self.world.loop, may_fail=True)

    def parts(self) -> Parts:
        """Keys and lines, as the conduct has them."""
        parts = self.conduct.parts(super().parts())
        if self._shameless:
            parts = replace(parts, replicator=ShamelessReplicator)
        return parts

    def line(self, peer: str) -> Line:
        """The way to a peer, through the conduct."""
        return LyingLine(self, peer, self.honest_line(peer))

    def honest_line(self, peer: str) -> Line:
        """The way to a peer."""
        return super().line(peer)

    async def serve(self, sender: str, request: SimRequest) -> Reply:
        """Answer, as the conduct has it."""
        return self.conduct.answers(sender, request, await super().serve(sender, request))


class Twins:
    """One member as two nodes with the same keys; each other member meets one of them.

    From time to time somebody meets the other one: an equivocator that nobody can compare is one
    that harms nobody.
    """

    def __init__(
        self,
        world: SimWorld,
        member: TestMember,
        rng: Random,
        observer: Observer,
        peers: Sequence[str],
    ) -> None:
        self.name = member.name
        self.nodes = tuple(
            Liar(world, member, Random(rng.getrandbits(64)), observer, EQUIVOCATES, place=place)  # noqa: S311
            for place in (member.name, f"{member.name}~")
        )
        self._rng = rng
        # Half of them show their other face to one member only, and to that one not always: then it
        # is the only one that can tell.
        few = rng.random() < 0.5
        self._wander = rng.choice((0.1, 0.4) if few else (0.0, 0.02, 0.2))
        self._shown_both = {rng.choice(list(peers))} if few else set(peers)
        self._met = {peer: 0 if few else rng.randrange(2) for peer in peers}
        for which, node in enumerate(self.nodes):
            node.meets = lambda peer, which=which: self._which(peer) == which  # type: ignore[misc]

    def place_for(self, sender: str) -> str:
        """Where a message of this member arrives."""
        return self.nodes[self._which(sender)].place

    def _which(self, peer: str) -> int:
        if peer in self._shown_both and self._rng.random() < self._wander:
            self._met[peer] = 1 - self._met[peer]
        return self._met[peer]
