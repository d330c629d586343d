"""The node's local HTTP API: for the organization's own gateway, operator, analyst and scrapers.

`build_app` makes the aiohttp application from what a node offers (`NodeServices`), `LocalServer`
serves it. It listens on loopback by default and asks for the bearer token on nearly every route.
"""

from orgnode.api.app import ApiOptions, build_app
from orgnode.api.server import LocalServer
from orgnode.api.services import NodeServices, PeerStatus, Readiness

__all__ = ["ApiOptions", "LocalServer", "NodeServices", "PeerStatus", "Readiness", "build_app"]
