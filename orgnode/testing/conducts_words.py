"""Lies about what others did, and noise: cosignatures, sizes, accusations, floods, replays."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final

from mesh.accusation import compose_accusation
from mesh.days import Day
from mesh.entry import Kind
from mesh.evidence import Evidence, EvidenceKind
from mesh.vector import ROOT_BYTES, LogPosition, encode_vector
from mesh.witness import AddCheckpoint, MalformedRequestError
from orgnode.errors import OrgnodeError
from orgnode.federation.paths import ADD_CHECKPOINT, ANNOUNCE, GOSSIP, log_path
from orgnode.federation.reply import Reply, json_reply, note_reply, octets_reply
from orgnode.ownlog import Draft
from orgnode.testing.conduct import NOT_SERVED_REPLY, Conduct
from orgnode.testing.simline import SimRequest
from proofs.checkpoint import parse_checkpoint_text
from proofs.cosignature import cosign
from proofs.errors import ProofsError
from proofs.merkle import range_nodes
from proofs.note import parse_note

if TYPE_CHECKING:
    from orgnode.testing.byzantine import Liar

_FLOOD: Final = 120
_REMEMBERED: Final = 100
_ACCUSATIONS: Final = 4


class CosignsAnything(Conduct):
    """Cosigns whatever it is asked to, holds nothing of it, and claims to hold everything."""

    def asks(self, peer: str, request: SimRequest) -> SimRequest | None:
        """Gossip sizes that no log has."""
        if request.path == GOSSIP and self.rng.random() < 0.7:
            return replace(request, body=self._vector())
        return request

    def answers(self, sender: str, request: SimRequest, reply: Reply) -> Reply:
        """Cosign; claim."""
        if request.path == ADD_CHECKPOINT and request.body is not None:
            try:
                text = parse_note(AddCheckpoint.parse(request.body).checkpoint).text
                line = cosign(text, self.node.member.witness, int(self.node.clock()))
            except (MalformedRequestError, ProofsError):
                return reply
            return note_reply(line)
        if request.path == GOSSIP and self.rng.random() < 0.7:
            return octets_reply(self._vector())
        if request.path == ANNOUNCE and self.rng.random() < 0.5:
            claimed = self.rng.choice((0, 1, 7, 2**40))
            return json_reply({"size": claimed, "certified": self.rng.choice((0, claimed))})
        if request.path.endswith("/seen") and self.rng.random() < 0.7:
            return NOT_SERVED_REPLY
        return reply

    def _vector(self) -> bytes:
        rng, positions = self.rng, []
        for position in self.node.store.vector():
            size = rng.choice((position.size, position.size + 1, 2**40))
            root = rng.randbytes(ROOT_BYTES)
            positions.append(LogPosition(position.log, size, rng.choice((0, size)), root))
        return encode_vector(positions)


class Floods(Conduct):
    """Asks as much and as often as it can."""

    async def mischief(self) -> None:
        """Bursts of requests, some of them large or broken."""
        sent = 0
        while sent < _FLOOD:
            await asyncio.sleep(self.rng.uniform(0.2, 4.0))
            burst = self.rng.randint(5, 40)
            sent += burst
            victim = self.rng.choice(self.peers)
            await asyncio.gather(*(self.send(victim, self._nuisance()) for _ in range(burst)))

    def _nuisance(self) -> SimRequest:
        rng, name = self.rng, self.node.name
        store = self.node.store
        checkpoint = store.checkpoint(name) or b""
        return rng.choice(
            (
                SimRequest("POST", ANNOUNCE, rng.randbytes(rng.randrange(2_000))),
                SimRequest("POST", GOSSIP, encode_vector(store.vector())),
                SimRequest("POST", GOSSIP, rng.randbytes(64)),
                SimRequest("POST", ADD_CHECKPOINT, b"old 0\n\n" + checkpoint),
                SimRequest("POST", ADD_CHECKPOINT, rng.randbytes(300)),
                SimRequest("GET", f"{log_path(rng.choice(self.peers))}checkpoint"),
                SimRequest("GET", f"{log_path(name)}bodies/0/256"),
            )
        )


class Replays(Conduct):
    """Says again what it or others said long ago."""

    def __init__(self, node: Liar, rng: Random) -> None:
        super().__init__(node, rng)
        self._requests: list[SimRequest] = []
        self._replies: dict[tuple[str, str], Reply] = {}

    def asks(self, peer: str, request: SimRequest) -> SimRequest | None:
        """Sometimes an old request of its own instead of the new one."""
        self._remember(request)
        if self.rng.random() < 0.2:
            same = [old for old in self._requests if old.path == request.path]
            return self.rng.choice(same)
        return request

    def answers(self, sender: str, request: SimRequest, reply: Reply) -> Reply:
        """Sometimes what it answered to this the first time."""
        self._remember(request)
        first = self._replies.setdefault((sender, request.path), reply)
        return first if self.rng.random() < 0.4 else reply

    async def mischief(self) -> None:
        """Send around what was sent before, its own and others'."""
        while True:
            await asyncio.sleep(self.rng.uniform(0.2, 3.0))
            if self._requests:
                await self.send(self.rng.choice(self.peers), self.rng.choice(self._requests))

    def _remember(self, request: SimRequest) -> None:
        if len(self._requests) < _REMEMBERED:
            self._requests.append(request)
        else:
            self._requests[self.rng.randrange(_REMEMBERED)] = request


class Frames(Conduct):
    """Accuses honest members, with true checkpoints of theirs and made-up hashes."""

    forges = frozenset({Kind.EVIDENCE})

    def __init__(self, node: Liar, rng: Random) -> None:
        super().__init__(node, rng)
        self._seen: dict[str, bytes] = {}
        self._accusations = 0

    async def mischief(self) -> None:
        """Collect two checkpoints of a log, and accuse its owner."""
        while self._accusations < _ACCUSATIONS:
            await asyncio.sleep(self.rng.uniform(0.5, 4.0))
            for victim in self.peers:
                note = self.node.store.checkpoint(victim)
                first = self._seen.setdefault(victim, note) if note is not None else None
                if first is None or note is None or first == note:
                    continue
                await self._accuse(victim, first, note)
                del self._seen[victim]

    async def _accuse(self, victim: str, first: bytes, second: bytes) -> None:
        sizes = [parse_checkpoint_text(parse_note(note).text).size for note in (first, second)]
        kind = self.rng.choice((EvidenceKind.FORK, EvidenceKind.SPLIT))
        fork = kind is EvidenceKind.FORK
        left = [self.rng.randbytes(32) for _ in range_nodes(0, sizes[0])]
        right = [self.rng.randbytes(32) for _ in range_nodes(sizes[0], sizes[1])]
        evidence = Evidence(
            kind, victim, first, second, tuple(left) if fork else (), tuple(right) if fork else ()
        )
        self._accusations += 1
        with suppress(OrgnodeError):
            await self.node.replicator.own_log.append(
                Draft(
                    kind=Kind.EVIDENCE,
                    expires=Day(self.node.today() + 60),
                    body=compose_accusation(evidence),
                )
            )
