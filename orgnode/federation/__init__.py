"""Between organizations: serving the own log, following the others', over mutual TLS.

`Federation` is the whole of it; its parts (`FederationServer`, `PeerClient`, `LogSync`,
`Announcer`, `AntiEntropy`) can be used by themselves.
"""

from orgnode.federation.announcer import Announcer
from orgnode.federation.antientropy import AntiEntropy
from orgnode.federation.client import PeerClient
from orgnode.federation.federation import Federation, FederationSettings
from orgnode.federation.limits import ClientLimits, Rhythm, ServerLimits
from orgnode.federation.server import FederationServer
from orgnode.federation.sync import LogSync, PeerStatus

__all__ = [
    "Announcer",
    "AntiEntropy",
    "ClientLimits",
    "Federation",
    "FederationServer",
    "FederationSettings",
    "LogSync",
    "PeerClient",
    "PeerStatus",
    "Rhythm",
    "ServerLimits",
]
