"""Between organizations: serving the own log, following the others', over mutual TLS.

    FederationServer   what peers ask of this node: its log, and taking their announcements
    PeerClient         a warm, pinned line to one peer
    LogSync            following one peer's log, durable and verified
    Announcer          telling the peers what is new
    AntiEntropy        asking the peers again and again

Peers are told apart by the key that they prove in the handshake. No address that a peer names is
ever asked.
"""

from orgnode.federation.announcer import Announcer
from orgnode.federation.antientropy import AntiEntropy
from orgnode.federation.client import PeerClient
from orgnode.federation.limits import ClientLimits, Rhythm, ServerLimits
from orgnode.federation.server import FederationServer
from orgnode.federation.sync import LogSync, PeerStatus

__all__ = [
    "Announcer",
    "AntiEntropy",
    "ClientLimits",
    "FederationServer",
    "LogSync",
    "PeerClient",
    "PeerStatus",
    "Rhythm",
    "ServerLimits",
]
