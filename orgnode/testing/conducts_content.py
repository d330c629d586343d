"""Lies about what stands in logs: content that is withheld, forged, or not true."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from mesh.entry import Kind
from mesh.wire import (
    ERASED,
    MISSING,
    WireLimits,
    decode_announcement,
    decode_bodies,
    encode_announcement,
    encode_bodies,
)
from orgnode.federation.paths import ADD_CHECKPOINT, ANNOUNCE, log_path
from orgnode.federation.reply import Reply, octets_reply
from orgnode.testing.conduct import NOT_SERVED_REPLY, Conduct
from orgnode.testing.simline import SimRequest
from orgnode.testing.simnode import Parts
from proofs.cosignature import cosign
from proofs.errors import ProofsError
from proofs.note import NoteSignature, Signer, parse_note

if TYPE_CHECKING:
    from orgnode.testing.byzantine import Liar


class Withholds(Conduct):
    """Hands content to some members only, and to others the hashes at most."""

    def __init__(self, node: Liar, rng: Random) -> None:
        super().__init__(node, rng)
        self._favoured: frozenset[str] | None = None
        self._all = rng.random() < 0.5

    def favours(self, peer: str) -> bool:
        """Whether a member gets everything."""
        if self._favoured is None:
            peers = self.peers
            self._favoured = frozenset(self.rng.sample(peers, self.rng.randrange(len(peers))))
        return peer in self._favoured

    def asks(self, peer: str, request: SimRequest) -> SimRequest | None:
        """Announce entries without their bodies, or as if these had been erased."""
        if request.path != ANNOUNCE or request.body is None or self.favours(peer):
            return request
        told = decode_announcement(request.body, WireLimits())
        bodies = tuple(
            self.rng.choice((MISSING, ERASED)) if self._all or self.rng.random() < 0.5 else body
            for body in told.bodies
        )
        return replace(request, body=encode_announcement(replace(told, bodies=bodies)))

    def answers(self, sender: str, request: SimRequest, reply: Reply) -> Reply:
        """Serve neither bodies nor, to some, entries and tiles of the own log."""
        path = log_path(self.node.name)
        if self.favours(sender) or not request.path.startswith(path):
            return reply
        if request.path.startswith((f"{path}bodies", f"{path}tile")):
            return NOT_SERVED_REPLY
        return reply


class Forges(Conduct):
    """Signs entries with a key that is not its own, certifies itself, alters what it mirrors."""

    forges = frozenset(Kind)

    def parts(self, parts: Parts) -> Parts:
        """Take another identity key."""
        seed = self.rng.randbytes(32)
        return replace(parts, identity=Signer(self.node.name, seed))

    def asks(self, peer: str, request: SimRequest) -> SimRequest | None:
        """Announce a certificate that nobody gave."""
        if request.path != ANNOUNCE or request.body is None or self.rng.random() < 0.3:
            return request
        told = decode_announcement(request.body, WireLimits())
        return replace(
            request,
            body=encode_announcement(replace(told, certificate=self._certify(told.checkpoint))),
        )

    def answers(self, sender: str, request: SimRequest, reply: Reply) -> Reply:
        """Alter what is served of others' logs; sign cosignatures with a key of nobody."""
        if reply.status != 200 or self.rng.random() < 0.4:
            return reply
        if request.path == ADD_CHECKPOINT:
            line = bytearray(reply.body)
            line[-8] ^= 1
            return replace(reply, body=bytes(line))
        if "/bodies/" in request.path:
            return self._bodies(request, reply)
        if "/tile/" in request.path or request.path.endswith("/certificate"):
            data = bytearray(reply.body)
            if data:
                data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
            return replace(reply, body=bytes(data))
        return reply

    def _bodies(self, request: SimRequest, reply: Reply) -> Reply:
        """Say of true bodies that they were erased."""
        start, end = map(int, request.path.rsplit("/", 2)[1:])
        limit = self.node.world.mesh.mesh.constraints.max_body_bytes
        told = decode_bodies(reply.body, end - start, limit)
        return octets_reply(
            encode_bodies([ERASED if self.rng.random() < 0.5 else answer for answer in told])
        )

    def _certify(self, checkpoint: bytes) -> bytes:
        """Its own cosignature, and lines that look like those of others."""
        node, mesh = self.node, self.node.world.mesh.mesh
        try:
            text = parse_note(checkpoint).text
            own = cosign(text, node.member.witness, int(node.clock()))
        except ProofsError:
            return checkpoint
        lines = [own]
        if self.rng.random() < 0.5:
            lines += [
                NoteSignature(
                    card.name, card.witness_key.key_id, bytes(4) + self.rng.randbytes(68)
                ).encode()
                for card in mesh.peers_of(node.name)
            ]
        return checkpoint + b"".join(lines)


class Boasts(Conduct):
    """Publishes signals whose proofs do not hold, rightly signed."""

    forges = frozenset({Kind.SIGNAL})
