"""Between organizations: following, certifying and serving members' logs, over mutual TLS.

    FederationServer   HTTPS for members only, around ...
    FederationService  ... what peers ask of this node, and how much of it at a time
    PeerClient         what this node asks of a peer, over ...
    HttpLine           ... a warm, pinned line to it

`orgnode.federation.replicator` puts the parts together. (It is not imported here: it needs
`orgnode.ownlog`, which needs this package's errors.)

Peers are told apart by the key that they prove in the handshake. No address that a peer names is
ever asked.
"""

from orgnode.federation.client import PeerClient
from orgnode.federation.handlers import Handlers
from orgnode.federation.httpline import HttpLine
from orgnode.federation.limits import ClientLimits, Rhythm, ServerLimits
from orgnode.federation.reply import Reply
from orgnode.federation.server import FederationServer
from orgnode.federation.service import FederationService

__all__ = [
    "ClientLimits",
    "FederationServer",
    "FederationService",
    "Handlers",
    "HttpLine",
    "PeerClient",
    "Reply",
    "Rhythm",
    "ServerLimits",
]
