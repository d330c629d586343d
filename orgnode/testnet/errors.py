"""What can go wrong with a test network."""

from __future__ import annotations

from orgnode.errors import OrgnodeError


class TestnetError(OrgnodeError):
    """The root of what the test network raises."""

    __test__ = False  # not a class of tests, whatever pytest thinks of the name


class NoNetworkError(TestnetError):
    """There is no test network in this directory."""


class OtherNetworkError(TestnetError):
    """The directory holds something else than the test network that was asked for."""


class NoPortsError(TestnetError):
    """There are not enough free TCP ports."""


class NodeStartError(TestnetError):
    """A node process ended before it was ready; the message holds the end of its log."""


class NodeStartTimeoutError(NodeStartError):
    """A node process was not ready in time; the message holds the end of its log."""
