"""Whether another copy of this node runs already, at the endpoint that its member card gives.

*Attack:* a restored copy runs beside its original, on other ports. Each signs a history of its own,
and the organization is convicted of both. The lock of the data directory stops two processes on one
directory only. So a node looks, before it listens itself, who answers at its own card's endpoint:
whoever completes a handshake there under this organization's own key is another process that holds
it. Behind a forwarder or address translation the endpoint leads to this node, which does not listen
yet, so nobody answers. A copy that can't be reached there, or starts in the same moment, is not
noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from mesh.member import MemberCard
from orgnode.errors import OrgnodeError
from orgnode.keystore import KeyStore
from orgnode.tls import client_context

COPY_SECONDS: Final = 2.0
"""How long whoever may be at the own endpoint is waited for."""

NEVER_TWO: Final = (
    "perhaps a copy of this node runs already: look for it, here and on other machines, and keep "
    "only one; never start a second one, on other ports either: two copies sign two histories, and "
    "the mesh convicts this organization"
)
"""What to do when something is where this node should be, once it has joined a mesh."""


PORT_TAKEN: Final = (
    f"{NEVER_TWO}. If something else has the port, stop that: the port stands in the member card, "
    "and another federation_port is reached only through what forwards the card's port to it"
)
"""What to do when the federation port of a node that has joined a mesh is taken."""


class CopyRunningError(OrgnodeError):
    """Another process with this organization's key answers at the endpoint of its member card."""


async def copy_answers(
    card: MemberCard,
    keystore: KeyStore,
    *,
    source: str | None = None,
    seconds: float = COPY_SECONDS,
) -> bool:
    """Whether somebody proves this organization's own key at its own card's endpoint.

    To be asked while this node does not listen. `source` is the address to connect from.
    """
    context = client_context(keystore, card.certificate)
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(
                card.host,
                card.port,
                ssl=context,
                server_hostname=card.name,
                local_addr=(source, 0) if source else None,
            )
    except (OSError, TimeoutError):  # TLS errors are OSErrors too
        return False
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(seconds):
            await writer.wait_closed()
    return True


async def check_alone(
    card: MemberCard,
    keystore: KeyStore,
    *,
    source: str | None = None,
    seconds: float = COPY_SECONDS,
) -> None:
    """Check that no other copy of this node answers; to be called before it listens.

    :raises CopyRunningError: one does.
    """
    if await copy_answers(card, keystore, source=source, seconds=seconds):
        raise CopyRunningError(
            f"a node with the key of {card.name} answers at {card.host}:{card.port} already",
            hint=NEVER_TWO,
        )
