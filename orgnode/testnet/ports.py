"""Free TCP ports on loopback that stay free until the nodes listen on them."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

from orgnode.testnet.errors import NoPortsError

LOOPBACK: Final = "127.0.0.1"
LOWEST: Final = 20_000
HIGHEST: Final = 60_000

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on.

    They lie outside the range that the system takes the near ends of outgoing connections from:
    a node that connects to its peers could otherwise take the port of one that starts later.

    :raises NoPortsError: there are not that many.
    """
    low, high = _ephemeral()
    candidates = [port for port in range(LOWEST, HIGHEST) if not low <= port <= high]
    random.shuffle(candidates)
    held: list[socket.socket] = []
    try:
        for port in candidates:
            if len(held) == count:
                break
            probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                probe.close()
            else:
                held.append(probe)
        if len(held) < count:
            raise NoPortsError(
                f"fewer than {count} free TCP ports on {LOOPBACK}",
                hint="stop something, or use fewer --orgs",
            )
        return [probe.getsockname()[1] for probe in held]
    finally:
        for probe in held:
            probe.close()


def _ephemeral() -> tuple[int, int]:
    try:
        low, high = map(int, _EPHEMERAL.read_text().split())
    except (OSError, ValueError):
        return 49_152, 65_535  # RFC 6335, section 6
    # A system that uses nearly all ports for outgoing connections leaves no choice.
    return (low, high) if low > LOWEST + 2_000 or high < HIGHEST - 2_000 else (0, 0)
