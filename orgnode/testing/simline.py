"""The way from one simulated node to another: the real protocol's requests, over a fake network.

Only what carries a request is replaced: what is asked and answered are the bytes of `PeerClient`
and `FederationService`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.testing.network import NetworkError, SilenceError, SimNetwork
from orgnode.federation.errors import PeerTimeoutError, PeerUnreachableError
from orgnode.federation.reply import Reply, body_reader, unwrap
from orgnode.federation.service import FederationService

OVERHEAD = 200
"""Bytes that HTTP/1.1 headers add to a request or an answer, about."""


@dataclass(frozen=True, slots=True)
class SimRequest:
    """One request as it travels."""

    method: str
    path: str
    body: bytes | None = field(default=None, repr=False)


def size_of(message: SimRequest | Reply) -> int:
    """Bytes of a request or an answer on the wire, about."""
    path = len(message.path) if isinstance(message, SimRequest) else 0
    return OVERHEAD + path + len(message.body or b"")


class SimLine:
    """A `Line` over a `SimNetwork`."""

    def __init__(self, network: SimNetwork, src: str, dst: str) -> None:
        self._network = network
        self._src = src
        self._dst = dst

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
        request = SimRequest(method, path, body)
        try:
            reply = await self._network.request(self._src, self._dst, request, deadline=deadline)
        except SilenceError as error:
            raise PeerTimeoutError(f"{self._dst} gave no answer within {deadline:g} s") from error
        except NetworkError as error:
            raise PeerUnreachableError(f"no connection to {self._dst}") from error
        return unwrap(self._dst, reply, cap)

    async def close(self) -> None:
        """See `Line.close`."""


async def answer(service: FederationService, peer: str, request: SimRequest) -> Reply:
    """Have a node answer a request that arrived."""
    return await service.answer(peer, request.method, request.path, body_reader(request.body))
