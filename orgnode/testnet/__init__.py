"""A mesh of several organizations on one machine, each a real node process.

    network = TestNetwork.create(Path("mesh"), orgs=5)     # keys, cards, genesis, ports
    await network.up()                                     # five processes, waited for until ready
    ...
    await network.down()                                   # ends those, and nothing else

The keys of all organizations lie side by side without a passphrase, so this is no way to run a mesh
that matters.
"""

from orgnode.testnet.errors import (
    NodeStartError,
    NodeStartTimeoutError,
    NoNetworkError,
    OtherNetworkError,
    TestnetError,
)
from orgnode.testnet.network import OrgStatus, TestNetwork

__all__ = [
    "NoNetworkError",
    "NodeStartError",
    "NodeStartTimeoutError",
    "OrgStatus",
    "OtherNetworkError",
    "TestNetwork",
    "TestnetError",
]
